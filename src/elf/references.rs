//! Who refers to which bytes of the dynamic string table.
//!
//! A byte may be reused only when every possible reader is known and none of them reaches it. Whatever is not
//! understood makes every byte count as used: then the table can still be copied, but not overwritten.

use bstr::ByteSlice;

use super::error::{Field, ParseError};
use super::load_map;
use super::record::{Section, dt, sht};
use super::strings::is_string_tag;
use super::units::{Address, FileRange, StringOffset, len64};
use super::view::ElfView;

/// One bit for each byte of the string table: a reference other than the search path tags reads it.
#[derive(Clone, Debug)]
pub(crate) struct References {
    used: Bits,
}

impl References {
    /// Collects every reference: dynamic symbols, dynamic tags, version needs and version definitions.
    ///
    /// # Errors
    /// [`ParseError`] when a reference points past the table: then there is no telling what the table holds.
    pub(crate) fn collect(view: &ElfView<'_>) -> Result<Self, ParseError> {
        let mut starts = Bits::clear(view.strings.bytes.len());
        let mut mark = |name: &'static str, offset: u64| {
            let set = usize::try_from(offset).ok().and_then(|offset| starts.set(offset));
            set.ok_or_else(|| view.strings.reference_error(name, offset))
        };
        // The empty string at 0 is every unnamed symbol's name.
        mark("the empty string", 0)?;
        let mut complete = view.strings.sizes_agree && knows_all_readers(view);
        for entry in &view.dynamic.entries {
            if is_string_tag(entry.tag) && !matches!(entry.tag, dt::DT_RPATH | dt::DT_RUNPATH) {
                mark("d_val of a dynamic string tag", entry.value)?;
            }
        }
        check_symbol_section(view)?;
        match dynamic_symbols(view) {
            Symbols::Table(range) if range.len() > LARGEST_TABLE => {
                let name = "the size of the dynamic symbol table";
                return Err(ParseError::value(name, range.len(), "no more than 4 GiB"));
            }
            Symbols::Table(range) => mark_symbol_names(view, range, &mut mark)?,
            Symbols::None => {}
            Symbols::UnknownLength => complete = false,
            Symbols::Unreadable => return Err(unreadable(view, "DT_SYMTAB", dt::DT_SYMTAB)),
        }
        if !mark_versions(view, &NEEDS, &mut mark)? {
            return Err(unreadable(view, "DT_VERNEED", dt::DT_VERNEED));
        }
        if !mark_versions(view, &DEFINITIONS, &mut mark)? {
            return Err(unreadable(view, "DT_VERDEF", dt::DT_VERDEF));
        }
        if !complete {
            return Ok(Self { used: Bits::all(view.strings.bytes.len()) });
        }
        Ok(Self { used: spread(starts, view.strings.bytes) })
    }

    /// Whether no reference reads any of these bytes.
    #[must_use]
    pub(crate) fn is_free(&self, offset: StringOffset, len: u64) -> bool {
        let Some((start, len)) = usize::try_from(offset.get()).ok().zip(usize::try_from(len).ok()) else {
            return false;
        };
        let Some(end) = start.checked_add(len).filter(|end| *end <= self.used.len) else { return false };
        self.used.next_before(start, end, true) >= end
    }

    /// The runs of bytes from `start` up to `end` that no reference reads, in order.
    pub(crate) fn free_runs(
        &self,
        start: StringOffset,
        end: StringOffset,
    ) -> impl Iterator<Item = (StringOffset, u64)> {
        let end = usize::try_from(end.get()).unwrap_or(usize::MAX).min(self.used.len);
        let mut at = usize::try_from(start.get()).unwrap_or(usize::MAX);
        std::iter::from_fn(move || {
            let from = self.used.next_before(at, end, false);
            at = self.used.next_before(from, end, true);
            let [from, end] = [from, at].map(|index| u64::try_from(index).ok().map(StringOffset::new));
            let len = end?.since(from?).filter(|len| *len > 0)?;
            Some((from?, len))
        })
    }

    /// Declares bytes used that no reference names.
    pub(crate) fn reserve(&mut self, offset: StringOffset, len: u64) {
        let start = usize::try_from(offset.get()).unwrap_or(usize::MAX);
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        self.used.fill(start, start.saturating_add(len));
    }

    /// The first run of at least `len` bytes that no reference reads.
    #[must_use]
    pub(crate) fn free_run(&self, len: u64) -> Option<StringOffset> {
        let len = usize::try_from(len).ok()?;
        let mut start = self.used.next(0, false);
        while start < self.used.len {
            let end = self.used.next(start, true);
            if end.checked_sub(start)? >= len {
                return Some(StringOffset::new(u64::try_from(start).ok()?));
            }
            start = self.used.next(end, false);
        }
        None
    }
}

