//! i: what lies behind the program header table moves into the new segment, so that one more header fits.
//!
//! Only things that are found through a header or a dynamic tag may move, and only when nothing else holds an address
//! inside them. Their old bytes stay, but for those under the new header.

use std::collections::BTreeSet;

use super::block::{Block, TABLE_TAGS};
use super::draft::Draft;
use super::draft::Rung;
use super::layout::Layout;
use super::new_segment::{entry_behind_table, grow_table};
use crate::elf::notes::{self, Note};
use crate::elf::ranges::RangeSet;
use crate::elf::record::{Section, dt, pt, sht};
use crate::elf::relocations::any_address;
use crate::elf::units::{Address, Alignment, FileRange, Fits};

/// No more than this much is moved for the sake of editors that come after this one.
const COURTESY: u64 = 64 * 1024;

pub(super) fn make_room<'g>(layout: &'g Layout<'g>) -> Rung<'g> {
    if layout.view.sections.is_empty() {
        return Err("without section headers nobody can tell what lies behind the table");
    }
    let entry = entry_behind_table(layout)?;
    match room_for_others(layout, entry).and_then(|room| move_away(layout, entry, room)) {
        Ok(draft) if draft.prefix_safe => Ok(draft),
        _ => move_away(layout, entry, entry),
    }
}

