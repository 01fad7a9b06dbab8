//! Fat binaries that are not whole: each is named, none passes for sound, and what is known of it is still told.

use std::collections::BTreeMap;

use super::{library, listed, of, problems, told};
use crate::fatgen::{Container, Entry, JOINT, LZ4, ZSTD, container, filler};

/// A name, the bytes, and words of the problem that must be told.
type Case = (String, Vec<u8>, &'static str);

/// Three entries, the middle one changed.
fn with(change: impl FnOnce(&mut Entry)) -> Vec<u8> {
    let mut middle = Entry::cubin(87);
    change(&mut middle);
    container([Entry::cubin(75), middle, Entry::ptx(90)]).build()
}

fn containers() -> Vec<Case> {
    let whole = container([Entry::cubin(87), Entry::ptx(90)]);
    let len = whole.payload.len() as u64;
    let mut cases = Vec::new();
    let mut put = |name: String, changed: Container, words| cases.push((name, changed.build(), words));
    for size in [len + 1, len + 8, 1 << 32, 1 << 63, u64::MAX, u64::MAX - 15] {
        let changed = Container { payload_size: Some(size), ..whole.clone() };
        put(format!("payload-size-{size:x}"), changed, "payload_size");
    }
    put("payload-size-0".into(), Container { payload_size: Some(0), ..whole.clone() }, "in no container");
    put("payload-size-1".into(), Container { payload_size: Some(1), ..whole.clone() }, "the rest of the payload");
    put("payload-size-less".into(), Container { payload_size: Some(len - 1), ..whole.clone() }, "size at");
    put("payload-size-one".into(), Container { payload_size: Some(112), ..whole.clone() }, "in no container");
    for version in [0, 2, 0x101, u16::MAX] {
        put(format!("version-{version}"), Container { version, ..whole.clone() }, "has version");
    }
    for header_size in [0, 1, 15, 17, 24, u16::MAX] {
        put(format!("header-size-{header_size}"), Container { header_size, ..whole.clone() }, "and header_size");
    }
    put("padding-of-64".into(), whole.clone().padded(64), "version 0x0");
    let unlike = Container { payload: [whole.payload.clone(), vec![0, 0, 1]].concat(), ..whole.clone() };
    put("padding-not-zero".into(), unlike, "the rest of the payload");
    cases
}

/// Behind a sound container, where the first four bytes do not say what the file is.
fn rows() -> Vec<Case> {
    let whole = container([Entry::cubin(87)]);
    let behind = |bytes: &[u8]| [&whole.build()[..], bytes].concat();
    let other = Container { magic: [0x50, 0xed, 0x55, 0xbb], ..whole.clone() }.build();
    let wide = Container { payload_size: Some(1 << 20), ..whole.clone() }.build();
    let second = Container { version: 2, ..whole.clone() }.build();
    let mut cases = vec![
        ("second-magic".into(), behind(&other), "in no container"),
        ("second-wide".into(), behind(&wide), "payload_size"),
        ("text-behind".into(), behind(b"some text"), "in no container"),
        ("text-behind-zeros".into(), behind(&[&[0; 600][..], b"x"].concat()), "in no container"),
        // At an odd place nothing else is to be expected than a container either.
        ("odd-version".into(), behind(&[&[0; 3][..], &second].concat()), "has version 2"),
        ("odd-kind".into(), behind(&[&[0; 3][..], &with(|entry| entry.kind = 3)].concat()), "kind 0x3"),
    ];
    for end in [4, 5, 8, 15] {
        cases.push((format!("cut-to-{end}"), behind(&whole.build()[..end]), "the rest of the section"));
    }
    for end in [17, 40, 79, 80, 81, 127] {
        cases.push((format!("cut-to-{end}"), behind(&whole.build()[..end]), "payload_size"));
    }
    cases
}

fn entries() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for kind in [0, 3, 4, 7, 9, 0x10, 0x21, 0xff, 0x101, 0x102, 0x200, u16::MAX] {
        cases.push((format!("kind-{kind:x}"), with(|entry| entry.kind = kind), "has kind"));
    }
    for version in [0, 1, 0x100, 0x102, 0x201, u16::MAX] {
        cases.push((format!("version-{version:x}"), with(|entry| entry.version = version), "has version"));
    }
    for number in [0, 1, 9, 1000, 1 << 16, 1 << 31, u32::MAX] {
        cases.push((format!("number-{number}"), with(|entry| entry.architecture = number), "has architecture"));
    }
    // The header's end is where the stored bytes begin.
    for size in [0, 1, 63, 0x7fff_ffff, u32::MAX, 4096] {
        let mut bytes = with(|_| ());
        bytes[16 + 112 + 4..][..4].copy_from_slice(&size.to_le_bytes());
        cases.push((format!("header-size-{size:x}"), bytes, "header_size"));
    }
    let rest = 48 + 128;
    for size in [rest + 1, rest + 8, 1 << 32, 1 << 63, u64::MAX, u64::MAX - 63] {
        cases.push((format!("size-{size:x}"), with(|entry| entry.size = Some(size)), "size at"));
    }
    for size in [0, 1, 8, 47, 49] {
        cases.push((format!("size-{size}"), with(|entry| entry.size = Some(size)), "has version"));
    }
    // The next entry is taken for a part of this one, and half of it for the next.
    cases.push(("size-into-next".into(), with(|entry| entry.size = Some(48 + 64)), "has version"));
    for flag in [LZ4, ZSTD] {
        for used in [0, 49, 1 << 16, u32::MAX] {
            let change = |entry: &mut Entry| (entry.flags, entry.compressed) = (entry.flags | flag, used);
            cases.push((format!("compressed-{flag:x}-{used:x}"), with(change), "compressed_size"));
        }
    }
    cases
}

