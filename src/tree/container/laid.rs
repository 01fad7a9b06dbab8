//! What lies over an image, name by name.

use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};

use crate::fsio::ImagePath;

/// What has a name instead of what the image has. The numbers tell inodes apart.
#[derive(Clone, Debug)]
pub(super) enum Laid {
    /// A link and its text.
    Link(BString),
    /// A file that a hook wrote.
    Bytes(Arc<[u8]>, u64),
    /// An empty directory, with what is laid into it.
    Directory(u64),
    /// A file or directory of the host, by its path there without links.
    Host(ImagePath),
    /// A library of the host that is not at hand, by its DT_SONAME.
    Opaque(BString, u64),
    /// A directory of the host that is not at hand.
    Unknown(u64),
}

/// What stands at a path.
#[derive(Clone)]
pub(super) enum LaidPlace<'l> {
    /// What the image has there, if it has something.
    Base,
    Host(ImagePath),
    Link(&'l BString),
    Bytes(&'l Arc<[u8]>, u64),
    Made(u64),
    Opaque(&'l BString, u64),
    UnknownDirectory(u64),
    /// In a directory that may have anything in it.
    BelowUnknown,
    Missing,
}

impl<'l> LaidPlace<'l> {
    pub(super) fn of(laid: &'l Laid) -> Self {
        match laid {
            Laid::Link(text) => Self::Link(text),
            Laid::Bytes(bytes, number) => Self::Bytes(bytes, *number),
            Laid::Directory(number) => Self::Made(*number),
            Laid::Host(path) => Self::Host(path.clone()),
            Laid::Opaque(soname, number) => Self::Opaque(soname, *number),
            Laid::Unknown(number) => Self::UnknownDirectory(*number),
        }
    }

    /// What stands under a name there, if nothing is laid over that.
    pub(super) fn below(self, name: &BStr) -> Self {
        match self {
            Self::Base => Self::Base,
            Self::Host(path) => {
                let name = std::os::unix::ffi::OsStrExt::from_bytes(name.as_bytes());
                Self::Host(ImagePath::new(path.as_path().join::<&std::ffi::OsStr>(name)))
            }
            Self::UnknownDirectory(_) | Self::BelowUnknown => Self::BelowUnknown,
            Self::Link(_) | Self::Bytes(..) | Self::Made(_) | Self::Opaque(..) | Self::Missing => Self::Missing,
        }
    }
}
