//! What every rung needs to know about an object: gathered once, never changed.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use bstr::ByteSlice;

use super::change::Change;
use super::error::PlanError;
use super::slot::SlotPlan;
use crate::elf::own_dynamic::{OwnDynamic, own_dynamic};
use crate::elf::record::{Section, Segment, dt, pt};
use crate::elf::references::References;
use crate::elf::runs::all_zero;
use crate::elf::symbols::has_name;
use crate::elf::units::{Alignment, FileOffset, FileRange, StringOffset, len64};
use crate::elf::view::ElfView;

/// Where a new PT_LOAD may go in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placement {
    /// Between two PT_LOADs, so that the last one stays the last.
    Between,
    /// Behind every other one.
    Behind,
}

/// An object with everything that is true of it whatever the rung.
pub(super) struct Layout<'g> {
    pub(crate) view: &'g ElfView<'g>,
    /// Which bytes of the string table a reference other than the path tags reads.
    pub(crate) references: References,
    /// The strings of the path tags, as (offset, bytes without NUL).
    pub(crate) old_paths: Vec<(StringOffset, u64)>,
    /// The new string with its NUL; empty when the tag goes.
    pub(crate) wanted: Vec<u8>,
    pub(crate) slot: SlotPlan,
    /// The largest page of any kernel for this machine.
    pub(crate) page: Alignment,
    pub(crate) file_len: u64,
    /// The end of everything that a header describes.
    pub(crate) content_end: u64,
    /// Everything in the file that a header describes, but for the PT_LOADs: those say what is mapped, not what is used.
    pub(crate) occupied: Vec<FileRange>,
    /// The file ranges of the PT_LOADs.
    pub(crate) loads: Vec<FileRange>,
    /// Where a new PT_LOAD may go.
    pub(crate) placement: Placement,
    /// What the program itself does with what lies behind its last PT_LOAD.
    pub(crate) sequel: Option<Sequel>,
    /// Whether its own code knows where the dynamic section is; asked only where that has to move.
    own_dynamic: OnceCell<OwnDynamic>,
}

/// What a program itself takes to lie behind its last PT_LOAD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sequel {
    /// Its heap, in memory: it is an image that was dumped with its heap (unexec, as in GNU Common Lisp). It asks for the
    /// break itself, its data has no zero-initialised end any more, and what it notes of its heap is that it ends there.
    Heap,
    /// What it adds to copies of itself, in the file: bun writes there what it compiles, lengthens its data segment over
    /// that, and shifts what follows without telling any program header.
    Copies,
}

impl Sequel {
    fn of(view: &ElfView<'_>) -> Option<Self> {
        let loads = view.segments.iter().filter(|segment| segment.is_load());
        let last =
            loads.max_by_key(|segment| segment.address).filter(|last| last.is_writable() && view.has_interpreter())?;
        if last.file_size == last.memory_size {
            return ["sbrk", "brk"].iter().any(|name| has_name(view, name)).then_some(Self::Heap);
        }
        let is_bun = |section: &Section| {
            last.holds(section.address, section.size) && view.section_name(section).is_some_and(|name| name == ".bun")
        };
        view.sections.iter().any(is_bun).then_some(Self::Copies)
    }

    /// Why nothing may be put there.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Heap => "the program is a dumped image: its heap goes on at the end of its last PT_LOAD",
            Self::Copies => "the program copies itself with a longer data segment, behind which nothing may stand",
        }
    }
}

impl<'g> Layout<'g> {
    pub(super) fn of(view: &'g ElfView<'g>, change: &Change) -> Result<Self, PlanError> {
        let references = References::collect(view)?;
        let path_tags = view.dynamic.entries.iter().filter(|entry| matches!(entry.tag, dt::DT_RUNPATH | dt::DT_RPATH));
        let offsets: BTreeSet<StringOffset> = path_tags.map(|entry| StringOffset::new(entry.value)).collect();
        let old_paths =
            offsets.into_iter().filter_map(|offset| Some((offset, len64(view.strings.get(offset)?)))).collect();
        let mut wanted = change.path().map(|path| path.as_bytes().to_vec()).unwrap_or_default();
        if !wanted.is_empty() {
            wanted.push(0);
        }
        let occupied = occupied(view);
        let loads = loads(view);
        let content_end = content_end(&occupied, &loads);
        Ok(Self {
            view,
            references,
            old_paths,
            wanted,
            slot: SlotPlan::choose(view, change),
            page: view.machine().page(),
            file_len: len64(view.bytes),
            content_end,
            occupied,
            loads,
            placement: Placement::Behind,
            sequel: Sequel::of(view),
            own_dynamic: OnceCell::new(),
        })
    }

    /// Whether the object's own code knows where the dynamic section is.
    pub(super) fn own_dynamic(&self) -> OwnDynamic {
        *self.own_dynamic.get_or_init(|| own_dynamic(self.view))
    }

