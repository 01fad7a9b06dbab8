//! All input and output on files: the only place that opens, maps, writes, renames or restores one.

mod commit;
mod copy;
mod disk;
mod edit;
mod error;
mod identity;
mod in_place;
mod journal;
mod limits;
mod map;
mod replace;
mod rights;
mod secret;
mod store;
mod sysroot;
mod undo;
mod writes;

pub(crate) use commit::{commit, revert, take_back};
pub(crate) use copy::{CopyError, FirstNames, copy_entry, copy_file, prepare_target};
pub(crate) use disk::{Kind, is_world_writable, list, read_small, walk_into};
pub use edit::EditError;
pub(crate) use edit::{How, Remark, WriteMode};
pub use error::FileError;
pub(crate) use limits::size_limit;
pub(crate) use map::{Opened, Sniffed, open, sniff, sniff_for};
pub(crate) use replace::is_temporary;
pub(crate) use rights::has_capabilities;
pub(crate) use secret::Secret;
pub(crate) use store::Store;
pub use store::StoreRefusal;
pub use sysroot::ImagePath;
pub(crate) use sysroot::{HostPath, Sysroot};
pub(crate) use undo::Undo;
