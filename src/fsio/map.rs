//! Opening a file, telling from its first bytes whether it is ELF, and reading it.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};

use memmap2::{MmapMut, MmapOptions};
use rustix::buffer::spare_capacity;
use rustix::fs::SeekFrom;
use rustix::io::Errno;

use super::error::FileError;
use super::identity::Identity;
use super::journal::Journal;
use super::regular::Regular;
use crate::elf::units::len64;
use crate::elf::view::has_magic;

/// An open file and its bytes.
#[derive(Debug)]
pub(crate) struct Opened {
    /// Where it was opened.
    pub(crate) path: PathBuf,
    /// The file, open for reading only.
    pub(crate) file: File,
    /// Its state when it was read.
    pub(crate) identity: Identity,
    contents: Bytes,
}

/// Bytes of a file that no other process can change any more.
#[derive(Debug)]
enum Bytes {
    Small(Buffer),
    Large(Large),
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

/// What the first bytes say.
#[derive(Debug)]
pub(crate) enum Sniffed {
    /// Not an ELF file, nor what else was asked for.
    NotElf,
    /// An ELF file, or what else was asked for: read.
    Elf(Opened),
}

impl Opened {
    /// The file's bytes.
    #[must_use]
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.contents {
            Bytes::Small(Buffer(bytes)) => bytes,
            Bytes::Large(large) => &large.memory,
        }
    }

    /// Whether an earlier run was killed while it wrote to the file: see [`super::take_back`].
    #[must_use]
    pub(crate) fn is_interrupted(&self) -> bool {
        Journal::behind(self.bytes()).is_some()
    }

    /// Takes the file that is open for writing for the same one where overlayfs gave it an inode of its own to be written
    /// to (`Linux Documentation/filesystems/overlayfs.rst`, "Non-standard behavior"): read anew, it has the same bytes.
    pub(super) fn follow_copy_up(&mut self, file: &File) -> Result<(), FileError> {
        // Linux include/uapi/linux/magic.h
        const OVERLAYFS: u64 = 0x794c_7630;
        let failed = |e: io::Error| FileError::new(&self.path, "read its attributes", e);
        let now = Identity::of(file).map_err(failed)?;
        let kind = rustix::fs::fstatfs(file).map(|stat| u64::try_from(stat.f_type));
        if now.inode == self.identity.inode || kind != Ok(Ok(OVERLAYFS)) {
            return Ok(());
        }
        let again = finish_opening(&self.path, file.try_clone().map_err(failed)?, now)?;
        if again.bytes() == self.bytes() {
            *self = again;
        }
        Ok(())
    }
}

/// Opens a file and reads the first bytes; only an ELF file is read whole.
///
/// A symbolic link is not followed: the walker never meets one it should follow, and an argument is resolved before.
///
/// # Errors
/// [`FileError`] when the file cannot be opened or read.
pub(crate) fn sniff(path: &Path) -> Result<Sniffed, FileError> {
    sniff_for(path, has_magic)
}

/// The same for files whose first four bytes are wanted for another reason.
///
/// # Errors
/// [`FileError`] when the file cannot be opened or read.
pub(crate) fn sniff_for(path: &Path, is_wanted: impl Fn(&[u8]) -> bool) -> Result<Sniffed, FileError> {
    let mut start = [0_u8; 4];
    let node = look_at(path)?;
    if node.identity.len < len64(&start) {
        // Nor is anything read that the kernel makes up while it is read, and whose size it does not tell.
        return Ok(Sniffed::NotElf);
    }
    let file = node.read().map_err(|e| FileError::new(path, "open it", e))?;
    if read_start(&file, &mut start).map_err(|e| FileError::new(path, "read it", e))? < start.len()
        || !is_wanted(&start)
    {
        return Ok(Sniffed::NotElf);
    }
    finish_opening(path, file, node.identity).map(Sniffed::Elf)
}

/// Opens and reads a file whatever it holds.
///
/// # Errors
/// [`FileError`] when the file cannot be opened or read.
pub(crate) fn open(path: &Path) -> Result<Opened, FileError> {
    let node = look_at(path)?;
    let file = node.read().map_err(|e| FileError::new(path, "open it", e))?;
    finish_opening(path, file, node.identity)
}

