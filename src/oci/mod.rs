//! Images of containers: archives, layouts and layers as one tree of files. Nothing is unpacked to a disk: a file's contents
//! are a layer and a range in it.

mod documents;
mod error;
mod image;
mod layer;
mod overlay;
mod pack;
mod store;
mod stream;
mod tar_entries;

pub use error::ImageError;
pub(crate) use image::FileContents;
pub use image::{NoPlatform, Platform, SavedImage};
pub(crate) use overlay::{LeadsNowhere, NodeId, NodeKind};
pub use store::Folder;
pub(crate) use stream::Slice;
pub use stream::Storage;
