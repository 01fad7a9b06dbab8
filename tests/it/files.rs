//! What happens on the file system: names, links, modes, running programs, full disks, and what is never written.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::fixtures::{
    Ended, LINKERS, Link, NEW, OLD, OldPath, Shape, build_folder, clean, deps, drop_section_headers, fix, json, run,
    run_file, text,
};
use crate::support::{Snapshot, binary, program, require, skip};

/// The two write modes of an edit.
const MODES: [&[&str]; 2] = [&[], &["--in-place"]];

/// A user and group that own nothing here.
const NOBODY: u32 = 65534;

/// A folder for one test, open to every user on the way to it.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("crp-files-").tempdir().unwrap();
        set_mode(folder.path(), 0o755);
        Self(folder)
    }

    fn path(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.0.path().join(Path::new(name.as_ref()))
    }

    fn folder(&self, name: impl AsRef<OsStr>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    fn copy(&self, from: &Path, name: impl AsRef<OsStr>) -> PathBuf {
        let to = self.path(name);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(from, &to).unwrap();
        to
    }

    /// A library whose RUNPATH is the old directory.
    fn library(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.copy(library(), name)
    }

    /// A program whose RUNPATH is the old directory.
    fn program(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.copy(fixture_program(), name)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // A folder that a test made read-only would stay behind where the tests do not run as root.
        make_writable(self.0.path());
    }
}

fn make_writable(folder: &Path) {
    if folder.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
        let _ = std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755));
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            make_writable(&entry.path());
        }
    }
}

fn library() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let out = build_folder().join("library.so");
        Link::new("user_library.c", Shape::Library).to(&out);
        out
    })
}

fn fixture_program() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let out = build_folder().join("program");
        Link::new("user_program.c", Shape::Pie).to(&out);
        out
    })
}

/// One library and one program of every linker that is here, with every kind of old path.
fn of_all_linkers() -> &'static [PathBuf] {
    static MADE: OnceLock<Vec<PathBuf>> = OnceLock::new();
    MADE.get_or_init(|| {
        let mut made = Vec::new();
        for (linker, tool) in LINKERS {
            if !require(tool, "files::of_all_linkers") {
                continue;
            }
            for (source, shape) in
                [("user_library.c", Shape::Library), ("user_program.c", Shape::Pie), ("user_program.c", Shape::Exec)]
            {
                for path in [OldPath::Runpath, OldPath::Rpath, OldPath::None] {
                    let out = build_folder().join(format!("{linker}-{shape:?}-{path:?}"));
                    Link::new(source, shape).linker(linker).path(path).to(&out);
                    if path == OldPath::None {
                        let bare = build_folder().join(format!("{linker}-{shape:?}-bare"));
                        std::fs::copy(&out, &bare).unwrap();
                        drop_section_headers(&bare, true);
                        made.push(bare);
                    }
                    made.push(out);
                }
            }
        }
        made
    })
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn names(folder: &Path) -> BTreeSet<OsString> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
}

/// What a library's dependency says: which directory it came from.
fn loads(library: &Path) -> i32 {
    run_file(library, Shape::Library, 0, "user_number", None).code
}

fn starts(program: &Path) -> i32 {
    run(&mut clean(program)).code
}

/// Runs, and wants this exit code.
fn expect(command: &mut Command, code: i32) -> Ended {
    let ended = run(command);
    assert_eq!(ended.code, code, "{command:?}\n{}", ended.said());
    ended
}

fn outcomes(document: &serde_json::Value) -> Vec<String> {
    let files = document["files"].as_array().unwrap();
    files.iter().map(|file| file["outcome"].as_str().unwrap().to_owned()).collect()
}

