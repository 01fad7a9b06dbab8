//! Names of one inode are done one after the other: the first one in path order stands for all.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::discover::Found;
use crate::fsio;

/// The names that were done, by device and inode.
#[derive(Debug, Default)]
pub(super) struct FirstNames(HashMap<(u64, u64), PathBuf>);

impl FirstNames {
    /// The name under which an inode was done.
    pub(super) fn of(&self, inode: (u64, u64)) -> Option<&Path> {
        self.0.get(&inode).map(PathBuf::as_path)
    }

    /// A file was done under this name. On overlayfs a name leaves the others when the file is written to: they are still
    /// to be done.
    pub(super) fn note(&mut self, found: &Found, inode: (u64, u64)) {
        if found.open_with(|spot, path| fsio::inode_of(&spot, path)).is_ok_and(|now| now == inode) {
            self.0.insert(inode, found.shown.as_path().to_owned());
        }
    }
}
