//! What happens on the file system: names, links, modes, running programs, full disks, and what is never written.

mod consumers;
mod elsewhere;
mod names;
mod store;
mod told;
mod unwritable;
mod walked;

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
use crate::support::{Snapshot, binary, mounting_shell, program, require, skip};

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