/// A string reaches from where a reference enters it to its NUL.
fn spread(mut starts: Bits, bytes: &[u8]) -> Bits {
    let mut at = starts.next(0, true);
    while at < starts.len {
        let rest = bytes.get(at..).unwrap_or_default();
        let len = rest.find_byte(0).unwrap_or(rest.len());
        let end = at.saturating_add(len).saturating_add(1);
        starts.fill(at, end);
        at = starts.next(end, true);
    }
    starts
}

/// A bit for each byte of a table that can have millions.
#[derive(Clone, Debug)]
struct Bits {
    words: Vec<u64>,
    len: usize,
}

impl Bits {
    fn clear(len: usize) -> Self {
        Self { words: vec![0; len.div_ceil(64)], len }
    }

    fn all(len: usize) -> Self {
        Self { words: vec![u64::MAX; len.div_ceil(64)], len }
    }

    /// `None` past the end.
    fn set(&mut self, index: usize) -> Option<()> {
        if index >= self.len {
            return None;
        }
        *self.words.get_mut(index >> 6)? |= 1_u64 << (index & 63);
        Some(())
    }

    /// Sets all bits from `start` to `end`, as far as there are any.
    fn fill(&mut self, start: usize, end: usize) {
        let end = end.min(self.len);
        let mut at = start;
        while at < end {
            let next = (at & !63).saturating_add(64).min(end);
            // Bits at..next of one word.
            let from = u64::MAX << (at & 63);
            let to = if next & 63 == 0 { u64::MAX } else { (1_u64 << (next & 63)).wrapping_sub(1) };
            if let Some(word) = self.words.get_mut(at >> 6) {
                *word |= from & to;
            }
            at = next;
        }
    }

    /// The first index at or behind `from` whose bit has this value; the length when there is none.
    fn next(&self, from: usize, value: bool) -> usize {
        self.next_before(from, self.len, value)
    }

    /// The same without a look behind `end`, which is the answer when there is none before it.
    fn next_before(&self, from: usize, end: usize, value: bool) -> usize {
        let mut index = from;
        while index < end {
            let word = self.words.get(index >> 6).copied().unwrap_or(0);
            let wanted = if value { word } else { !word } & (u64::MAX << (index & 63));
            if wanted != 0 {
                let bit = usize::try_from(wanted.trailing_zeros()).unwrap_or(0);
                return ((index & !63) | bit).min(end);
            }
            index = (index & !63).saturating_add(64);
        }
        end
    }
}

/// Whether a section or tag that this program does not know could refer to the table.
fn knows_all_readers(view: &ElfView<'_>) -> bool {
    let known_section = |kind: u32| {
        matches!(kind, sht::SHT_DYNSYM | sht::SHT_DYNAMIC | sht::SHT_GNU_VERNEED | sht::SHT_GNU_VERDEF | sht::SHT_NULL)
    };
    let dynstr = view.strings.section.and_then(|index| u32::try_from(index).ok());
    let symbols = view.dynamic.value(dt::DT_SYMTAB);
    let strange = |section: &Section| {
        let other_symbols = section.kind == sht::SHT_DYNSYM && Some(section.address.get()) != symbols;
        !known_section(section.kind) || other_symbols
    };
    let strange_section = view.sections.iter().any(|section| Some(section.link) == dynstr && strange(section));
    // The names of sections may lie in the same table.
    let names_sections = !view.sections.is_empty() && dynstr == Some(u32::from(view.header.e_shstrndx));
    !strange_section
        && !names_sections
        && view.dynamic.entries.iter().all(|entry| is_known_tag(entry.tag, view.header.e_machine))
}

