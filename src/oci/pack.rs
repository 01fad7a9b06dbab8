//! How bytes are packed, and how they are unpacked in one go from the start: gzip with many members, Zstandard with many
//! frames and with frames to skip.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// How a stream is packed. What a media type says is not asked: registries and tools get it wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Plain,
    Gzip,
    Zstd,
}

/// Bytes that tell how a stream is packed.
pub(super) const MAGIC: usize = 4;

/// What a packed stream may unpack to: layers of nothing but text come to a tenth, one with a sparse file
/// (`/var/log/lastlog`) to a thousandth.
const ALWAYS: u64 = 16 << 30;
/// And how many times its own size.
const TIMES: u64 = 100;

/// Bytes of packed input that are read at once.
const BUFFER: usize = 1 << 16;

impl Compression {
    /// From the first four bytes (RFC 1952, 2.3.1; RFC 8878, 3.1.1 and 3.1.2).
    pub(super) fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::Plain,
        }
    }

    /// A reader of what is packed in `packed`, which has `len` bytes.
    pub(super) fn unpack(self, packed: impl Read + Send + 'static, len: u64) -> Box<dyn Read + Send> {
        let packed = BufReader::with_capacity(BUFFER, packed);
        let left = ALWAYS.saturating_add(len.saturating_mul(TIMES));
        match self {
            Self::Plain => Box::new(packed),
            Self::Gzip => Box::new(Bounded { read: MultiGzDecoder::new(packed), left }),
            Self::Zstd => Box::new(Bounded { read: Frames::new(packed), left }),
        }
    }
}

/// An end to what a small file can unpack to.
struct Bounded<R> {
    read: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.read.read(buffer)?;
        self.left = u64::try_from(read).ok().and_then(|read| self.left.checked_sub(read)).ok_or_else(|| {
            io::Error::other(format!("it unpacks to more than {TIMES} times its size and {} GiB", ALWAYS >> 30))
        })?;
        Ok(read)
    }
}

/// The frames of a Zstandard stream, one behind the other.
struct Frames<R> {
    packed: BufReader<R>,
    decoder: FrameDecoder,
    is_in_frame: bool,
}

impl<R: Read> Frames<R> {
    fn new(packed: BufReader<R>) -> Self {
        Self { packed, decoder: FrameDecoder::new(), is_in_frame: false }
    }

    /// Begins with the next frame; there may be none.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.packed.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.packed) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let length = u64::from(length);
                    if io::copy(&mut (&mut self.packed).take(length), &mut io::sink())? < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error.to_string())),
            }
        }
        Ok(false)
    }
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !buffer.is_empty() {
            if !self.is_in_frame {
                self.is_in_frame = self.next_frame()?;
                if !self.is_in_frame {
                    return Ok(0);
                }
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut self.packed, one).map_err(|e| io::Error::other(e.to_string()))?;
            }
            let read = self.decoder.read(buffer)?;
            if read > 0 {
                return Ok(read);
            }
            self.is_in_frame = false;
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As an attacker's file of kilobytes would, but to bytes.
    #[test]
    fn what_unpacks_to_too_much_ends() {
        let mut bounded = Bounded { read: io::repeat(0), left: 1000 };
        let mut buffer = [0; 600];
        assert_eq!(bounded.read(&mut buffer).unwrap(), 600);
        let error = bounded.read(&mut buffer).unwrap_err();
        assert_eq!(error.to_string(), "it unpacks to more than 100 times its size and 16 GiB");
    }
}
