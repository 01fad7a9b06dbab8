//! Which files are looked at, and in which order they are told.

use super::*;

/// Many small files in several folders, with one that cannot be read as ELF.
fn big_tree(tree: &Tree, name: &str) {
    for folder in 0..8 {
        for file in 0..12 {
            tree.library(format!("{name}/d{folder}/lib{file}.so"));
            std::fs::write(tree.join(format!("{name}/d{folder}/text{file}")), "no ELF").unwrap();
        }
        std::fs::write(tree.join(format!("{name}/d{folder}/cut.so")), b"\x7fELF\x02\x01\x01").unwrap();
    }
}

#[test]
fn the_output_does_not_depend_on_the_number_of_threads() {
    if !has_cc("files::the_output_does_not_depend_on_the_number_of_threads") {
        return;
    }
    for flags in [&[][..], &["-v"], &["-vv"], &["--json"], &["--json", "-v"], &["--diff"], &["--dry-run"], &["-q"]] {
        let mut said: Option<Run> = None;
        for threads in ["1", "4", "16"] {
            let tree = Tree::new();
            big_tree(&tree, "tree");
            let mut command = fix(NATIVE);
            command.args(["-j", threads]).args(flags).arg("tree").current_dir(tree.path());
            // The cut files are failures, named.
            let ended = expect(&mut command, 2);
            if flags.contains(&"--json") {
                assert_eq!(ended.json()["summary"]["failed"], 8, "{}", ended.said());
            } else {
                assert_eq!(ended.stderr.matches("cut.so").count(), 8, "{}", ended.said());
            }
            if let Some(said) = &said {
                assert_eq!(ended.stdout, said.stdout, "-j {threads} {flags:?}");
                assert_eq!(ended.stderr, said.stderr, "-j {threads} {flags:?}");
            }
            said = Some(ended);
        }
    }
}

#[test]
fn the_human_summary_counts_what_happened() {
    if !has_cc("files::the_human_summary_counts_what_happened") {
        return;
    }
    let tree = Tree::new();
    big_tree(&tree, "tree");
    expect(fix(NATIVE).arg(tree.join("tree/d0/lib0.so")), 0);
    let ended = expect(fix(NATIVE).arg("tree").current_dir(tree.path()), 2);
    let out = &ended.stdout;
    let last = out.lines().last().unwrap();
    assert_eq!(last, "200 files, 104 ELF: 95 fixed, 1 already right, 8 failed", "{}", ended.said());
    assert_eq!(out.lines().filter(|line| line.starts_with("fixed tree/")).count(), 95, "{}", ended.said());
}

#[test]
fn the_list_of_files_comes_from_a_file_or_standard_input() {
    if !has_cc("files::the_list_of_files_comes_from_a_file_or_standard_input") {
        return;
    }
    for zero in [false, true] {
        for stdin in [false, true] {
            let tree = Tree::new();
            let plain = tree.library("a/plain.so");
            let spaced = tree.library("a/ with space .so");
            let odd = tree.library(Path::new("a").join(OsString::from_vec(b"odd\n\xff.so".to_vec())));
            let not_listed = tree.library("a/not-listed.so");
            let in_folder = tree.library("folder/deep/lib.so");
            let before = Snapshot::of(&not_listed);
            let mut listed: Vec<&[u8]> = vec![b"a/plain.so", b"a/ with space .so", b"folder"];
            if zero {
                listed.push(b"a/odd\n\xff.so");
            }
            let separator: &[u8] = if zero { b"\0" } else { b"\n" };
            let mut list = listed.join(separator);
            list.extend_from_slice(separator);

            let mut command = fix(NATIVE);
            command.current_dir(tree.path()).args(zero.then_some("-0"));
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            if stdin {
                command.args(["--files-from", "-"]);
            } else {
                std::fs::write(tree.join("list"), &list).unwrap();
                command.args(["--files-from", "list"]);
            }
            let mut child = command.spawn().unwrap();
            let mut input = child.stdin.take().unwrap();
            if stdin {
                input.write_all(&list).unwrap();
            }
            drop(input);
            let ended: Run = child.wait_with_output().unwrap().into();
            assert_eq!(ended.code, 0, "zero {zero}, stdin {stdin}\n{}", ended.said());
            assert_eq!((loads(&plain), loads(&spaced), loads(&in_folder)), (NEW, NEW, NEW));
            assert_eq!(loads(&odd), if zero { NEW } else { OLD });
            assert_eq!(Snapshot::of(&not_listed), before);
        }
    }
}

