//! Opening a file, telling from its first bytes whether it is ELF, and mapping it.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::buffer::spare_capacity;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::appraisal::Appraisal;
use super::contents::data_of;
use super::cut::Mapping;
use super::dir::{Spot, spot_below};
use super::error::FileError;
use super::identity::Identity;
use super::journal::Journal;
use super::regular::{Regular, regular};
use super::secret::Secret;
use crate::elf::data::DataMap;
use crate::elf::units::len64;
use crate::elf::view::has_magic;

/// An open file and its bytes.
#[derive(Debug)]
pub(crate) struct Opened {
    /// What it is called in reports.
    pub(crate) path: PathBuf,
    /// Its name, in the directory where it was opened.
    pub(super) spot: Spot,
    /// The file, open for reading only.
    pub(crate) file: File,
    /// Its state when it was mapped.
    pub(crate) identity: Identity,
    contents: Bytes,
}

/// Only what is too large to be copied in a moment is mapped.
#[derive(Debug)]
enum Bytes {
    Read(Buffer),
    Mapped(Mapping),
}

/// The bytes of a file that was read. A thread's next file gets the same memory: to give and take hundreds of kilobytes
/// for each costs more than reading them.
#[derive(Debug, Default)]
struct Buffer(Vec<u8>);

thread_local! {
    static FREE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Buffer {
    fn with_capacity(len: usize) -> Self {
        let mut bytes = FREE.take();
        bytes.clear();
        bytes.reserve_exact(len);
        Self(bytes)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.0.capacity() > 0 {
            FREE.set(std::mem::take(&mut self.0));
        }
    }
}

/// Files up to this size are read: nine of ten are that small.
const SMALL: u64 = 1 << 20;

impl Opened {
    /// The file's bytes.
    #[must_use]
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.contents {
            Bytes::Read(Buffer(bytes)) => bytes,
            Bytes::Mapped(map) => map.bytes(),
        }
    }

    /// Whether an earlier run of this user was killed while it wrote to the file: see [`super::take_back`].
    #[must_use]
    pub(crate) fn is_interrupted(&self, secret: &Secret) -> bool {
        Journal::behind(self.bytes(), &self.identity, secret).is_some()
    }

    /// Where it has data: asked of the system for a large file that takes less room than it says.
    #[must_use]
    pub(crate) fn data(&self) -> DataMap {
        if self.is_mapped() { data_of(&self.file, self.identity.len) } else { DataMap::default() }
    }

    fn is_mapped(&self) -> bool {
        matches!(self.contents, Bytes::Mapped(_))
    }

    /// Device and inode of its directory; `None` where the system does not tell.
    #[must_use]
    pub(crate) fn directory(&self) -> Option<(u64, u64)> {
        self.spot.directory().whereabouts().ok().map(|there| there.inode)
    }

    /// Whether something in its directory has such a name; also where that cannot be listed.
    #[must_use]
    pub(crate) fn lies_beside(&self, is_it: impl Fn(&[u8]) -> bool) -> bool {
        let names = self.spot.directory().names();
        names.map_or(true, |names| names.iter().any(|name| is_it(name.as_bytes())))
    }

    /// How the kernel verifies its bytes, where it does.
    ///
    /// # Errors
    /// [`FileError`] when its attributes cannot be read: one may verify it.
    pub(crate) fn appraisal(&self) -> Result<Option<Appraisal>, FileError> {
        let told = Appraisal::of(&self.file, &self.identity);
        told.map_err(|error| FileError::new(&self.path, "read its attributes", error))
    }

    /// A small file at a path from its directory on, without links.
    pub(crate) fn read_beside(&self, below: &[u8], limit: u64) -> Option<Vec<u8>> {
        let spot = spot_below(self.spot.directory(), below).ok()?;
        let node = Regular::at(&spot).ok().filter(|node| node.identity.len <= limit)?;
        let len = node.identity.len;
        let file = node.read().ok()?;
        read(&file, len).ok().map(|mut bytes| std::mem::take(&mut bytes.0))
    }

    /// Fails where another process cut the file while it was read: what is told of it is not to be believed.
    ///
    /// # Errors
    /// [`FileError`] says that.
    pub(crate) fn check_whole(&self) -> Result<(), FileError> {
        match &self.contents {
            Bytes::Mapped(map) if map.is_cut() => Err(FileError::new(&self.path, "read it", cut())),
            _ => Ok(()),
        }
    }

    /// Takes the file that is open for writing for the same one where overlayfs gave it an inode of its own to be written
    /// to (`Linux Documentation/filesystems/overlayfs.rst`, "Non-standard behavior"): read anew, it has the same bytes.
    pub(super) fn follow_copy_up(&mut self, file: &File) -> Result<(), FileError> {
        if !self.spot.directory().is_overlay() {
            return Ok(());
        }
        let failed = |e: io::Error| FileError::new(&self.path, "read its attributes", e);
        let now = Identity::of(file).map_err(failed)?;
        if now.inode == self.identity.inode {
            return Ok(());
        }
        let again = finish_opening(self.spot.clone(), &self.path, file.try_clone().map_err(failed)?, now)?;
        if again.bytes() == self.bytes() {
            *self = again;
        }
        Ok(())
    }
}

