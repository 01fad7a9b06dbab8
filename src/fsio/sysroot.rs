//! What `/` stands for, and how a path is gone from there: by descriptors, so that no link leads out of an image, also when
//! it is put in the way meanwhile.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::dir::{Anchor, Dir, GoAgain, OpenPlace, Spot, Whereabouts, spot_below};
use super::limits::may_hold_one_more;

/// A path of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostPath(PathBuf);

/// A path as a loader sees it in what is looked at: an image, a closure, this machine. Relative only where that is this
/// machine, and then to the working directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImagePath(PathBuf);

impl HostPath {
    /// Takes a path to be one.
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }
}

impl ImagePath {
    /// Takes a path to be one.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The path alone: for printing, and for what joins and compares.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// The same, owned.
    #[must_use]
    pub fn into_path(self) -> PathBuf {
        self.0
    }
}

/// As many links as Linux follows in one path (`Linux include/linux/namei.h`, MAXSYMLINKS).
const MOST_LINKS: usize = 40;

/// The directory of this machine that `/` stands for: an image's, or `/` itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sysroot(Option<HeldImage>);

/// An image's root: open, and what it is called.
#[derive(Clone, Debug)]
struct HeldImage {
    root: Arc<Dir>,
    path: PathBuf,
}

impl Sysroot {
    /// This machine.
    #[must_use]
    pub(crate) fn host() -> Self {
        Self(None)
    }

    /// The image below a directory of this machine.
    ///
    /// # Errors
    /// What the system says; a file is no directory.
    pub(crate) fn image(path: &Path) -> io::Result<Self> {
        let (root, path) = Self::host().reach_directory(path)?;
        Ok(Self(Some(HeldImage { root, path })))
    }

    /// Whether it is another root than this machine's.
    #[must_use]
    pub(crate) fn is_image(&self) -> bool {
        self.0.is_some()
    }

    /// The image's name for a canonical path of this machine; a path outside of the image stays as it is.
    #[must_use]
    pub(crate) fn to_image(&self, path: &HostPath) -> ImagePath {
        self.to_image_if_below(path).unwrap_or_else(|| ImagePath(path.0.clone()))
    }

    /// The same for a path that may be another's: `None` where it does not lie in an image.
    #[must_use]
    pub(crate) fn to_image_if_below(&self, path: &HostPath) -> Option<ImagePath> {
        let below = path.0.strip_prefix(&self.0.as_ref()?.path).ok()?;
        Some(ImagePath(Path::new("/").join(below)))
    }

    /// An absolute path with its symbolic links followed, those of an image as if its root were `/`.
    ///
    /// # Errors
    /// What the system says: it does not exist, a directory may not be searched, links lead in a circle.
    pub(crate) fn resolve(&self, path: &ImagePath) -> io::Result<ImagePath> {
        if self.has_no_link(path)? {
            return Ok(ImagePath(Path::new("/").join(path.0.components().as_path())));
        }
        Ok(ImagePath(self.walk(&path.0)?.text))
    }

