//! Fat binaries: which GPUs there is code for, read from headers alone.
//!
//! All fields are little-endian, all sizes bytes. A container is `u32 magic 0xBA55ED50, u16 version 1, u16 header_size
//! 16, u64 payload_size`; its payload is a row of entries, each a header of 64 bytes or more and `size` bytes behind it.
//! There is no public description: the layout was read from NVIDIA's libraries of CUDA 11 to 13.

use bstr::ByteSlice;

use super::attributes;
use super::capability::{Capability, Variant};
use super::code::{Code, CodeKind, Place, Tally};
use super::empty::{Packing, is_empty};
use super::field::{len, u16_at, u32_at, u64_at};
use super::kernels::Counter;
use super::problem::CodeProblem;
use crate::elf::contents::Part;

/// What a container begins with.
pub(super) const MAGIC: &[u8] = &0xba55_ed50_u32.to_le_bytes();
pub(super) const CONTAINER: usize = 16;
/// The shortest header of an entry.
pub(super) const ENTRY: usize = 64;
/// Containers are aligned to this; a magic elsewhere is one only if all behind it is right.
pub(super) const ALIGNMENT: u64 = 8;
/// Where an entry with several contents (`fatbinary -concat`) says how many they are, and how many bytes from here on say
/// which: these two words, then for each content the header that it would have by itself, with its place among the
/// unpacked contents instead of `header_size`.
const CONCAT_COUNT: usize = 64;
const CONCAT_SIZE: usize = 68;
const CONCAT_HEAD: usize = 8;

/// Kinds of entries that are no code: a table of what is in others, and several contents in one.
const INDEX: u16 = 0x20;
const SEVERAL: u16 = 0x100;

const IS_LZ4: u64 = 0x2000;
const IS_ZSTD: u64 = 0x8000;
const IS_EXACT: u64 = 0x10_0000;
const IS_FAMILY: u64 = 0x20_0000;
/// Behind the options are attributes (since CUDA 12.8).
const HAS_ATTRIBUTES: u64 = 0x100_0000;

/// The version of every entry header that was seen.
const ENTRY_VERSION: u16 = 0x101;

/// Whether these are the first bytes of a container.
#[must_use]
pub(super) fn is_fatbin(start: &[u8]) -> bool {
    start.starts_with(MAGIC)
}

/// `.nv_fatbin` and `__nv_relfatbin` hold containers and padding only.
pub(super) fn is_for_containers(part: &Part<'_>) -> bool {
    part.name.contains_str("fatbin")
}

/// Adds a container's entries to a place, and finds out which of them are empty.
pub(super) fn add(place: &mut Place, entries: &mut [FatbinEntry<'_>], mut counter: Option<&mut Counter>) {
    place.containers = place.containers.saturating_add(1);
    for entry in entries.iter_mut() {
        let FatbinEntry { code, tally, packing, stored } = &entry;
        let is_empty = stored.is_some_and(|stored| is_empty(code.kind, stored, *packing, tally.unpacked));
        if let Some(counter) = &mut counter {
            let stored = stored.map(|stored| (stored, *packing));
            entry.tally = counter.count(*tally, code.kind, stored, Some(tally.unpacked));
        }
        entry.tally.empty = u64::from(is_empty);
        place.add(entry.code, entry.tally);
    }
    let with_code = entries.iter().filter(|entry| entry.tally.empty == 0);
    let mut set: Vec<Code> = with_code.map(|entry| entry.code).collect();
    if set.is_empty() {
        return;
    }
    set.sort_unstable();
    set.dedup();
    let count = place.sets.entry(set.into_boxed_slice()).or_default();
    *count = count.saturating_add(1);
}

/// What a magic turns out to be.
pub(super) enum Magic<'a> {
    /// A container, which ends at `end`, with what is not understood of it. Its spans say where in the part each entry
    /// lies, also one that is no code.
    Container { entries: Vec<FatbinEntry<'a>>, spans: Vec<RawSpan>, end: usize, noted: Place },
    /// A container of which nothing is known.
    Broken(CodeProblem),
    /// The four bytes mean something else, which so many things that look like entries showed; as a container it would
    /// reach up to `claimed`.
    ByChance { entries: usize, claimed: usize },
}

/// Where an entry lies in a payload, header included.
pub(super) struct RawSpan {
    /// From the start of the payload.
    pub(super) start: usize,
    pub(super) size: usize,
    pub(super) kind: RawKind,
}

/// What an entry is, as far as its container is concerned.
pub(super) enum RawKind {
    /// The code with this index among the container's entries.
    Code(usize),
    /// A table of what is in others.
    Index,
    /// Several contents in one.
    Several,
    /// A kind or a header that is not understood, which is a problem as well.
    Unknown,
    /// Zeros up to the end of the payload.
    Padding,
}

pub(super) struct FatbinEntry<'a> {
    pub(super) code: Code,
    pub(super) tally: Tally,
    packing: Packing,
    /// None where its bytes were packed together with others.
    stored: Option<&'a [u8]>,
}