/// A joint entry with one of its words changed: offset in the entry, bytes, problem.
fn joint() -> Vec<Case> {
    let parts = [
        Entry::cubin(75).raw(&filler(80)),
        Entry::cubin(100).options("attributes").raw(&filler(64)),
        Entry::ptx(90).raw(&filler(40)),
    ];
    let whole = container([Entry::cubin(120), Entry::joint(&parts, &filler(100)), Entry::lto_ir(80)]).build();
    let start = 16 + 112;
    assert_eq!(whole[start..start + 2], JOINT.to_le_bytes());
    let (second, third, end) = (72 + 64, 72 + 64 + 88, 72 + 64 + 88 + 80);
    assert_eq!(whole[start + 4..][..4], (end as u32).to_le_bytes());
    assert_eq!(of(&whole).1, Vec::<String>::new());
    let mut cases: Vec<Case> = Vec::new();
    let mut put = |name: &str, at: usize, value: &[u8], words: &'static str| {
        let mut bytes = whole.clone();
        bytes[start + at..][..value.len()].copy_from_slice(value);
        cases.push((format!("joint-{name}-{value:x?}").replace([' ', ',', '[', ']'], ""), bytes, words));
    };
    for count in [0_u32, 1, 2, 4, 5, 1 << 26, 1 << 31, u32::MAX] {
        put("count", 64, &count.to_le_bytes(), "the number of records");
    }
    let table = end as u32 - 64;
    for size in [0_u32, 1, 7, table + 1, table + 64, 1 << 31, u32::MAX] {
        put("table", 68, &size.to_le_bytes(), "the size of the table");
    }
    put("table", 68, &8_u32.to_le_bytes(), "the number of records");
    put("table", 68, &72_u32.to_le_bytes(), "the number of records");
    for size in [9_u32, 71, 73, table - 1, table - 8] {
        put("table", 68, &size.to_le_bytes(), "the rest of the table");
    }
    for size in [64_u32, 71, 72, third as u32, end as u32 - 1] {
        put("header", 4, &size.to_le_bytes(), "the size of the table");
    }
    for unpacked in [0_u64, 1, 79, 80, 183] {
        put("unpacked", 56, &unpacked.to_le_bytes(), "the size of a record");
    }
    for unpacked in [185_u64, 1 << 32, u64::MAX] {
        put("unpacked", 56, &unpacked.to_le_bytes(), "uncompressed_size");
    }
    put("record-kind", second, &[0, 1], "kind 0x100");
    put("record-kind", second, &[0, 0], "kind 0x0");
    put("record-version", second + 2, &[0, 0], "has version");
    for offset in [0_u32, 1, 79, 81, 184, u32::MAX] {
        put("record-start", second + 4, &offset.to_le_bytes(), "the start of a record");
    }
    for size in [0_u64, 105, 1 << 63, u64::MAX] {
        put("record-size", second + 8, &size.to_le_bytes(), "the size of a record");
    }
    put("record-size", second + 8, &65_u64.to_le_bytes(), "the start of a record");
    put("record-size", third + 8, &39_u64.to_le_bytes(), "uncompressed_size");
    for number in [0_u32, 9, u32::MAX] {
        put("record-number", second + 28, &number.to_le_bytes(), "has architecture");
    }
    // How long a record is: a record ends where another one, or the table, does not.
    for offset in [0_u32, 4] {
        put("record-options", second + 20, &offset.to_le_bytes(), "");
    }
    for offset in [81_u32, 1 << 31, u32::MAX] {
        put("record-options", second + 20, &offset.to_le_bytes(), "the rest of the table");
    }
    for value in [0_u32, 1000, u32::MAX] {
        put("record-options-start", second + 64, &value.to_le_bytes(), "the rest of the table");
    }
    for value in [0_u32, 100, u32::MAX - 1, u32::MAX] {
        put("record-options-size", second + 68, &value.to_le_bytes(), "the rest of the table");
    }
    for used in [0_u32, 105, u32::MAX] {
        put("compressed", 16, &used.to_le_bytes(), "compressed_size");
    }
    cases
}

