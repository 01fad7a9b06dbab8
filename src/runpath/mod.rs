//! What a search path is and what it should be: pure functions over lists of bytes.
//!
//! Knows no ELF, does no I/O and reads no environment. [`decide`] is the whole policy.

mod entry;
mod list;
mod policy;

pub use entry::{Directory, DirectoryError};
pub(crate) use entry::{EntryClass, is_build_directory, is_host_compiler, is_recognised_compat};
pub use list::SearchPath;
pub(crate) use policy::TagPolicy;
pub use policy::{Actions, Decision, Hygiene, Policy, Setting, decide};
