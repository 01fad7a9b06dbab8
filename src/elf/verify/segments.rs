//! Invariants 2 to 4: what is mapped, and what the program header table names.

use object::elf;

use super::cache_note::CacheNote;
use super::error::{VerifyError, broken};
use super::shape::{RawSegment, Shape, read};
use crate::elf::ranges::RangeSet;
use crate::elf::units::{FileOffset, FileRange, len64};

/// Large segments are compared piecewise.
const PIECE: u64 = 1 << 16;
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// Invariant 2: PT_LOADs ascend, do not overlap, are congruent and in the file; one that is new or grew shares no page.
pub(super) fn loads(old: &Shape<'_, '_>, new: &Shape<'_, '_>) -> Result<(), VerifyError> {
    let page = page(new);
    let mut end = 0;
    let mut before: Option<&RawSegment> = None;
    for load in new.segments.iter().filter(|segment| segment.is_load()) {
        let was = old.segments.iter().find(|o| o.is_load() && o.address == load.address);
        let align = load.align.max(1);
        let grew = |now: &RawSegment| {
            let old = old.segments.iter().find(|o| o.is_load() && o.address == now.address);
            old.is_some_and(|old| now.memory_size > old.memory_size)
        };
        let shares_page = (was.is_none() || before.is_some_and(grew)) && load.address & !(page.wrapping_sub(1)) < end;
        if load.address < end || shares_page {
            return Err(broken(2, "PT_LOAD segments ascend without sharing a page", load.address));
        }
        let congruent = load.address & align.wrapping_sub(1) == load.offset & align.wrapping_sub(1);
        // Some linkers' files are that modulo a page only, which is how they load; where they were they may stay.
        let by_pages = (load.address ^ load.offset) & 0xfff == 0;
        let stays = by_pages && was.is_some_and(|was| (was.offset, was.align) == (load.offset, load.align));
        if load.file_size > 0 && !((congruent || stays) && align.is_power_of_two()) {
            return Err(broken(2, "p_vaddr and p_offset agree modulo p_align", load.address));
        }
        // Without bytes in the file, its offset means nothing (glibc elf/dl-map-segments.h).
        let is_outside = load.file_size > 0 && load.file_end() > new.image.len();
        if load.file_size > load.memory_size || is_outside {
            return Err(broken(2, "a PT_LOAD lies in the file", load.address));
        }
        match was {
            // Only a segment that was written anew may lower its alignment.
            Some(was) if was.align != load.align && was.offset == load.offset => {
                return Err(broken(2, "a PT_LOAD keeps its alignment", load.address));
            }
            None if load.flags & elf::PF_X.0 != 0 => return Err(broken(3, "no new executable memory", load.address)),
            None if load.flags & elf::PF_W.0 != 0 && !holds_dynamic(load, new) => {
                return Err(broken(3, "no new writable memory but for the dynamic section", load.address));
            }
            _ => {}
        }
        end = load.memory_end();
        before = Some(load);
    }
    Ok(())
}

fn holds_dynamic(load: &RawSegment, shape: &Shape<'_, '_>) -> bool {
    let dynamic = &shape.dynamic_segment;
    load.address <= dynamic.address && dynamic.memory_end() <= load.memory_end()
}

/// The largest page of a kernel that can load the object: its machine's, unless a PT_LOAD is aligned to less.
fn page(shape: &Shape<'_, '_>) -> u64 {
    // EM_386, EM_S390, EM_X86_64, EM_RISCV have pages of 4 KiB only.
    let largest = if matches!(shape.machine(), 3 | 22 | 62 | 243) { 0x1000 } else { 0x1_0000 };
    let aligned = shape.segments.iter().filter(|segment| segment.is_load() && segment.align > 1);
    aligned.map(|segment| segment.align).min().unwrap_or(largest).min(largest)
}

/// Invariant 3: every original byte is at its address and the same, outside what the edit is about.
pub(super) fn memory(
    old: &Shape<'_, '_>,
    new: &Shape<'_, '_>,
    changed: &RangeSet,
    notes: &[CacheNote],
) -> Result<(), VerifyError> {
    let allowed = allowed(old, new, notes);
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
        let touched = all.iter().flat_map(|all| changed.within(*all));
        let whole = all.filter(|_| moved);
        for range in whole.into_iter().chain(touched.filter(|_| !moved)).flat_map(pieces) {
            let within = range.start().get().saturating_sub(load.offset);
            let before = read(old.image, range.start().get(), range.len())?;
            let after = read(new.image, now_offset.saturating_add(within), range.len())?;
            compare(&before, &after, range.start().get(), &allowed)?;
        }
        let zeros_at = now_offset.saturating_add(load.file_size);
        let zeros_end = now_offset.saturating_add(load.memory_size).min(now.file_end());
        let zeros = FileRange::new(FileOffset::new(zeros_at), zeros_end.saturating_sub(zeros_at));
        for range in zeros.into_iter().flat_map(pieces) {
            let bytes = read(new.image, range.start().get(), range.len())?;
            if ZEROS.get(..bytes.len()) != Some(&*bytes) {
                return Err(broken(3, "zero-initialised memory is zero", range.start().get()));
            }
        }
    }
    Ok(())
}

