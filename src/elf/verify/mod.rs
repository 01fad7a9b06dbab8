//! Is the edited object the old one with another path, and nothing else?
//!
//! Reads both with the *other* parser (`object`) and compares them by the invariants that the documentation numbers.
//! Cost follows the plan, not the file: bytes that no write touched are the same bytes.

mod shape;

use std::collections::BTreeSet;

use bstr::{BStr, BString, ByteSlice};
use object::elf;

use self::shape::{Section, Segment, Shape, read};
use super::image::Image;
use super::plan::{Change, PathTag};
use super::strings::is_string_tag;
use super::units::{FileOffset, FileRange};

const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;
/// Large segments are compared piecewise.
const PIECE: u64 = 1 << 16;
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// What is wrong with an edited object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The edited object cannot be parsed.
    #[error("the edited file cannot be read back: {0}")]
    Unreadable(&'static str),
    /// A range of the edited object lies outside it.
    #[error("the edited file is too short: {len:#x} bytes at {offset:#x}")]
    PastEnd {
        /// Where.
        offset: u64,
        /// How many bytes.
        len: u64,
    },
    /// An invariant does not hold.
    #[error("invariant {number} does not hold at {at:#x}: {what}")]
    Broken {
        /// Its number in ARCHITECTURE.md.
        number: u8,
        /// What should have been the case.
        what: &'static str,
        /// A file offset, an address or an index, whichever names the place.
        at: u64,
    },
    /// The path is not the one that was wanted.
    #[error("invariant 8 does not hold: the search path is {found:?}, wanted {wanted:?}")]
    WrongPath {
        /// What the loader would use.
        found: Option<BString>,
        /// What it should use.
        wanted: Option<BString>,
    },
}

fn broken(number: u8, what: &'static str, at: u64) -> VerifyError {
    VerifyError::Broken { number, what, at }
}

/// Compares an object before and after an edit. `note` is where the resolution cache note was before.
///
/// # Errors
/// [`VerifyError`] names the first invariant that does not hold.
pub fn verify(
    before: &Image<'_>,
    after: &Image<'_>,
    change: &Change,
    note: Option<FileRange>,
) -> Result<(), VerifyError> {
    let old = Shape::parse(before)?;
    let new = Shape::parse(after)?;
    let changed: Vec<FileRange> = before.changed().chain(after.changed()).collect();
    header(&old, &new)?;
    loads(&old, &new)?;
    memory(&old, &new, &changed, note)?;
    other_segments(&old, &new, note)?;
    let old_strings = old.strings()?;
    let new_strings = new.strings()?;
    dynamic(&old, &new, &old_strings, &new_strings)?;
    symbols(&old, &new, &changed)?;
    names(&old, &old_strings, &new_strings)?;
    sections(&old, &new, &changed)?;
    payload(&old, &new, &changed)?;
    path(&new, &new_strings, change)
}

/// Invariant 1: the ELF header is the same but for `e_phnum`, `e_shoff` and `e_phoff`.
fn header(old: &Shape<'_, '_>, new: &Shape<'_, '_>) -> Result<(), VerifyError> {
    if old.constant_header == new.constant_header { Ok(()) } else { Err(broken(1, "the ELF header is the same", 0)) }
}

/// Invariant 2: PT_LOADs ascend, do not overlap, are congruent and in the file; a new one shares no page.
fn loads(old: &Shape<'_, '_>, new: &Shape<'_, '_>) -> Result<(), VerifyError> {
    let mut end = 0;
    let is_new = |load: &Segment| !old.segments.iter().any(|o| o.is_load() && o.address == load.address);
    for load in new.segments.iter().filter(|segment| segment.is_load()) {
        let align = load.align.max(1);
        let start = if is_new(load) { load.address & !(align.wrapping_sub(1)) } else { load.address };
        if start < end {
            return Err(broken(2, "PT_LOAD segments ascend without sharing a page", load.address));
        }
        let congruent = load.address & align.wrapping_sub(1) == load.offset & align.wrapping_sub(1);
        if load.file_size > 0 && !congruent {
            return Err(broken(2, "p_vaddr and p_offset agree modulo p_align", load.address));
        }
        if load.file_size > load.memory_size || load.file_end() > new.image.len() {
            return Err(broken(2, "a PT_LOAD lies in the file", load.address));
        }
        if is_new(load) && load.flags & elf::PF_X.0 != 0 {
            return Err(broken(3, "no new executable memory", load.address));
        }
        end = load.memory_end();
    }
    Ok(())
}

