//! Which entry of the dynamic section holds the path, decided before where the string goes.

use super::change::{Change, PathTag};
use super::rung::DynamicSlot;
use crate::elf::record::{DynamicEntry, dt};
use crate::elf::view::ElfView;

/// The dynamic section's new entries, in which the path's offset is still to be filled in.
#[derive(Clone, Debug)]
pub(super) struct SlotPlan {
    /// Which entry was taken.
    pub(crate) slot: DynamicSlot,
    /// The entries before DT_NULL.
    pub(crate) entries: Vec<DynamicEntry>,
    /// Indices of the entries whose value is the path's string offset.
    pub(crate) path_at: Vec<usize>,
}

impl SlotPlan {
    /// Chooses the entry.
    ///
    /// DT_FLAGS, DT_HASH and a program's DT_DEBUG are never touched: something reads each of them.
    pub(super) fn choose(view: &ElfView<'_>, change: &Change) -> Self {
        let mut entries = view.dynamic.entries.clone();
        let tag = match change {
            Change::Set { tag: PathTag::Runpath, .. } => dt::DT_RUNPATH,
            Change::Set { tag: PathTag::Rpath, .. } => dt::DT_RPATH,
            Change::Remove => {
                entries.retain(|entry| !is_path_tag(entry.tag));
                return Self { slot: DynamicSlot::Dropped, entries, path_at: Vec::new() };
            }
        };
        let slot = if entries.iter().any(|entry| entry.tag == tag) {
            DynamicSlot::Existing
        } else if rename(&mut entries, is_path_tag, tag) {
            DynamicSlot::Retagged
        } else if view.dynamic.spare > 0 {
            entries.push(DynamicEntry { tag, value: 0 });
            DynamicSlot::Spare
        } else if !view.has_interpreter() && rename(&mut entries, |old| old == dt::DT_DEBUG, tag) {
            DynamicSlot::Debug
        } else if rename(&mut entries, |old| old == dt::DT_RELACOUNT || old == dt::DT_RELCOUNT, tag) {
            DynamicSlot::RelativeCount
        } else {
            entries.push(DynamicEntry { tag, value: 0 });
            DynamicSlot::Moved
        };
        // The loader ignores one of two path tags; what it ignores would go stale.
        entries.retain(|entry| entry.tag == tag || !is_path_tag(entry.tag));
        let path_at = entries.iter().enumerate().filter(|(_, e)| e.tag == tag).map(|(index, _)| index).collect();
        Self { slot, entries, path_at }
    }
}

fn is_path_tag(tag: u64) -> bool {
    matches!(tag, dt::DT_RUNPATH | dt::DT_RPATH)
}

/// Gives the last entry with an old tag the new one: of several, the last is the one that counts.
fn rename(entries: &mut [DynamicEntry], old: impl Fn(u64) -> bool, new: u64) -> bool {
    match entries.iter_mut().rev().find(|entry| old(entry.tag)) {
        Some(entry) => {
            entry.tag = new;
            true
        }
        None => false,
    }
}
