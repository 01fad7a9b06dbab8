//! Whole trees: a sorted list of files, then every file on its own, in parallel, results in path order.

mod archs;
mod check;
mod clean;
mod copy;
mod discover;
mod explain;
mod fix;
mod outcome;
mod run;
mod scripts;
mod show;
mod walk;
mod world;

pub use archs::{ArchsReport, archs};
pub use check::check;
pub use copy::{CopyOfTree, copy_tree, references_to};
pub use discover::{Failure, Found, Listing, Root, RootError, discover};
pub use explain::{ExplainError, explain};
pub use fix::{FixSettings, Writing, fix};
pub use outcome::{Change, FileReport, FixError, Object, Outcome, Skip};
pub use run::Workers;
pub use scripts::Scripts;
pub use show::{Facts, Room, ShowReport, ShownEntry, show};
pub use world::{LookError, Machine};
