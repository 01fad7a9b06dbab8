//! What an ELF file puts into memory: allocated sections with contents, or segments where there are no such sections.
//! Unlike [`ElfView`](super::view::ElfView) for every kind of file, static programs and object files included.

use bstr::{BStr, ByteSlice};

use super::data::{self, DataMap};
use super::error::ParseError;
use super::record::{Section, sht};
use super::units::FileRange;
use super::view::{parse_header, parse_sections, parse_segments};

/// Names are for people.
const LONGEST_NAME: usize = 255;

/// One section or segment.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    /// The section's name, up to 255 bytes; `PT_LOAD` for a segment.
    pub name: &'a BStr,
    /// Its bytes in the file.
    pub bytes: &'a [u8],
    /// Where they are: a file offset.
    pub offset: u64,
    /// Whether it holds machine code of the host.
    pub is_code: bool,
    /// Where the file has data.
    pub(crate) data: &'a DataMap,
}

impl<'a> Part<'a> {
    /// Some bytes at an offset of a file, by a name.
    #[must_use]
    pub fn new(name: &'a BStr, bytes: &'a [u8], offset: u64, is_code: bool) -> Self {
        Self { name, bytes, offset, is_code, data: &data::EVERYWHERE }
    }

    /// What may have data from one index of its bytes up to another, each piece with the index of its first byte.
    pub(crate) fn data_between(&self, from: usize, to: usize) -> impl Iterator<Item = (usize, &'a [u8])> {
        let (bytes, offset) = (self.bytes, self.offset);
        let place = move |index: usize| u64::try_from(index).ok().and_then(|index| offset.checked_add(index));
        let range = place(from).zip(place(to)).and_then(|(from, to)| FileRange::between(from, to));
        let pieces = range.into_iter().flat_map(|range| self.data.within(range));
        pieces.filter_map(move |piece| {
            let at = usize::try_from(piece.start().get().checked_sub(offset)?).ok()?;
            let len = usize::try_from(piece.len()).ok()?;
            Some((at, bytes.get(at..at.checked_add(len)?)?))
        })
    }
}

/// All of them, in file order; no byte is in two.
#[derive(Clone, Debug)]
pub struct Contents<'a> {
    /// The parts.
    pub parts: Vec<Part<'a>>,
}

impl<'a> Contents<'a> {
    /// Reads the headers of an ELF file. What reaches past the end of the file is cut there: a debug file and a file that
    /// was cut have still what they have.
    ///
    /// # Errors
    /// [`ParseError`] when the ELF header or a table contradicts itself.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        Self::parse_sparse(bytes, &data::EVERYWHERE)
    }

    /// The same for a file whose holes are known.
    ///
    /// # Errors
    /// As [`Contents::parse`].
    pub(crate) fn parse_sparse(bytes: &'a [u8], data: &'a DataMap) -> Result<Self, ParseError> {
        let sections = Self::sections(bytes)?;
        let mut places: Vec<(FileRange, &'a BStr, bool)> = Vec::new();
        for (name, section) in &sections {
            let is_code = section.flags & u64::from(sht::SHF_EXECINSTR) != 0;
            if section.is_alloc() && section.kind == sht::SHT_PROGBITS {
                places.extend(section.file_range().map(|range| (range, *name, is_code)));
            }
        }
        // A table of nothing but what is not loaded says nothing about memory.
        let (encoding, header) = parse_header(bytes)?;
        let is_described = header.e_phnum == 0 || sections.iter().any(|(_, section)| section.is_alloc());
        if sections.is_empty() || !is_described {
            let segments = parse_segments(bytes, encoding, &header)?;
            // A segment with code may have constants too (GNU ld without separate-code).
            let loads = segments.iter().filter(|segment| segment.is_load());
            places.extend(loads.filter_map(|load| Some((load.file_range()?, BStr::new("PT_LOAD"), false))));
        }
        places.sort_by_key(|(range, ..)| (range.start(), range.end()));
        let mut parts = Vec::with_capacity(places.len());
        let mut covered = 0_u64;
        for (range, name, is_code) in places {
            let start = range.start().get().max(covered);
            let end = range.end().get().min(super::units::len64(bytes));
            let part = usize::try_from(start).ok().zip(usize::try_from(end).ok());
            if let Some(bytes) = part.and_then(|(start, end)| bytes.get(start..end)).filter(|part| !part.is_empty()) {
                parts.push(Part { name, bytes, offset: start, is_code, data });
                covered = end;
            }
        }
        Ok(Self { parts })
    }

    /// Every section with its name.
    ///
    /// # Errors
    /// [`ParseError`] when the ELF header or the section header table contradicts itself.
    pub(crate) fn sections(bytes: &'a [u8]) -> Result<Vec<(&'a BStr, Section)>, ParseError> {
        let (encoding, header) = parse_header(bytes)?;
        let sections = parse_sections(bytes, encoding, &header)?;
        let names = sections.get(usize::from(header.e_shstrndx)).and_then(|names| names.file_range()?.of(bytes));
        Ok(sections.into_iter().map(|section| (name(names, &section), section)).collect())
    }
}

/// Cut where it is longer than a person reads.
fn name<'a>(names: Option<&'a [u8]>, section: &Section) -> &'a BStr {
    let rest = names.and_then(|names| names.get(section.name..)).unwrap_or_default();
    let rest = rest.get(..LONGEST_NAME).unwrap_or(rest);
    rest.split_once_str("\0").map_or(rest, |(name, _)| name).as_bstr()
}