/// Invariant 3: every original byte is at its address and the same, outside what the edit is about.
fn memory(
    old: &Shape<'_, '_>,
    new: &Shape<'_, '_>,
    changed: &[FileRange],
    note: Option<FileRange>,
) -> Result<(), VerifyError> {
    let allowed = allowed(old, new, note);
    for load in old.segments.iter().filter(|segment| segment.is_load()) {
        let Some(now) = new
            .segments
            .iter()
            .filter(|s| s.is_load())
            .find(|s| s.address <= load.address && load.memory_end() <= s.memory_end() && load.flags == s.flags)
        else {
            return Err(broken(3, "every PT_LOAD is still mapped with its flags", load.address));
        };
        let now_offset = now.offset.saturating_add(load.address.saturating_sub(now.address));
        if load.file_size > 0 && now.file_end() < now_offset.saturating_add(load.file_size) {
            return Err(broken(3, "every PT_LOAD still has its bytes in the file", load.address));
        }
        let moved = now_offset != load.offset;
        let all = FileRange::new(FileOffset::new(load.offset), load.file_size);
        for range in pieces(all, if moved { None } else { Some(changed) }) {
            let within = range.start().get().saturating_sub(load.offset);
            let before = read(old.image, range.start().get(), range.len())?;
            let after = read(new.image, now_offset.saturating_add(within), range.len())?;
            compare(&before, &after, range.start().get(), &allowed)?;
        }
        let zeros_at = now_offset.saturating_add(load.file_size);
        let zeros_end = now_offset.saturating_add(load.memory_size).min(now.file_end());
        let zeros = FileRange::new(FileOffset::new(zeros_at), zeros_end.saturating_sub(zeros_at));
        for range in pieces(zeros, None) {
            let bytes = read(new.image, range.start().get(), range.len())?;
            if ZEROS.get(..bytes.len()) != Some(&*bytes) {
                return Err(broken(3, "zero-initialised memory is zero", range.start().get()));
            }
        }
    }
    Ok(())
}

/// File ranges of the old object whose bytes an edit may change.
fn allowed(old: &Shape<'_, '_>, new: &Shape<'_, '_>, note: Option<FileRange>) -> Vec<(u64, u64)> {
    let mut allowed = vec![
        (0, old.header_size),
        (old.table_offset, old.table_offset.saturating_add(old.table_size)),
        (new.table_offset, new.table_offset.saturating_add(new.table_size)),
        (old.dynamic_offset, old.dynamic_offset.saturating_add(old.dynamic_size)),
        (old.section_table_offset, old.section_table_offset.saturating_add(old.section_table_size)),
    ];
    if let (Some(address), Some(size)) = (old.value(5), old.value(10))
        && let Some(offset) = old.offset_of(address, size)
    {
        allowed.push((offset, offset.saturating_add(size)));
        // A table that ends its PT_LOAD may grow into the padding behind it.
        if let Some(load) = old.load_at(address, size) {
            allowed.push((load.file_end(), u64::MAX));
        }
    }
    if let Some(note) = note {
        allowed.push((note.start().get(), note.end().get()));
    }
    allowed
}

/// The range in pieces; with a list of changes, only what lies in one of them.
fn pieces(range: Option<FileRange>, changed: Option<&[FileRange]>) -> Vec<FileRange> {
    let Some(range) = range else { return Vec::new() };
    let parts: Vec<FileRange> = match changed {
        Some(changed) => changed.iter().filter_map(|change| change.intersection(range)).collect(),
        None => vec![range],
    };
    let mut pieces = Vec::new();
    for part in parts {
        let mut at = part.start();
        while at < part.end() {
            let len = part.end().since(at).unwrap_or(0).min(PIECE);
            let (Some(piece), Some(next)) = (FileRange::new(at, len), at.plus(len)) else { break };
            pieces.push(piece);
            at = next;
        }
    }
    pieces
}

