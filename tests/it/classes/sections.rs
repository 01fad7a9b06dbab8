//! Section headers that are missing, or have odd names and types.

use super::layouts::{Real, assert_image_kept, long_path};
use crate::elfgen::damage::Damage;
use crate::elfgen::read::Image;
use crate::elfgen::{self, Machine, Spec};
use crate::harness::editors::Patchelf;
use crate::harness::fixtures::{drop_section_headers, paths_longer_than_a_page};
use crate::harness::{Link, MODES, NATIVE, NEW, OLD, PROGRAMS, Shape, Snapshot, Tree, fix, linkers, run};

/// The loader needs no section headers, and `sstrip`, UPX and some build systems remove them. patchelf refuses such a
/// file, and in hooks that go on after an error the stub's path stays in silence.
#[test]
fn no_section_headers() {
    let test = "no_section_headers";
    let long = paths_longer_than_a_page();
    for linker in linkers(test) {
        for (source, shape) in PROGRAMS {
            for flags in [&[][..], &[&*long]] {
                let told = format!("{linker} {shape:?} {}", flags.len());
                let link = Link::new(source, shape).linker(linker).flags(flags);
                let real = Real::treated(&link, |file| drop_section_headers(file, true));
                real.assert_kept(&told);
                for patchelf in Patchelf::both(test) {
                    let file = real.copy("other");
                    let ended = patchelf.edit(&["--set-rpath", &long_path()], &file);
                    let says = ended.stderr.contains("no section headers");
                    assert!(ended.code != 0 && says, "{told}: {}: {}", patchelf.name, ended.said());
                    assert_eq!(real.run(&file).code, OLD, "{told}: {}", patchelf.name);
                }
            }
        }
    }
    for (name, spec) in elfgen::presets().into_iter().filter(|(name, _)| name.contains("no-headers")) {
        if !name.starts_with("skip-") {
            assert_image_kept(&spec, name, test);
        }
    }
}

/// Names of sections are not unique, types not a closed list, and counts do not always stand where they should.
/// patchelf finds sections by name: 0.14 takes the wrong `.dynstr` and makes a file that does not load, 0.19 refuses
/// it.
#[test]
fn odd_section_names_and_types() {
    const TYPES: &str = ".section .odd, \"a\", @0x6abcdef0\n.quad 5\n\
        .section .not_loaded, \"\", @0x6abcdef1\n.quad 5\n\
        .section .note.GNU-stack, \"\", @progbits\n";
    const NAMES: &str = ".section .shstrtab, \"a\", @progbits\n.asciz \"not the names of sections\"\n\
        .section .dynstr, \"a\", @progbits\n.asciz \"not the strings of the loader\"\n\
        .section .odder, \"aw\", @0x8abcdef0\n.quad 5\n\
        .section .dynamic, \"aw\", @progbits\n.quad 1, 2\n";
    let test = "odd_section_names_and_types";
    let tree = Tree::new();
    let types = tree.file("types.s", TYPES.as_bytes());
    let names = tree.file("names.s", [TYPES, NAMES].concat().as_bytes());
    let long = paths_longer_than_a_page();
    for linker in linkers(test) {
        for (source, shape) in PROGRAMS {
            // GNU ld and lld merge sections of one name.
            let has_two = matches!(linker, "gold" | "mold");
            let odd = if has_two { &names } else { &types }.to_str().unwrap();
            let told = format!("{linker} {shape:?}");
            let flags = [odd, "-Wa,--no-warn", &long];
            let real = Real::new(&Link::new(source, shape).linker(linker).flags(&flags[..2]));
            let image = Image::read(&real.original());
            let count = |name: &str| {
                let named = |section: &&elfgen::read::Section| image.section_name(section).unwrap() == name.as_bytes();
                image.sections.iter().filter(named).count()
            };
            assert_eq!(count(".odd"), 1, "{told}");
            assert_eq!((count(".dynstr"), count(".shstrtab")), if has_two { (2, 2) } else { (1, 1) }, "{told}");
            real.assert_kept(&told);
            Real::new(&Link::new(source, shape).linker(linker).flags(&flags)).assert_kept(&told);
            if !has_two || shape != Shape::Library {
                continue;
            }
            if let Some(patchelf) = Patchelf::old(test) {
                let ended = real.run_after(|file| patchelf.must_edit(&["--set-rpath", &long_path()], file));
                assert!(!matches!(ended.code, OLD | NEW), "{told}: {}", patchelf.name);
            }
            if let Some(patchelf) = Patchelf::new(test) {
                let ended = patchelf.edit(&["--set-rpath", &long_path()], &real.copy("other"));
                assert_ne!(ended.code, 0, "{told}: {}", patchelf.name);
            }
        }
    }

    // gABI "Extended numbering": the number of program headers stands in the first section header. No loader reads
    // that.
    for machine in [Machine::X86_64, Machine::Ppc] {
        let object = Damage::new(&Spec::library(machine).runpath("$ORIGIN/old").build());
        let count = object.image.segments.len() as u64;
        let fields = [(object.header("e_phnum"), 0xffff), (object.section(0, "sh_info"), count)];
        let object = fields.into_iter().fold(object, |object, (field, value)| object.put(field, value));
        let file = tree.file("extended-numbering.so", &object.bytes);
        for mode in MODES {
            let before = Snapshot::of(&file);
            let ended = run(fix(NATIVE).args(mode).arg(&file));
            let names = ended.stderr.contains("extended-numbering.so") && ended.stderr.contains("e_phnum");
            assert!(ended.code == 2 && names, "{machine:?}: {}", ended.said());
            assert_eq!(Snapshot::of(&file), before, "{machine:?}");
        }
    }
}
