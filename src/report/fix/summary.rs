//! The counts of a run of `fix`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::tree::{FileReport, FixError, Outcome};

/// The counts of a run: the last line for people, a part of the document for programs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Summary {
    /// Regular files that were read.
    pub files: usize,
    /// Files with ELF magic.
    pub elf: usize,
    /// Objects whose path was changed, or would be.
    #[serde(rename = "fixed")]
    pub changed: usize,
    /// Objects whose path is what it should be.
    pub conforming: usize,
    /// ELF files that have no search path, or are not wanted.
    pub skipped: usize,
    /// Objects that cannot be edited and ask for no driver library.
    #[serde(rename = "leftAlone")]
    pub left_alone: usize,
    /// Files that could not be done.
    pub failed: usize,
    /// Text written, or that would be.
    pub written: u64,
    /// Text that files grew by.
    pub growth: u64,
    /// How often each strategy was used.
    pub strategies: BTreeMap<&'static str, usize>,
}

impl Summary {
    /// Counts.
    #[must_use]
    pub(super) fn of(files: &[FileReport]) -> Self {
        let mut summary = Self::default();
        for report in files {
            if let Outcome::Failed(error) = &report.outcome
                && let FixError::Walk(_) | FixError::File(_) | FixError::Store(_) = **error
            {
                // What it is was not seen.
                increment(&mut summary.failed);
                continue;
            }
            increment(&mut summary.files);
            match &report.outcome {
                Outcome::Skipped(skip) if skip.is_not_elf() => continue,
                Outcome::Skipped(_) => increment(&mut summary.skipped),
                Outcome::Conforms { .. } => increment(&mut summary.conforming),
                Outcome::LeftAlone(_) => increment(&mut summary.left_alone),
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
    *count += 1;
}
