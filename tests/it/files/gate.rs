//! Where a file is, whatever it is called: other mounts, other roots, links in names that were canonical, files that a run
//! writes beside its edits.

use super::*;

/// `$1` is mounted at `$2`; then the command.
const MOUNTED: &str = r#"
mount --bind "$1" "$2"
shift 2
set +e
"$@"
echo "RESULT $?"
"#;

fn store_file(tree: &Tree) -> PathBuf {
    let file = tree.library("store/0000-package/lib/libuser.so");
    std::fs::create_dir_all(tree.join("tree/point")).unwrap();
    file
}

#[test]
fn the_store_is_the_store_under_every_mount() {
    let test = "files::the_store_is_the_store_under_every_mount";
    if !has_cc(test) {
        return;
    }
    let all = ["store", "store/0000-package", "store/0000-package/lib", "store/0000-package/lib/libuser.so", "."];
    for mode in MODES {
        for (what, as_output) in all.iter().flat_map(|what| [(what, false), (what, true)]) {
            if *what == "store" && as_output {
                // As an argument, it is no output.
                continue;
            }
            let tree = Tree::new();
            let file = store_file(&tree);
            let is_file = what.ends_with(".so");
            let point = if is_file { tree.library("tree/point/own.so") } else { tree.join("tree/point") };
            let before = Snapshot::of(&file);
            let Some(mut shell) = mounting_shell(test, MOUNTED) else { return };
            shell.arg(tree.join(what)).arg(&point).arg(program()).args(["fix", "--driver"]).arg(&deps(NATIVE).new);
            shell.args(mode).arg(tree.join("tree/point")).env("NIX_STORE", tree.join("store"));
            if as_output {
                shell.env("NIX_BUILD_TOP", tree.join("build")).env("out", tree.join("store/0000-package"));
            }
            let ended = run(&mut shell);
            let Some(result) = result(&ended, test) else { return };
            let told = format!("{mode:?} {what} {as_output}\n{}", ended.said());
            let is_refused = !as_output || (is_file && mode.is_empty());
            if !as_output {
                assert!(result == "2" && ended.stderr.contains("Nix store"), "{told}");
            }
            assert_eq!(Snapshot::of(&file) == before, is_refused, "{told}");
        }
    }
}

#[test]
fn an_output_that_is_a_link_is_no_output() {
    if !has_cc("files::an_output_that_is_a_link_is_no_output") {
        return;
    }
    for mode in MODES {
        let tree = Tree::new();
        let file = store_file(&tree);
        symlink("0000-package", tree.join("store/1111-out")).unwrap();
        symlink("0000-package/lib/libuser.so", tree.join("store/2222-out.so")).unwrap();
        let before = Snapshot::of(&file);
        for name in ["store/1111-out", "store/1111-out/lib", "store/2222-out.so", "store/0000-package"] {
            let mut build = fix(NATIVE);
            build.env("NIX_STORE", tree.join("store")).env("NIX_BUILD_TOP", tree.join("build"));
            build.env("outputs", "out file").env("out", tree.join("store/1111-out"));
            build.env("file", tree.join("store/2222-out.so"));
            let ended = expect(build.args(mode).arg(tree.join(name)), 2);
            assert!(ended.stderr.contains("Nix store"), "{}", ended.said());
            assert_eq!(Snapshot::of(&file), before, "{mode:?} {name}");
        }
    }
}

#[test]
fn an_output_may_be_a_file_or_not_there_yet() {
    if !has_cc("files::an_output_may_be_a_file_or_not_there_yet") {
        return;
    }
    for mode in MODES {
        let tree = Tree::new();
        let file = tree.library("store/0000-out.so");
        let build = || {
            let mut build = fix(NATIVE);
            build.env("NIX_STORE", tree.join("store")).env("NIX_BUILD_TOP", tree.join("build"));
            build.env("outputs", "file out").env("file", &file).env("out", tree.join("store/1111-out"));
            build
        };
        let original = tree.library("home/libuser.so");
        expect(build().arg("--output").arg(tree.join("store/1111-out")).arg(tree.join("home")), 0);
        assert_eq!(loads(&tree.join("store/1111-out/libuser.so")), NEW);
        assert_eq!(loads(&original), OLD);
        expect(build().args(mode).arg(&file), 0);
        assert_eq!(loads(&file), NEW, "{mode:?}");
        let other = tree.library("store/2222-other.so");
        expect(build().args(mode).arg(&other), 2);
        assert_eq!(loads(&other), OLD, "{mode:?}");
    }
}

