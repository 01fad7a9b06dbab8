//! A file that became shorter: where each byte of it is now, by the addresses that it has in memory, and whether everything
//! that its headers say is still so.

use object::elf;

use super::error::{VerifyError, broken};
use super::segments::pieces;
use super::shape::{RawSection, RawSegment, Shape, read};
use crate::elf::image::Image;
use crate::elf::units::{FileOffset, FileRange, len64};

/// Where bytes of the old file are in the new one.
#[derive(Debug)]
pub(super) enum Places {
    /// Where they were.
    Same,
    /// What is mapped is where memory has it; the rest was compared by [`compacted`], and is not asked for.
    Moved(Vec<Mapped>),
}

/// Some bytes in a row that are in one place now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mapped {
    /// Old offset.
    pub(super) was: u64,
    /// How many bytes.
    pub(super) len: u64,
    /// New offset; zeros that the file does not have without one.
    pub(super) now: Option<u64>,
}

impl Places {
    /// The pieces of a range of the old file, in order. What is not mapped is left out of a moved file.
    pub(super) fn of(&self, range: FileRange) -> Vec<Mapped> {
        let (start, end) = (range.start().get(), range.end().get());
        match self {
            Self::Same if range.is_empty() => Vec::new(),
            Self::Same => vec![Mapped { was: start, len: range.len(), now: Some(start) }],
            Self::Moved(all) => {
                let first = all.partition_point(|piece| piece.was.saturating_add(piece.len) <= start);
                let pieces = all.iter().skip(first).take_while(|piece| piece.was < end);
                let cut = |piece: &Mapped| {
                    let from = piece.was.max(start);
                    let to = piece.was.saturating_add(piece.len).min(end);
                    let skipped = from.saturating_sub(piece.was);
                    Mapped {
                        was: from,
                        len: to.saturating_sub(from),
                        now: piece.now.map(|now| now.saturating_add(skipped)),
                    }
                };
                pieces.map(cut).collect()
            }
        }
    }
}

/// Compares the headers of both, and what is not mapped; says where everything that is mapped is now.
///
/// # Errors
/// [`VerifyError`] names the first invariant that does not hold.
pub(super) fn compacted(before: &Image<'_>, after: &Image<'_>) -> Result<Places, VerifyError> {
    let (old, new) = (Shape::parse(before)?, Shape::parse(after)?);
    header(&old, &new)?;
    loads(&new)?;
    let places = mapped(&old, &new)?;
    others(&old, &new)?;
    sections(&old, &new)?;
    if old.content_end() < before.len() && !is_zero(before, old.content_end())? {
        return Err(broken(7, "nothing stands behind the object", old.content_end()));
    }
    Ok(Places::Moved(places))
}

