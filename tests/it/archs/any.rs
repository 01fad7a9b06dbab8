//! Any bytes: reading them ends, soon, and tells no more than there is room for.

use std::time::{Duration, Instant};

use cuda_runpath::cuda;
use cuda_runpath::elf::contents::Contents;
use proptest::prelude::*;

use super::library;
use crate::fatgen::{CONTAINER_MAGIC, Container, Entry, ZSTD, container, filler};
use crate::replay::fatbin::assert_plausible;

fn read(bytes: &[u8]) {
    assert_plausible(&cuda::of_fatbin(bytes), bytes.len());
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
