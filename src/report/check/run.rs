//! A check as its printers see it.

use crate::check::{Allowed, CheckReport, CheckSetting};
use crate::report::{Conclusion, ReportSubject};

/// A check and what was done with its findings.
#[derive(Debug)]
pub(crate) struct CheckRun {
    /// The result; its findings are those that no row excuses.
    pub report: CheckReport,
    /// Those that an allowlist or a baseline excuses.
    pub allowed: Vec<Allowed>,
    /// What was checked, and what was asked.
    pub setting: CheckSetting,
    /// What it was about.
    pub subject: ReportSubject,
    /// How it ends.
    pub conclusion: Conclusion,
}

impl CheckRun {
    /// How many of the findings `fix` repairs.
    #[must_use]
    pub(crate) fn fixable(&self) -> usize {
        self.report.findings.iter().filter(|finding| finding.fixable).count()
    }
}
