//! Every address that an object's symbols and relocations hold, for edits that must know that none of them points into a
//! range.

use super::load_map;
use super::record::{DynamicEntry, Segment, dt};
use super::references::{Symbols, dynamic_symbols};
use super::units::{Address, FileRange};
use super::view::ElfView;

const DT_RELRSZ: u64 = 35;
const DT_RELR: u64 = 36;

/// Larger tables are holes, which would be read for hours.
const LARGEST: u64 = 1 << 32;

/// What is told of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mention {
    /// The loader writes there.
    Written(u64),
    /// A symbol has it, or a relocation puts it somewhere.
    Named(u64),
}

impl Mention {
    fn address(self) -> u64 {
        match self {
            Self::Written(address) | Self::Named(address) => address,
        }
    }
}

/// Whether any symbol, relocation target or addend satisfies a predicate. Some of what is asked is no address (an addend
/// that is a plain number); no address is left out but sums of a symbol and an addend. `None` when a table cannot be read
/// or is packed in an unknown form.
pub(super) fn any_address(view: &ElfView<'_>, wanted: impl Fn(u64) -> bool) -> Option<bool> {
    let mut found = false;
    let mut ask = |told: Mention| found |= wanted(told.address());
    all_tables(view, None, &mut ask)?;
    Some(found)
}

/// Hands over all of them, and the sums of symbols and addends too. `None` as for [`any_address`].
pub(super) fn each_address(view: &ElfView<'_>, mut ask: impl FnMut(Mention)) -> Option<()> {
    let table = match dynamic_symbols(view) {
        Symbols::Table(range) => range.of(view.bytes)?,
        Symbols::None => &[],
        Symbols::UnknownLength | Symbols::Unreadable => return None,
    };
    all_tables(view, Some(table), &mut ask)
}

fn all_tables(view: &ElfView<'_>, sums_with: Option<&[u8]>, ask: &mut impl FnMut(Mention)) -> Option<()> {
    let packed = |entry: &DynamicEntry| matches!(entry.tag, 0x6000_000f..=0x6000_0012 | 0x6fff_e000..=0x6fff_e003);
    if view.dynamic.entries.iter().any(packed) {
        return None;
    }
    let loads = Loads::of(view);
    let tables = RelocationTables { view, loads, sums_with };
    match (dynamic_symbols(view), sums_with) {
        // A table that is not there names nothing.
        (Symbols::None, Some(_)) => {}
        (Symbols::Table(range), _) => symbols(view, range.of(view.bytes)?, ask)?,
        _ => return None,
    }
    tables.relocations([dt::DT_RELA, dt::DT_RELASZ], true, ask)?;
    tables.relocations([dt::DT_REL, dt::DT_RELSZ], false, ask)?;
    let jump_addends = view.dynamic.value(dt::DT_PLTREL) == Some(dt::DT_RELA);
    tables.relocations([dt::DT_JMPREL, dt::DT_PLTRELSZ], jump_addends, ask)?;
    relative(view, &tables.loads, ask)
}

/// Whether a tag's value is an address (gABI 5.4: even ones from 32 on, and the listed ones below; glibc's ADDRRNG).
pub(super) fn is_address_tag(tag: u64) -> bool {
    matches!(tag, 3..=7 | 12 | 13 | 17 | 21 | 23 | 25 | 26 | 32 | 34 | 36)
        || matches!(tag, 0x6fff_fe00..=0x6fff_feff | 0x6fff_fff0 | 0x6fff_fffc | 0x6fff_fffe)
}

fn symbols(view: &ElfView<'_>, table: &[u8], ask: &mut impl FnMut(Mention)) -> Option<()> {
    let size = usize::try_from(view.encoding.symbol_size()).ok()?;
    let value_at = value_at(view);
    for symbol in table.chunks_exact(size) {
        ask(Mention::Named(view.encoding.word_at(symbol, value_at)?));
    }
    Some(())
}

/// Where `st_value` lies in a symbol.
fn value_at(view: &ElfView<'_>) -> usize {
    if view.encoding.is_64 { 8 } else { 4 }
}

/// What relocations are read with.
struct RelocationTables<'v, 'a> {
    view: &'v ElfView<'a>,
    loads: Loads<'v>,
    /// The dynamic symbols, where what a relocation adds to one is asked for.
    sums_with: Option<&'v [u8]>,
}

