//! Where fat binaries lie: sections of every name, segments, files of every kind; and where the magic means nothing.

use super::{library, listed, of_elf, problems, row, told, told_of};
use crate::elfgen::damage::Damage;
use crate::elfgen::{Headers, Kind, Machine, Segments, Spec};
use crate::fatgen::{self, CONTAINER_MAGIC, Container, Entry, container};

const SECTIONS: [&str; 6] = [".nv_fatbin", "__nv_relfatbin", ".cask_resource", ".rodata", ".ldata", ".data"];

fn one(number: u32) -> Vec<u8> {
    container([Entry::cubin(number)]).build()
}

/// Finds section header `name`, the last of this name.
fn section(damage: &Damage, name: &str) -> usize {
    let is_named = |section| damage.image.section_name(section).is_some_and(|found| found == name.as_bytes());
    damage.image.sections.iter().rposition(is_named).unwrap_or_else(|| panic!("no section {name}"))
}

#[test]
fn every_section_is_read_in_files_of_every_kind() {
    let kinds = [
        ("library", Kind::Library),
        ("pie", Kind::Pie),
        ("exec", Kind::Exec),
        ("static", Kind::Static),
        ("static-pie", Kind::StaticPie),
        ("object", Kind::Relocatable),
    ];
    let spec = |kind| {
        let sections = SECTIONS.iter().zip([75, 80, 86, 87, 90, 100]);
        sections.fold(Spec::new(Machine::X86_64, kind), |spec, (name, number)| spec.gpu_code(name, &one(number)))
    };
    let told = told(kinds.map(|(name, kind)| (name, spec(kind).build())), &[]);
    told.run.assert_code(0, "sections");
    let mut wanted: Vec<String> = SECTIONS
        .iter()
        .zip([75, 80, 86, 87, 90, 100])
        .map(|(name, number)| format!("{name} sm_{number} cubin 1"))
        .collect();
    wanted.sort();
    for (name, _) in kinds {
        let mut found = listed(&told.files[name]);
        found.sort();
        assert_eq!(found, wanted, "{name}");
        assert!(problems(&told.files[name]).is_empty(), "{name}");
    }
}

/// Fat binaries are little-endian whatever the host is.
#[test]
fn hosts_of_every_class_and_order_are_read() {
    use Machine::{Aarch64, Aarch64Be, Arm, I386, Mips, Mips64, Ppc, Ppc64, Ppc64Le, Riscv64, S390x, Sparc64, Unknown};
    let machines = [Aarch64, Aarch64Be, Arm, I386, Mips, Mips64, Ppc, Ppc64, Ppc64Le, Riscv64, S390x, Sparc64, Unknown];
    for machine in machines {
        for kind in [Kind::Library, Kind::Relocatable, Kind::Static] {
            let image = Spec::new(machine, kind).gpu_code(".nv_fatbin", &row(&[one(87), one(90)], 8)).build();
            let found = of_elf(&image);
            assert_eq!(found.0, ["sm_87 cubin 1", "sm_90 cubin 1"], "{machine:?} {kind:?}");
            assert!(found.1.is_empty(), "{machine:?} {kind:?}: {:?}", found.1);
        }
    }
}

/// Without section headers, or with none that names what is loaded.
#[test]
fn segments_are_read_where_sections_tell_nothing() {
    for segments in [Segments::Separate, Segments::CodeFirst, Segments::Combined] {
        for kind in [Kind::Library, Kind::Exec, Kind::Static] {
            let spec = Spec::new(Machine::X86_64, kind).segments(segments).gpu_code(".nv_fatbin", &one(87));
            let spec = spec.gpu_code(".data", &one(90));
            let wanted = ["PT_LOAD sm_87 cubin 1", "PT_LOAD sm_90 cubin 1"];
            let bare = spec.clone().headers(Headers::None).build();
            assert_eq!(listed(&told_of(bare)), wanted, "{segments:?} {kind:?}");
            let sound = Damage::new(&spec.build());
            let only_null = sound.clone().put(sound.header("e_shnum"), 1).put(sound.header("e_shstrndx"), 0);
            assert_eq!(listed(&told_of(only_null.bytes)), wanted, "{segments:?} {kind:?}");
        }
    }
    // An object file has no segments to look at.
    let spec = Spec::new(Machine::X86_64, Kind::Relocatable);
    let mut object = Damage::new(&spec.build());
    object.write(object.section(section(&object, ".text"), "sh_flags"), 0);
    assert!(listed(&told_of(object.bytes)).is_empty());
}

