//! Reading and editing ELF objects: bytes in, values out. No file system, no threads.

pub mod contents;
pub mod dynamic;
mod encode;
pub mod error;
pub mod image;
pub mod ldcache;
pub mod load_map;
pub mod notes;
pub mod plan;
pub mod pointers;
pub mod record;
pub mod references;
mod relocations;
mod runs;
pub mod strings;
pub mod symbols;
pub mod units;
pub mod verify;
pub mod view;
