//! What an image's parts lie in: the entries of an archive, or the files of a directory.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};

use super::error::ImageError;
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

/// Bytes of a document. A configuration tells of every layer; the largest that is known has a tenth of this.
const LARGEST_DOCUMENT: u64 = 16 << 20;
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

/// The parts of an image by name.
pub(super) enum ImageStore {
    Archive { archive: Arc<Stream>, parts: HashMap<BString, ImagePart>, kept: HashMap<BString, Vec<u8>> },
    InFolder { folder: Box<dyn ImageFolder>, readers: Arc<Readers> },
}

impl ImageStore {
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
        Ok(Self::Archive { archive, parts, kept })
    }

    /// A part, which may be packed; `None` where there is none.
    pub(super) fn part(&self, name: &BStr) -> Result<Option<Arc<Stream>>, ImageError> {
        let failed = || ImageError::read(name.to_string());
        match self {
            Self::InFolder { folder, readers } => {
                let file = folder.open(name).map_err(failed())?;
                file.map(|file| Stream::of(file, readers)).transpose().map_err(failed())
            }
            Self::Archive { archive, .. } => {
                let Some((start, len)) = self.place(name) else { return Ok(None) };
                archive.part(start, len).map(Some).map_err(failed())
            }
        }
    }

    /// Where a part of an archive lies in it; how far, to read all of them in order.
    pub(super) fn place(&self, name: &BStr) -> Option<(u64, u64)> {
        let Self::Archive { parts, .. } = self else { return None };
        let mut name = name;
        for _ in 0..MOST_LINKS {
            match parts.get(name)? {
                ImagePart::At(start, len) => return Some((*start, *len)),
                ImagePart::Link(to) => name = to.as_bstr(),
            }
        }
        None
    }

    /// A whole document; `None` where there is none.
    pub(super) fn document(&self, name: &BStr) -> Result<Option<Vec<u8>>, ImageError> {
        if let Self::Archive { kept, .. } = self
            && let Some(kept) = kept.get(name)
        {
            return Ok(Some(kept.clone()));
        }
        let Some(part) = self.part(name)? else { return Ok(None) };
        let mut bytes = Vec::new();
        let reader = part.reader(0).map_err(ImageError::read(name.to_string()))?;
        let limit = LARGEST_DOCUMENT.saturating_add(1);
        reader.take(limit).read_to_end(&mut bytes).map_err(ImageError::read(name.to_string()))?;
        if u64::try_from(bytes.len()).is_ok_and(|len| len >= limit) {
            return Err(ImageError::Document { name: name.to_string(), why: "it has more than 16 MiB".into() });
        }
        Ok(Some(bytes))
    }
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