/// Machine code and data have the magic by chance or as a template, so it is one in a section for containers, where
/// containers are in others, or where everything behind it is right.
pub(super) fn container<'a>(part: &Part<'a>, at: usize) -> Magic<'a> {
    let place = part.offset.saturating_add(len(at));
    let is_expected = is_for_containers(part) || (place.is_multiple_of(ALIGNMENT) && !part.is_code);
    let rest = part.bytes.get(at..).unwrap_or_default();
    let Some(header) = rest.get(..CONTAINER) else {
        let (field, value, least) = ("the rest of the section", len(rest.len()), len(CONTAINER));
        return match is_for_containers(part) {
            true => Magic::Broken(CodeProblem::Bounds { field, at: place, value, least, most: least }),
            false => Magic::ByChance { entries: 0, claimed: at },
        };
    };
    let (version, header_size) = (u16_at(header, 4), u16_at(header, 6));
    if (version, header_size) != (1, 16) {
        return match is_for_containers(part) {
            true => Magic::Broken(CodeProblem::Container { at: place, version, header_size }),
            false => Magic::ByChance { entries: 0, claimed: at },
        };
    }
    let start = at.saturating_add(CONTAINER);
    let most = part.bytes.len().saturating_sub(start);
    let size = u64_at(header, 8);
    let payload = usize::try_from(size).ok().and_then(|size| part.bytes.get(start..start.checked_add(size)?));
    let Some(payload) = payload else {
        let problem = CodeProblem::Bounds { field: "payload_size", at: place, value: size, least: 0, most: len(most) };
        return if is_expected { Magic::Broken(problem) } else { Magic::ByChance { entries: 0, claimed: at } };
    };
    let end = start.saturating_add(payload.len());
    let mut noted = Place::default();
    let (entries, spans, count) = entries(payload, place.saturating_add(len(CONTAINER)), &mut noted);
    if noted.problem_count() > 0 && !is_expected {
        return Magic::ByChance { entries: count, claimed: end };
    }
    Magic::Container { entries, spans, end, noted }
}

/// The entries of a payload, where they lie, and how many there are with those that are not understood; `base` is the
/// payload's file offset. One of a kind that is not known is stepped over, one without an end is the last.
fn entries<'a>(payload: &'a [u8], base: u64, noted: &mut Place) -> (Vec<FatbinEntry<'a>>, Vec<RawSpan>, usize) {
    let (mut found, mut spans, mut count) = (Vec::new(), Vec::new(), 0_usize);
    let mut at = 0_usize;
    while let Some(rest) = payload.get(at..).filter(|rest| !rest.is_empty()) {
        count = count.saturating_add(1);
        match entry(rest, base.saturating_add(len(at)), &mut found, noted) {
            Ok((size, kind)) => {
                spans.push(RawSpan { start: at, size, kind });
                at = at.saturating_add(size);
            }
            Err(problem) => {
                noted.note(problem);
                break;
            }
        }
    }
    // A joint entry is as many as its records.
    let records = found.len();
    (found, spans, count.max(records))
}

