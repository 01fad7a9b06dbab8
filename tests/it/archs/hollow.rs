//! Entries with nothing to run in them, and what only looks like one.

use super::{listed, of, told_of};
use crate::fatgen::{CUBIN, Entry, LTO_IR, LZ4, PTX, ZSTD, container, cubin, filler};
use crate::harness::run::limited;
use crate::harness::{Tree, invoke, require, run};

/// What nvcc 13.3 makes of a file without kernels for sm_75, the generator's name left out.
const NO_PTX: &str = ".version 9.3\n.target sm_75\n.address_size 64\n";

const EXEC: u64 = 6;
const WRITE: u64 = 3;
const READ: u64 = 2;

/// An LZ4 block of literals only (LZ4 Block Format, "Literals").
fn lz4(contents: &[u8]) -> Vec<u8> {
    let Some(beyond) = contents.len().checked_sub(15) else {
        return [&[(contents.len() as u8) << 4][..], contents].concat();
    };
    let mut out = vec![0xf0];
    out.extend(vec![255; beyond / 255]);
    out.push((beyond % 255) as u8);
    out.extend(contents);
    out
}

/// A Zstandard frame of one raw block (RFC 8878, 3.1.1), whose content is declared as `declared` bytes.
fn zstd(contents: &[u8], declared: usize) -> Vec<u8> {
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd];
    match declared {
        0..256 => out.extend([0x20, declared as u8]),
        256..65_792 => out.extend([&[0x60][..], &(declared as u16 - 256).to_le_bytes()].concat()),
        _ => out.extend([&[0xe0][..], &(declared as u64).to_le_bytes()].concat()),
    }
    out.extend(&((contents.len() as u32) << 3 | 1).to_le_bytes()[..3]);
    out.extend(contents);
    out
}

/// The same contents as they are, as an LZ4 block, as a Zstandard frame.
fn packings(kind: u16, contents: &[u8]) -> [Entry; 3] {
    let (entry, size) = (|| Entry::new(kind, 75), contents.len());
    let (block, frame) = (lz4(contents), zstd(contents, size));
    [entry().raw(contents), entry().packed(LZ4, &block, size as u64), entry().packed(ZSTD, &frame, size as u64)]
}

fn is_hollow(entry: Entry) -> bool {
    let (found, wrong) = of(&container([entry]).build());
    assert_eq!((found.len(), wrong.len()), (1, 0), "{found:?} {wrong:?}");
    found[0].ends_with(" 1 - 1")
}

#[test]
fn machine_code_is_hollow_without_kernels_and_variables() {
    let info = (".nv.info", 0, 40);
    for (sections, hollow) in [
        (&[][..], true),
        (&[info][..], true),
        (&[info, (".debug_frame", 0, 112), (".nv.callgraph", 0, 32)], true),
        (&[info, (".text.k", EXEC, 0)], true),
        (&[info, (".text.k", EXEC, 128)], false),
        (&[info, (".text.k", EXEC, 1)], false),
        (&[info, (".nv.global", WRITE, 8)], false),
        (&[info, (".nv.global.init", WRITE, 8)], false),
        (&[info, (".nv.constant3", READ, 16)], false),
        (&[info, (".nv.constant0.k", READ, 352)], false),
        (&[info, (".nv.constant3", READ, 0)], true),
        (&[info, (".nv.constant3", 0, 16)], true),
    ] {
        for entry in packings(CUBIN, &cubin(sections)) {
            assert_eq!(is_hollow(entry.clone()), hollow, "{sections:?} {:#x}", entry.flags);
        }
    }
}

/// PTX ISA, "Kernel and Function Directives" and "State Spaces".
#[test]
fn ptx_is_hollow_without_kernels_functions_and_variables() {
    for (text, hollow) in [
        ("", true),
        (".visible .entry k() { ret; }\n", false),
        (".visible .func (.param .b32 r) f() { ret; }\n", false),
        (".global .align 4 .b8 v[4];\n", false),
        (".const .align 4 .b8 v[4];\n", false),
        (".visible .global .texref t;\n", false),
        (".extern .shared .align 4 .b8 s[];\n", false),
        (".alias f, g;\n", false),
    ] {
        for entry in packings(PTX, &[NO_PTX, text].concat().into_bytes()) {
            assert_eq!(is_hollow(entry.clone()), hollow, "{text} {:#x}", entry.flags);
        }
    }
    // No PTX at all.
    assert!(packings(PTX, b"a text of another kind").into_iter().all(|entry| !is_hollow(entry)));
}

/// Real ones: `nvcc --compress-mode` size and speed, 13.5, of an empty file for sm_75.
#[test]
fn what_nvcc_packs_is_unpacked() {
    let bytes = |hex: &str| -> Vec<u8> {
        hex.as_bytes().chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
    };
    let frame = bytes(ZSTD_PTX);
    assert!(is_hollow(Entry::ptx(75).packed(ZSTD, &frame, 56)));
    assert!(is_hollow(Entry::ptx(75).packed(LZ4, &bytes(LZ4_PTX), 56)));
}

const ZSTD_PTX: &str = "28b52ffd2038ad010012430b11b0eb20e4684242de9394275f5d30f4bc05c0b6c3c88deae65f87d0510b62d6f36d72e7a98596644ddd2d54070100191002";
const LZ4_PTX: &str =
    "130a0100f0212e76657273696f6e20392e350a2e74617267657420736d5f37350a2e616464726573735f73697a652036340a0a0a0a00";

