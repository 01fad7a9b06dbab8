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
mod store;
mod sysroot;
mod undo;
mod writes;

pub use commit::{commit, revert, take_back};
pub use copy::{CopyError, FirstNames, copy_entry, copy_file, prepare_target};
pub use disk::{DirectoryListing, Kind, is_world_writable, list, read_small, walk_into};
pub use edit::{Committed, Durability, EditError, How, Remark, WriteMode};
pub use error::FileError;
pub use identity::Identity;
pub use limits::size_limit;
pub use map::{Opened, Sniffed, is_elf, open, sniff, sniff_for};
pub use replace::is_temporary;
pub use store::{Store, StoreRefusal};
pub use sysroot::{HostPath, ImagePath, Sysroot};
pub use undo::Undo;
