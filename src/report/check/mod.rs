//! What `check` prints: one file for each format, all over the same run.

pub(crate) mod github;
pub(crate) mod human;
pub(crate) mod json;
pub(crate) mod junit;
mod run;
pub(crate) mod runtime_list;
pub(crate) mod sarif;

pub(crate) use run::CheckRun;
