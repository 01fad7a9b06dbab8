//! Pages of zeros leave the file: a PT_LOAD that has some is parted around them. Each part ends in memory where the next
//! one begins, and in the file where the zeros begin: the loader maps anonymous pages there. No address changes.
//!
//! The program header table grows by hundreds of entries and stays where tools look for it, behind the ELF header: all
//! that was in front moves behind it by whole pages, the old header and table too, so that memory has the bytes that it
//! had. Where a PT_LOAD is aligned to more than a page, zeros in front of it keep it so: less than it is aligned to. No PT_LOAD maps the table any more; loaders then keep the copy that they read, of a library. Programs are left as
//! long as they are, since kernels tell them where the table is mapped.

use goblin::elf::header::ET_DYN;

use super::recipe::{SlimPlan, SlimShape, patch};
use crate::elf::encode::{Counts, encode_sections, encode_segments, patch_header};
use crate::elf::plan::{Content, Patch, has_payload};
use crate::elf::ranges::RangeSet;
use crate::elf::record::{Section, Segment, pt, sht};
use crate::elf::units::{Address, Alignment, FileOffset, FileRange, len64};
use crate::elf::view::ElfView;

/// A shorter run is not worth two mappings in every process that loads the file.
const SHORTEST_RUN: u64 = 8 << 10;

/// As many program headers as a file has in the end: a process may have some 65,000 mappings, of all its libraries.
const MOST_HEADERS: usize = 768;

/// Entries left free behind the table, for editors that add one.
const SPARE_HEADERS: u64 = 4;

/// SHN_LORESERVE: section numbers from here on mean something else.
const MOST_SECTIONS: usize = 0xff00;

/// Sections may ask for so much, and then runs are made of such pieces.
const LARGEST_UNIT: u64 = 2 << 20;

/// Why a file keeps its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum NotCompacted {
    /// Kernels give a program its table by its place in the file, and before Linux 5.18 in one way only.
    Program,
    /// An object file, an archive, a fat binary: what it has in memory is not known.
    NotLoaded,
    /// Without section headers no tool can tell what the parts are.
    NoSections,
    /// Something stands behind the object that must be the end of the file.
    Payload,
    /// Sections share bytes, or contradict the program headers.
    Contradiction,
    /// The file itself is written, which cannot become shorter in steps that all load.
    InPlace,
}

impl NotCompacted {
    /// The word used in every output format.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }

    /// The reason as a person reads it.
    #[must_use]
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Program => "a program: kernels before 5.18 find its program headers by their place in the file",
            Self::NotLoaded => "no shared library",
            Self::NoSections => "it has no section headers",
            Self::Payload => "something stands behind the object that must stay the end of the file",
            Self::Contradiction => "its sections share bytes or contradict its program headers",
            Self::InPlace => "written in place",
        }
    }
}

/// A run of pages that leaves the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ZeroRun {
    /// Where its bytes are.
    range: FileRange,
    /// Where they are in memory.
    address: u64,
    /// The PT_LOAD and the section that it is in.
    segment: usize,
    section: usize,
}

impl ZeroRun {
    fn memory_end(&self) -> u64 {
        self.address.saturating_add(self.range.len())
    }
}

/// Leaves pages of zeros out of a new file. `None` where none is worth it.
///
/// # Errors
/// [`NotCompacted`] where the file is not of a kind that can be made shorter.
pub(crate) fn compact(
    view: &ElfView<'_>,
    plan: &SlimPlan,
    zeros: &[FileRange],
) -> Result<Option<SlimPlan>, NotCompacted> {
    if view.header.e_type != ET_DYN || view.has_interpreter() {
        return Err(NotCompacted::Program);
    }
    if view.sections.is_empty() {
        return Err(NotCompacted::NoSections);
    }
    if has_payload(view.bytes) {
        return Err(NotCompacted::Payload);
    }
    let units = Units::of(view).ok_or(NotCompacted::Contradiction)?;
    let runs = runs(view, &units, zeros);
    if runs.is_empty() {
        return Ok(None);
    }
    let shorter = Shorter { view, units, runs }.into_plan(plan).ok_or(NotCompacted::Contradiction)?;
    Ok(Some(shorter).filter(|shorter| shorter.new_len < plan.new_len))
}

