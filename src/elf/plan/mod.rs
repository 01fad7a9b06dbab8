//! How to give an object another search path: the plan is data, and nothing here writes.
//!
//! One rule explains every choice: never move the program header table, never change an original byte that is mapped,
//! other than the ELF header's counts, the table itself, the dynamic entries and the replaced string. The rungs are
//! tried from the cheapest to the most intrusive; each either finds its place or says in one phrase why there is none.

mod block;
mod draft;
mod ground;
mod in_table;
mod make_room;
mod new_segment;
mod reimage;
mod slack;
mod slot;

use std::fmt;

use bstr::{BStr, BString};

use self::draft::Draft;
use self::ground::Ground;
use super::error::ParseError;
use super::units::{FileOffset, FileRange};
use super::view::{ElfView, Subject};

/// The tag that holds the search path afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathTag {
    /// DT_RUNPATH
    Runpath,
    /// DT_RPATH
    Rpath,
}

/// What an edit should achieve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The object has exactly this path under exactly this tag.
    Set {
        /// The tag; the other one goes.
        tag: PathTag,
        /// The path as it is stored, without NUL.
        path: BString,
    },
    /// The object has neither tag.
    Remove,
}

impl Change {
    /// The path that the loader uses afterwards.
    #[must_use]
    pub fn path(&self) -> Option<&BStr> {
        match self {
            Self::Set { path, .. } => Some(path.as_ref()),
            Self::Remove => None,
        }
    }
}

/// Where the new string goes, named as in the documentation; in the order in which they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strategy {
    /// Only dynamic tags change.
    TagOnly,
    /// The string is in the table already.
    Share,
    /// Over the old string.
    Overwrite,
    /// Into bytes of the table that nobody refers to.
    DeadBytes,
    /// At the end of a table that ends its PT_LOAD.
    Grow,
    /// A copy of the table in zero padding behind a PT_LOAD.
    Slack,
    /// A copy of the table in a new PT_LOAD that takes a dispensable program header's place.
    Slot,
    /// A copy of the table in a new PT_LOAD; its program header goes into the gap behind the table.
    Gap,
    /// The last PT_LOAD's bytes again at the end of the file, with the table behind them.
    Reimage,
    /// As [`Strategy::Gap`], after moving what lies behind the program header table.
    MakeRoom,
    /// The program header table itself moves: the last resort.
    MoveTable,
}

impl Strategy {
    /// The word used in every output format.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TagOnly => "tag-only",
            Self::Share => "share",
            Self::Overwrite => "overwrite",
            Self::DeadBytes => "dead-bytes",
            Self::Grow => "grow",
            Self::Slack => "slack",
            Self::Slot => "slot",
            Self::Gap => "gap",
            Self::Reimage => "reimage",
            Self::MakeRoom => "make-room",
            Self::MoveTable => "move-table",
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which entry of the dynamic section holds the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// One that has the tag already.
    Existing,
    /// The other path tag's, renamed.
    Retagged,
    /// A spare DT_NULL.
    Spare,
    /// DT_DEBUG of a library, where no debugger looks.
    Debug,
    /// DT_RELACOUNT or DT_RELCOUNT: a hint, without which glibc processes relative relocations one by one.
    RelativeCount,
    /// A new one: the dynamic section moves.
    Moved,
    /// None: the tag goes.
    Dropped,
}

impl Slot {
    /// The word used in every output format.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Existing => "existing",
            Self::Retagged => "retagged",
            Self::Spare => "spare",
            Self::Debug => "debug",
            Self::RelativeCount => "relative-count",
            Self::Moved => "moved",
            Self::Dropped => "dropped",
        }
    }
}

/// When a patch is written. Every prefix of the sequence is a file that loads, unless the plan says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Bytes that nobody reads yet.
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
    /// Zeros over a string that nobody reads any more.
    Scrub,
}

impl Stage {
    /// The word used in every output format.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Table => "table",
            Self::Sections => "sections",
            Self::Dynamic => "dynamic",
            Self::WholeTable => "whole-table",
            Self::String => "string",
            Self::Note => "note",
            Self::Scrub => "scrub",
        }
    }
}

/// What a patch writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// These bytes.
    Bytes(Vec<u8>),
    /// A copy of these bytes of the original file; never overlaps what the plan changes before it.
    CopyOf(FileRange),
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
    pub fn restoring(offset: FileOffset, bytes: &[u8]) -> Self {
        Self { stage: Stage::Table, offset, content: Content::Bytes(bytes.to_vec()) }
    }

    /// The bytes of the file that it sets.
    #[must_use]
    pub fn range(&self) -> Option<FileRange> {
        match &self.content {
            Content::Bytes(bytes) => FileRange::new(self.offset, super::units::len64(bytes)),
            Content::CopyOf(range) => FileRange::new(self.offset, range.len()),
        }
    }
}

