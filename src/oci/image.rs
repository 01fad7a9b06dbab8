//! A saved image: its layers as one tree.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use bstr::ByteSlice;
use sha2::{Digest as _, Sha256};

use super::documents::{Chosen, choose, is_digest};
use super::error::ImageError;
use super::layer::apply;
use super::overlay::{LayerRange, Overlay};
use super::pack::Compression;
use super::platform::ImagePlatform;
use super::store::{ImageFolder, ImageStore};
use super::stream::{Readers, Slice, Storage, Stream};
use super::tar_entries::{TarEntry, TarKind, each_entry};

/// Docker has 127 at most, containers/storage 500.
const MOST_LAYERS: usize = 1024;
/// Entries of all layers together. The largest image that is known has two million.
const MOST_ENTRIES: u64 = 16 << 20;
/// Bytes of the names of all entries.
const MOST_NAMES: u64 = 4 << 30;

/// An image with its layers applied.
pub struct SavedImage {
    tree: Overlay,
    layers: Vec<Arc<Stream>>,
    /// Where each layer lies, to read all in order.
    places: Vec<u64>,
    readers: Arc<Readers>,
    environment: Vec<String>,
    platform: ImagePlatform,
}

impl fmt::Debug for SavedImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SavedImage").field("platform", &self.platform).finish_non_exhaustive()
    }
}

impl Drop for SavedImage {
    /// Readers hold streams, which hold the readers.
    fn drop(&mut self) {
        self.readers.clear();
    }
}

/// The bytes of a file in an image.
pub(crate) enum FileContents {
    /// Where they lie.
    Slice(Slice),
    /// Unpacked.
    Unpacked(Vec<u8>),
}

impl SavedImage {
    /// That of an archive.
    ///
    /// # Errors
    /// [`ImageError`] says why there is none, or none that can be judged.
    pub fn of_archive(archive: Arc<dyn Storage>, wanted: Option<&ImagePlatform>) -> Result<Self, ImageError> {
        let readers = Arc::new(Readers::default());
        let archive = Stream::of(archive, &readers).map_err(ImageError::read("the archive"))?;
        let opened = ImageStore::of_archive(archive).and_then(|store| Self::of(&store, readers.clone(), wanted));
        opened.inspect_err(|_| readers.clear())
    }

    /// That of a directory.
    ///
    /// # Errors
    /// As [`Self::of_archive`].
    pub fn of_folder(folder: Box<dyn ImageFolder>, wanted: Option<&ImagePlatform>) -> Result<Self, ImageError> {
        let readers = Arc::new(Readers::default());
        let store = ImageStore::of_folder(folder, Arc::clone(&readers));
        Self::of(&store, Arc::clone(&readers), wanted).inspect_err(|_| readers.clear())
    }

    fn of(store: &ImageStore, readers: Arc<Readers>, wanted: Option<&ImagePlatform>) -> Result<Self, ImageError> {
        let Chosen { mut configuration, layers: named } = choose(store, wanted)?;
        if !matches!(configuration.platform.os.as_str(), "" | "linux") {
            let why = format!("it is for {}, and only what Linux loads is judged", configuration.platform);
            return Err(ImageError::Choice(why));
        }
        if named.len() > MOST_LAYERS {
            return Err(ImageError::TooMany { what: "layers", limit: 1024 });
        }
        let digests = configuration.layers();
        if digests.len() != named.len() {
            let why = format!("it has the digests of {} layers, and the manifest names {}", digests.len(), named.len());
            return Err(ImageError::Document { name: "the configuration".into(), why });
        }
        let mut layers = Vec::with_capacity(named.len());
        for layer in &named {
            let name = layer.part.as_bytes().as_bstr();
            layers.push(match (store.part(name)?, &layer.url) {
                (Some(found), _) => found,
                (None, Some(url)) => {
                    return Err(ImageError::Foreign { digest: layer.part.clone(), url: url.clone() });
                }
                (None, None) => return Err(ImageError::missing("layer", name)),
            });
        }
        let places: Vec<u64> = named
            .iter()
            .map(|layer| store.place(layer.part.as_bytes().as_bstr()).map_or(0, |(start, _)| start))
            .collect();
        // In a packed archive the layers are read in the order in which they lie; one that is applied twice, once.
        let mut order: Vec<usize> = (0..named.len()).collect();
        order.sort_by_key(|index| (places.get(*index), named.get(*index).map(|layer| &layer.part)));
        let mut scanned: HashMap<&str, Vec<TarEntry>> = HashMap::new();
        let mut budget = LayerBudget { entries: MOST_ENTRIES, names: MOST_NAMES };
        for index in order {
            let (Some(layer), Some(stream), Some(digest)) = (named.get(index), layers.get(index), digests.get(index))
            else {
                continue;
            };
            if !scanned.contains_key(layer.part.as_str()) {
                scanned.insert(&layer.part, scan(&layer.part, stream, digest, &mut budget)?);
            }
        }
        let mut tree = Overlay::new();
        for (index, layer) in named.iter().enumerate() {
            let number = u32::try_from(index).unwrap_or(u32::MAX);
            // One part can be several layers.
            let entries = scanned.get(layer.part.as_str()).map(Vec::as_slice).unwrap_or_default();
            apply(&mut tree, number, entries)?;
        }
        let environment = configuration.environment();
        Ok(Self { tree, layers, places, readers, environment, platform: configuration.platform })
    }

