//! Which invariant does not hold, and where.

use bstr::BString;

pub(super) const DT_RPATH: u64 = 15;
pub(super) const DT_RUNPATH: u64 = 29;

/// What is wrong with an edited object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The plan was made for other bytes.
    #[error("the plan is for a file of {planned} bytes, not of {found}")]
    OtherFile {
        /// The length that the plan expects, bytes.
        planned: u64,
        /// The length that there is, bytes.
        found: u64,
    },
    /// The edited object cannot be parsed.
    #[error("the edited file cannot be read back: {0}")]
    Unreadable(&'static str),
    /// A range of the edited object lies outside it.
    #[error("the edited file is too short: {len:#x} bytes at {offset:#x}")]
    PastEnd {
        /// Where.
        offset: u64,
        /// How many bytes.
        len: u64,
    },
    /// An invariant does not hold.
    #[error("invariant {number} does not hold at {at:#x}: {what}")]
    Broken {
        /// Its number in docs/editing.md.
        number: u8,
        /// What should have been the case.
        what: &'static str,
        /// A file offset, an address or an index, whichever names the place.
        at: u64,
    },
    /// The path is not the one that was wanted.
    #[error("invariant 8 does not hold: the search path is {found:?}, wanted {wanted:?}")]
    WrongPath {
        /// What the loader would use.
        found: Option<BString>,
        /// What it should use.
        wanted: Option<BString>,
    },
}

pub(super) fn broken(number: u8, what: &'static str, at: u64) -> VerifyError {
    VerifyError::Broken { number, what, at }
}
