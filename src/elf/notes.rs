//! The notes of a PT_NOTE segment or an SHT_NOTE section, one by one (gABI 5.2 "Note Section").

use super::record::Encoding;
use super::units::{Alignment, FileOffset, FileRange};

/// One note. Both ranges count from the start of the bytes that were walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Note<'a> {
    /// With its NUL.
    pub owner: &'a [u8],
    /// Means something to this owner only.
    pub kind: u32,
    /// Header, owner and descriptor with their padding.
    pub range: FileRange,
    /// The descriptor alone.
    pub descriptor: FileRange,
}

/// Walks the notes in `bytes`; the last item is `None` when a note reaches past their end. `align` is that of the segment
/// or section: notes are padded to four bytes, and to eight in the few that say so.
pub(super) fn notes(bytes: &[u8], encoding: Encoding, align: u64) -> impl Iterator<Item = Option<Note<'_>>> {
    let padding = Alignment::new(if align == 8 { 8 } else { 4 });
    let mut at = Some(0);
    std::iter::from_fn(move || {
        let start = at.filter(|at| *at < bytes.len())?;
        let note = padding.and_then(|padding| note_at(bytes, encoding, padding, start));
        // What cannot be read ends the walk; a note is never empty, so the walk ends.
        at = note.and_then(|note| usize::try_from(note.range.end().get()).ok());
        Some(note)
    })
}

fn note_at(bytes: &[u8], encoding: Encoding, padding: Alignment, at: usize) -> Option<Note<'_>> {
    let name_len = u64::from(encoding.u32_at(bytes, at)?);
    let descriptor_len = u64::from(encoding.u32_at(bytes, at.checked_add(4)?)?);
    let kind = encoding.u32_at(bytes, at.checked_add(8)?)?;
    let start = u64::try_from(at).ok()?;
    let name_at = start.checked_add(12)?;
    let descriptor_at = padding.up(name_at.checked_add(name_len)?)?;
    let end = descriptor_at.checked_add(descriptor_len)?;
    let len = super::units::len64(bytes);
    if end > len {
        return None;
    }
    Some(Note {
        owner: FileRange::new(FileOffset::new(name_at), name_len)?.of(bytes)?,
        kind,
        range: FileRange::new(FileOffset::new(start), padding.up(end)?.min(len).checked_sub(start)?)?,
        descriptor: FileRange::new(FileOffset::new(descriptor_at), descriptor_len)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LITTLE: Encoding = Encoding { is_64: true, is_big_endian: false };

    #[test]
    fn every_note_is_found() {
        let bytes = b"\x04\0\0\0\x02\0\0\0\x03\0\0\0GNU\0ab\0\0\x03\0\0\0\0\0\0\0\x01\0\0\0FD\0\0";
        let found: Option<Vec<Note<'_>>> = notes(bytes, LITTLE, 4).collect();
        let owners: Vec<_> = found.unwrap().iter().map(|note| (note.owner, note.kind, note.descriptor.len())).collect();
        assert_eq!(owners, [(&b"GNU\0"[..], 3, 2), (&b"FD\0"[..], 1, 0)]);
    }

    #[test]
    fn a_note_past_the_end_is_none() {
        let bytes = b"\x04\0\0\0\x08\0\0\0\x03\0\0\0GNU\0abcd";
        assert_eq!(notes(bytes, LITTLE, 4).collect::<Vec<_>>(), [None]);
        assert_eq!(notes(&bytes[..5], LITTLE, 8).collect::<Vec<_>>(), [None]);
        assert_eq!(notes(b"", LITTLE, 4).count(), 0);
    }
}
