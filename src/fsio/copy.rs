//! Copies that share or skip what they can: reflinks and holes; links stay links.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, SeekFrom, Timespec, Timestamps};
use rustix::io::Errno;

use super::error::FileError;
use super::limits::size_limit;
use super::regular::Regular;
use super::store::{Store, StoreRefusal};

/// Copies a file's contents into an empty one: shared blocks where the file system can, holes as holes.
pub(super) fn copy_contents(source: &File, target: &File, len: u64) -> io::Result<()> {
    if rustix::fs::ioctl_ficlone(target, source).is_ok() {
        return Ok(());
    }
    target.set_len(len)?;
    let is_believed = tells_holes(source);
    let mut at = 0_u64;
    while at < len {
        let start = match rustix::fs::seek(source, SeekFrom::Data(at)) {
            Ok(start) => start.min(len),
            Err(Errno::NXIO) => len,
            Err(_) => at,
        };
        if !is_believed && !is_zero(source, at, start)? {
            copy_part(source, target, at, start)?;
        }
        let end = rustix::fs::seek(source, SeekFrom::Hole(start)).unwrap_or(len).min(len);
        if start < end {
            copy_part(source, target, start, end)?;
        }
        at = end.max(start);
    }
    Ok(())
}

/// Whether a hole is one. Some file systems call data a hole as long as it is not on the disk yet; elsewhere reading
/// the gigabytes of a hole is all that an edit costs.
fn tells_holes(source: &File) -> bool {
    // ext4 (and its elders), XFS, tmpfs: Linux include/uapi/linux/magic.h.
    const KNOWN: [u64; 3] = [0xef53, 0x5846_5342, 0x0102_1994];
    let kind = rustix::fs::fstatfs(source).ok().and_then(|stat| u64::try_from(stat.f_type).ok());
    kind.is_some_and(|kind| KNOWN.contains(&kind))
}

fn is_zero(source: &File, start: u64, end: u64) -> io::Result<bool> {
    let mut buffer = vec![0_u8; if start < end { 1 << 16 } else { 0 }];
    let mut at = start;
    while at < end {
        let len = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX).min(buffer.len());
        let piece = buffer.get_mut(..len).unwrap_or_default();
        source.read_exact_at(piece, at)?;
        if piece.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        at = at.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
    }
    Ok(true)
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
pub(crate) enum CopyError {
    /// A file-system error.
    #[error(transparent)]
    File(#[from] FileError),
    /// Something is where the copy should go.
    #[error("{0} exists and is not an empty directory; the copy would mix with what is there")]
    Occupied(PathBuf),
    /// The copy would go into the Nix store.
    #[error(transparent)]
    Store(#[from] StoreRefusal),
    /// The copy would contain itself.
    #[error("{0} lies inside the tree that is to be copied")]
    Inside(PathBuf),
}

/// Makes the directory that a copy goes into and says whether it is fit for one.
///
/// # Errors
/// [`CopyError`] when something is there already or the copy would contain itself.
pub(crate) fn prepare_target(source: &Path, target: &Path, store: &Store) -> Result<(), CopyError> {
    let error = |action, error| FileError::new(target, action, error);
    let canonical = canonical_future(target).map_err(|e| error("resolve it", e))?;
    if canonical.starts_with(source) {
        return Err(CopyError::Inside(target.to_owned()));
    }
    store.check(&canonical)?;
    match std::fs::read_dir(target) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(CopyError::Occupied(target.to_owned())),
        },
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
            Ok(std::fs::create_dir_all(target).map_err(|e| error("make the directory", e))?)
        }
        Err(_) => Err(CopyError::Occupied(target.to_owned())),
    }
}

/// The canonical path that a file will have once the directories that are still missing are made.
fn canonical_future(path: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    for existing in absolute.ancestors() {
        if let Ok(canonical) = existing.canonicalize() {
            let missing = absolute.strip_prefix(existing).map_err(io::Error::other)?;
            return Ok(if missing.as_os_str().is_empty() { canonical } else { canonical.join(missing) });
        }
    }
    Ok(absolute)
}

/// The names that were copied already, by inode, so that hard links stay hard links.
pub(crate) type FirstNames = HashMap<(u64, u64), PathBuf>;

/// Copies one entry of a tree: symbolic links as links, hard links as hard links, modes and times kept; directories of
/// the copy are writable by their owner, as edits need. Sockets, devices and FIFOs are left out. Returns what a
/// symbolic link points to.
///
/// # Errors
/// [`FileError`] names the side that failed.
pub(crate) fn copy_entry(
    source: &Path,
    copy: &Path,
    first_names: &mut FirstNames,
) -> Result<Option<PathBuf>, FileError> {
    let meta = std::fs::symlink_metadata(source).map_err(|e| FileError::new(source, "read its attributes", e))?;
    let wrote = |action, e: io::Error| FileError::new(copy, action, e);
    if meta.is_dir() {
        std::fs::create_dir(copy).map_err(|e| wrote("make the directory", e))?;
        let mode = Mode::from_raw_mode((meta.mode() & 0o7777) | 0o700);
        rustix::fs::chmod(copy, mode).map_err(|e| wrote("set its mode", e.into()))?;
    } else if meta.file_type().is_symlink() {
        let points_to = std::fs::read_link(source).map_err(|e| FileError::new(source, "read the link", e))?;
        std::os::unix::fs::symlink(&points_to, copy).map_err(|e| wrote("make the link", e))?;
        return Ok(Some(points_to));
    } else if meta.is_file() {
        let inode = (meta.dev(), meta.ino());
        match first_names.get(&inode) {
            Some(first) => std::fs::hard_link(first, copy).map_err(|e| wrote("make the link", e))?,
            None => copy_file(source, copy)?,
        }
        if meta.nlink() > 1 {
            first_names.entry(inode).or_insert_with(|| copy.to_owned());
        }
    }
    Ok(None)
}

/// Copies one file with its mode and times.
///
/// # Errors
/// [`FileError`] names the side that failed.
pub(crate) fn copy_file(source: &Path, copy: &Path) -> Result<(), FileError> {
    let from = Regular::at(source).and_then(|node| node.read()).map_err(|e| FileError::new(source, "open it", e))?;
    let meta = from.metadata().map_err(|e| FileError::new(source, "read its attributes", e))?;
    let wrote = |action, e: io::Error| FileError::new(copy, action, e);
    if size_limit().is_some_and(|limit| meta.len() > limit) {
        // The write would kill the process with SIGXFSZ.
        return Err(wrote("write it", Errno::FBIG.into()));
    }
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
