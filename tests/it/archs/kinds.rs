//! What an entry can be, and how containers lie in a row.

use cuda_runpath::cuda::{self, Capability, CodeKind};

use super::{library, listed, of, of_elf, problems, row, told_of};
use crate::fatgen::{self, DEBUG, EXACT, Entry, FAMILY, LINUX, LTO, LZ4, PTX, WIDE, ZSTD, container, filler};

const NOTHING_WRONG: Vec<String> = Vec::new();

#[test]
fn every_kind_is_listed_with_its_size() {
    let joint = Entry::joint(&[Entry::cubin(75).raw(&filler(300)), Entry::ptx(80).raw(&filler(100))], &filler(41));
    let entries = [
        Entry::cubin(87).raw(&filler(1000)),
        Entry::ptx(90).packed(LZ4, &filler(50), 777),
        Entry::lto_ir(80).packed(ZSTD, &filler(9), 99),
        joint,
    ];
    let file = told_of(container(entries).build());
    assert_eq!(
        listed(&file),
        [
            "(file) sm_75 cubin 1",
            "(file) compute_80 ptx 1",
            "(file) compute_80 lto-ir 1",
            "(file) sm_87 cubin 1",
            "(file) compute_90 ptx 1",
        ]
    );
    let sizes = |row: usize| (file["code"][row]["bytes"].as_u64(), file["code"][row]["unpacked"].as_u64());
    // The 48 stored bytes of the joint entry, as 300 is to 100; what is stored is filled up to 8 bytes.
    assert_eq!([sizes(0), sizes(1)], [(Some(36), Some(300)), (Some(12), Some(100))]);
    assert_eq!([sizes(2), sizes(3), sizes(4)], [(Some(16), Some(99)), (Some(1000), Some(1000)), (Some(56), Some(777))]);
    assert_eq!(file["bytes"], 36 + 12 + 16 + 1000 + 56);
    assert_eq!((&file["containers"], &file["empty"]), (&1.into(), &0.into()));
    assert!(problems(&file).is_empty());
}

/// Each record is as long as the entry's header would be: 64 bytes, with options or attributes, with the name of its source.
#[test]
fn records_of_joint_entries_have_any_length() {
    let parts = [
        Entry::cubin(75),
        Entry::cubin(80).source("k.cu"),
        Entry::cubin(100).options("attributes of a newer architecture"),
        Entry::ptx(75),
        Entry::new(PTX, 87).options("--compile-only  ").flags(DEBUG),
        Entry::new(PTX, 90).source("kernel.cu").options(" -g --dont-merge-basicblocks --return-at-end "),
        Entry::cubin(121),
    ];
    let joint = Entry::joint(&parts, &filler(100));
    let lengths = [64, 72, 112, 80, 96, 136, 64];
    assert_eq!(joint.header_size, 72 + lengths.iter().sum::<u32>());
    let (found, wrong) = of(&container([joint, Entry::cubin(120)]).build());
    let wanted = ["sm_75", "compute_75", "sm_80", "compute_87", "compute_90", "sm_100", "sm_120", "sm_121"];
    assert_eq!(found.iter().map(|line| line.split(' ').next().unwrap()).collect::<Vec<_>>(), wanted);
    assert_eq!(wrong, NOTHING_WRONG);
}

/// What the parts of a joint entry take adds up to what is stored, however it divides.
#[test]
fn the_parts_of_a_joint_entry_share_what_is_stored() {
    for parts in 1..=9_u32 {
        for stored in [1, 7, 8, 1000] {
            let list: Vec<Entry> =
                (0..parts).map(|index| Entry::cubin(75 + index).raw(&filler(8 + 5 * index as usize))).collect();
            let bytes = container([Entry::joint(&list, &filler(stored))]).build();
            let total = cuda::of_fatbin(&bytes).total();
            assert_eq!(total.len(), parts as usize);
            let sum: u64 = total.values().map(|tally| tally.bytes).sum();
            assert_eq!(sum, stored.next_multiple_of(8) as u64, "{parts} parts");
            let unpacked: u64 = total.values().map(|tally| tally.unpacked).sum();
            assert_eq!(unpacked, list.iter().map(|entry| entry.stored.len() as u64).sum::<u64>());
        }
    }
}

#[test]
fn flags_tell_variants_and_packing_and_nothing_else() {
    for (flags, name) in [
        (0, "sm_100"),
        (WIDE, "sm_100"),
        (WIDE | DEBUG, "sm_100"),
        (LINUX, "sm_100"),
        (LTO, "sm_100"),
        (EXACT, "sm_100a"),
        (FAMILY, "sm_100f"),
        (EXACT | FAMILY, "sm_100a"),
        // What nvcc 13 sets from sm_100 on.
        (0x100_0011, "sm_100"),
        (1 << 63 | 1 << 31 | 0x40, "sm_100"),
        (!(LZ4 | ZSTD | EXACT | FAMILY), "sm_100"),
    ] {
        let entry = Entry { flags, ..Entry::cubin(100) };
        assert_eq!(of(&container([entry]).build()), (vec![format!("{name} cubin 1")], NOTHING_WRONG), "{flags:#x}");
    }
    for (flags, unpacked) in [(0, 48), (LZ4, 500), (ZSTD, 500), (LZ4 | ZSTD, 500)] {
        let entry = Entry::cubin(87).packed(flags, &filler(48), 500);
        let code = cuda::of_fatbin(&container([entry]).build());
        let tally = code.total().into_values().next().unwrap();
        assert_eq!((tally.bytes, tally.unpacked), (48, unpacked), "{flags:#x}");
    }
}

