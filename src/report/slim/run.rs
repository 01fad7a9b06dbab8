//! A run of `slim` as the printers see it, and its sums.

use serde::Serialize;

use crate::cuda::Targets;
use crate::report::ReportSubject;
use crate::report::fix::Mode;
use crate::tree::{SlimFacts, SlimOutcome, SlimReport, SlimWritten};

/// Everything that `slim` found out.
#[derive(Debug)]
pub(crate) struct SlimRun {
    /// What it was about.
    pub subject: ReportSubject,
    /// What it did with changes.
    pub mode: Mode,
    /// What must still run.
    pub targets: Targets,
    /// Whether pages of zeros were to leave files.
    pub compacts: bool,
    /// One report for each file, in path order.
    pub files: Vec<SlimReport>,
}

/// Bytes before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct BeforeAfter {
    /// Before.
    pub before: u64,
    /// After.
    pub after: u64,
}

impl BeforeAfter {
    pub(super) fn new((before, after): (u64, u64)) -> Self {
        Self { before, after }
    }

    fn add(&mut self, (before, after): (u64, u64)) {
        self.before = self.before.saturating_add(before);
        self.after = self.after.saturating_add(after);
    }
}

/// The sums of a run: the last lines for people, a part of the document for programs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SlimSummary {
    /// Regular files that were looked at.
    pub files: usize,
    /// Those with GPU code.
    pub with_gpu_code: usize,
    /// Those from which code went, or would.
    pub slimmed: usize,
    /// Those in which there is nothing that can go.
    pub conforming: usize,
    /// Those without code for a target.
    pub without_code: usize,
    /// Those that are not for this program.
    pub skipped: usize,
    /// Those that could not be done.
    pub failed: usize,
    /// Bytes of code.
    pub code: BeforeAfter,
    /// Bytes of the files with code.
    pub length: BeforeAfter,
    /// Bytes that those that were slimmed take on the disk, where that is known of them.
    pub blocks: BeforeAfter,
}

impl SlimSummary {
    /// Adds up.
    #[must_use]
    pub(super) fn of(files: &[SlimReport]) -> Self {
        let mut sums = Self { files: files.len(), ..Self::default() };
        for report in files {
            match &report.outcome {
                SlimOutcome::Slimmed(facts, written) => {
                    sums.slimmed += 1;
                    sums.add(facts);
                    sums.blocks.add((facts.blocks, blocks_after(facts, written)));
                }
                SlimOutcome::Conforms(facts) => {
                    sums.conforming += 1;
                    sums.add(facts);
                }
                SlimOutcome::WithoutCode(facts, _) => {
                    sums.without_code += 1;
                    sums.add(facts);
                }
                SlimOutcome::Skipped(_) => sums.skipped += 1,
                SlimOutcome::Failed(_) => sums.failed += 1,
                SlimOutcome::NoCode => {}
            }
        }
        sums
    }

    fn add(&mut self, facts: &SlimFacts) {
        self.with_gpu_code += 1;
        self.code.add(facts.code);
        self.length.add(facts.length);
    }
}

/// What a file takes on the disk afterwards; what it took where nothing was written.
fn blocks_after(facts: &SlimFacts, written: &SlimWritten) -> u64 {
    written.blocks.unwrap_or(facts.blocks)
}
