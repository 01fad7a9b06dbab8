//! Why there is no plan.

use bstr::BString;

use super::rung::Strategy;
use crate::elf::error::ParseError;

/// Why an object cannot get the path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// References in the file contradict its string table.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// A path with a NUL or an empty entry would not mean what it says.
    #[error("the new search path {0:?} has a NUL byte or an empty entry")]
    BadPath(BString),
    /// No rung of the ladder fits.
    #[error("no safe place for the new search path: {}", decisive(.0))]
    NoPlace(Vec<(Strategy, &'static str)>),
}

impl PlanError {
    /// What each rung has against the file, in the order in which they were tried.
    #[must_use]
    pub(crate) fn attempts(&self) -> &[(Strategy, &'static str)] {
        match self {
            Self::NoPlace(attempts) => attempts,
            Self::Parse(_) | Self::BadPath(_) => &[],
        }
    }
}

/// The reason that matters: the last rung takes every file that the others leave, so what it has against one is what the file
/// is. That there was no room inside is true of most files.
fn decisive(attempts: &[(Strategy, &'static str)]) -> &'static str {
    attempts.last().map_or("no rung was tried", |(_, why)| why)
}
