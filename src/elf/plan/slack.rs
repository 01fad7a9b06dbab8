//! Rungs that make a PT_LOAD longer over bytes of the file that no header describes: no new segment, no growth of the file.

use super::draft::Draft;
use super::draft::Rung;
use super::in_table::needs_slot;
use super::layout::Layout;
use super::patch::Stage;
use crate::elf::record::{Segment, pt};
use crate::elf::runs::zeros;
use crate::elf::units::{Alignment, FileOffset, FileRange, Fits, len64};

/// d: the table is the last thing of its PT_LOAD, as after an earlier edit of ours: it grows there.
pub(super) fn grow<'g>(layout: &'g Layout<'g>) -> Rung<'g> {
    needs_slot(layout)?;
    let strings = &layout.view.strings;
    let (index, load) = home(layout).ok_or("the table is in no PT_LOAD")?;
    if load.file_range().map(FileRange::end) != Some(strings.range.end()) {
        return Err("the table is not the last thing of its PT_LOAD");
    }
    let kept = len64(layout.table_without_old_tail());
    let new_size = layout.new_table_size().fits()?;
    let growth = new_size.saturating_sub(strings.size());
    if room_behind(layout, index, load, growth)? < growth {
        return Err("what follows the table's PT_LOAD is in use");
    }
    let mut draft = Draft::new(layout);
    draft.path = crate::elf::units::StringOffset::new(kept);
    let at = strings.range.start().plus(kept).fits()?;
    // The part behind the old end comes first: until the last write the old path still ends where it ended.
    let head = usize::try_from(strings.size().saturating_sub(kept)).unwrap_or(0).min(layout.wanted.len());
    let (head, tail) = layout.wanted.split_at(head);
    draft.add_content(strings.range.end(), tail.to_vec())?;
    draft.keep = Some((crate::elf::units::StringOffset::new(kept), len64(&layout.wanted)));
    draft.add(Stage::String, at, head.to_vec());
    stretch(&mut draft, index, growth)?;
    draft.place_table(strings.range.start(), strings.address, new_size);
    draft.moved_sections.clear();
    Ok(draft)
}

/// e: zero padding behind a PT_LOAD takes a copy of the whole table.
pub(super) fn slack<'g>(layout: &'g Layout<'g>) -> Rung<'g> {
    needs_slot(layout)?;
    let size = layout.new_table_size().fits()?;
    let home = home(layout).map(|(index, _)| index);
    let mut candidates: Vec<(usize, &Segment)> =
        layout.view.segments.iter().enumerate().filter(|(_, segment)| segment.is_load()).collect();
    // LIEF adds segments without any rights, and lld ones of code that may not be read.
    candidates.retain(|(_, load)| load.flags & pt::PF_R != 0);
    // The table's own segment first, then read-only ones; a writable one only when there is no other.
    candidates.sort_by_key(|(index, load)| (Some(*index) != home, load.is_writable(), load.is_executable(), *index));
    let fits = |load: &(usize, &Segment)| room_behind(layout, load.0, load.1, size).is_ok_and(|room| room >= size);
    let (index, load) = candidates.into_iter().find(fits).ok_or("no PT_LOAD has enough zero padding behind it")?;
    let offset = load.file_range().fits()?.end();
    let address = load.address.plus(load.file_size).fits()?;
    let mut draft = Draft::new(layout);
    draft.write_table(offset)?;
    stretch(&mut draft, index, size)?;
    draft.place_table(offset, address, size);
    Ok(draft)
}

fn home<'g>(layout: &Layout<'g>) -> Option<(usize, &'g Segment)> {
    let strings = &layout.view.strings;
    let mut loads = layout.view.segments.iter().enumerate().filter(|(_, segment)| segment.is_load());
    loads.find(|(_, load)| load.holds(strings.address, strings.size()))
}

fn stretch(draft: &mut Draft<'_>, index: usize, by: u64) -> Result<(), &'static str> {
    let load = draft.segments.get_mut(index).ok_or("no such segment")?;
    load.file_size = load.file_size.checked_add(by).fits()?;
    load.memory_size = load.memory_size.checked_add(by).fits()?;
    Ok(())
}

/// How many bytes a PT_LOAD can grow by without touching anything in the file or in memory; no more than are wanted are
/// looked at.
pub(super) fn room_behind(layout: &Layout<'_>, index: usize, load: &Segment, wanted: u64) -> Result<u64, &'static str> {
    if load.file_size != load.memory_size || load.file_size == 0 {
        return Err("the PT_LOAD has zero-initialised memory at its end");
    }
    if layout.ends_where_it_must(load) {
        return Err("the program counts on where its last PT_LOAD ends");
    }
    let end = load.file_range().fits()?.end();
    let in_file = room_in_file(layout, end, wanted).ok_or("something reaches across the end of the PT_LOAD")?;
    let memory_end = load.memory_end().fits()?;
    // A page is mapped as a whole, so the next segment's first page is taken even where its bytes start later. Kernels
    // with larger pages than p_align cannot load the file anyway.
    let mut behind = layout.view.segments.iter().skip(index).skip(1).filter(|segment| segment.is_load());
    let limit = match behind.next() {
        Some(next) => layout.page.min(smallest_alignment(layout)).down(next.address.get()),
        None => layout.view.encoding.highest(),
    };
    Ok(in_file.min(limit.saturating_sub(memory_end)))
}

fn smallest_alignment(layout: &Layout<'_>) -> Alignment {
    let loads = layout.view.segments.iter().filter(|segment| segment.is_load() && segment.align > 1);
    loads.map(Segment::alignment).min().unwrap_or(layout.page)
}

fn room_in_file(layout: &Layout<'_>, end: FileOffset, wanted: u64) -> Option<u64> {
    let until = layout.free_until(end)?;
    if until == u64::MAX {
        // Nothing that a header describes follows: the file may grow, unless it carries a payload.
        let rest = FileRange::new(end, layout.file_len.checked_sub(end.get())?)?;
        return Some(if layout.has_payload() || !layout.is_zero(rest) { 0 } else { u64::MAX });
    }
    let gap = FileRange::new(end, until.checked_sub(end.get())?.min(wanted))?;
    let bytes = gap.of(layout.view.bytes)?;
    u64::try_from(zeros(bytes)).ok()
}
