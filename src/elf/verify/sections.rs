//! Invariants 6 and 7: what the section headers say, and what lies behind everything that a header describes.

use object::elf;

use super::cache_note::CacheNote;
use super::error::{VerifyError, broken};
use super::segments::{compare, pieces};
use super::shape::{RawSection, Shape, read};
use crate::elf::ranges::RangeSet;
use crate::elf::runs::all_zero;
use crate::elf::units::{FileOffset, FileRange, len64};

/// Invariant 6: sections keep their index and meaning; the string table's header agrees with DT_STRTAB and DT_STRSZ.
pub(super) fn sections(
    old: &Shape<'_, '_>,
    new: &Shape<'_, '_>,
    changed: &RangeSet,
    notes: &[CacheNote],
) -> Result<(), VerifyError> {
    if old.sections.len() != new.sections.len() {
        return Err(broken(6, "there are as many sections", len64(&new.sections)));
    }
    for (index, (before, after)) in (0_u64..).zip(old.sections.iter().zip(&new.sections)) {
        let became_bytes = before.kind == elf::SHT_NOBITS.0 && after.kind == elf::SHT_PROGBITS.0;
        let same = before.name == after.name
            && (before.kind == after.kind || became_bytes)
            && before.flags == after.flags
            && (before.link, before.info) == (after.link, after.info)
            && (before.align, before.entry_size) == (after.align, after.entry_size);
        if !same {
            return Err(broken(6, "every section keeps its name, type and flags", index));
        }
        if after.has_bytes() && after.offset.saturating_add(after.size) > new.image.len() {
            return Err(broken(6, "every section lies in the file", index));
        }
        let touched = FileRange::new(FileOffset::new(before.offset), if before.has_bytes() { before.size } else { 0 })
            .is_some_and(|range| changed.intersects(range));
        if before.is_alloc() {
            loaded_section(old, new, (before, after), touched, notes).map_err(|what| broken(6, what, index))?;
        } else if before != after {
            return Err(broken(6, "sections outside the memory image stay where they are", index));
        } else if touched && before.kind == elf::SHT_SYMTAB.0 {
            static_symbols(old, new, before, changed).map_err(|what| broken(6, what, index))?;
        } else if touched {
            return Err(broken(6, "sections outside the memory image are the same", index));
        }
    }
    let (address, size) = (new.value(5), new.value(10));
    let describes = |section: &&RawSection| {
        section.kind == elf::SHT_STRTAB.0 && section.is_alloc() && Some(section.address) == address
    };
    if new.sections.len() > 1 && !new.sections.iter().filter(describes).any(|section| Some(section.size) == size) {
        return Err(broken(6, "a section header describes the string table", address.unwrap_or(0)));
    }
    Ok(())
}

/// An allocated section is mapped where its header says, and has its bytes there; only the dynamic section, its strings
/// and the resolution cache may have others.
fn loaded_section(
    old: &Shape<'_, '_>,
    new: &Shape<'_, '_>,
    (before, after): (&RawSection, &RawSection),
    touched: bool,
    notes: &[CacheNote],
) -> Result<(), &'static str> {
    let is_strings = Some(before.address) == old.value(5) && before.kind == elf::SHT_STRTAB.0;
    let is_dynamic = before.kind == elf::SHT_DYNAMIC.0;
    if before.size != after.size && !is_strings && !is_dynamic {
        return Err("every section keeps its size");
    }
    if before.address != after.address && !before.has_bytes() {
        return Err("zero-initialised sections keep their address");
    }
    let was_mapped = !before.has_bytes() || is_mapped(old, before);
    if was_mapped && after.has_bytes() && !is_mapped(new, after) {
        return Err("every allocated section lies in a PT_LOAD at its address");
    }
    if !was_mapped && before != after {
        return Err("a section that contradicts the PT_LOADs stays as it is");
    }
    let moved = (before.address, before.offset) != (after.address, after.offset);
    if is_strings || is_dynamic || !before.has_bytes() || !(moved || touched) {
        return Ok(());
    }
    let allowed: Vec<(u64, u64)> = notes.iter().map(CacheNote::bounds).collect();
    let range = FileRange::new(FileOffset::new(before.offset), before.size);
    for piece in range.into_iter().flat_map(pieces) {
        let within = piece.start().get().saturating_sub(before.offset);
        let was = read(old.image, piece.start().get(), piece.len()).map_err(|_| "every section can be read")?;
        let now = read(new.image, after.offset.saturating_add(within), piece.len());
        let now = now.map_err(|_| "every section can be read")?;
        compare(&was, &now, piece.start().get(), &allowed).map_err(|_| "every section has the same bytes")?;
    }
    Ok(())
}

