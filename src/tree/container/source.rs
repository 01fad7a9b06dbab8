//! The source that is a container: an image, what a spec lays over it, and what hooks leave in it. Nothing of the image is
//! copied: what lies over it is a list of names.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bstr::{BStr, BString, ByteSlice};

use super::known::KnownFiles;
use super::laid::{Laid, LaidPlace};
use crate::cdi::{StandsAt, join, split};
use crate::elf::machine::Machine;
use crate::fsio::{FileError, ImagePath, Site};
use crate::tree::source::{EntryKind, IsWanted, OpaqueLibrary, Source, SourceDirectory, SourceFile};

/// As many links as Linux follows in one path, and names on the way with those of links.
const MOST_LINKS: usize = 40;
const MOST_NAMES: usize = 4096;
/// Steps on all paths that are gone: the libraries of a large image take a tenth of it. What stands at a path costs the more,
/// the longer it is, and so does a step; one of so many bytes is a single one.
const FARTHEST: u64 = 1 << 23;
const SHORT: u64 = 64;
/// `S_IFREG` and who may read.
const PLAIN_FILE: u32 = 0o100_644;
/// The device of what is no file of any source.
const NO_DEVICE: u64 = u64::MAX;

/// An image with what is laid over it.
#[derive(Debug)]
pub(crate) struct ContainerSource {
    base: Arc<dyn Source>,
    /// The host's files, where they are at hand.
    pub(super) host: Option<Arc<dyn Source>>,
    pub(super) machine: &'static Machine,
    /// By directory, what has a name in it instead of what the image has.
    pub(super) laid: BTreeMap<BString, BTreeMap<BString, Laid>>,
    /// What is known of the image's files already.
    pub(super) known: Arc<KnownFiles>,
    /// How many things were laid, to tell them apart.
    pub(super) count: u64,
    /// Steps that may still be taken: links of an image can make every path a long one.
    left: AtomicU64,
}

impl ContainerSource {
    /// An image with nothing over it yet.
    pub(crate) fn new(
        base: Arc<dyn Source>,
        host: Option<Arc<dyn Source>>,
        machine: &'static Machine,
        known: Arc<KnownFiles>,
    ) -> Self {
        Self { base, host, machine, laid: BTreeMap::new(), known, count: 0, left: AtomicU64::new(FARTHEST) }
    }

    /// Whether a path without links still is what the image has there.
    pub(crate) fn is_of_image(&self, path: &BStr) -> bool {
        matches!(self.place(path), LaidPlace::Base)
    }

