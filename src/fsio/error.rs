//! What the system said, and of which file.

use std::io;
use std::path::{Path, PathBuf};

/// A file-system error with the path it is about.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}")]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// What was tried.
    pub action: &'static str,
    /// What the system said.
    pub source: io::Error,
}

impl FileError {
    pub(crate) fn new(path: &Path, action: &'static str, source: impl Into<io::Error>) -> Self {
        Self { path: path.to_owned(), action, source: source.into() }
    }
}
