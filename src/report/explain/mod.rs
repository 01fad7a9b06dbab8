//! What `explain` prints.

pub mod human;
pub mod json;
mod words;
