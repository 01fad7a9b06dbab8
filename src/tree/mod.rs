//! Whole trees: a sorted list of files, then every file on its own, in parallel, results in path order.

mod archs;
mod check;
mod clean;
mod copy;
mod discover;
mod explain;
mod fix;
mod host;
mod input;
mod look;
mod outcome;
mod run;
mod scripts;
mod show;
mod signature;
mod source;
mod walk;
mod world;

pub use archs::{ArchsReport, archs};
pub use check::check;
pub(crate) use clean::Clean;
pub use clean::CleanError;
pub(crate) use copy::{copy_tree, references_to};
pub use discover::{Found, Listing, Root, RootError, discover};
pub use explain::{ExplainError, explain};
pub(crate) use fix::{FixSettings, Writing, fix};
pub(crate) use host::HostSource;
pub use input::Input;
pub(crate) use outcome::{FileReport, ObjectBrief, Outcome, PathChange};
pub use outcome::{FixError, Skip};
pub use run::Workers;
pub(crate) use scripts::Scripts;
pub use show::{ShowReport, ShownObject, show};
pub use source::{EntryKind, IsWanted, Source, SourceDirectory, SourceFile};
pub use walk::Failure;
pub use world::{LookError, SourceWorld};
