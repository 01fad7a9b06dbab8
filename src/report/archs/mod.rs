//! What `archs` prints.

pub(crate) mod human;
pub(crate) mod json;
mod run;

pub(crate) use run::ArchsRun;
