//! What `doctor` prints.

pub mod human;
pub mod json;