/// Something that a person should know about an edit that is right all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Warning {
    /// The program header table moved; some versions of strip and old kernels do not expect that.
    TableMoved,
    /// The resolution cache note was neutralised, so the loader searches again.
    CacheDropped,
    /// The resolution cache note was rewritten.
    CacheRewritten,
    /// DT_RPATH, which dependencies inherited, became DT_RUNPATH, which they do not.
    TagChanged,
}

impl Warning {
    /// The sentence that reports print.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::TableMoved => {
                "the program header table moved: kernels before 5.18 and a later strip may break this file"
            }
            Self::CacheDropped => "the .note.nixos.ldcache resolution cache was dropped: the loader searches again",
            Self::CacheRewritten => "the .note.nixos.ldcache resolution cache was rewritten",
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
    pub slot: Slot,
    /// The writes, in order.
    pub patches: Vec<Patch>,
    /// The file's size before, in bytes.
    pub old_len: u64,
    /// The file's size after, in bytes.
    pub new_len: u64,
    /// Whether every prefix of the writes is a file that loads with the old or the new path.
    pub prefix_safe: bool,
    /// Whether something stands behind the object that must be the end of the file.
    pub has_payload: bool,
    /// What a person should know.
    pub warnings: Vec<Warning>,
}

impl Plan {
    /// Bytes that the plan writes.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.patches.iter().filter_map(Patch::range).map(FileRange::len).fold(0, u64::saturating_add)
    }

    /// Bytes that the file grows by.
    #[must_use]
    pub fn growth(&self) -> u64 {
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

/// Why an object cannot get the path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// References in the file contradict its string table.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// A path with a NUL or an empty entry would not mean what it says.
    #[error("the new search path {0:?} has a NUL byte or an empty entry")]
    BadPath(BString),
    /// No rung of the ladder fits.
    #[error("no safe place for the new search path: {}", Attempts(.0))]
    NoPlace(Vec<(Strategy, &'static str)>),
}

struct Attempts<'e>(&'e [(Strategy, &'static str)]);

impl fmt::Display for Attempts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (strategy, why)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{strategy}: {why}")?;
        }
        Ok(())
    }
}

/// What a rung answers: a finished draft or one phrase.
type Rung<'g> = Result<Draft<'g>, &'static str>;

/// One rung.
type Attempt = for<'g> fn(&'g Ground<'g>) -> Rung<'g>;

/// The rungs, from the cheapest to the most intrusive.
const LADDER: [(Strategy, Attempt); 11] = [
    (Strategy::Share, in_table::share),
    (Strategy::Overwrite, in_table::overwrite),
    (Strategy::DeadBytes, in_table::dead_bytes),
    (Strategy::Grow, slack::grow),
    (Strategy::Slack, slack::slack),
    (Strategy::Slot, new_segment::slot),
    (Strategy::Gap, new_segment::gap),
    (Strategy::Reimage, reimage::small),
    (Strategy::MakeRoom, make_room::make_room),
    (Strategy::Reimage, reimage::large),
    (Strategy::MoveTable, new_segment::move_table),
];

/// Whether something stands behind the object that must be the end of the file; also of a file that is no object.
#[must_use]
pub fn has_payload(file: &[u8]) -> bool {
    let Ok(Subject::Object(view)) = Subject::parse(file) else { return true };
    let end = ground::content_end(&ground::occupied(&view), &ground::loads(&view));
    ground::has_payload(file, end, ground::page(view.header.e_machine))
}

/// Plans an edit. The same object and change always give the same plan.
///
/// # Errors
/// [`PlanError`] when the object's strings contradict each other or no place is safe.
pub fn plan(view: &ElfView<'_>, change: &Change, atomicity: Atomicity) -> Result<Plan, PlanError> {
    if let Some(path) = change.path() {
        // An empty path has one, too.
        let has_empty_entry = path.split(|byte| *byte == b':').any(<[u8]>::is_empty);
        if path.contains(&0) || has_empty_entry {
            return Err(PlanError::BadPath(path.into()));
        }
    }
    let ground = Ground::survey(view, change)?;
    if change.path().is_none() {
        let draft = in_table::tag_only(&ground).and_then(|draft| draft.into_plan(Strategy::TagOnly));
        return draft.map_err(|why| PlanError::NoPlace(vec![(Strategy::TagOnly, why)]));
    }
    let mut attempts = Vec::new();
    for (strategy, attempt) in LADDER {
        match attempt(&ground).and_then(|draft| draft.into_plan(strategy)) {
            Ok(plan) if plan.prefix_safe || atomicity == Atomicity::Replace => return Ok(plan),
            Ok(_) => attempts.push((strategy, "is not safe in a file that cannot be replaced as a whole")),
            Err(why) => attempts.push((strategy, why)),
        }
    }
    Err(PlanError::NoPlace(attempts))
}