/// What runs are made of in each PT_LOAD, and what its offset goes by: the largest page of a kernel, or what a section in it
/// asks for.
struct Units {
    page: Alignment,
    /// By the index of the program header; the page for what is no PT_LOAD.
    of_segments: Vec<Alignment>,
}

impl Units {
    fn of(view: &ElfView<'_>) -> Option<Self> {
        let page = view.machine().page();
        let mut of_segments = Vec::with_capacity(view.segments.len());
        let sections = || view.sections.iter().filter(|section| section.is_alloc() && section.size > 0);
        for segment in &view.segments {
            let has = |section: &&Section| {
                let behind = section.address.get().checked_sub(segment.address.get());
                segment.is_load() && behind.is_some_and(|behind| behind < segment.memory_size)
            };
            let aligned = sections().filter(has).map(|section| Alignment::new(section.align));
            let unit = aligned.into_iter().try_fold(page, |unit, align| Some(unit.max(align?)))?;
            let align = segment.alignment().min(unit);
            let is_congruent = align.remainder(segment.address.get()) == align.remainder(segment.offset.get());
            let is_right = unit.get() <= LARGEST_UNIT && (segment.file_size == 0 || is_congruent);
            (!segment.is_load() || is_right).then_some(())?;
            of_segments.push(unit);
        }
        share(view, &mut of_segments);
        Some(Self { page, of_segments })
    }

    fn of_segment(&self, index: usize) -> Alignment {
        self.of_segments.get(index).copied().unwrap_or(self.page)
    }
}

/// Parts of one PT_LOAD have what the whole had: a second run finds nothing more.
fn share(view: &ElfView<'_>, units: &mut [Alignment]) {
    let mut loads: Vec<(usize, &Segment)> =
        view.segments.iter().enumerate().filter(|(_, segment)| segment.is_load()).collect();
    loads.sort_by_key(|(_, load)| load.address);
    let is_one = |(_, first): &(usize, &Segment), (_, second): &(usize, &Segment)| {
        let end = first.address.get().checked_add(first.memory_size);
        end == Some(second.address.get()) && first.flags == second.flags
    };
    for parts in loads.chunk_by(is_one) {
        let all = parts.iter().filter_map(|(index, _)| units.get(*index).copied()).max();
        for (unit, all) in parts.iter().filter_map(|(index, _)| Some(*index).zip(all)) {
            if let Some(unit) = units.get_mut(unit) {
                *unit = all;
            }
        }
    }
}

/// The runs that are worth it, in order: the longest, where there are too many.
fn runs(view: &ElfView<'_>, units: &Units, zeros: &[FileRange]) -> Vec<ZeroRun> {
    let kept = kept_whole(view);
    let mut sections: Vec<(FileRange, usize)> = cuttable(view).collect();
    sections.sort_unstable();
    let mut found: Vec<ZeroRun> = zeros
        .iter()
        .filter_map(|range| {
            let behind = sections.partition_point(|(section, _)| section.start() <= range.start());
            let (whole, section) = *sections.get(behind.checked_sub(1)?)?;
            run(view, units, whole.intersection(*range)?, (whole, section))
        })
        .filter(|run| run.range.len() >= SHORTEST_RUN && !kept.intersects(run.range))
        .collect();
    let room = MOST_HEADERS.saturating_sub(view.segments.len());
    let room = room.min(MOST_SECTIONS.saturating_sub(view.sections.len()) / 2);
    if found.len() > room {
        found.sort_by_key(|run| (std::cmp::Reverse(run.range.len()), run.range));
        found.truncate(room);
        found.sort_by_key(|run| run.range);
    }
    found
}

/// The whole units in a part of a section.
fn run(view: &ElfView<'_>, units: &Units, part: FileRange, (whole, section): (FileRange, usize)) -> Option<ZeroRun> {
    let is_it = |load: &Segment| load.is_load() && load.file_range().is_some_and(|all| all.covers(whole));
    let segment = view.segments.iter().position(is_it)?;
    let (load, unit) = (view.segments.get(segment)?, units.of_segment(segment));
    let address_of = |offset: FileOffset| load.address.get().checked_add(offset.since(load.offset)?);
    let start = unit.up(address_of(part.start())?)?;
    let mut end = unit.down(address_of(part.end())?);
    // Something of the section stays in front and behind, so that the parts have sections of their own.
    if end == address_of(whole.end())? {
        end = end.checked_sub(unit.get())?;
    }
    if start >= end || start == address_of(whole.start())? {
        return None;
    }
    let offset = load.offset.plus(start.checked_sub(load.address.get())?)?;
    Some(ZeroRun { range: FileRange::new(offset, end.checked_sub(start)?)?, address: start, segment, section })
}

