//! Why there is no plan.

use std::fmt;

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
    #[error("no safe place for the new search path: {}", Attempts(.0))]
    NoPlace(Vec<(Strategy, &'static str)>),
}

struct Attempts<'e>(&'e [(Strategy, &'static str)]);

impl fmt::Display for Attempts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (strategy, why)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{strategy}: {why}")?;
        }
        Ok(())
    }
}
