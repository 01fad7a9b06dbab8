//! An object's headers as they will be, and how the difference becomes patches.

use std::collections::BTreeMap;

use super::layout::Layout;
use super::patch::{Content, Patch, Plan, Stage, Warning};
use super::rung::Strategy;
use crate::elf::encode::{self, encode_dynamic, encode_sections, encode_segments};
use crate::elf::ldcache;
use crate::elf::record::{DynamicEntry, Section, Segment, dt, pt, sht};
use crate::elf::runs::{agreeing, agreeing_at_the_end};
use crate::elf::units::{Address, FileOffset, FileRange, Fits, StringOffset, len64};

/// Header and table are written as one patch unless they lie further apart than this.
const ONE_WRITE: u64 = 64 * 1024;

/// Where the dynamic string table is afterwards.
#[derive(Clone, Copy, Debug)]
pub(super) struct TablePlace {
    pub(crate) address: Address,
    pub(crate) size: u64,
}

/// The new state of an object while a rung works on it.
pub(super) struct Draft<'g> {
    pub(crate) layout: &'g Layout<'g>,
    pub(crate) segments: Vec<Segment>,
    pub(crate) sections: Vec<Section>,
    pub(crate) table_offset: FileOffset,
    pub(crate) section_table_offset: FileOffset,
    pub(crate) strings: TablePlace,
    /// Where the path's string starts in the table.
    pub(crate) path: StringOffset,
    /// Where the dynamic section is; it has `dynamic_slots` entries there, DT_NULLs included.
    pub(crate) dynamic_offset: FileOffset,
    pub(crate) dynamic_address: Address,
    pub(crate) dynamic_slots: u64,
    /// File ranges that count from their copy from now on.
    pub(crate) copied: Vec<(FileRange, FileOffset)>,
    /// Sections that got another address: index and the new address.
    pub(crate) moved_sections: BTreeMap<usize, Address>,
    pub(crate) patches: Vec<Patch>,
    pub(crate) new_len: u64,
    pub(crate) prefix_safe: bool,
    /// An entry of the new table that no loader needs for a moment. When what lies under the grown table is read by the
    /// loader, a table of the old size without it is written first: the new segment is mapped, the dynamic section can
    /// lead there, and only then the table grows over the old bytes.
    pub(crate) interim_without: Option<usize>,
    pub(crate) warnings: Vec<Warning>,
    /// Bytes of the old table that the new path takes, which must not be scrubbed.
    pub(crate) keep: Option<(StringOffset, u64)>,
}

/// What a rung answers: a finished draft or one phrase.
pub(super) type Rung<'g> = Result<Draft<'g>, &'static str>;

impl<'g> Draft<'g> {
    /// A draft that changes nothing yet.
    pub(super) fn new(layout: &'g Layout<'g>) -> Self {
        let view = layout.view;
        let slots = view.dynamic.file_range(view.encoding).map_or(0, FileRange::len);
        Self {
            layout,
            segments: view.segments.clone(),
            sections: view.sections.clone(),
            table_offset: FileOffset::new(view.header.e_phoff),
            section_table_offset: FileOffset::new(view.header.e_shoff),
            strings: TablePlace { address: view.strings.address, size: view.strings.size() },
            path: StringOffset::new(0),
            dynamic_offset: view.dynamic.offset,
            dynamic_address: view.dynamic.address,
            dynamic_slots: slots.checked_div(view.encoding.dynamic_size()).unwrap_or(0),
            copied: Vec::new(),
            moved_sections: BTreeMap::new(),
            patches: Vec::new(),
            new_len: layout.file_len,
            prefix_safe: true,
            interim_without: None,
            warnings: Vec::new(),
            keep: None,
        }
    }

