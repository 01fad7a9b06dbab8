//! The bytes of a new PT_LOAD behind everything else, and where in the file and in memory it goes.

use super::draft::Draft;
use super::draft::Rung;
use super::layout::{Layout, Placement};
use super::patch::{Content, Patch, Stage, Warning};
use super::rung::DynamicSlot;
use crate::elf::own_dynamic::OwnDynamic;
use crate::elf::own_notes::reads_own_notes;
use crate::elf::record::{Segment, dt, pt, sht};
use crate::elf::units::{Address, Alignment, FileOffset, FileRange, Fits, len64};
use crate::elf::view::load_delta;

/// Padding at the end of the file that a wanted address may cost, at least.
const PADDING: u64 = 64 * 1024;

/// A hole of this size costs no blocks, but tools that copy files bytewise pay for it.
pub(super) const LARGEST_HOLE: u64 = 1 << 30;

const TOO_FAR: &str = "the addresses leave no room for another segment";

/// Why nothing goes to the end of a file.
pub(super) const PAYLOAD: &str = "the file carries a payload behind the ELF object, which must stay at its end";

/// Why the dynamic section stays where it is.
const OWN_DYNAMIC: &str =
    "the dynamic section has no entry to spare, and the object's own code reads it where it is (_DYNAMIC)";

/// A new PT_LOAD under construction.
#[derive(Debug)]
pub(super) struct Block {
    pub(crate) offset: FileOffset,
    pub(crate) address: Address,
    /// What it holds, in order and without gaps.
    parts: Vec<Content>,
    len: u64,
    writable: bool,
    /// The first address that is another's.
    limit: u64,
}

/// Up to this size bytes are a part of the plan; what is larger is copied from the file as it is written.
const LARGE: u64 = 4096;

