//! Zstandard frames (RFC 8878): cuBLASLt keeps most of its kernels in some, each with a cubin in it, outside of every fat
//! binary. No more of one is unpacked than its cubin's header and notes take; the sizes of the blocks lead to its end.

use ruzstd::decoding::FrameDecoder;

use super::capability::Variant;
use super::code::{Code, Tally};
use super::cubin::{self, CubinHeader};
use super::effort::Effort;
use super::empty::{LARGEST, has_nothing};
use super::fatbin;
use super::field::len;
use super::problem::CodeProblem;
use super::ptx;

/// What a frame begins with.
pub(super) const MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const BLOCK_HEADER: usize = 3;
/// The most that a block unpacks to.
const BLOCK: usize = 128 << 10;
const CHECKSUM: usize = 4;
/// Blocks that are unpacked at most, in search of the notes of a cubin: those of 13 MB begin at 450 KB.
const MOST_BLOCKS: usize = 32;
/// A step of [`Effort`].
const STEP: u64 = 1 << 10;

/// `Frame_Header`
#[derive(Clone, Copy, Debug)]
struct FrameHeader {
    /// Its own length, bytes.
    len: usize,
    /// `Frame_Content_Size`
    content_size: Option<u64>,
    /// What every block, packed or not, is no longer than.
    block_size: usize,
    has_checksum: bool,
}

/// `Block_Header`
#[derive(Clone, Copy, Debug)]
struct FrameBlock {
    /// Where the next one begins.
    end: usize,
    kind: BlockKind,
    is_last: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BlockKind {
    /// As it is.
    Raw(usize),
    /// One byte, so many times.
    Repeated(usize),
    Packed,
}

/// What a frame turns out to hold.
#[derive(Debug)]
pub(super) struct Framed {
    /// Its bytes, up to where its blocks are known.
    pub(super) end: usize,
    /// The code, where it is known.
    pub(super) code: Option<(Code, Tally)>,
    /// What it says that it unpacks to.
    pub(super) said: Option<u64>,
    /// What is not understood.
    pub(super) problem: Option<CodeProblem>,
}

/// Unpacks the first bytes of frames.
#[derive(Default)]
pub(super) struct Unpacker {
    decoder: Option<FrameDecoder>,
    packed: Vec<u8>,
    room: Vec<u8>,
}

/// Reads the frame at the start of `rest`; None when it is no frame, or none with GPU code.
///
/// # Errors
/// [`CodeProblem::Exhausted`]
pub(super) fn framed(
    rest: &[u8],
    at: u64,
    unpacker: &mut Unpacker,
    effort: &mut Effort,
) -> Result<Option<Framed>, CodeProblem> {
    let Some(header) = FrameHeader::read(rest) else { return Ok(None) };
    let Some(first) = header.block(rest, header.len) else { return Ok(None) };
    // Nothing that is wanted is one byte again and again.
    let is_wanted = match first.kind {
        BlockKind::Raw(_) => rest.get(header.len.saturating_add(BLOCK_HEADER)..).is_some_and(may_be_code),
        BlockKind::Repeated(_) => false,
        BlockKind::Packed => true,
    };
    if !is_wanted {
        return Ok(None);
    }
    let mut start = Start { rest, at, header, unpacker, effort, end: first.end };
    let Some(held) = start.held()? else { return Ok(None) };
    let end = start.end;
    let (code, problem) = match held {
        Ok(code) => (Some(code), None),
        Err(problem) => (None, Some(problem)),
    };
    let sizes = match header.sizes(rest, at, effort) {
        Ok(sizes) => sizes,
        Err(problem) => return Ok(Some(Framed { end, code: None, problem: Some(problem), said: None })),
    };
    let (known, most) = (sizes.least.max(code.map_or(0, |(_, unpacked)| unpacked)), sizes.most);
    let said = header.content_size;
    if let Some(value) = said.filter(|said| !(known..=most).contains(said)) {
        let problem = CodeProblem::Bounds { field: "Frame_Content_Size", at, value, least: known, most };
        return Ok(Some(Framed { end: sizes.end, code: None, problem: Some(problem), said: None }));
    }
    let code = code.map(|(held, _)| {
        let tally = Tally::one(held.is_empty, len(sizes.end), said.unwrap_or(known));
        (held.code, tally)
    });
    Ok(Some(Framed { end: sizes.end, code, problem, said }))
}

/// Whether the first bytes are those of something with GPU code.
fn may_be_code(start: &[u8]) -> bool {
    cubin::is_cubin(start) || fatbin::is_fatbin(start) || start.starts_with(ptx::MAGIC) || start.starts_with(b"//")
}

/// What is known of a frame's contents.
#[derive(Clone, Copy, Debug)]
struct Held {
    code: Code,
    is_empty: bool,
}

/// The first blocks of a frame, unpacked as far as is needed.
struct Start<'a> {
    rest: &'a [u8],
    at: u64,
    header: FrameHeader,
    unpacker: &'a mut Unpacker,
    effort: &'a mut Effort,
    /// Where the blocks end that were unpacked.
    end: usize,
}