    /// Adds bytes that no header names yet.
    pub(super) fn add_content(&mut self, offset: FileOffset, bytes: Vec<u8>) -> Result<(), &'static str> {
        let end = offset.plus(len64(&bytes)).fits()?;
        self.new_len = self.new_len.max(end.get());
        self.patches.push(Patch { stage: Stage::Content, offset, content: Content::Bytes(bytes) });
        Ok(())
    }

    /// Adds a write of a later stage.
    pub(super) fn add(&mut self, stage: Stage, offset: FileOffset, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.patches.push(Patch { stage, offset, content: Content::Bytes(bytes) });
        }
    }

    /// Writes a copy of the string table with the new path at its end, its old path scrubbed; returns its size.
    ///
    /// A large table is copied from the file itself: it can have tens of megabytes.
    pub(super) fn write_table(&mut self, offset: FileOffset) -> Result<u64, &'static str> {
        let layout = self.layout;
        let table = layout.table_without_old_tail();
        let kept = len64(table);
        if kept <= ONE_WRITE {
            let mut copy = table.to_vec();
            for (scrubbed, len) in self.scrub_runs() {
                let start = usize::try_from(scrubbed.get()).unwrap_or(usize::MAX);
                let len = usize::try_from(len).unwrap_or(usize::MAX);
                copy.iter_mut().skip(start).take(len).for_each(|byte| *byte = 0);
            }
            copy.extend_from_slice(&layout.wanted);
            self.path = StringOffset::new(kept);
            self.add_content(offset, copy)?;
            return Ok(layout.new_table_size().fits()?);
        }
        let old = FileRange::new(layout.view.strings.range.start(), kept).fits()?;
        self.patches.push(Patch { stage: Stage::Content, offset, content: Content::CopyOf(old) });
        self.path = StringOffset::new(kept);
        let end = offset.plus(kept).fits()?;
        self.add_content(end, layout.wanted.clone())?;
        for (scrubbed, len) in self.scrub_runs() {
            let len = len.min(kept.saturating_sub(scrubbed.get()));
            let at = offset.plus(scrubbed.get()).fits()?;
            let zeros = usize::try_from(len).ok().fits()?;
            if zeros > 0 {
                self.add_content(at, vec![0; zeros])?;
            }
        }
        Ok(layout.new_table_size().fits()?)
    }

    /// Says where the copy of the string table is.
    pub(super) fn place_table(&mut self, offset: FileOffset, address: Address, size: u64) {
        self.strings = TablePlace { address, size };
        if let Some(index) = self.layout.view.strings.section {
            self.move_section(index, offset, address);
        }
    }

    /// Gives a section another place.
    pub(super) fn move_section(&mut self, index: usize, offset: FileOffset, address: Address) {
        if let Some(section) = self.sections.get_mut(index) {
            section.offset = offset;
            section.address = address;
            self.moved_sections.insert(index, address);
        }
    }

    /// Where a range of the original file is read from now on.
    fn current_place(&self, range: FileRange) -> FileOffset {
        let copy = self.copied.iter().find(|(from, _)| from.covers(range));
        let moved = copy.and_then(|(from, to)| to.plus(range.start().since(from.start())?));
        moved.unwrap_or(range.start())
    }

    /// Parts of the old path strings that no other reference reads, in order and apart from each other.
    fn scrub_runs(&self) -> Vec<(StringOffset, u64)> {
        let end_of = |(offset, len): (StringOffset, u64)| offset.plus(len).unwrap_or(StringOffset::new(u64::MAX));
        let keep = self.keep.unwrap_or((StringOffset::new(0), 0));
        let (kept, kept_end) = (keep.0, end_of(keep));
        let mut runs = Vec::new();
        let mut done = StringOffset::new(0);
        for old in &self.layout.old_paths {
            let end = end_of(*old);
            // One path can be the tail of another.
            let start = old.0.max(done);
            done = done.max(end);
            // What is kept splits them in two.
            for (start, end) in [(start, end.min(kept)), (start.max(kept_end), end)] {
                runs.extend(self.layout.references.free_runs(start, end));
            }
        }
        runs
    }

    /// The dynamic entries with everything filled in.
    fn new_entries(&self) -> Vec<DynamicEntry> {
        let view = self.layout.view;
        let mut entries = self.layout.slot.entries.clone();
        for index in &self.layout.slot.path_at {
            if let Some(entry) = entries.get_mut(*index) {
                entry.value = self.path.get();
            }
        }
        for entry in &mut entries {
            match entry.tag {
                dt::DT_STRTAB => entry.value = self.strings.address.get(),
                dt::DT_STRSZ => entry.value = self.strings.size,
                dt::DT_HASH | dt::DT_GNU_HASH | dt::DT_SYMTAB | dt::DT_VERSYM => {
                    entry.value = self.new_address(entry.value).unwrap_or(entry.value);
                }
                _ => {}
            }
        }
        // DT_MIPS_RLD_MAP_REL counts from its own entry's address (glibc elf/elf.h).
        const DT_MIPS_RLD_MAP_REL: u64 = 0x7000_0035;
        if view.header.e_machine == goblin::elf::header::EM_MIPS {
            let position = |entries: &[DynamicEntry]| entries.iter().position(|e| e.tag == DT_MIPS_RLD_MAP_REL);
            if let (Some(old), Some(new)) = (position(&view.dynamic.entries), position(&entries)) {
                let at = |base: Address, index: usize| {
                    let index = u64::try_from(index).unwrap_or(0);
                    base.get().wrapping_add(index.wrapping_mul(view.encoding.dynamic_size()))
                };
                let shift = at(view.dynamic.address, old).wrapping_sub(at(self.dynamic_address, new));
                if let Some(entry) = entries.get_mut(new) {
                    entry.value = entry.value.wrapping_add(shift) & view.encoding.highest();
                }
            }
        }
        entries
    }

    /// The new address of a section that started at an old one and moved.
    fn new_address(&self, old: u64) -> Option<u64> {
        let view = self.layout.view;
        let moved = self.moved_sections.iter().find(|(index, _)| {
            let section = view.sections.get(**index);
            section.is_some_and(|s| s.address.get() == old && Some(**index) != view.strings.section)
        });
        moved.map(|(_, address)| address.get())
    }

    /// Turns the differences into patches.
    pub(super) fn into_plan(mut self, strategy: Strategy) -> Result<Plan, &'static str> {
        let layout = self.layout;
        let view = layout.view;
        if let Some(index) = view.strings.section
            && let Some(section) = self.sections.get_mut(index)
        {
            section.size = self.strings.size;
        }
        self.patch_header_and_table()?;
        self.patch_section_table()?;
        self.patch_symbols();
        self.patch_dynamic()?;
        self.patch_cache_note()?;
        self.patch_old_path()?;
        self.patches.sort_by_key(|patch| patch.stage);
        let tag_changed = view.dynamic.value(dt::DT_RUNPATH).is_none()
            && view.dynamic.value(dt::DT_RPATH).is_some()
            && layout.slot.entries.iter().any(|entry| entry.tag == dt::DT_RUNPATH);
        if tag_changed {
            self.warnings.push(Warning::TagChanged);
        }
        Ok(Plan {
            strategy,
            slot: layout.slot.slot,
            patches: self.patches,
            old_len: layout.file_len,
            new_len: self.new_len,
            prefix_safe: self.prefix_safe,
            has_payload: layout.has_payload(),
            warnings: self.warnings,
        })
    }

    fn patch_header_and_table(&mut self) -> Result<(), &'static str> {
        let view = self.layout.view;
        let encoding = view.encoding;
        let header_range = FileRange::new(FileOffset::new(0), encoding.header_size()).ok_or("no ELF header")?;
        let old_header = header_range.of(view.bytes).ok_or("no ELF header")?;
        let count = u16::try_from(self.segments.len()).ok().filter(|count| *count < 0xffff);
        let count = count.fits()?;
        let counts = encode::Counts {
            table_offset: self.table_offset.get(),
            section_table_offset: self.section_table_offset.get(),
            segments: count,
            sections: view.header.e_shnum,
        };
        let header = encode::patch_header(encoding, old_header, counts).fits()?;
        let table = encode_segments(encoding, &self.segments).fits()?;
        let table_range = FileRange::new(self.table_offset, len64(&table)).fits()?;
        if table_range.end().get() > self.layout.file_len {
            // The table moved behind the old end: it is new content, and one write of the header switches to it.
            self.patches.push(Patch {
                stage: Stage::Content,
                offset: self.table_offset,
                content: Content::Bytes(table),
            });
            let (offset, bytes) = difference(FileOffset::new(0), old_header, &header).ok_or("nothing changes")?;
            self.add(Stage::Table, offset, bytes);
            return Ok(());
        }
        if table_range.end().get() <= ONE_WRITE && table_range.start() >= header_range.end() {
            let all = FileRange::new(FileOffset::new(0), table_range.end().get()).fits()?;
            let old = all.of(view.bytes).ok_or("the table is outside the file")?;
            let new = overlaid(old, &header, table_range, &table).ok_or("the table is outside the file")?;
            let interim = self.interim_table()?;
            let interim = interim.and_then(|interim| overlaid(old, old_header, table_range, &interim));
            let (first, last) = match &interim {
                Some(interim) => {
                    (difference(FileOffset::new(0), old, interim), difference(FileOffset::new(0), interim, &new))
                }
                None => (difference(FileOffset::new(0), old, &new), None),
            };
            if let Some((offset, bytes)) = first {
                self.add(Stage::Table, offset, bytes);
            }
            if let Some((offset, bytes)) = last {
                self.add(Stage::WholeTable, offset, bytes);
            }
            return Ok(());
        }
        self.prefix_safe &= self.interim_without.is_none();
        let old_table = table_range.of(view.bytes).ok_or("the table is outside the file")?;
        let of_table = difference(self.table_offset, old_table, &table);
        let of_header = difference(FileOffset::new(0), old_header, &header);
        // Two writes: between them the file has new entries and the old count.
        self.prefix_safe &= of_table.is_none() || of_header.is_none();
        for (offset, bytes) in of_table.into_iter().chain(of_header) {
            self.add(Stage::Table, offset, bytes);
        }
        Ok(())
    }

    /// The table with the new PT_LOAD and without one other entry, so that it is as long as the old one.
    fn interim_table(&self) -> Result<Option<Vec<u8>>, &'static str> {
        let Some(without) = self.interim_without else { return Ok(None) };
        let view = self.layout.view;
        let mut interim = self.segments.clone();
        if without < interim.len() {
            interim.remove(without);
        }
        let old_size = view.table_range().map_or(0, FileRange::len);
        for segment in interim.iter_mut().filter(|segment| segment.kind == pt::PT_PHDR) {
            segment.file_size = old_size;
            segment.memory_size = old_size;
        }
        let table = encode_segments(view.encoding, &interim).fits()?;
        if len64(&table) == old_size { Ok(Some(table)) } else { Err("the interim table has another size") }
    }

    fn patch_section_table(&mut self) -> Result<(), &'static str> {
        let view = self.layout.view;
        let encoding = view.encoding;
        if self.sections.is_empty() {
            return Ok(());
        }
        const DOES_NOT_FIT: &str = "a section header field does not fit";
        if self.section_table_offset.get() != view.header.e_shoff {
            let all = encode_sections(encoding, &self.sections).ok_or(DOES_NOT_FIT)?;
            return self.add_content(self.section_table_offset, all);
        }
        let mut at = self.section_table_offset;
        let mut changes = Vec::new();
        for (index, section) in self.sections.iter().enumerate() {
            let next = at.plus(encoding.section_size()).fits()?;
            if view.sections.get(index) != Some(section) {
                let old = FileRange::new(at, encoding.section_size()).and_then(|range| range.of(view.bytes));
                let new = encode_sections(encoding, std::slice::from_ref(section)).ok_or(DOES_NOT_FIT)?;
                changes.extend(difference(at, old.unwrap_or_default(), &new));
            }
            at = next;
        }
        for (offset, bytes) in changes {
            self.add(Stage::Sections, offset, bytes);
        }
        Ok(())
    }

    /// Symbols in `.symtab` that name a moved section or lie in it follow it, so that debuggers and `elflint` agree.
    fn patch_symbols(&mut self) {
        let view = self.layout.view;
        let encoding = view.encoding;
        let only_table = self.moved_sections.keys().all(|index| Some(*index) == view.strings.section);
        if self.moved_sections.is_empty() {
            return;
        }
        let Ok(size) = usize::try_from(encoding.symbol_size()) else { return };
        let mut found = Vec::new();
        for section in view.sections.iter().filter(|section| section.kind == sht::SHT_SYMTAB) {
            // Section symbols are local ones, and those come first (gABI "Symbol Table", sh_info).
            let count = if only_table { usize::try_from(section.info).unwrap_or(0) } else { usize::MAX };
            let Some(range) = section.file_range() else { continue };
            let symbols = range.of(view.bytes).unwrap_or_default().chunks_exact(size);
            for (index, symbol) in symbols.enumerate().take(count) {
                // Most name a section that stays; there can be hundreds of thousands.
                let names = encode::symbol_section(encoding, symbol).map(usize::from);
                if names.is_none_or(|section| !self.moved_sections.contains_key(&section)) {
                    continue;
                }
                let Some(parsed) = encode::symbol_fields(encoding, symbol) else { continue };
                let section_index = usize::from(parsed.section);
                let (Some(new), Some(old)) =
                    (self.moved_sections.get(&section_index), view.sections.get(section_index))
                else {
                    continue;
                };
                if only_table && !parsed.is_section_symbol {
                    continue;
                }
                let value = parsed.value.wrapping_sub(old.address.get()).wrapping_add(new.get()) & encoding.highest();
                let position = index.checked_mul(size).and_then(|at| at.checked_add(parsed.value_at));
                let position = position.and_then(|at| u64::try_from(at).ok()).and_then(|at| range.start().plus(at));
                if let (Some(position), Some(bytes)) = (position, encode::word(encoding, value)) {
                    found.push((position, bytes));
                }
            }
        }
        for (offset, bytes) in joined(view.bytes, found) {
            self.add(Stage::Sections, offset, bytes);
        }
    }

    fn patch_dynamic(&mut self) -> Result<(), &'static str> {
        let view = self.layout.view;
        let encoding = view.encoding;
        let entries = self.new_entries();
        let mut bytes =
            encode_dynamic(encoding, &entries, self.dynamic_slots).ok_or("the dynamic section has no room")?;
        let old_range = view.dynamic.file_range(encoding).fits()?;
        let old = old_range.of(view.bytes).ok_or("the dynamic section is outside the file")?;
        if self.dynamic_offset != old_range.start() {
            // Moved: all of it is new content.
            return self.add_content(self.dynamic_offset, bytes);
        }
        let place = self.current_place(old_range);
        // What follows the terminator is not the loader's: leave it as it is.
        if bytes.len() > old.len() {
            bytes.truncate(old.len());
        }
        if let Some((offset, changed)) = difference(place, old, &bytes) {
            let stage = if place == old_range.start() { Stage::Dynamic } else { Stage::Content };
            self.add(stage, offset, changed);
        }
        Ok(())
    }

    fn patch_cache_note(&mut self) -> Result<(), &'static str> {
        let view = self.layout.view;
        let Some(note) = ldcache::find(view) else { return Ok(()) };
        let new_path = self.layout.wanted.split_last().map(|(_, path)| path.into());
        let old = note.range.of(view.bytes).ok_or("the note is outside the file")?;
        let bytes = ldcache::rewrite(view, note, view.search_path(), new_path).ok_or("the note is outside the file")?;
        if bytes == old {
            return Ok(());
        }
        let dropped = bytes.get(8..12) == Some(&[0; 4]);
        self.warnings.push(if dropped { Warning::CacheDropped } else { Warning::CacheRewritten });
        let place = self.current_place(note.range);
        if place == note.range.start() {
            self.add(Stage::Note, place, bytes);
            return Ok(());
        }
        self.add(Stage::Content, place, bytes);
        // The abandoned copy would keep its store paths alive; the grown program header table may stand on its start.
        let size = view.encoding.segment_size().saturating_mul(u64::try_from(self.segments.len()).unwrap_or(u64::MAX));
        let table_end = self.table_offset.plus(size).fits()?;
        let start = if self.table_offset <= note.descriptor.start() {
            note.descriptor.start().max(table_end)
        } else {
            note.descriptor.start()
        };
        let zeros = note.descriptor.end().since(start).unwrap_or(0);
        let zeros = usize::try_from(zeros).ok().fits()?;
        self.add(Stage::Scrub, start, vec![0; zeros]);
        Ok(())
    }

    /// Nix scans outputs for store paths: what no entry names any more must not keep one alive.
    fn patch_old_path(&mut self) -> Result<(), &'static str> {
        let table = self.layout.view.strings.range;
        for (offset, len) in self.scrub_runs() {
            let at = table.start().plus(offset.get()).fits()?;
            let range = FileRange::new(at, len).fits()?;
            let zeros = usize::try_from(len).ok().fits()?;
            let place = self.current_place(range);
            if place != at {
                // Where the dynamic section was not copied too, it leads here until the last entry is written.
                self.add(Stage::Scrub, place, vec![0; zeros]);
            }
            self.add(Stage::Scrub, at, vec![0; zeros]);
        }
        Ok(())
    }
}