/// What other program headers name: the dynamic section, RELRO, notes, TLS and so on.
fn kept_whole(view: &ElfView<'_>) -> RangeSet {
    let others = view.segments.iter().filter(|segment| !segment.is_load());
    let section_table = view.section_table_range().into_iter();
    others.filter_map(Segment::file_range).chain(section_table).collect()
}

/// Sections of data alone that a single PT_LOAD maps where their headers say, and that share no byte with another one.
fn cuttable<'v>(view: &'v ElfView<'_>) -> impl Iterator<Item = (FileRange, usize)> + 'v {
    let mut ranges: Vec<FileRange> = view.sections.iter().filter_map(Section::file_range).collect();
    ranges.retain(|range| !range.is_empty());
    ranges.sort_unstable();
    let is_alone = move |range: FileRange| {
        let mut sharing = ranges.iter().skip(ranges.partition_point(|other| other.start() < range.start()));
        let first = sharing.next();
        let behind = sharing.next().is_none_or(|other| other.start() >= range.end());
        // What begins earlier and reaches into it would overlap the one in front of it, too, or be it.
        let in_front = ranges.partition_point(|other| other.start() < range.start());
        let in_front = in_front.checked_sub(1).and_then(|last| ranges.get(last));
        first == Some(&range) && behind && in_front.is_none_or(|other| other.end() <= range.start())
    };
    view.sections.iter().enumerate().filter_map(move |(index, section)| {
        let odd = u64::from(sht::SHF_TLS | sht::SHF_EXECINSTR | sht::SHF_MERGE | sht::SHF_GROUP | sht::SHF_COMPRESSED);
        let range = section.file_range().filter(|range| !range.is_empty())?;
        let is_data = section.kind == sht::SHT_PROGBITS && section.is_alloc() && section.flags & odd == 0;
        let is_mapped = crate::elf::inward::agrees(&view.segments, section, range);
        (is_data && is_mapped && is_alone(range)).then_some((range, index))
    })
}

/// A file that is being made shorter.
struct Shorter<'d> {
    view: &'d ElfView<'d>,
    units: Units,
    runs: Vec<ZeroRun>,
}