impl RelocationTables<'_, '_> {
    fn relocations(&self, [tag, size_tag]: [u64; 2], addends: bool, ask: &mut impl FnMut(Mention)) -> Option<()> {
        let Some(range) = table(self.view, tag, size_tag)? else { return Some(()) };
        let bytes = range.of(self.view.bytes)?;
        // There can be millions: class and byte order are chosen once, not for each.
        match (self.view.encoding.is_64, self.view.encoding.is_big_endian) {
            (true, false) => self.scan(bytes, addends, u64::from_le_bytes, ask),
            (true, true) => self.scan(bytes, addends, u64::from_be_bytes, ask),
            (false, false) => self.scan(bytes, addends, |word| u64::from(u32::from_le_bytes(word)), ask),
            (false, true) => self.scan(bytes, addends, |word| u64::from(u32::from_be_bytes(word)), ask),
        }
        Some(())
    }

    /// Asks for the target and the addend of each relocation: r_offset, r_info and, in RELA, r_addend.
    fn scan<const WORD: usize>(
        &self,
        bytes: &[u8],
        addends: bool,
        decode: impl Fn([u8; WORD]) -> u64,
        ask: &mut impl FnMut(Mention),
    ) {
        let (words, _) = bytes.as_chunks::<WORD>();
        if addends {
            for [target, info, addend] in words.as_chunks::<3>().0 {
                let addend = decode(*addend);
                ask(Mention::Written(decode(*target)));
                ask(Mention::Named(addend));
                self.sum(decode(*info), addend, ask);
            }
            return;
        }
        for [target, info] in words.as_chunks::<2>().0 {
            let target = decode(*target);
            ask(Mention::Written(target));
            if let Some(addend) = self.loads.word_at(self.view, target) {
                ask(Mention::Named(addend));
                self.sum(decode(*info), addend, ask);
            }
        }
    }

    /// What a relocation makes of its symbol, where that is asked for.
    fn sum(&self, info: u64, addend: u64, ask: &mut impl FnMut(Mention)) {
        let encoding = self.view.encoding;
        let (Some(symbols), true) = (self.sums_with, info != 0) else { return };
        let index = if encoding.is_64 { info >> 32 } else { info >> 8 };
        if index == 0 {
            return;
        }
        let at = index.checked_mul(encoding.symbol_size()).and_then(|at| usize::try_from(at).ok());
        let value = at.and_then(|at| encoding.word_at(symbols.get(at..)?, value_at(self.view)));
        if let Some(value) = value {
            ask(Mention::Named(value.wrapping_add(addend) & encoding.highest()));
        }
    }
}

/// RELR (gABI 5.4): an even word is an address, an odd one a bitmap of the words behind it.
fn relative(view: &ElfView<'_>, loads: &Loads<'_>, ask: &mut impl FnMut(Mention)) -> Option<()> {
    let Some(range) = table(view, DT_RELR, DT_RELRSZ)? else { return Some(()) };
    let word = view.encoding.word_size();
    let bits = word.checked_mul(8)?.checked_sub(1)?;
    let mut next = 0_u64;
    for entry in range.of(view.bytes)?.chunks_exact(usize::try_from(word).ok()?) {
        let entry = view.encoding.word_at(entry, 0)?;
        if entry & 1 == 0 {
            ask(Mention::Written(entry));
            loads.word_at(view, entry).map(Mention::Named).into_iter().for_each(&mut *ask);
            next = entry.checked_add(word)?;
            continue;
        }
        for bit in 0..bits {
            if entry.checked_shr(u32::try_from(bit).ok()?.checked_add(1)?)? & 1 != 0 {
                let target = next.checked_add(bit.checked_mul(word)?)?;
                ask(Mention::Written(target));
                loads.word_at(view, target).map(Mention::Named).into_iter().for_each(&mut *ask);
            }
        }
        next = next.checked_add(bits.checked_mul(word)?)?;
    }
    Some(())
}

fn table(view: &ElfView<'_>, tag: u64, size_tag: u64) -> Option<Option<FileRange>> {
    let (Some(address), Some(size)) = (view.dynamic.value(tag), view.dynamic.value(size_tag)) else {
        return Some(None);
    };
    let range = load_map::file_range(&view.segments, Address::new(address), size);
    range.filter(|range| range.len() <= LARGEST).map(Some)
}

/// The PT_LOADs with bytes in the file, in the order of their addresses.
struct Loads<'v>(Vec<&'v Segment>);

impl<'v> Loads<'v> {
    fn of(view: &'v ElfView<'_>) -> Self {
        Self(view.segments.iter().filter(|segment| segment.is_load() && segment.file_size > 0).collect())
    }

    fn word_at(&self, view: &ElfView<'_>, address: u64) -> Option<u64> {
        let behind = self.0.partition_point(|load| load.address.get() <= address);
        let load = self.0.get(behind.checked_sub(1)?)?;
        let address = Address::new(address);
        let size = view.encoding.word_size();
        let range = load.holds(address, size).then(|| load.offset.plus(address.since(load.address)?))?;
        view.encoding.word_at(FileRange::new(range?, size)?.of(view.bytes)?, 0)
    }
}