/// The code and how many bytes were unpacked for it, or what is wrong with it; None when there is no GPU code.
type MaybeHeld = Option<Result<(Held, u64), CodeProblem>>;

impl Start<'_> {
    fn held(&mut self) -> Result<MaybeHeld, CodeProblem> {
        let (at, mut blocks, mut is_seen) = (self.at, 1_usize, false);
        loop {
            let so_far = at.saturating_add(len(self.end));
            let Some((start, is_all)) = self.unpack(blocks)? else {
                return Ok(is_seen.then_some(Err(CodeProblem::Cut { at, block: so_far })));
            };
            if !may_be_code(start) && (is_all || start.len() >= 64) {
                return Ok(None);
            }
            let unpacked = len(start.len());
            let is_last = is_all || blocks >= MOST_BLOCKS;
            blocks = blocks.saturating_mul(4).min(MOST_BLOCKS);
            if fatbin::is_fatbin(start) {
                return Ok(Some(Err(CodeProblem::Packed { at })));
            }
            if !cubin::is_cubin(start) {
                if let Some((code, tally)) = ptx::of_file(start) {
                    let is_empty = is_all && tally.empty > 0;
                    return Ok(Some(Ok((Held { code, is_empty }, unpacked))));
                }
                if is_last || start.len() >= 64 {
                    return Ok(None);
                }
                continue;
            }
            is_seen = true;
            if start.len() < 64 && !is_last {
                continue;
            }
            let header = match CubinHeader::read(start, at) {
                Ok(Some(header)) => header,
                Ok(None) => return Ok(None),
                Err(problem) => return Ok(Some(Err(problem))),
            };
            let noted = if header.needs_notes() { cubin::variant_in(start) } else { Some(Variant::Common) };
            if noted.is_none() && !is_last {
                continue;
            }
            let Some(code) = header.code(noted) else { return Ok(None) };
            if !is_all {
                let known = noted.map(|_| (Held { code, is_empty: false }, unpacked));
                return Ok(Some(known.ok_or(CodeProblem::Variant { at, architecture: code.architecture() })));
            }
            // Nothing is missing: its sections say more.
            let steps = cubin::steps(start);
            let held = cubin::raw(start, at).map(|whole| {
                let code = whole.map_or(code, |(code, _)| code);
                (Held { code, is_empty: start.len() <= LARGEST && has_nothing(code.kind, start) }, unpacked)
            });
            self.effort.spend(steps, at)?;
            return Ok(Some(held));
        }
    }

    /// The first blocks, and whether these are all; None for what is no frame.
    fn unpack(&mut self, blocks: usize) -> Result<Option<(&[u8], bool)>, CodeProblem> {
        let Unpacker { decoder, packed, room } = &mut *self.unpacker;
        packed.clear();
        // A frame of these blocks alone: what the whole one wants as a window does not matter.
        let exponent = blocks.next_power_of_two().trailing_zeros().saturating_add(7);
        packed.extend_from_slice(MAGIC);
        packed.extend([0, u8::try_from(exponent << 3).unwrap_or(u8::MAX)]);
        let (mut from, mut is_all) = (self.header.len, false);
        for count in 1..=blocks {
            let Some(block) = self.header.block(self.rest, from) else { return Ok(None) };
            let start = packed.len();
            packed.extend_from_slice(self.rest.get(from..block.end).unwrap_or_default());
            (from, is_all) = (block.end, block.is_last);
            if is_all || count == blocks {
                if let Some(header) = packed.get_mut(start) {
                    *header |= 1;
                }
                break;
            }
        }
        self.end = from;
        let most = blocks.saturating_mul(self.header.block_size);
        self.effort.spend(len(most).div_ceil(STEP), self.at)?;
        if room.len() < most {
            room.resize(most, 0);
        }
        let decoder = decoder.get_or_insert_with(FrameDecoder::new);
        let unpacked = decoder.decode_all(packed, room).ok().and_then(|unpacked| room.get(..unpacked));
        Ok(unpacked.map(|unpacked| (unpacked, is_all)))
    }
}

