//! Caches as ldconfig writes them, and every way to cut or spoil one.

#![allow(clippy::arithmetic_side_effects, reason = "the tests' own caches are small")]

use proptest::prelude::*;

use super::*;

/// Flags, hardware bits, name and path.
type Entry<'e> = (u32, u64, &'e str, &'e str);

const X86_64: u32 = 0x0303;
const ENTRIES: [Entry<'static>; 6] = [
    (X86_64, HWCAPS_EXTENSION, "libx.so", "/a/glibc-hwcaps/x86-64-v2/libx.so"),
    (X86_64, HWCAPS_EXTENSION | 1, "libx.so", "/a/glibc-hwcaps/x86-64-v3/libx.so"),
    (X86_64, 1 << 50, "libx.so", "/a/haswell/libx.so"),
    (X86_64, 0, "libx.so", "/a/libx.so"),
    (3, 0, "libx.so", "/a32/libx.so"),
    (X86_64, 0, "liba.so", "/a/liba.so"),
];

fn cache(entries: &[Entry<'_>], is_big_endian: bool) -> Vec<u8> {
    let word = |value: usize| -> [u8; 4] {
        let value = u32::try_from(value).unwrap();
        if is_big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
    };
    let start = HEADER + entries.len() * ENTRY;
    let mut strings: Vec<u8> = Vec::new();
    let mut place = |text: &str| {
        let at = start + strings.len();
        strings.extend(text.as_bytes());
        strings.push(0);
        at
    };
    let folders = ["x86-64-v2", "x86-64-v3"].map(&mut place);
    let entries: Vec<_> =
        entries.iter().map(|(flags, bits, name, path)| (flags, bits, place(name), place(path))).collect();
    strings.resize(strings.len().next_multiple_of(4), 0);
    let extension = start + strings.len();
    let mut bytes = MAGIC.to_vec();
    for value in [entries.len(), strings.len(), 2, extension, 0, 0, 0] {
        bytes.extend(word(value));
    }
    for (flags, bits, name, path) in entries {
        for value in [usize::try_from(*flags).unwrap(), name, path, 0] {
            bytes.extend(word(value));
        }
        bytes.extend(if is_big_endian { bits.to_be_bytes() } else { bits.to_le_bytes() });
    }
    bytes.extend(strings);
    // Magic, one section: tag, flags, offset, size; then the names' offsets.
    bytes.extend(if is_big_endian { EXTENSION_MAGIC.to_be_bytes() } else { EXTENSION_MAGIC.to_le_bytes() });
    for value in [1, 1, 0, extension + 24, 8, folders[0], folders[1]] {
        bytes.extend(word(value));
    }
    bytes
}

fn wanted(flags: u32, hwcaps: &[&str], legacy: u64) -> AcceptedEntries {
    AcceptedEntries { flags, hwcaps: hwcaps.iter().map(|name| BString::from(*name)).collect(), legacy }
}

fn found(bytes: &[u8], name: &str, wanted: &AcceptedEntries) -> Option<String> {
    Some(Cache::parse(bytes.to_vec(), false)?.lookup(name.into(), wanted)?.to_string())
}

#[test]
fn the_best_usable_entry_answers() {
    let bytes = cache(&ENTRIES, false);
    let x = |wanted: AcceptedEntries| found(&bytes, "libx.so", &wanted);
    assert_eq!(x(wanted(X86_64, &["x86-64-v3", "x86-64-v2"], 0)).unwrap(), "/a/glibc-hwcaps/x86-64-v3/libx.so");
    assert_eq!(x(wanted(X86_64, &["x86-64-v2"], 0)).unwrap(), "/a/glibc-hwcaps/x86-64-v2/libx.so");
    assert_eq!(x(wanted(X86_64, &[], 1 << 50)).unwrap(), "/a/haswell/libx.so");
    assert_eq!(x(wanted(X86_64, &[], 1 << 49)).unwrap(), "/a/libx.so");
    assert_eq!(x(wanted(3, &["x86-64-v3"], 0)).unwrap(), "/a32/libx.so");
    assert_eq!(x(wanted(0x0a03, &[], 0)), None);
    assert_eq!(found(&bytes, "liba.so", &wanted(X86_64, &[], 0)).unwrap(), "/a/liba.so");
    assert_eq!(found(&bytes, "libb.so", &wanted(X86_64, &[], 0)), None);
}

#[test]
fn older_files_have_another_table_in_front() {
    let mut bytes = OLD_MAGIC.to_vec();
    bytes.extend([0; 37]);
    bytes.extend(cache(&ENTRIES, false));
    assert_eq!(found(&bytes, "liba.so", &wanted(X86_64, &[], 0)).unwrap(), "/a/liba.so");
    assert_eq!(found(&bytes[..48], "liba.so", &wanted(X86_64, &[], 0)), None);
    let big = Cache::parse(cache(&ENTRIES, true), true).unwrap();
    assert_eq!(big.lookup("libx.so".into(), &wanted(3, &[], 0)).unwrap(), "/a32/libx.so");
}

/// A file of holes says nothing, however long it is; strings that lie in each other are kept once.
#[test]
fn what_is_kept_is_what_it_says() {
    let mut sparse = MAGIC.to_vec();
    sparse.extend([0xff; 4]);
    sparse.resize(1 << 20, 0);
    let kept = Cache::parse(sparse, false).unwrap();
    assert_eq!((kept.entries.len(), kept.strings.bytes.len()), (1, MAGIC.len() + 5));
    let mut long = cache(&ENTRIES, false);
    let len = long.len();
    long.resize(1 << 20, 7);
    let kept = Cache::parse(long, false).unwrap();
    assert_eq!(kept.entries.len(), ENTRIES.len());
    assert!(kept.strings.bytes.len() < len, "{}", kept.strings.bytes.len());
    // Many entries whose paths are the ends of one.
    let path = format!("/{}", "a/".repeat(2000));
    let mut shared = cache(&[(X86_64, 0, "liba.so", path.as_str()); 50], false);
    for index in 0..50_usize {
        let at = HEADER + index * ENTRY + 8;
        let path = u32::from_le_bytes(shared[at..at + 4].try_into().unwrap());
        // Each has a kind of its own, and its path begins one byte later in the first one.
        let first = u32::from_le_bytes(shared[HEADER + 8..HEADER + 12].try_into().unwrap());
        assert!(path >= first);
        shared[at..at + 4].copy_from_slice(&(first + u32::try_from(index).unwrap()).to_le_bytes());
        shared[at - 8..at - 4].copy_from_slice(&u32::try_from(index).unwrap().to_le_bytes());
    }
    let kept = Cache::parse(shared, false).unwrap();
    assert_eq!(kept.entries.len(), 50);
    assert!(kept.strings.bytes.len() < 4002 + 50 * 8 + 8, "{}", kept.strings.bytes.len());
    assert_eq!(kept.lookup("liba.so".into(), &wanted(49, &[], 0)).unwrap(), &path[49..]);
}

/// A lookup answers from the file or not at all.
fn assert_harmless(bytes: &[u8]) {
    let Some(cache) = Cache::parse(bytes.to_vec(), false) else { return };
    assert!(cache.entries.len() <= bytes.len() / ENTRY);
    for name in ["libx.so", "liba.so", "", "x"] {
        let wanted = wanted(X86_64, &["x86-64-v3", "x86-64-v2"], u64::MAX >> 2);
        if let Some(path) = cache.lookup(name.into(), &wanted) {
            assert!(bytes.contains_str(path));
        }
    }
}

#[test]
fn a_cache_may_end_anywhere() {
    let bytes = cache(&ENTRIES, false);
    for len in 0..bytes.len() {
        assert_harmless(&bytes[..len]);
    }
}

#[test]
fn every_word_may_be_wrong() {
    let bytes = cache(&ENTRIES, false);
    let len = u32::try_from(bytes.len()).unwrap();
    for at in (MAGIC.len()..bytes.len() - 3).step_by(4) {
        for value in [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX, len, len - 1, len - 4, 48] {
            let mut bytes = bytes.clone();
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            assert_harmless(&bytes);
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_behind_the_magic_are_harmless(rest in proptest::collection::vec(any::<u8>(), 0..512)) {
        assert_harmless(&[MAGIC, &rest].concat());
    }

    #[test]
    fn any_change_is_harmless(changes in proptest::collection::vec((20_usize..400, any::<u8>()), 1..8)) {
        let mut bytes = cache(&ENTRIES, false);
        for (at, value) in changes {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        assert_harmless(&bytes);
    }
}
