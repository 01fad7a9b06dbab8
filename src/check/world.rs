//! The file system of a check: what lies where, and what is known of it.

use std::path::PathBuf;
use std::sync::Arc;

use bstr::BString;

use super::facts::Facts;
use crate::loader::{FileSystem, Object, SymbolFiles};

/// A wrapper around a hidden program (Nixpkgs' makeWrapper and makeBinaryWrapper).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrapper {
    /// The wrapper as it was given.
    pub(crate) shown: PathBuf,
    /// What it puts into LD_LIBRARY_PATH.
    pub(crate) library_path: Option<BString>,
}

/// The file system of a check, which knows what is in it.
pub(crate) trait World: FileSystem + SymbolFiles {
    /// The facts of an object that a search found.
    fn facts(&self, object: &Object) -> Option<Arc<Facts>>;
    /// The wrapper of a hidden program.
    fn wrapper(&self, object: &Object) -> Option<&Wrapper>;
}