    /// What stands at a path whose directory has no links.
    pub(super) fn place(&self, path: &BStr) -> LaidPlace<'_> {
        let mut place = LaidPlace::Base;
        let mut at = BString::from("/");
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            place = self.below(place, at.as_bstr(), name.as_bstr());
            at = join(at.as_bstr(), name.as_bstr());
        }
        place
    }

    /// What has a name in a directory, which is this place.
    fn below<'s>(&'s self, place: LaidPlace<'s>, directory: &BStr, name: &BStr) -> LaidPlace<'s> {
        match self.laid.get(directory).and_then(|names| names.get(name)) {
            Some(laid) => LaidPlace::of(laid),
            None => place.below(name),
        }
    }

    /// Whether more paths were gone than may be; from now on as many again may.
    pub(crate) fn take_exhausted(&self) -> bool {
        self.left.swap(FARTHEST, Ordering::Relaxed) == 0
    }

    /// Counts a step on a path.
    fn spend(&self, path: &BStr) -> io::Result<()> {
        let lengths = u64::try_from(path.len()).unwrap_or(u64::MAX).checked_div(SHORT).unwrap_or(0).saturating_add(1);
        let left = self.left.load(Ordering::Relaxed).saturating_sub(lengths.saturating_mul(lengths));
        // Two threads that spend at once may count one of them: it is a limit, not a sum.
        self.left.store(left, Ordering::Relaxed);
        if left == 0 { Err(io::Error::other("too many long paths were followed")) } else { Ok(()) }
    }

    pub(super) fn standing_at(&self, path: &BStr) -> Option<StandsAt> {
        self.stands(path, &self.place(path))
    }

    fn stands(&self, path: &BStr, place: &LaidPlace<'_>) -> Option<StandsAt> {
        let of_source = |source: &dyn Source, path: &ImagePath| {
            if let Some(text) = source.link(path) {
                return Some(StandsAt::Link(text.into_vec().into()));
            }
            Some(match source.kind(path).ok()? {
                EntryKind::File => StandsAt::File,
                EntryKind::Directory => StandsAt::Directory,
                EntryKind::Other => StandsAt::Other,
            })
        };
        match place {
            LaidPlace::Base => of_source(&*self.base, &image_path(path)),
            LaidPlace::Host(path) => of_source(self.host.as_deref()?, path),
            LaidPlace::Link(text) => Some(StandsAt::Link((*text).clone())),
            LaidPlace::Bytes(..) | LaidPlace::Opaque(..) => Some(StandsAt::File),
            LaidPlace::Made(_) | LaidPlace::UnknownDirectory(_) => Some(StandsAt::Directory),
            LaidPlace::BelowUnknown | LaidPlace::Missing => None,
        }
    }

    /// Goes a path through all links.
    pub(super) fn go(&self, path: &BStr) -> io::Result<BString> {
        let mut at = BString::from("/");
        // What stands at each directory on the way, the root's first.
        let mut places = vec![LaidPlace::Base];
        let mut left = reversed(path);
        let (mut links, mut steps) = (0_usize, 0_usize);
        while let Some(name) = left.pop() {
            steps = steps.saturating_add(1);
            if steps > MOST_NAMES {
                return Err(circle());
            }
            if name == ".." {
                at = split(at.as_bstr()).map_or("/".into(), |(above, _)| above.to_owned());
                places.truncate(places.len().saturating_sub(1).max(1));
                continue;
            }
            let next = join(at.as_bstr(), name.as_bstr());
            self.spend(next.as_bstr())?;
            let above = places.last().cloned().unwrap_or(LaidPlace::Base);
            let place = self.below(above, at.as_bstr(), name.as_bstr());
            match self.stands(next.as_bstr(), &place) {
                None => return Err(io::ErrorKind::NotFound.into()),
                Some(StandsAt::Link(text)) => {
                    links = links.saturating_add(1);
                    if links > MOST_LINKS {
                        return Err(circle());
                    }
                    if text.starts_with(b"/") {
                        at = "/".into();
                        places.truncate(1);
                    }
                    left.extend(reversed(text.as_bstr()));
                }
                Some(StandsAt::File | StandsAt::Other) if !left.is_empty() => {
                    return Err(io::ErrorKind::NotADirectory.into());
                }
                Some(_) => {
                    at = next;
                    places.push(place);
                }
            }
        }
        Ok(at)
    }

    /// The names in a directory, with what is laid there and without what is hidden.
    pub(super) fn listing(&self, path: &BStr) -> io::Result<SourceDirectory> {
        let mut listing = match self.place(path) {
            LaidPlace::Base => self.base.directory(&image_path(path))?,
            LaidPlace::Host(found) => self.host.as_ref().ok_or(io::ErrorKind::NotFound)?.directory(&found)?,
            LaidPlace::Made(_) | LaidPlace::UnknownDirectory(_) => {
                SourceDirectory { names: Some(Vec::new()), is_world_writable: false }
            }
            _ => return Err(io::ErrorKind::NotADirectory.into()),
        };
        if let (Some(names), Some(over)) = (&mut listing.names, self.laid.get(path)) {
            names.retain(|name| !over.contains_key(name.as_bytes().as_bstr()));
            names.extend(over.keys().map(|name| OsString::from_vec(name.clone().into())));
        }
        Ok(listing)
    }
}

fn circle() -> io::Error {
    io::Error::other("its links lead in a circle")
}

fn reversed(path: &BStr) -> Vec<BString> {
    let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".");
    names.rev().map(BString::from).collect()
}

pub(super) fn image_path(path: &BStr) -> ImagePath {
    ImagePath::new(OsStr::from_bytes(path))
}

pub(super) fn bytes(path: &ImagePath) -> &BStr {
    path.as_path().as_os_str().as_bytes().as_bstr()
}

impl Source for ContainerSource {
    fn resolve(&self, path: &ImagePath) -> io::Result<ImagePath> {
        self.go(bytes(path)).map(|found| image_path(found.as_bstr()))
    }

