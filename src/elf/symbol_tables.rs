//! Looking up a symbol in one object as loaders do: by the GNU hash and its Bloom filter, or by the hash of the gABI
//! (`glibc elf/dl-lookup.c`, `musl ldso/dynlink.c`). No table of all names is made: few of them are asked for.

use bstr::{BStr, BString, ByteSlice};

use super::error::{Field, ParseError};
use super::load_map;
use super::record::{Encoding, dt};
use super::references::{Symbols, dynamic_symbols};
use super::units::{Address, FileOffset, FileRange, len64};
use super::versions::{HIDDEN, SymbolVersions};
use super::view::ElfView;

/// A version under the index by which DT_VERSYM names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IndexedVersion {
    /// Its name.
    pub(crate) name: BString,
    /// Its hash.
    pub(crate) hash: u32,
    /// A reference with it matches nothing but what has exactly this version.
    pub(crate) is_hidden: bool,
    /// The file that a need names; `None` for a definition.
    pub(crate) file: Option<BString>,
}

/// The versions of an object by their indices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VersionIndex(Vec<(u16, IndexedVersion)>);

impl VersionIndex {
    /// Definitions stand in the place of needs with the same index (`glibc elf/dl-version.c`).
    pub(super) fn of(versions: &SymbolVersions) -> Self {
        let mut list = Vec::new();
        for need in &versions.needs {
            list.extend(versions.of_need(need).iter().map(|version| {
                let (name, file) = (versions.name(version.name), Some(versions.name(need.file).to_owned()));
                let (name, hash, is_hidden) = (name.to_owned(), version.hash, version.is_hidden);
                (version.index, IndexedVersion { name, hash, is_hidden, file })
            }));
        }
        for defined in versions.definitions.iter().flatten().filter(|defined| !defined.is_base) {
            let (name, hash) = (versions.name(defined.name).to_owned(), defined.hash);
            list.push((defined.index, IndexedVersion { name, hash, is_hidden: false, file: None }));
        }
        list.reverse();
        list.sort_by_key(|(index, _)| *index);
        list.dedup_by_key(|(index, _)| *index);
        Self(list)
    }

    /// All of them, in the order of their indices.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u16, &IndexedVersion)> {
        self.0.iter().map(|(index, version)| (*index, version))
    }

    /// The version of an index; `None` for one that says nothing.
    pub(crate) fn get(&self, index: u16) -> Option<&IndexedVersion> {
        let at = self.0.binary_search_by_key(&index, |(index, _)| *index).ok()?;
        self.0.get(at).map(|(_, version)| version)
    }

    /// The same for an entry of DT_VERSYM.
    ///
    /// # Errors
    /// [`ParseError`] for an index behind all that there are: loaders would read past their list.
    pub(super) fn of_symbol(&self, symbol: usize, index: u16) -> Result<Option<&IndexedVersion>, ParseError> {
        let highest = self.0.last().map_or(1, |(index, _)| (*index).max(1));
        if index > highest {
            return Err(ParseError::Contradiction {
                field: Field::of("symbol", symbol, "DT_VERSYM"),
                value: u64::from(index),
                relation: "is larger than the largest index of DT_VERNEED and DT_VERDEF,",
                bound: u64::from(highest),
            });
        }
        Ok(self.get(index))
    }
}

/// Where the tables of an object lie in a piece of bytes.
#[derive(Clone, Debug)]
pub(crate) struct SymbolLayout {
    encoding: Encoding,
    hash: HashLayout,
    symbols: FileRange,
    strings: FileRange,
    versym: Option<FileRange>,
    versions: VersionIndex,
}

#[derive(Clone, Debug)]
enum HashLayout {
    /// Nothing can be found.
    None,
    Gnu {
        bloom: FileRange,
        shift: u32,
        buckets: FileRange,
        chains: FileRange,
        /// The first symbol that is in it.
        first: u32,
    },
    Sysv {
        buckets: FileRange,
        chains: FileRange,
        /// 64-bit s390 and Alpha have words of that size.
        is_wide: bool,
    },
}

