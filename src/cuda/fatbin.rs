//! Fat binaries: which GPUs there is code for, read from headers alone.
//!
//! All fields are little-endian, all sizes bytes. A container is `u32 magic 0xBA55ED50, u16 version 1, u16 header_size
//! 16, u64 payload_size`; its payload is a row of entries, each a header of 64 bytes or more and `size` bytes behind it.
//! There is no public description: the layout was read from NVIDIA's libraries of CUDA 11 to 13.

use bstr::{BStr, BString, ByteSlice};

use super::capability::{Capability, Variant};
use super::code::{Code, CodeKind, GpuCode, Place, Tally};
use super::empty::{Packing, is_empty};
use super::problem::FatbinProblem;
use crate::elf::contents::{Contents, Part};
use crate::elf::error::ParseError;

const MAGIC: [u8; 4] = 0xba55_ed50_u32.to_le_bytes();
const CONTAINER: usize = 16;
/// The shortest header of an entry.
const ENTRY: usize = 64;
/// Containers are aligned to this; a magic elsewhere is one only if all behind it is right.
const ALIGNMENT: u64 = 8;
/// Where an entry with several contents (`fatbinary -concat`) says how many they are, and how many bytes from here on say
/// which: these two words, then for each content the header that it would have by itself, with its place among the
/// unpacked contents instead of `header_size`.
const CONCAT_COUNT: usize = 64;
const CONCAT_SIZE: usize = 68;
const CONCAT_HEAD: usize = 8;

/// A host's record of a container (`__fatBinC_Wrapper_t` in CUDA's `fatbinary_section.h`), bytes.
const WRAPPER: usize = 24;
const WRAPPER_MAGIC: [u8; 4] = 0x4662_43b1_u32.to_le_bytes();
const WRAPPER_SECTION: &str = ".nvFatBinSegment";

const IS_LZ4: u64 = 0x2000;
const IS_ZSTD: u64 = 0x8000;
const IS_EXACT: u64 = 0x10_0000;
const IS_FAMILY: u64 = 0x20_0000;

/// The version of every entry header that was seen.
const ENTRY_VERSION: u16 = 0x101;

/// Problems of one section beyond these are only counted.
const MOST_PROBLEMS: usize = 8;

/// Reads every container in an ELF file's allocated contents. Touches headers only: what lies between them is skipped,
/// not searched, as long as containers follow each other.
#[must_use]
pub fn of_contents(contents: &Contents<'_>) -> GpuCode {
    let mut found = GpuCode::default();
    let mut wrappers = 0_usize;
    for part in &contents.parts {
        if part.name == WRAPPER_SECTION {
            let records = part.bytes.chunks_exact(WRAPPER).filter(|record| record.starts_with(&WRAPPER_MAGIC));
            wrappers = wrappers.saturating_add(records.count());
        }
        let place = scan(part);
        if place.containers > 0 || !place.problems.is_empty() {
            found.places.push(place);
        }
    }
    if found.places.is_empty() && wrappers > 0 {
        let problems = vec![FatbinProblem::NoContainer(wrappers)];
        found.places.push(Place { name: WRAPPER_SECTION.into(), problems, ..Place::default() });
    }
    found
}

/// Of a file whose contents are not to be found.
#[must_use]
pub(crate) fn unparsed(error: ParseError) -> GpuCode {
    GpuCode { places: vec![Place { name: "(file)".into(), problems: vec![error.into()], ..Place::default() }] }
}

/// Whether a file is a fat binary by itself (`nvcc -fatbin`).
#[must_use]
pub(crate) fn is_fatbin(start: &[u8]) -> bool {
    start.starts_with(&MAGIC)
}

/// Reads a file that is one or more containers.
#[must_use]
pub fn of_fatbin(bytes: &[u8]) -> GpuCode {
    let part = Part::new(BStr::new(".nv_fatbin"), bytes, 0, false);
    GpuCode { places: vec![Place { name: BString::from("(file)"), ..scan(&part) }] }
}

