//! Records back to bytes, in the file's own class and byte order.

use scroll::Pwrite;

use super::record::{DynamicEntry, Encoding, Section, Segment};
use super::units::len64;

/// The fields of the ELF header that an edit may change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    /// `e_phoff`
    pub(crate) table_offset: u64,
    /// `e_shoff`
    pub(crate) section_table_offset: u64,
    /// `e_phnum`
    pub(crate) segments: u16,
    /// `e_shnum`
    pub(crate) sections: u16,
}

/// The ELF header with new counts; everything else stays as it is. `None` when a value does not fit the class.
pub(super) fn patch_header(encoding: Encoding, old: &[u8], counts: Counts) -> Option<Vec<u8>> {
    // e_phoff, e_shoff, e_phnum and e_shnum (gABI "ELF Header").
    let [table_at, section_table_at] = if encoding.is_64 { [32, 40] } else { [28, 32] };
    let [count_at, section_count_at] = if encoding.is_64 { [56, 60] } else { [44, 48] };
    let mut header = old.to_vec();
    put(&mut header, table_at, &word(encoding, counts.table_offset)?)?;
    put(&mut header, section_table_at, &word(encoding, counts.section_table_offset)?)?;
    for (at, count) in [(count_at, counts.segments), (section_count_at, counts.sections)] {
        put(&mut header, at, &if encoding.is_big_endian { count.to_be_bytes() } else { count.to_le_bytes() })?;
    }
    Some(header)
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) -> Option<()> {
    bytes.get_mut(at..at.checked_add(value.len())?)?.copy_from_slice(value);
    Some(())
}

/// An address-sized value; `None` when it does not fit the class.
pub(super) fn word(encoding: Encoding, value: u64) -> Option<Vec<u8>> {
    if encoding.is_64 {
        return Some(if encoding.is_big_endian { value.to_be_bytes() } else { value.to_le_bytes() }.to_vec());
    }
    let value = u32::try_from(value).ok()?;
    Some(if encoding.is_big_endian { value.to_be_bytes() } else { value.to_le_bytes() }.to_vec())
}

/// Program headers, one behind the other; `None` when a value does not fit the class.
pub(super) fn encode_segments(encoding: Encoding, segments: &[Segment]) -> Option<Vec<u8>> {
    table(encoding.segment_size(), len64(segments), segments, |segment, bytes| {
        let fields = [
            segment.offset.get(),
            segment.address.get(),
            segment.physical.get(),
            segment.file_size,
            segment.memory_size,
            segment.align,
        ];
        fits(encoding, &fields)?;
        bytes.pwrite_with(segment.to_record(), 0, encoding.context()).ok()
    })
}

/// Section headers, one behind the other; `None` when a value does not fit the class.
pub(super) fn encode_sections(encoding: Encoding, sections: &[Section]) -> Option<Vec<u8>> {
    table(encoding.section_size(), len64(sections), sections, |section, bytes| {
        let (address, offset) = (section.address.get(), section.offset.get());
        fits(encoding, &[section.flags, address, offset, section.size, section.align, section.entry_size])?;
        bytes.pwrite_with(section.to_record(), 0, encoding.context()).ok()
    })
}

/// The dynamic section: the entries, then DT_NULL up to `slots`; `None` when there is no room for the terminator.
pub(super) fn encode_dynamic(encoding: Encoding, entries: &[DynamicEntry], slots: u64) -> Option<Vec<u8>> {
    if len64(entries) >= slots {
        return None;
    }
    table(encoding.dynamic_size(), slots, entries, |entry, bytes| {
        fits(encoding, &[entry.tag, entry.value])?;
        bytes.pwrite_with(entry.to_record(), 0, encoding.context()).ok()
    })
}

/// goblin narrows silently; a value that does not fit must not get there.
fn fits(encoding: Encoding, values: &[u64]) -> Option<()> {
    values.iter().all(|value| *value <= encoding.highest()).then_some(())
}

/// So many records of one size, zeros behind the last that there is.
fn table<T>(size: u64, count: u64, records: &[T], write: impl Fn(&T, &mut [u8]) -> Option<usize>) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(size.checked_mul(count)?).ok()?];
    for (record, place) in records.iter().zip(bytes.chunks_exact_mut(usize::try_from(size).ok()?)) {
        write(record, place)?;
    }
    Some(bytes)
}

/// What an edit needs of a symbol.
#[derive(Clone, Copy, Debug)]
pub(super) struct SymbolFields {
    /// `st_shndx`
    pub(crate) section: u16,
    /// `st_value`
    pub(crate) value: u64,
    /// Where `st_value` lies in the record.
    pub(crate) value_at: usize,
    /// STT_SECTION
    pub(crate) is_section_symbol: bool,
}

/// `st_shndx` alone.
pub(super) fn symbol_section(encoding: Encoding, symbol: &[u8]) -> Option<u16> {
    encoding.u16_at(symbol, if encoding.is_64 { 6 } else { 14 })
}

/// Reads a symbol record (gABI "Symbol Table").
pub(super) fn symbol_fields(encoding: Encoding, symbol: &[u8]) -> Option<SymbolFields> {
    const STT_SECTION: u8 = 3;
    let [info_at, section_at, value_at] = if encoding.is_64 { [4, 6, 8] } else { [12, 14, 4] };
    Some(SymbolFields {
        section: encoding.u16_at(symbol, section_at)?,
        value: encoding.word_at(symbol, value_at)?,
        value_at,
        is_section_symbol: symbol.get(info_at)? & 0xf == STT_SECTION,
    })
}
