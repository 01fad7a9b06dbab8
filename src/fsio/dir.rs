//! Open directories. What lies below one is reached from its descriptor, and no link on the way is followed: a directory
//! that another process puts a link in place of, between look and use, leads nowhere else.

use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::fs::{AtFlags, Mode, OFlags, RawDir, RawDirEntry, RenameFlags, ResolveFlags, StatxFlags, makedev};
use rustix::io::Errno;

use super::identity::Identity;

/// A directory that is held, to reach what is in it; to list it is asked for anew.
const HELD: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// One that can be listed, too.
const LISTED: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Bytes of a path that the kernel takes at once, its end included (`Linux include/uapi/linux/limits.h`, PATH_MAX).
const LONGEST_PATH: usize = 4096;

/// Numbers of file systems (`Linux include/uapi/linux/magic.h`; XFS, F2FS and ZFS have theirs in their own headers).
const OVERLAYFS: u64 = 0x794c_7630;
/// Those that keep what is written to them: ext2 to ext4, XFS, Btrfs, F2FS, ZFS, tmpfs, SquashFS, EROFS, and overlayfs.
const KEEPING: [u64; 9] =
    [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x2fc1_2fc1, 0x0102_1994, 0x7371_7368, 0xe0f5_e1e2, OVERLAYFS];

/// An open directory.
#[derive(Debug)]
pub(crate) struct Dir {
    held: OwnedFd,
    whereabouts: OnceLock<Whereabouts>,
    kind: OnceLock<Option<u64>>,
}

/// Which file or directory it is, and under which mount it was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Whereabouts {
    /// Device and inode.
    pub(super) inode: (u64, u64),
    /// What the kernel calls the mount; `None` before Linux 5.8.
    pub(super) mount: Option<u64>,
}

impl Whereabouts {
    /// Those of an open file or directory.
    pub(super) fn of(file: impl AsFd) -> io::Result<Self> {
        let wanted = StatxFlags::INO | StatxFlags::MNT_ID;
        let stat = rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, wanted)?;
        let told = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::MNT_ID);
        let device = makedev(stat.stx_dev_major, stat.stx_dev_minor);
        Ok(Self { inode: (device, stat.stx_ino), mount: told.then_some(stat.stx_mnt_id) })
    }
}

impl Dir {
    /// The directory that a path of this machine leads to, links followed: for what the person named, once.
    pub(super) fn follow(path: &Path) -> io::Result<Self> {
        Ok(Self::of(rustix::fs::open(path, HELD, Mode::empty())?))
    }

    /// Takes what was opened to be one.
    pub(super) fn of(held: OwnedFd) -> Self {
        Self { held, whereabouts: OnceLock::new(), kind: OnceLock::new() }
    }

    /// Which directory it is, asked for once.
    pub(super) fn whereabouts(&self) -> io::Result<Whereabouts> {
        if let Some(known) = self.whereabouts.get() {
            return Ok(*known);
        }
        let asked = Whereabouts::of(self)?;
        Ok(*self.whereabouts.get_or_init(|| asked))
    }

    /// Whether it is on overlayfs.
    pub(super) fn is_overlay(&self) -> bool {
        self.kind() == Some(OVERLAYFS)
    }

    /// Whether the files in it are kept somewhere: the kernel makes none of them up while it is read.
    pub(super) fn keeps_files(&self) -> bool {
        self.kind().is_some_and(|kind| KEEPING.contains(&kind))
    }

    /// What the file system is, asked for once.
    fn kind(&self) -> Option<u64> {
        *self.kind.get_or_init(|| u64::try_from(rustix::fs::fstatfs(self).ok()?.f_type).ok())
    }

