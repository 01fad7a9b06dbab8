//! Who leads into the middle of a range of the file: an edit that moves what is in the range would leave such a pointer
//! astray. What cannot be read is told apart from what leads nowhere.

use goblin::elf::header::{ET_EXEC, ET_REL};

use super::contents::Contents;
use super::load_map;
use super::ranges::RangeSet;
use super::record::{Encoding, Section, Segment, pt, sht};
use super::relocations::{Mention, each_address};
use super::units::{Address, FileRange};
use super::view::{ElfView, object_or_loader, parse_header, parse_sections, parse_segments};

/// The tables of relocations that name a symbol: of compact ones (CREL) nothing is read here.
const SHT_RELR: u32 = 19;
const SHT_CREL: u32 = 0x4000_0014;

/// The widest word that a relocation writes, bytes.
const WIDEST: u64 = 8;

/// What is known of those who lead into a range of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inward {
    /// No symbol and no relocation does.
    Alone,
    /// A symbol or relocation leads into its middle, or a relocation writes to it.
    Entered,
    /// No PT_LOAD maps it, or not where its section header says.
    NotMapped,
    /// Several sections or PT_LOADs have it.
    Twice,
    /// A table cannot be read, or is packed in a form that is not known: there may be one.
    Unreadable,
}

/// Ranges that do not overlap, in order, as addresses; and what leads into each.
struct EnteredRanges {
    /// Start and end, and which range it is.
    places: Vec<(u64, u64, usize)>,
    hit: Vec<bool>,
}

impl EnteredRanges {
    fn new(mut places: Vec<(u64, u64, usize)>, count: usize) -> Self {
        places.sort_unstable();
        Self { places, hit: vec![false; count] }
    }

    fn find(&self, address: u64) -> Option<&(u64, u64, usize)> {
        let behind = self.places.partition_point(|(start, ..)| *start <= address);
        self.places.get(behind.checked_sub(1)?).filter(|(_, end, _)| address < *end)
    }

    fn mark(&mut self, index: Option<usize>) {
        if let Some(hit) = index.and_then(|index| self.hit.get_mut(index)) {
            *hit = true;
        }
    }

    /// A pointer may lead to the start of a range, not into it.
    fn name(&mut self, address: u64) {
        let index = self.find(address).filter(|(start, ..)| *start != address).map(|found| found.2);
        self.mark(index);
    }

    /// Nothing may write to any byte of it.
    fn write(&mut self, address: u64) {
        for at in [address, address.saturating_add(WIDEST.saturating_sub(1))] {
            let index = self.find(at).map(|found| found.2);
            self.mark(index);
        }
    }
}

/// The address of a part of the file, where one PT_LOAD maps all of it.
#[must_use]
pub(crate) fn address_of(segments: &[Segment], range: FileRange) -> Option<u64> {
    let load = segments.iter().find(|load| load.is_load() && load.file_range().is_some_and(|all| all.covers(range)))?;
    load.address.get().checked_add(range.start().since(load.offset)?)
}

