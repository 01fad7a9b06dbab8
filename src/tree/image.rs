//! The source that is a saved image: a tree of its layers, whose files are read where they lie in the archive.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::hash::BuildHasher;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use bstr::{BStr, ByteSlice};
use foldhash::quality::RandomState;

use super::host::HostSource;
use super::source::{EntryKind, FileBytes, IsWanted, Source, SourceDirectory, SourceFile};
use crate::fsio::{FileError, ImagePath, Site, Sysroot};
use crate::oci::{
    FileContents, ImageError, ImageFolder, ImagePlatform, LeadsNowhere, NodeId, NodeKind, SavedImage, Slice, Storage,
};

/// A file of a packed layer that is unpacked into memory. The largest library of CUDA has a quarter of this.
const LARGEST_UNPACKED: u64 = 4 << 30;
/// Every user may write.
const WORLD_WRITABLE: u32 = 0o002;
/// `S_IFREG`
const REGULAR: u32 = 0o100_000;

/// The files of a saved image.
#[derive(Debug)]
pub struct ImageSource {
    image: SavedImage,
    /// The directories that a walk came to, by a hash of their paths: what lies in one is looked up from there.
    walked: RwLock<HashMap<PathHash, NodeId>>,
    seeds: (RandomState, RandomState),
}

/// Two hashes of a path without links, by seeds of this run that no maker of an image knows.
type PathHash = (u64, u64);

/// A file of this machine that an image is in.
struct HostStorage(SourceFile);

impl Storage for HostStorage {
    fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    fn check_whole(&self) -> io::Result<()> {
        self.0.check_whole().map_err(|error| error.source)
    }
}

/// A directory of this machine that an image is in, by its descriptor: no link in it is followed.
struct HostFolder(HostSource);

impl ImageFolder for HostFolder {
    fn open(&self, path: &BStr) -> io::Result<Option<Arc<dyn Storage>>> {
        let path = ImagePath::new(OsString::from_vec([b"/", path.as_bytes()].concat()));
        match self.0.open(Site::at(&path), &|_| true) {
            Ok(Some(file)) => Ok(Some(Arc::new(HostStorage(file)))),
            // It has fewer bytes than a file of any kind that is known.
            Ok(None) => Ok(Some(Arc::new(Vec::new()))),
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.source),
        }
    }
}

/// The bytes of a file of an image where they lie.
struct LyingBytes(Slice, PathBuf);

impl FileBytes for LyingBytes {
    fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    fn check_whole(&self) -> Result<(), FileError> {
        self.0.check_whole().map_err(|source| FileError { path: self.1.clone(), action: "read it", source })
    }
}

impl ImageSource {
    /// The image in an archive.
    ///
    /// # Errors
    /// [`ImageError`] says why it cannot be judged.
    pub(crate) fn of_archive(archive: SourceFile, wanted: Option<&ImagePlatform>) -> Result<Self, ImageError> {
        Self::of_storage(Arc::new(HostStorage(archive)), wanted)
    }

    /// The same, wherever the archive is.
    ///
    /// # Errors
    /// [`ImageError`] says why it cannot be judged.
    pub fn of_storage(archive: Arc<dyn Storage>, wanted: Option<&ImagePlatform>) -> Result<Self, ImageError> {
        Ok(Self {
            image: SavedImage::of_archive(archive, wanted)?,
            walked: RwLock::default(),
            seeds: Default::default(),
        })
    }

    /// The image in a directory of this machine.
    ///
    /// # Errors
    /// [`ImageError`] says why it cannot be judged.
    pub(crate) fn of_folder(folder: Sysroot, wanted: Option<&ImagePlatform>) -> Result<Self, ImageError> {
        let folder = HostFolder(HostSource::new(folder));
        Ok(Self {
            image: SavedImage::of_folder(Box::new(folder), wanted)?,
            walked: RwLock::default(),
            seeds: Default::default(),
        })
    }

    /// What its programs are started with, `NAME=VALUE`.
    #[must_use]
    pub(crate) fn environment(&self) -> &[String] {
        self.image.environment()
    }

    fn at(&self, path: &ImagePath) -> io::Result<(NodeId, &NodeKind, u32)> {
        let id = match self.near(bytes(path)) {
            Some(id) => id,
            None => self.image.tree().stands_at(bytes(path)).map_err(nowhere)?,
        };
        let node = self.image.tree().node(id).ok_or(io::ErrorKind::NotFound)?;
        Ok((id, &node.kind, node.mode))
    }

    fn hash(&self, path: &BStr) -> PathHash {
        (self.seeds.0.hash_one(path.as_bytes()), self.seeds.1.hash_one(path.as_bytes()))
    }

    /// What stands at a path, where a walk came to that or to the directory that it is in.
    fn near(&self, path: &BStr) -> Option<NodeId> {
        let walked = self.walked.read().unwrap_or_else(PoisonError::into_inner);
        if walked.is_empty() {
            return None;
        }
        if let Some(known) = walked.get(&self.hash(path)) {
            return Some(*known);
        }
        let (above, name) = path.rsplit_once_str("/")?;
        if name.is_empty() || name == b"." || name == b".." {
            return None;
        }
        self.image.tree().child(*walked.get(&self.hash(above.as_bstr()))?, name.as_bstr())
    }
}