    /// Its entry of this name, to look at and not to read; a link is not followed.
    pub(super) fn look_at(&self, name: &OsStr) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.held, name, flags, Mode::empty())?)
    }

    /// The directory above it, whatever this process's paths say.
    pub(super) fn above(&self) -> io::Result<Self> {
        Ok(Self::of(rustix::fs::openat(&self.held, c"..", HELD | OFlags::NOFOLLOW, Mode::empty())?))
    }

    /// A directory below it, by a path of plain names.
    pub(super) fn below(&self, path: &[u8]) -> io::Result<Self> {
        Ok(Self::of(self.reach(path, HELD)?))
    }

    /// The same, to list it.
    pub(super) fn listed(&self, path: &[u8]) -> io::Result<OwnedFd> {
        self.reach(path, LISTED)
    }

    /// Opens what is below it. No link on the way is followed, and none at the end.
    pub(super) fn reach(&self, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
        let mut at: Option<OwnedFd> = None;
        let mut left = path;
        while let Some((piece, rest)) = first_piece(left) {
            let from = at.as_ref().map_or(self.held.as_fd(), AsFd::as_fd);
            let flags = if rest.is_empty() { flags } else { HELD };
            at = Some(step(from, piece, flags)?);
            left = rest;
        }
        match at {
            Some(reached) => Ok(reached),
            None => Ok(rustix::fs::openat(&self.held, c".", flags, Mode::empty())?),
        }
    }

    /// A directory below it, from the one that this thread reached last where that is on the way: files come in path order,
    /// and a walk goes down level by level.
    pub(super) fn near(self: &Arc<Self>, path: &[u8], flags: OFlags) -> io::Result<Arc<Self>> {
        thread_local! {
            static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
        }
        if path.is_empty() && flags == HELD {
            return Ok(Arc::clone(self));
        }
        let last = LAST.take().filter(|last| Arc::ptr_eq(&last.from, self));
        let directory = match last.as_ref().and_then(|last| Some((last, last.way_to(path)?))) {
            Some((last, b"")) if flags == HELD => Arc::clone(&last.directory),
            Some((last, rest)) => Arc::new(Self::of(last.directory.reach(rest, flags)?)),
            None => Arc::new(Self::of(self.reach(path, flags)?)),
        };
        LAST.set(Some(Last { from: Arc::clone(self), path: path.to_owned(), directory: Arc::clone(&directory) }));
        Ok(directory)
    }

    /// Makes a directory in it and opens that.
    pub(super) fn make(&self, name: &OsStr, mode: Mode) -> io::Result<Self> {
        rustix::fs::mkdirat(&self.held, name, mode)?;
        self.below(name.as_bytes())
    }

    /// Its permissions.
    pub(super) fn mode(&self) -> io::Result<Mode> {
        let stat = rustix::fs::statx(self, c"", AtFlags::EMPTY_PATH, StatxFlags::MODE)?;
        Ok(Mode::from_raw_mode(u32::from(stat.stx_mode) & 0o7777))
    }

    /// Gives it others.
    pub(super) fn set_mode(&self, mode: Mode) -> io::Result<()> {
        Ok(rustix::fs::fchmod(self.listed(b"")?, mode)?)
    }

    /// The names of everything in it.
    pub(super) fn names(&self) -> io::Result<Vec<OsString>> {
        names(&self.listed(b"")?)
    }

    /// Whether it is another directory or below that.
    pub(super) fn is_in(&self, other: &Self) -> io::Result<bool> {
        let wanted = other.whereabouts()?.inode;
        let mut here = self.whereabouts()?;
        let mut climbed: Option<Self> = None;
        while here.inode != wanted {
            let above = climbed.as_ref().unwrap_or(self).above()?;
            let there = above.whereabouts()?;
            if there == here {
                return Ok(false);
            }
            (here, climbed) = (there, Some(above));
        }
        Ok(true)
    }

    /// Waits until its entries are on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(self.listed(b"")?)?)
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.held.as_fd()
    }
}

/// Bytes of a directory that are read at once.
const BUFFER: usize = 32 * 1024;

/// Hands on every entry of a directory but itself and the one above; the first failure is told when all are through.
pub(super) fn each_entry(
    directory: &impl AsFd,
    then: &mut dyn FnMut(&RawDirEntry<'_>) -> rustix::io::Result<()>,
) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(BUFFER);
    let mut entries = RawDir::new(directory, buffer.spare_capacity_mut());
    let mut failure = None;
    while let Some(entry) = entries.next() {
        let entry = match entry {
            // The directory went, and had nothing in it then.
            Err(Errno::NOENT) => break,
            entry => entry?,
        };
        if entry.file_name() == c"." || entry.file_name() == c".." {
            continue;
        }
        if let Err(error) = then(&entry) {
            failure.get_or_insert(error);
        }
    }
    failure.map_or(Ok(()), |error| Err(error.into()))
}

/// The names of everything in an open directory.
pub(super) fn names(directory: &OwnedFd) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    each_entry(directory, &mut |entry| {
        names.push(OsString::from_vec(entry.file_name().to_bytes().to_vec()));
        Ok(())
    })?;
    Ok(names)
}

/// The directory that a thread reached last.
struct Last {
    from: Arc<Dir>,
    path: Vec<u8>,
    directory: Arc<Dir>,
}

impl Last {
    /// What leads from it to a path, if it is on the way.
    fn way_to<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        let rest = path.strip_prefix(&*self.path)?;
        if rest.is_empty() { Some(rest) } else { rest.strip_prefix(b"/") }
    }
}

/// As much of a path as the kernel takes at once, and what is left of it.
fn first_piece(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = path.iter().position(|byte| *byte != b'/')?;
    let path = path.get(start..)?;
    if path.len() < LONGEST_PATH {
        return Some((path, b""));
    }
    let most = path.get(..LONGEST_PATH - 1)?;
    // A name that is longer than all that is for the kernel to refuse.
    let end = most.iter().rposition(|byte| *byte == b'/').filter(|end| *end > 0);
    Some(end.map_or((path, &b""[..]), |end| path.split_at(end)))
}