fn has_cc(test: &str) -> bool {
    require("cc", test)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// `fix --driver NEW` as a user without rights to other users' files; None where that cannot be had.
fn fix_as_nobody(tree: &Tree, test: &str) -> Option<Command> {
    if !is_root() {
        return Some(fix(0));
    }
    if !require("setpriv", test) {
        return None;
    }
    // The build folder may be below a folder that only root enters.
    let copy = tree.path("the-binary");
    if !copy.exists() {
        // By another process: a descriptor that this one writes with may be in a child of another test for a moment,
        // and a file that is open for writing cannot be executed.
        expect(clean("cp").arg(program()).arg(&copy), 0);
    }
    let mut command = clean("setpriv");
    command.args([&format!("--reuid={NOBODY}"), &format!("--regid={NOBODY}"), "--clear-groups"]);
    for name in ["NIX_STORE", "NIX_BUILD_TOP"] {
        command.env_remove(name);
    }
    command.arg(copy).arg("fix").arg("--driver").arg(&deps(0).new);
    Some(command)
}

fn give_to_nobody(path: &Path) {
    if is_root() {
        std::os::unix::fs::lchown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

// ---- names, modes and links ----

#[test]
fn a_read_only_file_is_fixed_and_stays_read_only() {
    let test = "files::a_read_only_file_is_fixed_and_stays_read_only";
    if !has_cc(test) {
        return;
    }
    for mode in MODES {
        for permissions in [0o444, 0o555, 0o400] {
            let tree = Tree::new();
            let folder = tree.folder("lib");
            let file = tree.library("lib/libuser.so");
            set_mode(&file, permissions);
            give_to_nobody(&file);
            give_to_nobody(&folder);
            let Some(mut command) = fix_as_nobody(&tree, test) else {
                return;
            };
            expect(command.args(mode).arg(&file), 0);
            assert_eq!(loads(&file), NEW, "{mode:?} {permissions:o}");
            assert_eq!(Snapshot::of(&file).mode & 0o7777, permissions, "{mode:?}");
            assert_eq!(names(&folder).len(), 1, "{mode:?} leaves {:?}", names(&folder));
        }
    }
}

#[test]
fn neither_the_name_nor_the_executable_bit_decides() {
    if !has_cc("files::neither_the_name_nor_the_executable_bit_decides") {
        return;
    }
    for mode in MODES {
        let tree = Tree::new();
        let hidden = tree.program("bin/.tool-wrapped");
        let plain = tree.program("share/data.txt");
        set_mode(&plain, 0o644);
        let deep = tree.library(".hidden/deep/er/module");
        std::fs::write(tree.path("bin/script.so"), "#!/bin/sh\n").unwrap();
        let ended = expect(fix(0).arg("--json").args(mode).arg(tree.path("")), 0);
        let document = json(&ended);
        assert_eq!(document["summary"]["fixed"], 3, "{document}");
        assert_eq!(document["summary"]["elf"], 3, "{document}");
        assert_eq!(Snapshot::of(&plain).mode & 0o7777, 0o644);
        set_mode(&plain, 0o755);
        assert_eq!((starts(&hidden), starts(&plain), loads(&deep)), (NEW, NEW, NEW), "{mode:?}");
    }
}

#[test]
fn any_bytes_are_a_name() {
    if !has_cc("files::any_bytes_are_a_name") {
        return;
    }
    for mode in MODES {
        let tree = Tree::new();
        let odd: [&[u8]; 6] = [
            b"with space.so",
            b"new\nline.so",
            b"bad\xff\xfe.so",
            b"-v",
            b"quote\"'\\.so",
            "gr\u{fc}n\u{2028}.so".as_bytes(),
        ];
        let files: Vec<_> =
            odd.iter().map(|name| tree.library(Path::new("tree").join(OsStr::from_bytes(name)))).collect();
        let ended = expect(fix(0).args(["--json"]).args(mode).arg("tree").current_dir(tree.path("")), 0);
        let document = json(&ended);
        assert_eq!(outcomes(&document), vec!["fixed"; odd.len()]);
        for file in &files {
            assert_eq!(loads(file), NEW, "{mode:?} {}", file.display());
        }
        let entries = document["files"].as_array().unwrap();
        for name in odd {
            let whole = [b"tree/", name].concat();
            let found = entries.iter().any(|entry| match std::str::from_utf8(&whole) {
                Ok(name) => entry["path"] == name && entry.get("pathHex").is_none(),
                Err(_) => {
                    let hex: String = whole.iter().map(|byte| format!("{byte:02x}")).collect();
                    let path = entry["path"].as_str().unwrap();
                    // The escape is text that says which byte it was, not a mark that something was lost.
                    entry["pathHex"] == *hex && path.starts_with("tree/bad\\") && !path.contains('\u{fffd}')
                }
            });
            assert!(found, "{} is not told right in {document}", text(&whole));
        }
        // In path order, compared as bytes.
        let mut sorted: Vec<_> = odd.to_vec();
        sorted.sort_unstable();
        let order: Vec<_> = entries
            .iter()
            .map(|entry| {
                odd.iter().position(|name| {
                    let tail = entry["path"].as_str().unwrap().strip_prefix("tree/").unwrap().as_bytes();
                    tail == *name || (tail.starts_with(b"bad") && name.starts_with(b"bad"))
                })
            })
            .collect();
        let wanted: Vec<_> = sorted.iter().map(|name| odd.iter().position(|other| other == name)).collect();
        assert_eq!(order, wanted, "{document}");
        // A second run, for people.
        let again = expect(fix(0).args(mode).args(["--", "tree"]).current_dir(tree.path("")), 0);
        assert_eq!(again.out().lines().count(), 1, "{}", again.said());
    }
}

#[test]
fn two_names_of_one_file_are_one_edit() {
    if !has_cc("files::two_names_of_one_file_are_one_edit") {
        return;
    }
    for mode in MODES {
        let tree = Tree::new();
        let first = tree.library("a/libuser.so");
        tree.folder("b");
        let second = tree.path("b/libuser.so.1");
        std::fs::hard_link(&first, &second).unwrap();
        let before = Snapshot::of(&first);
        let ended = expect(fix(0).args(["--json", "-v"]).args(mode).arg(tree.path("")), 0);
        let document = json(&ended);
        let outcomes = outcomes(&document);
        assert_eq!(outcomes.iter().filter(|outcome| *outcome == "fixed").count(), 1, "{document}");
        assert_eq!(outcomes.len(), 2, "the second name is told: {document}");
        assert_eq!(document["summary"]["fixed"], 1, "{document}");
        let (one, other) = (Snapshot::of(&first), Snapshot::of(&second));
        assert_eq!(one, other, "{mode:?}");
        // Written in place in both modes: another inode would leave the other name with the old file.
        assert_eq!(one.inode, before.inode, "{mode:?}");
        assert_eq!(std::fs::metadata(&first).unwrap().nlink(), 2);
        assert_eq!((loads(&first), loads(&second)), (NEW, NEW), "{mode:?}");
        expect(fix(0).args(mode).arg(tree.path("")), 0);
        assert_eq!(Snapshot::of(&first), one, "{mode:?}: a second run writes nothing");
        // Only one name is in the tree; the file is fixed all the same, and so is what the other name shows.
        let alone = Tree::new();
        let inside = alone.library("in/libuser.so");
        let outside = alone.path("outside.so");
        std::fs::hard_link(&inside, &outside).unwrap();
        expect(fix(0).args(mode).arg(alone.path("in")), 0);
        assert_eq!((loads(&inside), loads(&outside)), (NEW, NEW), "{mode:?}");
        assert_eq!(names(&alone.path("in")).len(), 1);
    }
}

#[test]
fn symbolic_links_are_followed_as_arguments_only() {
    if !has_cc("files::symbolic_links_are_followed_as_arguments_only") {
        return;
    }
    for mode in MODES {
        let tree = Tree::new();
        let outside = tree.library("outside/libuser.so");
        let inside = tree.library("tree/libinside.so");
        symlink("../outside/libuser.so", tree.path("tree/link.so")).unwrap();
        symlink("../outside", tree.path("tree/folder-link")).unwrap();
        symlink("nowhere", tree.path("tree/broken")).unwrap();
        symlink(".", tree.path("tree/cycle")).unwrap();
        symlink("libinside.so", tree.path("tree/libinside.so.1")).unwrap();
        let before = Snapshot::of(&outside);
        let ended = expect(fix(0).arg("--json").args(mode).arg(tree.path("tree")), 0);
        assert_eq!(json(&ended)["summary"]["fixed"], 1, "{}", ended.said());
        assert_eq!(Snapshot::of(&outside), before, "{mode:?}");
        assert_eq!(loads(&inside), NEW);
        assert_eq!(std::fs::read_link(tree.path("tree/libinside.so.1")).unwrap(), Path::new("libinside.so"));

        // As an argument: the target is edited, the link stays a link.
        symlink("outside/libuser.so", tree.path("argument.so")).unwrap();
        expect(fix(0).args(mode).arg(tree.path("argument.so")), 0);
        assert_eq!(loads(&outside), NEW, "{mode:?}");
        assert_eq!(std::fs::read_link(tree.path("argument.so")).unwrap(), Path::new("outside/libuser.so"));
        assert_eq!(names(&tree.path("outside")).len(), 1);

        let target = tree.library("result-target/lib/libuser.so");
        symlink("result-target", tree.path("result")).unwrap();
        expect(fix(0).args(mode).arg(tree.path("result")), 0);
        assert_eq!(loads(&target), NEW, "{mode:?}");
        assert!(tree.path("result").is_symlink());
    }
}

#[test]
fn a_running_program_is_replaced_and_goes_on() {
    if !has_cc("files::a_running_program_is_replaced_and_goes_on") {
        return;
    }
    for mode in MODES {
        let tree = Tree::new();
        let file = tree.program("bin/program");
        let before = Snapshot::of(&file);
        let mut command = clean(&file);
        command.arg("wait").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut running = loop {
            match command.spawn() {
                // See `fixtures::run`.
                Err(e) if e.kind() == std::io::ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
                other => break other.unwrap(),
            }
        };
        let mut line = String::new();
        BufReader::new(running.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");

        let ended = run(fix(0).arg("--json").args(mode).arg(&file));
        drop(running.stdin.take());
        let finished = running.wait().unwrap();
        assert_eq!(ended.code, 0, "{mode:?}\n{}", ended.said());
        assert_eq!(json(&ended)["files"][0]["write"], "replace", "{mode:?}\n{}", ended.out());
        assert_eq!(finished.code(), Some(OLD), "{mode:?}: the running program has its old file");
        assert_eq!(starts(&file), NEW, "{mode:?}");
        assert_ne!(Snapshot::of(&file).inode, before.inode, "{mode:?}");
        assert_eq!(Snapshot::of(&file).mode, before.mode, "{mode:?}");
        assert_eq!(names(&tree.path("bin")).len(), 1, "{mode:?}");
    }
}

#[test]
fn mode_owner_and_attributes_are_kept() {
    let test = "files::mode_owner_and_attributes_are_kept";
    if !has_cc(test) {
        return;
    }
    for mode in MODES {
        for as_nobody in [false, true] {
            let tree = Tree::new();
            let folder = tree.folder("bin");
            let file = tree.program("bin/program");
            let neighbour = tree.copy(Path::new("/proc/self/status"), "bin/neighbour");
            let before_neighbour = Snapshot::of(&neighbour);
            let mut command = if as_nobody {
                give_to_nobody(&file);
                give_to_nobody(&folder);
                match fix_as_nobody(&tree, test) {
                    Some(command) => command,
                    None => continue,
                }
            } else {
                if is_root() {
                    chown(&file, Some(1234), Some(4321)).unwrap();
                }
                fix(0)
            };
            // After chown, which takes the setuid bit.
            set_mode(&file, 0o4755);
            let attribute = rustix::fs::setxattr(&file, "user.test", b"kept\0too", rustix::fs::XattrFlags::empty());
            if attribute.is_err() {
                skip(test, "no user attributes on the file system of temporary files");
            }
            let before = std::fs::metadata(&file).unwrap();
            expect(command.args(mode).arg(&folder), 0);
            let after = std::fs::metadata(&file).unwrap();
            let told = format!("{mode:?}, as nobody: {as_nobody}");
            assert_eq!(format!("{:o}", after.mode()), format!("{:o}", before.mode()), "{told}");
            assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()), "{told}");
            if attribute.is_ok() {
                let mut value = [0; 32];
                let size = rustix::fs::getxattr(&file, "user.test", &mut value).unwrap();
                assert_eq!(&value[..size], b"kept\0too", "{told}");
            }
            assert_eq!(Snapshot::of(&neighbour), before_neighbour, "{told}");
            // The loader ignores nothing that this program needs when it is setuid, but root's own runs are not.
            set_mode(&file, 0o755);
            assert_eq!(starts(&file), NEW, "{told}");
        }
    }
}

// ---- what cannot be written ----

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
        let is_told = ended.out().contains("written in place: its directory is not writable");
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
        give_to_nobody(&tree.path("own"));
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
            command.arg(tree.path(name));
        }
        let ended = expect(&mut command, 2);
        for name in ["lib/libuser.so", "locked", "unreadable/libuser.so"] {
            let path = tree.path(name);
            assert!(ended.err().contains(path.to_str().unwrap()), "{mode:?} does not name {name}:\n{}", ended.said());
        }
        for (file, (snapshot, beside)) in files.into_iter().zip(&before) {
            assert_untouched(file, snapshot, beside, "another user's");
        }
        assert_eq!(loads(&own), NEW, "{mode:?}: one failure stops nothing else");
    }
}

