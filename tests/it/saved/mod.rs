//! Images of containers, as tools save them.

pub(crate) mod build;
mod forms;
mod hostile;
mod layers;
