//! Bytes that may be packed, read from any place. Where they are packed, a reader that got somewhere is kept: what is asked
//! for in the order in which it lies is unpacked once.

use std::fmt;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use super::pack::{Compression, MAGIC};

/// The bytes of a file, or of a part of an image that is one.
pub trait Storage: Send + Sync {
    /// All of them.
    fn bytes(&self) -> &[u8];

    /// They are what they were when they were opened.
    ///
    /// # Errors
    /// What became of them.
    fn check_whole(&self) -> io::Result<()>;
}

/// Bytes in memory.
impl Storage for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn check_whole(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A range of bytes that are at hand.
#[derive(Clone)]
pub(crate) struct Slice {
    storage: Arc<dyn Storage>,
    start: usize,
    end: usize,
}

impl Slice {
    pub(super) fn whole(storage: Arc<dyn Storage>) -> Self {
        let end = storage.bytes().len();
        Self { storage, start: 0, end }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.storage.bytes().get(self.start..self.end).unwrap_or_default()
    }

    pub(crate) fn check_whole(&self) -> io::Result<()> {
        self.storage.check_whole()
    }

    fn len(&self) -> u64 {
        u64::try_from(self.bytes().len()).unwrap_or(u64::MAX)
    }

    fn part(&self, start: u64, len: u64) -> Option<Self> {
        let start = self.start.checked_add(usize::try_from(start).ok()?)?;
        let end = start.checked_add(usize::try_from(len).ok()?)?;
        (end <= self.end).then(|| Self { storage: Arc::clone(&self.storage), start, end })
    }
}

impl Read for Slice {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut rest = Slice::bytes(self);
        let read = rest.read(buffer)?;
        self.start = self.start.saturating_add(read);
        Ok(read)
    }
}

/// Where a stream's own bytes come from.
#[derive(Clone)]
enum Base {
    AtHand(Slice),
    /// A range of what another stream unpacks to.
    Within(Arc<Stream>, u64, u64),
}

impl Base {
    fn len(&self) -> u64 {
        match self {
            Self::AtHand(slice) => slice.len(),
            Self::Within(_, _, len) => *len,
        }
    }

    fn part(&self, start: u64, len: u64) -> Option<Self> {
        match self {
            Self::AtHand(slice) => slice.part(start, len).map(Self::AtHand),
            Self::Within(stream, from, all) => {
                let is_inside = start.checked_add(len)? <= *all;
                is_inside.then(|| Some(Self::Within(Arc::clone(stream), from.checked_add(start)?, len)))?
            }
        }
    }

    fn reader(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Self::AtHand(slice) => Box::new(slice.clone()),
            Self::Within(stream, start, len) => Box::new(stream.reader(*start)?.take(*len)),
        })
    }
}

/// A stream of bytes, unpacked.
pub(crate) struct Stream {
    base: Base,
    packing: Compression,
    readers: Arc<Readers>,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("packing", &self.packing).field("len", &self.base.len()).finish()
    }
}

impl Stream {
    /// That of a whole file.
    pub(super) fn of(storage: Arc<dyn Storage>, readers: &Arc<Readers>) -> io::Result<Arc<Self>> {
        Self::new(Base::AtHand(Slice::whole(storage)), readers)
    }

    fn new(base: Base, readers: &Arc<Readers>) -> io::Result<Arc<Self>> {
        let mut start = Vec::new();
        base.reader()?.take(u64::try_from(MAGIC).unwrap_or(0)).read_to_end(&mut start)?;
        Ok(Arc::new(Self { base, packing: Compression::of(&start), readers: Arc::clone(readers) }))
    }

    /// How it is packed.
    pub(super) fn packing(&self) -> Compression {
        self.packing
    }

    /// A part of what it unpacks to, which may itself be packed.
    pub(super) fn part(self: &Arc<Self>, start: u64, len: u64) -> io::Result<Arc<Self>> {
        let part = match self.packing {
            Compression::Plain => self.base.part(start, len).ok_or(io::ErrorKind::UnexpectedEof)?,
            Compression::Gzip | Compression::Zstd => Base::Within(Arc::clone(self), start, len),
        };
        Self::new(part, &self.readers)
    }

