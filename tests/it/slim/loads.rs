//! Real libraries through the real loader: what they have in memory is what it was, but for the containers, whatever
//! linker made them and whatever editor comes afterwards.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use super::{Pair, code, first_difference, pair, row, slim, usual, with_other};
use crate::fatgen::Entry;
use crate::harness::{Snapshot, Tree, binary, command, expect, linkers, require, run};

/// What a host program says of a library that it loaded: address, flags and bytes of each piece of memory.
type Memory = Vec<(u64, u32, Vec<u8>)>;

static HOST: LazyLock<(Tree, PathBuf)> = LazyLock::new(|| {
    let tree = Tree::new();
    let host = tree.join("host");
    expect(command("cc").arg("-o").arg(&host).arg(fixture("memory_host.c")).arg("-ldl"), 0);
    (tree, host)
});

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// What a library has in memory, parts of one PT_LOAD together.
fn loaded(library: &Path, told: &str) -> Memory {
    let ended = run(command(&HOST.1).arg(library));
    assert_eq!(ended.code, 0, "{told}: {}", ended.stderr);
    let mut rest = ended.bytes();
    let mut memory: Memory = Vec::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n').expect("a line");
        let line = std::str::from_utf8(&rest[..end]).expect("a line of text");
        let numbers: Vec<u64> = line.split(' ').map(|word| u64::from_str_radix(word, 16).expect("a number")).collect();
        let [address, flags, size] = numbers[..] else { panic!("three numbers: {line}") };
        let bytes = &rest[end + 1..][..size as usize];
        rest = &rest[end + 1 + size as usize..];
        match memory.last_mut() {
            Some((start, kind, last)) if *start + last.len() as u64 == address && u64::from(*kind) == flags => {
                last.extend(bytes);
            }
            _ => memory.push((address, flags as u32, bytes.to_vec())),
        }
    }
    memory
}

/// Where the second and the third container of [`usual`] begin.
fn starts() -> [usize; 2] {
    let Pair { before, .. } = usual();
    let all: Vec<usize> = bstr::ByteSlice::find_iter(&before[..], &crate::fatgen::CONTAINER_MAGIC).collect();
    let [0, second, third] = all[..] else { panic!("three containers at {all:?}") };
    [second, third]
}

/// Links the fixture.
pub(super) fn link(tree: &Tree, name: &str, linker: &str, flags: &[&str]) -> PathBuf {
    let containers = tree.file("containers", &usual().before);
    let library = tree.join(name);
    let [second, third] = starts();
    let mut compiler = command("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-g", &format!("-fuse-ld={linker}")]);
    compiler.arg(format!("-DCONTAINERS=\"{}\"", containers.display()));
    compiler.args([format!("-DAT_1={second}"), format!("-DAT_2={third}")]).args(flags);
    expect(compiler.arg("-o").arg(&library).arg(fixture("slim_library.c")), 0);
    library
}

/// Layouts that linkers can be brought to make.
const LAYOUTS: [(&str, &[&str]); 7] = [
    ("plain", &[]),
    ("large-pages", &["-Wl,-z,max-page-size=0x200000"]),
    ("no-separate-code", &["-Wl,-z,noseparate-code"]),
    ("relro", &["-Wl,-z,now,-z,relro"]),
    ("aligned", &["-DALIGNED=65536"]),
    // Other parts are; the pieces are pages.
    ("aligned-rest", &["-DALIGNED_REST=65536"]),
    ("hashes", &["-Wl,--hash-style=both", "-Wl,--build-id"]),
];

fn is_alone(linker: &str, layout: &str) -> bool {
    // gold has no such option.
    linker == "gold" && layout == "no-separate-code"
}

#[test]
fn libraries_of_every_linker_keep_their_memory() {
    let Pair { before, after } = usual();
    for linker in linkers("slim::loads::libraries_of_every_linker_keep_their_memory") {
        for (layout, flags) in LAYOUTS {
            if is_alone(linker, layout) {
                continue;
            }
            let told = format!("{linker}, {layout}");
            let tree = Tree::new();
            let original = link(&tree, "original.so", linker, flags);
            let mut wanted = loaded(&original, &told);
            with_other(&mut wanted, &before, &after);
            let len = original.metadata().unwrap().len();
            for (mode, options) in [
                ("compact", &[][..]),
                ("hurry", &["--in-place"]),
                ("same length", &["--no-compact"]),
                ("in place", &["--in-place", "--no-compact"]),
            ] {
                let told = format!("{told}, {mode}");
                let library = tree.copy(&original, format!("{mode}/lib.so"));
                let ended = slim(&library, options, 0);
                assert_eq!(ended.file()["outcome"], "slimmed", "{told}: {}", ended.said());
                assert_eq!(first_difference(&wanted, &loaded(&library, &told)), None, "{told}");
                let now = library.metadata().unwrap().len();
                match options.contains(&"--no-compact") {
                    true => assert_eq!(now, len, "{told}"),
                    // The layout with the large alignment has as large pieces.
                    false => assert!(len - now > 700_000, "{told}: {len} -> {now}"),
                }
                let snapshot = Snapshot::of(&library);
                slim(&library, options, 0);
                assert_eq!(Snapshot::of(&library), snapshot, "{told}: a second run");
                // What an earlier run left as zeros leaves the file now.
                if options == ["--no-compact"] {
                    slim(&library, &[], 0);
                    assert!(len - library.metadata().unwrap().len() > 700_000, "{told}, then shorter");
                    assert_eq!(first_difference(&wanted, &loaded(&library, &told)), None, "{told}, then shorter");
                }
                let fixed = run(binary()
                    .args(["fix", "--json", "-v", "--driver", "/run/a/long/driver/directory"])
                    .arg(&library));
                fixed.assert_code(0, &told);
                assert_eq!(fixed.file()["outcome"], "fixed", "{told}: {}", fixed.said());
                // The path is another one; the containers and the library's own checks are not.
                let memory = loaded(&library, &told);
                assert!(memory.iter().any(|(_, _, bytes)| bstr::ByteSlice::contains_str(&bytes[..], &after)), "{told}");
                let snapshot = Snapshot::of(&library);
                slim(&library, options, 0);
                assert_eq!(Snapshot::of(&library), snapshot, "{told}: after fix");
            }
            let output = tree.join("output");
            slim(&original, &["--output", output.to_str().unwrap()], 0);
            assert_eq!(
                first_difference(&wanted, &loaded(&output.join("original.so"), &told)),
                None,
                "{told}, --output"
            );
            assert_eq!(loaded(&original, &told).len(), wanted.len(), "{told}: the original stays");
        }
    }
}

