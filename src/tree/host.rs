//! The source that is a directory of this machine: all of it, or an image's root.

use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use super::source::{EntryKind, IsWanted, Source, SourceDirectory, SourceFile};
use crate::fsio::{self, FileError, ImagePath, Opened, Sniffed, Sysroot};

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

impl AsRef<[u8]> for HostBytes {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl Source for HostSource {
    fn resolve(&self, path: &ImagePath) -> io::Result<ImagePath> {
        self.sysroot.resolve(path)
    }

    fn kind(&self, path: &ImagePath) -> io::Result<EntryKind> {
        let meta = std::fs::metadata(self.sysroot.to_host(path).as_path())?;
        Ok(match (meta.is_file(), meta.is_dir()) {
            (true, _) => EntryKind::File,
            (_, true) => EntryKind::Directory,
            _ => EntryKind::Other,
        })
    }

    fn directory(&self, path: &ImagePath) -> io::Result<SourceDirectory> {
        let host = self.sysroot.to_host(path);
        match fsio::list(host.as_path()) {
            Ok(listing) => {
                Ok(SourceDirectory { names: Some(listing.names), is_world_writable: listing.world_writable })
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                let is_world_writable = fsio::is_world_writable(host.as_path());
                Ok(SourceDirectory { names: None, is_world_writable })
            }
            Err(error) => Err(error),
        }
    }

    fn inode(&self, path: &ImagePath) -> Option<(u64, u64)> {
        let meta = std::fs::metadata(self.sysroot.to_host(path).as_path()).ok()?;
        Some((meta.dev(), meta.ino()))
    }

    fn is_world_writable(&self, path: &ImagePath) -> bool {
        fsio::is_world_writable(self.sysroot.to_host(path).as_path())
    }

    fn walk_into(&self, path: &ImagePath, found: &mut Vec<(ImagePath, EntryKind)>) -> io::Result<()> {
        fsio::walk_into(
            self.sysroot.to_host(path).as_path(),
            path.as_path().as_os_str().as_bytes(),
            &mut |path, kind| {
                let kind = match kind {
                    fsio::Kind::File => EntryKind::File,
                    fsio::Kind::Directory => EntryKind::Directory,
                };
                found.push((ImagePath::new(path), kind));
            },
        )
    }

    fn open(&self, path: &ImagePath, is_wanted: IsWanted<'_>) -> Result<Option<SourceFile>, FileError> {
        let sniffed = match self.sysroot.is_image() {
            false => fsio::sniff_for(path.as_path(), is_wanted)?,
            true => fsio::sniff_for(self.sysroot.to_host(path).as_path(), is_wanted)?,
        };
        Ok(match sniffed {
            Sniffed::NotElf => None,
            Sniffed::Elf(opened) => {
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
        fsio::read_small(self.sysroot.to_host(path).as_path(), limit)
    }
}
