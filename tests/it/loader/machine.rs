//! Real programs and libraries: what starting each of them searches for.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::compare::{Ground, differences, explained};
use super::{loaders, trace};
use crate::elfgen::read::Image;
use crate::harness::{Tree, binary, command, for_all, long, run, skip};

/// Where programs and libraries are on a machine; with the toolchain that builds this and every user's Pythons.
fn folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        ["/usr/bin", "/usr/sbin", "/usr/lib", "/usr/libexec", "/usr/lib32", "/usr/local"].map(PathBuf::from).to_vec();
    let toolchain = run(command("rustc").args(["--print", "sysroot"]));
    folders.push(toolchain.stdout.trim().into());
    folders.extend(std::env::var_os("PYENV_ROOT").map(PathBuf::from));
    let home = std::env::var_os("HOME").map(PathBuf::from);
    folders.extend(home.map(|home| home.join(".pyenv/versions")));
    folders
}

/// ELF files of the machine's own loaders, each inode once, by path.
fn objects() -> Vec<(PathBuf, PathBuf)> {
    let loaders = loaders();
    let own: BTreeSet<(u64, u64)> = loaders.iter().map(|(_, path)| inode(path)).collect();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for folder in folders() {
        let walk = walk(&folder);
        for path in walk {
            let Some((class, machine)) = identify(&path) else { continue };
            let expected = match (std::env::consts::ARCH, class) {
                ("x86_64", 64) => 62,
                ("x86_64", 32) => 3,
                _ => 183,
            };
            let loader = loaders.iter().find(|(known, _)| *known == class && machine == expected);
            if let Some((_, loader)) = loader
                && !own.contains(&inode(&path))
                && seen.insert(inode(&path))
            {
                found.push((path, loader.clone()));
            }
        }
    }
    found.sort();
    found
}

fn inode(path: &Path) -> (u64, u64) {
    let meta = std::fs::metadata(path).expect("it was there");
    (meta.dev(), meta.ino())
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(entry.path()),
                Ok(kind) if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found
}

/// Class and machine of a little-endian ELF file.
fn identify(path: &Path) -> Option<(u8, u16)> {
    let mut start = [0_u8; 20];
    let file = std::fs::File::open(path).ok()?;
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut start, 0).ok()?;
    let class = match start[..6] {
        [0x7f, b'E', b'L', b'F', 1, 1] => 32,
        [0x7f, b'E', b'L', b'F', 2, 1] => 64,
        _ => return None,
    };
    Some((class, u16::from_le_bytes([start[18], start[19]])))
}

/// Whether an object asks for musl's libc: glibc's loader takes its libraries too, and finds others for them.
fn is_of_musl(path: &Path) -> bool {
    let strings = Image::parse(&std::fs::read(path).unwrap_or_default()).and_then(|image| image.strings());
    strings.is_some_and(|strings| strings.iter().any(|(by, name)| by == "dynamic tag 0x1" && name == b"libc.so"))
}

#[derive(Debug, Default)]
struct Counts {
    programs: AtomicUsize,
    libraries: AtomicUsize,
    searches: AtomicUsize,
}

/// Compares one object; `None` where the loader says that it has nothing to do with it.
fn one(path: &Path, loader: &Path, scratch: &Path, counts: &Counts) -> Option<String> {
    // 0: a program. 2: a library. 1: nothing that is linked dynamically.
    let kind = command(loader).arg("--verify").arg(path).output().expect("the loader runs").status.code();
    if !matches!(kind, Some(0 | 2)) || is_of_musl(path) {
        return None;
    }
    let run = run(binary().args(["explain", "--recursive", "--json"]).arg(path));
    if run.code != 0 {
        // Static-pie programs have a dynamic section as libraries have one.
        let is_none = kind == Some(2) && run.stderr.contains("statically linked");
        return (!is_none).then(|| format!("explain {}: {}", path.display(), run.stderr));
    }
    let json = run.json();
    // A program of another user's or group's rights tells nothing; given to the loader it does.
    let mode = std::fs::metadata(path).expect("it was there").permissions().mode();
    let may_start = mode & 0o111 != 0 && mode & 0o6000 == 0;
    let starts = kind == Some(0) && may_start && json["interpreter"] == loader.to_str().unwrap();
    let mut program = command(if starts { path } else { loader });
    if !starts {
        program.arg(path);
    }
    let count = if starts { &counts.programs } else { &counts.libraries };
    count.fetch_add(1, Ordering::Relaxed);
    // As ldd: the loader goes on behind what is missing, and no program runs.
    compare(program.env("LD_TRACE_LOADED_OBJECTS", "1"), path, &json, scratch, counts)
}

fn compare(
    program: &mut Command,
    path: &Path,
    json: &serde_json::Value,
    scratch: &Path,
    counts: &Counts,
) -> Option<String> {
    let here = Path::new("/");
    let mut traced = trace::traced(program.current_dir(here), scratch);
    trace::recognise_loaded(&mut traced.searches, path);
    let (count, different) = differences(&Ground::of(here), &traced.searches, &explained(json, false));
    counts.searches.fetch_add(count, Ordering::Relaxed);
    (!different.is_empty()).then(|| format!("{}: {}", path.display(), different.join("\n")))
}

/// Every object with `tests/run --long`, a hundred of them otherwise.
#[test]
fn real_programs_and_libraries_load_what_explain_says() {
    if loaders().is_empty() {
        skip("real_programs_and_libraries", "no glibc loader that is known");
        return;
    }
    let all = objects();
    let step = if long() { 1 } else { (all.len() / 100).max(1) };
    let chosen: Vec<&(PathBuf, PathBuf)> = all.iter().step_by(step).collect();
    let counts = Counts::default();
    let found = for_all(&chosen, |(path, loader)| {
        let scratch = Tree::in_memory();
        one(path, loader, scratch.path(), &counts).map_or(Ok(()), Err)
    });
    println!("{} of {} objects: {counts:?}", chosen.len(), all.len());
    assert!(found.is_empty(), "{} disagreements, {counts:?}\n{}", found.len(), found.join("\n"));
    let compared = counts.programs.into_inner() + counts.libraries.into_inner();
    assert!(compared >= if long() { 300 } else { 50 }, "only {compared} of {} objects", all.len());
}
