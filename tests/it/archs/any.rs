//! Any bytes: reading them ends, soon, and tells no more than there is room for.

use std::time::{Duration, Instant};

use bstr::BStr;
use cuda_runpath::cuda;
use cuda_runpath::elf::contents::{Contents, Part};
use proptest::prelude::*;

use super::library;
use crate::fatgen::{
    self, CONTAINER_MAGIC, Container, Entry, ZSTD, archive, container, filler, frame, noted_cubin, ptx,
};
use crate::replay::fatbin::assert_plausible;

fn read(bytes: &[u8]) {
    assert_plausible(&cuda::of_fatbin(bytes), bytes.len());
    if let Ok(Some(code)) = cuda::of_bytes(bytes) {
        assert_plausible(&code, bytes.len());
    }
    for section in [".nv_fatbin", ".rodata", ".text.x", ".data"] {
        let image = library(section, bytes).build();
        assert_plausible(&cuda::of_contents(&Contents::parse(&image).unwrap()), image.len());
    }
}

fn entries() -> impl Strategy<Value = Entry> {
    let kinds = prop_oneof![Just(1_u16), Just(2), Just(8), any::<u16>()];
    let flags = prop_oneof![Just(0x11_u64), Just(0x8011), Just(0x2011), Just(0x10_0011), any::<u64>()];
    let sizes = prop_oneof![Just(None), (0_u64..600).prop_map(Some), any::<u64>().prop_map(Some)];
    let headers = prop_oneof![Just(64_u32), 0_u32..300];
    let stored = proptest::collection::vec(any::<u8>(), 0..200);
    (kinds, flags, sizes, headers, stored, 0_u32..130, 0_u32..300).prop_map(
        |(kind, flags, size, header_size, stored, architecture, compressed)| Entry {
            flags,
            size,
            header_size,
            stored,
            compressed,
            unpacked: u64::from(compressed) * 3,
            ..Entry::new(kind, architecture)
        },
    )
}

fn sample() -> Vec<u8> {
    let parts = [Entry::cubin(75), Entry::ptx(90).raw(&filler(40))];
    let all = [Entry::cubin(87), Entry::joint(&parts, &filler(60)), Entry::ptx(120).packed(ZSTD, &filler(30), 64)];
    [container(all).build(), vec![0; 24], container([Entry::lto_ir(80)]).build()].concat()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        read(&[&CONTAINER_MAGIC[..], &[1, 0, 16, 0], &bytes].concat());
        read(&bytes);
    }

    #[test]
    fn any_entries_are_read(list in proptest::collection::vec(entries(), 0..6), claimed in proptest::option::of(0_u64..3000)) {
        read(&Container { payload_size: claimed, ..container(list) }.build());
    }

    #[test]
    fn any_damage_is_read(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), cut in any::<prop::sample::Index>()) {
        let mut bytes = sample();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        read(&bytes);
        read(&bytes[..cut.index(bytes.len())]);
    }
}

/// Every byte of a sound one to values that break careless readers.
#[test]
fn every_byte_may_be_wrong() {
    let sound = sample();
    assert!(cuda::of_fatbin(&sound).places[0].problems.is_empty());
    for at in 0..sound.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff, sound[at].wrapping_add(1), sound[at].wrapping_sub(1)] {
            let mut bytes = sound.clone();
            bytes[at] = value;
            assert_plausible(&cuda::of_fatbin(&bytes), bytes.len());
        }
    }
}

/// The same of code outside of fat binaries, among other data and as files.
#[test]
fn every_byte_of_other_code_may_be_wrong() {
    let cubin = noted_cubin(100, "sm_100a");
    let frame = frame(&cubin, 100, cubin.len() as u64);
    let ptx = ptx("sm_90a");
    let archive = archive(&[("k.cubin", &cubin), ("k.zst", &frame), ("k.ptx", &ptx)]);
    for sound in [cubin, frame, ptx, archive] {
        for at in 0..sound.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff, sound[at].wrapping_add(1), sound[at].wrapping_sub(1)] {
                let mut bytes = sound.clone();
                bytes[at] = value;
                let part = Part::new(BStr::new(".rodata"), &bytes, 0, false);
                assert_plausible(&cuda::of_contents(&Contents { parts: vec![part] }), bytes.len());
                if let Ok(Some(code)) = cuda::of_bytes(&bytes) {
                    assert_plausible(&code, bytes.len());
                }
            }
            if let Ok(Some(code)) = cuda::of_bytes(&sound[..at]) {
                assert_plausible(&code, at);
            }
        }
    }
}

/// Time that a MiB may take: a hundredth of it where the program is optimised.
const SOON: Duration = Duration::from_secs(10);

fn assert_soon(name: &str, bytes: &[u8]) {
    for section in [".nv_fatbin", ".rodata", ".text.x"] {
        let image = library(section, bytes).build();
        let start = Instant::now();
        let code = cuda::of_contents(&Contents::parse(&image).unwrap());
        let taken = start.elapsed();
        assert!(taken < SOON, "{name} in {section} takes {taken:?}");
        assert_plausible(&code, image.len());
    }
}