    /// A range of it, if it lies somewhere as it is.
    pub(crate) fn slice(&self, start: u64, len: u64) -> Option<Slice> {
        match (&self.base, self.packing) {
            (Base::AtHand(slice), Compression::Plain) => slice.part(start, len),
            _ => None,
        }
    }

    /// Reads from a place on.
    pub(crate) fn reader(self: &Arc<Self>, at: u64) -> io::Result<StreamReader> {
        if self.packing == Compression::Plain {
            let left = self.base.len().checked_sub(at).ok_or(io::ErrorKind::UnexpectedEof)?;
            let part = self.base.part(at, left).ok_or(io::ErrorKind::UnexpectedEof)?;
            return Ok(StreamReader { place: Some(KeptReader { at, read: part.reader()? }), home: None });
        }
        let mut place = match self.readers.take(self, at) {
            Some(place) => place,
            None => KeptReader { at: 0, read: self.packing.unpack(self.base.reader()?, self.base.len()) },
        };
        let ahead = at.saturating_sub(place.at);
        let skipped = io::copy(&mut (&mut place.read).take(ahead), &mut io::sink())?;
        if skipped < ahead {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        place.at = at;
        Ok(StreamReader { place: Some(place), home: Some(Arc::clone(self)) })
    }

    /// A range of it, into memory.
    pub(crate) fn read(self: &Arc<Self>, start: u64, len: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.reader(start)?.take(len).read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len()) != Ok(len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(bytes)
    }

    fn is(self: &Arc<Self>, other: &Arc<Self>) -> bool {
        Arc::ptr_eq(self, other)
    }
}

/// A reader that got somewhere.
struct KeptReader {
    at: u64,
    read: Box<dyn Read + Send>,
}

/// Readers of packed streams that may go on where they are. One of Zstandard holds its window, megabytes: there are few.
#[derive(Default)]
pub(crate) struct Readers(Mutex<Vec<(Arc<Stream>, KeptReader)>>);

const MOST_READERS: usize = 16;

impl Readers {
    /// The one of a stream that is nearest before a place.
    fn take(&self, stream: &Arc<Stream>, at: u64) -> Option<KeptReader> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = kept.iter().enumerate().filter(|(_, (of, place))| of.is(stream) && place.at <= at);
        let (nearest, _) = before.max_by_key(|(_, (_, place))| place.at)?;
        Some(kept.remove(nearest).1)
    }

    fn put(&self, stream: Arc<Stream>, place: KeptReader) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push((stream, place));
        let oldest = (kept.len() > MOST_READERS).then(|| kept.remove(0));
        // It may hold a reader of the stream around it, which comes here when it goes.
        drop(kept);
        drop(oldest);
    }

    /// Lets go of all.
    pub(super) fn clear(&self) {
        loop {
            let kept = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
            if kept.is_empty() {
                return;
            }
            drop(kept);
        }
    }
}

/// Reads a stream; when it goes, another one may go on from where it was.
pub(crate) struct StreamReader {
    place: Option<KeptReader>,
    home: Option<Arc<Stream>>,
}

impl Read for StreamReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(place) = &mut self.place else { return Ok(0) };
        match place.read.read(buffer) {
            // At its end there is nothing to go on with.
            Ok(0) if !buffer.is_empty() => {
                self.place = None;
                Ok(0)
            }
            Ok(read) => {
                place.at = place.at.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
                Ok(read)
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::Interrupted {
                    self.place = None;
                }
                Err(error)
            }
        }
    }
}

impl Drop for StreamReader {
    fn drop(&mut self) {
        if let (Some(place), Some(home)) = (self.place.take(), self.home.take()) {
            let readers = Arc::clone(&home.readers);
            readers.put(home, place);
        }
    }
}