#[test]
fn every_variant_has_its_name_for_every_kind() {
    for (kind, name) in [(fatgen::CUBIN, "sm"), (PTX, "compute"), (fatgen::LTO_IR, "compute")] {
        for (flags, suffix) in [(0, ""), (EXACT, "a"), (FAMILY, "f")] {
            let (found, wrong) = of(&container([Entry::new(kind, 121).flags(flags)]).build());
            assert!(found[0].starts_with(&format!("{name}_121{suffix} ")), "{found:?}");
            assert_eq!(wrong, NOTHING_WRONG);
        }
    }
}

/// What stands behind the fixed part of a header is not read: options of ptxas, attributes of newer architectures.
#[test]
fn headers_have_any_size() {
    for size in (64..=144).step_by(8).chain([65, 71, 256, 4096, 60_000]) {
        let entries = [Entry::cubin(87).header_size(size), Entry::new(PTX, 90).header_size(size), Entry::cubin(120)];
        let (found, wrong) = of(&container(entries).build());
        assert_eq!(found, ["sm_87 cubin 1", "compute_90 ptx 1", "sm_120 cubin 1"], "{size}");
        assert_eq!(wrong, NOTHING_WRONG);
    }
}

#[test]
fn containers_may_have_zeros_between_them() {
    let containers: Vec<Vec<u8>> = [75, 80, 87, 90].map(|number| container([Entry::cubin(number)]).build()).into();
    let wanted = vec!["sm_75 cubin 1", "sm_80 cubin 1", "sm_87 cubin 1", "sm_90 cubin 1"];
    for gap in [0, 8, 16, 24, 600, 4096] {
        for section in [".nv_fatbin", ".rodata"] {
            let bytes = [vec![0; gap], row(&containers, gap), vec![0; gap]].concat();
            let image = library(section, &bytes).build();
            let (found, wrong) = of_elf(&image);
            assert_eq!((found.iter().map(String::as_str).collect(), wrong), (wanted.clone(), NOTHING_WRONG), "{gap}");
        }
        let (found, wrong) = of(&row(&containers, gap));
        assert_eq!((found.len(), wrong), (4, NOTHING_WRONG), "{gap}");
    }
}

#[test]
fn a_payload_may_end_in_zeros() {
    for zeros in [0, 1, 8, 63] {
        let first = container([Entry::cubin(87)]).padded(zeros).build();
        let bytes =
            [&first[..], &vec![0; first.len().next_multiple_of(8) - first.len()], &container([Entry::ptx(90)]).build()];
        assert_eq!(of(&bytes.concat()), (vec!["sm_87 cubin 1".into(), "compute_90 ptx 1".into()], NOTHING_WRONG));
    }
}

#[test]
fn a_container_may_be_empty() {
    let (empty, full) = (container([]).build(), container([Entry::cubin(87)]).build());
    let file = told_of(row(&[empty.clone(), full, empty.clone()], 8));
    assert_eq!((&file["containers"], &file["empty"]), (&3.into(), &2.into()));
    assert_eq!((listed(&file), problems(&file).len()), (vec!["(file) sm_87 cubin 1".to_owned()], 0));
    let file = told_of(library(".nv_fatbin", &empty).build());
    assert_eq!((&file["containers"], &file["empty"], &file["bytes"]), (&1.into(), &1.into(), &0.into()));
    assert!(listed(&file).is_empty() && problems(&file).is_empty());
}

/// Which containers have code for a GPU is counted container by container.
#[test]
fn containers_are_told_apart() {
    let of_number = |number| container([Entry::cubin(number)]).build();
    let both = container([Entry::cubin(75), Entry::ptx(75), Entry::cubin(90)]).build();
    let bytes = row(&[of_number(80), of_number(80), of_number(87), both, container([]).build()], 0);
    let code = cuda::of_fatbin(&bytes);
    for (gpu, good) in [("8.7", 2), ("8.6", 3), ("9.0", 1), ("7.5", 1), ("7.0", 0), ("12.0", 1)] {
        assert_eq!(code.containers_for(gpu.parse().unwrap()), (4, good), "{gpu}");
    }
    assert!(code.real().any(|code| code.kind == CodeKind::Ptx));
    assert_eq!(code.newest_ptx(), "7.5".parse::<Capability>().ok());
}
