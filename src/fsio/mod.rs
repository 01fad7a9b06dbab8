//! All input and output on files: the only place that opens, maps, writes, renames or restores one.

mod commit;
mod copy;
mod disk;
mod in_place;
mod journal;
mod map;
mod replace;
mod store;
mod writes;

pub use commit::{Committed, Durability, EditError, How, Note, Undo, WriteMode, commit, revert, size_limit, take_back};
pub use copy::{CopyError, FirstNames, copy_entry, copy_file, prepare_target};
pub use disk::{Kind, Listing, host_path, is_world_writable, list, read_small, resolve, walk_into};
pub use map::{FileError, Identity, Opened, Sniffed, is_elf, open, sniff, sniff_for};
pub use replace::is_temporary;
pub use store::{Store, StoreRefusal};
