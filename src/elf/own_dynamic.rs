//! Whether an object's own code knows where its dynamic section is: `_DYNAMIC` of `link.h`, which is how a program finds
//! `r_debug`, and with it what is loaded. Linkers put the address into code and leave no relocation for it. In a dynamic
//! section that moved, the loader fills the new one; code that reads the old one finds nothing there.

use bstr::ByteSlice;
use goblin::elf::header::{EM_386, EM_AARCH64, EM_X86_64, ET_EXEC};

use super::record::{Segment, dt};
use super::relocations::any_address;
use super::units::FileRange;
use super::view::ElfView;

/// What is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnDynamic {
    /// Nothing in code, data and relocations has the address.
    Unread,
    /// Something has.
    Read,
    /// The machine's code is not understood here.
    Untold,
}

/// Instructions between the two that make up an address on aarch64: compilers put a few between them.
const APART: usize = 16;

/// Asks an object's relocations, data and code.
#[must_use]
pub(super) fn own_dynamic(view: &ElfView<'_>) -> OwnDynamic {
    let address = view.dynamic.address.get();
    let by_relocation = any_address(view, |named| named == address).unwrap_or(false);
    let is_fixed = view.header.e_type == ET_EXEC;
    if by_relocation || (is_fixed && in_data(view, address)) {
        return OwnDynamic::Read;
    }
    let look: &dyn Fn(&[u8], u64) -> bool = match view.header.e_machine {
        EM_X86_64 => &|code, at| in_x86_64(code, at, address, is_fixed),
        EM_386 => &|code, _| in_i386(view, code, address, is_fixed),
        EM_AARCH64 => &|code, at| in_aarch64(code, at, address),
        _ => return OwnDynamic::Untold,
    };
    let code = view.segments.iter().filter(|segment| segment.is_load() && segment.is_executable());
    let mut parts = code.flat_map(|load| parts_of(view, load));
    if parts.any(|(code, at)| look(code, at)) { OwnDynamic::Read } else { OwnDynamic::Unread }
}

/// The bytes of a segment that are no hole, each with its address.
fn parts_of<'v>(view: &'v ElfView<'_>, load: &'v Segment) -> impl Iterator<Item = (&'v [u8], u64)> {
    let parts = load.file_range().into_iter().flat_map(|range| view.data.within(range));
    parts.filter_map(|part| {
        let at = load.address.plus(part.start().since(load.offset)?)?;
        Some((part.of(view.bytes)?, at.get()))
    })
}

/// Pointers of a program that is loaded where it was linked need no relocation. Its headers name the dynamic section too, and
/// the first word of a global offset table does for the loader's own use.
fn in_data(view: &ElfView<'_>, address: u64) -> bool {
    let encoding = view.encoding;
    let size = encoding.word_size();
    let Ok(step) = usize::try_from(size) else { return false };
    let headers: Vec<FileRange> = [view.table_range(), view.section_table_range()].into_iter().flatten().collect();
    let is_header = |at: u64| {
        let word = view.segments.iter().find_map(|load| {
            let within =
                at.checked_sub(load.address.get()).filter(|within| load.is_load() && *within < load.file_size)?;
            FileRange::new(load.offset.plus(within)?, size)
        });
        word.is_none_or(|word| headers.iter().any(|header| header.intersects(word)))
    };
    let is_table_start = |at: u64| {
        let starts = |name: &[u8]| matches!(name, b".got" | b".got.plt");
        view.dynamic.value(dt::DT_PLTGOT) == Some(at)
            || view.sections.iter().any(|section| {
                section.address.get() == at && view.section_name(section).is_some_and(|name| starts(name))
            })
    };
    let data = view.segments.iter().filter(|segment| segment.is_load() && !segment.is_executable());
    data.flat_map(|load| parts_of(view, load)).any(|(bytes, start)| {
        let skipped = start.wrapping_neg() & size.saturating_sub(1);
        let words = bytes.get(usize::try_from(skipped).unwrap_or(usize::MAX)..).unwrap_or_default().chunks_exact(step);
        let first = start.saturating_add(skipped);
        let is_it = |word: &[u8]| encoding.word_at(word, 0) == Some(address);
        let mut before = false;
        (0_u64..).zip(words.clone()).zip(words.skip(1).map(is_it).chain([false])).any(|((index, word), is_next)| {
            let at = first.saturating_add(index.saturating_mul(size));
            let is_here = is_it(word);
            // p_vaddr and p_paddr of an abandoned program header table, as LIEF leaves one.
            let is_pair = std::mem::replace(&mut before, is_here) || is_next;
            is_here && !is_pair && !is_header(at) && !is_table_start(at)
        })
    })
}

