//! What `archs` prints.

pub mod human;
pub mod json;
mod run;

pub use run::ArchsRun;