/// A shell that may mount in a namespace of its own; None where the kernel refuses.
fn mounting_shell(test: &str, script: &str) -> Option<Command> {
    if !require("unshare", test) || !require("mount", test) {
        return None;
    }
    let flags: &[&str] = if is_root() { &["-m"] } else { &["-U", "-r", "-m"] };
    if run(clean("unshare").args(flags).arg("true")).code != 0 {
        skip(test, "no mount namespaces here");
        return None;
    }
    let mut command = clean("unshare");
    for name in ["NIX_STORE", "NIX_BUILD_TOP"] {
        command.env_remove(name);
    }
    command.args(flags).args(["sh", "-c", script, "sh"]);
    Some(command)
}

/// `$1` mount point, `$2` pages that stay free, `$3` the file to copy there, `$4` the host program; then the command.
const FULL_DISK: &str = r#"
set -e
point=$1 free=$2 file=$3 host=$4
shift 4
mount -t tmpfs -o size=8m,mode=755 tmpfs "$point"
cp "$file" "$point/libuser.so"
# What the fill leaves is exactly the free pages.
dd if=/dev/zero of="$point/spare" bs=4096 count="$free" 2>/dev/null
dd if=/dev/zero of="$point/fill" bs=4096 2>/dev/null || true
rm "$point/spare"
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
    let host = crate::fixtures::host("host.c", 0);
    let libraries: Vec<_> =
        of_all_linkers().iter().filter(|path| path.to_string_lossy().contains("Library-R")).collect();
    for library in libraries {
        for mode in MODES {
            for free in [0, 1, 2, 4] {
                let Some(mut shell) = mounting_shell(test, FULL_DISK) else {
                    return;
                };
                shell.arg(&point).arg(free.to_string()).arg(library).arg(&host);
                shell.arg(program()).args(["fix", "--driver"]).arg(&deps(0).new).args(mode);
                let ended = run(&mut shell);
                let out = ended.out();
                let Some(result) = out.lines().find_map(|line| line.strip_prefix("RESULT ")) else {
                    skip(test, &format!("no tmpfs here: {}", ended.err()));
                    return;
                };
                let told = format!("{} {mode:?}, {free} pages free\n{}", library.display(), ended.said());
                let refused = format!("2 same {OLD} fill libuser.so ");
                let done = format!("0 changed {NEW} fill libuser.so ");
                // In place, an edit may need no more room; a copy of the file does not fit.
                assert!(result == refused || (!mode.is_empty() && result == done), "{told}");
                if result == refused {
                    assert!(ended.err().contains("libuser.so"), "the failure has no name: {told}");
                }
            }
        }
    }
}

