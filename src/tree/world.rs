//! The file system of a check: what a source has, or the store paths of a closure in it, each file looked at once.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};
use foldhash::HashSet;

use super::look::{Seen, look};
use super::source::{EntryKind, OpaqueLibrary, Source};
use super::symbol_cache::SymbolCache;
use crate::check::{Facts, TargetWorld, World, Wrapper};
use crate::elf::view::{NotApplicable, Subject};
use crate::fsio::{FileError, ImagePath, Site};
use crate::loader::{DirectoryState, FileSystem, HARDWARE_FOLDERS, Ident, Look, Memo, Object, RealDirectory};

/// Loaders and caches are smaller; nothing else is read whole.
const LARGEST_SYSTEM_FILE: u64 = 64 << 20;

/// As many links as Linux follows in one path (`Linux include/linux/namei.h`, MAXSYMLINKS), and as many names as are gone
/// for that.
const MOST_LINKS: usize = 40;
const MOST_NAMES: usize = 4096;

/// Bytes of a file's name (`Linux include/uapi/linux/limits.h`, NAME_MAX).
const LONGEST_NAME: usize = 255;

/// Bytes of a path for which a system opens nothing, its end included (`Linux include/uapi/linux/limits.h`, PATH_MAX).
const LONGEST_PATH: usize = 4096;

/// What a source has, and what is known of it already.
#[derive(Debug)]
pub struct SourceWorld {
    source: Arc<dyn Source>,
    within: Option<BTreeSet<BString>>,
    folders: Memo<BString, Option<Arc<Folder>>>,
    missing: Memo<BString, DirectoryState>,
    led: Memo<BString, Option<BString>>,
    looks: Memo<BString, Look>,
    facts: Memo<BString, Arc<Facts>>,
    wrappers: HashMap<BString, Wrapper>,
    symbols: SymbolCache,
}

#[derive(Debug)]
struct Folder {
    /// `None` where the directory may be searched, but not listed.
    names: Option<HashSet<BString>>,
    world_writable: bool,
    has_hardware_folders: bool,
    place: RealDirectory,
}

impl Folder {
    fn may_have(&self, name: &[u8]) -> bool {
        self.names.as_ref().is_none_or(|names| names.contains(name))
    }
}

impl SourceWorld {
    /// All that a source has; with `within`, nothing but those store paths.
    #[must_use]
    pub(crate) fn new(source: Arc<dyn Source>, within: Option<BTreeSet<BString>>) -> Self {
        Self {
            source,
            within,
            folders: Memo::default(),
            missing: Memo::default(),
            led: Memo::default(),
            looks: Memo::default(),
            facts: Memo::default(),
            wrappers: HashMap::new(),
            symbols: SymbolCache::default(),
        }
    }

    /// Takes in what was inspected: it is not opened again.
    pub(super) fn know(&mut self, facts: &Arc<Facts>) {
        let path = facts.object.path.clone();
        self.looks.put(path.clone(), Look::Object(Arc::clone(&facts.object)));
        self.facts.put(path, Arc::clone(facts));
    }

    /// Takes in what a wrapper sets for the program at a canonical path; of several the innermost comes first.
    pub(super) fn wrap(&mut self, hidden: BString, wrapper: Wrapper) {
        let outer = match self.wrappers.remove(&hidden) {
            None => wrapper,
            Some(inner) => {
                let paths: Vec<BString> = [inner.library_path, wrapper.library_path].into_iter().flatten().collect();
                let library_path = (!paths.is_empty()).then(|| BString::from(bstr::join(":", paths)));
                Wrapper { library_path, ..wrapper }
            }
        };
        self.wrappers.insert(hidden, outer);
    }

    /// Where its files come from.
    pub(super) fn source(&self) -> &dyn Source {
        &*self.source
    }

    /// The symbol tables that were read.
    pub(super) fn symbols(&self) -> &SymbolCache {
        &self.symbols
    }

    /// What is known of the object at a canonical path.
    pub(super) fn facts_at(&self, path: &BStr) -> Option<Arc<Facts>> {
        self.facts.get(path)
    }

    /// Whether this is the canonical path of an object.
    pub(super) fn knows(&self, path: &BStr) -> bool {
        self.facts.get(path).is_some()
    }

    /// A path with its symbolic links followed.
    pub(super) fn resolve(&self, path: &ImagePath) -> Option<ImagePath> {
        self.source.resolve(path).ok()
    }

    /// Whether a directory is missing, or was listed and has nothing in it.
    pub(super) fn lists_nothing(&self, directory: &BStr) -> bool {
        self.folder(directory).is_none_or(|folder| folder.names.as_ref().is_some_and(HashSet::is_empty))
    }