    /// Its files.
    #[must_use]
    pub(crate) fn tree(&self) -> &Overlay {
        &self.tree
    }

    /// What its programs are started with, `NAME=VALUE`.
    #[must_use]
    pub fn environment(&self) -> &[String] {
        &self.environment
    }

    /// The bytes of a file, which are unpacked if there are no more than `limit` of them.
    ///
    /// # Errors
    /// There are more, or they cannot be read any more.
    pub(crate) fn contents(&self, of: &LayerRange, limit: u64) -> io::Result<FileContents> {
        let layer = usize::try_from(of.layer).ok().and_then(|layer| self.layers.get(layer));
        let layer = layer.ok_or(io::ErrorKind::NotFound)?;
        if let Some(slice) = layer.slice(of.offset, of.len) {
            return Ok(FileContents::Slice(slice));
        }
        if of.len > limit {
            return Err(io::Error::other(format!(
                "it has {} bytes in a packed layer, and no more than {limit} are unpacked into memory",
                of.len
            )));
        }
        layer.read(of.offset, of.len).map(FileContents::Unpacked)
    }

    /// Where a file's bytes lie: in this order all are read in one go.
    #[must_use]
    pub(crate) fn place(&self, of: &LayerRange) -> (u64, u32, u64) {
        let place = usize::try_from(of.layer).ok().and_then(|layer| self.places.get(layer));
        (place.copied().unwrap_or(0), of.layer, of.offset)
    }
}

/// What all layers together may still have.
struct LayerBudget {
    entries: u64,
    names: u64,
}

impl LayerBudget {
    fn take(&mut self, entry: &TarEntry) -> Result<(), ImageError> {
        let link = match &entry.kind {
            TarKind::Link(to) | TarKind::HardLink(to) => to.len(),
            TarKind::File | TarKind::Directory | TarKind::Special => 0,
        };
        let bytes = u64::try_from(entry.name.len().saturating_add(link)).unwrap_or(u64::MAX);
        let left = |left: u64, taken, what, limit| left.checked_sub(taken).ok_or(ImageError::TooMany { what, limit });
        self.entries = left(self.entries, 1, "entries", MOST_ENTRIES)?;
        self.names = left(self.names, bytes, "bytes of names", MOST_NAMES)?;
        Ok(())
    }
}

/// An error of the archive or of what is made of it.
enum ScanError {
    Read(io::Error),
    Image(ImageError),
}

impl From<io::Error> for ScanError {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

/// The entries of a layer, whose bytes are those of its digest.
fn scan(part: &str, layer: &Arc<Stream>, digest: &str, budget: &mut LayerBudget) -> Result<Vec<TarEntry>, ImageError> {
    let failed = || ImageError::read(format!("layer {part}"));
    let mut reader = Hashing { read: layer.reader(0).map_err(failed())?, hash: Sha256::new() };
    let (mut entries, mut start) = (Vec::new(), Vec::new());
    let mut take = |mut entry: TarEntry, contents: &mut dyn Read| {
        start.clear();
        contents.take(4).read_to_end(&mut start)?;
        for (byte, read) in entry.start.iter_mut().zip(&start) {
            *byte = *read;
        }
        budget.take(&entry).map_err(ScanError::Image)?;
        entries.push(entry);
        Ok(())
    };
    match each_entry(&mut reader, &mut take) {
        Ok(()) => {}
        Err(ScanError::Image(error)) => return Err(error),
        Err(ScanError::Read(source)) => return Err(failed()(unknown_packing(layer, source))),
    }
    io::copy(&mut reader, &mut io::sink()).map_err(failed())?;
    is_digest(&format!("layer {part}"), &reader.hash.finalize(), digest)?;
    Ok(entries)
}

/// What is no archive may be packed in a way that is not known.
fn unknown_packing(layer: &Arc<Stream>, error: io::Error) -> io::Error {
    if layer.packing() != Compression::Plain {
        return error;
    }
    let start = layer.read(0, 6).unwrap_or_default();
    let name = match start.as_slice() {
        [b'B', b'Z', b'h', ..] => "bzip2",
        [0xfd, b'7', b'z', b'X', b'Z', 0] => "xz",
        _ => return error,
    };
    io::Error::new(io::ErrorKind::InvalidData, format!("it is packed with {name}"))
}

struct Hashing<R> {
    read: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.read.read(buffer)?;
        self.hash.update(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}