fn compare(before: &[u8], after: &[u8], start: u64, allowed: &[(u64, u64)]) -> Result<(), VerifyError> {
    if before == after {
        return Ok(());
    }
    for (at, (old, new)) in (start..).zip(before.iter().zip(after)) {
        if old != new && !allowed.iter().any(|(from, to)| *from <= at && at < *to) {
            return Err(broken(3, "original bytes are the same", at));
        }
    }
    Ok(())
}

/// Invariant 4: PT_PHDR names the table; every other program header names the same bytes.
fn other_segments(old: &Shape<'_, '_>, new: &Shape<'_, '_>, note: Option<FileRange>) -> Result<(), VerifyError> {
    for segment in new.segments.iter().filter(|segment| segment.kind == elf::PT_PHDR.0) {
        let right = segment.offset == new.table_offset && segment.file_size == new.table_size;
        if !right || new.offset_of(segment.address, segment.file_size) != Some(segment.offset) {
            return Err(broken(4, "PT_PHDR is the program header table and mapped", segment.offset));
        }
    }
    let has_interpreter = old.segments.iter().any(|segment| segment.kind == elf::PT_INTERP.0);
    let mut rest: Vec<&Segment> = new.segments.iter().filter(|segment| is_plain(segment)).collect();
    for segment in old.segments.iter().filter(|segment| is_plain(segment)) {
        let found = rest.iter().position(|now| same_segment(old, new, segment, now, note));
        match found {
            Some(index) => {
                rest.remove(index);
            }
            None if is_dispensable(old, segment) => {}
            None => return Err(broken(4, "every program header names the same bytes", segment.offset)),
        }
    }
    if let Some(extra) = rest.first() {
        return Err(broken(4, "no new program header but a PT_LOAD", extra.offset));
    }
    let phdr = |shape: &Shape<'_, '_>| shape.segments.iter().filter(|s| s.kind == elf::PT_PHDR.0).count();
    if has_interpreter && phdr(old) != phdr(new) {
        return Err(broken(4, "a program keeps its PT_PHDR", 0));
    }
    Ok(())
}

/// Not one of those that this edit is about.
fn is_plain(segment: &Segment) -> bool {
    ![elf::PT_LOAD, elf::PT_PHDR, elf::PT_DYNAMIC, elf::PT_NULL].iter().any(|kind| kind.0 == segment.kind)
}

fn same_segment(
    old: &Shape<'_, '_>,
    new: &Shape<'_, '_>,
    segment: &Segment,
    now: &Segment,
    note: Option<FileRange>,
) -> bool {
    let may_move = [elf::PT_NOTE, elf::PT_GNU_PROPERTY, elf::PT_INTERP].iter().any(|kind| kind.0 == segment.kind);
    let same_record = segment.kind == now.kind
        && segment.flags == now.flags
        && segment.file_size == now.file_size
        && segment.memory_size == now.memory_size
        && segment.align == now.align
        && (may_move || segment.address == now.address);
    if !same_record || segment.offset == now.offset && segment.address == now.address {
        return same_record;
    }
    let is_mapped = new.offset_of(now.address, now.file_size) == Some(now.offset);
    if segment.file_size > 0 && old.offset_of(segment.address, segment.file_size).is_some() && !is_mapped {
        return false;
    }
    let allowed = note.map(|note| (note.start().get(), note.end().get()));
    let allowed: Vec<(u64, u64)> = allowed.into_iter().chain(dynamic_part(old, segment)).collect();
    pieces(FileRange::new(FileOffset::new(segment.offset), segment.file_size), None).into_iter().all(|piece| {
        let within = piece.start().get().saturating_sub(segment.offset);
        let before = read(old.image, piece.start().get(), piece.len());
        let after = read(new.image, now.offset.saturating_add(within), piece.len());
        before.is_ok_and(|b| after.is_ok_and(|a| compare(&b, &a, piece.start().get(), &allowed).is_ok()))
    })
}