/// `$1` mount point, `$2` the file to copy there; then the command.
const READ_ONLY_MOUNT: &str = r#"
set -e
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
        shell.arg(&point).arg(library()).arg(program()).args(["fix", "--driver"]).arg(&deps(0).new).args(mode);
        let ended = run(&mut shell);
        let out = ended.out();
        let Some(result) = out.lines().find_map(|line| line.strip_prefix("RESULT ")) else {
            skip(test, &format!("no tmpfs here: {}", ended.err()));
            return;
        };
        assert_eq!(result, "2 same libuser.so ", "{mode:?}\n{}", ended.said());
        assert!(ended.err().contains("libuser.so"), "{mode:?}\n{}", ended.said());
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
                let mut command = clean("prlimit");
                command.arg(format!("--fsize={limit}")).arg(program()).args(["fix", "--driver"]);
                let ended = run(command.arg(&deps(0).new).args(mode).arg(&file));
                let told = format!("{} {mode:?}, at most {limit} of {size} bytes\n{}", library.display(), ended.said());
                let beside = BTreeSet::from([OsString::from("libuser.so")]);
                assert_eq!(names(&tree.path("lib")), beside, "{told}");
                match ended.code {
                    0 => assert_eq!(loads(&file), NEW, "{told}"),
                    2 => {
                        refused += 1;
                        assert!(ended.err().contains("libuser.so"), "{told}");
                        assert_eq!(Snapshot::of(&file).bytes, before.bytes, "{told}");
                    }
                    _ => panic!("{told}"),
                }
            }
            assert!(refused > 3, "{} {mode:?}: no limit was in the way", library.display());
        }
    }
}

// ---- what is walked ----

/// Many small files in several folders, with one that cannot be read as ELF.
fn big_tree(tree: &Tree, name: &str) {
    for folder in 0..8 {
        for file in 0..12 {
            tree.library(format!("{name}/d{folder}/lib{file}.so"));
            std::fs::write(tree.path(format!("{name}/d{folder}/text{file}")), "no ELF").unwrap();
        }
        std::fs::write(tree.path(format!("{name}/d{folder}/cut.so")), b"\x7fELF\x02\x01\x01").unwrap();
    }
}