impl Shorter<'_> {
    fn into_plan(self, plan: &SlimPlan) -> Option<SlimPlan> {
        let (front, back) = self.body()?;
        let segments = self.segments()?;
        let encoding = self.view.encoding;
        let header_size = encoding.header_size();
        let table = encoding.segment_size().checked_mul(len64(&segments).checked_add(SPARE_HEADERS)?)?;
        let start = self.units.page.up(header_size.checked_add(table)?)?;
        let moved = ShiftedOffsets { front, start, runs: &self.runs, pads: Vec::new() };
        let moved = ShiftedOffsets { pads: self.pads(&moved)?, ..moved };
        let segments = segments.into_iter().map(|segment| moved.segment(segment)).collect::<Option<Vec<_>>>()?;
        let sections = self.sections(&moved)?;
        let body_end = moved.offset(back)?;
        let section_table = Alignment::SIXTEEN.up(body_end)?;
        let counts = Counts {
            table_offset: header_size,
            section_table_offset: section_table,
            segments: u16::try_from(segments.len()).ok()?,
            sections: u16::try_from(sections.len()).ok()?,
        };
        let old_header = FileRange::between(0, header_size)?.of(self.view.bytes)?;
        let mut head = patch_header(encoding, old_header, counts)?;
        head.extend(encode_segments(encoding, &segments)?);
        let mut patches = vec![patch(FileOffset::new(0), Content::Bytes(head))];
        fill(&mut patches, start)?;
        moved.body(&plan.patches, back, &mut patches)?;
        fill(&mut patches, section_table)?;
        patches.push(patch(FileOffset::new(section_table), Content::Bytes(encode_sections(encoding, &sections)?)));
        let new_len = patches.last().and_then(Patch::range)?.end().get();
        let shape = SlimShape::Compacted { runs: len64(&self.runs) };
        Some(SlimPlan { patches, old_len: plan.old_len, new_len, rewritten: plan.rewritten.clone(), shape })
    }

    /// From where to where the file has what its headers describe, but for its tables: all of it stays, in order.
    fn body(&self) -> Option<(u64, u64)> {
        let segments = self.view.segments.iter().filter(|segment| segment.file_size > 0);
        let ranges = segments.filter_map(Segment::file_range);
        let sections = self.view.sections.iter().filter_map(Section::file_range).filter(|range| !range.is_empty());
        let (mut front, mut back) = (u64::MAX, 0);
        for range in ranges.chain(sections) {
            front = front.min(range.start().get());
            back = back.max(range.end().get());
        }
        let front = self.units.page.down(front);
        (front < back && back <= len64(self.view.bytes)).then_some((front, back))
    }

    /// Zeros in front of PT_LOADs, which keep their offsets congruent with their addresses: where, and how many.
    fn pads(&self, moved: &ShiftedOffsets<'_>) -> Option<Vec<(u64, u64)>> {
        let loads = self.view.segments.iter().enumerate();
        let mut loads: Vec<(usize, &Segment)> =
            loads.filter(|(_, load)| load.is_load() && load.file_size > 0).collect();
        loads.sort_by_key(|(_, load)| load.offset);
        let (mut pads, mut added, mut end) = (Vec::new(), 0_u64, 0_u64);
        for (index, load) in loads {
            let align = load.alignment().min(self.units.of_segment(index));
            let now = moved.offset(load.offset.get())?.checked_add(added)?;
            let (wanted, there) = (align.remainder(load.address.get()), align.remainder(now));
            let missing = align.remainder(align.get().checked_add(wanted)?.checked_sub(there)?);
            if missing > 0 {
                // What another one maps too cannot move away from it.
                (load.offset.get() >= end).then_some(())?;
                pads.push((load.offset.get(), missing));
                added = added.checked_add(missing)?;
            }
            end = end.max(load.file_range()?.end().get());
        }
        Some(pads)
    }

    /// The program headers with their old offsets, PT_LOADs parted.
    fn segments(&self) -> Option<Vec<Segment>> {
        let mut segments = Vec::with_capacity(self.view.segments.len().saturating_add(self.runs.len()));
        for (index, segment) in self.view.segments.iter().enumerate() {
            if segment.kind == pt::PT_PHDR {
                // A library needs none, and no PT_LOAD maps the table.
                continue;
            }
            let mut rest = segment.clone();
            if segment.is_load() {
                rest.align = segment.align.min(self.units.of_segment(index).get());
            }
            for run in self.runs.iter().filter(|run| run.segment == index) {
                let file_size = run.range.start().since(rest.offset)?;
                let memory_size = run.memory_end().checked_sub(rest.address.get())?;
                let behind = memory_size;
                segments.push(Segment { file_size, memory_size, ..rest.clone() });
                rest.offset = run.range.end();
                rest.address = rest.address.plus(behind)?;
                rest.physical = rest.physical.plus(behind)?;
                rest.file_size = rest.file_size.checked_sub(behind)?;
                rest.memory_size = rest.memory_size.checked_sub(behind)?;
            }
            segments.push(rest);
        }
        Some(segments)
    }

    /// The section headers. One that a run cuts keeps its number for its last part, so that in each PT_LOAD the numbers
    /// ascend with the addresses, as tools that lay sections out anew take them; its other parts come behind all others.
    fn sections(&self, moved: &ShiftedOffsets<'_>) -> Option<Vec<Section>> {
        let mut sections = self.view.sections.clone();
        for section in sections.iter_mut().filter(|section| section.kind != sht::SHT_NULL) {
            let is_empty = section.file_range().is_none_or(FileRange::is_empty);
            // A place without bytes may be anywhere; it stays near what is around it.
            let known = moved.offset(section.offset.get());
            section.offset = FileOffset::new(if is_empty { known.unwrap_or(section.offset.get()) } else { known? });
        }
        for run in &self.runs {
            let whole = sections.get_mut(run.section)?;
            let head_size = run.address.checked_sub(whole.address.get())?;
            let behind = head_size.checked_add(run.range.len())?;
            let head = Section { size: head_size, ..whole.clone() };
            let gap_offset = whole.offset.plus(head_size)?;
            let gap = Section {
                kind: sht::SHT_NOBITS,
                address: Address::new(run.address),
                offset: gap_offset,
                size: run.range.len(),
                ..whole.clone()
            };
            whole.address = whole.address.plus(behind)?;
            whole.offset = gap_offset;
            whole.size = whole.size.checked_sub(behind)?;
            sections.extend([head, gap]);
        }
        Some(sections)
    }
}

