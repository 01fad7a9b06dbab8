//! What happens on the file system: names, links, modes, running programs, full disks, and what is never written.

mod alone;
mod consumers;
mod elsewhere;
mod gate;
mod names;
mod store;
mod told;
mod unwritable;
mod walked;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{MetadataExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::harness::build::shared;
use crate::harness::fixtures::{drop_section_headers, host};
use crate::harness::run::limited;
use crate::harness::{
    Contents, Link, MODES, NATIVE, NEW, OLD, OldPath, PROGRAMS, Run, Shape, Snapshot, Tree, Waiting, as_nobody, binary,
    command, copy_program, deps, expect, fix, give_to_nobody, is_root, linkers, listing, make_writable, mounting_shell,
    names, program, require, result, run, set_mode, skip, start,
};

impl Tree {
    /// A library whose RUNPATH is the old directory.
    fn library(&self, name: impl AsRef<Path>) -> PathBuf {
        self.copy(&library(), name)
    }

    /// A program whose RUNPATH is the old directory.
    fn program(&self, name: impl AsRef<Path>) -> PathBuf {
        self.copy(&fixture_program(), name)
    }
}

fn library() -> PathBuf {
    shared("library.so", |out| Link::new("user_library.c", Shape::Library).to(out))
}

fn fixture_program() -> PathBuf {
    shared("program", |out| Link::new("user_program.c", Shape::Pie).to(out))
}

/// One library and one program of every linker that is here, with every kind of old path.
fn of_all_linkers() -> &'static [PathBuf] {
    static MADE: OnceLock<Vec<PathBuf>> = OnceLock::new();
    MADE.get_or_init(|| {
        let mut made = Vec::new();
        for linker in linkers("files::of_all_linkers") {
            for (source, shape) in PROGRAMS {
                for path in [OldPath::Runpath, OldPath::Rpath, OldPath::None] {
                    let link = Link::new(source, shape).linker(linker).path(path);
                    made.push(shared(&format!("{linker}-{shape:?}-{path:?}"), |out| link.to(out)));
                }
                let link = Link::new(source, shape).linker(linker).path(OldPath::None);
                made.push(shared(&format!("{linker}-{shape:?}-bare"), |out| {
                    link.to(out);
                    drop_section_headers(out, true);
                }));
            }
        }
        made
    })
}

/// What a library's dependency says: which directory it came from.
fn loads(library: &Path) -> i32 {
    start(library, Shape::Library).code
}

fn starts(program: &Path) -> i32 {
    run(&mut command(program)).code
}

fn outcomes(document: &serde_json::Value) -> Vec<String> {
    let files = document["files"].as_array().unwrap();
    files.iter().map(|file| file["outcome"].as_str().unwrap().to_owned()).collect()
}

fn has_cc(test: &str) -> bool {
    require("cc", test)
}

/// `fix --driver NEW` as a user without rights to other users' files; None where that cannot be had.
fn fix_as_nobody(tree: &Tree, test: &str) -> Option<Command> {
    if is_root() && !require("setpriv", test) {
        return None;
    }
    let copy = tree.join("the-binary");
    if !copy.exists() {
        copy_program(&program(), &copy);
    }
    let mut command = as_nobody(copy);
    command.arg("fix").arg("--driver").arg(&deps(NATIVE).new);
    Some(command)
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
