//! Directories of this machine: what they list, what a walk goes on with, small files.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use rustix::fs::{AtFlags, FileType, OFlags};
use rustix::io::Errno;

use super::dir::{Anchor, Spot, each_entry, names};
use super::regular::Regular;
use super::sysroot::{ImagePath, Sysroot};

/// The one file that is read although the kernel makes it up and tells no size: the driver's version.
const MADE_UP: &str = "proc/driver/nvidia/version";

/// Every user may write.
const WORLD_WRITABLE: u32 = 0o002;

/// A directory's contents and who may change them.
#[derive(Clone, Debug)]
pub(crate) struct DirectoryListing {
    /// Names of everything in it; `None` where it may be searched, but not listed.
    pub(crate) names: Option<Vec<OsString>>,
    /// Every user may add a file.
    pub(crate) world_writable: bool,
}

fn list(directory: &OwnedFd) -> io::Result<DirectoryListing> {
    Ok(DirectoryListing { names: Some(names(directory)?), world_writable: is_world_writable(directory) })
}

/// What a walk goes on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
}

/// Names the regular files and the directories in an open directory, in its own order, each with `prefix` and a slash in
/// front. Nothing else is named: neither symbolic links nor sockets and the like.
fn walk_into(directory: &impl AsFd, prefix: &[u8], found: &mut dyn FnMut(PathBuf, Kind)) -> io::Result<()> {
    let mut prefix = prefix.to_vec();
    if prefix.last().is_some_and(|last| *last != b'/') {
        prefix.push(b'/');
    }
    each_entry(directory, &mut |entry| {
        let name = entry.file_name();
        let kind = match entry.file_type() {
            // A file system that does not tell.
            FileType::Unknown => match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                // It went in this moment, as it might have a moment before.
                Err(Errno::NOENT) => return Ok(()),
                Err(error) => return Err(error),
            },
            known => known,
        };
        let kind = match kind {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            _ => return Ok(()),
        };
        let path = [&prefix, name.to_bytes()].concat();
        found(PathBuf::from(OsString::from_vec(path)), kind);
        Ok(())
    })
}

/// Whether every user may add a file to an open directory.
fn is_world_writable(directory: &OwnedFd) -> bool {
    rustix::fs::fstat(directory).is_ok_and(|stat| stat.st_mode & WORLD_WRITABLE != 0)
}

impl Sysroot {
    /// What the directory at a path without links has.
    ///
    /// # Errors
    /// What the system says; a directory that may be searched but not listed is none.
    pub(crate) fn list(&self, path: &ImagePath) -> io::Result<DirectoryListing> {
        match self.open_directory(path, OFlags::RDONLY) {
            Ok(directory) => list(&directory),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Ok(DirectoryListing { names: None, world_writable: self.is_world_writable(path) })
            }
            Err(error) => Err(error),
        }
    }

    /// Device and inode of what stands at a path without links.
    #[must_use]
    pub(crate) fn inode(&self, path: &ImagePath) -> Option<(u64, u64)> {
        match self.open_directory(path, OFlags::PATH) {
            Ok(directory) => rustix::fs::fstat(directory).ok().map(|stat| (stat.st_dev, stat.st_ino)),
            Err(_) => self.spot(path).ok()?.identity().ok().map(|identity| identity.inode),
        }
    }

    /// Whether every user may add a file to a directory; one that is not there cannot be written to.
    #[must_use]
    pub(crate) fn is_world_writable(&self, path: &ImagePath) -> bool {
        self.open_directory(path, OFlags::PATH).is_ok_and(|directory| is_world_writable(&directory))
    }

    /// Names the regular files and the directories in a directory, in its own order, each with its path in front. Nothing
    /// else is named: neither symbolic links nor sockets and the like.
    ///
    /// # Errors
    /// What the system says first; everything that could be told all the same was named.
    pub(crate) fn walk_into(&self, site: Site<'_>, found: &mut dyn FnMut(PathBuf, Kind)) -> io::Result<()> {
        let path = site.path.as_path().as_os_str().as_bytes();
        match site.held.and_then(|(anchor, below)| anchor.listed(below)) {
            Some(directory) => walk_into(&*directory?, path, found),
            None => walk_into(&self.open_directory(site.path, OFlags::RDONLY)?, path, found),
        }
    }

    /// What stands at a path without links; `None` for what is neither.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn kind(&self, path: &ImagePath) -> io::Result<Option<Kind>> {
        Ok(match self.file_type(path)? {
            FileType::RegularFile => Some(Kind::File),
            FileType::Directory => Some(Kind::Directory),
            _ => None,
        })
    }

    /// The name of a file.
    ///
    /// # Errors
    /// What the system says about the directories on the way.
    pub(crate) fn spot_of(&self, site: Site<'_>) -> io::Result<Spot> {
        match site.held.and_then(|(anchor, below)| Some((anchor.spot(below)?, below))) {
            Some((spot, b"")) => spot,
            // What lies below an argument was found in a listing.
            Some((spot, _)) => spot.map(Spot::listed),
            None => self.spot(site.path),
        }
    }

    /// Reads a file that is no larger than `limit` bytes, at a path without links; `None` for anything else.
    #[must_use]
    pub(crate) fn read_small(&self, path: &ImagePath, limit: u64) -> Option<Vec<u8>> {
        let spot = self.spot(path).ok()?;
        let node = Regular::at(&spot).ok()?;
        let len = node.identity.len;
        // To read what another such file makes up can wait, and take it from a process that needs it (/proc/kmsg).
        let wanted = if len == 0 && path.as_path().ends_with(MADE_UP) { limit } else { len };
        if wanted > limit {
            return None;
        }
        let mut bytes = Vec::with_capacity(usize::try_from(len).ok()?);
        node.read().ok()?.take(wanted).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }
}

/// A place in a source: a path, and where it lies below what an argument led to.
#[derive(Clone, Copy, Debug)]
pub struct Site<'s> {
    path: &'s ImagePath,
    held: Option<(&'s Anchor, &'s [u8])>,
}

impl<'s> Site<'s> {
    /// The path, as a loader in the source would see it.
    #[must_use]
    pub fn path(&self) -> &'s ImagePath {
        self.path
    }

    /// What an argument led to.
    #[must_use]
    pub(crate) fn of(anchor: &'s Anchor, path: &'s ImagePath) -> Self {
        Self { path, held: Some((anchor, b"")) }
    }

    /// What lies below that, from so many bytes of the path on.
    #[must_use]
    pub(crate) fn below(anchor: &'s Anchor, start: usize, path: &'s ImagePath) -> Self {
        let below = path.as_path().as_os_str().as_bytes().get(start..).unwrap_or_default();
        Self { path, held: Some((anchor, below)) }
    }

    /// A path without symbolic links that no argument led to.
    #[must_use]
    pub fn at(path: &'s ImagePath) -> Self {
        Self { path, held: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// To read the kernel's log takes it from the process that it is for.
    #[test]
    fn nothing_is_read_that_the_kernel_makes_up() {
        assert!(!std::fs::read("/proc/self/status").unwrap().is_empty());
        let status = ImagePath::new(format!("/proc/{}/status", std::process::id()));
        assert_eq!(Sysroot::host().read_small(&status, 1 << 20), Some(Vec::new()));
    }
}