/// A displacement from the end of the instruction, behind which an immediate of one or four bytes may stand; or the address
/// itself as an immediate or an absolute displacement.
fn in_x86_64(code: &[u8], start: u64, address: u64, is_fixed: bool) -> bool {
    /// ModRM with mod 0 and rm 5: the displacement counts from the instruction pointer.
    fn is_relative(modrm: u8) -> bool {
        modrm & 0xc7 == 5
    }
    let relative = (0_u64..).zip(code.windows(5)).any(|(at, window)| {
        let Some((_, rest)) = window.split_first().filter(|(modrm, _)| is_relative(**modrm)) else { return false };
        let Some(displacement) = rest.first_chunk::<4>() else { return false };
        let from = start.wrapping_add(at).wrapping_add(5);
        let distance = address.wrapping_sub(from.wrapping_add_signed(i32::from_le_bytes(*displacement).into()));
        matches!(distance, 0 | 1 | 4)
    });
    relative || (is_fixed && u32::try_from(address).is_ok_and(|address| has_immediate(code, address)))
}

/// The address in an instruction: `mov`, `push`, `cmp`, an operation of eax, an absolute displacement, or with a ModRM that
/// names a register.
fn has_immediate(code: &[u8], address: u32) -> bool {
    code.find_iter(&address.to_le_bytes()).any(|at| {
        let [Some(before), Some(last)] = [2, 1].map(|back| at.checked_sub(back).and_then(|at| code.get(at))) else {
            return false;
        };
        matches!(last, 0xb8..=0xbf | 0x68 | 0xa1 | 0xa3 | 0x25)
            || (last & 0xc7 == 5)
            || (*last >= 0xc0 && matches!(before, 0x81 | 0xc7 | 0x69))
    })
}

/// The address itself, or its distance from the global offset table, by which position-independent code counts.
fn in_i386(view: &ElfView<'_>, code: &[u8], address: u64, is_fixed: bool) -> bool {
    let Ok(address) = u32::try_from(address) else { return false };
    // Program headers lie in front of code often, and name it too.
    if is_fixed && has_immediate(code, address) {
        return true;
    }
    let table = view.dynamic.value(dt::DT_PLTGOT).and_then(|table| u32::try_from(table).ok());
    table.is_some_and(|table| code.find(address.wrapping_sub(table).to_le_bytes()).is_some())
}

/// `adr`, or `adrp` and an instruction that adds the rest to the same register.
fn in_aarch64(code: &[u8], start: u64, address: u64) -> bool {
    let (words, _) = code.as_chunks::<4>();
    let words: Vec<u32> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
    (0_u64..).zip(&words).filter(|(_, word)| **word & 0x1f00_0000 == 0x1000_0000).any(|(index, word)| {
        let at = start.wrapping_add(index.wrapping_mul(4));
        let immediate = (((word >> 5) & 0x7_ffff) << 2) | ((word >> 29) & 3);
        // A signed number of 21 bits.
        let distance = i64::from((immediate << 11).cast_signed() >> 11);
        if word >> 31 == 0 {
            return at.wrapping_add_signed(distance) == address;
        }
        let page = (at & !0xfff).wrapping_add_signed(distance.wrapping_mul(0x1000));
        let register = word & 0x1f;
        let Some(behind) = usize::try_from(index).ok().and_then(|index| words.get(index.saturating_add(1)..)) else {
            return false;
        };
        page == address & !0xfff
            && behind.iter().take(APART).any(|next| {
                let low = u64::from((next >> 10) & 0xfff);
                let scaled = match next & 0xffc0_0000 {
                    0x9100_0000 => low,
                    0xf940_0000 => low.wrapping_mul(8),
                    _ => return false,
                };
                (next >> 5) & 0x1f == register && scaled == address & 0xfff
            })
    })
}