/// File ranges of the old object whose bytes an edit may change.
fn allowed(old: &Shape<'_, '_>, new: &Shape<'_, '_>, notes: &[CacheNote]) -> Vec<(u64, u64)> {
    let headers = [
        (0, old.header_size),
        (old.table_offset, old.table_offset.saturating_add(old.table_size)),
        (new.table_offset, new.table_offset.saturating_add(new.table_size)),
        (old.dynamic_offset, old.dynamic_offset.saturating_add(old.dynamic_size)),
        (old.section_table_offset, old.section_table_offset.saturating_add(old.section_table_size)),
        strings_range(old).unwrap_or_default(),
    ];
    headers.into_iter().chain(notes.iter().map(CacheNote::bounds)).collect()
}

/// The file bytes of the dynamic string table.
fn strings_range(shape: &Shape<'_, '_>) -> Option<(u64, u64)> {
    let (address, size) = (shape.value(5)?, shape.value(10)?);
    let offset = shape.offset_of(address, size)?;
    Some((offset, offset.saturating_add(size)))
}

/// A range in pieces of bounded size.
pub(super) fn pieces(range: FileRange) -> impl Iterator<Item = FileRange> {
    let mut at = range.start();
    std::iter::from_fn(move || {
        let len = range.end().since(at)?.min(PIECE);
        let piece = FileRange::new(at, len).filter(|piece| !piece.is_empty())?;
        at = piece.end();
        Some(piece)
    })
}

