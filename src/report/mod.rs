//! Printers: results in, text or JSON out. They decide nothing and know no exit code.

mod human;
mod json;
mod receipt;
mod summary;
mod text;

pub use human::{Detail, Human, Palette};
pub use json::{print_fix, print_revert, print_show};
pub use receipt::{Receipt, ReceiptError, Reverted};
pub use summary::{CopyNotes, FixRun, Mode, RevertReport, Summary};
pub use text::{Escape, reason};
