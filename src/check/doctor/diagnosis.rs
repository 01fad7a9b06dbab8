//! One thing that was looked at.

use crate::check::rule::{Rule, Severity};

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Diagnosis {
    /// What, in one word or two.
    pub(crate) subject: String,
    /// `None` when all is well.
    pub(crate) severity: Option<Severity>,
    /// What was found.
    pub(crate) detail: String,
    /// The finding of `check` that says the same.
    pub(crate) rule: Option<&'static Rule>,
}

impl Diagnosis {
    /// All is well.
    pub(super) fn fine(subject: &str, detail: String) -> Self {
        Self { subject: subject.to_owned(), severity: None, detail, rule: None }
    }

    /// Something that no finding of `check` says.
    pub(super) fn say(subject: &str, severity: Severity, detail: String) -> Self {
        Self { severity: Some(severity), ..Self::fine(subject, detail) }
    }

    /// A finding of `check`.
    pub(super) fn finding(subject: &str, rule: &'static Rule, detail: String) -> Self {
        Self { severity: Some(rule.severity), rule: Some(rule), ..Self::fine(subject, detail) }
    }
}
