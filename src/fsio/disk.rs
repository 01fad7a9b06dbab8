//! Directories and links as a loader meets them, of this machine or of an image whose root is a directory of it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;

/// Everybody may write.
const WORLD_WRITABLE: u32 = 0o002;

/// Bytes of a directory that are read at once.
const BUFFER: usize = 32 * 1024;

/// As many links as Linux follows in one path (`Linux include/linux/namei.h`, MAXSYMLINKS).
const MOST_LINKS: usize = 40;

/// A directory's contents and who may change them.
#[derive(Clone, Debug)]
pub struct DirectoryListing {
    /// Names of everything in it.
    pub names: Vec<OsString>,
    /// Everybody may add a file.
    pub world_writable: bool,
}

/// Lists a directory.
///
/// # Errors
/// What the system says; a file is no directory.
pub fn list(directory: &Path) -> io::Result<DirectoryListing> {
    let names = std::fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.file_name()));
    let names = names.collect::<io::Result<_>>()?;
    Ok(DirectoryListing { names, world_writable: is_world_writable(directory) })
}

/// What a walk goes on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
}

/// Adds the regular files and the directories in a directory, in its own order, each with that directory's path in front.
/// Nothing else is added: neither symbolic links nor sockets and the like.
///
/// # Errors
/// What the system says first; everything that could be told all the same has been added.
pub fn walk_into(directory: &Path, found: &mut Vec<(PathBuf, Kind)>) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let file = rustix::fs::open(directory, flags, Mode::empty())?;
    let mut prefix = directory.as_os_str().as_bytes().to_vec();
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
        found.push((PathBuf::from(OsString::from_vec(path)), kind));
    }
    failure.map_or(Ok(()), |error| Err(error.into()))
}

/// Whether everybody may add a file to a directory; one that is not there cannot be written to.
#[must_use]
pub fn is_world_writable(directory: &Path) -> bool {
    std::fs::metadata(directory).is_ok_and(|meta| meta.is_dir() && meta.mode() & WORLD_WRITABLE != 0)
}

/// Reads a file that is no larger than `limit` bytes; `None` for anything else.
#[must_use]
pub fn read_small(path: &Path, limit: u64) -> Option<Vec<u8>> {
    let file = File::open(path).ok()?;
    let meta = file.metadata().ok().filter(|meta| meta.is_file() && meta.len() <= limit)?;
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).ok()?);
    file.take(limit).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// An absolute path with its symbolic links followed; with a `root`, links are followed as if that were `/`, and the
/// result is a path in it.
///
/// # Errors
/// What the system says: it does not exist, a directory may not be searched, links lead in a circle.
pub fn resolve(path: &Path, root: Option<&Path>) -> io::Result<PathBuf> {
    let Some(root) = root else { return path.canonicalize() };
    let mut left: Vec<OsString> = reversed(path);
    let mut done = PathBuf::from("/");
    let mut is_directory = true;
    let mut links = 0_usize;
    while let Some(next) = left.pop() {
        if !is_directory {
            return Err(Errno::NOTDIR.into());
        }
        if next == ".." {
            done.pop();
            continue;
        }
        let candidate = done.join(&next);
        let host = host_path(&candidate, Some(root));
        let meta = std::fs::symlink_metadata(&host)?;
        if !meta.file_type().is_symlink() {
            is_directory = meta.is_dir();
            done = candidate;
            continue;
        }
        links = links.saturating_add(1);
        if links > MOST_LINKS {
            return Err(Errno::LOOP.into());
        }
        let target = std::fs::read_link(&host)?;
        if target.is_absolute() {
            done = PathBuf::from("/");
        }
        left.extend(reversed(&target));
    }
    Ok(done)
}

/// Where a path of an image lies on this machine.
#[must_use]
pub fn host_path(path: &Path, root: Option<&Path>) -> PathBuf {
    match root {
        None => path.to_owned(),
        Some(root) => root.join(path.strip_prefix("/").unwrap_or(path)),
    }
}

fn reversed(path: &Path) -> Vec<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    let mut names: Vec<OsString> = names.collect();
    names.reverse();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_of_an_image_stay_in_it() {
        let image = tempfile::tempdir().unwrap();
        let root = image.path();
        std::fs::create_dir_all(root.join("usr/lib")).unwrap();
        std::fs::write(root.join("usr/lib/libx.so.1.0"), "x").unwrap();
        symlink("usr/lib", root.join("lib")).unwrap();
        symlink("/lib/libx.so.1.0", root.join("usr/lib/libx.so.1")).unwrap();
        symlink("../../../../../lib/libx.so.1", root.join("usr/lib/libx.so")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let resolved = |path: &str| resolve(Path::new(path), Some(root)).map_err(|error| error.kind());
        assert_eq!(resolved("/lib/libx.so"), Ok("/usr/lib/libx.so.1.0".into()));
        assert_eq!(resolved("/loop").unwrap_err(), Errno::LOOP.kind());
        assert_eq!(resolved("/etc"), Err(io::ErrorKind::NotFound));
        assert_eq!(resolved("/lib/libx.so/../libx.so"), Err(io::ErrorKind::NotADirectory));
    }
}