/// What is above a directory that is not there is no place, and what is made is made where the gate looked.
#[test]
fn no_copy_and_no_report_gets_into_the_store() {
    if !has_cc("files::no_copy_and_no_report_gets_into_the_store") {
        return;
    }
    let tree = Tree::new();
    store_file(&tree);
    let library = tree.library("home/libuser.so");
    symlink("../store", tree.join("home/link")).unwrap();
    symlink("../store/0000-package/lib/libuser.so", tree.join("home/list")).unwrap();
    let before = listing(&tree.join("store"));
    let in_store = |command: &mut Command, told: &str| {
        let ended = expect(command.env("NIX_STORE", tree.join("store")).current_dir(tree.join("home")), 2);
        assert!(listing(&tree.join("store")) == before, "{told}\n{}", ended.said());
    };
    let places = ["../store/new", "link/new", "link/0000-package/new", "missing/../../store/new", "link/missing/new"];
    for place in places {
        in_store(fix(NATIVE).args(["--output", place, "libuser.so"]), place);
        in_store(fix(NATIVE).args(["--receipt", place, "libuser.so"]), place);
        in_store(binary().args(["check", "--runtime-list", place, "libuser.so"]), place);
    }
    in_store(binary().args(["check", "--runtime-list", "list", "libuser.so"]), "a link to a file of the store");
    assert!(!tree.join("home/missing").exists());
    assert_eq!(loads(&library), OLD);
}

/// A list is written anew: other names of the file that was there keep what they had.
#[test]
fn a_list_takes_a_name_and_no_contents() {
    if !has_cc("files::a_list_takes_a_name_and_no_contents") {
        return;
    }
    let tree = Tree::new();
    let library = tree.library("libuser.so");
    std::fs::write(tree.join("old"), "old").unwrap();
    std::fs::hard_link(tree.join("old"), tree.join("list")).unwrap();
    symlink("list", tree.join("link")).unwrap();
    for list in ["link", "list", "new"] {
        let run = run(binary().args(["check", "--runtime-list", list]).arg(&library).current_dir(tree.path()));
        assert!(run.code < 2, "{}", run.said());
        assert!(std::fs::read_to_string(tree.join(list)).unwrap().contains("runtime-list"), "{list}");
    }
    assert!(tree.join("link").is_symlink());
    assert_eq!(std::fs::read_to_string(tree.join("old")).unwrap(), "old");
    let mut shell = command("sh");
    shell.args(["-c", "\"$0\" check -q --runtime-list /dev/stdout \"$1\" | cat"]).arg(program()).arg(&library);
    assert!(run(&mut shell).stdout.contains("runtime-list"));
}

/// A receipt has names without links: one that leads through a link by now is another file's.
#[test]
fn a_receipt_does_not_follow_a_link_that_came_since() {
    if !has_cc("files::a_receipt_does_not_follow_a_link_that_came_since") {
        return;
    }
    let tree = Tree::new();
    let library = tree.library("tree/lib/libuser.so");
    let receipt = tree.join("receipt");
    expect(fix(NATIVE).arg("--receipt").arg(&receipt).arg(tree.join("tree")), 0);
    let fixed = Snapshot::of(&library);
    std::fs::rename(tree.join("tree/lib"), tree.join("tree/aside")).unwrap();
    symlink("aside", tree.join("tree/lib")).unwrap();
    expect(binary().args(["fix", "--revert"]).arg(&receipt), 2);
    assert_eq!(Snapshot::of(&library), fixed);
    std::fs::remove_file(tree.join("tree/lib")).unwrap();
    std::fs::rename(tree.join("tree/aside"), tree.join("tree/lib")).unwrap();
    expect(binary().args(["fix", "--revert"]).arg(&receipt), 0);
    assert_eq!(loads(&library), OLD);
}

