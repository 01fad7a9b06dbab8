//! Where the entries of each container lie, to the byte: what an edit of containers needs and a list of code does not.

use bstr::BString;

use super::code::Code;
use super::fatbin::{CONTAINER, FatbinEntry, RawKind, RawSpan};
use super::field::len;
use crate::elf::contents::Part;
use crate::elf::units::{FileOffset, FileRange};

/// A container as it lies in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FatBinary {
    /// Where the file begins that has it: of a member of an archive its place there, else 0.
    pub(crate) unit: u64,
    /// All of it, header included.
    pub(crate) range: FileRange,
    /// Its entries, in order and without gaps.
    pub(crate) spans: Vec<EntrySpan>,
    /// Whether all of it is understood, and everything in front of it in its section.
    pub(crate) is_understood: bool,
    /// The section, or what stands for one.
    pub(crate) section: BString,
}

/// An entry as it lies in a file, header included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntrySpan {
    /// Where.
    pub(crate) range: FileRange,
    /// What.
    pub(crate) kind: SpanKind,
}

/// What an entry is, as far as its container is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpanKind {
    /// Code, with or without anything to run.
    Code {
        /// Which.
        code: Code,
        /// Whether there is neither a kernel nor a variable in it.
        is_empty: bool,
    },
    /// A table of what is in others.
    Index,
    /// Several contents in one (`fatbinary -concat`).
    Several,
    /// A kind or a header that is not understood.
    Unknown,
    /// Zeros up to the end of the payload.
    Padding,
}

impl FatBinary {
    /// The bytes in front of its first entry.
    pub(crate) const HEADER: u64 = 16;

    /// From what the reader of containers tells; `end` is an index of the part.
    pub(super) fn new(
        unit: u64,
        at: u64,
        spans: &[RawSpan],
        entries: &[FatbinEntry<'_>],
        end: u64,
        is_understood: bool,
        part: &Part<'_>,
    ) -> Option<Self> {
        let end = unit.checked_add(part.offset)?.checked_add(end)?;
        let payload = at.checked_add(len(CONTAINER))?;
        let span = |raw: &RawSpan| {
            let start = FileOffset::new(payload.checked_add(len(raw.start))?);
            let kind = match raw.kind {
                RawKind::Code(index) => {
                    let entry = entries.get(index)?;
                    SpanKind::Code { code: entry.code, is_empty: entry.tally.empty > 0 }
                }
                RawKind::Index => SpanKind::Index,
                RawKind::Several => SpanKind::Several,
                RawKind::Unknown => SpanKind::Unknown,
                RawKind::Padding => SpanKind::Padding,
            };
            Some(EntrySpan { range: FileRange::new(start, len(raw.size))?, kind })
        };
        Some(Self {
            unit,
            range: FileRange::between(at, end)?,
            spans: spans.iter().map(span).collect::<Option<_>>()?,
            is_understood,
            section: part.name.to_owned(),
        })
    }

    /// The bytes behind its header.
    #[must_use]
    pub(crate) fn payload(&self) -> Option<FileRange> {
        FileRange::between(self.range.start().get().checked_add(Self::HEADER)?, self.range.end().get())
    }
}
