//! What `fix` prints, and the receipts that `fix --revert` reads.

pub(crate) mod human;
pub(crate) mod json;
mod receipt;
mod run;
mod summary;

pub(crate) use receipt::{Receipt, Reverted};
pub(crate) use run::{CopyNotes, FixRun, Mode, RevertReport};