/// Asks an ELF file who leads into the middle of parts of it, or writes to them; an answer for each.
#[must_use]
pub(crate) fn inward(bytes: &[u8], ranges: &[FileRange]) -> Vec<Inward> {
    let unreadable = || vec![Inward::Unreadable; ranges.len()];
    let Ok((encoding, header)) = parse_header(bytes) else { return unreadable() };
    let Ok(sections) = parse_sections(bytes, encoding, &header) else { return unreadable() };
    if header.e_type == ET_REL {
        let hit = in_object(bytes, encoding, ranges);
        let Some(hit) = hit else { return unreadable() };
        let standing = |(range, hit): (&FileRange, bool)| match (in_sections(&sections, *range), hit) {
            (1, false) => Inward::Alone,
            (1, true) => Inward::Entered,
            (0, _) => Inward::NotMapped,
            _ => Inward::Twice,
        };
        return ranges.iter().zip(hit).map(standing).collect();
    }
    let Ok(segments) = parse_segments(bytes, encoding, &header) else { return unreadable() };
    let places = ranges.iter().enumerate().filter_map(|(index, range)| {
        let start = address_of(&segments, *range)?;
        Some((start, start.checked_add(range.len())?, index))
    });
    let mut asked = EnteredRanges::new(places.collect(), ranges.len());
    let told = match object_or_loader(bytes) {
        Some(view) => of_view(&view, &mut asked),
        // A static program at fixed addresses has no relocations to ask: its callers ask who is named.
        None if header.e_type == ET_EXEC && !segments.iter().any(|segment| segment.kind == pt::PT_DYNAMIC) => Some(()),
        None => None,
    };
    if told.and_then(|()| static_symbols(bytes, encoding, &mut asked)).is_none() {
        return unreadable();
    }
    let standing = |(range, hit): (&FileRange, bool)| {
        let loads = segments.iter().filter(|segment| segment.is_load()).filter_map(Segment::file_range);
        let loads = loads.filter(|load| load.intersects(*range)).count();
        if loads > 1 || in_sections(&sections, *range) > 1 {
            return Inward::Twice;
        }
        match (is_where_it_is_said(&segments, &sections, *range), hit) {
            (false, _) => Inward::NotMapped,
            (true, true) => Inward::Entered,
            (true, false) => Inward::Alone,
        }
    };
    ranges.iter().zip(asked.hit).map(standing).collect()
}

/// In how many sections of those that are in memory a range is, as a whole or with a part.
fn in_sections(sections: &[Section], range: FileRange) -> usize {
    let sections = sections.iter().filter(|section| section.is_alloc()).filter_map(Section::file_range);
    sections.filter(|section| section.intersects(range)).count()
}

fn is_where_it_is_said(segments: &[Segment], sections: &[Section], range: FileRange) -> bool {
    let mut own = sections.iter().filter(|section| section.is_alloc());
    let own = own.find(|section| section.file_range().is_some_and(|all| all.covers(range)));
    match own {
        Some(section) => agrees(segments, section, range),
        // Without section headers nothing else is said.
        None => sections.iter().all(|section| !section.is_alloc()) && address_of(segments, range).is_some(),
    }
}

fn of_view(view: &ElfView<'_>, asked: &mut EnteredRanges) -> Option<()> {
    each_address(view, |told| match told {
        Mention::Written(address) => asked.write(address),
        Mention::Named(address) => asked.name(address),
    })
}

/// Symbols that no loader reads, but people and debuggers do.
fn static_symbols(bytes: &[u8], encoding: Encoding, asked: &mut EnteredRanges) -> Option<()> {
    let sections = Contents::sections(bytes).ok()?;
    for (_, table) in sections.iter().filter(|(_, section)| section.kind == sht::SHT_SYMTAB) {
        let size = usize::try_from(encoding.symbol_size()).ok()?;
        for symbol in table.file_range()?.of(bytes)?.chunks_exact(size) {
            let symbol = SymbolPlace::read(encoding, symbol)?;
            if symbol.is_in_section() {
                asked.name(symbol.value);
            }
        }
    }
    Some(())
}

/// What is asked of a symbol.
struct SymbolPlace {
    section: u16,
    value: u64,
    is_thread_local: bool,
}

impl SymbolPlace {
    fn read(encoding: Encoding, symbol: &[u8]) -> Option<Self> {
        const STT_TLS: u8 = 6;
        let [info_at, section_at, value_at] = if encoding.is_64 { [4, 6, 8] } else { [12, 14, 4] };
        Some(Self {
            section: encoding.u16_at(symbol, section_at)?,
            value: encoding.word_at(symbol, value_at)?,
            is_thread_local: symbol.get(info_at)? & 0xf == STT_TLS,
        })
    }

    /// SHN_UNDEF, and from SHN_LORESERVE on what is no section's number.
    fn is_in_section(&self) -> bool {
        !self.is_thread_local && (1..0xff00).contains(&self.section)
    }
}