#[test]
fn what_is_not_loaded_is_not_listed() {
    let sound = Damage::new(&library(".nv_fatbin", &one(87)).build());
    let index = section(&sound, ".nv_fatbin");
    assert_eq!(of_elf(&sound.bytes).0.len(), 1);
    for (field, value) in [("sh_flags", 0), ("sh_type", 8), ("sh_size", 0)] {
        let changed = sound.clone().put(sound.section(index, field), value);
        assert_eq!(of_elf(&changed.bytes), (vec![], vec![]), "{field}");
    }
    for kind in [Kind::DebugFile, Kind::DebugFileKeepingSizes] {
        let image = Spec::new(Machine::X86_64, kind).gpu_code(".nv_fatbin", &one(87)).build();
        assert_eq!(of_elf(&image), (vec![], vec![]), "{kind:?}");
    }
}

#[test]
fn no_byte_is_counted_twice() {
    let spec = library(".nv_fatbin", &row(&[one(87), one(90)], 0)).gpu_code(".cask_resource", &one(120));
    let sound = Damage::new(&spec.build());
    let (first, second) = (section(&sound, ".nv_fatbin"), section(&sound, ".cask_resource"));
    let [start, size] = ["sh_offset", "sh_size"].map(|field| sound.get(sound.section(first, field)));
    let place = |from: u64, size: u64| {
        let fields = ["sh_offset", "sh_size"].map(|field| sound.section(second, field));
        sound.clone().put(fields[0], from).put(fields[1], size).bytes
    };
    let both = (vec!["sm_87 cubin 1".to_owned(), "sm_90 cubin 1".to_owned()], vec![]);
    // The same bytes, a part of them, and from the middle to behind the end, where the third container begins.
    assert_eq!(of_elf(&place(start, size)), both);
    assert_eq!(of_elf(&place(start, one(87).len() as u64)), both);
    assert_eq!(of_elf(&place(start + 8, 64)), both);
    let all = of_elf(&place(start + 8, size - 8 + one(120).len() as u64));
    assert_eq!(all, ([&both.0[..], &["sm_120 cubin 1".to_owned()]].concat(), vec![]));
}

/// A file that was cut has still what it has, and what was cut off is told.
#[test]
fn a_cut_file_is_read_to_its_end() {
    let spec = Spec::new(Machine::X86_64, Kind::Library).headers(Headers::BehindTable);
    let image = spec.gpu_code(".data", &row(&[one(87), one(90)], 0)).bss(0).build();
    let at = image.windows(4).rposition(|window| window == CONTAINER_MAGIC).unwrap();
    for (end, words) in [(at, ""), (at + 40, "payload_size"), (at + one(90).len() - 1, "payload_size")] {
        let (found, wrong) = of_elf(&image[..end]);
        assert_eq!(found, ["sm_87 cubin 1"], "{end}");
        assert_eq!(wrong.is_empty(), words.is_empty());
        assert!(wrong.iter().all(|problem| problem.contains(words)), "{wrong:?}");
    }
    assert_eq!(of_elf(&image).0, ["sm_87 cubin 1", "sm_90 cubin 1"]);
}

#[test]
fn a_fat_binary_by_itself_is_a_file() {
    let told = told([("one.fatbin", row(&[one(87), one(90)], 16)), ("other", b"\x50\xed\x55".to_vec())], &[]);
    told.run.assert_code(0, "a fat binary");
    assert_eq!(listed(&told.files["one.fatbin"]), ["(file) sm_87 cubin 1", "(file) sm_90 cubin 1"]);
    assert!(listed(&told.files["other"]).is_empty());
}