    /// The same, and what it leads to is held: a directory, or a regular file; nothing else is.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn hold(&self, path: &ImagePath) -> io::Result<(ImagePath, Anchor)> {
        let reached = self.walk(&path.0)?;
        let place = match reached.end {
            ReachedEnd::Directory(directory) => OpenPlace::Directory(directory),
            ReachedEnd::File(spot) => OpenPlace::File(spot),
            ReachedEnd::Other => return Ok((ImagePath(reached.text), Anchor::default())),
        };
        let anchor = if may_hold_one_more() {
            match place {
                OpenPlace::Directory(directory) => Anchor::directory(directory),
                OpenPlace::File(spot) => Anchor::file(spot),
            }
        } else {
            Anchor::known(&place, Arc::new(WayAgain { sysroot: self.clone(), path: reached.text.clone() }))?
        };
        Ok((ImagePath(reached.text), anchor))
    }

    /// The directory that a path leads to, and its name without links.
    pub(super) fn reach_directory(&self, path: &Path) -> io::Result<(Arc<Dir>, PathBuf)> {
        let reached = self.walk(path)?;
        match reached.end {
            ReachedEnd::Directory(directory) => Ok((directory, reached.text)),
            ReachedEnd::File(_) | ReachedEnd::Other => Err(Errno::NOTDIR.into()),
        }
    }

    /// The name at a path without symbolic links.
    ///
    /// # Errors
    /// What the system says; a link is not followed.
    pub(crate) fn spot(&self, path: &ImagePath) -> io::Result<Spot> {
        self.without_links(path, spot_below)
    }

    /// Opens the directory at a path without symbolic links, to list it or to look at it.
    pub(super) fn open_directory(&self, path: &ImagePath, flags: OFlags) -> io::Result<OwnedFd> {
        self.without_links(path, |root, path| root.reach(path, flags | OFlags::DIRECTORY | OFlags::CLOEXEC))
    }

    /// Whether a path is a symbolic link itself.
    #[must_use]
    pub(crate) fn is_link(&self, path: &ImagePath) -> bool {
        self.file_type(path).is_ok_and(|kind| kind == FileType::Symlink)
    }

    /// What a symbolic link says; no link on the way is followed.
    #[must_use]
    pub(crate) fn link(&self, path: &ImagePath) -> Option<PathBuf> {
        let root = self.root().ok()?;
        let held = root.reach(below_root(&path.0), OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC).ok()?;
        let target = rustix::fs::readlinkat(&held, c"", Vec::new()).ok()?;
        Some(PathBuf::from(OsString::from_vec(target.into_bytes())))
    }

    /// What stands at a path, a link too; no link on the way is followed.
    pub(super) fn file_type(&self, path: &ImagePath) -> io::Result<FileType> {
        let root = self.root()?;
        let held = root.reach(below_root(&path.0), OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC)?;
        Ok(FileType::from_raw_mode(rustix::fs::fstat(held)?.st_mode))
    }

    /// Does something at a path below the root. A process's root under `/proc` is no name that can be reached again by
    /// itself: there the way to it is gone anew.
    fn without_links<T>(&self, path: &ImagePath, reach: impl Fn(&Arc<Dir>, &[u8]) -> io::Result<T>) -> io::Result<T> {
        let looped = match reach(&self.root()?, below_root(&path.0)) {
            Err(error) if self.0.is_none() && error.kind() == Errno::LOOP.kind() => error,
            answer => return answer,
        };
        let (Some(above), Some(name)) = (path.0.parent(), path.0.file_name()) else { return Err(looped) };
        reach(&self.reach_directory(above)?.0, name.as_bytes())
    }

    /// Most paths have none: one question tells that.
    fn has_no_link(&self, path: &ImagePath) -> io::Result<bool> {
        let is_plain = path.0.is_absolute() && !path.0.components().any(|part| part == Component::ParentDir);
        if !is_plain {
            return Ok(false);
        }
        match self.file_type(path) {
            Ok(kind) => Ok(kind != FileType::Symlink),
            Err(error) if error.kind() == Errno::LOOP.kind() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn root(&self) -> io::Result<Arc<Dir>> {
        static MACHINE: OnceLock<Arc<Dir>> = OnceLock::new();
        match (&self.0, MACHINE.get()) {
            (Some(image), _) => Ok(Arc::clone(&image.root)),
            (None, Some(root)) => Ok(Arc::clone(root)),
            (None, None) => {
                let root = Arc::new(Dir::follow(Path::new("/"))?);
                Ok(Arc::clone(MACHINE.get_or_init(|| root)))
            }
        }
    }

    /// Goes a path name by name, each from its directory's descriptor, so that a link that another process puts in the
    /// way is a link like any other: it leads nowhere but into this root.
    fn walk(&self, path: &Path) -> io::Result<Reached> {
        let mut at = Position::start(self, path)?;
        let mut left = reversed(path);
        let mut links = 0_usize;
        while let Some(next) = left.pop() {
            if next == ".." {
                at.go_up()?;
                continue;
            }
            let held = at.directory.look_at(&next)?;
            match FileType::from_raw_mode(rustix::fs::fstat(&held)?.st_mode) {
                FileType::Directory => at.enter(next, Dir::of(held)),
                FileType::Symlink => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(Errno::LOOP.into());
                    }
                    let target = OsString::from_vec(rustix::fs::readlinkat(&held, c"", Vec::new())?.into_bytes());
                    let target = PathBuf::from(target);
                    if is_magic(&held, &target)? {
                        if self.is_image() {
                            return Err(Errno::LOOP.into());
                        }
                        if let Some(inside) = at.jump(&next, &target)? {
                            at = inside;
                            continue;
                        }
                    }
                    if target.is_absolute() {
                        at.go_to_root();
                    }
                    left.extend(reversed(&target));
                }
                _ if !left.is_empty() => return Err(Errno::NOTDIR.into()),
                kind => {
                    let text = at.text(Some(&next));
                    let is_file = kind == FileType::RegularFile;
                    let end = if is_file { ReachedEnd::File(Spot::new(at.directory, next)) } else { ReachedEnd::Other };
                    return Ok(Reached { text, end });
                }
            }
        }
        Ok(Reached { text: at.text(None), end: ReachedEnd::Directory(at.directory) })
    }
}

/// The way to what an argument led to.
#[derive(Debug)]
struct WayAgain {
    sysroot: Sysroot,
    /// Without links.
    path: PathBuf,
}

