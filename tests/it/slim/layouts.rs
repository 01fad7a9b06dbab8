//! Every layout of the generator with GPU code in it: in memory it is what it was, but for the containers.

use super::{Pair, code, first_difference, memory, pair, with_other};
use crate::elfgen::presets;
use crate::elfgen::read::Image;
use crate::harness::{Snapshot, Tree, invoke};

#[test]
fn every_layout_keeps_its_memory() {
    let parts = [(code(75, 140_000), false), (code(90, 3000), true), (code(100, 140_000), false), (code(90, 40), true)];
    let Pair { before, after } = pair(&parts);
    let (mut slimmed, mut shorter, mut left) = (0, 0, 0);
    for (name, spec) in presets() {
        let bytes = spec.gpu_code(".nv_fatbin", &before).build();
        let Some(old) = Image::parse(&bytes) else { continue };
        for options in [&[][..], &["--no-compact"], &["--in-place", "--no-compact"]] {
            let tree = Tree::in_memory();
            let file = tree.file(name, &bytes);
            let ended =
                invoke([&["slim", "--arch", "9.0", "--json", "-v"], options, &[file.to_str().unwrap()]].concat());
            ended.assert_orderly(name);
            let now = std::fs::read(&file).unwrap();
            let outcome = ended.file()["outcome"].clone();
            if outcome != "slimmed" {
                assert!(now == bytes, "{name} {options:?}: {outcome}, and written");
                left += 1;
                continue;
            }
            slimmed += 1;
            let new = Image::parse(&now).unwrap_or_else(|| panic!("{name} {options:?} can be read"));
            if old.segments.iter().any(|segment| segment.kind == 1) {
                let mut wanted = memory(&old);
                // Containers that are in no memory cannot be edited.
                with_other(&mut wanted, &before, &after);
                // Behind the table nothing is mapped twice, and the ELF header in memory is the old one: only in the
                // same layout may it be another.
                assert_eq!(first_difference(&wanted, &memory(&new)), None, "{name} {options:?}");
            }
            if now.len() < bytes.len() {
                shorter += 1;
                assert!(bytes.len() - now.len() > 60_000, "{name}: {} of {}", now.len(), bytes.len());
            }
            assert!(options.is_empty() || now.len() == bytes.len(), "{name} {options:?}");
            let snapshot = Snapshot::of(&file);
            let again = invoke([&["slim", "--arch", "9.0"], options, &[file.to_str().unwrap()]].concat());
            again.assert_code(0, name);
            assert_eq!(Snapshot::of(&file), snapshot, "{name} {options:?}: a second run");
        }
    }
    println!("{slimmed} slimmed, {shorter} of them shorter, {left} left");
    assert!(slimmed > 300 && shorter > 60, "{slimmed} slimmed, {shorter} of them shorter, {left} left");
}
