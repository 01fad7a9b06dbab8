//! What `show` prints.

pub mod human;
pub mod json;