#[test]
fn a_listed_file_that_is_missing_is_a_failure() {
    if !has_cc("files::a_listed_file_that_is_missing_is_a_failure") {
        return;
    }
    let tree = Tree::new();
    let there = tree.library("there.so");
    std::fs::write(tree.join("list"), "missing.so\nthere.so\n").unwrap();
    let ended = expect(fix(NATIVE).args(["--files-from", "list"]).current_dir(tree.path()), 2);
    assert!(ended.stderr.contains("missing.so"), "{}", ended.said());
    assert_eq!(loads(&there), NEW);
    let ended = expect(fix(NATIVE).args(["--files-from", "no-list"]).current_dir(tree.path()), 2);
    assert!(ended.stderr.contains("no-list"), "{}", ended.said());
}

#[test]
fn excluded_files_are_left_alone() {
    if !has_cc("files::excluded_files_are_left_alone") {
        return;
    }
    for mode in MODES {
        let tree = Tree::new();
        let kept = [tree.library("tree/a/libkeepme.so"), tree.library("tree/keepme-folder/libother.so")];
        let also = tree.library("tree/b/module.abi3.so");
        let fixed = tree.library("tree/a/libuser.so");
        let before = kept.each_ref().map(|file| Snapshot::of(file));
        let before_also = Snapshot::of(&also);
        let mut command = fix(NATIVE);
        command.args(mode).args(["--exclude", "*keepme*", "--exclude", "*.abi3.so"]);
        expect(command.arg("tree").current_dir(tree.path()), 0);
        assert_eq!(kept.each_ref().map(|file| Snapshot::of(file)), before);
        assert_eq!(Snapshot::of(&also), before_also);
        assert_eq!(loads(&fixed), NEW);
    }
    let ended = run(fix(NATIVE).args(["--exclude", "a[", "."]));
    assert_eq!(ended.code, 2, "a pattern that is none: {}", ended.said());
}

#[test]
fn arguments_that_cannot_be_read_are_named() {
    if !has_cc("files::arguments_that_cannot_be_read_are_named") {
        return;
    }
    for mode in MODES {
        let tree = Tree::new();
        let good = tree.library("good.so");
        symlink("nowhere", tree.join("broken-link")).unwrap();
        for bad in ["not-there", "broken-link", "good.so/not-a-folder", ""] {
            let bad = if bad.is_empty() { PathBuf::new() } else { tree.join(bad) };
            let ended = expect(fix(NATIVE).args(mode).arg(&bad), 2);
            assert!(ended.stderr.contains(bad.to_str().unwrap()), "{}", ended.said());
            assert!(!ended.stderr.is_empty());
        }
        assert_eq!(loads(&good), OLD);
        let ended = expect(fix(NATIVE).args(mode).arg(tree.join("not-there")).arg(&good), 2);
        assert!(ended.stderr.contains("not-there"), "{}", ended.said());
        assert_eq!(loads(&good), NEW, "{mode:?}: one failure stops nothing else");
    }
    expect(&mut fix(NATIVE), 2);
}

#[test]
fn special_files_are_no_trap() {
    let test = "files::special_files_are_no_trap";
    if !has_cc(test) || !require("mkfifo", test) {
        return;
    }
    let tree = Tree::new();
    let good = tree.library("tree/good.so");
    expect(command("mkfifo").arg(tree.join("tree/pipe")), 0);
    let _socket = std::os::unix::net::UnixListener::bind(tree.join("tree/socket")).unwrap();
    expect(fix(NATIVE).arg(tree.join("tree")), 0);
    assert_eq!(loads(&good), NEW);
}
