//! Receipts, --revert and --output.

use super::*;

#[test]
fn a_receipt_brings_every_byte_back() {
    if !has_cc("files::a_receipt_brings_every_byte_back") {
        return;
    }
    for mode in MODES {
        let tree = Tree::new();
        for library in of_all_linkers() {
            tree.copy(library, Path::new("tree").join(library.file_name().unwrap()));
        }
        tree.copy(&library(), Path::new("tree").join(OsString::from_vec(b"odd\n\xff.so".to_vec())));
        let linked = tree.join("tree/hard-link.so");
        std::fs::hard_link(tree.library("tree/linked.so"), &linked).unwrap();
        set_mode(&linked, 0o444);
        let all = names(&tree.join("tree"));
        let files: Vec<_> = all.iter().map(|name| tree.join("tree").join(name)).collect();
        let read =
            || files.iter().map(|file| (std::fs::read(file).unwrap(), Snapshot::of(file).mode)).collect::<Vec<_>>();
        let before = read();
        let receipt = tree.join("receipt.json");
        expect(fix(NATIVE).args(mode).arg("--receipt").arg(&receipt).arg(tree.join("tree")), 0);
        let fixed = read();
        assert!(before.iter().zip(&fixed).all(|(before, fixed)| before != fixed), "{mode:?}: each file is fixed");
        assert!(receipt.exists());

        expect(binary().arg("fix").arg("--revert").arg(&receipt), 0);
        for ((file, before), after) in files.iter().zip(&before).zip(&read()) {
            assert!(before == after, "{mode:?}: {} is not as it was", file.display());
        }
        assert_eq!(names(&tree.join("tree")), all, "{mode:?}");
        assert_eq!(std::fs::metadata(&linked).unwrap().nlink(), 2);
    }
}

/// What a hook always passes does not keep a person from asking what it would do.
#[test]
fn looking_may_be_combined_with_the_write_mode() {
    if !has_cc("files::looking_may_be_combined_with_the_write_mode") {
        return;
    }
    let tree = Tree::new();
    let file = tree.library("libuser.so");
    let before = Snapshot::of(&file);
    for (look, code) in [("--dry-run", 0), ("--check", 1), ("--diff", 0)] {
        expect(fix(NATIVE).args([look, "--in-place"]).arg(&file), code);
        assert_eq!(Snapshot::of(&file), before, "{look}");
    }
}

#[test]
fn revert_refuses_a_file_that_changed_since() {
    if !has_cc("files::revert_refuses_a_file_that_changed_since") {
        return;
    }
    for mode in MODES {
        let tree = Tree::new();
        let edited_again = tree.library("tree/edited-again.so");
        let longer = tree.library("tree/longer.so");
        let shorter = tree.library("tree/shorter.so");
        let replaced = tree.library("tree/replaced.so");
        let gone = tree.library("tree/gone.so");
        let same = tree.library("tree/same.so");
        let before = Contents::of(&same);
        let receipt = tree.join("receipt.json");
        expect(fix(NATIVE).args(mode).arg("--receipt").arg(&receipt).arg(tree.join("tree")), 0);

        expect(binary().args(["fix", "--driver", "/some/where/else"]).args(mode).arg(&edited_again), 0);
        let bytes = std::fs::read(&longer).unwrap();
        std::fs::write(&longer, [&bytes[..], b"payload"].concat()).unwrap();
        std::fs::write(&shorter, &bytes[..bytes.len() - 1]).unwrap();
        std::fs::write(&replaced, "text").unwrap();
        std::fs::remove_file(&gone).unwrap();
        let changed = [&edited_again, &longer, &shorter, &replaced];
        let since = changed.map(|file| Snapshot::of(file));
        let ended = expect(binary().arg("fix").arg("--revert").arg(&receipt), 2);
        for file in changed.into_iter().chain([&gone]) {
            assert!(ended.stderr.contains(file.to_str().unwrap()), "{mode:?}\n{}", ended.said());
        }
        assert_eq!(changed.map(|file| Snapshot::of(file)), since, "{mode:?}");
        assert_eq!(Contents::of(&same), before, "{mode:?}: one failure stops nothing else");
        // What is taken back already is no failure.
        let ended = expect(binary().arg("fix").arg("--revert").arg(&receipt), 2);
        assert!(!ended.stderr.contains("same.so"), "{mode:?}\n{}", ended.said());
        assert_eq!(Contents::of(&same), before, "{mode:?}");
    }
}