/// Writes that lie close together as one, with what stands between them.
fn joined(file: &[u8], writes: Vec<(FileOffset, Vec<u8>)>) -> Vec<(FileOffset, Vec<u8>)> {
    const CLOSE: u64 = 64;
    let mut joined: Vec<(FileOffset, Vec<u8>)> = Vec::new();
    for (offset, bytes) in writes {
        if let Some((start, last)) = joined.last_mut()
            && let Some(end) = start.plus(len64(last))
            && let Some(gap) = offset.since(end).filter(|gap| *gap <= CLOSE)
            && let Some(between) = FileRange::new(end, gap).and_then(|range| range.of(file))
        {
            last.extend_from_slice(between);
            last.extend_from_slice(&bytes);
        } else {
            joined.push((offset, bytes));
        }
    }
    joined
}

/// Bytes from the start of a file with another header and another table.
fn overlaid(old: &[u8], header: &[u8], table_range: FileRange, table: &[u8]) -> Option<Vec<u8>> {
    let mut new = old.to_vec();
    new.get_mut(..header.len())?.copy_from_slice(header);
    let at = usize::try_from(table_range.start().get()).ok()?;
    new.get_mut(at..at.checked_add(table.len())?)?.copy_from_slice(table);
    Some(new)
}

/// The smallest single write that turns the old bytes into the new ones; new bytes may be longer.
fn difference(at: FileOffset, old: &[u8], new: &[u8]) -> Option<(FileOffset, Vec<u8>)> {
    let first = agreeing(old, new);
    let same_tail = if old.len() == new.len() {
        let rest = new.len().saturating_sub(first);
        agreeing_at_the_end(old, new).min(rest)
    } else {
        0
    };
    let changed = new.get(first..new.len().saturating_sub(same_tail))?;
    if changed.is_empty() {
        return None;
    }
    Some((at.plus(u64::try_from(first).ok()?)?, changed.to_vec()))
}
