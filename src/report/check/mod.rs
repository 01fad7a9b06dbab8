//! Printers of a check: one for each format, all over the same run.

mod github;
mod human;
mod json;
mod junit;
mod runtime_list;
mod sarif;

pub use github::print_github;
pub use human::print_human;
pub use json::{SCHEMA_FILE, print_json};
pub use junit::print_junit;
pub use runtime_list::{RuntimeEntry, RuntimeListError, print_runtime_list, read_runtime_list};
pub use sarif::print_sarif;

use crate::check::{Allowed, CheckReport, Severity};

/// A check and what was done with its findings.
#[derive(Debug)]
pub struct CheckRun {
    /// The result; its findings are those that nobody excused.
    pub report: CheckReport,
    /// Those that an allowlist or a baseline excuses.
    pub allowed: Vec<Allowed>,
}

impl CheckRun {
    /// How many of the findings `fix` repairs.
    #[must_use]
    pub fn fixable(&self) -> usize {
        self.report.findings.iter().filter(|finding| finding.fixable).count()
    }

    /// The worst finding.
    #[must_use]
    pub fn worst(&self) -> Option<Severity> {
        self.report.findings.iter().map(|finding| finding.severity).max()
    }
}

/// `1 file`, `2 files`.
fn counted(count: usize, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}