impl GoAgain for WayAgain {
    fn go(&self) -> io::Result<OpenPlace> {
        match self.sysroot.walk(&self.path)?.end {
            ReachedEnd::Directory(directory) => Ok(OpenPlace::Directory(directory)),
            ReachedEnd::File(spot) => Ok(OpenPlace::File(spot)),
            ReachedEnd::Other => Err(io::Error::other("neither a regular file nor a directory")),
        }
    }
}

/// Where a path leads.
struct Reached {
    /// Its name without links.
    text: PathBuf,
    end: ReachedEnd,
}

enum ReachedEnd {
    Directory(Arc<Dir>),
    File(Spot),
    Other,
}

/// How far a path was gone.
struct Position {
    root: Arc<Dir>,
    /// What the root is called.
    prefix: PathBuf,
    /// Below the root.
    names: Vec<OsString>,
    directory: Arc<Dir>,
}

impl Position {
    /// The root; for a relative path of this machine, the working directory.
    fn start(sysroot: &Sysroot, path: &Path) -> io::Result<Self> {
        let root = sysroot.root()?;
        let mut start = Self { directory: Arc::clone(&root), root, prefix: "/".into(), names: Vec::new() };
        if !sysroot.is_image() && path.is_relative() {
            let here = PathBuf::from(OsString::from_vec(rustix::process::getcwd(Vec::new())?.into_bytes()));
            start.names = reversed(&here);
            start.names.reverse();
            start.directory = Arc::new(Dir::follow(Path::new("."))?);
        }
        Ok(start)
    }

    fn enter(&mut self, name: OsString, directory: Dir) {
        self.names.push(name);
        self.directory = Arc::new(directory);
    }

    fn go_to_root(&mut self) {
        self.names.clear();
        self.directory = Arc::clone(&self.root);
    }

    /// A directory that another process moves meanwhile has another one above it: the way down is gone anew.
    fn go_up(&mut self) -> io::Result<()> {
        self.names.pop();
        let names: PathBuf = self.names.iter().collect();
        self.directory = Arc::new(self.root.below(names.as_os_str().as_bytes())?);
        Ok(())
    }

    /// Through a link of `/proc` that is more than its text: a process's root or working directory, an open file. `None`
    /// where the text leads to the same.
    fn jump(&self, name: &OsStr, target: &Path) -> io::Result<Option<Self>> {
        let through = rustix::fs::openat(&self.directory, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let by_text = rustix::fs::open(target, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        let here = Whereabouts::of(&through)?;
        if here.mount.is_some() && by_text.is_ok_and(|by_text| Whereabouts::of(by_text).is_ok_and(|is| is == here)) {
            return Ok(None);
        }
        if FileType::from_raw_mode(rustix::fs::fstat(&through)?.st_mode) != FileType::Directory {
            return Err(io::Error::other("it has no name on this machine"));
        }
        let root = Arc::new(Dir::of(through));
        let prefix = self.text(Some(name));
        Ok(Some(Self { directory: Arc::clone(&root), root, prefix, names: Vec::new() }))
    }

    fn text(&self, name: Option<&OsStr>) -> PathBuf {
        let mut text = self.prefix.clone();
        text.extend(self.names.iter().map(OsString::as_os_str).chain(name));
        text
    }
}

/// Whether a link is one of `/proc` that is not followed by its text: those with a text that is no place in `/proc`.
fn is_magic(link: &OwnedFd, target: &Path) -> io::Result<bool> {
    /// `Linux include/uapi/linux/magic.h`, PROC_SUPER_MAGIC.
    const PROC: u64 = 0x9fa0;
    let is_text = target.is_relative() && !target.as_os_str().as_bytes().contains(&b':');
    Ok(!is_text && u64::try_from(rustix::fs::fstatfs(link)?.f_type).is_ok_and(|kind| kind == PROC))
}

fn below_root(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
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
        let sysroot = Sysroot::image(root).unwrap();
        let resolved = |path: &str| {
            let found = sysroot.resolve(&ImagePath::new(path));
            found.map(ImagePath::into_path).map_err(|error| error.kind())
        };
        assert_eq!(resolved("/lib/libx.so"), Ok("/usr/lib/libx.so.1.0".into()));
        assert_eq!(resolved("/loop").unwrap_err(), Errno::LOOP.kind());
        assert_eq!(resolved("/etc"), Err(io::ErrorKind::NotFound));
        assert_eq!(resolved("/lib/libx.so/../libx.so"), Err(io::ErrorKind::NotADirectory));
    }

    #[test]
    fn an_image_path_leads_back() {
        let image = tempfile::tempdir().unwrap();
        let root = image.path().canonicalize().unwrap();
        let sysroot = Sysroot::image(&root).unwrap();
        let host = HostPath::new(root.join("lib/libx.so"));
        assert_eq!(sysroot.to_image(&host), ImagePath::new("/lib/libx.so"));
        assert_eq!(sysroot.to_image(&HostPath::new("/lib/libx.so")), ImagePath::new("/lib/libx.so"));
    }
}