/// Opens a file and reads the first bytes; only an ELF file is mapped, `None` is anything else.
///
/// A symbolic link is not followed: the walker never meets one it should follow, and an argument is resolved before.
///
/// # Errors
/// [`FileError`] when the file cannot be opened, read or mapped.
pub(crate) fn sniff(spot: Spot, path: &Path) -> Result<Option<Opened>, FileError> {
    sniff_for(spot, path, has_magic)
}

/// The same for files whose first four bytes are wanted for another reason.
///
/// # Errors
/// [`FileError`] when the file cannot be opened, read or mapped.
pub(crate) fn sniff_for(
    spot: Spot,
    path: &Path,
    is_wanted: impl Fn(&[u8]) -> bool,
) -> Result<Option<Opened>, FileError> {
    let mut start = [0_u8; 4];
    let wants = |read: usize, start: &[u8; 4]| read == start.len() && is_wanted(start);
    // Nine of ten files in a tree are told by four bytes: one question to the system less for each.
    if spot.is_listed() && spot.directory().keeps_files() {
        let file = spot.open(OFlags::RDONLY, Mode::empty()).map_err(|e| FileError::new(path, "open it", e))?;
        let read = read_start(&file, &mut start);
        if read.as_ref().is_ok_and(|read| !wants(*read, &start)) {
            return Ok(None);
        }
        let identity = told(regular(&file), path)?;
        read.map_err(|e| FileError::new(path, "read it", e))?;
        return finish_opening(spot, path, file, identity).map(Some);
    }
    let node = look_at(&spot, path)?;
    let identity = node.identity;
    if identity.len < len64(&start) {
        // Nor is anything read that the kernel makes up while it is read, and whose size it does not tell.
        return Ok(None);
    }
    let file = node.read().map_err(|e| FileError::new(path, "open it", e))?;
    let read = read_start(&file, &mut start).map_err(|e| FileError::new(path, "read it", e))?;
    if !wants(read, &start) {
        return Ok(None);
    }
    finish_opening(spot, path, file, identity).map(Some)
}

/// Opens and maps a file whatever it holds.
///
/// # Errors
/// [`FileError`] when the file cannot be opened or mapped.
pub(crate) fn open(spot: Spot, path: &Path) -> Result<Opened, FileError> {
    let node = look_at(&spot, path)?;
    let identity = node.identity;
    let file = node.read().map_err(|e| FileError::new(path, "open it", e))?;
    finish_opening(spot, path, file, identity)
}

/// Device and inode of the regular file that has a name.
///
/// # Errors
/// [`FileError`] when there is none.
pub(crate) fn inode_of(spot: &Spot, path: &Path) -> Result<(u64, u64), FileError> {
    look_at(spot, path).map(|node| node.identity.inode)
}

fn look_at<'s>(spot: &'s Spot, path: &Path) -> Result<Regular<'s>, FileError> {
    told(Regular::at(spot), path)
}

fn told<T>(looked: io::Result<T>, path: &Path) -> Result<T, FileError> {
    looked.map_err(|e| {
        let is_directory = e.kind() == io::ErrorKind::IsADirectory;
        FileError::new(path, if is_directory { "read it" } else { "open it" }, e)
    })
}

fn read_start(file: &File, start: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0_usize;
    while let Some(rest) = start.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, u64::try_from(filled).unwrap_or(0)) {
            Ok(0) => break,
            Ok(read) => filled = filled.saturating_add(read),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn finish_opening(spot: Spot, path: &Path, file: File, identity: Identity) -> Result<Opened, FileError> {
    let mapped = if identity.len <= SMALL { None } else { map(&file, path, identity.len)? };
    let contents = match mapped {
        Some(mapping) => Bytes::Mapped(mapping),
        None => Bytes::Read(read(&file, identity.len).map_err(|e| FileError::new(path, "read it", e))?),
    };
    Ok(Opened { path: path.to_owned(), spot, file, identity, contents })
}

fn map(file: &File, path: &Path, len: u64) -> Result<Option<Mapping>, FileError> {
    Mapping::of(file, len).map_err(|e| FileError::new(path, "map it", e))
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "somebody else is cutting it")
}

fn read(file: &File, len: u64) -> io::Result<Buffer> {
    let len = usize::try_from(len).map_err(io::Error::other)?;
    let mut buffer = Buffer::with_capacity(len);
    let Buffer(bytes) = &mut buffer;
    while bytes.len() < len {
        let at = len64(bytes);
        match rustix::io::pread(file, spare_capacity(bytes), at) {
            Ok(0) => return Err(cut()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // It may have more room than was asked for.
    bytes.truncate(len);
    Ok(buffer)
}
