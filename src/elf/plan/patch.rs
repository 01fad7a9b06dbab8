//! A plan as data: ordered positional writes, and what should be told of them.

use super::rung::{DynamicSlot, Strategy};
use crate::elf::units::{FileOffset, FileRange, len64};

/// When a patch is written. Every prefix of the sequence is a file that loads, unless the plan says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Stage {
    /// Bytes that no header names yet.
    Content,
    /// ELF header and program header table, in one write.
    Table,
    /// Section headers and the symbols that name moved sections.
    Sections,
    /// Dynamic entries, in one write.
    Dynamic,
    /// The grown program header table, in one write, where an interim one of the old size came first.
    WholeTable,
    /// A string that is replaced where it stands, in one write.
    String,
    /// The resolution cache note, in one write.
    Note,
    /// Zeros over a string that no entry names any more.
    Scrub,
}

impl Stage {
    /// The word used in every output format.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// What a patch writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// These bytes.
    Bytes(Vec<u8>),
    /// A copy of these bytes of the original file; never overlaps what the plan changes before it.
    CopyOf(FileRange),
    /// So many zeros, which need no room in memory, and none on a disk that knows holes.
    Zero(u64),
}

/// One positional write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// When.
    pub stage: Stage,
    /// Where.
    pub offset: FileOffset,
    /// What.
    pub content: Content,
}

impl Patch {
    /// One that brings back what stood at a place before an edit.
    #[must_use]
    pub(crate) fn restoring(offset: FileOffset, bytes: &[u8]) -> Self {
        Self { stage: Stage::Table, offset, content: Content::Bytes(bytes.to_vec()) }
    }

    /// The bytes of the file that it sets.
    #[must_use]
    pub fn range(&self) -> Option<FileRange> {
        match &self.content {
            Content::Bytes(bytes) => FileRange::new(self.offset, len64(bytes)),
            Content::CopyOf(range) => FileRange::new(self.offset, range.len()),
            Content::Zero(len) => FileRange::new(self.offset, *len),
        }
    }
}

/// Something that a person should know about an edit that is right all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Warning {
    /// The program header table moved; some versions of strip and old kernels do not expect that.
    TableMoved,
    /// The resolution cache note was neutralised, so the loader searches again.
    CacheDropped,
    /// The resolution cache note was rewritten.
    CacheRewritten,
    /// The dynamic section moved, in code of a machine that is not understood here.
    DynamicMoved,
    /// DT_RPATH, which dependencies inherited, became DT_RUNPATH, which they do not.
    TagChanged,
}

impl Warning {
    /// The sentence that reports print.
    #[must_use]
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::TableMoved => {
                "the program header table moved: kernels before 5.18 and a later strip may break this file"
            }
            Self::CacheDropped => "the .note.nixos.ldcache resolution cache was dropped: the loader searches again",
            Self::CacheRewritten => "the .note.nixos.ldcache resolution cache was rewritten",
            Self::DynamicMoved => {
                "the dynamic section moved: code of this object that looks for it under _DYNAMIC finds the old one"
            }
            Self::TagChanged => {
                "tag: rpath -> runpath (dependencies no longer inherit the path; --tag keep leaves the tag)"
            }
        }
    }
}

/// Everything that is needed to edit a file, and nothing that depends on when or where it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Where the string goes.
    pub strategy: Strategy,
    /// Which dynamic entry holds it.
    pub(crate) slot: DynamicSlot,
    /// The writes, in order.
    pub patches: Vec<Patch>,
    /// The file's size before, in bytes.
    pub old_len: u64,
    /// The file's size after, in bytes.
    pub new_len: u64,
    /// Whether every prefix of the writes is a file that loads with the old or the new path.
    pub prefix_safe: bool,
    /// Whether something stands behind the object that must be the end of the file.
    pub(crate) has_payload: bool,
    /// What a person should know.
    pub(crate) warnings: Vec<Warning>,
}

impl Plan {
    /// Bytes that the plan writes.
    #[must_use]
    pub(crate) fn written(&self) -> u64 {
        self.patches.iter().filter_map(Patch::range).map(FileRange::len).fold(0, u64::saturating_add)
    }

    /// Bytes that the file grows by.
    #[must_use]
    pub(crate) fn growth(&self) -> u64 {
        self.new_len.saturating_sub(self.old_len)
    }
}

/// What the writer can do for a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Atomicity {
    /// The whole file is replaced at once: the order of writes does not matter.
    Replace,
    /// Writes go to the file itself: every prefix must load.
    Prefixes,
}
