//! The source that is a directory of this machine: all of it, or an image's root.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use super::source::{EntryKind, FileBytes, IsWanted, Source, SourceDirectory, SourceFile};
use crate::fsio::{self, Anchor, FileError, ImagePath, Opened, Site, Sysroot};

/// This machine, or the image below one of its directories.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostSource {
    sysroot: Sysroot,
}

impl HostSource {
    /// The files below a root.
    #[must_use]
    pub(crate) fn new(sysroot: Sysroot) -> Self {
        Self { sysroot }
    }
}

/// The bytes of an open file of this machine.
struct HostBytes(Opened);

impl FileBytes for HostBytes {
    fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    fn check_whole(&self) -> Result<(), FileError> {
        self.0.check_whole()
    }
}

impl Source for HostSource {
    fn resolve(&self, path: &ImagePath) -> io::Result<ImagePath> {
        self.sysroot.resolve(path)
    }

    fn hold(&self, path: &ImagePath) -> io::Result<(ImagePath, Anchor)> {
        self.sysroot.hold(path)
    }

    fn kind(&self, path: &ImagePath) -> io::Result<EntryKind> {
        self.sysroot.kind(path).map(|kind| match kind {
            Some(fsio::Kind::File) => EntryKind::File,
            Some(fsio::Kind::Directory) => EntryKind::Directory,
            None => EntryKind::Other,
        })
    }

    fn link(&self, path: &ImagePath) -> Option<OsString> {
        self.sysroot.link(path).map(PathBuf::into_os_string)
    }

    fn directory(&self, path: &ImagePath) -> io::Result<SourceDirectory> {
        let listing = self.sysroot.list(path)?;
        Ok(SourceDirectory { names: listing.names, is_world_writable: listing.world_writable })
    }

    fn inode(&self, path: &ImagePath) -> Option<(u64, u64)> {
        self.sysroot.inode(path)
    }

    fn is_world_writable(&self, path: &ImagePath) -> bool {
        self.sysroot.is_world_writable(path)
    }

    fn walk_into(&self, site: Site<'_>, found: &mut Vec<(ImagePath, EntryKind)>) -> io::Result<()> {
        self.sysroot.walk_into(site, &mut |path, kind| {
            let kind = match kind {
                fsio::Kind::File => EntryKind::File,
                fsio::Kind::Directory => EntryKind::Directory,
            };
            found.push((ImagePath::new(path), kind));
        })
    }

    fn open(&self, site: Site<'_>, is_wanted: IsWanted<'_>) -> Result<Option<SourceFile>, FileError> {
        let path = site.path().as_path();
        let spot = self.sysroot.spot_of(site).map_err(|e| FileError {
            path: path.to_owned(),
            action: "open it",
            source: e,
        })?;
        Ok(match fsio::sniff_for(spot, path, is_wanted)? {
            None => None,
            Some(opened) => {
                let identity = opened.identity;
                let data = opened.data();
                // What no user may execute gives no rights.
                let has_capabilities = identity.mode & 0o111 != 0 && fsio::has_capabilities(&opened.file);
                let file = SourceFile::new(HostBytes(opened), identity.inode, identity.mode).with_data(data);
                Some(file.with_capabilities(has_capabilities))
            }
        })
    }

    fn read(&self, path: &ImagePath, limit: u64) -> Option<Vec<u8>> {
        self.sysroot.read_small(path, limit)
    }
}