/// PT_GNU_RELRO and others may hold the dynamic section and the string table, which change.
fn dynamic_part(old: &Shape<'_, '_>, segment: &Segment) -> Vec<(u64, u64)> {
    let dynamic = (old.dynamic_offset, old.dynamic_offset.saturating_add(old.dynamic_size));
    let mut parts = vec![dynamic];
    if let (Some(address), Some(size)) = (old.value(5), old.value(10))
        && let Some(offset) = old.offset_of(address, size)
    {
        parts.push((offset, offset.saturating_add(size)));
    }
    parts.retain(|(from, to)| *from < segment.file_end() && segment.offset < *to);
    parts
}

/// Program headers whose place a PT_LOAD may take: an empty note, or one that PT_GNU_PROPERTY names too.
fn is_dispensable(old: &Shape<'_, '_>, segment: &Segment) -> bool {
    let is_property = |other: &Segment| {
        other.kind == elf::PT_GNU_PROPERTY.0 && other.offset == segment.offset && other.file_size == segment.file_size
    };
    segment.kind == elf::PT_NOTE.0 && (segment.file_size == 0 || old.segments.iter().any(is_property))
}

/// Invariant 5, tags: every other entry keeps its place and value; names resolve to the same text.
fn dynamic(
    old: &Shape<'_, '_>,
    new: &Shape<'_, '_>,
    old_strings: &[u8],
    new_strings: &[u8],
) -> Result<(), VerifyError> {
    let has_interpreter = old.segments.iter().any(|segment| segment.kind == elf::PT_INTERP.0);
    // DT_RELACOUNT, DT_RELCOUNT and a library's DT_DEBUG may make place for the path; nothing else may.
    let replaceable = |tag: u64| matches!(tag, 0x6fff_fff9 | 0x6fff_fffa) || (tag == 21 && !has_interpreter);
    let is_path = |tag: u64| matches!(tag, DT_RPATH | DT_RUNPATH);
    let mut now = new.dynamic.iter().filter(|(tag, _)| !is_path(*tag)).peekable();
    for (index, (tag, value)) in (0_u64..).zip(old.dynamic.iter().filter(|(tag, _)| !is_path(*tag))) {
        match now.peek() {
            Some((new_tag, new_value)) if new_tag == tag => {
                same_value(old, new, *tag, *value, *new_value, old_strings, new_strings, index)?;
                now.next();
            }
            _ if replaceable(*tag) => {}
            _ => return Err(broken(5, "every other dynamic entry is the same", index)),
        }
    }
    match now.next() {
        Some((tag, _)) => Err(broken(5, "no new dynamic tag", *tag)),
        None => Ok(()),
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "two sides of three things and a position; a struct would only rename them"
)]
fn same_value(
    old: &Shape<'_, '_>,
    new: &Shape<'_, '_>,
    tag: u64,
    old_value: u64,
    new_value: u64,
    old_strings: &[u8],
    new_strings: &[u8],
    index: u64,
) -> Result<(), VerifyError> {
    let same = match tag {
        // DT_STRTAB, DT_STRSZ: the table moved; its contents are compared elsewhere.
        5 | 10 => true,
        tag if is_string_tag(tag) => {
            text(old_strings, old_value).is_some_and(|t| text(new_strings, new_value) == Some(t))
        }
        // DT_HASH, DT_SYMTAB, DT_GNU_HASH, DT_VERSYM may move as whole sections.
        4 | 6 | 0x6fff_fef5 | 0x6fff_fff0 if old_value != new_value => same_table(old, new, old_value, new_value),
        0x7000_0035 => true,
        _ => old_value == new_value,
    };
    if same { Ok(()) } else { Err(broken(5, "every other dynamic entry has the same value", index)) }
}

