//! The dynamic section as the loader sees it: through PT_DYNAMIC, up to DT_NULL.

use goblin::elf::Dyn;
use scroll::Pread;

use super::error::{Field, ParseError};
use super::record::{DynamicEntry, Encoding, Segment, dt};
use super::units::{Address, FileOffset, FileRange, StringOffset};

/// No linker writes more than a few hundred entries; a table this long is not one.
const MOST_ENTRIES: u64 = 1 << 12;

/// The entries before DT_NULL, and how many spare ones follow it.
#[derive(Clone, Debug)]
pub struct Dynamic {
    /// Where the first entry lies in the file.
    pub offset: FileOffset,
    /// Where the loader finds it.
    pub(crate) address: Address,
    /// The entries, without the terminating DT_NULL.
    pub entries: Vec<DynamicEntry>,
    /// DT_NULL entries behind the terminating one.
    pub(crate) spare: usize,
}

impl Dynamic {
    /// Reads the entries of PT_DYNAMIC, whose file range was checked.
    pub(super) fn parse(bytes: &[u8], encoding: Encoding, index: usize, segment: &Segment) -> Result<Self, ParseError> {
        let size = encoding.dynamic_size();
        let slots = segment.file_size.checked_div(size).unwrap_or(0);
        if slots > MOST_ENTRIES {
            return Err(ParseError::Contradiction {
                field: Field::of("program header", index, "p_filesz").of_kind("PT_DYNAMIC"),
                value: segment.file_size,
                relation: "holds more entries than",
                bound: MOST_ENTRIES,
            });
        }
        let range = segment.file_range().and_then(|range| range.of(bytes)).unwrap_or_default();
        let mut all = Vec::new();
        let mut at = 0_usize;
        for _ in 0..slots {
            let Ok(entry) = range.gread_with::<Dyn>(&mut at, encoding.context()) else { break };
            all.push(DynamicEntry { tag: entry.d_tag, value: entry.d_val });
        }
        let Some(end) = all.iter().position(|entry| entry.tag == dt::DT_NULL) else {
            return Err(ParseError::Count { what: "DT_NULL in PT_DYNAMIC", found: 0, expected: "at least one" });
        };
        let spare =
            all.iter().skip(end).skip(1).take_while(|entry| entry.tag == dt::DT_NULL && entry.value == 0).count();
        all.truncate(end);
        Ok(Self { offset: segment.offset, address: segment.address, entries: all, spare })
    }

    /// The value of a tag; of several, the last one wins in every loader (`glibc elf/get-dynamic-info.h`).
    #[must_use]
    pub(crate) fn value(&self, tag: u64) -> Option<u64> {
        self.entries.iter().rev().find(|entry| entry.tag == tag).map(|entry| entry.value)
    }

    /// All values of a tag, in table order.
    pub(crate) fn values(&self, tag: u64) -> impl Iterator<Item = u64> {
        self.entries.iter().filter(move |entry| entry.tag == tag).map(|entry| entry.value)
    }

    /// Which tags hold a search path, and which string the loader uses.
    #[must_use]
    pub(crate) fn path_tags(&self) -> PathTags {
        let offset = |tag| self.value(tag).map(StringOffset::new);
        match (offset(dt::DT_RUNPATH), offset(dt::DT_RPATH)) {
            (None, None) => PathTags::None,
            (Some(runpath), None) => PathTags::Runpath(runpath),
            (None, Some(rpath)) => PathTags::Rpath(rpath),
            (Some(runpath), Some(_)) => PathTags::Both(runpath),
        }
    }

    /// The file bytes of the whole table: entries, terminator and spare ones.
    #[must_use]
    pub(crate) fn file_range(&self, encoding: Encoding) -> Option<FileRange> {
        let slots = self.entries.len().checked_add(self.spare)?.checked_add(1)?;
        FileRange::new(self.offset, encoding.dynamic_size().checked_mul(u64::try_from(slots).ok()?)?)
    }
}

/// Which of the two search path tags an object has; the offset is that of the string the loader uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathTags {
    /// Neither.
    None,
    /// DT_RUNPATH only.
    Runpath(StringOffset),
    /// DT_RPATH only.
    Rpath(StringOffset),
    /// Both: glibc and musl ignore DT_RPATH then.
    Both(StringOffset),
}

impl PathTags {
    /// The string that the loader uses.
    #[must_use]
    pub(crate) fn effective(self) -> Option<StringOffset> {
        match self {
            Self::None => None,
            Self::Runpath(offset) | Self::Rpath(offset) | Self::Both(offset) => Some(offset),
        }
    }

    /// The tags alone.
    #[must_use]
    pub(crate) fn set(self) -> TagSet {
        match self {
            Self::None => TagSet::None,
            Self::Runpath(_) => TagSet::Runpath,
            Self::Rpath(_) => TagSet::Rpath,
            Self::Both(_) => TagSet::Both,
        }
    }
}

/// Which of the two search path tags there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum TagSet {
    /// Neither.
    None,
    /// DT_RUNPATH only.
    Runpath,
    /// DT_RPATH only.
    Rpath,
    /// Both: glibc and musl ignore DT_RPATH then.
    Both,
}

impl TagSet {
    /// The word used in every output format.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }
}
