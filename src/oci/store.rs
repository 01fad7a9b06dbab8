//! What an image's parts lie in: the entries of an archive, or the files of a directory.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bstr::{BStr, BString, ByteSlice};

use super::error::ImageError;
use super::pack::Compression;
use super::stream::{Readers, Storage, Stream};
use super::tar_entries::{TarEntry, TarKind, each_entry};

/// The files of a directory that holds an image.
pub trait ImageFolder: Send + Sync {
    /// The regular file at a path in it; `None` where there is none. No link leads out of it.
    ///
    /// # Errors
    /// What the system says.
    fn open(&self, path: &BStr) -> io::Result<Option<Arc<dyn Storage>>>;
}

/// Bytes of a document. A configuration tells of every layer; the largest that is known has a third of this, and registries
/// take no larger manifest.
const LARGEST_DOCUMENT: u64 = 4 << 20;
/// Bytes of documents that are kept while an archive is read for the first time.
const MOST_KEPT: usize = 64 << 20;
/// Entries of an archive, which has a few for each layer.
const MOST_PARTS: usize = 1 << 20;
/// Links from one entry of an archive to another.
const MOST_LINKS: usize = 8;

pub(super) enum ImagePart {
    At(u64, u64),
    Link(BString),
}

/// Bytes of all documents that are read, each as often as it is: one can have many names.
const MOST_DOCUMENTS: u64 = 256 << 20;
/// Documents for which an archive is unpacked from its start once more. Those that tools write are kept at the first time.
const MOST_RETURNS: u64 = 16;

/// The parts of an image by name.
pub(super) struct ImageStore {
    parts: Parts,
    /// Bytes of documents that may still be read.
    bytes: AtomicU64,
    /// See [`MOST_RETURNS`].
    returns: AtomicU64,
}

enum Parts {
    Archive { archive: Arc<Stream>, parts: HashMap<BString, ImagePart>, kept: HashMap<BString, Vec<u8>> },
    InFolder { folder: Box<dyn ImageFolder>, readers: Arc<Readers> },
}

/// Takes so much of what is left.
fn spend(left: &AtomicU64, amount: u64, what: &'static str, limit: u64) -> Result<(), ImageError> {
    let spent = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(amount));
    spent.map(|_| ()).map_err(|_| ImageError::TooMany { what, limit })
}

impl ImageStore {
    fn new(parts: Parts) -> Self {
        Self { parts, bytes: AtomicU64::new(MOST_DOCUMENTS), returns: AtomicU64::new(MOST_RETURNS) }
    }

    /// That of a directory.
    pub(super) fn of_folder(folder: Box<dyn ImageFolder>, readers: Arc<Readers>) -> Self {
        Self::new(Parts::InFolder { folder, readers })
    }