impl Block {
    /// Chooses the place, in the file behind everything. In memory in the largest hole between PT_LOADs, or behind the
    /// highest address, there where possible as far from its file offset as the first PT_LOAD is (ldconfig before glibc
    /// 2.31 maps every address with that difference, sourceware BZ#25087).
    pub(super) fn at_the_end(layout: &Layout<'_>) -> Result<Self, &'static str> {
        match layout.placement {
            Placement::Between => Self::between(layout),
            Placement::Behind => Self::place(layout, PADDING.max(layout.file_len >> 4), true),
        }
    }

    fn between(layout: &Layout<'_>) -> Result<Self, &'static str> {
        if layout.has_payload() {
            return Err(PAYLOAD);
        }
        let loads = || layout.view.segments.iter().filter(|segment| segment.is_load());
        let holes = loads().zip(loads().skip(1)).filter_map(|(before, behind)| {
            let start = layout.page.up(before.memory_end()?)?;
            let end = layout.page.down(behind.address.get());
            Some((end.checked_sub(start)?, start))
        });
        let (size, address) = holes.max().filter(|(size, _)| *size > 0).ok_or("there is no hole between PT_LOADs")?;
        let offset = layout.page.up(layout.file_len).ok_or(TOO_FAR)?;
        Ok(Self::empty(offset, address, address.saturating_add(size)))
    }

    fn empty(offset: u64, address: u64, limit: u64) -> Self {
        let (offset, address) = (FileOffset::new(offset), Address::new(address));
        Self { offset, address, parts: Vec::new(), len: 0, writable: false, limit }
    }

    /// As [`Block::at_the_end`] behind every address, but with the first PT_LOAD's difference whatever padding that costs (up to
    /// `most` bytes of hole): kernels before 5.18 find the program header table that way.
    pub(super) fn at_first_delta(layout: &Layout<'_>, most: u64) -> Result<Self, &'static str> {
        Self::place(layout, most, false)
    }

    fn place(layout: &Layout<'_>, most_padding: u64, may_differ: bool) -> Result<Self, &'static str> {
        if layout.has_payload() {
            return Err(PAYLOAD);
        }
        if let Some(sequel) = layout.sequel {
            return Err(sequel.reason());
        }
        let loads = layout.view.segments.iter().filter(|segment| segment.is_load());
        let end = loads.filter_map(Segment::memory_end).max().ok_or("there is no PT_LOAD")?;
        let free_address = layout.page.up(end).ok_or(TOO_FAR)?;
        let free_offset = Alignment::SIXTEEN.up(layout.file_len).ok_or(TOO_FAR)?;
        let delta = load_delta(&layout.view.segments).filter(|delta| layout.page.remainder(*delta) == 0);
        let like_first = delta.and_then(|delta| {
            let offset = free_offset.max(free_address.saturating_sub(delta));
            let padding = offset.checked_sub(free_offset)?;
            let offset = Alignment::SIXTEEN.up(offset)?;
            (padding <= most_padding).then_some((offset, offset.checked_add(delta)?))
        });
        let (offset, address) = match like_first {
            Some(place) => place,
            None if may_differ => {
                (free_offset, free_address.checked_add(layout.page.remainder(free_offset)).ok_or(TOO_FAR)?)
            }
            None => return Err("the first PT_LOAD's distance between address and offset cannot be kept"),
        };
        Ok(Self::empty(offset, address, layout.view.encoding.highest()))
    }

    /// The place for notes that move: where the program reads them by their offset they stay as far from it as they were.
    pub(super) fn for_notes(layout: &Layout<'_>) -> Result<Self, &'static str> {
        if !reads_own_notes(layout.view) {
            return Self::at_the_end(layout);
        }
        if layout.placement == Placement::Between {
            return Err("the program reads its notes by their file offset");
        }
        Self::at_first_delta(layout, LARGEST_HOLE)
    }

    /// Adds bytes at the next multiple of an alignment and says where they are.
    pub(super) fn push(&mut self, bytes: &[u8], alignment: Alignment) -> Result<(FileOffset, Address), &'static str> {
        let place = self.align(alignment)?;
        self.extend(bytes)?;
        Ok(place)
    }

    /// Adds bytes of the file in the same way.
    pub(super) fn push_copy(
        &mut self,
        file: &[u8],
        range: FileRange,
        alignment: Alignment,
    ) -> Result<(FileOffset, Address), &'static str> {
        let bytes = range.of(file).ok_or("a section is outside the file")?;
        if range.len() <= LARGE {
            return self.push(bytes, alignment);
        }
        let place = self.align(alignment)?;
        self.parts.push(Content::CopyOf(range));
        self.len = self.len.checked_add(range.len()).fits()?;
        Ok(place)
    }

    /// Fills up with zeros to an alignment and says where that is.
    fn align(&mut self, alignment: Alignment) -> Result<(FileOffset, Address), &'static str> {
        if alignment > Alignment::SIXTEEN {
            return Err("something that moves needs a larger alignment than 16 bytes");
        }
        let within = alignment.up(self.len).fits()?;
        let padding = usize::try_from(within.saturating_sub(self.len)).ok().fits()?;
        self.extend(&vec![0; padding])?;
        Ok((self.offset.plus(within).fits()?, self.address.plus(within).fits()?))
    }

    fn extend(&mut self, more: &[u8]) -> Result<(), &'static str> {
        match self.parts.last_mut() {
            Some(Content::Bytes(bytes)) => bytes.extend_from_slice(more),
            _ if more.is_empty() => {}
            _ => self.parts.push(Content::Bytes(more.to_vec())),
        }
        self.len = self.len.checked_add(len64(more)).fits()?;
        Ok(())
    }

    /// Zeros in front of something that another program header also names: llvm-strip takes the header with the lower
    /// index at the same offset as the parent and would drop the PT_LOAD's alignment.
    pub(super) fn lead(&mut self) -> Result<(), &'static str> {
        self.push(&[0; 16], Alignment::SIXTEEN).map(|_| ())
    }

