//! The dynamic loader's search as a value: for an object and a name, every place that is looked at, in order, and why.
//!
//! Pure: asks a [`FileSystem`] what lies where, and runs nothing. The rules are those of glibc's `elf/dl-load.c` and
//! musl's `ldso/dynlink.c`.

mod cache;
mod expand;
mod file_system;
mod hardware;
mod object;
mod process;
mod run;
mod search;
mod system;

pub use file_system::{DirectoryState, FileSystem, HARDWARE_FOLDERS, Look};
pub use object::{CacheHint, Ident, Object, PathTag, hints};
pub use process::{Depth, LinkMap, Process, start};
pub use search::{Ask, Cpu, End, Environment, Loader, MOST_PLACES, Outcome, Search, Source, Step};
pub use system::{Hardware, Libc, System, interpreter_of, is_of_musl};