/// The tables by which other objects find an object's symbols, with their bytes.
pub(crate) struct SymbolTables {
    layout: SymbolLayout,
    bytes: Box<dyn AsRef<[u8]> + Send + Sync>,
    /// Bytes that it keeps in memory.
    pub(crate) kept: usize,
}

/// What a reference accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WantedVersion<'a> {
    /// musl: anything that is not hidden.
    Any,
    /// glibc, without a version: what has none, or the only one.
    None,
    /// glibc, with a version.
    Exactly(&'a IndexedVersion),
}

/// A symbol that is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// Its name.
    pub(crate) name: &'a BStr,
    /// Of the name.
    pub(crate) gnu_hash: u32,
    /// Its version.
    pub(crate) version: WantedVersion<'a>,
    /// The address of a program's jump to a function that it does not define is good enough.
    pub(crate) takes_jumps: bool,
}

/// A symbol that matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Definition {
    /// DT_VERSYM, without the hidden bit; `None` without that table.
    pub(crate) version: Option<u16>,
    /// STB_WEAK
    pub(crate) is_weak: bool,
}

/// What came of a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LookedUp {
    /// It is there, and matches.
    Found(Definition),
    /// The name is there, under versions that do not match.
    OtherVersion,
    /// It is not there.
    Nothing,
}

/// What look-ups of one process may still cost: a step is a table that is asked, or a symbol that is looked at.
#[derive(Debug)]
pub(crate) struct Steps(u64);

/// No real process needs a hundredth of them; a small file can ask for billions.
pub(crate) const MOST_STEPS: u64 = 1 << 27;

impl Steps {
    /// For one process.
    pub(crate) fn new() -> Self {
        Self(MOST_STEPS)
    }

    /// One for a symbol whose name is compared, and more for a long name.
    fn spend(&mut self, name: &[u8]) {
        const BYTES: usize = 64;
        let more = u64::try_from(name.len().checked_div(BYTES).unwrap_or(0)).unwrap_or(u64::MAX);
        self.0 = self.0.saturating_sub(more.saturating_add(1));
    }

    /// How many are left.
    pub(super) fn left(&self) -> u64 {
        self.0
    }

    /// Whether something was not looked at.
    pub(crate) fn are_over(&self) -> bool {
        self.0 == 0
    }
}

/// Symbols in one chain; linkers make as many chains as there are symbols, or a fourth of that.
const LONGEST_CHAIN: usize = 1 << 12;

impl SymbolLayout {
    /// Finds the tables of an object.
    ///
    /// # Errors
    /// [`ParseError`] for a table that is not in the file, or that says of itself what cannot be.
    pub(crate) fn of(view: &ElfView<'_>) -> Result<Self, ParseError> {
        let versions = VersionIndex::of(&SymbolVersions::parse(view)?);
        let empty = FileRange::between(0, 0).unwrap_or(view.strings.range);
        let (hash, symbols) = match dynamic_symbols(view) {
            Symbols::Table(range) => (HashLayout::of(view)?, range),
            // A hash table without a symbol says nothing about how many there are.
            Symbols::None | Symbols::UnknownLength => (HashLayout::None, empty),
            Symbols::Unreadable => return Err(outside(view, "DT_SYMTAB", dt::DT_SYMTAB)),
        };
        let count = symbols.len().checked_div(view.encoding.symbol_size()).unwrap_or(0);
        let versym = match view.dynamic.value(dt::DT_VERSYM) {
            None => None,
            Some(address) => {
                let size = count.saturating_mul(2);
                let range = load_map::file_range(&view.segments, Address::new(address), size);
                Some(range.ok_or_else(|| outside(view, "DT_VERSYM", dt::DT_VERSYM))?)
            }
        };
        Ok(Self { encoding: view.encoding, hash, symbols, strings: view.strings.range, versym, versions })
    }

    fn ranges(&mut self) -> Vec<&mut FileRange> {
        let mut ranges = vec![&mut self.symbols, &mut self.strings];
        ranges.extend(&mut self.versym);
        match &mut self.hash {
            HashLayout::None => {}
            HashLayout::Gnu { bloom, buckets, chains, .. } => ranges.extend([bloom, buckets, chains]),
            HashLayout::Sysv { buckets, chains, .. } => ranges.extend([buckets, chains]),
        }
        ranges
    }

