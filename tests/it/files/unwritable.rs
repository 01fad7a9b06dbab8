//! What cannot be written: read-only folders, full disks, other users' files.

use super::*;

/// The file in this folder is as before, nothing was left beside it.
fn assert_untouched(file: &Path, before: &Snapshot, beside: &BTreeSet<OsString>, told: &str) {
    assert_eq!(&Snapshot::of(file), before, "{told}");
    assert_eq!(&names(file.parent().unwrap()), beside, "{told}");
}

#[test]
fn a_read_only_folder_allows_what_its_file_allows() {
    let test = "files::a_read_only_folder_allows_what_its_file_allows";
    if !has_cc(test) {
        return;
    }
    for mode in MODES {
        let tree = Tree::new();
        let folder = tree.folder("lib");
        let file = tree.library("lib/libuser.so");
        set_mode(&file, 0o644);
        give_to_nobody(&file);
        set_mode(&folder, 0o555);
        let (before, beside) = (Snapshot::of(&file), names(&folder));
        let Some(mut command) = fix_as_nobody(&tree, test) else {
            return;
        };
        let ended = expect(command.args(mode).arg(&folder), 0);
        // No temporary file can be made here, which is told where one was wanted.
        let is_told = ended.stdout.contains("written in place: its directory is not writable");
        assert_eq!(is_told, mode.is_empty(), "{mode:?}\n{}", ended.said());
        assert_eq!(loads(&file), NEW, "{mode:?}");
        assert_eq!(Snapshot::of(&file).inode, before.inode, "{mode:?}");
        assert_eq!(names(&folder), beside, "{mode:?}");
    }
}

#[test]
fn another_users_file_is_refused_by_name() {
    let test = "files::another_users_file_is_refused_by_name";
    if !has_cc(test) {
        return;
    }
    if !is_root() {
        skip(test, "only root can give files away");
        return;
    }
    for mode in MODES {
        let tree = Tree::new();
        let file = tree.library("lib/libuser.so");
        set_mode(&file, 0o644);
        let own = tree.library("own/libuser.so");
        give_to_nobody(&own);
        give_to_nobody(&tree.join("own"));
        let unreadable = tree.library("unreadable/libuser.so");
        set_mode(&unreadable, 0o600);
        let locked = tree.folder("locked");
        tree.library("locked/libuser.so");
        set_mode(&locked, 0o700);
        let files = [&file, &unreadable, &locked.join("libuser.so")];
        let before = files.map(|file| (Snapshot::of(file), names(file.parent().unwrap())));
        let Some(mut command) = fix_as_nobody(&tree, test) else {
            return;
        };
        command.args(mode);
        for name in ["lib", "locked", "own", "unreadable"] {
            command.arg(tree.join(name));
        }
        let ended = expect(&mut command, 2);
        for name in ["lib/libuser.so", "locked", "unreadable/libuser.so"] {
            let path = tree.join(name);
            assert!(ended.stderr.contains(path.to_str().unwrap()), "{mode:?} does not name {name}:\n{}", ended.said());
        }
        for (file, (snapshot, beside)) in files.into_iter().zip(&before) {
            assert_untouched(file, snapshot, beside, "another user's");
        }
        assert_eq!(loads(&own), NEW, "{mode:?}: one failure stops nothing else");
    }
}

/// `$1` mount point, `$2` pages that stay free, `$3` the file to copy there, `$4` the host program; then the command.
const FULL_DISK: &str = r#"
point=$1 file=$3 host=$4
fill "$point" "$2" "$file" libuser.so
shift 4
set +e
"$@" "$point/libuser.so"
code=$?
cmp -s "$file" "$point/libuser.so" && same=same || same=changed
"$host" "$point/libuser.so"
echo "RESULT $code $same $? $(ls -A "$point" | tr '\n' ' ')"
"#;