pub(super) fn compare(before: &[u8], after: &[u8], start: u64, allowed: &[(u64, u64)]) -> Result<(), VerifyError> {
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

/// Invariant 5: the string table lies where it may be read, as before.
pub(super) fn readable(old: &Shape<'_, '_>, new: &Shape<'_, '_>) -> Result<(), VerifyError> {
    let may_read = |shape: &Shape<'_, '_>| {
        let load = shape.load_at(shape.value(5)?, shape.value(10)?)?;
        Some(load.flags & elf::PF_R.0 != 0)
    };
    if may_read(new) == Some(true) || may_read(new) == may_read(old) {
        return Ok(());
    }
    Err(broken(5, "the string table may be read", new.value(5).unwrap_or(0)))
}

/// Invariant 4, PT_DYNAMIC: loaders find it by address, tools by offset; it stays writable where it was.
pub(super) fn dynamic_segment(old: &Shape<'_, '_>, new: &Shape<'_, '_>) -> Result<(), VerifyError> {
    let (was, now) = (&old.dynamic_segment, &new.dynamic_segment);
    let count = |shape: &Shape<'_, '_>| shape.segments.iter().filter(|s| s.kind == elf::PT_DYNAMIC.0).count();
    let moved = was.address != now.address;
    let size_is_right = if moved { now.memory_size == now.file_size } else { now.memory_size == was.memory_size };
    let flags = |shape: &Shape<'_, '_>, segment: &RawSegment| {
        shape.load_at(segment.address, segment.file_size).map(|load| load.flags & elf::PF_W.0)
    };
    let right = count(new) == 1
        && new.offset_of(now.address, now.file_size) == Some(now.offset)
        && (was.flags, was.align) == (now.flags, now.align)
        && size_is_right
        && (moved || was.file_size == now.file_size)
        && flags(old, was) == flags(new, now);
    if right {
        Ok(())
    } else {
        Err(broken(4, "PT_DYNAMIC names the dynamic section, in memory as writable as before", now.offset))
    }
}

/// Invariant 4: PT_PHDR names the table; every other program header names the same bytes.
pub(super) fn other_segments(old: &Shape<'_, '_>, new: &Shape<'_, '_>, notes: &[CacheNote]) -> Result<(), VerifyError> {
    for segment in new.segments.iter().filter(|segment| segment.kind == elf::PT_PHDR.0) {
        if !is_table(new, segment) && !is_as_wrong_as_before(old, new, segment) {
            return Err(broken(4, "PT_PHDR is the program header table and mapped", segment.offset));
        }
    }
    let has_interpreter = old.segments.iter().any(|segment| segment.kind == elf::PT_INTERP.0);
    let mut rest: Vec<&RawSegment> = new.segments.iter().filter(|segment| is_plain(segment)).collect();
    for segment in old.segments.iter().filter(|segment| is_plain(segment)) {
        let found = rest.iter().position(|now| same_segment(old, new, segment, now, notes));
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

/// Invariant 4: notes that a program reads at its ELF header's address plus their offset (compiler-rt's coverage run time does)
/// lie there.
pub(super) fn own_notes(old: &Shape<'_, '_>, new: &Shape<'_, '_>) -> Result<(), VerifyError> {
    const COVERAGE: &[u8] = b"__llvm_prf_";
    let has_coverage = old.sections.iter().filter(|section| section.is_alloc()).any(|section| {
        let name = old.section_name_start(section, len64(COVERAGE));
        name.is_some_and(|name| *name == *COVERAGE)
    });
    let strays = |shape: &Shape<'_, '_>| {
        let distance = |segment: &RawSegment| segment.address.wrapping_sub(segment.offset);
        let first = shape.segments.iter().find(|segment| segment.is_load()).map(distance);
        let mut notes = shape.segments.iter().filter(|segment| segment.kind == elf::PT_NOTE.0);
        notes.find(|note| Some(distance(note)) != first).map(|note| note.offset)
    };
    match strays(new) {
        Some(offset) if has_coverage && strays(old).is_none() => {
            Err(broken(4, "notes lie where the program reads them", offset))
        }
        _ => Ok(()),
    }
}

/// Whether a PT_PHDR names the whole program header table where it is mapped.
fn is_table(shape: &Shape<'_, '_>, segment: &RawSegment) -> bool {
    segment.offset == shape.table_offset
        && (segment.file_size, segment.memory_size) == (shape.table_size, shape.table_size)
        && shape.offset_of(segment.address, segment.file_size) == Some(segment.offset)
}

/// Whether a PT_PHDR names the same place as one that was no better, and is longer than that by what the table grew by.
/// Kernels and loaders take its address alone, and LIEF from 0.15 to 1.0 leaves it with a size that is not the table's.
fn is_as_wrong_as_before(old: &Shape<'_, '_>, new: &Shape<'_, '_>, segment: &RawSegment) -> bool {
    let Some(growth) = new.table_size.checked_sub(old.table_size).filter(|_| new.table_offset == old.table_offset)
    else {
        return false;
    };
    let grown = |was: u64| was.checked_add(growth);
    let mut before = old.segments.iter().filter(|was| was.kind == elf::PT_PHDR.0 && !is_table(old, was));
    before.any(|was| {
        let is_mapped = |shape: &Shape<'_, '_>, one: &RawSegment| shape.offset_of(one.address, 1) == Some(one.offset);
        (was.offset, was.address, was.flags, was.align)
            == (segment.offset, segment.address, segment.flags, segment.align)
            && grown(was.file_size) == Some(segment.file_size)
            && grown(was.memory_size) == Some(segment.memory_size)
            && (!is_mapped(old, was) || is_mapped(new, segment))
    })
}

/// Not one of those that this edit is about.
fn is_plain(segment: &RawSegment) -> bool {
    ![elf::PT_LOAD, elf::PT_PHDR, elf::PT_DYNAMIC, elf::PT_NULL].iter().any(|kind| kind.0 == segment.kind)
}

fn same_segment(
    old: &Shape<'_, '_>,
    new: &Shape<'_, '_>,
    segment: &RawSegment,
    now: &RawSegment,
    notes: &[CacheNote],
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
    let allowed = notes.iter().map(CacheNote::bounds);
    let allowed: Vec<(u64, u64)> = allowed.chain(dynamic_part(old, segment)).collect();
    let range = FileRange::new(FileOffset::new(segment.offset), segment.file_size);
    range.into_iter().flat_map(pieces).all(|piece| {
        let within = piece.start().get().saturating_sub(segment.offset);
        let before = read(old.image, piece.start().get(), piece.len());
        let after = read(new.image, now.offset.saturating_add(within), piece.len());
        before.is_ok_and(|b| after.is_ok_and(|a| compare(&b, &a, piece.start().get(), &allowed).is_ok()))
    })
}

/// PT_GNU_RELRO and others may hold the dynamic section and the string table, which change.
fn dynamic_part(old: &Shape<'_, '_>, segment: &RawSegment) -> Vec<(u64, u64)> {
    let dynamic = (old.dynamic_offset, old.dynamic_offset.saturating_add(old.dynamic_size));
    let mut parts: Vec<(u64, u64)> = [dynamic].into_iter().chain(strings_range(old)).collect();
    parts.retain(|(from, to)| *from < segment.file_end() && segment.offset < *to);
    parts
}

/// Program headers whose place a PT_LOAD may take: an empty note, or one that PT_GNU_PROPERTY names too.
fn is_dispensable(old: &Shape<'_, '_>, segment: &RawSegment) -> bool {
    let is_property = |other: &RawSegment| {
        other.kind == elf::PT_GNU_PROPERTY.0 && other.offset == segment.offset && other.file_size == segment.file_size
    };
    segment.kind == elf::PT_NOTE.0 && (segment.file_size == 0 || old.segments.iter().any(is_property))
}