    /// How many bytes the tables have.
    #[must_use]
    pub(crate) fn size(&mut self) -> u64 {
        self.ranges().iter().map(|range| range.len()).fold(0, u64::saturating_add)
    }

    /// The tables in a copy of their bytes.
    #[must_use]
    pub(crate) fn copied(mut self, file: &[u8]) -> SymbolTables {
        let mut bytes: Vec<u8> = Vec::with_capacity(usize::try_from(self.size()).unwrap_or(0));
        for range in self.ranges() {
            let start = len64(&bytes);
            bytes.extend_from_slice(range.of(file).unwrap_or_default());
            *range = FileRange::between(start, len64(&bytes)).unwrap_or(*range);
        }
        let kept = bytes.len();
        SymbolTables { layout: self, bytes: Box::new(bytes), kept }
    }

    /// The tables in the file itself.
    #[must_use]
    pub(crate) fn within(self, file: Box<dyn AsRef<[u8]> + Send + Sync>) -> SymbolTables {
        SymbolTables { layout: self, bytes: file, kept: 0 }
    }
}

fn outside(view: &ElfView<'_>, name: &'static str, tag: u64) -> ParseError {
    let address = view.dynamic.value(tag).unwrap_or(0);
    ParseError::value(name, address, "the address of a table in the file part of one PT_LOAD")
}

impl HashLayout {
    fn of(view: &ElfView<'_>) -> Result<Self, ParseError> {
        if let Some(address) = view.dynamic.value(dt::DT_GNU_HASH) {
            return Self::gnu(view, Address::new(address))?
                .ok_or_else(|| outside(view, "DT_GNU_HASH", dt::DT_GNU_HASH));
        }
        match view.dynamic.value(dt::DT_HASH) {
            None => Ok(Self::None),
            Some(address) => {
                Self::sysv(view, Address::new(address)).ok_or_else(|| outside(view, "DT_HASH", dt::DT_HASH))
            }
        }
    }

    fn gnu(view: &ElfView<'_>, address: Address) -> Result<Option<Self>, ParseError> {
        let Some(rest) = load_map::file_range_from(&view.segments, address) else { return Ok(None) };
        let Some(bytes) = rest.of(view.bytes) else { return Ok(None) };
        let word = |at| view.encoding.u32_at(bytes, at).map(u64::from);
        let (Some(buckets), Some(first), Some(bloom), Some(shift)) = (word(0), word(4), word(8), word(12)) else {
            return Ok(None);
        };
        if !bloom.is_power_of_two() {
            return Err(ParseError::value("the number of words in the filter of DT_GNU_HASH", bloom, "a power of two"));
        }
        let found = (|| {
            let bloom = FileRange::new(rest.start().plus(16)?, bloom.checked_mul(view.encoding.word_size())?)?;
            let buckets = FileRange::new(bloom.end(), buckets.checked_mul(4)?)?;
            let chains = FileRange::between(buckets.end().get(), rest.end().get())?;
            rest.covers(buckets).then_some(())?;
            // The chains end with the symbols.
            let count = match dynamic_symbols(view) {
                Symbols::Table(range) => range.len().checked_div(view.encoding.symbol_size())?,
                _ => 0,
            };
            let chains = FileRange::new(
                FileOffset::new(chains.start().get()),
                count.saturating_sub(first).saturating_mul(4).min(chains.len()),
            )?;
            let (first, shift) = (u32::try_from(first).ok()?, u32::try_from(shift).ok()?);
            Some(Self::Gnu { bloom, shift, buckets, chains, first })
        })();
        Ok(found)
    }

    fn sysv(view: &ElfView<'_>, address: Address) -> Option<Self> {
        const EM_ALPHA: u16 = 0x9026;
        let is_wide = view.encoding.is_64 && matches!(view.header.e_machine, goblin::elf::header::EM_S390 | EM_ALPHA);
        let size = if is_wide { 8 } else { 4 };
        let rest = load_map::file_range_from(&view.segments, address)?;
        let bytes = rest.of(view.bytes)?;
        let [buckets, chains] = [0, 1].map(|index| word_of(view.encoding, bytes, index, is_wide));
        let start = rest.start().plus(size)?.plus(size)?;
        let buckets = FileRange::new(start, buckets?.checked_mul(size)?)?;
        let chains = FileRange::new(buckets.end(), chains?.checked_mul(size)?)?;
        rest.covers(chains).then_some(Self::Sysv { buckets, chains, is_wide })
    }
}