fn cases() -> Vec<Case> {
    let mut names = BTreeMap::new();
    let cases = [containers(), rows(), entries(), joint()].concat();
    let mut unique = Vec::new();
    for (name, bytes, words) in cases {
        let count = names.entry(name.clone()).and_modify(|count| *count += 1).or_insert(0);
        unique.push((format!("{name}.{count}"), bytes, words));
    }
    unique
}

#[test]
fn whatever_is_not_whole_is_named() {
    let sound: Vec<u8> = with(|_| ());
    assert_eq!(of(&sound).1, Vec::<String>::new());
    let cases = cases();
    let told = told(cases.iter().map(|(name, bytes, _)| (name, bytes.clone())), &[]);
    told.run.assert_code(1, "problems");
    let mut failures = Vec::new();
    for (name, _, words) in &cases {
        let found = told.files.get(name).map(problems).unwrap_or_default();
        if !found.iter().any(|problem| problem.contains(words)) {
            failures.push(format!("{name}: {words} is not told: {found:?}"));
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

/// Each by itself: exit status 1, the path and the section in the message, and nothing that looks like success with `-q`.
#[test]
fn one_problem_is_enough() {
    let tree = crate::harness::Tree::in_memory();
    let bytes = with(|entry| entry.kind = 0x77);
    let file = tree.file("one.so", &library(".nv_fatbin", &bytes).build());
    let path = file.to_str().unwrap();
    for options in [&["archs"][..], &["archs", "-q"], &["archs", "--sum"], &["archs", "--unused-for", "8.7"]] {
        let run = crate::harness::invoke([options, &[path]].concat());
        run.assert_code(1, "one problem");
        let start = format!("warning: {path}: .nv_fatbin: the entry at 0x");
        assert!(run.stderr.starts_with(&start) && run.stderr.contains("has kind 0x77, not"), "{}", run.stderr);
    }
    let run = crate::harness::invoke(["archs", "--json", "--sum", path]);
    run.assert_code(1, "one problem");
    assert!(run.stderr.is_empty());
    let document = run.json();
    assert_eq!(document["summary"]["problems"], 1);
    assert!(problems(&document["files"][0])[0].contains("kind 0x77"), "{document}");
}

/// What comes before the damage is told, what stands behind an entry of an unknown kind, and so are the other containers.
#[test]
fn the_rest_is_still_known() {
    let bytes = [with(|entry| entry.kind = 3), container([Entry::cubin(120)]).build()].concat();
    assert_eq!(of(&bytes).0, ["sm_75 cubin 1", "compute_90 ptx 1", "sm_120 cubin 1"]);
    let bytes = [with(|entry| entry.architecture = 3), container([Entry::cubin(120)]).build()].concat();
    assert_eq!(of(&bytes).0, ["sm_75 cubin 1", "compute_90 ptx 1", "sm_120 cubin 1"]);
    let wide = Container { payload_size: Some(1 << 40), ..container([Entry::cubin(87)]) }.build();
    let bytes = [wide, container([Entry::cubin(120)]).build()].concat();
    assert_eq!(of(&bytes).0, ["sm_120 cubin 1"]);
}

#[test]
fn many_problems_are_counted() {
    let one = Container { version: 7, ..container([]) }.build();
    let file = super::told_of(library(".nv_fatbin", &one.repeat(100)).build());
    assert_eq!((problems(&file).len(), &file["moreProblems"]), (8, &92.into()));
    assert!(listed(&file).is_empty());
    let tree = crate::harness::Tree::in_memory();
    let path = tree.file("many.so", &library(".nv_fatbin", &one.repeat(100)).build());
    let run = crate::harness::invoke(["archs", path.to_str().unwrap()]);
    run.assert_code(1, "many problems");
    assert_eq!(run.stderr.lines().count(), 9);
    assert!(run.stderr.ends_with("  and 92 more\n"), "{}", run.stderr);
}
