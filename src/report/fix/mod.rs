//! What `fix` prints, and the receipts that `fix --revert` reads.

pub mod human;
pub mod json;
mod receipt;
mod run;
mod summary;

pub use receipt::{Receipt, ReceiptError, Reverted};
pub use run::{CopyNotes, FixRun, Mode, RevertReport};
