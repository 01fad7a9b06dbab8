//! What the search asks of the world: files, directories and a few small system files, by absolute path.

use std::sync::Arc;

use bstr::{BStr, BString};

use super::object::{Ident, Object};

/// What lies at a path, symbolic links followed.
#[derive(Clone, Debug)]
pub(crate) enum Look {
    /// Nothing, or nothing that the given closure or image has.
    Missing,
    /// Something that may not be opened: loaders pass over it.
    Forbidden,
    /// Opening it fails for another reason, such as links that lead in a circle.
    Broken(&'static str),
    /// An object that a loader could map.
    Object(Arc<Object>),
    /// A file that can be opened and that no loader maps, and why not.
    NotLoadable(Option<Ident>, Arc<str>),
}

/// First components of the folders that glibc searches before a directory itself (`glibc elf/dl-hwcaps.c`).
pub(crate) const HARDWARE_FOLDERS: [&str; 14] = [
    "glibc-hwcaps",
    "tls",
    "haswell",
    "avx512_1",
    "x86_64",
    "i686",
    "sse2",
    "aarch64",
    "atomics",
    "v7l",
    "neon",
    "vfp",
    "altivec",
    "dfp",
];

/// What is known of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DirectoryState {
    /// It is not there. The flag says whether any user could make it: an existing directory above it is world-writable.
    Missing {
        /// Every user may create it.
        anybody_could_make_it: bool,
    },
    /// It is there.
    Present {
        /// Every user may put a library into it.
        world_writable: bool,
        /// One of [`HARDWARE_FOLDERS`] is in it.
        has_hardware_folders: bool,
    },
}

impl DirectoryState {
    /// Whether the directory exists.
    #[must_use]
    pub(crate) fn exists(self) -> bool {
        matches!(self, Self::Present { .. })
    }
}

/// Which directory it is, whatever leads to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RealDirectory {
    /// Its path without symbolic links.
    pub(crate) real: BString,
    /// Device and inode, where the source of the files has them.
    pub(crate) inode: Option<(u64, u64)>,
}

/// A file system as a loader sees it. An image or closure is one without the rest of the machine.
pub(crate) trait FileSystem: Sync {
    /// The file `name` in `directory`.
    fn look(&self, directory: &BStr, name: &BStr) -> Look;
    /// The directory itself.
    fn directory(&self, path: &BStr) -> DirectoryState;
    /// Which directory a path leads to; `None` when it leads to none.
    fn whereabouts(&self, directory: &BStr) -> Option<RealDirectory> {
        Some(RealDirectory { real: self.real(directory)?, inode: None })
    }
    /// What a path is with its symbolic links followed; `None` when it leads nowhere.
    fn real(&self, path: &BStr) -> Option<BString>;
    /// Device and inode of what lies at a path without symbolic links, where the source of the files has them.
    fn inode(&self, _real: &BStr) -> Option<(u64, u64)> {
        None
    }
    /// The same for a path whose end may be missing: links are followed as far as there is something.
    fn leads_to(&self, path: &BStr) -> Option<BString> {
        self.real(path)
    }
    /// Where a name in a directory leads, if that has the name and nothing is there: a link whose target is missing.
    fn dangles(&self, _directory: &BStr, _name: &BStr) -> Option<BString> {
        None
    }
    /// A whole small file (`ld.so.cache`, `ld-musl-*.path`, a loader); `None` when it cannot be read.
    fn read(&self, path: &BStr) -> Option<Vec<u8>>;
}
