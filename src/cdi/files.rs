//! What hooks ask of a container's files, and do to them.

use bstr::{BStr, BString, ByteSlice};

use super::edits::{CdiMount, clean};
use crate::cuda::CompatNote;

/// What stands at a path, by its own kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StandsAt {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A link and its text.
    Link(BString),
    /// Anything else.
    Other,
}

/// What a hook leaves at a path, in place of what was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LeftByHook {
    /// A link with this text.
    Link(BString),
    /// A file.
    File(Vec<u8>),
    /// An empty directory.
    Directory,
}

/// What ldconfig reads of a library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CacheableLibrary {
    /// DT_SONAME
    pub(crate) soname: Option<BString>,
    /// The kind of object, as a cache has it.
    pub(crate) flags: u32,
}

/// What a mount brings, as far as this machine knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mounted {
    /// The host's file is at hand.
    File,
    /// The host's directory is at hand.
    Directory,
    /// It is a library by its name, and its contents are not at hand.
    OpaqueFile,
    /// It may have anything in it.
    UnknownDirectory,
    /// A store path that the image has as well: the same name, the same contents.
    InImage,
    /// What it would be laid over cannot be reached.
    Nowhere,
}

/// The files of a container while it is made. Paths that are handed out and in have no links on the way but perhaps the
/// last component, unless it says otherwise.
pub(crate) trait ContainerFiles {
    /// Where a path leads, links followed inside of the container; `None` where nothing is there.
    fn resolve(&self, path: &BStr) -> Option<BString>;
    /// What stands at a path.
    fn standing(&self, path: &BStr) -> Option<StandsAt>;
    /// The names in a directory, sorted; `None` where it cannot be listed.
    fn names(&self, directory: &BStr) -> Option<Vec<BString>>;
    /// What tells a directory from all others.
    fn identity(&self, directory: &BStr) -> Option<(u64, u64)>;
    /// A whole file of no more than so many bytes.
    fn contents(&self, path: &BStr, limit: u64) -> Option<Vec<u8>>;
    /// What ldconfig reads of a file: `None` for what is no library of the container's machine.
    fn library(&self, path: &BStr) -> Option<CacheableLibrary>;
    /// What a libcuda says of the drivers that it works with.
    fn compat_note(&self, path: &BStr) -> Option<CompatNote>;
    /// Leaves something at a path whose directory is there.
    fn make(&mut self, path: &BStr, made: LeftByHook);
    /// Lays a file or directory of the host over a path whose directory is there.
    fn mount(&mut self, path: &BStr, host: &BStr, soname: Option<&BStr>) -> Mounted;
}

/// Directories that one path may have.
const DEEPEST: usize = 512;

/// The directory that a path leads to, made where it is missing; `None` where something else is in the way, such as a link
/// that leads nowhere.
pub(super) fn directory(files: &mut dyn ContainerFiles, path: &BStr) -> Option<BString> {
    let mut missing: Vec<BString> = Vec::new();
    let mut at = clean(path);
    let mut found = loop {
        if let Some(found) = files.resolve(at.as_bstr()) {
            break found;
        }
        let (above, name) = split(at.as_bstr())?;
        let above = files.resolve(above).map_or(above.to_owned(), |above| above);
        if files.standing(join(above.as_bstr(), name).as_bstr()).is_some() || missing.len() >= DEEPEST {
            return None;
        }
        missing.push(name.to_owned());
        at = above;
    };
    if files.standing(found.as_bstr()) != Some(StandsAt::Directory) {
        return None;
    }
    while let Some(name) = missing.pop() {
        found = join(found.as_bstr(), name.as_bstr());
        files.make(found.as_bstr(), LeftByHook::Directory);
    }
    Some(found)
}

/// A path with its directory's links followed and its last component as it is.
pub(super) fn without_links(files: &dyn ContainerFiles, path: &BStr) -> Option<BString> {
    let path = clean(path);
    let (directory, name) = split(path.as_bstr())?;
    Some(join(files.resolve(directory)?.as_bstr(), name))
}

/// Where a mount is laid: links are followed to the end, and what is missing is made (`runc libcontainer/rootfs_linux.go`).
pub(super) fn mount(files: &mut dyn ContainerFiles, mount: &CdiMount, soname: Option<&BStr>) -> (BString, Mounted) {
    let mut at = clean(mount.container.as_bstr());
    if let Some(found) = files.resolve(at.as_bstr()) {
        at = found;
    } else {
        let place = split(at.as_bstr()).and_then(|(above, name)| {
            let above = directory(files, above)?;
            Some(join(above.as_bstr(), name))
        });
        match place {
            Some(place) if files.standing(place.as_bstr()).is_none() => at = place,
            _ => return (at, Mounted::Nowhere),
        }
    }
    let mounted = files.mount(at.as_bstr(), mount.host.as_bstr(), soname);
    (at, mounted)
}

/// A path's directory and last component; `None` for the root.
pub(crate) fn split(path: &BStr) -> Option<(&BStr, &BStr)> {
    let (directory, name) = path.rsplit_once_str("/")?;
    if name.is_empty() {
        return None;
    }
    let directory = if directory.is_empty() { b"/".as_slice() } else { directory };
    Some((directory.as_bstr(), name.as_bstr()))
}

/// A name in a directory.
pub(crate) fn join(directory: &BStr, name: &BStr) -> BString {
    let directory = if directory == "/" { b"".as_bstr() } else { directory };
    BString::from([directory.as_bytes(), b"/", name.as_bytes()].concat())
}