/// Symbols of a moved section follow it; nothing else in `.symtab` changes.
fn static_symbols(
    old: &Shape<'_, '_>,
    new: &Shape<'_, '_>,
    section: &RawSection,
    changed: &RangeSet,
) -> Result<(), &'static str> {
    const UNREADABLE: &str = "every symbol can be read";
    let range = FileRange::new(FileOffset::new(section.offset), section.size).ok_or(UNREADABLE)?;
    // The table can have hundreds of thousands: only records that a write touches are looked at.
    for touched in changed.within(range) {
        let within = |offset: FileOffset| offset.since(range.start()).unwrap_or(0);
        let first = within(touched.start()).checked_div(old.symbol_size).unwrap_or(0);
        let last = within(touched.end()).div_ceil(old.symbol_size);
        let start = first.saturating_mul(old.symbol_size);
        let len = last.saturating_mul(old.symbol_size).min(section.size).saturating_sub(start);
        symbol_records(old, new, section.offset.saturating_add(start), len)?;
    }
    Ok(())
}

fn symbol_records(old: &Shape<'_, '_>, new: &Shape<'_, '_>, offset: u64, len: u64) -> Result<(), &'static str> {
    const UNREADABLE: &str = "every symbol can be read";
    let size = usize::try_from(old.symbol_size).map_err(|_| UNREADABLE)?;
    let was = read(old.image, offset, len).map_err(|_| UNREADABLE)?;
    let now = read(new.image, offset, len).map_err(|_| UNREADABLE)?;
    for (was, now) in was.chunks(size).zip(now.chunks(size)).filter(|(was, now)| was != now) {
        let (Some(was), Some(now)) = (old.symbol_parts(was), new.symbol_parts(now)) else { return Err(UNREADABLE) };
        let index = usize::from(was.section);
        let (Some(from), Some(to)) = (old.sections.get(index), new.sections.get(index)) else { return Err(UNREADABLE) };
        let highest = if size == 24 { u64::MAX } else { u64::from(u32::MAX) };
        let follows = now.value == was.value.wrapping_sub(from.address).wrapping_add(to.address) & highest;
        if !follows || was.rest != now.rest {
            return Err("symbols change only with the section that they name");
        }
    }
    Ok(())
}

fn is_mapped(shape: &Shape<'_, '_>, section: &RawSection) -> bool {
    shape.offset_of(section.address, section.size) == Some(section.offset)
}

/// Invariant 7: what lies behind everything that a header describes is still the end of the file.
pub(super) fn payload(old: &Shape<'_, '_>, new: &Shape<'_, '_>, changed: &RangeSet) -> Result<(), VerifyError> {
    let end = old.content_end();
    // Nothing but zeros is padding, as long as a linker would leave it.
    const MOST_PADDING: u64 = 64 << 20;
    let rest = FileRange::between(end, old.image.len());
    let is_short = rest.is_none_or(|rest| rest.len() <= MOST_PADDING);
    let mut pieces = rest.into_iter().flat_map(pieces);
    let is_zero =
        |piece: FileRange| read(old.image, piece.start().get(), piece.len()).is_ok_and(|bytes| all_zero(&bytes));
    if is_short && pieces.all(is_zero) {
        return Ok(());
    }
    let touched = changed.meets(end, u64::MAX);
    if touched || old.image.len() != new.image.len() {
        return Err(broken(7, "a payload behind the object is still the end of the file", end));
    }
    Ok(())
}