fn look_at(path: &Path) -> Result<Regular<'_>, FileError> {
    Regular::at(path).map_err(|e| {
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

fn finish_opening(path: &Path, file: File, identity: Identity) -> Result<Opened, FileError> {
    let contents = if identity.len <= SMALL {
        Bytes::Small(read(&file, identity.len).map_err(|e| FileError::new(path, "read it", e))?)
    } else {
        Bytes::Large(copy(&file, identity.len).map_err(|e| FileError::new(path, "read it", e))?)
    };
    Ok(Opened { path: path.to_owned(), file, identity, contents })
}

fn read(file: &File, len: u64) -> io::Result<Buffer> {
    let len = usize::try_from(len).map_err(io::Error::other)?;
    let mut buffer = Buffer::with_capacity(len);
    let Buffer(bytes) = &mut buffer;
    while bytes.len() < len {
        let at = len64(bytes);
        match rustix::io::pread(file, spare_capacity(bytes), at) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "somebody else is cutting it")),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // It may have more room than was asked for.
    bytes.truncate(len);
    Ok(buffer)
}

/// Copies a file into memory of its own, where no other process can cut it: a mapping of the file itself would end this
/// process with SIGBUS then. Holes take no memory.
fn copy(file: &File, len: u64) -> io::Result<Large> {
    let share = Share::of(len);
    let size = usize::try_from(len).map_err(io::Error::other)?;
    let mut memory = MmapOptions::new().len(size).no_reserve_swap().map_anon()?;
    let mut at = 0_u64;
    while at < len {
        let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(start) => start.min(len),
            Err(Errno::NXIO) => break,
            Err(_) => at,
        };
        let end = rustix::fs::seek(file, SeekFrom::Hole(start)).unwrap_or(len).clamp(start, len);
        let range =
            usize::try_from(start).map_err(io::Error::other)?..usize::try_from(end).map_err(io::Error::other)?;
        file.read_exact_at(memory.get_mut(range).unwrap_or_default(), start)?;
        at = end.max(at.saturating_add(1));
    }
    // To a file that is cut, what is behind its end is a hole like any other.
    if file.metadata()?.len() < len {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "somebody else is cutting it"));
    }
    Ok(Large { memory, _share: share })
}

/// The bytes of a large file, and their share of what may be in memory at once.
#[derive(Debug)]
struct Large {
    memory: MmapMut,
    _share: Share,
}

/// So many bytes of large files are in memory at once; one that is larger by itself, alone.
const MOST_AT_ONCE: u64 = 1 << 30;

/// Bytes of large files that are in memory, and the wait for room.
static IN_MEMORY: (Mutex<u64>, Condvar) = (Mutex::new(0), Condvar::new());

thread_local! {
    /// How many large files this thread holds: it cannot wait for itself.
    static HELD: Cell<usize> = const { Cell::new(0) };
}

#[derive(Debug)]
struct Share(u64);

impl Share {
    /// Waits until there is room.
    fn of(len: u64) -> Self {
        let (used, freed) = &IN_MEMORY;
        let mut used = used.lock().unwrap_or_else(PoisonError::into_inner);
        while HELD.get() == 0 && *used > 0 && used.saturating_add(len) > MOST_AT_ONCE {
            used = freed.wait(used).unwrap_or_else(PoisonError::into_inner);
        }
        *used = used.saturating_add(len);
        HELD.set(HELD.get().saturating_add(1));
        Self(len)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let (used, freed) = &IN_MEMORY;
        let mut used = used.lock().unwrap_or_else(PoisonError::into_inner);
        *used = used.saturating_sub(self.0);
        HELD.set(HELD.get().saturating_sub(1));
        freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mapping of the file itself would end the tests with SIGBUS here.
    #[test]
    fn a_large_file_that_is_cut_is_still_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large");
        let mut bytes = vec![0_u8; 5 << 20];
        for (at, byte) in bytes.iter_mut().enumerate().filter(|(at, _)| at & (1 << 20) == 0) {
            *byte = u8::try_from(at % 251).unwrap();
        }
        std::fs::write(&path, &bytes).unwrap();
        let opened = open(&path).unwrap();
        File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        assert!(opened.bytes() == bytes);
    }

    /// A file that has a hole at each end, which is zeros.
    #[test]
    fn holes_are_read_as_zeros() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sparse");
        let file = File::create(&path).unwrap();
        file.set_len(64 << 20).unwrap();
        file.write_all_at(b"here", 32 << 20).unwrap();
        let opened = open(&path).unwrap();
        assert_eq!(opened.bytes().len(), 64 << 20);
        assert_eq!(opened.bytes().iter().filter(|byte| **byte != 0).count(), 4);
        assert_eq!(opened.bytes().get(32 << 20..(32 << 20) + 4), Some(&b"here"[..]));
    }
}
