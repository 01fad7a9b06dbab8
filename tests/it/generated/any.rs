//! The same for layouts that nobody thought of: any combination of the generator's knobs.

use proptest::prelude::*;

use super::wanted;
use crate::elfgen::compare::differences;
use crate::elfgen::read::Image;
use crate::elfgen::selftest::{answer, dependency, program};
use crate::elfgen::{Headers, Kind, Machine, Packing, Segments, Spec, StringsAt};
use crate::support::{Snapshot, Tree, run};

/// The machine that the tests can run on comes up more often.
fn machines() -> impl Strategy<Value = Machine> {
    use Machine::*;
    let others = vec![I386, Aarch64, Arm, Ppc64, Ppc, S390x, Riscv64, Mips, Alpha, Unknown];
    prop_oneof![Just(X86_64), prop::sample::select(others)]
}

const PATHS: [&str; 6] = [
    "",
    "/a",
    "$ORIGIN/old",
    "/opt/lib:/opt/shared_tail",
    "/some/rather/long/folder/of/a/toolkit/lib/stubs",
    "/usr/local/lib/stubs:/opt/some/long/folder/that/stays",
];

prop_compose! {
    /// Any combination of knobs that makes a sound image.
    fn any_spec()(
        machine in machines(),
        kind in prop::sample::select(vec![Kind::Library, Kind::Pie, Kind::Exec]),
        headers in prop::sample::select(vec![Headers::None, Headers::End, Headers::BehindTable]),
        segments in prop::sample::select(vec![Segments::Separate, Segments::CodeFirst, Segments::Combined]),
        packing in prop::sample::select(vec![Packing::Padded, Packing::Tight]),
        strings_at in prop::sample::select(vec![
            StringsAt::WithHeaders,
            StringsAt::EndOfReadOnly,
            StringsAt::TrailingReadOnly,
            StringsAt::TrailingWritable,
        ]),
        path in prop::option::of(prop::sample::select(PATHS.to_vec())),
        rpath in any::<bool>(),
        spare in 0usize..3,
        switches in prop::collection::vec(any::<bool>(), 17),
        gap in prop::sample::select(vec![(0u64, 0u8), (32, 0), (56, 0), (64, b'X'), (200, b'Z')]),
        bss in prop::sample::select(vec![0u64, 8, 0x1000, 0x5_0000]),
        aligns in prop::sample::select(vec![&[][..], &[0x1000], &[0x1_0000], &[0x20_0000], &[0x1000, 0x1000, 0x1000, 0x1_0000]]),
        slack in 0u64..600,
        load in 0usize..4,
        dead in 0usize..120,
    ) -> Spec {
        let mut spec = match kind {
            Kind::Library => Spec::library(machine),
            Kind::Pie => Spec::pie(machine),
            _ => Spec::exec(machine),
        };
        if let Some(path) = path {
            spec = if rpath { spec.rpath(path) } else { spec.runpath(path) };
        }
        spec = spec.headers(headers).segments(segments).packing(packing).strings_at(strings_at).spare(spare);
        spec = spec.gap(gap.0, gap.1).bss(bss).aligns(aligns).slack(load, slack).dead(&vec![b'd'; dead]);
        spec = spec.hashes(switches[0], true).exports("shared_tail").exports("/opt/some/long/folder/that/stays");
        spec.merge_tails = switches[1];
        (spec.build_id, spec.property, spec.tls) = (switches[2], switches[3], switches[4]);
        (spec.null_slot, spec.gnu_stack, spec.relro) = (switches[5], switches[6], switches[7]);
        spec.relacount = switches[8] && machine.relocations().is_some();
        spec.debug_tag |= switches[9];
        spec.phdr |= switches[10];
        if switches[11] {
            spec = spec.verneed("libdep.so.1", "DEP_1.0");
        }
        if switches[12] {
            spec = spec.verdef("GEN_1.0").verdef("GEN_2.0");
        }
        if switches[13] && switches[14] {
            spec = spec.overlay(&[b'P'; 100]);
        }
        spec.foreign_user = switches[14] && switches[15];
        if switches[15] && switches[16] {
            spec = spec.ldcache(&[("libdep.so.1", "=/nix/store/00000000000000000000000000000000-dep/lib/libdep.so.1")]);
        }
        spec
    }
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
        let file = program(&tree, "image", &spec.build());
        let before = Snapshot::of(&file);
        let mut arguments = vec!["fix", "--driver", driver, file.to_str().unwrap()];
        if in_place {
            arguments.push("--in-place");
        }
        let result = run(arguments);
        result.assert_orderly("fix");
        let now = Snapshot::of(&file);
        if result.code != Some(0) {
            prop_assert!(before == now, "refused, and yet written");
            prop_assert!(!spec.overlay.is_empty(), "refused: {}", result.stderr);
            return Ok(());
        }
        let after = Image::parse(&now.bytes).expect("still an ELF file");
        let image = Image::parse(&before.bytes).unwrap();
        let found = differences(&image, &after, &wanted(&spec, driver), &spec.overlay);
        prop_assert!(found.is_empty(), "{found:#?}\n{}", result.stdout);
        if spec.runs_here() && let Some(answer) = answer(&spec, &file, None, test) {
            prop_assert_eq!(answer, Ok(42), "{}", result.stdout);
        }
        let again = run(["fix", "--in-place", "--driver", driver, file.to_str().unwrap()]);
        prop_assert_eq!(again.code, Some(0));
        prop_assert!(Snapshot::of(&file) == now, "written again");
    }
}