/// Reads the entry at the start of `rest` and returns its size, header included, and what it is.
fn entry<'a>(
    rest: &'a [u8],
    at: u64,
    found: &mut Vec<FatbinEntry<'a>>,
    noted: &mut Place,
) -> Result<(usize, RawKind), CodeProblem> {
    let bounds = |field, value: u64, least: usize, most: usize| CodeProblem::Bounds {
        field,
        at,
        value,
        least: len(least),
        most: len(most),
    };
    if rest.len() < ENTRY {
        // Padding of the payload.
        return match rest.iter().all(|byte| *byte == 0) {
            true => Ok((rest.len(), RawKind::Padding)),
            false => Err(bounds("the rest of the payload", len(rest.len()), ENTRY, ENTRY)),
        };
    }
    let kind = u16_at(rest, 0);
    if u16_at(rest, 2) != ENTRY_VERSION {
        return Err(CodeProblem::Version { at, version: u16_at(rest, 2) });
    }
    let header_size = usize::try_from(u32_at(rest, 4)).unwrap_or(usize::MAX);
    let header = rest.get(..header_size).filter(|header| header.len() >= ENTRY);
    let header = header.ok_or_else(|| bounds("header_size", len(header_size), ENTRY, rest.len()))?;
    let size = u64_at(header, 8);
    let most = rest.len().saturating_sub(header.len());
    let within = usize::try_from(size).ok().filter(|size| *size <= most);
    let within = within.ok_or_else(|| bounds("size", size, 0, most))?;
    let packing = packing(u64_at(header, 40));
    let stored = rest.get(header.len()..header.len().saturating_add(within)).unwrap_or_default();
    let stored = match packing {
        Packing::Raw => stored,
        Packing::Lz4 | Packing::Zstandard => {
            // Behind them is padding.
            let used = u32_at(header, 16);
            let packed = usize::try_from(used).ok().and_then(|used| stored.get(..used)).filter(|used| !used.is_empty());
            packed.ok_or_else(|| bounds("compressed_size", u64::from(used), 1, within))?
        }
    };
    let kind = match kind {
        INDEX => RawKind::Index,
        SEVERAL => {
            several(header, size, at, found, noted)?;
            RawKind::Several
        }
        _ => match single(header, kind, size, at) {
            Ok(entry) => {
                found.push(FatbinEntry { packing, stored: Some(stored), ..entry });
                RawKind::Code(found.len().saturating_sub(1))
            }
            Err(problem) => {
                noted.note(problem);
                RawKind::Unknown
            }
        },
    };
    Ok((header.len().saturating_add(within), kind))
}

/// What a header says; `bytes` is what it stands for in the file.
fn single(header: &[u8], kind: u16, bytes: u64, at: u64) -> Result<FatbinEntry<'static>, CodeProblem> {
    let known = CodeKind::ALL.iter().find(|known| known.number() == kind);
    let kind = *known.ok_or(CodeProblem::Kind { at, kind })?;
    let (number, flags) = (u32_at(header, 28), u64_at(header, 40));
    let variant = match (flags & IS_EXACT != 0, flags & IS_FAMILY != 0) {
        (true, _) => Variant::Exact,
        (false, _) if is_for_one(header, flags) => Variant::Marked,
        (false, true) => Variant::Family,
        (false, false) => Variant::Common,
    };
    let capability = Capability::of_number(number, variant).ok_or(CodeProblem::Architecture { at, number })?;
    let packing = packing(flags);
    let unpacked = if packing == Packing::Raw { bytes } else { u64_at(header, 56) };
    let tally = Tally::one(false, bytes, unpacked);
    Ok(FatbinEntry { code: Code { kind, capability }, tally, packing, stored: None })
}

/// Whether the attributes of a cubin, behind the options in its header, are those of code for exactly one architecture.
fn is_for_one(header: &[u8], flags: u64) -> bool {
    if flags & HAS_ATTRIBUTES == 0 {
        return false;
    }
    let word = |at: usize| usize::try_from(u32_at(header, at)).ok();
    let found = word(20).filter(|at| *at > 0).and_then(|at| {
        let (start, size) = (word(at)?, word(at.checked_add(4)?)?);
        // The options' NUL is not counted.
        let text = header.get(start..start.checked_add(size)?.checked_add(1)?)?;
        attributes::is_exact(text.get(text.find_byte(0)?.checked_add(1)?..)?)
    });
    found == Some(true)
}