#[test]
fn the_output_does_not_depend_on_the_number_of_threads() {
    if !has_cc("files::the_output_does_not_depend_on_the_number_of_threads") {
        return;
    }
    for flags in [&[][..], &["-v"], &["-vv"], &["--json"], &["--json", "-v"], &["--diff"], &["--dry-run"], &["-q"]] {
        let mut said: Option<Ended> = None;
        for threads in ["1", "4", "16"] {
            let tree = Tree::new();
            big_tree(&tree, "tree");
            let mut command = fix(0);
            command.args(["-j", threads]).args(flags).arg("tree").current_dir(tree.path(""));
            // The cut files are failures, named.
            let ended = expect(&mut command, 2);
            if flags.contains(&"--json") {
                assert_eq!(json(&ended)["summary"]["failed"], 8, "{}", ended.said());
            } else {
                assert_eq!(ended.err().matches("cut.so").count(), 8, "{}", ended.said());
            }
            if let Some(said) = &said {
                assert_eq!(ended.out(), said.out(), "-j {threads} {flags:?}");
                assert_eq!(ended.err(), said.err(), "-j {threads} {flags:?}");
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
    expect(fix(0).arg(tree.path("tree/d0/lib0.so")), 0);
    let ended = expect(fix(0).arg("tree").current_dir(tree.path("")), 2);
    let out = ended.out();
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

            let mut command = fix(0);
            command.current_dir(tree.path("")).args(zero.then_some("-0"));
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            if stdin {
                command.args(["--files-from", "-"]);
            } else {
                std::fs::write(tree.path("list"), &list).unwrap();
                command.args(["--files-from", "list"]);
            }
            let mut child = command.spawn().unwrap();
            let mut input = child.stdin.take().unwrap();
            if stdin {
                input.write_all(&list).unwrap();
            }
            drop(input);
            let ended: Ended = child.wait_with_output().unwrap().into();
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
    std::fs::write(tree.path("list"), "missing.so\nthere.so\n").unwrap();
    let ended = expect(fix(0).args(["--files-from", "list"]).current_dir(tree.path("")), 2);
    assert!(ended.err().contains("missing.so"), "{}", ended.said());
    assert_eq!(loads(&there), NEW);
    let ended = expect(fix(0).args(["--files-from", "no-list"]).current_dir(tree.path("")), 2);
    assert!(ended.err().contains("no-list"), "{}", ended.said());
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
        let mut command = fix(0);
        command.args(mode).args(["--exclude", "*keepme*", "--exclude", "*.abi3.so"]);
        expect(command.arg("tree").current_dir(tree.path("")), 0);
        assert_eq!(kept.each_ref().map(|file| Snapshot::of(file)), before);
        assert_eq!(Snapshot::of(&also), before_also);
        assert_eq!(loads(&fixed), NEW);
    }
    let ended = run(fix(0).args(["--exclude", "a[", "."]));
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
        symlink("nowhere", tree.path("broken-link")).unwrap();
        for bad in ["not-there", "broken-link", "good.so/not-a-folder", ""] {
            let bad = if bad.is_empty() { PathBuf::new() } else { tree.path(bad) };
            let ended = expect(fix(0).args(mode).arg(&bad), 2);
            assert!(ended.err().contains(bad.to_str().unwrap()), "{}", ended.said());
            assert!(!ended.err().is_empty());
        }
        assert_eq!(loads(&good), OLD);
        let ended = expect(fix(0).args(mode).arg(tree.path("not-there")).arg(&good), 2);
        assert!(ended.err().contains("not-there"), "{}", ended.said());
        assert_eq!(loads(&good), NEW, "{mode:?}: one failure stops nothing else");
    }
    expect(&mut fix(0), 2);
}

#[test]
fn special_files_are_no_trap() {
    let test = "files::special_files_are_no_trap";
    if !has_cc(test) || !require("mkfifo", test) {
        return;
    }
    let tree = Tree::new();
    let good = tree.library("tree/good.so");
    expect(clean("mkfifo").arg(tree.path("tree/pipe")), 0);
    let _socket = std::os::unix::net::UnixListener::bind(tree.path("tree/socket")).unwrap();
    expect(fix(0).arg(tree.path("tree")), 0);
    assert_eq!(loads(&good), NEW);
}

// ---- what only tells ----

#[test]
fn check_finds_what_fix_would_do() {
    if !has_cc("files::check_finds_what_fix_would_do") {
        return;
    }
    let tree = Tree::new();
    let files = [tree.library("lib/libuser.so"), tree.program("bin/program")];
    let before = files.each_ref().map(|file| Snapshot::of(file));
    for flags in [&["--check"][..], &["--check", "--json"], &["--check", "-q"], &["--check", "--diff"]] {
        let ended = expect(fix(0).args(flags).arg(tree.path("")), 1);
        assert_eq!(files.each_ref().map(|file| Snapshot::of(file)), before, "{flags:?}");
        if flags.contains(&"--json") {
            assert_eq!(outcomes(&json(&ended)), ["would-fix", "would-fix"]);
        }
    }
    expect(fix(0).arg(tree.path("")), 0);
    let after = files.each_ref().map(|file| Snapshot::of(file));
    expect(fix(0).arg("--check").arg(tree.path("")), 0);
    assert_eq!(files.each_ref().map(|file| Snapshot::of(file)), after);
    // A file that cannot be read is more than a finding.
    std::fs::write(tree.path("cut"), b"\x7fELF").unwrap();
    expect(fix(0).arg("--check").arg(tree.path("")), 2);
}

#[test]
fn dry_run_and_diff_write_nothing() {
    if !has_cc("files::dry_run_and_diff_write_nothing") {
        return;
    }
    let tree = Tree::new();
    for library in of_all_linkers() {
        tree.copy(library, Path::new("tree").join(library.file_name().unwrap()));
    }
    let files: Vec<_> = names(&tree.path("tree")).into_iter().map(|name| tree.path("tree").join(name)).collect();
    let before: Vec<_> = files.iter().map(|file| Snapshot::of(file)).collect();
    let (old, new) = (deps(0).old.display().to_string(), deps(0).new.display().to_string());
    for flags in [&["--dry-run"][..], &["--diff"], &["--dry-run", "--diff"], &["--dry-run", "-v"]] {
        let ended = expect(fix(0).args(flags).arg(tree.path("tree")), 0);
        let after: Vec<_> = files.iter().map(|file| Snapshot::of(file)).collect();
        assert_eq!(after, before, "{flags:?}");
        assert_eq!(names(&tree.path("tree")).len(), files.len(), "{flags:?}");
        assert!(
            ended.out().contains(&old) && ended.out().contains(&new),
            "{flags:?} shows both paths\n{}",
            ended.said()
        );
    }
    let ended = expect(fix(0).args(["--dry-run", "--json"]).arg(tree.path("tree")), 0);
    assert_eq!(outcomes(&json(&ended)), vec!["would-fix"; files.len()]);
    let shown = expect(binary().arg("show").arg(tree.path("tree")), 0);
    assert!(shown.out().contains(&old), "{}", shown.said());
    assert_eq!(files.iter().map(|file| Snapshot::of(file)).collect::<Vec<_>>(), before);
}

// ---- undoing, and writing elsewhere ----

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
        tree.copy(library(), Path::new("tree").join(OsString::from_vec(b"odd\n\xff.so".to_vec())));
        let linked = tree.path("tree/hard-link.so");
        std::fs::hard_link(tree.library("tree/linked.so"), &linked).unwrap();
        set_mode(&linked, 0o444);
        let all = names(&tree.path("tree"));
        let files: Vec<_> = all.iter().map(|name| tree.path("tree").join(name)).collect();
        let read =
            || files.iter().map(|file| (std::fs::read(file).unwrap(), Snapshot::of(file).mode)).collect::<Vec<_>>();
        let before = read();
        let receipt = tree.path("receipt.json");
        expect(fix(0).args(mode).arg("--receipt").arg(&receipt).arg(tree.path("tree")), 0);
        let fixed = read();
        assert!(before.iter().zip(&fixed).all(|(before, fixed)| before != fixed), "{mode:?}: each file is fixed");
        assert!(receipt.exists());

        expect(binary().arg("fix").arg("--revert").arg(&receipt), 0);
        for ((file, before), after) in files.iter().zip(&before).zip(&read()) {
            assert!(before == after, "{mode:?}: {} is not as it was", file.display());
        }
        assert_eq!(names(&tree.path("tree")), all, "{mode:?}");
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
        expect(fix(0).args([look, "--in-place"]).arg(&file), code);
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
        let before = Snapshot::of(&same).bytes;
        let receipt = tree.path("receipt.json");
        expect(fix(0).args(mode).arg("--receipt").arg(&receipt).arg(tree.path("tree")), 0);

        expect(binary().args(["fix", "--driver", "/some/where/else"]).args(mode).arg(&edited_again), 0);
        let bytes = Snapshot::of(&longer).bytes;
        std::fs::write(&longer, [&bytes[..], b"payload"].concat()).unwrap();
        std::fs::write(&shorter, &bytes[..bytes.len() - 1]).unwrap();
        std::fs::write(&replaced, "text").unwrap();
        std::fs::remove_file(&gone).unwrap();
        let changed = [&edited_again, &longer, &shorter, &replaced];
        let since = changed.map(|file| Snapshot::of(file));
        let ended = expect(binary().arg("fix").arg("--revert").arg(&receipt), 2);
        for file in changed.into_iter().chain([&gone]) {
            assert!(ended.err().contains(file.to_str().unwrap()), "{mode:?}\n{}", ended.said());
        }
        assert_eq!(changed.map(|file| Snapshot::of(file)), since, "{mode:?}");
        assert_eq!(Snapshot::of(&same).bytes, before, "{mode:?}: one failure stops nothing else");
        // Taken back already.
        let ended = expect(binary().arg("fix").arg("--revert").arg(&receipt), 2);
        assert!(ended.err().contains("same.so"), "{mode:?}\n{}", ended.said());
        assert_eq!(Snapshot::of(&same).bytes, before, "{mode:?}");
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
        let receipt = tree.path("receipt.json");
        expect(fix(0).args(mode).arg("--receipt").arg(&receipt).arg(&file), 0);
        let mut bytes = Snapshot::of(&file).bytes;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&file, &bytes).unwrap();
        let since = Snapshot::of(&file);
        let ended = expect(binary().arg("fix").arg("--revert").arg(&receipt), 2);
        assert!(ended.err().contains("libuser.so"), "{}", ended.said());
        assert_eq!(Snapshot::of(&file), since, "{mode:?}");
    }
}