/// Tags whose meaning is known: a string (and then it is collected) or certainly none.
fn is_known_tag(tag: u64, machine: u16) -> bool {
    use goblin::elf::header::{EM_AARCH64, EM_MIPS, EM_PPC, EM_PPC64, EM_RISCV, EM_X86_64};
    // DT_MIPS_IVERSION is a string offset; no tool has written it for decades.
    const DT_MIPS_IVERSION: u64 = 0x7000_0004;
    match tag {
        // gABI 5.4, up to DT_RELRENT; glibc's versioning, value, address and Sun tags.
        0..=37 | 0x6fff_fd00..=0x6fff_feff | 0x6fff_fff0 | 0x6fff_fff9..=0x6fff_ffff => true,
        // Android's packed relocations and RELR.
        0x6000_000f..=0x6000_0012 | 0x6fff_e000..=0x6fff_e003 => true,
        0x7fff_fffd | 0x7fff_ffff => true,
        0x7000_0000..=0x7000_0036 if machine == EM_MIPS => tag != DT_MIPS_IVERSION,
        0x7000_0000..=0x7000_000f => matches!(machine, EM_X86_64 | EM_AARCH64 | EM_PPC | EM_PPC64 | EM_RISCV),
        _ => false,
    }
}

fn unreadable(view: &ElfView<'_>, name: &'static str, tag: u64) -> ParseError {
    let expected = "the address of a table that can be followed to its end in the file part of one PT_LOAD";
    ParseError::value(name, view.dynamic.value(tag).unwrap_or(0), expected)
}

/// The loader finds symbols by DT_SYMTAB, tools by SHT_DYNSYM: which names are in use depends on who is right.
fn check_symbol_section(view: &ElfView<'_>) -> Result<(), ParseError> {
    let Some(address) = view.dynamic.value(dt::DT_SYMTAB) else { return Ok(()) };
    let mut sections = view.sections.iter().filter(|section| section.kind == sht::SHT_DYNSYM).peekable();
    let Some(first) = sections.peek().map(|section| section.address.get()) else { return Ok(()) };
    if sections.any(|section| section.address.get() == address) {
        return Ok(());
    }
    let relation = "is not the address of the SHT_DYNSYM section,";
    Err(ParseError::Contradiction { field: Field::single("DT_SYMTAB"), value: address, relation, bound: first })
}

/// The dynamic symbol table, whose length no tag tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Symbols {
    /// Its file bytes.
    Table(FileRange),
    /// There is none.
    None,
    /// Nothing tells how long it is: a GNU hash table that holds no symbol does not, for one.
    UnknownLength,
    /// What should tell its length, or the table itself, cannot be found.
    Unreadable,
}

/// Larger tables are holes, which would be read for hours.
const LARGEST_TABLE: u64 = 1 << 32;

/// As many buckets and links of a chain are followed; real ones have a hundredth of that.
const LONGEST_WALK: u64 = 1 << 27;

/// Finds the dynamic symbols, by their section header and by the hash tables; the longer answer counts.
#[must_use]
pub(crate) fn dynamic_symbols(view: &ElfView<'_>) -> Symbols {
    let Some(address) = view.dynamic.value(dt::DT_SYMTAB).map(Address::new) else { return Symbols::None };
    let size = view.encoding.symbol_size();
    let section = view.sections.iter().find(|s| s.kind == sht::SHT_DYNSYM && s.address == address);
    let by_section = section.and_then(|section| section.size.checked_div(size));
    let by_hash = count_by_hash(view);
    let count = match (by_section, by_hash) {
        (Some(section), Ok(hash)) => section.max(hash.unwrap_or(0)),
        // With a section header a broken hash table is the loader's problem, not the strings'.
        (Some(section), Err(())) => section,
        (None, Ok(Some(hash))) => hash,
        (None, Ok(None)) => return Symbols::UnknownLength,
        (None, Err(())) => return Symbols::Unreadable,
    };
    let range = count.checked_mul(size).and_then(|bytes| load_map::file_range(&view.segments, address, bytes));
    range.map_or(Symbols::Unreadable, Symbols::Table)
}

