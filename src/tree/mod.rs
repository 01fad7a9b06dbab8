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
mod show;
mod source;
mod walk;
mod world;

pub use archs::{ArchsReport, archs};
pub use check::check;
pub use clean::Clean;
pub use copy::{CopyOfTree, copy_tree, references_to};
pub use discover::{Found, Listing, Root, RootError, discover};
pub use explain::{ExplainError, explain};
pub use fix::{FixSettings, Writing, fix};
pub use host::HostSource;
pub use input::Input;
pub use outcome::{FileReport, FixError, ObjectBrief, Outcome, PathChange, Skip};
pub use run::Workers;
pub use show::{Room, ShowReport, ShownEntry, ShownObject, show};
pub use source::{EntryKind, IsWanted, Source, SourceDirectory, SourceFile};
pub use walk::Failure;
pub use world::{LookError, SourceWorld};