/// What the blocks of a frame say.
struct Sizes {
    /// Its bytes.
    end: usize,
    /// What it unpacks to.
    least: u64,
    most: u64,
}

impl FrameHeader {
    /// None for what is no header, or that of a frame with a dictionary, which stands elsewhere.
    fn read(rest: &[u8]) -> Option<Self> {
        let descriptor = *rest.strip_prefix(MAGIC)?.first()?;
        let (is_single, is_reserved) = (descriptor & 0x20 != 0, descriptor & 0x18 != 0);
        if is_reserved || descriptor & 3 != 0 {
            return None;
        }
        let mut at = MAGIC.len().saturating_add(1);
        let mut take = |count: usize| {
            let bytes = rest.get(at..at.checked_add(count)?)?;
            at = at.checked_add(count)?;
            let mut word = [0_u8; 8];
            word.get_mut(..count)?.copy_from_slice(bytes);
            Some(u64::from_le_bytes(word))
        };
        let window = if is_single { None } else { Some(take(1)?) };
        let content_size = match (descriptor >> 6, is_single) {
            (0, false) => None,
            (0, true) => Some(take(1)?),
            (1, _) => Some(take(2)?.saturating_add(256)),
            (2, _) => Some(take(4)?),
            _ => Some(take(8)?),
        };
        let window = match window {
            Some(byte) => {
                let base = 1_u64.checked_shl(u32::try_from(byte >> 3).ok()?.saturating_add(10))?;
                base.saturating_add((base >> 3).saturating_mul(byte & 7))
            }
            None => content_size?,
        };
        let block_size = usize::try_from(window).unwrap_or(BLOCK).min(BLOCK);
        Some(Self { len: at, content_size, block_size, has_checksum: descriptor & 4 != 0 })
    }

    /// The block at an index of `rest`; None for what is none, or reaches past the end.
    fn block(&self, rest: &[u8], at: usize) -> Option<FrameBlock> {
        let start = at.checked_add(BLOCK_HEADER)?;
        let header = rest.get(at..start)?.iter().rev().fold(0_u32, |word, byte| (word << 8) | u32::from(*byte));
        let size = usize::try_from(header >> 3).ok().filter(|size| *size <= self.block_size)?;
        let (kind, stored) = match (header >> 1) & 3 {
            0 => (BlockKind::Raw(size), size),
            1 => (BlockKind::Repeated(size), 1),
            2 => (BlockKind::Packed, size),
            _ => return None,
        };
        let end = start.checked_add(stored).filter(|end| *end <= rest.len())?;
        Some(FrameBlock { end, kind, is_last: header & 1 != 0 })
    }

    /// Steps from block to block to the end of the frame.
    fn sizes(&self, rest: &[u8], at: u64, effort: &mut Effort) -> Result<Sizes, CodeProblem> {
        let mut sizes = Sizes { end: self.len, least: 0, most: 0 };
        loop {
            effort.spend(1, at)?;
            let cut = || CodeProblem::Cut { at, block: at.saturating_add(len(sizes.end)) };
            let block = self.block(rest, sizes.end).ok_or_else(cut)?;
            let (least, most) = match block.kind {
                BlockKind::Raw(size) | BlockKind::Repeated(size) => (size, size),
                BlockKind::Packed => (0, self.block_size),
            };
            sizes.end = block.end;
            sizes.least = sizes.least.saturating_add(len(least));
            sizes.most = sizes.most.saturating_add(len(most));
            if block.is_last {
                break;
            }
        }
        let end = sizes.end.saturating_add(if self.has_checksum { CHECKSUM } else { 0 });
        if end > rest.len() {
            return Err(CodeProblem::Cut { at, block: at.saturating_add(len(sizes.end)) });
        }
        Ok(Sizes { end, ..sizes })
    }
}