fn count_by_hash(view: &ElfView<'_>) -> Result<Option<u64>, ()> {
    const DT_MIPS_SYMTABNO: u64 = 0x7000_0011;
    if view.header.e_machine == goblin::elf::header::EM_MIPS
        && let Some(count) = view.dynamic.value(DT_MIPS_SYMTABNO)
    {
        return Ok(Some(count));
    }
    if let Some(address) = view.dynamic.value(dt::DT_HASH) {
        return count_by_sysv_hash(view, Address::new(address)).map(Some).ok_or(());
    }
    match view.dynamic.value(dt::DT_GNU_HASH) {
        Some(address) => count_by_gnu_hash(view, Address::new(address)).ok_or(()),
        None => Ok(None),
    }
}

/// `nchain`; 64-bit s390 and Alpha have 64-bit hash words (gABI 5.4 "Hash Table" and their psABIs).
fn count_by_sysv_hash(view: &ElfView<'_>, address: Address) -> Option<u64> {
    const EM_ALPHA: u16 = 0x9026;
    let wide = view.encoding.is_64 && matches!(view.header.e_machine, goblin::elf::header::EM_S390 | EM_ALPHA);
    let word = if wide { 8 } else { 4 };
    let range = load_map::file_range(&view.segments, address.plus(word)?, word)?;
    let bytes = range.of(view.bytes)?;
    if wide { view.encoding.word_at(bytes, 0) } else { view.encoding.u32_at(bytes, 0).map(u64::from) }
}

/// The index behind the last chain's last symbol. A table without any (GNU ld writes one with `symoffset` 1 for programs
/// that export nothing) says nothing about the symbols in front of `symoffset`: `Some(None)`.
fn count_by_gnu_hash(view: &ElfView<'_>, address: Address) -> Option<Option<u64>> {
    let encoding = view.encoding;
    let bytes = load_map::file_range_from(&view.segments, address)?.of(view.bytes)?;
    let buckets = encoding.u32_at(bytes, 0).filter(|buckets| u64::from(*buckets) <= LONGEST_WALK)?;
    let buckets = usize::try_from(buckets).ok()?;
    let first = encoding.u32_at(bytes, 4)?;
    let bloom = usize::try_from(encoding.u32_at(bytes, 8)?).ok()?;
    let word = usize::try_from(encoding.word_size()).ok()?;
    let bucket_at = bloom.checked_mul(word)?.checked_add(16)?;
    let bucket_len = buckets.checked_mul(4)?;
    let bucket_bytes = bytes.get(bucket_at..bucket_at.checked_add(bucket_len)?)?;
    let last = bucket_bytes.chunks_exact(4).filter_map(|chunk| encoding.u32_at(chunk, 0)).max().unwrap_or(0);
    if last == 0 || last < first {
        return Some(None);
    }
    let chains = bytes.get(bucket_at.checked_add(bucket_len)?..)?;
    let mut index = last;
    for _ in 0..LONGEST_WALK {
        let at = usize::try_from(index.checked_sub(first)?).ok()?.checked_mul(4)?;
        let hash = encoding.u32_at(chains, at)?;
        index = index.checked_add(1)?;
        if hash & 1 != 0 {
            return Some(Some(u64::from(index)));
        }
    }
    None
}

