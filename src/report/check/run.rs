//! A check as its printers see it.

use crate::check::{Allowed, CheckReport, CheckSetting, Severity};

/// A check and what was done with its findings.
#[derive(Debug)]
pub(crate) struct CheckRun {
    /// The result; its findings are those that no row excuses.
    pub report: CheckReport,
    /// Those that an allowlist or a baseline excuses.
    pub allowed: Vec<Allowed>,
    /// What was checked, and what was asked.
    pub setting: CheckSetting,
}

impl CheckRun {
    /// How many of the findings `fix` repairs.
    #[must_use]
    pub(crate) fn fixable(&self) -> usize {
        self.report.findings.iter().filter(|finding| finding.fixable).count()
    }

    /// The worst finding.
    #[must_use]
    pub(crate) fn worst(&self) -> Option<Severity> {
        self.report.findings.iter().map(|finding| finding.severity).max()
    }
}