fn word_of(encoding: Encoding, bytes: &[u8], index: usize, is_wide: bool) -> Option<u64> {
    if is_wide {
        encoding.word_at(bytes, index.checked_mul(8)?)
    } else {
        encoding.u32_at(bytes, index.checked_mul(4)?).map(u64::from)
    }
}

/// The hash of DT_GNU_HASH.
#[must_use]
pub(crate) fn gnu_hash(name: &[u8]) -> u32 {
    name.iter().fold(5381_u32, |hash, byte| hash.wrapping_mul(33).wrapping_add(u32::from(*byte)))
}

/// The hash of DT_HASH (gABI 5.4 "Hash Table").
fn sysv_hash(name: &[u8]) -> u32 {
    name.iter().fold(0_u32, |hash, byte| {
        let hash = hash.wrapping_shl(4).wrapping_add(u32::from(*byte));
        let high = hash & 0xf000_0000;
        (hash ^ (high >> 24)) & !high
    })
}

/// What one entry of a chain comes to.
enum Matched {
    Yes(Definition),
    /// A default version, for a reference without one: good if it is the only one.
    Perhaps(Definition),
    OtherVersion,
    No,
}

impl SymbolTables {
    /// DT_VERSYM is there.
    #[must_use]
    pub(crate) fn has_versions(&self) -> bool {
        self.layout.versym.is_some()
    }

    /// The name of a version of a definition; `None` for none.
    #[must_use]
    pub(crate) fn version_name(&self, definition: Definition) -> Option<&BStr> {
        definition.version.and_then(|index| self.layout.versions.get(index)).map(|version| version.name.as_bstr())
    }

    /// Whether it has a symbol (`glibc elf/dl-lookup.c`, `do_lookup_x`).
    ///
    /// # Errors
    /// [`ParseError`] for chains that go on without end, and indices that name nothing.
    pub(crate) fn look_up(&self, wanted: &Wanted<'_>, steps: &mut Steps) -> Result<LookedUp, ParseError> {
        steps.spend(wanted.name);
        let whole = (*self.bytes).as_ref();
        let mut seen = SeenVersions::default();
        match &self.layout.hash {
            HashLayout::None => {}
            HashLayout::Gnu { bloom, shift, buckets, chains, first } => {
                let [bloom, buckets, chains] =
                    [bloom, buckets, chains].map(|range| range.of(whole).unwrap_or_default());
                self.in_gnu(wanted, (bloom, *shift, buckets, chains, *first), (steps, &mut seen))?;
            }
            HashLayout::Sysv { buckets, chains, is_wide } => {
                let [buckets, chains] = [buckets, chains].map(|range| range.of(whole).unwrap_or_default());
                self.in_sysv(wanted, (buckets, chains, *is_wide), (steps, &mut seen))?;
            }
        }
        Ok(seen.end())
    }

