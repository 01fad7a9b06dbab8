//! A run of `fix` as the printers see it, and its counts.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::tree::{FileReport, FixError, Outcome};

/// What the run did with changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
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
    pub fn name(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::InPlace => "in-place",
            Self::Output => "output",
            Self::DryRun => "dry-run",
            Self::Check => "check",
            Self::Diff => "diff",
        }
    }

    /// Whether files were written.
    #[must_use]
    pub fn writes(self) -> bool {
        matches!(self, Self::Replace | Self::InPlace | Self::Output)
    }
}

/// What in a patched copy still points to the original.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyNotes {
    /// The original store path.
    pub original: PathBuf,
    /// Entries of search paths below it.
    pub entries: usize,
    /// Files whose bytes contain it.
    pub files: Vec<PathBuf>,
}

/// Everything that `fix` found out.
#[derive(Debug)]
pub struct FixRun {
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
pub struct RevertReport {
    /// The canonical path.
    pub path: PathBuf,
    /// Why it is as it was.
    pub result: Result<(), FixError>,
}

/// The counts of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Regular files that were read.
    pub files: usize,
    /// Files with ELF magic.
    pub elf: usize,
    /// Objects whose path was changed, or would be.
    pub changed: usize,
    /// Objects whose path is what it should be.
    pub conforming: usize,
    /// ELF files that have no search path, or are not wanted.
    pub skipped: usize,
    /// Files that could not be done.
    pub failed: usize,
    /// Bytes written, or that would be.
    pub written: u64,
    /// Bytes that files grew by.
    pub growth: u64,
    /// How often each strategy was used.
    pub strategies: BTreeMap<&'static str, usize>,
}

impl Summary {
    /// Counts.
    #[must_use]
    pub fn of(files: &[FileReport]) -> Self {
        let mut summary = Self::default();
        for report in files {
            if let Outcome::Failed(error) = &report.outcome
                && let FixError::Walk(_) | FixError::File(_) | FixError::Store(_) = **error
            {
                // Nobody saw what it is.
                increment(&mut summary.failed);
                continue;
            }
            increment(&mut summary.files);
            match &report.outcome {
                Outcome::Skipped(skip) if skip.is_not_elf() => continue,
                Outcome::Skipped(_) => increment(&mut summary.skipped),
                Outcome::Conforms { .. } => increment(&mut summary.conforming),
                Outcome::Failed(_) => increment(&mut summary.failed),
                Outcome::Changed(change) => {
                    increment(&mut summary.changed);
                    summary.written = summary.written.saturating_add(change.written);
                    summary.growth = summary.growth.saturating_add(change.growth);
                    increment(summary.strategies.entry(change.strategy.name()).or_default());
                }
            }
            increment(&mut summary.elf);
        }
        summary
    }
}

fn increment(count: &mut usize) {
    *count = count.saturating_add(1);
}
