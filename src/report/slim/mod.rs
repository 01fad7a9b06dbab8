//! What `slim` prints.

pub(crate) mod html;
pub(crate) mod human;
pub(crate) mod json;
pub(crate) mod markdown;
mod run;

pub(crate) use run::SlimRun;