/// Goes on with zeros up to an offset.
fn fill(patches: &mut Vec<Patch>, until: u64) -> Option<()> {
    let end = patches.last().map_or(Some(0), |last| Some(last.range()?.end().get()))?;
    let missing = until.checked_sub(end)?;
    if missing > 0 {
        patches.push(patch(FileOffset::new(end), Content::Zero(missing)));
    }
    Some(())
}

/// Where old offsets are in the new file.
struct ShiftedOffsets<'m> {
    /// The first byte that stays, and where it is then.
    front: u64,
    start: u64,
    runs: &'m [ZeroRun],
    /// See [`Shorter::pads`].
    pads: Vec<(u64, u64)>,
}

impl ShiftedOffsets<'_> {
    fn offset(&self, old: u64) -> Option<u64> {
        let gone = self.runs.iter().take_while(|run| run.range.start().get() < old);
        let gone = gone.map(|run| run.range.end().get().min(old).saturating_sub(run.range.start().get()));
        let pads = self.pads.iter().take_while(|(at, _)| *at <= old).map(|(_, len)| *len);
        let old = old.checked_sub(self.front)?.checked_add(self.start)?;
        old.checked_add(pads.fold(0, u64::saturating_add))?.checked_sub(gone.fold(0, u64::saturating_add))
    }

    fn segment(&self, segment: Segment) -> Option<Segment> {
        let offset = self.offset(segment.offset.get()).map(FileOffset::new);
        if segment.file_size > 0 {
            return Some(Segment { offset: offset?, ..segment });
        }
        // PT_GNU_STACK is nowhere; what has no bytes in the file stays near what is around it.
        let is_nowhere = segment.offset.get() == 0 && segment.address.get() == 0;
        Some(Segment { offset: offset.filter(|_| !is_nowhere).unwrap_or(segment.offset), ..segment })
    }

    /// The bytes of the old plan from the first one on, without the runs.
    fn body(&self, old: &[Patch], back: u64, patches: &mut Vec<Patch>) -> Option<()> {
        let mut kept: Vec<FileRange> = Vec::with_capacity(self.runs.len().saturating_add(1));
        let mut at = self.front;
        for run in self.runs {
            kept.push(FileRange::between(at, run.range.start().get())?);
            at = run.range.end().get();
        }
        kept.push(FileRange::between(at, back)?);
        let mut pads = self.pads.iter().peekable();
        let mut place = self.start;
        let mut kept = kept.into_iter().filter(|range| !range.is_empty()).peekable();
        for part in old {
            let range = part.range()?;
            while let Some(wanted) = kept.peek().copied() {
                if let Some(both) = wanted.intersection(range) {
                    let mut from = both.start().get();
                    while from < both.end().get() {
                        // The next one is in front of what stands here, or parts it.
                        while let Some((_, len)) = pads.next_if(|(at, _)| *at <= from) {
                            patches.push(patch(FileOffset::new(place), Content::Zero(*len)));
                            place = place.checked_add(*len)?;
                        }
                        let to = pads.peek().map_or(u64::MAX, |(at, _)| *at).min(both.end().get());
                        let (within, len) = (from.checked_sub(range.start().get())?, to.checked_sub(from)?);
                        patches.push(patch(FileOffset::new(place), part_of(&part.content, within, len)?));
                        place = place.checked_add(len)?;
                        from = to;
                    }
                }
                if wanted.end() > range.end() {
                    break;
                }
                kept.next();
            }
        }
        (kept.next().is_none() && pads.next().is_none()).then_some(())
    }
}

/// A part of what a patch sets.
fn part_of(content: &Content, from: u64, len: u64) -> Option<Content> {
    Some(match content {
        Content::Zero(_) => Content::Zero(len),
        Content::CopyOf(range) => Content::CopyOf(FileRange::new(range.start().plus(from)?, len)?),
        Content::Bytes(bytes) => {
            let from = usize::try_from(from).ok()?;
            Content::Bytes(bytes.get(from..from.checked_add(usize::try_from(len).ok()?)?)?.to_vec())
        }
    })
}