/// A tree as a package has it: read-only, with links of both kinds.
fn package(tree: &Tree, name: &str) -> PathBuf {
    let root = tree.folder(name);
    let library = tree.library(root.join("lib/libuser.so.1"));
    symlink("libuser.so.1", root.join("lib/libuser.so")).unwrap();
    std::fs::hard_link(&library, root.join("lib/libuser-again.so")).unwrap();
    tree.program(root.join("bin/program"));
    symlink("../lib", root.join("bin/lib")).unwrap();
    symlink("nowhere", root.join("broken")).unwrap();
    std::fs::create_dir(root.join("empty")).unwrap();
    std::fs::write(root.join("README"), "text").unwrap();
    set_mode(&library, 0o444);
    set_mode(&root.join("bin/program"), 0o555);
    for file in ["lib/libuser.so.1", "bin/program", "README"] {
        set_store_time(&root.join(file));
    }
    for folder in ["lib", "bin", "empty", ""] {
        set_mode(&root.join(folder), 0o555);
    }
    root
}

/// Everything in a Nix store was modified one second after the epoch.
fn set_store_time(file: &Path) {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1);
    std::fs::File::open(file).unwrap().set_modified(time).unwrap();
}

/// One name in a tree.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Entry {
    path: PathBuf,
    kind_and_mode: String,
    target: Option<PathBuf>,
    links: u64,
}

/// Everything in a tree, and the bytes of its files in the same order.
fn listing(root: &Path) -> (Vec<Entry>, Vec<Vec<u8>>) {
    let mut found: Vec<_> = walkdir::WalkDir::new(root)
        .into_iter()
        .map(|entry| {
            let entry = entry.unwrap();
            let meta = entry.path().symlink_metadata().unwrap();
            let bytes = if meta.is_file() { std::fs::read(entry.path()).unwrap() } else { Vec::new() };
            let entry = Entry {
                path: entry.path().strip_prefix(root).unwrap().to_owned(),
                kind_and_mode: format!("{:o}", meta.mode()),
                target: std::fs::read_link(entry.path()).ok(),
                links: if meta.is_file() { meta.nlink() } else { 0 },
            };
            (entry, bytes)
        })
        .collect();
    found.sort();
    found.into_iter().unzip()
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
            symlink("package", tree.path("result")).unwrap();
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
                fix(0)
            };
            let copy = home.join("result-fixed");
            expect(command.args(mode).arg("--output").arg(&copy).arg(tree.path("result")), 0);
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
    let ended = expect(fix(0).arg("--output").arg(tree.path("there")).arg(&root), 2);
    assert!(ended.err().contains("there"), "{}", ended.said());
    assert_eq!(Snapshot::of(&there), before_there);
    // Into itself, a copy would never end.
    make_writable(&root);
    let before = listing(&root);
    expect(fix(0).arg("--output").arg(root.join("inside")).arg(&root), 2);
    assert!(listing(&root) == before);
}

// ---- the Nix store ----

