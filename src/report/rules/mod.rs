//! What `rules` prints.

pub(crate) mod human;
pub(crate) mod json;
pub(crate) mod man;
pub(crate) mod markdown;
