//! Ways to write: what of a file stays beside its contents, and what may not be written.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::{Pair, code, memory, pair, slim, usual};
use crate::elfgen::read::Image;
use crate::elfgen::{Machine, Spec};
use crate::harness::run::limited;
use crate::harness::{Snapshot, Tree, binary, expect, invoke, listing, require, run, set_mode};

fn library() -> Vec<u8> {
    Spec::library(Machine::X86_64).gpu_code(".nv_fatbin", &usual().before).build()
}

/// In memory: pages of zeros may have left the file.
fn has_slim_code(bytes: &[u8]) -> bool {
    let after = usual().after;
    memory(&Image::parse(bytes).unwrap()).iter().any(|(_, _, bytes)| bstr::ByteSlice::contains_str(&bytes[..], &after))
}

#[test]
fn names_of_one_inode_stay_together() {
    for options in [&[][..], &["--in-place"], &["--no-compact"]] {
        let tree = Tree::new();
        let file = tree.file("tree/a.so", &library());
        fs::hard_link(&file, tree.join("tree/b.so")).unwrap();
        let ended =
            invoke([&["slim", "--arch", "9.0", "--json"], options, &[tree.join("tree").to_str().unwrap()]].concat());
        ended.assert_code(0, "slim");
        let files = ended.files();
        let told = |name: &str| files[&tree.join("tree").join(name)].clone();
        assert_eq!((&told("a.so")["outcome"], &told("a.so")["write"]), (&"slimmed".into(), &"in-place".into()));
        assert_eq!((&told("b.so")["outcome"], &told("b.so")["reason"]), (&"skipped".into(), &"same-file".into()));
        let [a, b] = ["a.so", "b.so"].map(|name| fs::metadata(tree.join("tree").join(name)).unwrap());
        assert_eq!((a.ino(), a.nlink(), a.len()), (b.ino(), 2, library().len() as u64), "{options:?}");
        assert!(has_slim_code(&fs::read(&file).unwrap()), "{options:?}");
    }
}

