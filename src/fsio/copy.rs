//! Copies that share or skip what they can: reflinks and holes; links stay links.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, SeekFrom, Timespec, Timestamps};
use rustix::io::Errno;

use super::map::FileError;

/// Copies a file's contents into an empty one: shared blocks where the file system can, holes as holes.
pub(super) fn copy_contents(source: &File, target: &File, len: u64) -> io::Result<()> {
    if rustix::fs::ioctl_ficlone(target, source).is_ok() {
        return Ok(());
    }
    target.set_len(len)?;
    let mut at = 0_u64;
    while at < len {
        let start = match rustix::fs::seek(source, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => break,
            Err(_) => at,
        };
        let end = rustix::fs::seek(source, SeekFrom::Hole(start)).unwrap_or(len).min(len);
        if end <= start {
            break;
        }
        copy_part(source, target, start, end)?;
        at = end;
    }
    Ok(())
}

fn copy_part(source: &File, target: &File, start: u64, end: u64) -> io::Result<()> {
    let (mut from, mut to) = (start, start);
    while from < end {
        let len = usize::try_from(end.saturating_sub(from)).unwrap_or(usize::MAX).min(1 << 30);
        match rustix::fs::copy_file_range(source, Some(&mut from), target, Some(&mut to), len) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => {
                return copy_by_hand(source, target, from, end);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn copy_by_hand(source: &File, target: &File, start: u64, end: u64) -> io::Result<()> {
    let mut buffer = vec![0_u8; 1 << 16];
    let mut at = start;
    while at < end {
        let len = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX).min(buffer.len());
        let read = source.read_at(buffer.get_mut(..len).unwrap_or_default(), at)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        target.write_all_at(buffer.get(..read).unwrap_or_default(), at)?;
        at = at.saturating_add(u64::try_from(read).unwrap_or(0));
    }
    Ok(())
}

/// Why a tree could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A file-system error.
    #[error(transparent)]
    File(#[from] FileError),
    /// Something is where the copy should go.
    #[error("{0} exists and is not an empty directory; the copy would mix with what is there")]
    Occupied(PathBuf),
    /// The copy would contain itself.
    #[error("{0} lies inside the tree that is to be copied")]
    Inside(PathBuf),
}

/// Makes the directory that a copy goes into and says whether it is fit for one.
///
/// # Errors
/// [`CopyError`] when something is there already or the copy would contain itself.
pub fn prepare_target(source: &Path, target: &Path) -> Result<(), CopyError> {
    let error = |action, error| FileError::new(target, action, error);
    let is_empty = match std::fs::read_dir(target) {
        Ok(mut entries) => entries.next().is_none(),
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
            std::fs::create_dir_all(target).map_err(|e| error("make the directory", e))?;
            true
        }
        Err(_) => false,
    };
    if !is_empty {
        return Err(CopyError::Occupied(target.to_owned()));
    }
    let canonical = target.canonicalize().map_err(|e| error("resolve it", e))?;
    if canonical.starts_with(source) {
        return Err(CopyError::Inside(target.to_owned()));
    }
    Ok(())
}

/// The names that were copied already, by inode, so that hard links stay hard links.
pub type FirstNames = HashMap<(u64, u64), PathBuf>;

/// Copies one entry of a tree: symbolic links as links, hard links as hard links, modes and times kept; directories of
/// the copy are writable by their owner, as edits need. Sockets, devices and FIFOs are left out.
///
/// # Errors
/// [`FileError`] names the side that failed.
pub fn copy_entry(source: &Path, copy: &Path, first_names: &mut FirstNames) -> Result<(), FileError> {
    let meta = std::fs::symlink_metadata(source).map_err(|e| FileError::new(source, "read its attributes", e))?;
    let wrote = |action, e: io::Error| FileError::new(copy, action, e);
    if meta.is_dir() {
        std::fs::create_dir(copy).map_err(|e| wrote("make the directory", e))?;
        let mode = Mode::from_raw_mode((meta.mode() & 0o7777) | 0o700);
        return rustix::fs::chmod(copy, mode).map_err(|e| wrote("set its mode", e.into()));
    }
    if meta.file_type().is_symlink() {
        let points_to = std::fs::read_link(source).map_err(|e| FileError::new(source, "read the link", e))?;
        return std::os::unix::fs::symlink(points_to, copy).map_err(|e| wrote("make the link", e));
    }
    if !meta.is_file() {
        return Ok(());
    }
    if meta.nlink() > 1 {
        if let Some(first) = first_names.get(&(meta.dev(), meta.ino())) {
            return std::fs::hard_link(first, copy).map_err(|e| wrote("make the link", e));
        }
        first_names.insert((meta.dev(), meta.ino()), copy.to_owned());
    }
    copy_file(source, copy)
}

/// Copies one file with its mode and times.
///
/// # Errors
/// [`FileError`] names the side that failed.
pub fn copy_file(source: &Path, copy: &Path) -> Result<(), FileError> {
    let from = File::open(source).map_err(|e| FileError::new(source, "open it", e))?;
    let meta = from.metadata().map_err(|e| FileError::new(source, "read its attributes", e))?;
    let wrote = |action, e: io::Error| FileError::new(copy, action, e);
    let to = File::options().read(true).write(true).create_new(true).open(copy).map_err(|e| wrote("make it", e))?;
    copy_contents(&from, &to, meta.len()).map_err(|e| wrote("write it", e))?;
    let mode = Mode::from_raw_mode(meta.mode() & 0o7777);
    rustix::fs::fchmod(&to, mode).map_err(|e| wrote("set its mode", e.into()))?;
    let at = |seconds, nanoseconds| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps {
        last_access: at(meta.atime(), meta.atime_nsec()),
        last_modification: at(meta.mtime(), meta.mtime_nsec()),
    };
    rustix::fs::futimens(&to, &times).map_err(|e| wrote("set its times", e.into()))
}