/// What the reader cannot look into may hold anything.
#[test]
fn what_cannot_be_looked_into_is_code() {
    let (nothing, text) = (cubin(&[]), NO_PTX.as_bytes());
    assert!(packings(LTO_IR, &nothing).into_iter().all(|entry| !is_hollow(entry)));
    assert!(packings(CUBIN, &filler(200)).into_iter().all(|entry| !is_hollow(entry)));
    for end in [4, 16, 63, 64, nothing.len() - 64] {
        assert!(packings(CUBIN, &nothing[..end]).into_iter().all(|entry| !is_hollow(entry)), "{end}");
    }
    // Larger than what is empty ever is.
    assert!(is_hollow(Entry::cubin(75).raw(&cubin(&[(".debug_frame", 0, 7800)]))));
    for entry in packings(CUBIN, &cubin(&[(".debug_frame", 0, 8300)])) {
        assert!(!is_hollow(entry));
    }
    let (block, frame) = (lz4(text), zstd(text, text.len()));
    for (flag, packed) in [(LZ4, &block), (ZSTD, &frame)] {
        let entry = |bytes: &[u8], unpacked| Entry::ptx(75).packed(flag, bytes, unpacked);
        let size = text.len() as u64;
        assert!(is_hollow(entry(packed, size)));
        for unpacked in [0, 1, size - 1, 8193, u64::MAX] {
            assert!(!is_hollow(entry(packed, unpacked)), "{flag:#x} {unpacked}");
        }
        for end in 1..packed.len() - NO_PTX.len() {
            assert!(!is_hollow(entry(&packed[..end], size)), "{flag:#x} {end}");
        }
        for at in 0..packed.len() - NO_PTX.len() {
            let mut spoiled = packed.clone();
            spoiled[at] ^= 0xff;
            // No panic; a size that says less may still be read.
            is_hollow(entry(&spoiled, size));
        }
        assert!(!is_hollow(entry(&filler(200), size)));
    }
}

/// A frame may declare any size: no decoder may make room for it, in the first frame or in a later one.
#[test]
fn a_declared_size_takes_no_memory() {
    let test = "a_declared_size_takes_no_memory";
    if !require("prlimit", test) {
        return;
    }
    let text = NO_PTX.as_bytes();
    // 96 MiB with a window descriptor instead of a content size: 2^26 and half of it.
    let window = [&[0x28, 0xb5, 0x2f, 0xfd, 0x00, (16 << 3) | 4][..], &[1, 0, 0]].concat();
    let sound = zstd(text, text.len());
    let frames = [
        zstd(text, 96 << 20),
        zstd(text, usize::MAX >> 1),
        window.clone(),
        [&sound[..], &window].concat(),
        [&sound[..], &zstd(b"", 96 << 20)].concat(),
    ];
    for (index, frame) in frames.iter().enumerate() {
        let bytes = container([Entry::ptx(75).packed(ZSTD, frame, 4096)]).build();
        let tree = Tree::in_memory();
        let file = tree.file("bomb.fatbin", &bytes);
        // What is written to, not what is only set aside for the threads' heaps.
        let mut limited = limited(&[&format!("--data={}", 64 << 20)]);
        let run = run(limited.args(["archs", "--json", "-j", "1"]).arg(&file));
        run.assert_code(0, &format!("frame {index}"));
        assert_eq!(listed(&run.file()), ["(file) compute_75 ptx 1"], "frame {index}");
    }
}

/// A file with nothing to run is told as one, and an empty entry makes no file run anywhere.
#[test]
fn nothing_to_run_is_no_code() {
    let nothing = || Entry::cubin(75).raw(&cubin(&[]));
    let empty = container([nothing(), Entry::ptx(75).raw(NO_PTX.as_bytes())]).build();
    let file = told_of(empty.clone());
    assert_eq!(listed(&file), ["(file) sm_75 cubin 1 - 1", "(file) compute_75 ptx 1 - 1"]);
    let tree = Tree::in_memory();
    let path = tree.file("none.fatbin", &empty);
    let run_on = |path: &std::path::Path, options: &[&str]| {
        invoke([&["archs"], options, &["--unused-for", "7.5,8.7", path.to_str().unwrap()]].concat())
    };
    let result = run_on(&path, &[]);
    result.assert_code(0, "nothing to run");
    assert_eq!(result.stdout.matches("no kernels\n").count(), 1, "{}", result.stdout);
    let json = run_on(&path, &["--json"]).json();
    for target in json["files"][0]["targets"].as_array().unwrap() {
        assert_eq!((&target["runs"], &target["containers"]), (&"missing".into(), &0.into()), "{target}");
    }

    let both = [&empty[..], &container([nothing(), Entry::cubin(87)]).build()].concat();
    let path = tree.file("both.fatbin", &both);
    let json = run_on(&path, &["--json"]).json();
    let targets = &json["files"][0]["targets"];
    assert_eq!((&targets[0]["runs"], &targets[0]["containersFor"]), (&"missing".into(), &0.into()));
    assert_eq!((&targets[1]["runs"], &targets[1]["through"]), (&"exactly".into(), &"8.7".into()));
    assert_eq!((&targets[1]["containers"], &targets[1]["containersFor"]), (&1.into(), &1.into()));
}
