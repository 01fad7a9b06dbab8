//! The pointers that the loader relocates by nothing but the load address: who points where in an object's own data.

use super::load_map;
use super::record::{Segment, dt};
use super::units::{Address, FileRange};
use super::view::ElfView;

const DT_RELRSZ: u64 = 35;
const DT_RELR: u64 = 36;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pointer {
    /// Where the pointer itself is.
    pub place: Address,
    /// What it points to.
    pub target: Address,
}

/// The type of the relocation that adds the load address, where it is known (R_X86_64_RELATIVE, R_AARCH64_RELATIVE).
fn relative_type(machine: u16) -> Option<u64> {
    match machine {
        62 => Some(8),
        183 => Some(1027),
        _ => None,
    }
}

/// An object's words by address.
#[derive(Debug)]
pub(crate) struct Words<'v> {
    view: &'v ElfView<'v>,
    /// Ascending and apart, as [`load_map`] checked them.
    loads: Vec<&'v Segment>,
}

impl<'v> Words<'v> {
    /// Prepares for many questions.
    #[must_use]
    pub(crate) fn of(view: &'v ElfView<'v>) -> Self {
        Self { view, loads: view.segments.iter().filter(|segment| segment.is_load()).collect() }
    }

    /// The word at an address, if a file's bytes are there.
    #[must_use]
    pub(crate) fn at(&self, address: Address) -> Option<u64> {
        let size = self.view.encoding.word_size();
        let behind = self.loads.partition_point(|load| load.address <= address);
        let load = self.loads.get(behind.checked_sub(1)?).filter(|load| load.holds(address, size))?;
        let range = FileRange::new(load.offset.plus(address.since(load.address)?)?, size)?;
        self.view.encoding.word_at(range.of(self.view.bytes)?, 0)
    }

    /// Hands over each relative relocation of a 64-bit little-endian x86-64 or aarch64 object; of others none. A table
    /// that cannot be read, or is packed in a form of its own (Android's), gives none.
    pub(crate) fn relative(&self, mut found: impl FnMut(Pointer)) {
        let encoding = self.view.encoding;
        let Some(relative) = relative_type(self.view.header.e_machine) else { return };
        if !encoding.is_64 || encoding.is_big_endian {
            return;
        }
        for record in self.table(dt::DT_RELA, dt::DT_RELASZ).as_chunks::<8>().0.as_chunks::<3>().0 {
            let [place, info, addend] = record.map(u64::from_le_bytes);
            if info & 0xffff_ffff == relative {
                found(Pointer { place: Address::new(place), target: Address::new(addend) });
            }
        }
        let mut in_place = |place: u64| {
            let place = Address::new(place);
            if let Some(target) = self.at(place) {
                found(Pointer { place, target: Address::new(target) });
            }
        };
        // RELR (gABI 5.4): an even word is an address, an odd one a bitmap of the 63 words behind it.
        let mut next = 0_u64;
        for entry in self.table(DT_RELR, DT_RELRSZ).as_chunks::<8>().0 {
            let entry = u64::from_le_bytes(*entry);
            if entry & 1 == 0 {
                in_place(entry);
                next = entry.wrapping_add(8);
                continue;
            }
            let mut bits = entry >> 1;
            while bits != 0 {
                in_place(next.wrapping_add(u64::from(bits.trailing_zeros()).wrapping_mul(8)));
                bits &= bits.wrapping_sub(1);
            }
            next = next.wrapping_add(63 * 8);
        }
    }

    fn table(&self, tag: u64, size_tag: u64) -> &'v [u8] {
        let range = || -> Option<FileRange> {
            let (address, size) = (self.view.dynamic.value(tag)?, self.view.dynamic.value(size_tag)?);
            load_map::file_range(&self.view.segments, Address::new(address), size)
        };
        range().and_then(|range| range.of(self.view.bytes)).unwrap_or_default()
    }
}