/// Opens what is below a directory by a path that the kernel takes at once.
fn step(from: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    /// Whether the kernel, and what filters its calls, know `openat2` (Linux 5.6).
    static HAS_OPENAT2: AtomicBool = AtomicBool::new(true);
    // One name needs none: the kernel's oldest flag says the same of it.
    let is_one_name = !path.contains(&b'/') && path != b"..";
    if !is_one_name && HAS_OPENAT2.load(Ordering::Relaxed) {
        let only_below = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(from, path, flags, Mode::empty(), only_below) {
            Err(Errno::NOSYS | Errno::PERM) => HAS_OPENAT2.store(false, Ordering::Relaxed),
            Err(Errno::AGAIN) => {}
            answer => return Ok(answer?),
        }
    }
    by_names(from, path, flags)
}

/// The same for a kernel that cannot be told to follow no link: name by name.
fn by_names(from: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    let mut names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".").peekable();
    let mut at: Option<OwnedFd> = None;
    while let Some(name) = names.next() {
        if name == b".." {
            return Err(Errno::XDEV.into());
        }
        let from = at.as_ref().map_or(from, AsFd::as_fd);
        let flags = if names.peek().is_some() { HELD } else { flags };
        at = Some(rustix::fs::openat(from, name, flags | OFlags::NOFOLLOW, Mode::empty())?);
    }
    match at {
        Some(reached) => Ok(reached),
        None => Ok(rustix::fs::openat(from, c".", flags, Mode::empty())?),
    }
}

/// A name in an open directory.
#[derive(Clone, Debug)]
pub(crate) struct Spot {
    directory: Arc<Dir>,
    name: OsString,
    is_listed: bool,
}

impl Spot {
    pub(super) fn new(directory: Arc<Dir>, name: impl Into<OsString>) -> Self {
        Self { directory, name: name.into(), is_listed: false }
    }

    /// The same where a listing of the directory called it a regular file.
    pub(super) fn listed(self) -> Self {
        Self { is_listed: true, ..self }
    }

    /// See [`Self::listed`].
    pub(super) fn is_listed(&self) -> bool {
        self.is_listed
    }

    /// The directory.
    pub(super) fn directory(&self) -> &Arc<Dir> {
        &self.directory
    }

    /// The name alone.
    pub(super) fn name(&self) -> &OsStr {
        &self.name
    }

    /// Another name in the same directory.
    pub(super) fn beside(&self, name: OsString) -> Self {
        Self { directory: Arc::clone(&self.directory), name, is_listed: false }
    }

    /// Opens what has the name. A link is not followed; a FIFO does not block, a terminal does not become ours.
    pub(super) fn open(&self, flags: OFlags, mode: Mode) -> rustix::io::Result<File> {
        let always = OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        Ok(File::from(rustix::fs::openat(&self.directory, &self.name, flags | always, mode)?))
    }

    /// What has the name now, whichever file that is.
    pub(super) fn identity(&self) -> io::Result<Identity> {
        Identity::at(&self.directory, &self.name)
    }

    /// Both names change places.
    pub(super) fn exchange(&self, other: &Self) -> rustix::io::Result<()> {
        rustix::fs::renameat_with(&self.directory, &self.name, &other.directory, &other.name, RenameFlags::EXCHANGE)
    }

    /// Gives what has this name another one.
    pub(super) fn rename(&self, to: &Self) -> rustix::io::Result<()> {
        rustix::fs::renameat(&self.directory, &self.name, &to.directory, &to.name)
    }

    /// What a symbolic link says.
    pub(super) fn link(&self) -> io::Result<PathBuf> {
        let target = rustix::fs::readlinkat(&self.directory, &self.name, Vec::new())?;
        Ok(PathBuf::from(OsString::from_vec(target.into_bytes())))
    }

    /// Makes a symbolic link of this name.
    pub(super) fn make_link(&self, target: &Path) -> io::Result<()> {
        Ok(rustix::fs::symlinkat(target, &self.directory, &self.name)?)
    }

    /// Gives the file another name beside this one.
    pub(super) fn link_to(&self, new: &Self) -> io::Result<()> {
        Ok(rustix::fs::linkat(&self.directory, &self.name, &new.directory, &new.name, AtFlags::empty())?)
    }

    /// Takes the name away from a file.
    pub(super) fn remove(&self) -> rustix::io::Result<()> {
        rustix::fs::unlinkat(&self.directory, &self.name, AtFlags::empty())
    }
}