/// In an object file places are counted from their section's start, and relocations name a symbol and an addend.
fn in_object(bytes: &[u8], encoding: Encoding, ranges: &[FileRange]) -> Option<Vec<bool>> {
    if !encoding.is_64 || encoding.is_big_endian {
        return None;
    }
    let sections: Vec<Section> = Contents::sections(bytes).ok()?.into_iter().map(|(_, section)| section).collect();
    // Addresses are file offsets here: no two sections share one that has bytes.
    let places = ranges.iter().enumerate().map(|(index, range)| (range.start().get(), range.end().get(), index));
    let mut asked = EnteredRanges::new(places.collect(), ranges.len());
    let all: RangeSet = ranges.iter().copied().collect();
    let held = sections.iter().map(|section| section.file_range().is_some_and(|section| all.intersects(section)));
    let held: Vec<bool> = held.collect();
    let holds = |index: u64| usize::try_from(index).ok().and_then(|index| held.get(index)).is_some_and(|held| *held);
    let place = |index: u64, within: u64| {
        let section = sections.get(usize::try_from(index).ok()?)?;
        section.offset.get().checked_add(within)
    };
    for table in &sections {
        match table.kind {
            sht::SHT_SYMTAB => {
                for symbol in table.file_range()?.of(bytes)?.chunks_exact(24) {
                    let symbol = SymbolPlace::read(encoding, symbol)?;
                    if symbol.is_in_section() && holds(symbol.section.into()) {
                        asked.name(place(symbol.section.into(), symbol.value)?);
                    }
                }
            }
            sht::SHT_RELA => in_rela(bytes, encoding, &sections, table, (&holds, &place), &mut asked)?,
            sht::SHT_REL | SHT_RELR | SHT_CREL => return None,
            _ => {}
        }
    }
    Some(asked.hit)
}

type SectionPlaces<'p> = (&'p dyn Fn(u64) -> bool, &'p dyn Fn(u64, u64) -> Option<u64>);

/// Debug information has millions of records: only a symbol in a section that is asked for costs more than a look.
fn in_rela(
    bytes: &[u8],
    encoding: Encoding,
    sections: &[Section],
    table: &Section,
    (holds, place): SectionPlaces<'_>,
    asked: &mut EnteredRanges,
) -> Option<()> {
    let symbols = sections.get(usize::try_from(table.link).ok()?)?;
    let symbols = symbols.file_range()?.of(bytes)?;
    let (records, _) = table.file_range()?.of(bytes)?.as_chunks::<8>();
    let is_target = holds(table.info.into());
    for [offset, info, addend] in records.as_chunks::<3>().0 {
        let [offset, info, addend] = [offset, info, addend].map(|word| u64::from_le_bytes(*word));
        if is_target {
            asked.write(place(table.info.into(), offset)?);
        }
        let at = usize::try_from((info >> 32).checked_mul(24)?).ok()?;
        let symbol = SymbolPlace::read(encoding, symbols.get(at..)?)?;
        if symbol.is_in_section() && holds(symbol.section.into()) {
            let whole = Address::new(symbol.value.wrapping_add(addend));
            // Where a pointer counts from itself, the addend says how far it is from the end of an instruction.
            let is_absolute = info & 0xffff_ffff == absolute(bytes)?;
            let leads_to = place(symbol.section.into(), whole.get());
            match (is_absolute, leads_to) {
                (true, Some(leads_to)) => asked.name(leads_to),
                _ => asked.hit.fill(true),
            }
        }
    }
    Some(())
}

/// The relocation of a whole word by an address: R_X86_64_64, R_AARCH64_ABS64.
fn absolute(bytes: &[u8]) -> Option<u64> {
    let (_, header) = parse_header(bytes).ok()?;
    match header.e_machine {
        62 => Some(1),
        183 => Some(257),
        _ => None,
    }
}

/// Whether a part of a file is mapped where a section header says that it is.
#[must_use]
pub(crate) fn agrees(segments: &[Segment], section: &Section, range: FileRange) -> bool {
    let within = range.start().since(section.offset);
    let said = within.and_then(|within| section.address.get().checked_add(within));
    let mapped = said.and_then(|address| load_map::file_range(segments, Address::new(address), range.len()));
    mapped == Some(range)
}