    /// Follows the links of a path name by name. What is missing, and all behind it, stays as it is written.
    fn follow(&self, path: &Path) -> Option<PathBuf> {
        let mut led = PathBuf::from("/");
        let mut left: Vec<OsString> = names_of(path);
        let (mut links, mut names) = (0_usize, 0_usize);
        while let Some(name) = left.pop() {
            names = names.saturating_add(1);
            if names > MOST_NAMES {
                return None;
            }
            if name == ".." {
                led.pop();
                continue;
            }
            let next = led.join(&name);
            match self.source.link(&ImagePath::new(&next)).map(PathBuf::from) {
                None => led = next,
                Some(target) => {
                    links = links.saturating_add(1);
                    if links > MOST_LINKS {
                        return None;
                    }
                    if target.is_absolute() {
                        led = PathBuf::from("/");
                    }
                    left.extend(names_of(&target));
                }
            }
        }
        Some(led)
    }

    /// A canonical path.
    fn look_at(&self, path: &ImagePath) -> Look {
        let key = BString::from(path.as_path().as_os_str().as_bytes());
        if !self.is_within(key.as_bstr()) {
            return Look::Missing;
        }
        match self.looks.get(&key) {
            Some(known) => known,
            None => {
                let look = self.open(path);
                self.looks.put(key, look)
            }
        }
    }

    fn open(&self, path: &ImagePath) -> Look {
        if let Some(OpaqueLibrary { soname, machine, identity }) = self.source.opaque(path) {
            let key = BString::from(path.as_path().as_os_str().as_bytes());
            let object = Object::opaque(key.clone(), identity, soname, machine);
            let facts = self.facts.put(key, Arc::new(Facts::opaque(object)));
            return Look::Object(Arc::clone(&facts.object));
        }
        let looked = look(&*self.source, Site::at(path), |seen| {
            let (file, subject) = match seen {
                Seen::NotElf => return Look::NotLoadable(None, NotApplicable::NotElf.reason().into()),
                Seen::Elf(file, subject) => (file, subject),
            };
            let ident = Ident::of(file.bytes());
            let view = match subject {
                Ok(Subject::Object(view)) => view,
                Ok(Subject::NotApplicable(reason)) => return Look::NotLoadable(ident, reason.reason().into()),
                Err(error) => return Look::NotLoadable(ident, error.to_string().into()),
            };
            let shown = path.as_path().to_owned();
            let key = BString::from(path.as_path().as_os_str().as_bytes());
            let object =
                Object::of(&view, key.clone(), file.identity, file.mode).with_capabilities(file.has_capabilities);
            let facts = self.facts.put(key, Arc::new(Facts::of_found(&view, shown, object)));
            Look::Object(Arc::clone(&facts.object))
        });
        looked.unwrap_or_else(|error| unreadable(&error))
    }

    fn folder(&self, path: &BStr) -> Option<Arc<Folder>> {
        if let Some(known) = self.folders.get(path) {
            return known;
        }
        let folder = self.list(path).map(Arc::new);
        self.folders.put(path.to_owned(), folder)
    }

    fn list(&self, path: &BStr) -> Option<Folder> {
        if leads_nowhere(path) {
            return None;
        }
        let found = self.resolve(&image_path(path))?;
        if !self.is_within(found.as_path().as_os_str().as_bytes().as_bstr()) {
            return None;
        }
        let listing = self.source.directory(&found).ok()?;
        let names = listing.names.map(|names| {
            let names = names.into_iter().map(|name| BString::from(name.into_vec()));
            names.collect::<HashSet<BString>>()
        });
        let has = |folder: &str| names.as_ref().is_none_or(|names| names.contains(folder.as_bytes()));
        let has_hardware_folders = HARDWARE_FOLDERS.iter().any(|name| has(name));
        let real = BString::from(found.as_path().as_os_str().as_bytes());
        let place = RealDirectory { real, inode: self.source.inode(&found) };
        Some(Folder { names, world_writable: listing.is_world_writable, has_hardware_folders, place })
    }

    /// Whether a canonical path is in what is looked at.
    pub(super) fn is_within(&self, path: &BStr) -> bool {
        let Some(within) = &self.within else { return true };
        let path = Path::new(OsStr::from_bytes(path));
        path.ancestors().any(|above| within.contains(above.as_os_str().as_bytes().as_bstr()))
    }

    /// Whether the nearest directory above a missing one is world-writable.
    fn anybody_could_make(&self, path: &BStr) -> bool {
        // Links of an image lead into the image.
        let is_directory = |found: &ImagePath| matches!(self.source.kind(found), Ok(EntryKind::Directory));
        let resolved = |above: &Path| self.resolve(&ImagePath::new(above)).filter(is_directory);
        let nearest = || {
            let above: Vec<&Path> = Path::new(OsStr::from_bytes(path)).ancestors().skip(1).collect();
            // Where one is there, all above it are: half of those that are left go with each question.
            let missing = above.partition_point(|above| resolved(above).is_none());
            above.get(missing).and_then(|above| resolved(above))
        };
        self.within.is_none()
            && !leads_nowhere(path)
            && nearest().is_some_and(|directory| self.source.is_world_writable(&directory))
    }
}