/// What an argument led to, held open for as long as the run: what is below it is reached from there.
#[derive(Clone, Debug, Default)]
pub struct Anchor(Option<HeldPlace>);

#[derive(Clone, Debug)]
enum HeldPlace {
    Open(OpenPlace),
    /// Closed again, as more arguments than descriptors would be: which it was is known.
    Known {
        is_directory: bool,
        which: Whereabouts,
        again: Arc<dyn GoAgain>,
    },
}

/// A directory, or a name in one.
#[derive(Clone, Debug)]
pub(super) enum OpenPlace {
    Directory(Arc<Dir>),
    File(Spot),
}

impl OpenPlace {
    /// The directory, or the one that the name is in.
    fn nearest(&self) -> &Arc<Dir> {
        match self {
            Self::Directory(directory) => directory,
            Self::File(spot) => spot.directory(),
        }
    }
}

/// The way to a place that was there once.
pub(super) trait GoAgain: std::fmt::Debug + Send + Sync {
    /// What stands there now.
    ///
    /// # Errors
    /// What the system says.
    fn go(&self) -> io::Result<OpenPlace>;
}

impl HeldPlace {
    /// The place that it was, and no other one that has the name by now.
    fn open(&self) -> io::Result<OpenPlace> {
        thread_local! {
            /// The files of one argument come one behind the other.
            static LAST: RefCell<Option<(Arc<dyn GoAgain>, OpenPlace)>> = const { RefCell::new(None) };
        }
        let (is_directory, which, again) = match self {
            Self::Open(place) => return Ok(place.clone()),
            Self::Known { is_directory, which, again } => (*is_directory, *which, again),
        };
        let last = LAST.take().filter(|(last, _)| Arc::ptr_eq(last, again));
        let place = match last {
            Some((_, place)) => place,
            None => again.go()?,
        };
        if matches!(place, OpenPlace::Directory(_)) != is_directory || place.nearest().whereabouts()? != which {
            return Err(io::Error::other("another directory took its place"));
        }
        LAST.set(Some((Arc::clone(again), place.clone())));
        Ok(place)
    }
}

impl Anchor {
    pub(super) fn directory(directory: Arc<Dir>) -> Self {
        Self(Some(HeldPlace::Open(OpenPlace::Directory(directory))))
    }

    pub(super) fn file(spot: Spot) -> Self {
        Self(Some(HeldPlace::Open(OpenPlace::File(spot))))
    }

    /// What is not held as long as it is not looked at, where the system tells which one it is.
    pub(super) fn known(place: &OpenPlace, again: Arc<dyn GoAgain>) -> io::Result<Self> {
        let is_directory = matches!(place, OpenPlace::Directory(_));
        Ok(Self(Some(HeldPlace::Known { is_directory, which: place.nearest().whereabouts()?, again })))
    }

    /// Whether it is a directory; `None` where nothing is held.
    #[must_use]
    pub(crate) fn is_directory(&self) -> Option<bool> {
        Some(match self.0.as_ref()? {
            HeldPlace::Open(place) => matches!(place, OpenPlace::Directory(_)),
            HeldPlace::Known { is_directory, .. } => *is_directory,
        })
    }

    /// The file at a path below it, or it itself. `None` where nothing is held.
    pub(crate) fn spot(&self, below: &[u8]) -> Option<io::Result<Spot>> {
        Some(self.0.as_ref()?.open().and_then(|place| match place {
            OpenPlace::File(spot) => Ok(spot),
            OpenPlace::Directory(root) => spot_below(&root, below),
        }))
    }

    /// The directory at a path below it, to list it.
    pub(super) fn listed(&self, below: &[u8]) -> Option<io::Result<Arc<Dir>>> {
        match self.0.as_ref()?.open() {
            Ok(OpenPlace::Directory(root)) => Some(root.near(below, LISTED)),
            Ok(OpenPlace::File(_)) => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// The directory that is held, or the one that the file is in.
    pub(super) fn held(&self) -> Option<io::Result<(Arc<Dir>, Option<Spot>)>> {
        Some(self.0.as_ref()?.open().map(|place| match place {
            OpenPlace::Directory(directory) => (directory, None),
            OpenPlace::File(spot) => (Arc::clone(spot.directory()), Some(spot)),
        }))
    }
}

/// The name at a path below a directory.
pub(super) fn spot_below(root: &Arc<Dir>, path: &[u8]) -> io::Result<Spot> {
    let (above, name) = match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (path.get(..slash).unwrap_or_default(), path.get(slash.saturating_add(1)..).unwrap_or_default()),
        None => (&b""[..], path),
    };
    if name.is_empty() || name == b"." || name == b".." {
        return Err(Errno::ISDIR.into());
    }
    Ok(Spot::new(root.near(above, HELD)?, OsStr::from_bytes(name)))
}
