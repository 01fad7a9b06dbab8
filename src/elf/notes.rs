//! Notes (gABI "Note Section"): an owner, a type and a descriptor.

use bstr::{BStr, ByteSlice};

use super::record::{Encoding, Section, pt, sht};
use super::units::{Alignment, FileOffset, FileRange};
use super::view::ElfView;

/// One note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Note<'a> {
    /// The owner, without the NULs at its end.
    pub(crate) owner: &'a BStr,
    /// The type; what it means is the owner's business.
    pub(crate) kind: u32,
    /// Header, owner and descriptor with their padding, in the file.
    pub(crate) range: FileRange,
    /// The descriptor alone.
    pub(crate) descriptor: FileRange,
    /// `n_descsz` reaches past the segment or section, and the descriptor was cut there (cuda_compat for Orin does so).
    pub(crate) is_cut: bool,
}

/// Every note of PT_NOTE segments, in file order; a note that was cut ends its segment.
pub(crate) fn of_segments<'a>(view: &'a ElfView<'a>) -> impl Iterator<Item = Note<'a>> {
    let segments = view.segments.iter().filter(|segment| segment.kind == pt::PT_NOTE);
    let ranges = segments.filter_map(|segment| Some((segment.file_range()?, segment.align)));
    ranges.flat_map(|(range, align)| Notes::new(view.bytes, view.encoding, range, align))
}

/// Every note of SHT_NOTE sections; those that no segment covers are read by tools only.
pub(crate) fn of_sections<'a>(view: &'a ElfView<'a>) -> impl Iterator<Item = Note<'a>> {
    let sections = view.sections.iter().filter(|section| section.kind == sht::SHT_NOTE);
    sections.flat_map(|section| of_section(view, section))
}

/// Every note of one section; none when it lies outside of the file.
pub(crate) fn of_section<'a>(view: &'a ElfView<'a>, section: &Section) -> impl Iterator<Item = Note<'a>> + use<'a> {
    let (range, align) = (section.file_range(), section.align);
    range.into_iter().flat_map(move |range| Notes::new(view.bytes, view.encoding, range, align))
}

struct Notes<'a> {
    bytes: &'a [u8],
    encoding: Encoding,
    range: FileRange,
    padding: Alignment,
    /// From the start of the range; `None` at the end.
    next: Option<u64>,
}

impl<'a> Notes<'a> {
    fn new(file: &'a [u8], encoding: Encoding, range: FileRange, align: u64) -> Self {
        // Notes are padded to four bytes, and to eight in the few segments that say so.
        let padding = Alignment::new(if align == 8 { 8 } else { 4 }).unwrap_or(Alignment::ONE);
        Self { bytes: range.of(file).unwrap_or_default(), encoding, range, padding, next: Some(0) }
    }

    fn read(&self, start: u64) -> Option<(Note<'a>, Option<u64>)> {
        let at = usize::try_from(start).ok()?;
        let name_len = u64::from(self.encoding.u32_at(self.bytes, at)?);
        let descriptor_len = u64::from(self.encoding.u32_at(self.bytes, at.checked_add(4)?)?);
        let kind = self.encoding.u32_at(self.bytes, at.checked_add(8)?)?;
        let name_at = start.checked_add(12)?;
        let name = FileRange::new(FileOffset::new(name_at), name_len)?.of(self.bytes)?;
        let owner = name.trim_end_with(|c| c == '\0').as_bstr();
        let descriptor_at = self.padding.up(name_at.checked_add(name_len)?)?;
        let left = self.range.len().checked_sub(descriptor_at)?;
        let is_cut = descriptor_len > left;
        let descriptor_len = descriptor_len.min(left);
        let end = self.padding.up(descriptor_at.checked_add(descriptor_len)?)?.min(self.range.len());
        let note = Note {
            owner,
            kind,
            range: FileRange::new(self.range.start().plus(start)?, end.checked_sub(start)?)?,
            descriptor: FileRange::new(self.range.start().plus(descriptor_at)?, descriptor_len)?,
            is_cut,
        };
        Some((note, (!is_cut && end < self.range.len()).then_some(end)))
    }
}

impl<'a> Iterator for Notes<'a> {
    type Item = Note<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let (note, next) = self.read(self.next?)?;
        self.next = next;
        Some(note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(bytes: &[u8], align: u64) -> Vec<(String, u32, u64, bool)> {
        let encoding = Encoding { is_64: true, is_big_endian: false };
        let range = FileRange::new(FileOffset::new(0), u64::try_from(bytes.len()).unwrap()).unwrap();
        let found = Notes::new(bytes, encoding, range, align);
        found.map(|note| (note.owner.to_string(), note.kind, note.descriptor.len(), note.is_cut)).collect()
    }

    #[test]
    fn every_note_is_found() {
        let bytes = b"\x04\0\0\0\x02\0\0\0\x03\0\0\0GNU\0ab\0\0\x03\0\0\0\0\0\0\0\x01\0\0\0FD\0\0";
        assert_eq!(notes(bytes, 4), [("GNU".to_owned(), 3, 2, false), ("FD".to_owned(), 1, 0, false)]);
    }

    #[test]
    fn a_note_past_the_end_is_cut_and_the_last() {
        let bytes = b"\x04\0\0\0\x08\0\0\0\x03\0\0\0GNU\0abcd";
        assert_eq!(notes(bytes, 4), [("GNU".to_owned(), 3, 4, true)]);
        assert_eq!(notes(&bytes[..5], 8), []);
        assert_eq!(notes(b"", 4), []);
    }
}
