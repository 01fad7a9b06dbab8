//! What `explain` prints.

pub(crate) mod human;
pub(crate) mod json;
mod symbols;
mod words;
