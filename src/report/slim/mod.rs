//! What `slim` prints.

pub(crate) mod human;
pub(crate) mod json;
mod run;

pub(crate) use run::SlimRun;
