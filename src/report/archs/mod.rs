//! What `archs` prints.

pub(crate) mod html;
pub(crate) mod human;
pub(crate) mod json;
pub(crate) mod markdown;
mod run;
mod words;

pub(crate) use run::ArchsRun;