    /// What it is, in words.
    pub(super) fn kind(&self) -> &'static str {
        match self.parts {
            Parts::Archive { .. } => "a tar archive",
            Parts::InFolder { .. } => "a directory",
        }
    }

    /// That of an archive, whose entries are gone through once.
    ///
    /// # Errors
    /// It cannot be read to its end, or has too many entries.
    pub(super) fn of_archive(archive: Arc<Stream>) -> Result<Self, ImageError> {
        let (mut parts, mut kept) = (HashMap::new(), HashMap::new());
        let mut kept_bytes = 0_usize;
        let mut take = |entry: TarEntry, contents: &mut dyn Read| -> Result<(), io::Error> {
            let name = plain(entry.name.as_bstr());
            let part = match entry.kind {
                TarKind::File => ImagePart::At(entry.offset, entry.len),
                TarKind::Link(to) => ImagePart::Link(beside(name.as_bstr(), to.as_bstr())),
                TarKind::HardLink(to) => ImagePart::Link(plain(to.as_bstr())),
                TarKind::Directory | TarKind::Special => return Ok(()),
            };
            kept.remove(&name);
            if entry.len <= LARGEST_DOCUMENT && kept_bytes < MOST_KEPT && name.ends_with(b".json") | is_blob(&name) {
                let mut bytes = Vec::new();
                contents.take(1).read_to_end(&mut bytes)?;
                if matches!(bytes.first(), Some(b'{' | b'[')) {
                    contents.read_to_end(&mut bytes)?;
                    kept_bytes = kept_bytes.saturating_add(bytes.len());
                    kept.insert(name.clone(), bytes);
                }
            }
            // An entry of the same name behind it is the one that unpacking leaves.
            parts.insert(name, part);
            if parts.len() > MOST_PARTS { Err(io::Error::other("too many entries")) } else { Ok(()) }
        };
        let told = archive.reader(0).and_then(|reader| each_entry(reader, &mut take));
        told.map_err(ImageError::read("the archive"))?;
        Ok(Self::new(Parts::Archive { archive, parts, kept }))
    }

    /// A part, which may be packed; `None` where there is none.
    pub(super) fn part(&self, name: &BStr) -> Result<Option<Arc<Stream>>, ImageError> {
        let failed = || ImageError::read(name.to_string());
        match &self.parts {
            Parts::InFolder { folder, readers } => {
                let file = folder.open(name).map_err(failed())?;
                file.map(|file| Stream::of(file, readers)).transpose().map_err(failed())
            }
            Parts::Archive { archive, .. } => {
                let Some((start, len)) = self.place(name) else { return Ok(None) };
                archive.part(start, len).map(Some).map_err(failed())
            }
        }
    }

    /// Where a part of an archive lies in it; how far, to read all of them in order.
    pub(super) fn place(&self, name: &BStr) -> Option<(u64, u64)> {
        let Parts::Archive { parts, .. } = &self.parts else { return None };
        match parts.get(self.target(name)?)? {
            ImagePart::At(start, len) => Some((*start, *len)),
            ImagePart::Link(_) => None,
        }
    }

    /// The name of the entry that an entry of an archive leads to: itself, where it is no link.
    fn target<'n>(&'n self, name: &'n BStr) -> Option<&'n BStr> {
        let Parts::Archive { parts, .. } = &self.parts else { return None };
        let mut name = name;
        for _ in 0..MOST_LINKS {
            match parts.get(name)? {
                ImagePart::At(..) => return Some(name),
                ImagePart::Link(to) => name = to.as_bstr(),
            }
        }
        None
    }

    /// A whole document; `None` where there is none.
    pub(super) fn document(&self, name: &BStr) -> Result<Option<Vec<u8>>, ImageError> {
        let spend = |len| spend(&self.bytes, len, "bytes of documents", MOST_DOCUMENTS);
        if let Parts::Archive { kept, archive, .. } = &self.parts {
            if let Some(kept) = self.target(name).and_then(|target| kept.get(target)) {
                spend(len64(kept))?;
                return Ok(Some(kept.clone()));
            }
            if archive.packing() != Compression::Plain {
                self::spend(&self.returns, 1, "documents without a usual name in a packed archive", MOST_RETURNS)?;
            }
        }
        let Some(part) = self.part(name)? else { return Ok(None) };
        let mut bytes = Vec::new();
        let reader = part.reader(0).map_err(ImageError::read(name.to_string()))?;
        let limit = LARGEST_DOCUMENT.saturating_add(1);
        reader.take(limit).read_to_end(&mut bytes).map_err(ImageError::read(name.to_string()))?;
        if len64(&bytes) >= limit {
            return Err(ImageError::Document { name: name.to_string(), why: "it has more than 4 MiB".into() });
        }
        spend(len64(&bytes))?;
        Ok(Some(bytes))
    }
}

fn len64(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn is_blob(name: &[u8]) -> bool {
    name.starts_with(b"blobs/")
}

/// An entry's name without what tar programs put in front.
fn plain(name: &BStr) -> BString {
    let parts = name.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".");
    BString::from(bstr::join("/", parts))
}

/// What a link leads to from where it stands; nothing has a name with `..` in it.
fn beside(name: &BStr, to: &BStr) -> BString {
    let mut parts: Vec<&[u8]> = name.split(|byte| *byte == b'/').collect();
    parts.pop();
    for part in to.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    BString::from(bstr::join("/", parts))
}
