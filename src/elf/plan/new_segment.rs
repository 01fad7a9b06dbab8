//! Rungs that add a PT_LOAD: in a dispensable header's place, in a gap behind the table, or in a table that moves.

use super::block::{Block, LARGEST_HOLE};
use super::draft::Draft;
use super::draft::Rung;
use super::layout::Layout;
use super::patch::Warning;
use super::slack::room_behind;
use crate::elf::record::{Segment, pt};
use crate::elf::runs::all_zero;
use crate::elf::units::{Address, Alignment, FileOffset, FileRange, Fits};

/// f: the program header table keeps its size; an entry that no loader needs makes place.
pub(super) fn slot<'g>(layout: &'g Layout<'g>) -> Rung<'g> {
    let view = layout.view;
    let found = view.segments.iter().position(|segment| is_dispensable(layout, segment));
    let index = found.ok_or("every program header is needed")?;
    let mut draft = Draft::new(layout);
    draft.segments.remove(index);
    let mut block = Block::at_the_end(layout)?;
    block.take_dynamic(&mut draft)?;
    block.close(draft)
}

/// PT_GNU_STACK, RELRO, EH_FRAME, TLS and the build-id's PT_NOTE never are: glibc 2.41 refuses to dlopen an object
/// without PT_GNU_STACK, for one.
fn is_dispensable(layout: &Layout<'_>, segment: &Segment) -> bool {
    let view = layout.view;
    match segment.kind {
        pt::PT_NULL => true,
        // glibc and musl find a library's table by e_phoff; a program's base comes from PT_PHDR.
        pt::PT_PHDR => !view.has_interpreter(),
        pt::PT_NOTE => {
            let same = |other: &&Segment| {
                other.kind == pt::PT_GNU_PROPERTY
                    && (other.offset, other.address) == (segment.offset, segment.address)
                    && other.file_size == segment.file_size
            };
            // The kernel and glibc read PT_GNU_PROPERTY and skip its duplicate.
            segment.file_size == 0 || view.segments.iter().any(|other| same(&other))
        }
        _ => false,
    }
}

/// g: a gap behind the program header table is as large as an entry.
pub(super) fn gap<'g>(layout: &'g Layout<'g>) -> Rung<'g> {
    let view = layout.view;
    if view.sections.is_empty() {
        return Err("without section headers nobody can tell a gap from data");
    }
    let gap = entry_behind_table(layout)?;
    let section_table = view.section_table_range().fits()?;
    if layout.occupied.iter().any(|used| *used != section_table && used.intersects(gap)) {
        return Err("what follows the program header table is in use");
    }
    // Where only the section header table is in the way, which nothing loads, that goes to the end.
    let moves_section_table = section_table.intersects(gap);
    let until = if moves_section_table { section_table.start() } else { gap.end() };
    let filler = FileRange::new(gap.start(), until.since(gap.start()).unwrap_or(0));
    let filler = filler.and_then(|range| range.of(view.bytes)).ok_or("the file ends behind the table")?;
    if !is_filler(filler) {
        return Err("what follows the program header table is not padding");
    }
    let mut draft = Draft::new(layout);
    let mut block = Block::at_the_end(layout)?;
    block.take_dynamic(&mut draft)?;
    let mut draft = block.close(draft)?;
    grow_table(&mut draft)?;
    if moves_section_table {
        let end = Alignment::SIXTEEN.up(draft.new_len).fits()?;
        draft.section_table_offset = FileOffset::new(end);
    }
    Ok(draft)
}

/// k: the table itself moves into the new segment. Programs that look for it behind the ELF header break.
pub(super) fn move_table<'g>(layout: &'g Layout<'g>) -> Rung<'g> {
    let view = layout.view;
    let mut draft = Draft::new(layout);
    let mut block = Block::at_first_delta(layout, LARGEST_HOLE)?;
    block.lead()?;
    let entries = u64::from(view.header.e_phnum).saturating_add(1);
    let size = view.encoding.segment_size().checked_mul(entries).fits()?;
    let zeros = vec![0; usize::try_from(size).map_err(|_| "the table would be too large")?];
    let (offset, address) = block.push(&zeros, Alignment::SIXTEEN)?;
    block.take_dynamic(&mut draft)?;
    let mut draft = block.close(draft)?;
    draft.table_offset = offset;
    for segment in draft.segments.iter_mut().filter(|segment| segment.kind == pt::PT_PHDR) {
        segment.offset = offset;
        segment.address = address;
        segment.physical = address;
        segment.file_size = size;
        segment.memory_size = size;
    }
    draft.warnings.push(Warning::TableMoved);
    Ok(draft)
}

/// The bytes that one more program header would take; they must be mapped wherever the table is.
pub(super) fn entry_behind_table(layout: &Layout<'_>) -> Result<FileRange, &'static str> {
    let view = layout.view;
    let table = view.table_range().fits()?;
    let entry = FileRange::new(table.end(), view.encoding.segment_size()).fits()?;
    let with_table: Vec<&FileRange> = layout.loads.iter().filter(|load| load.covers(table)).collect();
    if with_table.is_empty() && layout.loads.iter().any(|load| load.intersects(entry)) {
        return Err("a PT_LOAD starts behind the table");
    }
    let is_inside = with_table.is_empty() || with_table.iter().any(|load| load.covers(entry));
    if !is_inside && home_to_stretch(layout, entry).is_none() {
        return Err("the table would leave its PT_LOAD");
    }
    Ok(entry)
}

/// The PT_LOAD that the table leaves when it grows, by its address, and how much longer that must become and can (Zig's
/// linker lets it end with the table).
fn home_to_stretch(layout: &Layout<'_>, entry: FileRange) -> Option<(Address, u64)> {
    let table = layout.view.table_range()?;
    let covers = |segment: &Segment| segment.file_range().is_some_and(|range| range.covers(table));
    let mut loads = layout.view.segments.iter().enumerate().filter(|(_, segment)| segment.is_load());
    let (index, load) = loads.find(|(_, segment)| covers(segment))?;
    let missing = entry.end().since(load.file_range()?.end()).filter(|missing| *missing > 0)?;
    (room_behind(layout, index, load, missing).ok()? >= missing).then_some((load.address, missing))
}

/// PT_PHDR describes the whole table, and a PT_LOAD maps it.
pub(super) fn grow_table(draft: &mut Draft<'_>) -> Result<(), &'static str> {
    let layout = draft.layout;
    let size = layout.view.encoding.segment_size();
    if let Some((home, missing)) = home_to_stretch(layout, entry_behind_table(layout)?) {
        for load in draft.segments.iter_mut().filter(|segment| segment.is_load() && segment.address == home) {
            load.file_size = load.file_size.checked_add(missing).fits()?;
            load.memory_size = load.memory_size.checked_add(missing).fits()?;
        }
    }
    for segment in draft.segments.iter_mut().filter(|segment| segment.kind == pt::PT_PHDR) {
        segment.file_size = segment.file_size.checked_add(size).fits()?;
        segment.memory_size = segment.memory_size.checked_add(size).fits()?;
    }
    Ok(())
}

/// Zeros, or what patchelf leaves behind the table when it moves things away.
fn is_filler(bytes: &[u8]) -> bool {
    all_zero(bytes) || bytes.iter().all(|byte| matches!(byte, b'X' | b'Z'))
}