#[test]
fn attributes_stay() {
    for (options, how) in
        [(&[][..], "replace"), (&["--in-place"], "replace"), (&["--in-place", "--no-compact"], "in-place")]
    {
        let tree = Tree::new();
        let file = tree.file("a.so", &library());
        let mode = if how == "replace" { 0o2444 } else { 0o640 };
        set_mode(&file, mode);
        let ended = slim(&file, options, 0);
        assert_eq!(ended.file()["write"], how, "{options:?}: {}", ended.said());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, mode, "{options:?}");
        assert!(has_slim_code(&fs::read(&file).unwrap()), "{options:?}");
        assert_eq!(fs::read_dir(tree.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}

#[test]
fn what_only_looks_writes_nothing() {
    let tree = Tree::new();
    let file = tree.file("a.so", &library());
    let before = Snapshot::of(&file);
    slim(&file, &["--dry-run"], 0);
    slim(&file, &["--check"], 1);
    assert_eq!(Snapshot::of(&file), before);
    slim(&file, &[], 0);
    slim(&file, &["--check"], 0);
}

#[test]
fn the_store_is_immutable() {
    let tree = Tree::new();
    let file = tree.file("store/0123456789abcdfghijklmnpqrsvwxyz-k/lib/a.so", &library());
    let before = Snapshot::of(&file);
    let in_store = |arguments: &[&str]| {
        run(binary().env("NIX_STORE", tree.join("store")).args(["slim", "--arch", "9.0"]).args(arguments))
    };
    let ended = in_store(&[file.to_str().unwrap()]);
    ended.assert_code(2, "in the store");
    assert!(ended.stderr.contains("is in the Nix store"), "{}", ended.said());
    assert_eq!(Snapshot::of(&file), before);
    in_store(&["--check", file.to_str().unwrap()]).assert_code(1, "only looked at");
    let copy = tree.join("copy");
    let folder = tree.join("store/0123456789abcdfghijklmnpqrsvwxyz-k");
    in_store(&["--output", copy.to_str().unwrap(), folder.to_str().unwrap()]).assert_code(0, "a copy");
    assert!(has_slim_code(&fs::read(copy.join("lib/a.so")).unwrap()));
    assert_eq!(Snapshot::of(&file), before);
}

/// A copy has everything, and what goes was never in it.
#[test]
fn a_copy_of_a_tree() {
    let tree = Tree::new();
    let file = tree.file("tree/lib/a.so", &library());
    set_mode(&file, 0o555);
    tree.file("tree/lib/other.so", &library());
    tree.file("tree/lib/broken.so", &library()[..5000]);
    tree.file("tree/notes.txt", b"text");
    fs::hard_link(&file, tree.join("tree/b.so")).unwrap();
    tree.symlink("lib/a.so", "tree/link.so");
    let before = listing(&tree.join("tree"));
    let copy = tree.join("copy");
    let arguments = ["slim", "--arch", "9.0", "--exclude", "other.so", "--json", "-v", "--output"];
    let ended = run(binary().args(arguments).arg(&copy).arg(tree.join("tree")));
    // The broken one is copied as it is, and told.
    ended.assert_code(2, "a copy with a broken file");
    assert_eq!(listing(&tree.join("tree")), before, "the original stays");
    let files = ended.files();
    assert_eq!(files[&copy.join("lib/broken.so")]["outcome"], "failed", "{}", ended.said());
    // The first of two names is done.
    assert_eq!(files[&copy.join("b.so")]["outcome"], "slimmed", "{}", ended.said());
    assert_eq!(files[&copy.join("lib/a.so")]["reason"], "same-file", "{}", ended.said());
    let (names, _) = listing(&copy);
    assert_eq!(names.len(), before.0.len());
    let meta = fs::metadata(copy.join("lib/a.so")).unwrap();
    assert_eq!((meta.nlink(), meta.mode() & 0o777), (2, 0o555));
    assert!(meta.len() + 700_000 < library().len() as u64, "{}", meta.len());
    assert_eq!(meta.modified().unwrap(), fs::metadata(&file).unwrap().modified().unwrap());
    assert!(has_slim_code(&fs::read(copy.join("b.so")).unwrap()));
    assert!(
        fs::read(copy.join("lib/other.so")).unwrap() == library()
            && fs::read(copy.join("lib/broken.so")).unwrap() == library()[..5000]
    );
    assert_eq!(fs::read_link(copy.join("link.so")).unwrap().to_str(), Some("lib/a.so"));
}

/// A gigabyte of code that goes takes no room in memory, nor on the disk.
#[test]
fn memory_does_not_follow_the_file() {
    if !require("prlimit", "slim::modes::memory_does_not_follow_the_file") {
        return;
    }
    const DEAD: u64 = 1 << 30;
    let Pair { before, .. } = pair(&[(code(75, 64), false), (code(90, 4000), true)]);
    // The first entry gets a gigabyte of hole.
    let mut head = before[..16 + 64].to_vec();
    head[8..16].copy_from_slice(&(before.len() as u64 - 16 + DEAD).to_le_bytes());
    head[24..32].copy_from_slice(&(64 + DEAD).to_le_bytes());
    let tree = Tree::new();
    for options in [&[][..], &["--no-compact"], &["--in-place", "--no-compact"]] {
        let path = tree.place("large.fatbin");
        let file = fs::File::create(&path).unwrap();
        use std::os::unix::fs::FileExt as _;
        file.write_all_at(&head, 0).unwrap();
        file.write_all_at(&before[16 + 64..16 + 128], 80 + DEAD).unwrap();
        file.write_all_at(&before[16 + 128..], 80 + 64 + DEAD).unwrap();
        drop(file);
        let mut bounded = limited(&["--data=67108864"]);
        expect(bounded.args(["slim", "--arch", "9.0", "--jobs", "1"]).args(options).arg(&path), 0);
        let meta = fs::metadata(&path).unwrap();
        assert_eq!(meta.len(), before.len() as u64 + DEAD, "{options:?}");
        assert!(meta.blocks() * 512 < 1 << 20, "{options:?}: {} bytes on the disk", meta.blocks() * 512);
        let mut start = vec![0; 16 + 64 + 4000];
        fs::File::open(&path).unwrap().read_exact_at(&mut start, 0).unwrap();
        assert!(start[16..] == before[16 + 128..], "{options:?}: what stays is in front");
    }
}
