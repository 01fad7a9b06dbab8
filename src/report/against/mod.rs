//! What `check --against` prints: a comparison for people and for programs. The formats that list findings list those that are
//! new or worse, as of a check.

pub(crate) mod html;
pub(crate) mod human;
pub(crate) mod json;
pub(crate) mod markdown;
mod words;

use super::check::CheckRun;
use crate::check::{Comparison, Finding};

/// A comparison as its printers see it.
#[derive(Debug)]
pub(crate) struct ComparedRun<'s> {
    /// The release that is checked. Its findings are those that are new or worse and that no row excuses; what is excused of
    /// those stands beside them.
    pub(crate) run: CheckRun,
    /// What differs.
    pub(crate) comparison: Comparison<'s>,
    /// Findings that the other release has as well, and that no row excuses.
    pub(crate) still: Vec<Finding>,
}