/// `$1` is a folder with a file in it that another process sees another one in the place of; then the command, which finds
/// that process's root in `$ROOT`.
const OTHER_ROOT: &str = r#"
folder=$1 file=$2
shift 2
mkfifo "$folder/../ready"
unshare -m sh -ec 'mount -t tmpfs none "$1"; cp "$2" "$1/inside.so"; mkdir "$1/sub"; ln -s "$1/inside.so" "$1/sub/link.so"
    : >"$1/../ready"; exec sleep 60' sh "$folder" "$file" &
other=$!
: <"$folder/../ready"
set +e
ROOT=/proc/$other/root sh -c "$1" sh "$folder"
echo "RESULT $?"
kill "$other"
"#;

#[test]
fn a_root_under_proc_is_that_root() {
    let test = "files::a_root_under_proc_is_that_root";
    if !has_cc(test) {
        return;
    }
    let tree = Tree::new();
    let folder = tree.folder("folder");
    let library = tree.library("outside.so");
    for name in ["inside.so", "outside.so"] {
        tree.library(folder.join(name));
    }
    let before = listing(&folder);
    let say = |script: &str| {
        let mut shell = mounting_shell(test, OTHER_ROOT)?;
        shell.arg(&folder).arg(&library).arg(script).env("BIN", program()).env("NEW", &deps(NATIVE).new);
        let ended = run(&mut shell);
        std::fs::remove_file(tree.join("ready")).unwrap();
        assert!(listing(&folder) == before, "{script}\n{}", ended.said());
        result(&ended, test)?;
        Some(ended)
    };
    let Some(ended) = say("\"$BIN\" fix --driver \"$NEW\" \"$ROOT$1\" && cmp \"$ROOT$1/inside.so\" \"$1/inside.so\"")
    else {
        return;
    };
    assert!(ended.stdout.contains("fixed") && ended.stdout.contains("RESULT 1"), "{}", ended.said());
    // A link of that root leads into that root.
    let ended = say("\"$BIN\" fix --driver \"$NEW\" \"$ROOT$1/sub/link.so\"").unwrap();
    assert!(ended.stdout.contains("fixed") && ended.stdout.contains("RESULT 0"), "{}", ended.said());
    let ended = say("\"$BIN\" check -v --json --root \"$ROOT\" \"$1\"").unwrap();
    assert!(ended.stdout.contains("inside.so") && !ended.stdout.contains("outside.so"), "{}", ended.said());
    // What a receipt names is that root's file.
    let ended =
        say("\"$BIN\" fix -q --receipt r --driver \"$NEW\" \"$ROOT$1/inside.so\"; \"$BIN\" fix --revert r; rm r")
            .unwrap();
    assert!(ended.stdout.contains("reverted"), "{}", ended.said());
}

/// `$1` is mounted at `$2` for another process only; then the command, which gets there by that process's root.
const MOUNTED_ELSEWHERE: &str = r#"
what=$1 point=$2
shift 2
mkfifo "$point/../ready"
unshare -m sh -ec 'mount --bind "$1" "$2"; : >"$2/../ready"; exec sleep 60' sh "$what" "$point" &
other=$!
: <"$point/../ready"
set +e
"$@" "/proc/$other/root$point"
echo "RESULT $?"
kill "$other"
"#;

#[test]
fn the_store_is_the_store_in_another_mount_namespace() {
    let test = "files::the_store_is_the_store_in_another_mount_namespace";
    if !has_cc(test) {
        return;
    }
    for mode in MODES {
        for what in ["store", "store/0000-package", "store/0000-package/lib"] {
            let tree = Tree::new();
            let file = store_file(&tree);
            let before = Snapshot::of(&file);
            let Some(mut shell) = mounting_shell(test, MOUNTED_ELSEWHERE) else { return };
            shell.arg(tree.join(what)).arg(tree.join("tree/point")).arg(program()).args(["fix", "--driver"]);
            shell.arg(&deps(NATIVE).new).args(mode).env("NIX_STORE", tree.join("store"));
            let ended = run(&mut shell);
            let Some(result) = result(&ended, test) else { return };
            let told = format!("{mode:?} {what}\n{}", ended.said());
            assert!(result == "2" && ended.stderr.contains("Nix store"), "{told}");
            assert_eq!(Snapshot::of(&file), before, "{told}");
        }
    }
}