    /// Moves the dynamic section here when it needs one more entry; keeps one spare.
    pub(super) fn take_dynamic(&mut self, draft: &mut Draft<'_>) -> Result<(), &'static str> {
        let layout = draft.layout;
        if layout.slot.slot != DynamicSlot::Moved {
            return Ok(());
        }
        match layout.own_dynamic() {
            OwnDynamic::Read => return Err(OWN_DYNAMIC),
            OwnDynamic::Untold => draft.warnings.push(Warning::DynamicMoved),
            OwnDynamic::Unread => {}
        }
        let view = layout.view;
        let encoding = view.encoding;
        let slots = u64::try_from(layout.slot.entries.len()).ok().and_then(|entries| entries.checked_add(2));
        let size = slots.and_then(|slots| slots.checked_mul(encoding.dynamic_size())).fits()?;
        if self.len == 0 {
            self.lead()?;
        }
        // The entries are filled in when everything has its place.
        let zeros = vec![0; usize::try_from(size).map_err(|_| "the dynamic section is too large")?];
        let (offset, address) = self.push(&zeros, Alignment::SIXTEEN)?;
        // The loader writes DT_DEBUG there, but where the section is read-only, as on MIPS.
        let home = view.segments.iter().find(|s| s.is_load() && s.holds(view.dynamic.address, 1));
        self.writable = home.is_some_and(Segment::is_writable);
        for segment in draft.segments.iter_mut().filter(|segment| segment.kind == pt::PT_DYNAMIC) {
            segment.offset = offset;
            segment.address = address;
            segment.physical = Address::new(address.get());
            segment.file_size = size;
            segment.memory_size = size;
        }
        let is_dynamic = |section: &crate::elf::record::Section| {
            section.kind == sht::SHT_DYNAMIC && section.address == view.dynamic.address
        };
        if let Some(index) = draft.sections.iter().position(is_dynamic) {
            draft.move_section(index, offset, address);
            if let Some(section) = draft.sections.get_mut(index) {
                section.size = size;
            }
        }
        draft.dynamic_offset = offset;
        draft.dynamic_address = address;
        draft.dynamic_slots = slots.unwrap_or(0);
        Ok(())
    }

    /// Puts the string table at the end and the PT_LOAD into the draft, behind the last one.
    pub(super) fn close<'g>(mut self, mut draft: Draft<'g>) -> Rung<'g> {
        let (offset, address) = self.push(&[], Alignment::ONE)?;
        let table_size = draft.write_table(offset)?;
        draft.place_table(offset, address, table_size);
        let size = self.len.checked_add(table_size).fits()?;
        let end = self.address.plus(size).fits()?;
        if end.get() > self.limit {
            return Err(TOO_FAR);
        }
        let load = Segment {
            kind: pt::PT_LOAD,
            flags: if self.writable { pt::PF_R | pt::PF_W } else { pt::PF_R },
            offset: self.offset,
            address: self.address,
            physical: Address::new(self.address.get()),
            file_size: size,
            memory_size: size,
            align: draft.layout.page.get(),
        };
        let is_before = |segment: &Segment| segment.is_load() && segment.address < self.address;
        let behind = draft.segments.iter().rposition(is_before).and_then(|last| last.checked_add(1));
        draft.segments.insert(behind.ok_or("there is no PT_LOAD")?, load);
        // In front of everything that is written over its placeholders.
        let mut own = Vec::with_capacity(self.parts.len());
        let mut offset = self.offset;
        for content in self.parts {
            let patch = Patch { stage: Stage::Content, offset, content };
            offset = patch.range().fits()?.end();
            own.push(patch);
        }
        draft.patches.splice(0..0, own);
        draft.new_len = draft.new_len.max(self.offset.plus(size).fits()?.get());
        Ok(draft)
    }
}

/// The tags whose values are addresses of tables that [`super::make_room`] may move.
pub(super) const TABLE_TAGS: [u64; 4] = [dt::DT_HASH, dt::DT_GNU_HASH, dt::DT_SYMTAB, dt::DT_VERSYM];