/// A moved table has the same bytes as its section had.
fn same_table(old: &Shape<'_, '_>, new: &Shape<'_, '_>, old_address: u64, new_address: u64) -> bool {
    let section = old.sections.iter().find(|s| s.is_alloc() && s.has_bytes() && s.address == old_address);
    section.is_some_and(|section| {
        let before = read(old.image, section.offset, section.size);
        let offset = new.offset_of(new_address, section.size);
        let after = offset.and_then(|offset| read(new.image, offset, section.size).ok());
        before.is_ok_and(|before| after.is_some_and(|after| before == after))
    })
}

fn text(strings: &[u8], offset: u64) -> Option<&BStr> {
    let rest = strings.get(usize::try_from(offset).ok()?..)?;
    Some(rest.get(..rest.find_byte(0)?)?.as_bstr())
}

/// Invariant 5, symbols: the records are the same; only looked at where something was written.
fn symbols(old: &Shape<'_, '_>, new: &Shape<'_, '_>, changed: &[FileRange]) -> Result<(), VerifyError> {
    let Some((offset, size)) = old.symbol_table() else { return Ok(()) };
    let now = new.symbol_table();
    let Some((new_offset, _)) = now.filter(|(_, new_size)| *new_size == size) else {
        return Err(broken(5, "there are as many symbols", offset));
    };
    let range = FileRange::new(FileOffset::new(offset), size);
    let touched = range.is_some_and(|range| changed.iter().any(|change| change.intersects(range)));
    if (touched || offset != new_offset) && read(old.image, offset, size)? != read(new.image, new_offset, size)? {
        return Err(broken(5, "every symbol is the same", offset));
    }
    Ok(())
}

/// Invariant 5, names: every symbol and version name resolves to the same text.
fn names(old: &Shape<'_, '_>, old_strings: &[u8], new_strings: &[u8]) -> Result<(), VerifyError> {
    if new_strings.starts_with(old_strings) {
        return Ok(());
    }
    let differing = differing(old_strings, new_strings);
    let affected = |offset: u32| {
        usize::try_from(offset).map_or(true, |at| differing.iter().any(|run| run.last_nul < at && at < run.end))
    };
    let offsets = old.symbol_names()?.into_iter().chain(old.version_names());
    for offset in offsets.filter(|offset| affected(*offset)) {
        let offset = u64::from(offset);
        if text(old_strings, offset).is_none_or(|t| text(new_strings, offset) != Some(t)) {
            return Err(broken(5, "every symbol and version name is the same", offset));
        }
    }
    Ok(())
}

/// A run of bytes in which two tables differ; a string that starts behind `last_nul` and before `end` reaches into it.
struct Differing {
    last_nul: usize,
    end: usize,
}

fn differing(old: &[u8], new: &[u8]) -> Vec<Differing> {
    let mut runs: Vec<Differing> = Vec::new();
    let mut at = 0_usize;
    // Searched for the last NUL already, which keeps the whole linear.
    let (mut searched, mut last_nul) = (0_usize, 0_usize);
    while at < old.len() {
        let same = match (old.get(at..), new.get(at..)) {
            (Some(old), Some(new)) => old.iter().zip(new).take_while(|(a, b)| a == b).count(),
            _ => 0,
        };
        let start = at.saturating_add(same);
        if start >= old.len() {
            break;
        }
        let old_rest = old.get(start..).unwrap_or_default();
        let new_rest = new.get(start..).unwrap_or_default();
        let common = old_rest.iter().zip(new_rest).take_while(|(a, b)| a != b).count();
        let len = if new_rest.is_empty() || common == 0 { old_rest.len() } else { common };
        let end = start.saturating_add(len);
        // A name that starts further left reaches the run unless a NUL of the old table lies between.
        let unsearched = old.get(searched..start).unwrap_or_default();
        if let Some(found) = unsearched.iter().rposition(|byte| *byte == 0) {
            last_nul = searched.saturating_add(found);
        }
        searched = start;
        runs.push(Differing { last_nul, end });
        at = end;
    }
    runs
}

