//! What a search path is and what it should be: pure functions over lists of bytes.
//!
//! Knows no ELF, does no I/O and reads no environment. [`decide`] is the whole policy.

mod entry;
mod list;
mod policy;

pub use entry::{
    Directory, DirectoryError, EntryClass, is_build_directory, is_host_compiler, is_recognised_compat,
    is_stub_directory,
};
pub use list::SearchPath;
pub use policy::{Actions, ActionsError, Decision, Hygiene, Policy, Setting, TagPolicy, decide};