fn is_zero(image: &Image<'_>, from: u64) -> Result<bool, VerifyError> {
    for piece in FileRange::between(from, image.len()).into_iter().flat_map(pieces) {
        if read(image, piece.start().get(), piece.len())?.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Invariant 1: the ELF header is the same but for where its tables are, and how long.
fn header(old: &Shape<'_, '_>, new: &Shape<'_, '_>) -> Result<(), VerifyError> {
    const E_SHNUM: usize = 8;
    let ((old_ident, old_fields), (new_ident, new_fields)) = (&old.constant_header, &new.constant_header);
    let mut fields = (0_usize..).zip(old_fields.iter().zip(new_fields));
    let is_same = fields.all(|(index, (was, now))| was == now || index == E_SHNUM);
    let is_behind = new.table_offset == new.header_size;
    if old_ident == new_ident && is_same && is_behind {
        return Ok(());
    }
    Err(broken(1, "the ELF header is the same", 0))
}

/// Invariant 2, as loaders and kernels ask it: PT_LOADs ascend without sharing a page, congruent, in the file.
fn loads(new: &Shape<'_, '_>) -> Result<(), VerifyError> {
    let mut end = 0_u64;
    for load in new.segments.iter().filter(|segment| segment.is_load()) {
        let mask = load.align.max(1).wrapping_sub(1);
        if load.address < end {
            return Err(broken(2, "PT_LOAD segments ascend", load.address));
        }
        if !load.align.max(1).is_power_of_two() || load.address & mask != load.offset & mask {
            return Err(broken(2, "p_vaddr and p_offset agree modulo p_align", load.address));
        }
        if load.file_size > load.memory_size || load.file_size > 0 && load.file_end() > new.image.len() {
            return Err(broken(2, "a PT_LOAD lies in the file", load.address));
        }
        end = load.memory_end();
    }
    Ok(())
}

/// Invariant 3: every old PT_LOAD is covered by new ones with its flags, exactly, and they part at pages only.
fn mapped(old: &Shape<'_, '_>, new: &Shape<'_, '_>) -> Result<Vec<Mapped>, VerifyError> {
    let page = page(new);
    let mut found = Vec::new();
    let mut parts = new.segments.iter().filter(|segment| segment.is_load()).peekable();
    for load in old.segments.iter().filter(|segment| segment.is_load()) {
        let file_end = load.address.saturating_add(load.file_size);
        let mut at = load.address;
        while let Some(part) = parts.peek().filter(|part| part.address < load.memory_end() || at == load.address) {
            let is_right = part.address == at
                && part.flags == load.flags
                && part.memory_end() <= load.memory_end()
                && (at == load.address || at & page.wrapping_sub(1) == 0);
            let bytes_end = part.address.saturating_add(part.file_size);
            let is_last = part.memory_end() == load.memory_end();
            // A part that ends in zeros ends its bytes with a page: the loader need not clear the rest of one.
            let ends_well = is_last || bytes_end & page.wrapping_sub(1) == 0;
            // Memory that a file filled is filled by one, or is zero; memory that none filled stays so.
            let fills_zeros = bytes_end > file_end;
            if !is_right || !ends_well || fills_zeros {
                return Err(broken(3, "the parts of a PT_LOAD are that PT_LOAD", part.address));
            }
            let offset = |address: u64| load.offset.saturating_add(address.saturating_sub(load.address));
            found.push(Mapped { was: offset(at), len: part.file_size, now: Some(part.offset) });
            let zeros_end = part.memory_end().min(file_end);
            if zeros_end > bytes_end {
                let len = zeros_end.saturating_sub(bytes_end);
                found.push(Mapped { was: offset(bytes_end), len, now: None });
            }
            at = part.memory_end();
            parts.next();
            if is_last {
                break;
            }
        }
        if at != load.memory_end() {
            return Err(broken(3, "every PT_LOAD is still mapped", load.address));
        }
    }
    if let Some(extra) = parts.next() {
        return Err(broken(3, "no new memory", extra.address));
    }
    found.retain(|piece| piece.len > 0);
    found.sort_by_key(|piece| piece.was);
    let mut pairs = found.iter().zip(found.iter().skip(1));
    if let Some((first, _)) = pairs.find(|(first, second)| first.was.saturating_add(first.len) > second.was) {
        return Err(broken(2, "no two PT_LOADs have the same bytes", first.was));
    }
    Ok(found)
}

/// The largest page of a kernel for the machine: EM_386, EM_S390, EM_X86_64, EM_RISCV have pages of 4 KiB only.
fn page(shape: &Shape<'_, '_>) -> u64 {
    if matches!(shape.machine(), 3 | 22 | 62 | 243) { 0x1000 } else { 0x1_0000 }
}

/// Invariant 4: every other program header names the same memory, where it is now. The table is mapped no more, and a
/// library needs no PT_PHDR.
fn others(old: &Shape<'_, '_>, new: &Shape<'_, '_>) -> Result<(), VerifyError> {
    let is_program = |segment: &RawSegment| segment.kind == elf::PT_INTERP.0;
    if old.segments.iter().any(is_program) {
        return Err(broken(4, "programs keep their layout", 0));
    }
    let is_other = |segment: &&RawSegment| !segment.is_load() && segment.kind != elf::PT_PHDR.0;
    let mut now = new.segments.iter().filter(|segment| !segment.is_load());
    for was in old.segments.iter().filter(is_other) {
        let right = now.next().is_some_and(|now| {
            let is_named = (was.kind, was.flags, was.address, was.file_size, was.memory_size, was.align)
                == (now.kind, now.flags, now.address, now.file_size, now.memory_size, now.align);
            is_named
                && (now.file_size == 0
                    || is_at(new, now.address, now.file_size, now.offset)
                    || same_unmapped(old, new, was, now))
        });
        if !right {
            return Err(broken(4, "every program header names the same bytes", was.offset));
        }
    }
    match now.next() {
        Some(extra) => Err(broken(4, "no new program header but a PT_LOAD", extra.offset)),
        None => Ok(()),
    }
}

fn is_at(shape: &Shape<'_, '_>, address: u64, size: u64, offset: u64) -> bool {
    shape.offset_of(address, size) == Some(offset)
}

/// What no PT_LOAD maps has the same bytes, wherever they are.
fn same_unmapped(old: &Shape<'_, '_>, new: &Shape<'_, '_>, was: &RawSegment, now: &RawSegment) -> bool {
    old.offset_of(was.address, was.file_size).is_none() && same_bytes(old, new, (was.offset, now.offset), was.file_size)
}

fn same_bytes(old: &Shape<'_, '_>, new: &Shape<'_, '_>, (was, now): (u64, u64), len: u64) -> bool {
    let range = FileRange::new(FileOffset::new(was), len);
    range.is_some_and(|range| {
        pieces(range).all(|piece| {
            let within = piece.start().get().saturating_sub(was);
            let before = read(old.image, piece.start().get(), piece.len());
            let after = read(new.image, now.saturating_add(within), piece.len());
            before.is_ok_and(|before| after.is_ok_and(|after| std::ptr::eq(&*before, &*after) || before == after))
        })
    })
}

/// Invariant 6: sections keep their number and meaning; what was cut is there in parts, which are its memory.
fn sections(old: &Shape<'_, '_>, new: &Shape<'_, '_>) -> Result<(), VerifyError> {
    let Some((kept, more)) = new.sections.split_at_checked(old.sections.len()) else {
        return Err(broken(6, "there are as many sections", len64(&new.sections)));
    };
    let mut more = more.iter();
    let mut cut: Vec<(u64, &RawSection, &RawSection)> = Vec::new();
    for (index, (was, now)) in (0_u64..).zip(old.sections.iter().zip(kept)) {
        if !means_the_same(was, now) || was.kind != now.kind {
            return Err(broken(6, "every section keeps its name, type and flags", index));
        }
        if (was.address, was.size) != (now.address, now.size) {
            let is_tail = was.kind == elf::SHT_PROGBITS.0
                && was.is_alloc()
                && now.address > was.address
                && now.address.checked_add(now.size) == was.address.checked_add(was.size);
            if !is_tail || !is_at(new, now.address, now.size, now.offset) {
                return Err(broken(6, "every section keeps its place in memory", index));
            }
            cut.push((index, was, now));
        } else if was.has_bytes() && was.is_alloc() {
            let was_mapped = is_at(old, was.address, was.size, was.offset);
            let is_right = match was_mapped {
                true => is_at(new, now.address, now.size, now.offset),
                false => same_bytes(old, new, (was.offset, now.offset), was.size),
            };
            if !is_right {
                return Err(broken(6, "every allocated section lies in a PT_LOAD at its address", index));
            }
        } else if was.has_bytes() && !same_bytes(old, new, (was.offset, now.offset), was.size) {
            return Err(broken(6, "sections outside the memory image are the same", index));
        }
    }
    // In the order of their addresses, as their sections are cut.
    cut.sort_by_key(|(_, was, _)| was.address);
    for (index, was, tail) in cut {
        let mut at = was.address;
        while at < tail.address {
            let part = more.next().filter(|part| {
                let is_gap = part.kind == elf::SHT_NOBITS.0 && is_zero_memory(new, part.address, part.size);
                let is_part = part.kind == elf::SHT_PROGBITS.0 && is_at(new, part.address, part.size, part.offset);
                means_the_same(was, part) && part.address == at && part.size > 0 && (is_gap || is_part)
            });
            let Some(part) = part else { return Err(broken(6, "the parts of a section are that section", index)) };
            at = at.saturating_add(part.size);
        }
        if at != tail.address {
            return Err(broken(6, "the parts of a section are that section", index));
        }
    }
    match more.next() {
        Some(extra) => Err(broken(6, "no new section but the parts of one", extra.address)),
        None => Ok(()),
    }
}

fn means_the_same(was: &RawSection, now: &RawSection) -> bool {
    (was.name, was.flags, was.link, was.info, was.align, was.entry_size)
        == (now.name, now.flags, now.link, now.info, now.align, now.entry_size)
}

/// Whether the loader puts zeros there.
fn is_zero_memory(shape: &Shape<'_, '_>, address: u64, size: u64) -> bool {
    shape.segments.iter().filter(|segment| segment.is_load()).any(|load| {
        let zeros = load.address.saturating_add(load.file_size);
        zeros <= address && address.checked_add(size).is_some_and(|end| end <= load.memory_end())
    })
}
