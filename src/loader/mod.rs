//! The dynamic loader's search as a value: for an object and a name, every place that is looked at, in order, and why.
//!
//! Pure: asks a [`FileSystem`] what lies where, and runs nothing. The rules are those of glibc's `elf/dl-load.c` and
//! musl's `ldso/dynlink.c`.

mod ask;
mod cache;
mod expand;
mod file_system;
mod fit;
mod hardware;
mod libc;
mod memo;
mod object;
mod process;
mod run;
mod scope;
mod search;
mod start;
mod system;

pub(crate) use ask::Ask;
pub(crate) use file_system::{DirectoryState, FileSystem, HARDWARE_FOLDERS, Look, RealDirectory};
pub(crate) use fit::{Provider, UnmetVersion, unmet_versions};
pub(crate) use hardware::cache_flags;
pub(crate) use libc::Libc;
pub(crate) use memo::Memo;
pub(crate) use object::{CacheHint, Ident, Object, TaggedPath, hints};
pub(crate) use process::{LinkMap, Process};
pub(crate) use run::Loader;
pub(crate) use scope::{Bound, NamedFiles, ReadTables, SymbolFiles, SymbolScope};
pub(crate) use search::{Cpu, End, MOST_PLACES, Patience, Step, StepOutcome, StepSource};
pub use search::{Environment, Search};
pub(crate) use start::{Depth, StartUp, open, start};
pub(crate) use system::{Hardware, System, SystemFiles, interpreter_of, is_of_musl};
