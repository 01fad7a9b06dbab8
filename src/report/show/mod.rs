//! What `show` prints.

pub(crate) mod human;
pub(crate) mod json;