#[test]
fn a_full_disk_costs_nothing() {
    let test = "files::a_full_disk_costs_nothing";
    if !has_cc(test) {
        return;
    }
    let tree = Tree::new();
    let point = tree.folder("full");
    let host = host("host.c", NATIVE);
    let libraries: Vec<_> =
        of_all_linkers().iter().filter(|path| path.to_string_lossy().contains("Library-R")).collect();
    for library in libraries {
        for mode in MODES {
            for free in [0, 1, 2, 4] {
                let Some(mut shell) = mounting_shell(test, FULL_DISK) else {
                    return;
                };
                shell.arg(&point).arg(free.to_string()).arg(library).arg(&host);
                shell.arg(program()).args(["fix", "--driver"]).arg(&deps(NATIVE).new).args(mode);
                let ended = run(&mut shell);
                let Some(result) = result(&ended, test) else { return };
                let told = format!("{} {mode:?}, {free} pages free\n{}", library.display(), ended.said());
                let refused = format!("2 same {OLD} fill libuser.so ");
                let done = format!("0 changed {NEW} fill libuser.so ");
                // In place, an edit may need no more room; a copy of the file does not fit.
                assert!(result == refused || (!mode.is_empty() && result == done), "{told}");
                if result == refused {
                    assert!(ended.stderr.contains("libuser.so"), "the failure has no name: {told}");
                }
            }
        }
    }
}

/// `$1` mount point, `$2` the file to copy there; then the command.
const READ_ONLY_MOUNT: &str = r#"
point=$1 file=$2
shift 2
mount -t tmpfs -o size=8m,mode=755 tmpfs "$point"
cp "$file" "$point/libuser.so"
mount -o remount,ro "$point"
set +e
"$@" "$point/libuser.so"
code=$?
cmp -s "$file" "$point/libuser.so" && same=same || same=changed
echo "RESULT $code $same $(ls -A "$point" | tr '\n' ' ')"
"#;

#[test]
fn a_read_only_mount_is_refused_by_name() {
    let test = "files::a_read_only_mount_is_refused_by_name";
    if !has_cc(test) {
        return;
    }
    let tree = Tree::new();
    let point = tree.folder("mount");
    for mode in MODES {
        let Some(mut shell) = mounting_shell(test, READ_ONLY_MOUNT) else {
            return;
        };
        shell.arg(&point).arg(library()).arg(program()).args(["fix", "--driver"]).arg(&deps(NATIVE).new).args(mode);
        let ended = run(&mut shell);
        let Some(result) = result(&ended, test) else { return };
        assert_eq!(result, "2 same libuser.so ", "{mode:?}\n{}", ended.said());
        assert!(ended.stderr.contains("libuser.so"), "{mode:?}\n{}", ended.said());
    }
}

#[test]
fn a_file_size_limit_leaves_the_old_or_the_new_file() {
    let test = "files::a_file_size_limit_leaves_the_old_or_the_new_file";
    if !has_cc(test) || !require("prlimit", test) {
        return;
    }
    let tree = Tree::new();
    for library in of_all_linkers().iter().filter(|path| path.to_string_lossy().contains("Library-R")) {
        let size = std::fs::metadata(library).unwrap().len();
        for mode in MODES {
            let mut refused = 0;
            let mut limits = vec![0, 1, 64, 512, 1024, 4096, size / 2, size - 1, size, size + 1, size + 8];
            limits.extend([size + 64, size + 512, size + 4096, size + 20000]);
            for limit in limits {
                let file = tree.copy(library, "lib/libuser.so");
                let before = Snapshot::of(&file);
                let mut command = limited(&[&format!("--fsize={limit}")]);
                let ended = run(command.args(["fix", "--driver"]).arg(&deps(NATIVE).new).args(mode).arg(&file));
                let told = format!("{} {mode:?}, at most {limit} of {size} bytes\n{}", library.display(), ended.said());
                let beside = BTreeSet::from([OsString::from("libuser.so")]);
                assert_eq!(names(&tree.join("lib")), beside, "{told}");
                match ended.code {
                    0 => assert_eq!(loads(&file), NEW, "{told}"),
                    2 => {
                        refused += 1;
                        assert!(ended.stderr.contains("libuser.so"), "{told}");
                        assert_eq!(Snapshot::of(&file).contents, before.contents, "{told}");
                    }
                    _ => panic!("{told}"),
                }
            }
            assert!(refused > 3, "{} {mode:?}: no limit was in the way", library.display());
        }
    }
}
