//! Every address that an object's symbols and relocations hold, for rungs that must know that nobody points somewhere.

use super::load_map;
use super::record::{DynamicEntry, dt};
use super::references::dynamic_symbols;
use super::units::{Address, FileRange};
use super::view::ElfView;

const DT_RELRSZ: u64 = 35;
const DT_RELR: u64 = 36;

/// The addresses; there may be some that are none (an addend that is a plain number), never one too few.
#[derive(Debug)]
pub(super) struct Addresses(Vec<u64>);

impl Addresses {
    /// `None` when a table cannot be read or is packed in a form that this program does not know.
    pub(super) fn collect(view: &ElfView<'_>) -> Option<Self> {
        let packed = |entry: &DynamicEntry| matches!(entry.tag, 0x6000_000f..=0x6000_0012 | 0x6fff_e000..=0x6fff_e003);
        if view.dynamic.entries.iter().any(packed) {
            return None;
        }
        let mut found = Vec::new();
        symbols(view, &mut found)?;
        relocations(view, dt::DT_RELA, dt::DT_RELASZ, true, &mut found)?;
        relocations(view, dt::DT_REL, dt::DT_RELSZ, false, &mut found)?;
        let jump_addends = view.dynamic.value(dt::DT_PLTREL) == Some(dt::DT_RELA);
        relocations(view, dt::DT_JMPREL, dt::DT_PLTRELSZ, jump_addends, &mut found)?;
        relative(view, &mut found)?;
        Some(Self(found))
    }
}

impl IntoIterator for Addresses {
    type Item = u64;
    type IntoIter = std::vec::IntoIter<u64>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Whether a tag's value is an address (gABI 5.4: even ones from 32 on, and the listed ones below; glibc's ADDRRNG).
pub(super) fn is_address_tag(tag: u64) -> bool {
    matches!(tag, 3..=7 | 12 | 13 | 17 | 21 | 23 | 25 | 26 | 32 | 34 | 36)
        || matches!(tag, 0x6fff_fe00..=0x6fff_feff | 0x6fff_fff0 | 0x6fff_fffc | 0x6fff_fffe)
}

fn symbols(view: &ElfView<'_>, found: &mut Vec<u64>) -> Option<()> {
    let size = usize::try_from(view.encoding.symbol_size()).ok()?;
    let value_at = if view.encoding.is_64 { 8 } else { 4 };
    for symbol in dynamic_symbols(view)?.of(view.bytes)?.chunks_exact(size) {
        found.push(view.encoding.word_at(symbol, value_at)?);
    }
    Some(())
}

fn relocations(view: &ElfView<'_>, tag: u64, size_tag: u64, addends: bool, found: &mut Vec<u64>) -> Option<()> {
    let Some(range) = table(view, tag, size_tag)? else { return Some(()) };
    let word = usize::try_from(view.encoding.word_size()).ok()?;
    let size = word.checked_mul(if addends { 3 } else { 2 })?;
    for relocation in range.of(view.bytes)?.chunks_exact(size) {
        let target = view.encoding.word_at(relocation, 0)?;
        found.push(target);
        if addends {
            found.push(view.encoding.word_at(relocation, word.checked_mul(2)?)?);
        } else if let Some(implicit) = word_in_image(view, target) {
            found.push(implicit);
        }
    }
    Some(())
}

/// RELR (gABI 5.4): an even word is an address, an odd one a bitmap of the words behind it.
fn relative(view: &ElfView<'_>, found: &mut Vec<u64>) -> Option<()> {
    let Some(range) = table(view, DT_RELR, DT_RELRSZ)? else { return Some(()) };
    let word = view.encoding.word_size();
    let bits = word.checked_mul(8)?.checked_sub(1)?;
    let mut next = 0_u64;
    for entry in range.of(view.bytes)?.chunks_exact(usize::try_from(word).ok()?) {
        let entry = view.encoding.word_at(entry, 0)?;
        if entry & 1 == 0 {
            found.push(entry);
            found.extend(word_in_image(view, entry));
            next = entry.checked_add(word)?;
            continue;
        }
        for bit in 0..bits {
            if entry.checked_shr(u32::try_from(bit).ok()?.checked_add(1)?)? & 1 != 0 {
                let target = next.checked_add(bit.checked_mul(word)?)?;
                found.push(target);
                found.extend(word_in_image(view, target));
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
    load_map::file_range(&view.segments, Address::new(address), size).map(Some)
}

fn word_in_image(view: &ElfView<'_>, address: u64) -> Option<u64> {
    let range = load_map::file_range(&view.segments, Address::new(address), view.encoding.word_size())?;
    view.encoding.word_at(range.of(view.bytes)?, 0)
}
