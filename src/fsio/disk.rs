//! Directories of this machine: what they list, what a walk goes on with, small files.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;

use super::regular::Regular;

/// Every user may write.
const WORLD_WRITABLE: u32 = 0o002;

/// Bytes of a directory that are read at once.
const BUFFER: usize = 32 * 1024;

/// A directory's contents and who may change them.
#[derive(Clone, Debug)]
pub(crate) struct DirectoryListing {
    /// Names of everything in it.
    pub(crate) names: Vec<OsString>,
    /// Every user may add a file.
    pub(crate) world_writable: bool,
}

/// Lists a directory.
///
/// # Errors
/// What the system says; a file is no directory.
pub(crate) fn list(directory: &Path) -> io::Result<DirectoryListing> {
    let names = std::fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.file_name()));
    let names = names.collect::<io::Result<_>>()?;
    Ok(DirectoryListing { names, world_writable: is_world_writable(directory) })
}

/// What a walk goes on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
}

/// Names the regular files and the directories in a directory, in its own order, each with `prefix` and a slash in front.
/// Nothing else is named: neither symbolic links nor sockets and the like.
///
/// # Errors
/// What the system says first; everything that could be told all the same was named.
pub(crate) fn walk_into(directory: &Path, prefix: &[u8], found: &mut dyn FnMut(PathBuf, Kind)) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let file = rustix::fs::open(directory, flags, Mode::empty())?;
    let mut prefix = prefix.to_vec();
    if prefix.last().is_some_and(|last| *last != b'/') {
        prefix.push(b'/');
    }
    let mut buffer = Vec::with_capacity(BUFFER);
    let mut entries = RawDir::new(&file, buffer.spare_capacity_mut());
    let mut failure = None;
    while let Some(entry) = entries.next() {
        let entry = match entry {
            // The directory went, and had nothing in it then.
            Err(Errno::NOENT) => break,
            entry => entry?,
        };
        let name = entry.file_name();
        let kind = match entry.file_type() {
            // A file system that does not tell.
            FileType::Unknown => match rustix::fs::statat(&file, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                // It went in this moment, as it might have a moment before.
                Err(Errno::NOENT) => continue,
                Err(error) => {
                    failure.get_or_insert(error);
                    continue;
                }
            },
            known => known,
        };
        let kind = match kind {
            FileType::RegularFile => Kind::File,
            FileType::Directory if name != c"." && name != c".." => Kind::Directory,
            _ => continue,
        };
        let path = [&prefix, name.to_bytes()].concat();
        found(PathBuf::from(OsString::from_vec(path)), kind);
    }
    failure.map_or(Ok(()), |error| Err(error.into()))
}

/// Whether every user may add a file to a directory; one that is not there cannot be written to.
#[must_use]
pub(crate) fn is_world_writable(directory: &Path) -> bool {
    std::fs::metadata(directory).is_ok_and(|meta| meta.is_dir() && meta.mode() & WORLD_WRITABLE != 0)
}

/// The one file that is read although the kernel makes it up and tells no size: the driver's version.
const MADE_UP: &str = "proc/driver/nvidia/version";

/// Reads a file that is no larger than `limit` bytes, at a path without symbolic links; `None` for anything else.
#[must_use]
pub(crate) fn read_small(path: &Path, limit: u64) -> Option<Vec<u8>> {
    let node = Regular::at(path).ok()?;
    let len = node.identity.len;
    // To read what another such file makes up can wait, and take it from a process that needs it (/proc/kmsg).
    let wanted = if len == 0 && path.ends_with(MADE_UP) { limit } else { len };
    if wanted > limit {
        return None;
    }
    let mut bytes = Vec::with_capacity(usize::try_from(len).ok()?);
    node.read().ok()?.take(wanted).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// To read the kernel's log takes it from the process that it is for.
    #[test]
    fn nothing_is_read_that_the_kernel_makes_up() {
        assert!(!std::fs::read("/proc/self/status").unwrap().is_empty());
        assert_eq!(read_small(Path::new("/proc/self/status"), 1 << 20), Some(Vec::new()));
    }
}