/// The four bytes, and what is wrong behind them.
fn false_containers() -> Vec<(&'static str, Vec<u8>)> {
    let right = container([Entry::cubin(87)]);
    let bytes = right.build();
    vec![
        ("magic", CONTAINER_MAGIC.to_vec()),
        ("magics", CONTAINER_MAGIC.repeat(9)),
        ("version", Container { version: 2, ..right.clone() }.build()),
        ("header_size", Container { header_size: 24, ..right.clone() }.build()),
        ("instruction", [&CONTAINER_MAGIC[..], b"\x0f\x84\x00\x01\x00\x00\x48\x8b\x07\xc3"].concat()),
        ("cut", bytes[..10].to_vec()),
    ]
}

/// As code compares with it, or as a program that writes fat binaries has it.
#[test]
fn a_magic_alone_is_no_container() {
    for (name, bytes) in false_containers() {
        for section in [".rodata", ".data", ".text.x", ".cask_resource"] {
            for offset in [0, 1, 3, 4, 8] {
                let bytes = [&vec![0; offset][..], &bytes].concat();
                assert_eq!(of_elf(&library(section, &bytes).build()), (vec![], vec![]), "{name} {section} {offset}");
            }
        }
    }
}

/// Where no container is to be expected one counts if all of it is right, and is no problem if not.
#[test]
fn in_code_and_at_odd_places_all_must_be_right() {
    let right = container([Entry::cubin(87), Entry::ptx(90)]);
    let wide = Container { payload_size: Some(1 << 20), ..right.clone() }.build();
    let entry = container([Entry::cubin(87), Entry { kind: 5, ..Entry::cubin(90) }]).build();
    for (section, offset, expected) in [
        (".text.x", 0, false),
        (".text.x", 4, false),
        (".rodata", 4, false),
        (".rodata", 1, false),
        (".rodata", 8, true),
    ] {
        let put = |bytes: &[u8]| of_elf(&library(section, &[&vec![0x90; offset][..], bytes].concat()).build());
        assert_eq!(put(&right.build()).0, ["sm_87 cubin 1", "compute_90 ptx 1"], "{section} {offset}");
        for bytes in [&wide, &entry] {
            let (found, wrong) = put(bytes);
            assert_eq!(!wrong.is_empty(), expected, "{section} {offset}: {wrong:?}");
            assert_eq!(!found.is_empty(), expected && bytes == &entry, "{section} {offset}: {found:?}");
        }
        // Behind a false one the next is still found.
        let (found, wrong) = put(&[&entry[..4], &[7; 4], &right.build()].concat());
        assert_eq!((found.len(), wrong.len()), (2, 0), "{section} {offset}");
    }
}

/// A host's record without the container that it is about: something was removed, or is where the reader does not look.
#[test]
fn records_of_containers_need_containers() {
    let records = [fatgen::wrapper(1, 0x1000), fatgen::wrapper(2, 0), fatgen::wrapper(1, 0x2000)].concat();
    let told = told(
        [
            ("with", library(".nv_fatbin", &one(87)).gpu_code(".nvFatBinSegment", &records).build()),
            ("without", library(".nvFatBinSegment", &records).build()),
            ("none", library(".nvFatBinSegment", &[0; 48]).build()),
        ],
        &[],
    );
    told.run.assert_code(1, "a record without a container");
    assert_eq!(problems(&told.files["without"]), [".nvFatBinSegment has 3 records, but there is no container"]);
    assert!(problems(&told.files["with"]).is_empty() && problems(&told.files["none"]).is_empty());
    assert_eq!(listed(&told.files["with"]), [".nv_fatbin sm_87 cubin 1"]);
}

#[test]
fn a_damaged_elf_file_is_an_error() {
    let sound = Damage::new(&library(".nv_fatbin", &one(87)).build());
    let cases = [
        ("good", sound.bytes.clone()),
        ("e_shoff", sound.clone().put(sound.header("e_shoff"), u64::MAX).bytes),
        ("e_shentsize", sound.clone().put(sound.header("e_shentsize"), 7).bytes),
        ("short", sound.bytes[..40].to_vec()),
    ];
    let told = told(cases, &[]);
    told.run.assert_code(2, "damaged files");
    for (name, file) in &told.files {
        assert_eq!(file.get("error").is_none(), name == "good", "{file}");
    }
    assert_eq!(listed(&told.files["good"]).len(), 1);
}
