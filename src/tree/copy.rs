//! A patched copy of a tree that must not be written, and what in it still points back.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::discover::Root;
use super::run::Workers;
use crate::fsio::{self, Closed, Copied, CopyError, FileError, ImagePath, IsLater, Later, Links, Store};

/// A copied tree.
#[derive(Debug)]
pub(crate) struct CopyOfTree {
    /// The copy, as the root of the edits.
    pub(crate) root: Root,
    /// Symbolic links in the copy, with what they point to.
    pub(crate) links: Links,
    /// Files that have no contents yet.
    pub(crate) later: Vec<Later>,
    /// Device and inode of its files: no other one may be edited.
    pub(crate) made: HashSet<(u64, u64)>,
    /// Its directories, to be opened up when all is done.
    pub(crate) closed: Closed,
    /// What could not be copied.
    pub(crate) failures: Vec<FileError>,
}

/// Copies the tree or file that a root names into a directory that is new or empty; some files are made and filled later.
///
/// # Errors
/// [`CopyError`]; what was copied until then stays for a look.
pub(crate) fn copy_tree(
    source: &Root,
    target: &Path,
    store: &Store,
    is_later: IsLater<'_>,
) -> Result<CopyOfTree, CopyError> {
    let original = source.real.as_path();
    let directory = fsio::prepare_target(&source.anchor, target, store)?;
    let mut copy = target.to_owned();
    if source.anchor.is_directory() != Some(true) {
        copy.push(original.file_name().unwrap_or_default());
    }
    let copied = fsio::copy_held((&source.anchor, original), (directory, &copy), is_later)?;
    let Copied { anchor, links, later, made, closed, failures } = copied;
    let real = copy.canonicalize();
    let real = real.map_err(|source| FileError { path: copy.clone(), action: "resolve it", source })?;
    let root =
        Root { given: ImagePath::new(copy), real: ImagePath::new(real), stands_for: source.real.clone(), anchor };
    Ok(CopyOfTree { root, links, later, made, closed, failures })
}

/// The files whose bytes contain a path, as a Nix store scan would find it.
#[must_use]
pub(crate) fn references_to(files: Vec<PathBuf>, path: &Path, workers: &Workers) -> Vec<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    let needle = bstr::Finder::new(path.as_os_str().as_bytes());
    let hits = workers.run(files, |file| {
        // A file that cannot be read was reported by the edit.
        let opened = fsio::open_canonical(&file.canonicalize().ok()?).ok()?;
        needle.find(opened.bytes()).map(|_| file)
    });
    hits.into_iter().flatten().collect()
}
