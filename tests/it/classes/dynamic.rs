//! The dynamic section: where it lies, how it ends, which tags it has.

use super::layouts::{Real, assert_image_kept, damage_after};
use super::naive::{READ, Table, WRITE, add_entry, move_dynamic, set_rpath_only};
use crate::elfgen::damage::Damage;
use crate::elfgen::read::Image;
use crate::elfgen::{self, Kind, Machine, Spec};
use crate::harness::run::SEGMENTATION_FAULT;
use crate::harness::{Link, NEW, OLD, OldPath, PROGRAMS, Shape, linkers, require};

/// A program without DT_RUNPATH and without a spare dynamic entry: the dynamic section has to move. In a read-only
/// segment, which is enough for every other table, the loader faults as soon as it writes DT_DEBUG and the relocated
/// addresses.
#[test]
fn dynamic_section_in_a_read_only_segment() {
    let test = "dynamic_section_in_a_read_only_segment";
    let mut moved = 0;
    for linker in linkers(test) {
        for shape in [Shape::Exec, Shape::Pie] {
            let told = format!("{linker} {shape:?}");
            let real = Real::new(&Link::new("user_program.c", shape).linker(linker).path(OldPath::None));
            let kept = real.assert_kept(&told);
            let [before, after] = [real.original(), kept.file].map(|file| Image::read(&file));
            let address = |image: &Image| image.segments.iter().find(|segment| segment.kind == 2).unwrap().address;
            moved += usize::from(address(&before) != address(&after));
            let at = address(&after);
            let home = after.loads().find(|load| load.address <= at && at < load.address + load.memory_size).unwrap();
            assert_eq!(u64::from(home.flags) & WRITE, WRITE, "{told}: .dynamic is read-only");
            let naive = |flags| move |bytes: &[u8], path: &str| move_dynamic(bytes, path, flags, Table::Moves);
            assert_eq!(real.run_after_bytes(&naive(READ)).code, SEGMENTATION_FAULT, "{told}: naive");
            assert_eq!(real.run_after_bytes(&naive(READ | WRITE)).code, NEW, "{told}: the naive editor, writable");
        }
    }
    assert!(moved > 0 || !require("ld.lld", test), "no dynamic section moved, so this test shows nothing");
    for (name, spec) in elfgen::presets().into_iter().filter(|(name, _)| name.starts_with("slot-move-dynamic")) {
        assert_image_kept(&spec, name, test);
    }
}

/// A MIPS debugger finds the loaded libraries through DT_MIPS_RLD_MAP_REL, which counts from its own entry. A dynamic
/// section that moves with that value unchanged leads the loader's write of `r_debug` to somewhere else in memory.
#[test]
fn mips_rld_map() {
    let test = "mips_rld_map";
    for machine in [Machine::Mips, Machine::Mipsel, Machine::Mips64, Machine::Mips64el] {
        let spec = Spec::new(machine, Kind::Pie).needs("libdep.so.1").spare(0).rld_map().null_slot();
        assert_image_kept(&spec, &format!("{machine:?}"), test);
        let naive = |bytes: &[u8], path: &str| move_dynamic(bytes, path, READ | WRITE, Table::Moves);
        let damage = damage_after(&spec, &naive);
        assert!(damage.iter().any(|what| what.contains("DT_MIPS_RLD_MAP_REL")), "{machine:?}: naive: {damage:?}");
        // With room for the entry nothing moves, and the value stays.
        assert_image_kept(&spec.clone().spare(2), &format!("{machine:?} with a spare entry"), test);
        assert_image_kept(&spec.runpath("$ORIGIN/old"), &format!("{machine:?} with a path"), test);
    }
}

/// lld, Go and wild write one DT_NULL and no more. An editor that adds its entry there, as it may in files of GNU ld,
/// leaves a dynamic section without an end, and a loader that walks it walks on into what follows.
#[test]
fn no_spare_dynamic_entry() {
    let test = "no_spare_dynamic_entry";
    for linker in linkers(test) {
        for (source, shape) in PROGRAMS {
            let told = format!("{linker} {shape:?}");
            let real = Real::new(&Link::new(source, shape).linker(linker).path(OldPath::None));
            let spare = Image::read(&real.original()).spare;
            assert_eq!(spare == 0, linker == "lld", "{told} has {spare} spare entries");
            let kept = real.assert_kept(&told);
            // It has an end, or it would not parse.
            assert!(Image::read(&kept.file).tag(29).is_some(), "{told}");
            let naive = real.run_after_bytes(&add_entry).code;
            assert_eq!(naive != NEW, linker == "lld", "{told}: naive: {naive}");
        }
    }
}

/// Old versions of GNU ld wrote both tags. The loader ignores DT_RPATH beside DT_RUNPATH: an editor that knows one tag
/// sets a path that no loader reads, or leaves the other one behind for the next tool to find.
#[test]
fn both_tags() {
    let test = "both_tags";
    for linker in linkers(test) {
        if linker == "lld" {
            // No entry to add the second tag in.
            continue;
        }
        for (source, shape) in PROGRAMS {
            let told = format!("{linker} {shape:?}");
            let real = Real::treated(&Link::new(source, shape).linker(linker).path(OldPath::Rpath), |file| {
                let object = Damage::of(file);
                let path = object.image.tag(15).expect("DT_RPATH");
                let (tag, value) = object.dynamic(object.image.dynamic.len());
                std::fs::write(file, object.put(tag, 29).put(value, path).bytes).unwrap();
            });
            let kept = Image::read(&real.assert_kept(&told).file);
            let paths: Vec<u64> =
                kept.dynamic.iter().map(|entry| entry.0).filter(|tag| matches!(tag, 15 | 29)).collect();
            assert_eq!(paths, [29], "{told}");
            assert_eq!(real.run_after_bytes(&set_rpath_only).code, OLD, "{told}: naive");
        }
    }
    for (name, spec) in elfgen::presets().into_iter().filter(|(name, _)| name.starts_with("slot-both")) {
        assert_image_kept(&spec, name, test);
    }
}
