//! A run of `fix` or of `fix --revert` as the printers see it.

use std::path::PathBuf;

use crate::tree::{FileReport, FixError};

/// What the run did with changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum Mode {
    /// Replaced files.
    Replace,
    /// Wrote to the files themselves.
    InPlace,
    /// Wrote a patched copy of the tree.
    Output,
    /// Said what it would do.
    DryRun,
    /// Said whether it would do anything.
    Check,
    /// Showed what it would do as differences.
    Diff,
}

impl Mode {
    /// The word used in every output format.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }

    /// Whether files were written.
    #[must_use]
    pub(crate) fn writes(self) -> bool {
        matches!(self, Self::Replace | Self::InPlace | Self::Output)
    }
}

/// What in a patched copy still points to the original.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CopyNotes {
    /// The original store path.
    pub original: PathBuf,
    /// Entries of search paths below it.
    pub entries: usize,
    /// Files whose bytes contain it.
    pub files: Vec<PathBuf>,
}

/// Everything that `fix` found out.
#[derive(Debug)]
pub(crate) struct FixRun {
    /// What it did with changes.
    pub mode: Mode,
    /// One report for each file, in path order.
    pub files: Vec<FileReport>,
    /// For a patched copy.
    pub copy: Option<CopyNotes>,
    /// `--require-consumer` was given and nothing asks for the driver.
    pub no_consumer: bool,
}

/// What became of one file of a receipt.
#[derive(Debug)]
pub(crate) struct RevertReport {
    /// The canonical path.
    pub path: PathBuf,
    /// Why it is as it was.
    pub result: Result<(), FixError>,
}