    fn in_gnu(
        &self,
        wanted: &Wanted<'_>,
        (bloom, shift, buckets, chains, first): (&[u8], u32, &[u8], &[u8], u32),
        (steps, seen): (&mut Steps, &mut SeenVersions),
    ) -> Result<(), ParseError> {
        let encoding = self.layout.encoding;
        let hash = wanted.gnu_hash;
        let bits: u32 = if encoding.is_64 { 64 } else { 32 };
        let size = if encoding.is_64 { 8 } else { 4 };
        let words = bloom.len().checked_div(size).unwrap_or(0);
        let at = usize::try_from(hash.checked_div(bits).unwrap_or(0)).unwrap_or(0) & words.saturating_sub(1);
        let Some(word) = at.checked_mul(size).and_then(|at| encoding.word_at(bloom, at)) else { return Ok(()) };
        let bit = |value: u32| word.wrapping_shr(value & bits.saturating_sub(1));
        if bit(hash) & bit(hash.checked_shr(shift).unwrap_or(0)) & 1 == 0 {
            return Ok(());
        }
        let count = u32::try_from(buckets.len() >> 2).unwrap_or(u32::MAX);
        let bucket = hash.checked_rem(count).and_then(|bucket| usize::try_from(bucket).ok()).unwrap_or(0);
        let Some(start) = encoding.u32_at(buckets, bucket.saturating_mul(4)).filter(|start| *start != 0) else {
            return Ok(());
        };
        let Some(start) = start.checked_sub(first).and_then(|start| usize::try_from(start).ok()) else {
            return Err(ParseError::value(
                "a bucket of DT_GNU_HASH",
                u64::from(start),
                "no symbol before the first one",
            ));
        };
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        for index in start..start.saturating_add(LONGEST_CHAIN) {
            steps.spend(wanted.name);
            let Some(entry) = encoding.u32_at(chains, index.saturating_mul(4)) else {
                let index = u64::try_from(index).unwrap_or(u64::MAX);
                return Err(ParseError::value("a chain of DT_GNU_HASH", index, "no entry behind the last symbol"));
            };
            if (entry ^ hash) >> 1 == 0 && seen.take(self.matches(first.saturating_add(index), wanted)?) {
                return Ok(());
            }
            if entry & 1 != 0 {
                return Ok(());
            }
        }
        Err(too_long("symbols in one chain of DT_GNU_HASH"))
    }

    fn in_sysv(
        &self,
        wanted: &Wanted<'_>,
        (buckets, chains, is_wide): (&[u8], &[u8], bool),
        (steps, seen): (&mut Steps, &mut SeenVersions),
    ) -> Result<(), ParseError> {
        let encoding = self.layout.encoding;
        let size = if is_wide { 8 } else { 4 };
        let count = buckets.len().checked_div(size).unwrap_or(0);
        let hash = usize::try_from(sysv_hash(wanted.name)).unwrap_or(0);
        let Some(bucket) = hash.checked_rem(count) else { return Ok(()) };
        let mut symbol = word_of(encoding, buckets, bucket, is_wide).unwrap_or(0);
        for _ in 0..LONGEST_CHAIN {
            if symbol == 0 {
                return Ok(());
            }
            steps.spend(wanted.name);
            let index = usize::try_from(symbol).unwrap_or(usize::MAX);
            if seen.take(self.matches(index, wanted)?) {
                return Ok(());
            }
            let Some(next) = word_of(encoding, chains, index, is_wide) else {
                return Err(ParseError::value("a chain of DT_HASH", symbol, "no index behind the last symbol"));
            };
            symbol = next;
        }
        Err(too_long("symbols in one chain of DT_HASH"))
    }