fn mark_symbol_names(
    view: &ElfView<'_>,
    range: FileRange,
    mark: &mut impl FnMut(&'static str, u64) -> Result<(), ParseError>,
) -> Result<(), ParseError> {
    let size = usize::try_from(view.encoding.symbol_size()).unwrap_or(24);
    for symbol in range.of(view.bytes).unwrap_or_default().chunks_exact(size) {
        mark("st_name of a dynamic symbol", u64::from(view.encoding.u32_at(symbol, 0).unwrap_or(0)))?;
    }
    Ok(())
}

/// How version needs and version definitions are laid out; both are chains of records with chains of names (gABI
/// extension "Symbol Versioning", glibc elf/elf.h).
struct VersionLayout {
    tag: u64,
    count_at: usize,
    /// Where a need names its file.
    file_at: Option<usize>,
    aux_at: usize,
    next_at: usize,
    name_at: usize,
    aux_next_at: usize,
}

const NEEDS: VersionLayout = VersionLayout {
    tag: dt::DT_VERNEED,
    count_at: 2,
    file_at: Some(4),
    aux_at: 8,
    next_at: 12,
    name_at: 8,
    aux_next_at: 12,
};

const DEFINITIONS: VersionLayout = VersionLayout {
    tag: dt::DT_VERDEF,
    count_at: 6,
    file_at: None,
    aux_at: 12,
    next_at: 16,
    name_at: 0,
    aux_next_at: 4,
};

/// Walks a chain of versions; `false` when it cannot be followed. Offsets only lead forward, so the walk ends.
fn mark_versions(
    view: &ElfView<'_>,
    layout: &VersionLayout,
    mark: &mut impl FnMut(&'static str, u64) -> Result<(), ParseError>,
) -> Result<bool, ParseError> {
    let Some(address) = view.dynamic.value(layout.tag) else { return Ok(true) };
    let Some(bytes) = version_table(view, address) else { return Ok(false) };
    let encoding = view.encoding;
    let field = |at: usize, within: usize| encoding.u32_at(bytes, at.checked_add(within)?);
    let mut at = 0_usize;
    let mut budget = Budget::of(bytes);
    while budget.spend() {
        let count = at.checked_add(layout.count_at).and_then(|at| encoding.u16_at(bytes, at));
        let (Some(count), Some(aux), Some(next)) = (count, field(at, layout.aux_at), field(at, layout.next_at)) else {
            return Ok(false);
        };
        if let Some(file) = layout.file_at.and_then(|within| field(at, within)) {
            mark("vn_file of a version need", u64::from(file))?;
        }
        let Some(mut aux_at) = step(at, aux) else { return Ok(false) };
        for _ in 0..count {
            let (Some(name), Some(aux_next)) = (field(aux_at, layout.name_at), field(aux_at, layout.aux_next_at))
            else {
                return Ok(false);
            };
            mark("the name of a version", u64::from(name))?;
            if !budget.spend() {
                return Ok(false);
            }
            let Some(next_at) = step(aux_at, aux_next) else { return Ok(false) };
            aux_at = next_at;
        }
        if next == 0 {
            return Ok(true);
        }
        let Some(next_at) = step(at, next) else { return Ok(false) };
        at = next_at;
    }
    Ok(false)
}

fn version_table<'a>(view: &ElfView<'a>, address: u64) -> Option<&'a [u8]> {
    load_map::file_range_from(&view.segments, Address::new(address))?.of(view.bytes)
}

fn step(at: usize, by: u32) -> Option<usize> {
    at.checked_add(usize::try_from(by).ok()?)
}

/// The largest C libraries have a few thousand.
const MOST_VERSIONS: u64 = 1 << 20;

/// Records are at least eight bytes apart in any table that a linker writes, so a walk that takes more steps than that
/// goes in circles.
struct Budget(u64);

impl Budget {
    fn of(bytes: &[u8]) -> Self {
        Self(len64(bytes).checked_div(8).unwrap_or(0).min(MOST_VERSIONS))
    }

    fn spend(&mut self) -> bool {
        match self.0.checked_sub(1) {
            Some(left) => {
                self.0 = left;
                true
            }
            None => false,
        }
    }
}

/// A string of the table that reads `wanted` already, whichever reference it belongs to.
#[must_use]
pub(crate) fn find_string(table: &[u8], wanted: &[u8]) -> Option<StringOffset> {
    let mut start = 0_usize;
    while let Some(rest) = table.get(start..)
        && let Some(len) = rest.find_byte(0)
    {
        let string = rest.get(..len)?;
        if string.ends_with(wanted) {
            let at = start.checked_add(len.checked_sub(wanted.len())?)?;
            return u64::try_from(at).ok().map(StringOffset::new);
        }
        start = start.checked_add(len)?.checked_add(1)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_like_a_list_of_booleans() {
        let mut seed = 1_u64;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(seed >> 33).unwrap() % below
        };
        for _ in 0..200 {
            let len = random(300) + 1;
            let (mut bits, mut list) = (Bits::clear(len), vec![false; len]);
            for _ in 0..random(6) {
                let (start, end) = (random(len + 5), random(len + 70));
                bits.fill(start, end);
                list.iter_mut()
                    .enumerate()
                    .filter(|(index, _)| start <= *index && *index < end)
                    .for_each(|(_, bit)| *bit = true);
            }
            for from in 0..len + 3 {
                for value in [false, true] {
                    let expected = list.iter().enumerate().skip(from).find(|(_, bit)| **bit == value);
                    assert_eq!(bits.next(from, value).min(len), expected.map_or(len, |(index, _)| index));
                }
            }
        }
    }
}
