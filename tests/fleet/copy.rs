//! The ELF files of a tree, at the same places of another one.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

/// What was found and copied.
pub(super) struct Copied {
    /// All regular files that were looked at.
    pub(super) seen: usize,
    /// The ELF files, below the tree, in order.
    pub(super) elf: Vec<PathBuf>,
    pub(super) unreadable: Vec<PathBuf>,
}

/// Copies every ELF file with its mode and its other names, and every symbolic link, since libraries are found by those.
pub(super) fn elf_files(from: &Path, to: &Path) -> Copied {
    let mut copied = Copied { seen: 0, elf: Vec::new(), unreadable: Vec::new() };
    let mut names = HashMap::new();
    let mut open = vec![PathBuf::new()];
    let device = fs::metadata(from).map(|meta| meta.dev()).ok();
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(from.join(&folder)) else {
            copied.unreadable.push(folder);
            continue;
        };
        for entry in entries.flatten() {
            let below = folder.join(entry.file_name());
            let (source, target) = (from.join(&below), to.join(&below));
            let Ok(meta) = fs::symlink_metadata(&source) else { continue };
            if meta.is_dir() && Some(meta.dev()) == device {
                open.push(below);
            } else if meta.is_symlink() {
                let link = fs::read_link(&source).expect("a link");
                fs::create_dir_all(target.parent().expect("a parent")).expect("a folder");
                symlink(link, target).expect("a link");
            } else if meta.is_file() {
                copied.seen += 1;
                match is_elf(&source) {
                    Ok(false) => {}
                    Ok(true) => {
                        fs::create_dir_all(target.parent().expect("a parent")).expect("a folder");
                        let first = names.entry((meta.dev(), meta.ino())).or_insert_with(|| target.clone());
                        let done = if *first == target {
                            fs::copy(&source, &target).map(drop)
                        } else {
                            fs::hard_link(first, &target)
                        };
                        done.unwrap_or_else(|error| panic!("{}: {error}", target.display()));
                        copied.elf.push(below);
                    }
                    Err(_) => copied.unreadable.push(below),
                }
            }
        }
    }
    copied.elf.sort();
    copied
}

fn is_elf(file: &Path) -> std::io::Result<bool> {
    let mut start = Vec::new();
    fs::File::open(file)?.take(4).read_to_end(&mut start)?;
    Ok(start == b"\x7fELF")
}
