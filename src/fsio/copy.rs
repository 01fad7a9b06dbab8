//! Copies of trees; links stay links.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::contents::copy_contents;
use super::dir::{Anchor, Dir, Spot, spot_below};
use super::error::FileError;
use super::identity::Identity;
use super::limits::{most_at_once, size_limit};
use super::map::{self, Opened};
use super::regular::Regular;
use super::rights::SET_ID;
use super::store::{Store, StoreRefusal};
use super::sysroot::Sysroot;

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

/// Makes the directory that a copy goes into, new or empty, outside of what is copied.
///
/// # Errors
/// [`CopyError`] when something is there already or the copy would contain itself.
pub(crate) fn prepare_target(source: &Anchor, target: &Path, store: &Store) -> Result<Target, CopyError> {
    let error = |action, error| FileError::new(target, action, error);
    let mut path = target;
    let (above, text) = loop {
        match Sysroot::host().reach_directory(path) {
            Ok(reached) => break reached,
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
                path = path.parent().ok_or_else(|| error("resolve it", missing))?;
            }
            Err(occupied) if occupied.kind() == io::ErrorKind::NotADirectory => {
                return Err(CopyError::Occupied(target.to_owned()));
            }
            Err(other) => return Err(error("resolve it", other).into()),
        }
    };
    let missing = target.strip_prefix(path).map_err(|e| error("resolve it", io::Error::other(e)))?;
    let names: Vec<&OsStr> = missing.iter().collect();
    if let Some((original, None)) = source.held().transpose().map_err(|e| error("resolve it", e))?
        && above.is_in(&original).map_err(|e| error("resolve it", e))?
    {
        return Err(CopyError::Inside(target.to_owned()));
    }
    let Some((first, _)) = names.split_first() else {
        store.check_directory(&above)?;
        let is_empty = above.names().is_ok_and(|names| names.is_empty());
        let there = Target { directory: above, mode: None };
        return if is_empty { Ok(there) } else { Err(CopyError::Occupied(target.to_owned())) };
    };
    if names.contains(&OsStr::new("..")) {
        // What is above a directory that is not there yet is no place.
        return Err(error("resolve it", Errno::NOENT.into()).into());
    }
    store.check_future(&above, first, &text.join(missing))?;
    let mut directory = above;
    for name in names {
        directory =
            Arc::new(directory.make(name, Mode::from_raw_mode(0o777)).map_err(|e| error("make the directory", e))?);
    }
    let mode = directory.mode().map_err(|e| error("read its attributes", e))?;
    directory.set_mode(Mode::RWXU).map_err(|e| error("set its mode", e))?;
    Ok(Target { directory, mode: Some(mode) })
}

/// The directory that a copy goes into.
#[derive(Debug)]
pub(crate) struct Target {
    directory: Arc<Dir>,
    /// What a new one gets when the copy is done.
    mode: Option<Mode>,
}

/// Directories that only the running user may enter as long as a copy is at work in them, with the modes that they get:
/// another user who could write to one would put other files in place of the copies, for the run to write to.
#[derive(Debug)]
#[must_use]
pub(crate) struct Closed {
    root: Arc<Dir>,
    copy: PathBuf,
    /// Each behind the one that it is in.
    modes: Vec<(PathBuf, Mode)>,
}

impl Closed {
    /// Gives each its mode, those that are in others first.
    ///
    /// # Errors
    /// [`FileError`] names the first that did not get it.
    pub(crate) fn open_up(self) -> Result<(), FileError> {
        let mut trail = Trail::from(&self.root);
        let mut set = |below: &Path, mode| trail.reach(below.as_os_str().as_bytes())?.set_mode(mode);
        self.modes.iter().rev().try_for_each(|(below, mode)| {
            set(below, *mode).map_err(|e| FileError::new(&self.copy.join(below), "set its mode", e))
        })
    }
}

/// What a copy of a tree consists of.
#[derive(Debug)]
pub(crate) struct Copied {
    /// The copy.
    pub(crate) anchor: Anchor,
    /// Its symbolic links.
    pub(crate) links: Links,
    /// Files that have no contents yet.
    pub(crate) later: Vec<Later>,
    /// Device and inode of every file that was made: no other one is the copy's.
    pub(crate) made: HashSet<(u64, u64)>,
    /// Its directories.
    pub(crate) closed: Closed,
    /// What could not be copied: all else is there.
    pub(crate) failures: Vec<FileError>,
}

