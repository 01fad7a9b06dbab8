//! What `check` prints: one file for each format, all over the same run.

pub mod github;
pub mod human;
pub mod json;
pub mod junit;
mod run;
pub mod runtime_list;
pub mod sarif;

pub use run::CheckRun;