    fn kind(&self, path: &ImagePath) -> io::Result<EntryKind> {
        match self.standing_at(bytes(path)) {
            None => Err(io::ErrorKind::NotFound.into()),
            Some(StandsAt::File) => Ok(EntryKind::File),
            Some(StandsAt::Directory) => Ok(EntryKind::Directory),
            Some(StandsAt::Link(_) | StandsAt::Other) => Ok(EntryKind::Other),
        }
    }

    fn link(&self, path: &ImagePath) -> Option<OsString> {
        match self.standing_at(bytes(path)) {
            Some(StandsAt::Link(text)) => Some(OsString::from_vec(text.into())),
            _ => None,
        }
    }

    fn opaque(&self, path: &ImagePath) -> Option<OpaqueLibrary> {
        match self.place(bytes(path)) {
            LaidPlace::Opaque(soname, number) => {
                Some(OpaqueLibrary { soname: soname.clone(), machine: self.machine, identity: (NO_DEVICE, number) })
            }
            _ => None,
        }
    }

    fn directory(&self, path: &ImagePath) -> io::Result<SourceDirectory> {
        match self.place(bytes(path)) {
            // What it has is for the target to tell.
            LaidPlace::UnknownDirectory(_) if !self.laid.contains_key(bytes(path)) => {
                Err(io::ErrorKind::NotFound.into())
            }
            _ => self.listing(bytes(path)),
        }
    }

    fn inode(&self, path: &ImagePath) -> Option<(u64, u64)> {
        match self.place(bytes(path)) {
            LaidPlace::Base => self.base.inode(path),
            LaidPlace::Host(found) => self.host.as_ref()?.inode(&found),
            LaidPlace::Made(number) | LaidPlace::UnknownDirectory(number) => Some((NO_DEVICE, number)),
            _ => None,
        }
    }

    fn is_world_writable(&self, path: &ImagePath) -> bool {
        match self.place(bytes(path)) {
            LaidPlace::Base => self.base.is_world_writable(path),
            _ => false,
        }
    }

    /// What the spec brings is the host's, and looked at where something of the image leads to it.
    fn walk_into(&self, site: Site<'_>, found: &mut Vec<(ImagePath, EntryKind)>) -> io::Result<()> {
        if !self.is_of_image(bytes(site.path())) {
            return Ok(());
        }
        let before = found.len();
        let told = self.base.walk_into(Site::at(site.path()), found);
        let mut new = found.split_off(before);
        new.retain(|(path, _)| self.is_of_image(bytes(path)));
        found.append(&mut new);
        told
    }

    fn open(&self, site: Site<'_>, is_wanted: IsWanted<'_>) -> Result<Option<SourceFile>, FileError> {
        let path = site.path();
        let failed = |source| FileError { path: path.as_path().to_owned(), action: "open it", source };
        match self.place(bytes(path)) {
            LaidPlace::Base => self.base.open(Site::at(path), is_wanted),
            LaidPlace::Host(found) => {
                let host = self.host.as_ref().ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
                host.open(Site::at(&found), is_wanted)
            }
            LaidPlace::Bytes(bytes, number) => {
                let is_long = bytes.len() >= 4 && is_wanted(bytes.get(..4).unwrap_or_default());
                Ok(is_long.then(|| SourceFile::new(Arc::clone(bytes), (NO_DEVICE, number), PLAIN_FILE)))
            }
            LaidPlace::Opaque(..) => Err(failed(io::Error::other("only the target has it"))),
            _ => Err(failed(io::Error::other("not a regular file"))),
        }
    }

    fn read(&self, path: &ImagePath, limit: u64) -> Option<Vec<u8>> {
        match self.place(bytes(path)) {
            LaidPlace::Base => {
                let known = self.known.contents(bytes(path), || self.base.read(path, limit));
                known.filter(|bytes| u64::try_from(bytes.len()).is_ok_and(|len| len <= limit))
            }
            LaidPlace::Host(found) => self.host.as_ref()?.read(&found, limit),
            LaidPlace::Bytes(bytes, _) => Some(bytes.to_vec()),
            _ => None,
        }
    }

    fn place(&self, site: Site<'_>) -> Option<(u64, u32, u64)> {
        match Self::place(self, bytes(site.path())) {
            LaidPlace::Base => self.base.place(Site::at(site.path())),
            _ => self.base.place(Site::at(&ImagePath::new("/"))).map(|_| (0, 0, 0)),
        }
    }
}
