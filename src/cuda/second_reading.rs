//! Containers read a second time, by a reader of its own, before and after an edit: what is left is a part of what was
//! there, in order and byte for byte, and what went is for none of the targets, or is PTX that machine code stands in for.
//! Shares nothing with [`super::fatbin`] but the numbers that the format has.

use super::capability::{Capability, Variant};
use super::gpu::Gpu;
use super::slim::Targets;
use crate::elf::units::{FileOffset, FileRange};
use crate::elf::verify::{Became, SecondReading};

const MAGIC: u32 = 0xba55_ed50;
const HEADER: u64 = 16;
const PTX: u16 = 1;
const CUBIN: u16 = 2;
const RELOCATABLE_PTX: u16 = 0x40;

/// What the header of an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct EntryHeader {
    kind: u16,
    /// With the header.
    size: u64,
    architecture: u32,
    flags: u64,
}

/// Attributes behind the header, one of which can say that the code is for one architecture alone.
const HAS_ATTRIBUTES: u64 = 0x100_0000;

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

impl EntryHeader {
    /// Reads the first 64 bytes of an entry.
    fn read(bytes: &[u8]) -> Option<Self> {
        let header_size = u64::from(u32::from_le_bytes(number(bytes, 4)?));
        let size = u64::from_le_bytes(number(bytes, 8)?);
        Some(Self {
            kind: u16::from_le_bytes(number(bytes, 0)?),
            size: header_size.checked_add(size).filter(|_| header_size >= 64)?,
            architecture: u32::from_le_bytes(number(bytes, 28)?),
            flags: u64::from_le_bytes(number(bytes, 40)?),
        })
    }

    fn capability(&self) -> Option<Capability> {
        let variant = match (self.flags & 0x10_0000 != 0, self.flags & 0x20_0000 != 0) {
            (true, _) => Variant::Exact,
            (false, true) => Variant::Family,
            (false, false) => Variant::Common,
        };
        Capability::of_number(self.architecture, variant)
    }

    /// Whether a GPU runs it without compiling it.
    fn runs_on(&self, gpu: Gpu) -> bool {
        self.kind == CUBIN && self.capability().is_some_and(|capability| gpu.runs(capability))
    }

    /// Whether it may go: for none of the GPUs, or PTX in whose place machine code runs on all of them.
    fn may_go(&self, targets: &Targets, kept: &[Self]) -> bool {
        let Some(capability) = self.capability() else { return false };
        let is_ptx = matches!(self.kind, PTX | RELOCATABLE_PTX);
        if is_ptx && targets.keeps_ptx {
            return false;
        }
        let is_for_one = Capability { variant: Variant::Exact, ..capability };
        // Attributes are not read here: with some, only the number is sure.
        let sure = if self.flags & HAS_ATTRIBUTES != 0 { is_for_one } else { capability };
        let is_of_use = |gpu: &Gpu| match self.kind {
            CUBIN => gpu.may_run(sure),
            _ => sure.ptx_runs_on(gpu.capability),
        };
        let runs = |gpu: &Gpu| kept.iter().any(|kept| kept.runs_on(*gpu));
        let is_stood_in_for = is_ptx && targets.gpus.iter().all(runs);
        is_stood_in_for || !targets.gpus.iter().any(is_of_use)
    }
}

/// The headers of a row of entries, each with its offset, read from somewhere.
fn headers<'r>(
    range: FileRange,
    read: impl Fn(FileOffset, u64) -> Option<std::borrow::Cow<'r, [u8]>>,
) -> Option<(Vec<(FileOffset, EntryHeader)>, FileOffset)> {
    let start = range.start();
    let head = read(start, HEADER)?;
    if u32::from_le_bytes(number(&head, 0)?) != MAGIC || number::<4>(&head, 4)? != [1, 0, 16, 0] {
        return None;
    }
    let mut at = start.plus(HEADER)?;
    let end = at.plus(u64::from_le_bytes(number(&head, 8)?)).filter(|end| *end <= range.end())?;
    let mut found = Vec::new();
    while end.since(at)? >= 64 {
        let header = EntryHeader::read(&read(at, 64)?)?;
        found.push((at, header));
        at = at.plus(header.size).filter(|next| *next <= end)?;
    }
    Some((found, end))
}

impl SecondReading for Targets {
    fn read(&self, file: &[u8], range: FileRange, became: &Became<'_, '_>) -> Result<(), &'static str> {
        let unreadable = "a rewritten container can be read";
        let old_bytes = |at, len| FileRange::new(at, len)?.of(file).map(std::borrow::Cow::Borrowed);
        let (old, old_end) = headers(range, old_bytes).ok_or(unreadable)?;
        if old_end != range.end() {
            return Err("a container is rewritten as a whole");
        }
        let (new, new_end) = headers(range, |at, len| became.bytes(at, len)).ok_or(unreadable)?;
        let kept: Vec<EntryHeader> = new.iter().map(|(_, header)| *header).collect();
        let mut left = new.iter().peekable();
        for (at, header) in &old {
            let same = left.peek().filter(|(now, kept)| {
                let all = FileRange::new(*at, header.size);
                kept == header && all.is_some_and(|all| became.is_copy(*now, all))
            });
            match same {
                Some(_) => {
                    left.next();
                }
                None if header.may_go(self, &kept) => {}
                None => return Err("what may run on a target stays, as it was"),
            }
        }
        if left.next().is_some() {
            return Err("containers have nothing that they did not have");
        }
        let sum = kept.iter().map(|header| header.size).fold(HEADER, u64::saturating_add);
        if new_end.since(range.start()) != Some(sum) {
            return Err("payload_size is what the entries take");
        }
        match FileRange::between(new_end.get(), range.end().get()) {
            Some(rest) if became.is_zero(rest) => Ok(()),
            _ => Err("the rest of a container is zero"),
        }
    }
}