/// Directories below one, of which the last ones on the way are held: a tree is gone through level by level, and to go from
/// its root to each would cost the square of its depth.
struct Trail {
    root: Arc<Dir>,
    path: Vec<u8>,
    /// Each with the length of its path, below the one before it.
    open: VecDeque<(usize, Arc<Dir>)>,
    most: usize,
}

impl Trail {
    fn from(root: &Arc<Dir>) -> Self {
        /// As many levels up cost nothing.
        const MOST_HELD: usize = 64;
        let most = most_at_once().min(MOST_HELD);
        Self { root: Arc::clone(root), path: Vec::new(), open: VecDeque::new(), most }
    }

    /// The directory at a path of plain names; no link is followed.
    fn reach(&mut self, path: &[u8]) -> io::Result<Arc<Dir>> {
        let last = &self.path;
        let is_on_the_way = |len: usize| {
            let is_same = path.get(..len).is_some_and(|start| Some(start) == last.get(..len));
            is_same && (len == path.len() || path.get(len) == Some(&b'/'))
        };
        while self.open.back().is_some_and(|(len, _)| !is_on_the_way(*len)) {
            self.open.pop_back();
        }
        path.clone_into(&mut self.path);
        let (mut done, mut at) = match self.open.back() {
            Some((len, directory)) => (*len, Arc::clone(directory)),
            None => (0, Arc::clone(&self.root)),
        };
        for name in path.get(done..).unwrap_or_default().split(|byte| *byte == b'/') {
            let end = done.saturating_add(name.len());
            if !name.is_empty() {
                at = Arc::new(at.below(name)?);
                self.open.push_back((end, Arc::clone(&at)));
                if self.open.len() > self.most {
                    self.open.pop_front();
                }
            }
            done = end.saturating_add(1);
        }
        Ok(at)
    }
}

/// Symbolic links of a copy, with what they point to.
pub(crate) type Links = Vec<(PathBuf, PathBuf)>;

/// Which files of a tree get their contents later, by the path below the tree and their first bytes.
pub(crate) type IsLater<'l> = &'l dyn Fn(&Path, &[u8]) -> bool;

/// A file of a copy that is there, and has no contents yet.
#[derive(Debug)]
pub(crate) struct Later {
    source: Spot,
    original: PathBuf,
    target: Spot,
    copy: PathBuf,
    /// What was made.
    made: (u64, u64),
}

impl Later {
    /// The path of the copy, for reports.
    #[must_use]
    pub(crate) fn copy(&self) -> &Path {
        &self.copy
    }

    /// Gives it contents, mode and times.
    ///
    /// # Errors
    /// [`FileError`] names the side that failed, or what `fill` says.
    pub(crate) fn fill<T, E: From<FileError>>(self, fill: impl FnOnce(&Opened, &File) -> Result<T, E>) -> Result<T, E> {
        let opened = map::open(self.source, &self.original)?;
        let meta = opened.file.metadata().map_err(|e| FileError::new(&self.original, "read its attributes", e))?;
        let wrote = |action, e: io::Error| FileError::new(&self.copy, action, e);
        let to = self.target.open(OFlags::RDWR, Mode::empty()).map_err(|e| wrote("open it", e.into()))?;
        if Identity::of(&to).map_err(|e| wrote("read its attributes", e))?.inode != self.made {
            return Err(wrote("open it", io::Error::other("another file took its place")).into());
        }
        let filled = fill(&opened, &to)?;
        give_attributes((&opened.file, &meta, &self.original), (&to, &self.copy))?;
        Ok(filled)
    }
}

/// Gives a file of a copy all that the original has.
///
/// # Errors
/// [`FileError`] names what failed.
pub(crate) fn fill_whole(source: &Opened, target: &File) -> Result<(), FileError> {
    let len = source.identity.len;
    if size_limit().is_some_and(|limit| len > limit) {
        return Err(FileError::new(&source.path, "copy it", Errno::FBIG));
    }
    copy_contents(&source.file, target, len).map_err(|e| FileError::new(&source.path, "copy it", e))
}

