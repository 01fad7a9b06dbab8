//! The PT_LOAD segments as a map between addresses and file offsets.

use super::error::{Field, ParseError};
use super::record::{Encoding, Segment};
use super::units::{Address, Alignment, FileRange};

/// Checks what every loader assumes of PT_LOAD segments: ascending, not overlapping, in the file, congruent at least
/// modulo a page.
///
/// glibc computes the mapping's length from the last one's end (`glibc elf/dl-load.c`, `maplength`), so an order that
/// musl would accept breaks there.
pub(super) fn check(segments: &[Segment], encoding: Encoding, file_len: u64) -> Result<(), ParseError> {
    let mut last_end = 0;
    for (index, segment) in segments.iter().enumerate() {
        let field = |name| Field::of("program header", index, name).of_kind(segment.kind_name());
        if segment.file_size > 0 {
            let end = segment.offset.get().saturating_add(segment.file_size);
            if end > file_len {
                return Err(ParseError::PastEnd { field: field("p_offset+p_filesz"), value: end, bound: file_len });
            }
        }
        if !segment.is_load() {
            continue;
        }
        if segment.file_size > segment.memory_size {
            return Err(ParseError::Contradiction {
                field: field("p_filesz"),
                value: segment.file_size,
                relation: "is larger than p_memsz",
                bound: segment.memory_size,
            });
        }
        let end = segment.memory_end().filter(|end| *end <= encoding.highest());
        let Some(end) = end else {
            return Err(ParseError::Contradiction {
                field: field("p_vaddr+p_memsz"),
                value: segment.memory_end().unwrap_or(u64::MAX),
                relation: "is past the highest address",
                bound: encoding.highest(),
            });
        };
        if segment.address.get() < last_end {
            return Err(ParseError::Contradiction {
                field: field("p_vaddr"),
                value: segment.address.get(),
                relation: "is before the end of the PT_LOAD in front of it",
                bound: last_end,
            });
        }
        last_end = end;
        let Some(alignment) = Alignment::new(segment.align) else {
            return Err(ParseError::Value {
                field: field("p_align"),
                value: segment.align,
                expected: "a power of two",
            });
        };
        let congruent = |to: Alignment| to.remainder(segment.address.get()) == to.remainder(segment.offset.get());
        // Kernels map pages, and so does glibc since 2.35: mold 1.10 writes files for machines with pages of 64 KiB in
        // which data of a larger alignment has its address, and its place in the file only modulo a page. An alignment
        // that is larger than every address is no linker's.
        let by_pages = congruent(Alignment::SMALLEST_PAGE) && segment.align <= end;
        if segment.file_size > 0 && !congruent(alignment) && !by_pages {
            return Err(ParseError::Contradiction {
                field: field("p_vaddr"),
                value: segment.address.get(),
                relation: "differs modulo p_align from p_offset",
                bound: segment.offset.get(),
            });
        }
    }
    Ok(())
}

/// Where an address range lies in the file, if one PT_LOAD's file part holds all of it.
#[must_use]
pub(crate) fn file_range(segments: &[Segment], address: Address, len: u64) -> Option<FileRange> {
    let load = segments.iter().filter(|segment| segment.is_load()).find(|load| load.holds(address, len))?;
    FileRange::new(load.offset.plus(address.since(load.address)?)?, len)
}

/// The bytes from an address to the end of its PT_LOAD's file part: for tables that do not tell their size.
#[must_use]
pub(crate) fn file_range_from(segments: &[Segment], address: Address) -> Option<FileRange> {
    let load = segments.iter().filter(|segment| segment.is_load()).find(|load| load.holds(address, 1))?;
    let within = address.since(load.address)?;
    FileRange::new(load.offset.plus(within)?, load.file_size.checked_sub(within)?)
}
