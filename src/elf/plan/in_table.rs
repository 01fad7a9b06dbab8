//! Rungs that need no place outside the string table.

use super::draft::Draft;
use super::draft::Rung;
use super::layout::Layout;
use super::patch::Stage;
use super::rung::DynamicSlot;
use crate::elf::references::find_string;
use crate::elf::units::{Fits, StringOffset, len64};

/// What a rung answers when the dynamic section has to move, which needs a new segment.
pub(super) const NO_SLOT: &str = "the dynamic section has no entry to spare";

/// The tag goes, and with it the need for a string.
pub(super) fn tag_only<'g>(layout: &'g Layout<'g>) -> Rung<'g> {
    Ok(Draft::new(layout))
}

/// a: the same string, or one that ends in it, is in the table.
pub(super) fn share<'g>(layout: &'g Layout<'g>) -> Rung<'g> {
    needs_slot(layout)?;
    let table = layout.view.strings.bytes;
    let path = layout.wanted.split_last().map_or(&[][..], |(_, path)| path);
    let found = find_string(table, path).ok_or("no string in the table ends in the new path")?;
    let mut draft = Draft::new(layout);
    draft.path = found;
    draft.keep = Some((found, len64(&layout.wanted)));
    Ok(draft)
}

/// b: over the string that the loader uses now, when no other reference reads it and it is long enough.
pub(super) fn overwrite<'g>(layout: &'g Layout<'g>) -> Rung<'g> {
    needs_slot(layout)?;
    // Over another tag's string, the loader would be led to that one first, and to the new text only afterwards.
    let (offset, len) = layout.effective_path().ok_or("there is no old path")?;
    let len = len.saturating_add(1);
    if len < len64(&layout.wanted) {
        return Err("the new path is longer than the old one");
    }
    if !layout.references.is_free(offset, len) {
        return Err("somebody else reads the old path's bytes");
    }
    let at = layout.view.strings.range.start().plus(offset.get()).fits()?;
    let mut bytes = layout.wanted.clone();
    bytes.resize(usize::try_from(len).ok().fits()?, 0);
    let mut draft = Draft::new(layout);
    draft.path = offset;
    draft.keep = Some((offset, len));
    draft.add(Stage::String, at, bytes);
    Ok(draft)
}

/// c: into bytes of the table that no reference reads, the old path's own excepted: it is read until the last write.
pub(super) fn dead_bytes<'g>(layout: &'g Layout<'g>) -> Rung<'g> {
    needs_slot(layout)?;
    let mut references = layout.references.clone();
    for (offset, len) in &layout.old_paths {
        references.reserve(*offset, len.saturating_add(1));
    }
    let found: StringOffset =
        references.free_run(len64(&layout.wanted)).ok_or("no run of unused bytes in the table is long enough")?;
    let at = layout.view.strings.range.start().plus(found.get()).fits()?;
    let mut draft = Draft::new(layout);
    draft.path = found;
    draft.add_content(at, layout.wanted.clone())?;
    Ok(draft)
}

/// Rungs without a new segment cannot move the dynamic section.
pub(super) fn needs_slot(layout: &Layout<'_>) -> Result<(), &'static str> {
    if layout.slot.slot == DynamicSlot::Moved { Err(NO_SLOT) } else { Ok(()) }
}
