//! Images of containers: archives, layouts and layers as one tree of files. Nothing is unpacked to a disk: a file's contents
//! are a layer and a range in it.

mod documents;
mod error;
mod image;
mod layer;
mod overlay;
mod pack;
mod platform;
mod store;
mod stream;
mod tar_entries;

pub use error::ImageError;
pub(crate) use image::FileContents;
pub use image::SavedImage;
pub(crate) use overlay::{LeadsNowhere, NodeId, NodeKind};
pub use platform::{ImagePlatform, NoPlatform};
pub use store::ImageFolder;
pub(crate) use stream::Slice;
pub use stream::Storage;