/// Reads every container of a section or segment.
fn scan(part: &Part<'_>) -> Place {
    let mut place = Place { name: part.name.to_owned(), ..Place::default() };
    let mut at = 0_usize;
    // Behind a container whose end is not known, anything may follow.
    let mut is_end_known = true;
    // Entries behind false magics, which can all lead to the same ones: without a bound the time would be the square of the
    // size.
    let mut patience = part.bytes.len().checked_div(ENTRY).unwrap_or(0);
    loop {
        let next = next_magic(part, at);
        let end = next.unwrap_or(part.bytes.len());
        if is_end_known
            && is_for_containers(part)
            && let Some(index) = next_byte(part, at, end)
        {
            note(&mut place, FatbinProblem::Between { at: part.offset.saturating_add(len(index)) });
        }
        let Some(next) = next else { return place };
        is_end_known = true;
        at = match container(part, next) {
            Magic::Container { entries, end, problem } => {
                place.empty = place.empty.saturating_add(u64::from(entries.is_empty() && problem.is_none()));
                add(&mut place, entries);
                if let Some(problem) = problem {
                    note(&mut place, problem);
                }
                end
            }
            Magic::Broken(problem) => {
                is_end_known = false;
                note(&mut place, problem);
                next.saturating_add(CONTAINER)
            }
            Magic::ByChance { entries } => {
                let Some(rest) = patience.checked_sub(entries) else {
                    note(&mut place, FatbinProblem::FalseContainers { at: part.offset.saturating_add(len(next)) });
                    return place;
                };
                patience = rest;
                next.saturating_add(1)
            }
        };
    }
}

/// `.nv_fatbin` and `__nv_relfatbin` hold containers and padding only.
fn is_for_containers(part: &Part<'_>) -> bool {
    part.name.contains_str("fatbin")
}

/// The next magic: right here or behind padding, else wherever it is.
fn next_magic(part: &Part<'_>, from: usize) -> Option<usize> {
    let mut pieces = part.data_between(from, part.bytes.len());
    pieces.find_map(|(at, bytes)| bytes.find(MAGIC).and_then(|found| at.checked_add(found)))
}

/// The next byte that is no padding.
fn next_byte(part: &Part<'_>, from: usize, to: usize) -> Option<usize> {
    let mut pieces = part.data_between(from, to);
    pieces.find_map(|(at, bytes)| bytes.find_not_byteset(b"\0").and_then(|found| at.checked_add(found)))
}

fn note(place: &mut Place, problem: FatbinProblem) {
    if place.problems.len() < MOST_PROBLEMS {
        place.problems.push(problem);
    } else {
        place.more_problems = place.more_problems.saturating_add(1);
    }
}

fn add(place: &mut Place, mut entries: Vec<FatbinEntry<'_>>) {
    place.containers = place.containers.saturating_add(1);
    for entry in &mut entries {
        let FatbinEntry { code, tally, packing, stored } = &entry;
        let is_empty = stored.is_some_and(|stored| is_empty(code.kind, stored, *packing, tally.unpacked));
        entry.tally.empty = u64::from(is_empty);
        let of_code = place.code.entry(entry.code).or_default();
        *of_code = of_code.plus(entry.tally);
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
enum Magic<'a> {
    /// A container, which ends at `end`; with a problem, entries behind it are not known.
    Container { entries: Vec<FatbinEntry<'a>>, end: usize, problem: Option<FatbinProblem> },
    /// A container of which nothing is known.
    Broken(FatbinProblem),
    /// The four bytes mean something else, which so many things that look like entries showed.
    ByChance { entries: usize },
}

struct FatbinEntry<'a> {
    code: Code,
    tally: Tally,
    packing: Packing,
    /// None where its bytes were packed together with others.
    stored: Option<&'a [u8]>,
}

/// Machine code and data have the magic by chance or as a template, so it is one in a section for containers, where
/// containers are in others, or where everything behind it is right.
fn container<'a>(part: &Part<'a>, at: usize) -> Magic<'a> {
    let place = part.offset.saturating_add(len(at));
    let is_expected = is_for_containers(part) || (place.is_multiple_of(ALIGNMENT) && !part.is_code);
    let rest = part.bytes.get(at..).unwrap_or_default();
    let Some(header) = rest.get(..CONTAINER) else {
        let (field, value, least) = ("the rest of the section", len(rest.len()), len(CONTAINER));
        return match is_for_containers(part) {
            true => Magic::Broken(FatbinProblem::Bounds { field, at: place, value, least, most: least }),
            false => Magic::ByChance { entries: 0 },
        };
    };
    let (version, header_size) = (u16_at(header, 4), u16_at(header, 6));
    if (version, header_size) != (1, 16) {
        return match is_for_containers(part) {
            true => Magic::Broken(FatbinProblem::Container { at: place, version, header_size }),
            false => Magic::ByChance { entries: 0 },
        };
    }
    let start = at.saturating_add(CONTAINER);
    let most = part.bytes.len().saturating_sub(start);
    let size = u64_at(header, 8);
    let payload = usize::try_from(size).ok().and_then(|size| part.bytes.get(start..start.checked_add(size)?));
    let Some(payload) = payload else {
        let problem =
            FatbinProblem::Bounds { field: "payload_size", at: place, value: size, least: 0, most: len(most) };
        return if is_expected { Magic::Broken(problem) } else { Magic::ByChance { entries: 0 } };
    };
    let end = start.saturating_add(payload.len());
    let (entries, problem) = entries(payload, place.saturating_add(len(CONTAINER)));
    if problem.is_some() && !is_expected {
        return Magic::ByChance { entries: entries.len() };
    }
    Magic::Container { entries, end, problem }
}