fn packing(flags: u64) -> Packing {
    match (flags & IS_LZ4 != 0, flags & IS_ZSTD != 0) {
        (_, true) => Packing::Zstandard,
        (true, false) => Packing::Lz4,
        (false, false) => Packing::Raw,
    }
}

/// An entry whose contents were packed together: a row of records behind its header tells them apart, so nothing has to
/// be unpacked. Each takes its part of the stored bytes.
fn several(
    header: &[u8],
    stored: u64,
    at: u64,
    found: &mut Vec<FatbinEntry<'_>>,
    noted: &mut Place,
) -> Result<(), CodeProblem> {
    let bounds = |field, value: u64, least: u64, most: u64| CodeProblem::Bounds { field, at, value, least, most };
    let (count, size) = (u32_at(header, CONCAT_COUNT), u32_at(header, CONCAT_SIZE));
    let room = header.get(CONCAT_COUNT..).unwrap_or_default();
    let (least, most) = (len(CONCAT_HEAD), len(room.len()));
    let table = usize::try_from(size).ok().and_then(|size| room.get(..size)?.get(CONCAT_HEAD..));
    let mut table = table.ok_or_else(|| bounds("the size of the table", u64::from(size), least, most))?;
    let unpacked = if packing(u64_at(header, 40)) == Packing::Raw { stored } else { u64_at(header, 56) };
    // Rounded where a part ends, not in each: together they are what is stored.
    let share_of = |end: u64| u128::from(stored).saturating_mul(u128::from(end)).checked_div(u128::from(unpacked));
    let (mut records, mut covered) = (0_u32, 0_u64);
    while !table.is_empty() {
        let own_size = own_size(table).filter(|size| *size >= ENTRY);
        let own = own_size.and_then(|size| table.split_at_checked(size));
        let (record, rest) = own.ok_or_else(|| bounds("the rest of the table", len(table.len()), len(ENTRY), most))?;
        let (start, size) = (u64::from(u32_at(record, 4)), u64_at(record, 8));
        if u16_at(record, 2) != ENTRY_VERSION {
            return Err(CodeProblem::Version { at, version: u16_at(record, 2) });
        }
        if start != covered {
            return Err(bounds("the start of a record", start, covered, covered));
        }
        let end = start.checked_add(size).filter(|end| (start.saturating_add(1)..=unpacked).contains(end));
        covered = end.ok_or_else(|| bounds("the size of a record", size, 1, unpacked.saturating_sub(start)))?;
        let share = share_of(covered).unwrap_or(0).saturating_sub(share_of(start).unwrap_or(0));
        match single(record, u16_at(record, 0), u64::try_from(share).unwrap_or(stored), at) {
            Ok(entry) => found.push(FatbinEntry { tally: Tally { unpacked: size, ..entry.tally }, ..entry }),
            Err(problem) => noted.note(problem),
        }
        records = records.saturating_add(1);
        table = rest;
    }
    if records == 0 || records != count {
        let records = u64::from(records.max(1));
        return Err(bounds("the number of records", u64::from(count), records, records));
    }
    if covered != unpacked {
        return Err(bounds("uncompressed_size", unpacked, covered, covered));
    }
    Ok(())
}

/// How long a header is that does not say it in `header_size`: behind its fixed part are the name of the source file and
/// options or attributes, each of them with a NUL and in whole words.
fn own_size(header: &[u8]) -> Option<usize> {
    let word = |at: usize| usize::try_from(u32_at(header, at)).ok();
    let (options, name, name_size) = (word(20)?, word(32)?, word(36)?);
    let (start, size) = match (options, name_size) {
        (0, 0) => return Some(ENTRY),
        (0, size) => (name, size),
        (at, _) => (word(at)?, word(at.checked_add(4)?)?),
    };
    start.checked_add(size.checked_add(1)?.checked_next_multiple_of(8)?)
}
