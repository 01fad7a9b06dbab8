//! What a container gets beside its image: the Container Device Interface's specs, and what the hooks of the NVIDIA Container
//! Toolkit do to the files that a loader reads.
//!
//! Pure: a spec's text in, edits out; what lies where is asked of a [`ContainerFiles`], and what hooks do is done to it.

mod apply;
mod cache_file;
mod compat;
mod conf;
mod edits;
mod error;
mod files;
mod glob;
mod hook;
mod ldconfig;
mod machine;
mod profile;
mod spec;

pub use apply::ContainerState;
pub(crate) use apply::apply;
pub(crate) use compat::{Admission, CompatChoice, HostVersions, admission};
pub(crate) use conf::CONF;
pub(crate) use edits::ALL;
pub use edits::CdiEdits;
pub use error::CdiError;
pub(crate) use files::{CacheableLibrary, ContainerFiles, LeftByHook, Mounted, StandsAt, join, split};
pub(crate) use machine::ContainerMachine;
pub(crate) use profile::HostProfile;
pub(crate) use spec::LARGEST_SPEC;