/// The entries of a payload, up to the first that is not understood; `base` is the payload's file offset.
fn entries(payload: &[u8], base: u64) -> (Vec<FatbinEntry<'_>>, Option<FatbinProblem>) {
    let mut found = Vec::new();
    let mut at = 0_usize;
    while let Some(rest) = payload.get(at..).filter(|rest| !rest.is_empty()) {
        match entry(rest, base.saturating_add(len(at)), &mut found) {
            Ok(size) => at = at.saturating_add(size),
            Err(problem) => return (found, Some(problem)),
        }
    }
    (found, None)
}

/// Reads the entry at the start of `rest` and returns its size, header included.
fn entry<'a>(rest: &'a [u8], at: u64, found: &mut Vec<FatbinEntry<'a>>) -> Result<usize, FatbinProblem> {
    let bounds = |field, value: u64, least: usize, most: usize| FatbinProblem::Bounds {
        field,
        at,
        value,
        least: len(least),
        most: len(most),
    };
    if rest.len() < ENTRY {
        // Padding of the payload.
        return match rest.iter().all(|byte| *byte == 0) {
            true => Ok(rest.len()),
            false => Err(bounds("the rest of the payload", len(rest.len()), ENTRY, ENTRY)),
        };
    }
    let kind = u16_at(rest, 0);
    if u16_at(rest, 2) != ENTRY_VERSION {
        return Err(FatbinProblem::Version { at, version: u16_at(rest, 2) });
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
    match kind {
        0x100 => several(header, size, at, found)?,
        _ => found.push(FatbinEntry { packing, stored: Some(stored), ..single(header, kind, size, at)? }),
    }
    Ok(header.len().saturating_add(within))
}

/// What a header says; `bytes` is what it stands for in the file.
fn single(header: &[u8], kind: u16, bytes: u64, at: u64) -> Result<FatbinEntry<'static>, FatbinProblem> {
    let known = CodeKind::ALL.iter().find(|known| known.number() == kind);
    let kind = *known.ok_or(FatbinProblem::Kind { at, kind })?;
    let (number, flags) = (u32_at(header, 28), u64_at(header, 40));
    let variant = match (flags & IS_EXACT != 0, flags & IS_FAMILY != 0) {
        (true, _) => Variant::Exact,
        (false, true) => Variant::Family,
        (false, false) => Variant::Common,
    };
    let capability = Capability::of_number(number, variant).ok_or(FatbinProblem::Architecture { at, number })?;
    let packing = packing(flags);
    let unpacked = if packing == Packing::Raw { bytes } else { u64_at(header, 56) };
    let tally = Tally { count: 1, empty: 0, bytes, unpacked };
    Ok(FatbinEntry { code: Code { kind, capability }, tally, packing, stored: None })
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
fn several(header: &[u8], stored: u64, at: u64, found: &mut Vec<FatbinEntry<'_>>) -> Result<(), FatbinProblem> {
    let bounds = |field, value: u64, least: u64, most: u64| FatbinProblem::Bounds { field, at, value, least, most };
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
            return Err(FatbinProblem::Version { at, version: u16_at(record, 2) });
        }
        if start != covered {
            return Err(bounds("the start of a record", start, covered, covered));
        }
        let end = start.checked_add(size).filter(|end| (start.saturating_add(1)..=unpacked).contains(end));
        covered = end.ok_or_else(|| bounds("the size of a record", size, 1, unpacked.saturating_sub(start)))?;
        let share = share_of(covered).unwrap_or(0).saturating_sub(share_of(start).unwrap_or(0));
        let mut entry = single(record, u16_at(record, 0), u64::try_from(share).unwrap_or(stored), at)?;
        entry.tally.unpacked = size;
        found.push(entry);
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

fn len(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// Fields of a header whose length was checked; 0 past its end.
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    field(bytes, at).map_or(0, u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    field(bytes, at).map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    field(bytes, at).map_or(0, u64::from_le_bytes)
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}