fn bytes(path: &ImagePath) -> &BStr {
    path.as_path().as_os_str().as_bytes().as_bstr()
}

fn nowhere(error: LeadsNowhere) -> io::Error {
    match error {
        LeadsNowhere::Missing => io::ErrorKind::NotFound.into(),
        LeadsNowhere::NoDirectory => io::ErrorKind::NotADirectory.into(),
        LeadsNowhere::Circle => io::Error::other("its links lead in a circle"),
    }
}

impl Source for ImageSource {
    fn resolve(&self, path: &ImagePath) -> io::Result<ImagePath> {
        let led = self.image.tree().resolve(bytes(path)).map_err(nowhere)?;
        Ok(ImagePath::new(OsString::from_vec(led.path().into())))
    }

    fn kind(&self, path: &ImagePath) -> io::Result<EntryKind> {
        Ok(match self.at(path)?.1 {
            NodeKind::Directory(_) => EntryKind::Directory,
            NodeKind::File(_) => EntryKind::File,
            NodeKind::Link(_) | NodeKind::Special => EntryKind::Other,
        })
    }

    fn link(&self, path: &ImagePath) -> Option<OsString> {
        match self.at(path).ok()?.1 {
            NodeKind::Link(text) => Some(OsString::from_vec(text.clone().into())),
            NodeKind::Directory(_) | NodeKind::File(_) | NodeKind::Special => None,
        }
    }

    fn directory(&self, path: &ImagePath) -> io::Result<SourceDirectory> {
        let (_, NodeKind::Directory(children), mode) = self.at(path)? else {
            return Err(io::ErrorKind::NotADirectory.into());
        };
        let names = children.keys().map(|name| OsStr::from_bytes(name).to_owned()).collect();
        Ok(SourceDirectory { names: Some(names), is_world_writable: mode & WORLD_WRITABLE != 0 })
    }

    fn inode(&self, path: &ImagePath) -> Option<(u64, u64)> {
        Some((0, self.at(path).ok()?.0.number()))
    }

    fn is_world_writable(&self, path: &ImagePath) -> bool {
        matches!(self.at(path), Ok((_, NodeKind::Directory(_), mode)) if mode & WORLD_WRITABLE != 0)
    }

    fn walk_into(&self, site: Site<'_>, found: &mut Vec<(ImagePath, EntryKind)>) -> io::Result<()> {
        let (_, NodeKind::Directory(children), _) = self.at(site.path())? else {
            return Err(io::ErrorKind::NotADirectory.into());
        };
        let mut below = Vec::new();
        for (name, child) in children {
            let kind = match self.image.tree().node(*child).map(|node| &node.kind) {
                Some(NodeKind::Directory(_)) => EntryKind::Directory,
                Some(NodeKind::File(_)) => EntryKind::File,
                Some(NodeKind::Link(_) | NodeKind::Special) | None => continue,
            };
            let path = ImagePath::new(site.path().as_path().join(OsStr::from_bytes(name)));
            if kind == EntryKind::Directory {
                below.push((self.hash(bytes(&path)), *child));
            }
            found.push((path, kind));
        }
        self.walked.write().unwrap_or_else(PoisonError::into_inner).extend(below);
        Ok(())
    }

    fn open(&self, site: Site<'_>, is_wanted: IsWanted<'_>) -> Result<Option<SourceFile>, FileError> {
        let path = site.path().as_path();
        let failed = |action, source| FileError { path: path.to_owned(), action, source };
        let (id, kind, mode) = self.at(site.path()).map_err(|e| failed("open it", e))?;
        let NodeKind::File(contents) = kind else {
            return Err(failed("open it", io::Error::other("not a regular file")));
        };
        if contents.len < 4 || !is_wanted(&contents.start) {
            return Ok(None);
        }
        let identity = (0, id.number());
        let mode = REGULAR | mode & 0o7777;
        let read = self.image.contents(contents, LARGEST_UNPACKED).map_err(|e| failed("read it", e))?;
        let file = match read {
            FileContents::Slice(slice) => SourceFile::new(LyingBytes(slice, path.to_owned()), identity, mode),
            FileContents::Unpacked(bytes) => SourceFile::new(bytes, identity, mode),
        };
        Ok(Some(file.with_capabilities(contents.has_capabilities && mode & 0o111 != 0)))
    }

    fn read(&self, path: &ImagePath, limit: u64) -> Option<Vec<u8>> {
        let (_, NodeKind::File(contents), _) = self.at(path).ok()? else { return None };
        if contents.len > limit {
            return None;
        }
        match self.image.contents(contents, limit).ok()? {
            FileContents::Slice(slice) => Some(slice.bytes().to_vec()),
            FileContents::Unpacked(bytes) => Some(bytes),
        }
    }

    fn place(&self, site: Site<'_>) -> Option<(u64, u32, u64)> {
        match self.at(site.path()) {
            Ok((_, NodeKind::File(contents), _)) => Some(self.image.place(contents)),
            _ => Some((0, 0, 0)),
        }
    }
}
