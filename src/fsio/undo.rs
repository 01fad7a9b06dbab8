//! What takes an edit back when it is over, as a receipt keeps it.

use crate::elf::image::Saved;

/// What is needed to take an edit back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Undo {
    /// The size before, in bytes.
    pub(crate) old_len: u64,
    /// The size after, in bytes.
    pub(crate) new_len: u64,
    /// The bytes that each write replaced, in their order.
    pub(crate) before: Vec<Saved>,
    /// The same ranges as they are now.
    pub(crate) after: Vec<Saved>,
    /// When the edit was made, by the file's own clock: seconds and nanoseconds.
    pub(crate) modified: (i64, i64),
}