/// Tools that copy sections must not take the parts for something else.
#[test]
fn other_editors_leave_it_whole() {
    let test = "slim::loads::other_editors_leave_it_whole";
    let Pair { after, .. } = usual();
    let editors: [(&str, &[&str]); 8] = [
        ("strip", &[]),
        ("strip", &["--strip-debug"]),
        ("objcopy", &["--strip-debug"]),
        ("objcopy", &["--add-gnu-debuglink=/dev/null"]),
        ("llvm-strip", &[]),
        ("llvm-objcopy", &["--strip-debug"]),
        ("eu-strip", &[]),
        ("patchelf", &["--set-rpath", "/a/path/that/is/longer/than/what/was/there:/and/another/one"]),
    ];
    for linker in linkers(test) {
        for (layout, flags) in LAYOUTS {
            if is_alone(linker, layout) {
                continue;
            }
            let tree = Tree::new();
            let original = link(&tree, "original.so", linker, flags);
            let slimmed = tree.copy(&original, "slimmed.so");
            slim(&slimmed, &[], 0);
            for (tool, options) in editors {
                if !require(tool, test) {
                    continue;
                }
                let told = format!("{linker}, {layout}, {tool} {options:?}");
                // Not every tool takes every file.
                let before = tree.copy(&original, "before.so");
                let takes_it = run(command(tool).args(options).arg(&before)).code == 0 && starts_well(&before);
                let library = tree.copy(&slimmed, "after.so");
                let ended = run(command(tool).args(options).arg(&library));
                if !takes_it {
                    println!("{told} breaks the original");
                    continue;
                }
                assert_eq!(ended.code, 0, "{told}: {}", ended.said());
                let memory = loaded(&library, &told);
                let has_all = memory.iter().any(|(_, _, bytes)| bstr::ByteSlice::contains_str(&bytes[..], &after));
                assert!(has_all, "{told}: the containers are what they were");
                slim(&library, &["--check"], 0);
            }
        }
    }
}

fn starts_well(library: &Path) -> bool {
    run(command(&HOST.1).arg(library)).code == 0
}

/// As many entries as go over the others: each order of what stays and what goes, by the steps of a write in place.
#[test]
fn every_order_in_place() {
    let sizes = [40, 64, 200, 1000, 5000];
    for case in 0_usize..240 {
        let entries: Vec<(Entry, bool)> = (0..5)
            .map(|index| {
                let stays = case >> index & 1 == 1;
                let size = sizes[(case / 32 + index * 3 + case % 7) % sizes.len()];
                (code(if stays { 90 } else { 75 }, size), stays)
            })
            .collect();
        let one = pair(&entries);
        let all = row(&[one, pair(&[(code(80, 100), false), (code(90, 8), true)])], 8);
        let tree = Tree::in_memory();
        let file = tree.file("k.fatbin", &all.before);
        let ended = slim(&file, &["--in-place", "--no-compact"], 0);
        let now = std::fs::read(&file).unwrap();
        let stays = ended.file()["unmoved"].as_u64().unwrap();
        if stays == 0 {
            assert!(now == all.after, "{case}: {entries:?}");
        } else {
            // What stays is there, and a file that is replaced has no such rest.
            assert_eq!(now.len(), all.before.len());
            let other = tree.file("other.fatbin", &all.before);
            slim(&other, &[], 0);
            assert!(std::fs::read(&other).unwrap() == all.after, "{case}");
            slim(&file, &[], 0);
            assert!(std::fs::read(&file).unwrap() == all.after, "{case}: {stays} bytes that stayed go");
        }
        assert!(std::fs::read(&file).unwrap().ends_with(&all.after[all.after.len() - 8..]), "{case}");
    }
}