    /// Whether the program may count on the break where the kernel puts it: it turns the randomness of addresses off, as
    /// images do before they are dumped with their heap.
    pub(super) fn may_count_on_the_break(&self) -> bool {
        let asks = |name| has_name(self.view, name);
        self.sequel == Some(Sequel::Heap)
            || (self.view.has_interpreter() && asks("personality") && (asks("sbrk") || asks("brk")))
    }

    /// Whether nothing may be added to the end of a PT_LOAD, since the program counts on where the last one ends.
    pub(super) fn ends_where_it_must(&self, load: &Segment) -> bool {
        let is_last = || !self.view.segments.iter().any(|other| other.is_load() && other.address > load.address);
        (self.sequel.is_some() || self.placement == Placement::Between) && is_last()
    }

    /// See [`has_payload`].
    pub(super) fn has_payload(&self) -> bool {
        has_payload(self.view.bytes, self.content_end)
    }

    /// The path string that the loader uses, as (offset, bytes without NUL).
    pub(super) fn effective_path(&self) -> Option<(StringOffset, u64)> {
        let effective = self.view.path_tags().effective()?;
        self.old_paths.iter().copied().find(|(offset, _)| *offset == effective)
    }

    /// The start of the first occupied range behind an offset; `None` when something reaches across it.
    pub(super) fn free_until(&self, offset: FileOffset) -> Option<u64> {
        let used = self.occupied.iter().chain(&self.loads);
        let behind = used.filter(|used| used.end() > offset && !used.is_empty());
        let next = behind.map(|used| used.start()).min();
        match next {
            None => Some(u64::MAX),
            Some(next) if next >= offset => Some(next.get()),
            Some(_) => None,
        }
    }

    /// Whether bytes of the file are all zero; bytes past its end count as zero.
    pub(super) fn is_zero(&self, range: FileRange) -> bool {
        let Some(inside) = FileRange::new(FileOffset::new(0), self.file_len).and_then(|all| all.intersection(range))
        else {
            return true;
        };
        inside.of(self.view.bytes).is_some_and(all_zero)
    }

    /// The table without the old path where that was its end, so that repeated edits do not make it longer.
    pub(super) fn table_without_old_tail(&self) -> &'g [u8] {
        let table = self.view.strings.bytes;
        let size = len64(table);
        let ends_table = |(offset, len): &(StringOffset, u64)| {
            let len_with_nul = len.saturating_add(1);
            offset.get().checked_add(len_with_nul) == Some(size) && self.references.is_free(*offset, len_with_nul)
        };
        let end = self.old_paths.iter().find(|old| ends_table(old)).map_or(size, |(offset, _)| offset.get());
        usize::try_from(end).ok().and_then(|end| table.get(..end)).unwrap_or(table)
    }

    /// The size in bytes of a copy of the table with the new string.
    pub(super) fn new_table_size(&self) -> Option<u64> {
        len64(self.table_without_old_tail()).checked_add(len64(&self.wanted))
    }
}

/// The end of everything that a header describes.
pub(super) fn content_end(occupied: &[FileRange], loads: &[FileRange]) -> u64 {
    occupied.iter().chain(loads).map(|range| range.end().get()).max().unwrap_or(0)
}

/// As many zeros may stand behind an object for no reason: Zig's linker leaves what it once reserved.
const MOST_PADDING: u64 = 64 << 20;

/// Bytes behind everything that a header describes: an archive or a script that the program reads from its own end.
/// Nothing but zeros is padding: Go's linker writes whole pages, and Zig's leaves what it reserved.
pub(super) fn has_payload(file: &[u8], content_end: u64) -> bool {
    let rest = usize::try_from(content_end).ok().and_then(|end| file.get(end..)).unwrap_or_default();
    len64(rest) > MOST_PADDING || !all_zero(rest)
}

/// The file ranges of the PT_LOADs.
pub(super) fn loads(view: &ElfView<'_>) -> Vec<FileRange> {
    view.segments.iter().filter(|s| s.is_load()).filter_map(Segment::file_range).collect()
}

/// Everything else that a header describes.
pub(super) fn occupied(view: &ElfView<'_>) -> Vec<FileRange> {
    let header = FileRange::new(FileOffset::new(0), u64::from(view.header.e_ehsize).max(view.encoding.header_size()));
    let tables = [header, view.table_range(), view.section_table_range()];
    let segments =
        view.segments.iter().filter(|s| !matches!(s.kind, pt::PT_NULL | pt::PT_LOAD)).map(Segment::file_range);
    let sections = view.sections.iter().map(|section| section.file_range());
    tables.into_iter().chain(segments).chain(sections).flatten().filter(|range| !range.is_empty()).collect()
}