/// What a careless reader needs the square of the size for: a day of it, or a minute.
#[test]
fn a_mebibyte_takes_no_time() {
    const SIZE: usize = 1 << 20;
    let head = |payload: u64| Container { payload_size: Some(payload), ..container([]) }.build();
    assert_soon("magics", &CONTAINER_MAGIC.repeat(SIZE / 4));
    assert_soon("empty containers", &head(0).repeat(SIZE / 16));
    assert_soon("endless containers", &head(1 << 40).repeat(SIZE / 16));
    assert_soon("odd magics", &[&CONTAINER_MAGIC[..], &[1]].concat().repeat(SIZE / 5));
    assert_soon("entries", &container(vec![Entry::cubin(87).raw(&[]); SIZE / 64]).build());
    let chain: Vec<u8> = std::iter::repeat_n(Entry::cubin(87).raw(&[]).build(), SIZE / 128).flatten().collect();
    let chain = [&chain[..], &[0xee; 64]].concat();
    // At odd places, all with an entry that leads to the same long row, whose end is no entry.
    let mut steps = vec![0; 4];
    let count = SIZE / 2 / 80;
    for index in 0..count {
        let left = ((count - index - 1) * 80 + chain.len()) as u64;
        steps.extend(head(64 + left));
        let jump = Entry { size: Some(left - chain.len() as u64), ..Entry::cubin(75).raw(&[]) };
        steps.extend(jump.build());
    }
    assert_soon("false containers with one row", &[steps, chain].concat());
    // The same with one table of records.
    let parts = vec![Entry::cubin(75).raw(&filler(8)); SIZE / 2 / 64];
    let mut joint = Entry::joint(&parts, &filler(8));
    joint.tail.truncate(joint.tail.len() - 60);
    assert_soon("false tables", &[vec![0; 4], container([joint]).build().repeat(2)].concat());
}

/// The same outside of fat binaries: 100,000 false magics of each kind, and what leads to the same bytes again and again.
#[test]
fn a_mebibyte_of_false_code_takes_no_time() {
    const SIZE: usize = 1 << 20;
    let zstd = &[0x28, 0xb5, 0x2f, 0xfd][..];
    assert_soon("ELF magics", &b"\x7fELF\x02\x01\x01\x33\x07".repeat(SIZE / 9));
    assert_soon("frame magics", &zstd.repeat(SIZE / 4));
    assert_soon(
        "frames of one byte again and again",
        &[zstd, &[0, 0x38, 0xfb, 0xff, 0x1f, 7]].concat().repeat(SIZE / 10),
    );
    assert_soon("frames of noise", &[zstd, &[0, 0x38, 0xfc, 0xff, 0x0f, 7]].concat().repeat(SIZE / 10));
    assert_soon("PTX", &b".version 9.0\n.target sm_87\n".repeat(SIZE / 27));
    assert_soon("PTX without a target", &b".version 9.0\n/*".repeat(SIZE / 15));
    assert_soon("comments", &b"/*.version 9.0//".repeat(SIZE / 16));
    // Headers of cubins in a row, all with the same long table of sections.
    let mut heads = Vec::new();
    let count = SIZE / 2 / 64;
    for index in 0..count {
        let mut head = fatgen::cubin(&[])[..64].to_vec();
        head[40..48].copy_from_slice(&(((count - index) * 64) as u64).to_le_bytes());
        head[60..62].copy_from_slice(&((SIZE / 2 / 64) as u16).to_le_bytes());
        heads.extend(head);
    }
    assert_soon("cubins with one table", &[heads, vec![0xff; SIZE / 2]].concat());
    // Frames, each with a cubin's header in its first block, and a second that leads to one long row of empty blocks.
    let cubin = fatgen::cubin(&[(".text.k", 6, 8)]);
    let mut frames = Vec::new();
    let (size, row) = (6 + 3 + cubin.len() + 3, vec![0_u8; SIZE / 2]);
    let count = SIZE / 2 / size;
    for index in 0..count {
        let jump = ((count - index - 1) * size).min((1 << 17) - 1);
        let blocks = [cubin.len(), jump].map(|size| ((size as u32) << 3).to_le_bytes());
        frames.extend([zstd, &[0, 0x38], &blocks[0][..3], &cubin, &blocks[1][..3]].concat());
    }
    assert_soon("frames with one row", &[frames, row].concat());
    let members: Vec<(&str, &[u8])> = vec![("k", b"".as_slice()); SIZE / 60];
    let members = archive(&members);
    let start = Instant::now();
    assert!(cuda::of_bytes(&members).unwrap().is_some());
    assert!(start.elapsed() < SOON, "members take {:?}", start.elapsed());
}

/// Found anyway: what the false ones in front of it made the reader give up is told.
#[test]
fn giving_up_is_a_problem() {
    let chain: Vec<u8> = std::iter::repeat_n(Entry::cubin(87).raw(&[]).build(), 200).flatten().collect();
    let mut bytes = vec![0; 4];
    for index in 0..200_usize {
        let left = ((199 - index) * 80 + chain.len() + 64) as u64;
        bytes.extend(Container { payload_size: Some(64 + left), ..container([]) }.build());
        bytes.extend(Entry { size: Some(((199 - index) * 80) as u64), ..Entry::cubin(75).raw(&[]) }.build());
    }
    let bytes = [bytes, chain, vec![0xee; 64]].concat();
    let (_, wrong) = super::of_elf(&library(".rodata", &bytes).build());
    assert!(wrong[0].contains("too many false containers"), "{wrong:?}");
}
