//! Containers: an image with what a spec lays over it, as one source.

mod files;
mod known;
mod laid;
mod source;

pub(crate) use known::KnownFiles;
pub(crate) use source::ContainerSource;

#[cfg(test)]
mod tests;