#[test]
fn the_store_is_never_written() {
    let test = "files::the_store_is_never_written";
    if !has_cc(test) {
        return;
    }
    let tree = Tree::new();
    let store = tree.folder("nix/store");
    let root = package(&tree, "nix/store/0000-package");
    // Writable by its user, so that only the rule protects it.
    make_writable(&root);
    let file = root.join("lib/libuser.so.1");
    set_mode(&file, 0o644);
    symlink("nix/store/0000-package", tree.path("result")).unwrap();
    symlink("nix/store/0000-package/bin/program", tree.path("program")).unwrap();
    symlink("result", tree.path("result-of-result")).unwrap();
    let outside = tree.library("outside/libuser.so");
    let before = listing(&root);
    let before_file = Snapshot::of(&file);
    let untouched = |told: &str| {
        assert!(listing(&root) == before, "{told}");
        assert_eq!(Snapshot::of(&file), before_file, "{told}");
    };
    let with_store = || {
        let mut command = fix(0);
        command.env("NIX_STORE", &store).current_dir(tree.path(""));
        command
    };
    let ways = [
        root.clone(),
        root.join("lib"),
        file.clone(),
        store.clone(),
        tree.path("result"),
        tree.path("result-of-result"),
        tree.path("program"),
        PathBuf::from("result"),
        PathBuf::from("./result/lib"),
        PathBuf::from("result/bin/lib/libuser.so"),
        tree.path("outside/../nix/store/0000-package"),
        tree.path("nix"),
    ];
    for mode in MODES {
        for way in &ways {
            let ended = expect(with_store().args(mode).arg(way), 2);
            let told = format!("{mode:?} {}\n{}", way.display(), ended.said());
            untouched(&told);
            assert!(ended.err().contains("--output") && ended.err().contains("cudaRunpathHook"), "{told}");
        }
        // Also with the variables of half a build, and as another output's neighbour.
        let half: [&[(&str, PathBuf)]; 4] = [
            &[("outputs", "out".into()), ("out", root.clone())],
            &[("NIX_BUILD_TOP", tree.path("build"))],
            &[("NIX_BUILD_TOP", tree.path("build")), ("outputs", "out".into()), ("out", store.join("0000-pack"))],
            &[("NIX_BUILD_TOP", tree.path("build")), ("outputs", "lib".into()), ("out", root.clone())],
        ];
        for variables in half {
            let ended = expect(with_store().envs(variables.iter().cloned()).args(mode).arg(&root), 2);
            untouched(&format!("{mode:?} {variables:?}\n{}", ended.said()));
        }
    }
    // A list of files is no way around it.
    std::fs::write(tree.path("list"), "result/lib/libuser.so.1\n").unwrap();
    expect(with_store().args(["--files-from", "list"]), 2);
    untouched("--files-from");

    // Looking is allowed.
    expect(with_store().arg("--dry-run").arg("result"), 0);
    expect(with_store().arg("--diff").arg("result"), 0);
    expect(with_store().arg("--check").arg("result"), 1);
    expect(binary().env("NIX_STORE", &store).arg("show").arg(tree.path("result")), 0);
    untouched("looking");
    // And so is a copy elsewhere.
    let ended = expect(with_store().args(["--output", "result-fixed", "result"]), 0);
    untouched(&ended.said());
    assert_eq!(loads(&tree.path("result-fixed/lib/libuser.so.1")), NEW);
    // But not a copy that is in the store itself.
    expect(with_store().arg("--output").arg(store.join("1111-fixed")).arg("result"), 2);
    assert!(!store.join("1111-fixed").exists());

    // What is not in the store is no business of the rule.
    expect(with_store().arg(&outside), 0);
    assert_eq!(loads(&outside), NEW);
}

#[test]
fn a_store_behind_a_symbolic_link_is_the_same_store() {
    if !has_cc("files::a_store_behind_a_symbolic_link_is_the_same_store") {
        return;
    }
    let tree = Tree::new();
    let file = tree.library("real/store/0000-package/lib/libuser.so");
    symlink("real", tree.path("nix")).unwrap();
    let before = Snapshot::of(&file);
    for way in ["real/store/0000-package", "nix/store/0000-package"] {
        for store in ["real/store", "nix/store", "nix/store/"] {
            let mut command = fix(0);
            command.env("NIX_STORE", tree.path(store));
            let ended = expect(command.arg(tree.path(way)), 2);
            assert!(ended.err().contains("--output"), "{}", ended.said());
            assert_eq!(Snapshot::of(&file), before, "{way}, NIX_STORE={store}");
        }
    }
    let mut build = fix(0);
    build.env("NIX_STORE", tree.path("nix/store")).env("NIX_BUILD_TOP", tree.path("build")).env("outputs", "out");
    build.env("out", tree.path("nix/store/0000-package"));
    expect(build.arg(tree.path("real/store/0000-package")), 0);
    assert_eq!(loads(&file), NEW);
}

#[test]
fn a_second_name_of_a_store_file_is_not_edited() {
    if !has_cc("files::a_second_name_of_a_store_file_is_not_edited") {
        return;
    }
    for mode in MODES {
        let tree = Tree::new();
        let file = tree.library("nix/store/0000-package/lib/libuser.so");
        set_mode(&file, 0o444);
        set_store_time(&file);
        tree.folder("home");
        let linked = tree.path("home/libuser.so");
        std::fs::hard_link(&file, &linked).unwrap();
        let before = Snapshot::of(&file);
        let mut command = fix(0);
        command.env("NIX_STORE", tree.path("nix/store")).args(mode);
        let ended = expect(command.arg(tree.path("home")), 2);
        assert!(ended.err().contains("libuser.so"), "{}", ended.said());
        assert_eq!(Snapshot::of(&file), before, "{mode:?}");
    }
}