/// Whether a path is so long that no system opens anything by it.
fn leads_nowhere(path: &BStr) -> bool {
    path.len() >= LONGEST_PATH
}

/// The names of a path, the last one first.
fn names_of(path: &Path) -> Vec<OsString> {
    let names = path.components().rev().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    names.collect()
}

fn image_path(path: &BStr) -> ImagePath {
    ImagePath::new(OsStr::from_bytes(path))
}

/// Why there is no object at a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookError {
    /// Nothing is there.
    #[error("does not exist")]
    Missing,
    /// No object that a loader reads.
    #[error("{0}")]
    NoObject(&'static str),
    /// It cannot be read, or contradicts itself.
    #[error("{0}")]
    Unreadable(Arc<str>),
}

fn unreadable(error: &FileError) -> Look {
    if error.source.kind() == ErrorKind::PermissionDenied {
        return Look::Forbidden;
    }
    Look::NotLoadable(None, format!("{error}: {}", error.source).into())
}

impl FileSystem for SourceWorld {
    fn look(&self, directory: &BStr, name: &BStr) -> Look {
        let Some(folder) = self.folder(directory) else { return Look::Missing };
        if name.len() > LONGEST_NAME {
            return Look::Broken("the name is too long");
        }
        if !folder.may_have(name) {
            return Look::Missing;
        }
        let path = BString::from([directory.trim_end_with(|c| c == '/'), b"/", name.as_bytes()].concat());
        if let Some(known) = self.looks.get(&path) {
            return known;
        }
        let look = match self.source.resolve(&image_path(path.as_bstr())) {
            Ok(found) => self.look_at(&found),
            Err(error) => match error.kind() {
                ErrorKind::NotFound | ErrorKind::NotADirectory => Look::Missing,
                ErrorKind::PermissionDenied => Look::Forbidden,
                _ => Look::Broken("its links lead in a circle"),
            },
        };
        self.looks.put(path, look)
    }

    fn directory(&self, path: &BStr) -> DirectoryState {
        match self.folder(path) {
            Some(folder) => DirectoryState::Present {
                world_writable: folder.world_writable,
                has_hardware_folders: folder.has_hardware_folders,
            },
            None => self.missing.get(path).unwrap_or_else(|| {
                let anybody_could_make_it = self.anybody_could_make(path);
                self.missing.put(path.to_owned(), DirectoryState::Missing { anybody_could_make_it })
            }),
        }
    }

    fn whereabouts(&self, directory: &BStr) -> Option<RealDirectory> {
        Some(self.folder(directory)?.place.clone())
    }

    fn real(&self, path: &BStr) -> Option<BString> {
        if leads_nowhere(path) {
            return None;
        }
        let found = self.resolve(&image_path(path))?;
        Some(BString::from(found.into_path().into_os_string().into_vec()))
    }

    fn inode(&self, real: &BStr) -> Option<(u64, u64)> {
        self.source.inode(&image_path(real))
    }

    fn leads_to(&self, path: &BStr) -> Option<BString> {
        if leads_nowhere(path) {
            return None;
        }
        if let Some(known) = self.led.get(path) {
            return known;
        }
        let found = match self.source.resolve(&image_path(path)) {
            Ok(found) => Some(found.into_path()),
            Err(error) if error.kind() == ErrorKind::NotFound => self.follow(Path::new(OsStr::from_bytes(path))),
            Err(_) => None,
        };
        self.led.put(path.to_owned(), found.map(|found| found.into_os_string().into_vec().into()))
    }

    fn dangles(&self, directory: &BStr, name: &BStr) -> Option<BString> {
        let folder = self.folder(directory)?;
        folder.names.as_ref()?.contains(name.as_bytes()).then_some(())?;
        let path = BString::from([directory.trim_end_with(|c| c == '/'), b"/", name.as_bytes()].concat());
        self.leads_to(path.as_bstr())
    }

    fn read(&self, path: &BStr) -> Option<Vec<u8>> {
        let found = self.resolve(&image_path(path))?;
        self.is_within(found.as_path().as_os_str().as_bytes().as_bstr()).then_some(())?;
        self.source.read(&found, LARGEST_SYSTEM_FILE)
    }
}

impl TargetWorld for SourceWorld {
    fn names(&self, directory: &BStr) -> Option<Vec<BString>> {
        let mut names: Vec<BString> = self.folder(directory)?.names.iter().flatten().cloned().collect();
        names.sort();
        Some(names)
    }
}

impl World for SourceWorld {
    fn facts(&self, object: &Object) -> Option<Arc<Facts>> {
        self.facts.get(&object.path)
    }

    fn wrapper(&self, object: &Object) -> Option<&Wrapper> {
        self.wrappers.get(&object.path)
    }
}
