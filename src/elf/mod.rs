//! Reading and editing ELF objects: bytes in, values out. No file system, no threads.
#![deny(clippy::arithmetic_side_effects)]

pub(crate) mod archive;
pub mod class;
pub mod contents;
pub(crate) mod data;
pub(crate) mod dynamic;
mod encode;
pub(crate) mod error;
pub mod image;
pub(crate) mod imports;
pub(crate) mod inward;
pub(crate) mod journal_mark;
pub mod ldcache;
pub(crate) mod library_cache;
pub(crate) mod load_map;
pub mod lookups;
pub(crate) mod machine;
pub(crate) mod notes;
mod own_dynamic;
mod own_notes;
pub mod plan;
pub(crate) mod pointers;
mod ranges;
pub(crate) mod record;
pub(crate) mod references;
mod relocations;
pub(crate) mod runs;
pub mod sealed;
pub(crate) mod slim;
pub(crate) mod strings;
pub(crate) mod symbol_tables;
pub(crate) mod symbols;
pub mod units;
pub mod verify;
pub(crate) mod versions;
pub mod view;