#[test]
fn a_receipt_is_no_way_into_the_store() {
    if !has_cc("files::a_receipt_is_no_way_into_the_store") {
        return;
    }
    let tree = Tree::new();
    let store = tree.folder("nix/store");
    let file = tree.library("nix/store/0000-package/lib/libuser.so");
    let receipt = tree.path("receipt");
    let mut build = fix(0);
    build.env("NIX_STORE", &store).env("NIX_BUILD_TOP", tree.path("build")).env("outputs", "out");
    build.env("out", store.join("0000-package")).arg("--receipt").arg(&receipt);
    expect(build.arg(store.join("0000-package")), 0);
    let before = Snapshot::of(&file);
    expect(binary().env("NIX_STORE", &store).args(["fix", "--revert"]).arg(&receipt), 2);
    assert_eq!(Snapshot::of(&file), before);
}

#[test]
fn a_running_build_writes_its_own_outputs_only() {
    if !has_cc("files::a_running_build_writes_its_own_outputs_only") {
        return;
    }
    for mode in MODES {
        let tree = Tree::new();
        let store = tree.folder("nix/store");
        let out = store.join("0000-package");
        let lib = store.join("1111-package-lib");
        let own = [tree.library(out.join("lib/libuser.so")), tree.library(lib.join("lib/libuser.so"))];
        let other = tree.library("nix/store/2222-dependency/lib/libuser.so");
        let longer = tree.library("nix/store/0000-package-dev/lib/libuser.so");
        let before = [Snapshot::of(&other), Snapshot::of(&longer)];
        let build = || {
            let mut command = fix(0);
            command.env("NIX_STORE", &store).env("NIX_BUILD_TOP", tree.path("build")).env("outputs", "out lib");
            command.env("out", &out).env("lib", &lib).args(mode);
            command
        };
        expect(build().arg(&out), 0);
        assert_eq!((loads(&own[0]), loads(&own[1])), (NEW, OLD), "{mode:?}");
        for path in [&other, &longer, &store] {
            let ended = expect(build().arg(path), 2);
            assert!(ended.err().contains("cudaRunpathHook"), "{}", ended.said());
        }
        expect(build().arg(&lib).arg(store.join("2222-dependency")), 2);
        expect(build().arg(&lib), 0);
        assert_eq!(loads(&own[1]), NEW, "{mode:?}");
        assert_eq!([Snapshot::of(&other), Snapshot::of(&longer)], before, "{mode:?}");
    }
}

// ---- consumers ----

#[test]
fn only_consumers_are_edited_where_that_is_asked() {
    if !has_cc("files::only_consumers_are_edited_where_that_is_asked") {
        return;
    }
    for mode in MODES {
        let tree = Tree::new();
        tree.folder("tree");
        tree.folder("plain");
        let consumer = tree.path("tree/consumer");
        let plain = tree.path("plain/plain");
        Link::new("consumer.c", Shape::Pie).defines(&["-DSONAME=\"libcuda.so.1\""]).to(&consumer);
        Link::new("consumer.c", Shape::Pie).to(&plain);
        let before = Snapshot::of(&plain);

        expect(fix(0).arg("--require-consumer").arg(tree.path("plain")).arg("--dry-run"), 1);
        assert_eq!(Snapshot::of(&plain), before);
        let ended = expect(fix(0).args(mode).arg("--only-consumers").arg("--json").arg(tree.path("")), 0);
        assert_eq!(json(&ended)["summary"]["fixed"], 1, "{}", ended.said());
        assert_eq!(Snapshot::of(&plain), before, "{mode:?}");
        assert_eq!((starts(&consumer), starts(&plain)), (NEW, OLD), "{mode:?}");
        let both = ["--only-consumers", "--require-consumer"];
        expect(fix(0).args(mode).args(both).arg(tree.path("plain")), 1);
        assert_eq!(Snapshot::of(&plain), before, "{mode:?}");
        // Found, though there is nothing left to do.
        expect(fix(0).args(mode).args(both).arg(tree.path("tree")), 0);
    }
}

#[test]
fn a_driver_name_at_the_end_of_a_longer_string_counts() {
    if !has_cc("files::a_driver_name_at_the_end_of_a_longer_string_counts") {
        return;
    }
    let tree = Tree::new();
    // A compiler shares the tail of a longer text; a name with more behind it is another name.
    for (name, soname, wanted) in [
        ("tail", "/some/where/libcuda.so.1", NEW),
        ("unversioned", "libcuda.so", NEW),
        ("nvml", "libnvidia-ml.so.1", NEW),
        ("longer", "libcuda.so.12", OLD),
        ("sentence", "libcuda.so.1 is not there", OLD),
    ] {
        let file = tree.path(name);
        Link::new("consumer.c", Shape::Exec).defines(&[&format!("-DSONAME=\"{soname}\"")]).to(&file);
        expect(fix(0).arg("--only-consumers").arg(&file), 0);
        assert_eq!(starts(&file), wanted, "{soname}");
    }
}

/// The name lies in whatever segment a linker puts constants in, and the headers that would tell may be gone.
#[test]
fn consumers_of_every_linker_are_found() {
    let test = "files::consumers_of_every_linker_are_found";
    if !has_cc(test) {
        return;
    }
    let tree = Tree::new();
    for (linker, tool) in LINKERS {
        if !require(tool, test) {
            continue;
        }
        for flags in [&[][..], &["-Wl,-z,noseparate-code"], &["-Wl,-s"]] {
            if linker == "gold" && flags.contains(&"-Wl,-z,noseparate-code") {
                continue;
            }
            for without_sections in [false, true] {
                for (soname, wanted) in [("libcuda.so.1", NEW), ("libno-driver-at-all.so.7", OLD)] {
                    let file = tree.path("consumer");
                    let define = format!("-DSONAME=\"{soname}\"");
                    let link = Link::new("consumer.c", Shape::Pie).linker(linker).flags(flags);
                    link.defines(&[&define]).to(&file);
                    if without_sections {
                        drop_section_headers(&file, true);
                    }
                    expect(fix(0).arg("--only-consumers").arg(&file), 0);
                    let told = format!("{linker} {flags:?} without section headers: {without_sections}, {soname}");
                    assert_eq!(starts(&file), wanted, "{told}");
                }
            }
        }
    }
}
