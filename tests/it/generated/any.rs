//! The same for layouts that no preset has: any combination of the generator's knobs.

use proptest::prelude::*;

use super::wanted;
use crate::elfgen::compare::differences;
use crate::elfgen::drawn::{self, Choices};
use crate::elfgen::read::Image;
use crate::elfgen::{Machine, Spec};
use crate::harness::images::{answer, dependency};
use crate::harness::{IN_PLACE, REPLACE, Snapshot, Tree, binary, invoke, run};

/// Any combination of knobs that makes a sound image; the machine that the tests can run on comes up more often.
fn any_spec() -> impl Strategy<Value = Spec> {
    let choices = prop::collection::vec(any::<u8>(), 64);
    (any::<bool>(), choices).prop_map(|(runs_here, bytes)| {
        let mut choices = Choices::new(&bytes);
        let machine = drawn::machine(&mut choices);
        Spec::drawn(&mut choices, if runs_here { Machine::X86_64 } else { machine }, false)
    })
}

/// `PROPTEST_CASES` asks for more.
fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(96);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    /// An edit of any image is faithful and loads, or the file is refused and stays as it was; only a payload is a reason to refuse.
    #[test]
    fn any_image_is_edited_faithfully_or_refused(spec in any_spec(), in_place in any::<bool>(), length in 1usize..200) {
        let test = "any_image_is_edited_faithfully_or_refused";
        let tree = Tree::new();
        let driver = dependency(&tree, &"n".repeat(length), 2);
        let driver = driver.to_str().unwrap();
        let file = tree.executable("image", &spec.build());
        let before = Snapshot::of(&file);
        let mode = if in_place { IN_PLACE } else { REPLACE };
        let result = run(binary().args(["fix", "--strict", "--driver", driver]).args(mode).arg(&file));
        result.assert_orderly("fix");
        let now = Snapshot::of(&file);
        if result.code != 0 {
            prop_assert!(before == now, "refused, and yet written");
            prop_assert!(!spec.overlay.is_empty(), "refused: {}", result.stderr);
            return Ok(());
        }
        let after = Image::read(&file);
        let image = Image::parse(&spec.build()).unwrap();
        let found = differences(&image, &after, &wanted(&spec, driver), &spec.overlay);
        prop_assert!(found.is_empty(), "{found:#?}\n{}", result.stdout);
        if spec.runs_here() && let Some(answer) = answer(&spec, &file, None, test) {
            prop_assert_eq!(answer, Ok(42), "{}", result.stdout);
        }
        let again = invoke(["fix", "--in-place", "--driver", driver, file.to_str().unwrap()]);
        prop_assert_eq!(again.code, 0);
        prop_assert!(Snapshot::of(&file) == now, "written again");
    }
}