/// Invariant 6: sections keep their index and meaning; the string table's header agrees with DT_STRTAB and DT_STRSZ.
fn sections(old: &Shape<'_, '_>, new: &Shape<'_, '_>, changed: &[FileRange]) -> Result<(), VerifyError> {
    if old.sections.len() != new.sections.len() {
        return Err(broken(6, "there are as many sections", len(&new.sections)));
    }
    for (index, (before, after)) in (0_u64..).zip(old.sections.iter().zip(&new.sections)) {
        let became_bytes = before.kind == elf::SHT_NOBITS.0 && after.kind == elf::SHT_PROGBITS.0;
        let same = before.name == after.name
            && (before.kind == after.kind || became_bytes)
            && before.flags == after.flags
            && before.link == after.link
            && before.info == after.info;
        if !same {
            return Err(broken(6, "every section keeps its name, type and flags", index));
        }
        if after.has_bytes() && after.offset.saturating_add(after.size) > new.image.len() {
            return Err(broken(6, "every section lies in the file", index));
        }
        if before.is_alloc() {
            let was_mapped = !before.has_bytes() || is_mapped(old, before);
            if was_mapped && after.has_bytes() && !is_mapped(new, after) {
                return Err(broken(6, "every allocated section lies in a PT_LOAD at its address", index));
            }
            continue;
        }
        if before != after {
            return Err(broken(6, "sections outside the memory image stay where they are", index));
        }
        // Symbols that name a moved section follow it; nothing else in such a section changes.
        let range = FileRange::new(FileOffset::new(before.offset), before.size);
        let touched = range.is_some_and(|range| changed.iter().any(|change| change.intersects(range)));
        if before.has_bytes() && before.kind != elf::SHT_SYMTAB.0 && touched {
            return Err(broken(6, "sections outside the memory image are the same", index));
        }
    }
    let (address, size) = (new.value(5), new.value(10));
    let describes = |section: &&Section| {
        section.kind == elf::SHT_STRTAB.0 && section.is_alloc() && Some(section.address) == address
    };
    if new.sections.len() > 1 && !new.sections.iter().filter(describes).any(|section| Some(section.size) == size) {
        return Err(broken(6, "a section header describes the string table", address.unwrap_or(0)));
    }
    Ok(())
}

fn is_mapped(shape: &Shape<'_, '_>, section: &Section) -> bool {
    shape.offset_of(section.address, section.size) == Some(section.offset)
}

fn len<T>(items: &[T]) -> u64 {
    u64::try_from(items.len()).unwrap_or(u64::MAX)
}

/// Invariant 7: what lies behind everything that a header describes is still the end of the file.
fn payload(old: &Shape<'_, '_>, new: &Shape<'_, '_>, changed: &[FileRange]) -> Result<(), VerifyError> {
    let end = old.content_end();
    if old.image.len().saturating_sub(end) <= 16 {
        return Ok(());
    }
    let touched = changed.iter().any(|change| change.end().get() > end);
    if touched || old.image.len() != new.image.len() {
        return Err(broken(7, "a payload behind the object is still the end of the file", end));
    }
    Ok(())
}

/// Invariant 8: the loader uses the wanted path, and no other path string is left.
fn path(new: &Shape<'_, '_>, new_strings: &[u8], change: &Change) -> Result<(), VerifyError> {
    let wanted = match change {
        Change::Set { tag: PathTag::Runpath, path } => Some((DT_RUNPATH, path.as_bstr())),
        Change::Set { tag: PathTag::Rpath, path } => Some((DT_RPATH, path.as_bstr())),
        Change::Remove => None,
    };
    let found: BTreeSet<(u64, Option<&BStr>)> = new
        .dynamic
        .iter()
        .filter(|(tag, _)| matches!(*tag, DT_RPATH | DT_RUNPATH))
        .map(|(tag, offset)| (*tag, text(new_strings, *offset)))
        .collect();
    let expected: BTreeSet<(u64, Option<&BStr>)> = wanted.iter().map(|(tag, path)| (*tag, Some(*path))).collect();
    if found == expected {
        return Ok(());
    }
    Err(VerifyError::WrongPath {
        found: found.last().and_then(|(_, text)| text.map(ToOwned::to_owned)),
        wanted: wanted.map(|(_, path)| path.to_owned()),
    })
}
