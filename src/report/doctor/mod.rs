//! What `doctor` prints.

pub(crate) mod human;
pub(crate) mod json;