/// A receipt gives the bytes back that were there, so it is of no use for a file whose code is another one by now.
#[test]
fn revert_refuses_a_file_whose_other_bytes_changed() {
    if !has_cc("files::revert_refuses_a_file_whose_other_bytes_changed") {
        return;
    }
    for mode in MODES {
        let tree = Tree::new();
        let file = tree.library("libuser.so");
        let receipt = tree.join("receipt.json");
        expect(fix(NATIVE).args(mode).arg("--receipt").arg(&receipt).arg(&file), 0);
        let mut bytes = std::fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&file, &bytes).unwrap();
        let since = Snapshot::of(&file);
        let ended = expect(binary().arg("fix").arg("--revert").arg(&receipt), 2);
        assert!(ended.stderr.contains("libuser.so"), "{}", ended.said());
        assert_eq!(Snapshot::of(&file), since, "{mode:?}");
    }
}

#[test]
fn output_writes_a_copy_and_leaves_the_input() {
    let test = "files::output_writes_a_copy_and_leaves_the_input";
    if !has_cc(test) {
        return;
    }
    for mode in MODES {
        for as_nobody in [false, true] {
            let tree = Tree::new();
            let root = package(&tree, "package");
            symlink("package", tree.join("result")).unwrap();
            let before = listing(&root);
            let inodes: Vec<_> =
                ["lib/libuser.so.1", "bin/program"].map(|name| Snapshot::of(&root.join(name))).to_vec();
            let home = tree.folder("home");
            give_to_nobody(&home);
            let mut command = if as_nobody {
                match fix_as_nobody(&tree, test) {
                    Some(command) => command,
                    None => continue,
                }
            } else {
                fix(NATIVE)
            };
            let copy = home.join("result-fixed");
            expect(command.args(mode).arg("--output").arg(&copy).arg(tree.join("result")), 0);
            assert!(listing(&root) == before, "{mode:?}: the input is untouched");
            for (name, snapshot_before) in ["lib/libuser.so.1", "bin/program"].iter().zip(&inodes) {
                assert_eq!(&Snapshot::of(&root.join(name)), snapshot_before, "{mode:?}");
            }
            assert!(!copy.is_symlink());
            let mut wanted = listing(&root).0;
            for entry in &mut wanted {
                // A copy is for its owner to work with, and to remove.
                if root.join(&entry.path).is_dir() && entry.target.is_none() {
                    entry.kind_and_mode = "40755".to_owned();
                }
            }
            assert_eq!(listing(&copy).0, wanted, "{mode:?}, as nobody: {as_nobody}");
            let (one, other) = (copy.join("lib/libuser.so.1"), copy.join("lib/libuser-again.so"));
            assert_eq!(Snapshot::of(&one), Snapshot::of(&other), "{mode:?}: still one file");
            assert_ne!(Snapshot::of(&one).inode, inodes[0].inode);
            assert_eq!((loads(&one), starts(&copy.join("bin/program"))), (NEW, NEW), "{mode:?}");
            assert_eq!(std::fs::read(copy.join("README")).unwrap(), b"text");
            assert_eq!(names(&home).len(), 1, "{:?}", names(&home));
            make_writable(&copy);
        }
    }
}

#[test]
fn output_does_not_write_over_what_is_there() {
    if !has_cc("files::output_does_not_write_over_what_is_there") {
        return;
    }
    let tree = Tree::new();
    let root = package(&tree, "package");
    let there = tree.library("there/lib/libuser.so.1");
    let before_there = Snapshot::of(&there);
    let ended = expect(fix(NATIVE).arg("--output").arg(tree.join("there")).arg(&root), 2);
    assert!(ended.stderr.contains("there"), "{}", ended.said());
    assert_eq!(Snapshot::of(&there), before_there);
    // Into itself, a copy would never end.
    make_writable(&root);
    let before = listing(&root);
    expect(fix(NATIVE).arg("--output").arg(root.join("inside")).arg(&root), 2);
    assert!(listing(&root) == before);
}