/// The bytes behind the table that the next editor takes for granted.
///
/// patchelf before 0.19 makes room for one more header, and one for each note, by moving sections from the first one on
/// until it meets one that does not lie behind the table. A section that went to the end of the file ends that search,
/// and the table grows over what is in use.
fn room_for_others(layout: &Layout<'_>, entry: FileRange) -> Result<FileRange, &'static str> {
    const TOO_MUCH: &str = "there is no room for more than one header";
    let notes = layout.view.sections.iter().filter(|section| section.kind == sht::SHT_NOTE).count();
    let entries = u64::try_from(notes).ok().and_then(|notes| notes.checked_add(2));
    let room = entries.and_then(|entries| entries.checked_mul(entry.len())).ok_or(TOO_MUCH)?;
    let room = FileRange::new(entry.start(), room).ok_or(TOO_MUCH)?;
    let moving = sections_to_move(layout, room)?;
    let sizes = moving.iter().filter_map(|index| layout.view.sections.get(*index)).map(|section| section.size);
    if sizes.fold(0, u64::saturating_add) > COURTESY { Err(TOO_MUCH) } else { Ok(room) }
}

/// Moves everything out of `room`, the first part of which the table grows into.
fn move_away<'g>(layout: &'g Layout<'g>, entry: FileRange, room: FileRange) -> Rung<'g> {
    let view = layout.view;
    let moving = sections_to_move(layout, room)?;
    if moving.is_empty() {
        return Err("nothing that may move lies behind the table");
    }
    check_rest_is_padding(layout, room, &moving)?;
    check_nobody_points_inside(layout, &moving)?;

    let mut draft = Draft::new(layout);
    let is_note = |index: &usize| view.sections.get(*index).is_some_and(|section| section.kind == sht::SHT_NOTE);
    let mut block = if moving.iter().any(is_note) { Block::for_notes(layout)? } else { Block::at_the_end(layout)? };
    block.lead()?;
    block.take_dynamic(&mut draft)?;
    for index in &moving {
        let section = view.sections.get(*index).ok_or("no such section")?;
        let old = section.file_range().fits()?;
        let alignment = Alignment::new(section.align).ok_or("a section's alignment is no power of two")?;
        let (offset, address) = block.push_copy(view.bytes, old, alignment)?;
        draft.copied.push((old, offset));
        draft.move_section(*index, offset, address);
    }
    move_headers(layout, &mut draft, &moving)?;
    let mut draft = block.close(draft)?;
    grow_table(&mut draft)?;
    let is_under_entry = |section: &&Section| section.file_range().is_some_and(|range| range.intersects(entry));
    if moving.iter().filter_map(|index| view.sections.get(*index)).filter(is_under_entry).any(is_read_by_tag) {
        // Between the grown table and the dynamic entries that lead to the copies, the loader would read clobbered ones.
        // Nothing but protection is lost without PT_GNU_RELRO, nothing but a name without the build-id's PT_NOTE.
        let position = |kind| draft.segments.iter().position(|segment| segment.kind == kind);
        draft.interim_without = position(pt::PT_GNU_RELRO).or_else(|| position(pt::PT_NOTE));
        draft.prefix_safe &= draft.interim_without.is_some();
    }
    Ok(draft)
}

/// Hash, symbol and version tables are found through dynamic tags, notes and `.interp` through the table itself.
fn is_read_by_tag(section: &Section) -> bool {
    !matches!(section.kind, sht::SHT_NOTE | sht::SHT_PROGBITS)
}

/// Whose notes hold no address and are found through PT_NOTE alone. Another's may count from where it lies, as Crashpad's
/// does, or be read by code that knows its address without a relocation.
const OWNERS_OF_MOVABLE_NOTES: [&str; 4] = ["GNU", "NixOS", "FDO", "Go"];

/// The sections under the new header, with everything that must stay beside them.
fn sections_to_move(layout: &Layout<'_>, entry: FileRange) -> Result<BTreeSet<usize>, &'static str> {
    let view = layout.view;
    let mut moving = BTreeSet::new();
    for (index, section) in view.sections.iter().enumerate() {
        if section.file_range().is_some_and(|range| range.intersects(entry)) {
            moving.insert(index);
        }
    }
    // The notes of one PT_NOTE are one list: they move together.
    for note in view.segments.iter().filter(|s| matches!(s.kind, pt::PT_NOTE | pt::PT_GNU_PROPERTY)) {
        let Some(range) = note.file_range() else { continue };
        let inside = |s: &Section| s.file_range().is_some_and(|section| !section.is_empty() && range.covers(section));
        let group: Vec<usize> = view
            .sections
            .iter()
            .enumerate()
            .filter(|(_, s)| s.is_alloc() && inside(s))
            .map(|(index, _)| index)
            .collect();
        if group.iter().any(|index| moving.contains(index)) {
            moving.extend(group);
        }
    }
    for index in &moving {
        let section = view.sections.get(*index).ok_or("no such section")?;
        if !may_move(layout, section) {
            return Err("what follows the program header table must keep its address");
        }
    }
    Ok(moving)
}

fn may_move(layout: &Layout<'_>, section: &Section) -> bool {
    let view = layout.view;
    if !section.is_alloc() || section.is_writable_or_executable() || section.is_tls() {
        return false;
    }
    let named_by = |tag| view.dynamic.value(tag) == Some(section.address.get());
    match section.kind {
        sht::SHT_NOTE => {
            let is_whole = |notes: &[Note<'_>]| {
                notes.last().map(|last| last.range.end()) == section.file_range().map(FileRange::end)
            };
            let all: Vec<Note<'_>> = notes::of_section(view, section).collect();
            let may_move =
                |note: &Note<'_>| !note.is_cut && OWNERS_OF_MOVABLE_NOTES.iter().any(|owner| note.owner == owner);
            all.iter().all(may_move) && (section.size == 0 || is_whole(&all))
        }
        sht::SHT_GNU_HASH => named_by(dt::DT_GNU_HASH),
        sht::SHT_HASH => named_by(dt::DT_HASH),
        sht::SHT_DYNSYM => named_by(dt::DT_SYMTAB),
        sht::SHT_GNU_VERSYM => named_by(dt::DT_VERSYM),
        sht::SHT_PROGBITS => {
            // .interp: exactly what PT_INTERP names.
            let interp = view.segments.iter().find(|segment| segment.kind == pt::PT_INTERP);
            interp.is_some_and(|interp| interp.offset == section.offset && interp.file_size == section.size)
        }
        _ => false,
    }
}

fn check_rest_is_padding(layout: &Layout<'_>, entry: FileRange, moving: &BTreeSet<usize>) -> Result<(), &'static str> {
    let view = layout.view;
    let moved: RangeSet = moving.iter().filter_map(|index| view.sections.get(*index)?.file_range()).collect();
    let strange = layout.occupied.iter().any(|used| used.intersects(entry) && !moved.intersects(*used));
    if strange {
        return Err("something without a section lies behind the table");
    }
    let bytes = entry.of(view.bytes).ok_or("the file ends behind the table")?;
    for (at, byte) in (entry.start().get()..).zip(bytes) {
        if *byte != 0 && !moved.has(at) {
            return Err("bytes without a section lie behind the table");
        }
    }
    Ok(())
}

/// Anything that holds an address inside a moving section would read the old bytes, some of which are gone.
fn check_nobody_points_inside(layout: &Layout<'_>, moving: &BTreeSet<usize>) -> Result<(), &'static str> {
    let view = layout.view;
    let ranges: Vec<(u64, u64)> = moving
        .iter()
        .filter_map(|index| view.sections.get(*index))
        .filter_map(|section| Some((section.address.get(), section.address.get().checked_add(section.size)?)))
        .collect();
    let taken: RangeSet = ranges.iter().copied().collect();
    let inside = |address: u64| taken.has(address);
    // There can be millions: mostly all lie outside the range that the sections together span.
    let start = ranges.iter().map(|(start, _)| *start).min().unwrap_or(0);
    let end = ranges.iter().map(|(_, end)| *end).max().unwrap_or(0);
    let span = end.saturating_sub(start);
    let points_inside = match any_address(view, |address| address.wrapping_sub(start) < span) {
        Some(true) => any_address(view, inside),
        answer => answer,
    };
    if points_inside.ok_or("the relocations cannot be read")? {
        return Err("a symbol or relocation points into what lies behind the table");
    }
    for entry in &view.dynamic.entries {
        let is_start = ranges.iter().any(|(start, _)| *start == entry.value);
        let known = TABLE_TAGS.contains(&entry.tag) && is_start;
        if crate::elf::relocations::is_address_tag(entry.tag) && inside(entry.value) && !known {
            return Err("a dynamic tag points into what lies behind the table");
        }
    }
    Ok(())
}

/// PT_NOTE, PT_GNU_PROPERTY and PT_INTERP follow what they name; nothing else may name any of it.
fn move_headers(layout: &Layout<'_>, draft: &mut Draft<'_>, moving: &BTreeSet<usize>) -> Result<(), &'static str> {
    for segment in &mut draft.segments {
        if matches!(segment.kind, pt::PT_NULL | pt::PT_LOAD | pt::PT_PHDR) || segment.file_size == 0 {
            continue;
        }
        let range = segment.file_range().fits()?;
        let place = |index: &usize| layout.view.sections.get(*index).and_then(Section::file_range);
        let may_follow = matches!(segment.kind, pt::PT_NOTE | pt::PT_GNU_PROPERTY | pt::PT_INTERP);
        let covered = |index: &&usize| may_follow && place(index).is_some_and(|section| range.covers(section));
        let mut inside = moving.iter().filter(covered);
        let Some(first) = inside.next() else {
            if moving.iter().filter_map(place).any(|section| range.intersects(section)) {
                return Err("a header names a part of what would move");
            }
            continue;
        };
        let last = inside.next_back().unwrap_or(first);
        let (old, first) = (layout.view.sections.get(*first), draft.sections.get(*first));
        let (old, first) = old.zip(first).ok_or("no such section")?;
        let last = draft.sections.get(*last).ok_or("no such section")?;
        if old.offset != segment.offset {
            return Err("a header names more than the sections that would move");
        }
        let end = last.offset.plus(last.size).fits()?;
        let size = end.since(first.offset).fits()?;
        if size != segment.file_size {
            return Err("moving the notes would change their distances");
        }
        segment.offset = first.offset;
        segment.address = first.address;
        segment.physical = Address::new(first.address.get());
    }
    Ok(())
}