/// Copies what is held into a directory, both by their descriptors: symbolic links as links, hard links as hard links,
/// modes and times kept; directories of the copy are writable by their owner, as edits need. Sockets, devices and FIFOs
/// are left out. The paths are for reports.
///
/// # Errors
/// [`FileError`] names the side that failed.
pub(crate) fn copy_held(
    (source, original): (&Anchor, &Path),
    (Target { directory: target, mode }, copy): (Target, &Path),
    is_later: IsLater<'_>,
) -> Result<Copied, FileError> {
    let mut closed = Closed { root: Arc::clone(&target), copy: copy.to_owned(), modes: Vec::new() };
    closed.modes.extend(mode.map(|mode| (PathBuf::new(), mode)));
    let held = source.held().transpose().map_err(|e| FileError::new(original, "open it", e))?;
    match held {
        Some((from, None)) => {
            let mut copier = Copier {
                original,
                copy,
                is_later,
                first_names: HashMap::new(),
                left: vec![(PathBuf::new(), None)],
                links: Vec::new(),
                later: Vec::new(),
                made: HashSet::new(),
                modes: closed.modes,
                failures: Vec::new(),
            };
            let (mut sources, mut targets) = (Trail::from(&from), Trail::from(&target));
            while let Some((below, made)) = copier.left.pop() {
                // One that fails keeps no other one from being copied.
                if let Err(error) = copier.copy_directory(&mut sources, &mut targets, &below, made) {
                    copier.failures.push(error);
                }
            }
            let Copier { links, later, made, modes, failures, .. } = copier;
            let closed = Closed { modes, ..closed };
            Ok(Copied { anchor: Anchor::directory(target), links, later, made, closed, failures })
        }
        Some((_, Some(spot))) => {
            let to = Spot::new(target, spot.name());
            let name = Path::new(spot.name());
            let (made, later) = copy_file((&spot, original), (&to, copy), &|start| is_later(name, start))?;
            let (later, made) = (later.into_iter().collect(), HashSet::from([made]));
            Ok(Copied { anchor: Anchor::file(to), links: Vec::new(), later, made, closed, failures: Vec::new() })
        }
        None => Err(FileError::new(original, "copy it", io::Error::other("neither a regular file nor a directory"))),
    }
}

/// A copy of a tree that is being made.
struct Copier<'c> {
    original: &'c Path,
    copy: &'c Path,
    is_later: IsLater<'c>,
    /// The names that were copied already, by inode, so that hard links stay hard links.
    first_names: HashMap<(u64, u64), PathBuf>,
    /// Directories that are made and empty, with device and inode; the first one is held.
    left: Vec<(PathBuf, Option<(u64, u64)>)>,
    links: Links,
    later: Vec<Later>,
    made: HashSet<(u64, u64)>,
    modes: Vec<(PathBuf, Mode)>,
    failures: Vec<FileError>,
}

