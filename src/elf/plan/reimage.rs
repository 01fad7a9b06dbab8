//! Rungs that put the last PT_LOAD's bytes once more at the end of the file, with the string table behind them.
//!
//! No address changes and the program header table keeps its size, so this works for code-first layouts too.

use super::block::PAYLOAD;
use super::draft::Draft;
use super::draft::Rung;
use super::in_table::needs_slot;
use super::layout::Layout;
use super::patch::{Content, Patch, Stage};
use crate::elf::record::{Segment, pt, sht};
use crate::elf::units::{Alignment, FileOffset, FileRange, Fits};

/// A copy of the segment this small is cheaper than moving anything.
const SMALL: u64 = 64 * 1024;
/// A copy larger than this is more than a user expects of a changed path.
const LARGE: u64 = 256 << 20;

/// h: a last PT_LOAD of at most 64 KiB or a sixteenth of the file.
pub(super) fn small<'g>(layout: &'g Layout<'g>) -> Rung<'g> {
    reimage(layout, SMALL.max(layout.file_len >> 4))
}

/// j: a last PT_LOAD of at most 256 MiB.
pub(super) fn large<'g>(layout: &'g Layout<'g>) -> Rung<'g> {
    reimage(layout, LARGE)
}

fn reimage<'g>(layout: &'g Layout<'g>, most: u64) -> Rung<'g> {
    needs_slot(layout)?;
    let view = layout.view;
    if layout.has_payload() {
        return Err(PAYLOAD);
    }
    if let Some(sequel) = layout.sequel {
        return Err(sequel.reason());
    }
    let index = view.segments.iter().rposition(Segment::is_load).ok_or("there is no PT_LOAD")?;
    let load = view.segments.get(index).ok_or("there is no PT_LOAD")?;
    let old = load.file_range().fits()?;
    if load.flags & pt::PF_R == 0 {
        return Err("the last PT_LOAD may not be read");
    }
    if load.is_executable() {
        return Err("the last PT_LOAD holds code");
    }
    let header = FileRange::new(FileOffset::new(0), view.encoding.header_size()).fits()?;
    if old.intersects(header) || view.table_range().is_none_or(|table| old.intersects(table)) {
        return Err("the last PT_LOAD holds the program header table");
    }
    let mut others = view.segments.iter().enumerate().filter(|(other, segment)| *other != index && segment.is_load());
    if others.any(|(_, other)| other.file_range().is_none_or(|range| range.intersects(old))) {
        // What lies there would count from the copy for some and from the original for others.
        return Err("another PT_LOAD maps bytes of the last one");
    }
    let table_size = layout.new_table_size().fits()?;
    let size = load.memory_size.checked_add(table_size).fits()?;
    if size > most {
        return Err("the last PT_LOAD is too large to be copied");
    }
    let end = load.address.plus(size).fits()?;
    if end.get() > view.encoding.highest() {
        return Err("the addresses leave no room behind the last PT_LOAD");
    }
    let alignment = alignment(layout, index, load);
    let free = Alignment::SIXTEEN.up(layout.file_len).fits()?;
    let new_offset = alignment.up_congruent(free, load.address.get()).fits()?;
    let new_offset = FileOffset::new(new_offset);

    let mut draft = Draft::new(layout);
    draft.copied.push((old, new_offset));
    // A segment without bytes in the file may name an offset behind its end.
    if !old.is_empty() {
        draft.patches.push(Patch { stage: Stage::Content, offset: new_offset, content: Content::CopyOf(old) });
    }
    let table_offset = new_offset.plus(load.memory_size).fits()?;
    let table_address = load.address.plus(load.memory_size).fits()?;
    // The zero-initialised memory between them stays a hole in the file.
    draft.write_table(table_offset)?;
    shift_segments(&mut draft, index, old, new_offset)?;
    shift_sections(&mut draft, load, old, new_offset)?;
    if let Some(new) = draft.segments.get_mut(index) {
        new.offset = new_offset;
        new.file_size = size;
        new.memory_size = size;
        new.align = alignment.get();
    }
    draft.place_table(table_offset, table_address, table_size);
    Ok(draft)
}

/// The segment's own alignment, unless only padding asks for it: two MiB would cost as much of the file.
fn alignment(layout: &Layout<'_>, index: usize, load: &Segment) -> Alignment {
    let own = load.alignment();
    let mut others = layout.view.segments.iter().enumerate().filter(|(other, s)| *other != index && s.is_load());
    let kept_by_another = others.any(|(_, other)| other.alignment() >= own);
    if kept_by_another { own.min(layout.page) } else { own }
}

/// Program headers that name a part of the segment (PT_DYNAMIC, PT_TLS, PT_GNU_RELRO, …) follow it.
fn shift_segments(draft: &mut Draft<'_>, index: usize, old: FileRange, new: FileOffset) -> Result<(), &'static str> {
    for (other, segment) in draft.segments.iter_mut().enumerate() {
        let range = segment.file_range().fits()?;
        if other == index || segment.is_load() || !old.covers(range) || range.start() == FileOffset::new(0) {
            continue;
        }
        let within = segment.offset.since(old.start()).fits()?;
        segment.offset = new.plus(within).fits()?;
    }
    draft.dynamic_offset = draft.layout.view.dynamic.offset;
    Ok(())
}

/// Sections of the segment follow it; zero-initialised ones now have bytes in the file, thread-local ones have not.
fn shift_sections(draft: &mut Draft<'_>, load: &Segment, old: FileRange, new: FileOffset) -> Result<(), &'static str> {
    for section in &mut draft.sections {
        if !section.is_alloc() {
            continue;
        }
        let is_bss = section.kind == sht::SHT_NOBITS;
        let takes_memory = is_bss && !section.is_tls();
        let within = if takes_memory {
            let within = section.address.since(load.address);
            within.filter(|within| within.checked_add(section.size).is_some_and(|end| end <= load.memory_size))
        } else {
            // By its offset: an address that contradicts it is the file's own business.
            let range = section.file_range().filter(|range| old.covers(*range));
            range.and_then(|range| range.start().since(old.start()))
        };
        let Some(within) = within else { continue };
        section.offset = new.plus(within).fits()?;
        if takes_memory {
            section.kind = sht::SHT_PROGBITS;
        }
    }
    Ok(())
}