/// A directory 5,000 levels down has a path longer than the kernel takes at once; few descriptors are enough for it.
#[test]
fn a_deep_tree_is_fixed_with_few_descriptors() {
    let test = "files::a_deep_tree_is_fixed_with_few_descriptors";
    if !has_cc(test) || !require("prlimit", test) || !require("strace", test) {
        return;
    }
    let tree = Tree::new();
    let root = tree.folder("deep");
    let original = std::fs::read(library()).unwrap();
    let flags = rustix::fs::OFlags::DIRECTORY;
    let mut at = std::fs::File::from(rustix::fs::open(&root, flags, rustix::fs::Mode::empty()).unwrap());
    for _ in 0..5000 {
        rustix::fs::mkdirat(&at, "d", 0o755.into()).unwrap();
        at = rustix::fs::openat(&at, "d", flags, rustix::fs::Mode::empty()).unwrap().into();
    }
    let file_in = |name: &str| {
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CREATE;
        std::fs::File::from(rustix::fs::openat(&at, name, flags, 0o755.into()).unwrap())
    };
    let hiding = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=openat2", "-e", "inject=openat2:error=ENOSYS"];
    for (kernel, mode) in [(&[][..], MODES[0]), (&[], MODES[1]), (&hiding[..], MODES[1])] {
        file_in("lib.so").write_all(&original).unwrap();
        file_in("lib.so").set_len(u64::try_from(original.len()).unwrap()).unwrap();
        let mut fixing = limited(&["--nofile=64"]);
        if !kernel.is_empty() {
            if !crate::harness::can_trace(test) {
                continue;
            }
            fixing = command("strace");
            fixing.args(kernel).arg(program());
        }
        let ended =
            expect(fixing.args(["fix", "-q", "-j2", "--driver"]).arg(&deps(NATIVE).new).args(mode).arg(&root), 0);
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut file_in("lib.so"), &mut bytes).unwrap();
        assert_ne!(bytes, original, "{mode:?}\n{}", ended.said());
    }
    expect(&mut *limited(&["--nofile=64"]).args(["show"]).arg(&root), 0);
    expect(fix(NATIVE).arg("--output").arg(tree.join("copy")).arg(&root), 0);
    expect(command("rm").arg("-rf").arg(&root).arg(tree.join("copy")), 0);
}

/// `$1` is mounted at `$2` and unmounted again while somebody is in it; then the command, there.
const DETACHED: &str = r#"
mount --bind "$1" "$2"
cd "$2"
exec 7<.
umount -l "$2"
shift 2
set +e
"$@"
echo "RESULT $?"
"#;

/// A mount that no table has any more shows a part of some file system, and nothing tells which.
#[test]
fn what_no_table_of_mounts_has_is_refused_where_there_is_a_store() {
    let test = "files::what_no_table_of_mounts_has_is_refused_where_there_is_a_store";
    if !has_cc(test) {
        return;
    }
    let ways = [&["."][..], &["--in-place", "."], &["/proc/self/fd/7/libuser.so"], &["--receipt", "new", "."]];
    for (way, has_store) in ways.iter().flat_map(|way| [(way, true), (way, false)]) {
        let tree = Tree::new();
        let file = store_file(&tree);
        let before = Snapshot::of(&file);
        let Some(mut shell) = mounting_shell(test, DETACHED) else { return };
        shell.arg(file.parent().unwrap()).arg(tree.join("tree/point")).arg(program()).args(["fix", "--driver"]);
        shell.arg(&deps(NATIVE).new).args(*way);
        shell.env("NIX_STORE", tree.join(if has_store { "store" } else { "no-store" }));
        let ended = run(&mut shell);
        let Some(result) = result(&ended, test) else { return };
        let told = format!("{way:?} {has_store}\n{}", ended.said());
        if has_store {
            assert!(result == "2" && ended.stderr.contains("no table of mounts"), "{told}");
            assert_eq!(Snapshot::of(&file), before, "{told}");
            assert_eq!(names(file.parent().unwrap()).len(), 1, "{told}");
        } else {
            assert!(result == "0" && Snapshot::of(&file) != before, "{told}");
        }
    }
}
