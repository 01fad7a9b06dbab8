//! What `rules` prints.

pub mod human;
pub mod json;
pub mod man;
