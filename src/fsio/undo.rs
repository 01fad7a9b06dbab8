//! What takes an edit back when it is over, as a receipt keeps it.

use crate::elf::image::Saved;

/// What is needed to take an edit back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undo {
    /// The size before, in bytes.
    pub old_len: u64,
    /// The size after, in bytes.
    pub new_len: u64,
    /// The bytes that each write replaced, in their order.
    pub before: Vec<Saved>,
    /// The same ranges as they are now.
    pub after: Vec<Saved>,
    /// When the edit was made, by the file's own clock: seconds and nanoseconds.
    pub modified: (i64, i64),
}