    /// `glibc elf/dl-lookup.c`, `check_match`.
    fn matches(&self, index: usize, wanted: &Wanted<'_>) -> Result<Matched, ParseError> {
        const TLS: u8 = 6;
        const INDIRECT: u8 = 10;
        let layout = &self.layout;
        let whole = (*self.bytes).as_ref();
        let symbols = layout.symbols.of(whole).unwrap_or_default();
        let size = usize::try_from(layout.encoding.symbol_size()).unwrap_or(24);
        let start = index.checked_mul(size).and_then(|start| Some(start..start.checked_add(size)?));
        let Some(symbol) = start.and_then(|range| symbols.get(range)) else {
            let index = u64::try_from(index).unwrap_or(u64::MAX);
            return Err(ParseError::value("an index in a hash table", index, "that of a dynamic symbol"));
        };
        let Some(symbol) = SymbolRecord::read(symbol, layout.encoding) else { return Ok(Matched::No) };
        let kind = symbol.info & 0xf;
        // STB_GLOBAL, STB_WEAK, STB_GNU_UNIQUE; neither hidden nor internal.
        let is_offered = matches!(symbol.info >> 4, 1 | 2 | 10) && !matches!(symbol.other & 3, 1 | 2);
        // STT_NOTYPE, _OBJECT, _FUNC, _COMMON, _TLS; _GNU_IFUNC.
        let is_musl = wanted.version == WantedVersion::Any;
        let is_known = matches!(kind, 0 | 1 | 2 | 5 | TLS) || (kind == INDIRECT && !is_musl);
        let has_value = symbol.value != 0 || kind == TLS || (symbol.is_absolute() && !is_musl);
        let is_defined = symbol.section != 0 || (wanted.takes_jumps && symbol.value != 0);
        if !is_offered || !is_known || !has_value || !is_defined {
            return Ok(Matched::No);
        }
        let strings = layout.strings.of(whole).unwrap_or_default();
        let rest = usize::try_from(symbol.name).ok().and_then(|at| strings.get(at..)).unwrap_or_default();
        if !rest.starts_with(wanted.name) || rest.get(wanted.name.len()) != Some(&0) {
            return Ok(Matched::No);
        }
        let versym = layout
            .versym
            .and_then(|range| layout.encoding.u16_at(range.of(whole).unwrap_or_default(), index.checked_mul(2)?));
        let definition = Definition { version: versym.map(|entry| entry & !HIDDEN), is_weak: symbol.info >> 4 == 2 };
        let Some(versym) = versym else { return Ok(Matched::Yes(definition)) };
        let is_hidden = versym & HIDDEN != 0;
        let found = layout.versions.of_symbol(index, versym & !HIDDEN)?;
        Ok(match wanted.version {
            WantedVersion::Any if is_hidden => Matched::OtherVersion,
            WantedVersion::Any => Matched::Yes(definition),
            WantedVersion::None if versym & !HIDDEN < 3 => Matched::Yes(definition),
            WantedVersion::None if is_hidden => Matched::OtherVersion,
            WantedVersion::None => Matched::Perhaps(definition),
            WantedVersion::Exactly(version) => match found {
                Some(found) if found.hash == version.hash && found.name == version.name => Matched::Yes(definition),
                None if !version.is_hidden && !is_hidden => Matched::Yes(definition),
                _ => Matched::OtherVersion,
            },
        })
    }
}

fn too_long(what: &'static str) -> ParseError {
    ParseError::Count { what, found: LONGEST_CHAIN, expected: "fewer" }
}

/// What a chain had so far.
#[derive(Default)]
struct SeenVersions {
    found: Option<Definition>,
    defaults: usize,
    only: Option<Definition>,
    has_name: bool,
}

impl SeenVersions {
    /// Whether the search is over.
    fn take(&mut self, matched: Matched) -> bool {
        match matched {
            Matched::Yes(definition) => self.found = Some(definition),
            Matched::Perhaps(definition) => {
                self.has_name = true;
                self.defaults = self.defaults.saturating_add(1);
                self.only.get_or_insert(definition);
            }
            Matched::OtherVersion => self.has_name = true,
            Matched::No => {}
        }
        self.found.is_some()
    }

    fn end(self) -> LookedUp {
        let only = self.only.filter(|_| self.defaults == 1);
        match self.found.or(only) {
            Some(definition) => LookedUp::Found(definition),
            None if self.has_name => LookedUp::OtherVersion,
            None => LookedUp::Nothing,
        }
    }
}

/// A dynamic symbol (gABI 4 "Symbol Table").
#[derive(Clone, Copy)]
pub(super) struct SymbolRecord {
    pub(super) name: u32,
    pub(super) info: u8,
    pub(super) other: u8,
    pub(super) section: u16,
    pub(super) value: u64,
}

impl SymbolRecord {
    pub(super) fn read(bytes: &[u8], encoding: Encoding) -> Option<Self> {
        // The 32-bit record has them in another order.
        let (info, other, section, value) = if encoding.is_64 { (4, 5, 6, 8) } else { (12, 13, 14, 4) };
        Some(Self {
            name: encoding.u32_at(bytes, 0)?,
            info: bytes.get(info).copied()?,
            other: bytes.get(other).copied()?,
            section: encoding.u16_at(bytes, section)?,
            value: encoding.word_at(bytes, value)?,
        })
    }

    fn is_absolute(self) -> bool {
        self.section == 0xfff1
    }
}