impl Copier<'_> {
    fn copy_directory(
        &mut self,
        from: &mut Trail,
        to: &mut Trail,
        below: &Path,
        made: Option<(u64, u64)>,
    ) -> Result<(), FileError> {
        let (original, copy) = (self.original.join(below), self.copy.join(below));
        let open = |trail: &mut Trail, path: &Path| {
            trail.reach(below.as_os_str().as_bytes()).map_err(|e| FileError::new(path, "open it", e))
        };
        let (source, target) = (open(from, &original)?, open(to, &copy)?);
        if made.is_some_and(|made| target.whereabouts().is_ok_and(|there| there.inode != made)) {
            return Err(FileError::new(&copy, "open it", io::Error::other("another directory took its place")));
        }
        let mut names = source.names().map_err(|e| FileError::new(&original, "read it", e))?;
        names.sort();
        for name in names {
            let below = below.join(&name);
            let (source, target) = (Spot::new(Arc::clone(&source), &name), Spot::new(Arc::clone(&target), &name));
            if let Err(error) = self.copy_entry(&source, &target, &to.root, below) {
                self.failures.push(error);
            }
        }
        Ok(())
    }

    fn copy_entry(&mut self, source: &Spot, target: &Spot, to: &Arc<Dir>, below: PathBuf) -> Result<(), FileError> {
        let (original, copy) = (self.original.join(&below), self.copy.join(&below));
        let found = source.identity().map_err(|e| FileError::new(&original, "read its attributes", e))?;
        let wrote = |action, e: io::Error| FileError::new(&copy, action, e);
        match FileType::from_raw_mode(found.mode) {
            FileType::Directory => {
                let made =
                    target.directory().make(target.name(), Mode::RWXU).map_err(|e| wrote("make the directory", e))?;
                // Neither the umask nor a default ACL may open it up.
                made.set_mode(Mode::RWXU).map_err(|e| wrote("set its mode", e))?;
                let there = made.whereabouts().map_err(|e| wrote("read its attributes", e))?;
                self.modes.push((below.clone(), Mode::from_raw_mode((found.mode & 0o7777 & !SET_ID) | 0o700)));
                self.left.push((below, Some(there.inode)));
            }
            FileType::Symlink => {
                let points_to = source.link().map_err(|e| FileError::new(&original, "read the link", e))?;
                target.make_link(&points_to).map_err(|e| wrote("make the link", e))?;
                self.links.push((copy, points_to));
            }
            FileType::RegularFile => {
                match self.first_names.get(&found.inode) {
                    Some(first) => {
                        let first = spot_below(to, first.as_os_str().as_bytes());
                        let made = first.and_then(|first| first.link_to(target));
                        made.map_err(|e| wrote("make the link", e))?;
                    }
                    None => {
                        let is_later = |start: &[u8]| (self.is_later)(&below, start);
                        let (made, later) = copy_file((source, &original), (target, &copy), &is_later)?;
                        self.made.insert(made);
                        self.later.extend(later);
                    }
                }
                if found.links > 1 {
                    self.first_names.entry(found.inode).or_insert(below);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Copies one file with its mode and times, or makes it, to be filled later.
fn copy_file(
    (source, original): (&Spot, &Path),
    (target, copy): (&Spot, &Path),
    is_later: &dyn Fn(&[u8]) -> bool,
) -> Result<((u64, u64), Option<Later>), FileError> {
    let from = Regular::at(source).and_then(|node| node.read()).map_err(|e| FileError::new(original, "open it", e))?;
    let meta = from.metadata().map_err(|e| FileError::new(original, "read its attributes", e))?;
    let wrote = |action, e: io::Error| FileError::new(copy, action, e);
    // No other user opens it before it has everything.
    let make = || {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let made = target.open(flags, Mode::RUSR | Mode::WUSR).map_err(|e| wrote("make it", e.into()))?;
        let identity = Identity::of(&made).map_err(|e| wrote("read its attributes", e))?;
        Ok((made, identity.inode))
    };
    let mut start = [0_u8; 4];
    let has_start = meta.len() >= 4 && from.read_exact_at(&mut start, 0).is_ok();
    if has_start && is_later(&start) {
        let (_, made) = make()?;
        let [original, copy] = [original, copy].map(Path::to_owned);
        return Ok((made, Some(Later { source: source.clone(), original, target: target.clone(), copy, made })));
    }
    if size_limit().is_some_and(|limit| meta.len() > limit) {
        // The write would kill the process with SIGXFSZ.
        return Err(wrote("write it", Errno::FBIG.into()));
    }
    let (to, made) = make()?;
    let copied = copy_contents(&from, &to, meta.len()).map_err(|e| wrote("write it", e));
    if let Err(error) = copied.and_then(|()| give_attributes((&from, &meta, original), (&to, copy))) {
        // Half a file would be taken for one of the copy.
        let is_own = target.identity().is_ok_and(|there| there.inode == made);
        return match if is_own { target.remove() } else { Ok(()) } {
            Ok(()) => Err(error),
            Err(stays) => Err(wrote("remove what was written of it", stays.into())),
        };
    }
    Ok((made, None))
}

/// The copy is the running user's: set-user-ID and set-group-ID stay where they give what they gave, and give it for what
/// was read.
fn give_attributes(
    (from, meta, original): (&File, &Metadata, &Path),
    (to, copy): (&File, &Path),
) -> Result<(), FileError> {
    let wrote = |action, e: io::Error| FileError::new(copy, action, e);
    let made = to.metadata().map_err(|e| wrote("read its attributes", e))?;
    let read = from.metadata().map_err(|e| FileError::new(original, "read its attributes", e))?;
    let is_as_it_was = (read.ctime(), read.ctime_nsec()) == (meta.ctime(), meta.ctime_nsec());
    let gives = |bit, is_same| if is_as_it_was && is_same { bit } else { 0 };
    let kept = gives(0o4000, read.uid() == made.uid()) | gives(0o2000, read.gid() == made.gid());
    let mode = Mode::from_raw_mode(read.mode() & 0o7777 & (kept | !SET_ID));
    rustix::fs::fchmod(to, mode).map_err(|e| wrote("set its mode", e.into()))?;
    let at = |seconds, nanoseconds| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps {
        last_access: at(meta.atime(), meta.atime_nsec()),
        last_modification: at(meta.mtime(), meta.mtime_nsec()),
    };
    rustix::fs::futimens(to, &times).map_err(|e| wrote("set its times", e.into()))
}
