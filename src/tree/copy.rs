//! A patched copy of a tree that must not be written, and what in it still points back.

use std::io;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::discover::Root;
use super::run::Workers;
use crate::fsio::{self, CopyError, FileError, ImagePath, Store};

/// A copied tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CopyOfTree {
    /// The copy, as the root of the edits.
    pub(crate) root: Root,
    /// Symbolic links in the copy, with what they point to.
    pub(crate) links: Vec<(PathBuf, PathBuf)>,
}

/// Copies the tree or file that a root names into a directory that is new or empty.
///
/// # Errors
/// [`CopyError`]; what was copied until then stays for a look.
pub(crate) fn copy_tree(source: &Root, target: &Path, store: &Store) -> Result<CopyOfTree, CopyError> {
    let original = source.real.as_path();
    fsio::prepare_target(original, target, store)?;
    let mut copy = target.to_owned();
    let mut links = Vec::new();
    if original.is_dir() {
        let mut first_names = fsio::FirstNames::new();
        for entry in WalkDir::new(original).min_depth(1).sort_by_file_name() {
            let entry = entry.map_err(|error| {
                let path = error.path().unwrap_or(original).to_owned();
                FileError { path, action: "read it", source: io::Error::from(error) }
            })?;
            let Ok(below) = entry.path().strip_prefix(original) else { continue };
            let copied = target.join(below);
            if let Some(points_to) = fsio::copy_entry(entry.path(), &copied, &mut first_names)? {
                links.push((copied, points_to));
            }
        }
    } else {
        copy.push(original.file_name().unwrap_or_default());
        fsio::copy_file(original, &copy)?;
    }
    let real = copy.canonicalize();
    let real = real.map_err(|source| FileError { path: copy.clone(), action: "resolve it", source })?;
    Ok(CopyOfTree {
        root: Root { given: ImagePath::new(copy), real: ImagePath::new(real), stands_for: source.real.clone() },
        links,
    })
}

/// The files whose bytes contain a path, as a Nix store scan would find it.
#[must_use]
pub(crate) fn references_to(files: Vec<PathBuf>, path: &Path, workers: &Workers) -> Vec<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    let needle = bstr::Finder::new(path.as_os_str().as_bytes());
    let hits = workers.run(files, |file| {
        // A file that cannot be read was reported by the edit.
        let opened = fsio::open(&file).ok()?;
        needle.find(opened.bytes()).map(|_| file)
    });
    hits.into_iter().flatten().collect()
}
