//! Carrying out a plan: in place or by replacing the file, verified, and undone when anything is wrong.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;

use rustix::fs::{AtFlags, CWD};

use super::in_place::{Manner, Writable};
use super::journal::Journal;
use super::map::{FileError, Identity, Opened};
use super::writes::{Writes, patch};
use super::{in_place, replace};
use crate::elf::image::{Image, Saved};
use crate::elf::plan::{self, Change, Patch, Plan};
use crate::elf::units::FileRange;
use crate::elf::verify::{VerifyError, verify};

/// How the person asked for files to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteMode {
    /// A patched copy takes the file's name in one step.
    Replace,
    /// Ordered writes to the file itself.
    InPlace,
    /// The same, for a copy that this program made: all names of the inode are in the copy.
    OwnCopy,
}

/// Whether a power cut right after success may undo the edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Everything is on the disk before the program says so.
    Synced,
    /// The system writes when it likes, as after any build step.
    Cached,
}

/// How a file was written in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// See [`WriteMode::Replace`].
    Replaced,
    /// See [`WriteMode::InPlace`].
    InPlace,
}

impl How {
    /// The word used in every output format.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Replaced => "replace",
            Self::InPlace => "in-place",
        }
    }
}

/// Why a file was written in another way than asked for, or what could not be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Other names of the inode follow only an edit of the inode itself.
    HardLinked(u64),
    /// Running: its inode cannot be written.
    Running,
    /// The inode cannot be written by this user, its directory can.
    NotWritable,
    /// No temporary file can be made in the directory.
    DirectoryNotWritable,
    /// The owner can only be kept by keeping the inode.
    OwnerKept,
    /// Every prefix of the writes would not load, so the file was replaced as a whole.
    NotPrefixSafe,
    /// A journal would stand between the object and the end of the file.
    Payload,
    /// An extended attribute that could not be copied.
    AttributeLost(String),
    /// Nobody knows which extended attributes there were.
    AttributesUnread,
    /// The old file under its temporary name, which could not be removed.
    OldFileLeft(PathBuf),
    /// An earlier run was killed.
    TakenBack,
    /// The new name may not survive a power cut: the directory could not be synced.
    NotSynced,
}

impl Note {
    /// The sentence that reports print.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::HardLinked(names) => {
                format!("written in place: the file has {names} names, all of which keep one inode")
            }
            Self::Running => "replaced: the program is running".to_owned(),
            Self::NotWritable => "replaced: the file itself is not writable".to_owned(),
            Self::DirectoryNotWritable => "written in place: its directory is not writable".to_owned(),
            Self::OwnerKept => "written in place: its owner could not be given to a copy".to_owned(),
            Self::NotPrefixSafe => "replaced: a half-written file would not load".to_owned(),
            Self::Payload => "replaced: what stands behind the object must stay the end of the file".to_owned(),
            Self::AttributesUnread => "its extended attributes could not be read and are lost".to_owned(),
            Self::OldFileLeft(path) => format!("the old file could not be removed: it is {}", path.display()),
            Self::TakenBack => "an edit that was interrupted was taken back first".to_owned(),
            Self::NotSynced => "replaced, but its directory could not be synced to disk".to_owned(),
            Self::AttributeLost(name) => format!("the extended attribute {name} could not be kept"),
        }
    }
}

/// What is needed to take an edit back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undo {
    /// The size before, in bytes.
    pub old_len: u64,
    /// The size after, in bytes.
    pub new_len: u64,
    /// The bytes that each write replaced, in their order.
    pub before: Vec<Saved>,
    /// The same ranges as they are now.
    pub after: Vec<Saved>,
    /// When the edit was made, by the file's own clock: seconds and nanoseconds.
    pub modified: (i64, i64),
}

/// A successful edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// How it was written.
    pub how: How,
    /// What should be told.
    pub notes: Vec<Note>,
    /// How to take it back.
    pub undo: Undo,
}

/// Why a planned edit was not made; the file is as it was.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The system refused something.
    #[error(transparent)]
    File(#[from] FileError),
    /// The edited object is not the old one with another path.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// Somebody else wrote to the file since it was read.
    #[error("the file was changed by somebody else while it was being edited")]
    ChangedMeanwhile,
    /// The size limit of this process (`ulimit -f`) would cut the file short.
    #[error("the edited file would have {needed} bytes, more than the limit of {limit} (ulimit -f)")]
    SizeLimit {
        /// Bytes needed.
        needed: u64,
        /// `RLIMIT_FSIZE`, bytes.
        limit: u64,
    },
    /// A running program whose inode has several names can be neither written nor replaced.
    #[error(
        "the program is running and has {0} names: it can be neither written in place nor replaced for all of them"
    )]
    RunningHardLinked(u64),
    /// A write would drop set-user-ID or set-group-ID, and this user cannot set them again.
    #[error("the file is set-user-ID or set-group-ID and belongs to somebody else: writing it would drop that")]
    SetId,
    /// Hard links to a file that looks like one of the Nix store's.
    #[error(
        "the file has {0} names and looks like a file of a Nix store (read-only, modified at 1): editing it would edit the store; copy the tree first"
    )]
    LinkedToStore(u64),
    /// Another run has it.
    #[error("another run of this program is editing it")]
    Busy,
    /// The name led to somebody else's file when the edited one took its place, and it could not be given back.
    #[error(
        "somebody else put another file there while it was being edited; that file is {} now, because {restore}",
        at.display()
    )]
    Displaced {
        /// Where that file is.
        at: PathBuf,
        /// What went wrong.
        restore: io::Error,
    },
    /// A run was killed while it wrote to the file.
    #[error("an edit of it was interrupted: `fix` takes that back before it goes on")]
    Interrupted,
    /// The same, and somebody else wrote to it since.
    #[error("an edit of it was interrupted and the file was changed since: nothing is taken back")]
    InterruptedThenChanged,
    /// The edit failed and so did taking it back.
    #[error(
        "the edit failed ({failure}) and could not be taken back ({restore}): the file loads with the old or the new \
         path, and the next run brings it in order"
    )]
    NotRestored {
        /// What went wrong first.
        failure: String,
        /// What went wrong then.
        restore: io::Error,
    },
    /// A receipt is for other contents.
    #[error("the file is not as the receipt left it ({0}); nothing was reverted")]
    NotAsReceipt(&'static str),
}

impl EditError {
    /// The text with what the system said.
    pub(super) fn with_source(&self) -> String {
        std::error::Error::source(self).map_or_else(|| self.to_string(), |source| format!("{self}: {source}"))
    }
}

/// Carries out a verified plan on an open file.
///
/// # Errors
/// [`EditError`]; the file has its old bytes then, and no temporary file is left.
pub fn commit(
    mut opened: Opened,
    plan: &Plan,
    change: &Change,
    note: Option<FileRange>,
    mode: WriteMode,
) -> Result<Committed, EditError> {
    {
        let before = Image::of(opened.bytes());
        let after = Image::planned(opened.bytes(), plan).ok_or(EditError::ChangedMeanwhile)?;
        verify(&before, &after, change, note)?;
    }
    check_size_limit(plan.new_len)?;
    let writes = Writes { patches: &plan.patches, new_len: plan.new_len };
    let links = opened.identity.links;
    let several = plan.patches.len() > 1;
    let manner = Manner {
        durability: if mode == WriteMode::Replace { Durability::Synced } else { Durability::Cached },
        writable: if links > 1 || mode == WriteMode::OwnCopy { Writable::MakeIt } else { Writable::AsItIs },
        journal: several && !plan.has_payload && mode != WriteMode::OwnCopy,
    };
    if links > 1 {
        let read_only = opened.identity.mode & 0o222 == 0;
        if mode != WriteMode::OwnCopy && read_only && opened.identity.modified.0 == 1 {
            return Err(EditError::LinkedToStore(links));
        }
        let mut done = in_place::write(&mut opened, writes, manner).map_err(|error| error.into_edit_error(links))?;
        if mode == WriteMode::Replace {
            done.notes.push(Note::HardLinked(links));
        }
        return Ok(done);
    }
    if mode == WriteMode::Replace {
        return replace_or_in_place(opened, writes, manner, plan.prefix_safe);
    }
    if plan.has_payload && several && plan.prefix_safe && mode == WriteMode::InPlace {
        let mut done = replace_or_in_place(opened, writes, manner, true)?;
        if done.how == How::Replaced {
            done.notes.push(Note::Payload);
        }
        return Ok(done);
    }
    let why_not = (!plan.prefix_safe).then_some(Note::NotPrefixSafe);
    in_place_or_replace(opened, writes, manner, why_not)
}

fn replace_or_in_place(
    mut opened: Opened,
    writes: Writes<'_>,
    manner: Manner,
    prefix_safe: bool,
) -> Result<Committed, EditError> {
    let because = match replace::write(&opened, writes, manner.durability) {
        Ok(done) => return Ok(done),
        Err(replace::Failure::Edit(error)) => return Err(error),
        Err(replace::Failure::NoDirectory(error)) => (Note::DirectoryNotWritable, error),
        Err(replace::Failure::NoOwner(error)) => (Note::OwnerKept, error),
    };
    if !prefix_safe {
        return Err(EditError::File(because.1));
    }
    match in_place::write(&mut opened, writes, manner) {
        Ok(mut done) => {
            done.notes.push(because.0);
            Ok(done)
        }
        // The first failure says more: it is about what was asked for.
        Err(in_place::Failure::NotWritable(_) | in_place::Failure::Running) => Err(EditError::File(because.1)),
        Err(in_place::Failure::Edit(error)) => Err(error),
    }
}

fn in_place_or_replace(
    mut opened: Opened,
    writes: Writes<'_>,
    manner: Manner,
    why_not: Option<Note>,
) -> Result<Committed, EditError> {
    let because = match why_not {
        Some(because) => because,
        None => match in_place::write(&mut opened, writes, manner) {
            Ok(done) => return Ok(done),
            Err(in_place::Failure::Edit(EditError::SetId)) => Note::NotWritable,
            Err(in_place::Failure::Edit(error)) => return Err(error),
            Err(in_place::Failure::Running) => Note::Running,
            Err(in_place::Failure::NotWritable(_)) => Note::NotWritable,
        },
    };
    match replace::write(&opened, writes, manner.durability) {
        Ok(mut done) => {
            done.notes.push(because);
            Ok(done)
        }
        Err(replace::Failure::Edit(error)) => Err(error),
        Err(replace::Failure::NoDirectory(error) | replace::Failure::NoOwner(error)) => Err(EditError::File(error)),
    }
}

/// A write past the limit would kill the process with SIGXFSZ, half-way.
pub(super) fn check_size_limit(needed: u64) -> Result<(), EditError> {
    match size_limit() {
        Some(limit) if needed > limit => Err(EditError::SizeLimit { needed, limit }),
        _ => Ok(()),
    }
}

/// `RLIMIT_FSIZE` in bytes; `None` without one.
#[must_use]
pub fn size_limit() -> Option<u64> {
    static LIMIT: OnceLock<Option<u64>> = OnceLock::new();
    *LIMIT.get_or_init(|| rustix::process::getrlimit(rustix::process::Resource::Fsize).current)
}

/// Takes an edit back, if the file still is what the edit made of it.
///
/// # Errors
/// [`EditError`] when the file changed since or cannot be written.
pub fn revert(opened: Opened, undo: &Undo) -> Result<(), EditError> {
    let opened = take_back(opened)?;
    if opened.identity.len != undo.new_len {
        return Err(EditError::NotAsReceipt("its size differs"));
    }
    if opened.identity.modified != undo.modified {
        return Err(EditError::NotAsReceipt("it was modified later"));
    }
    let is_after = |after: &Saved| after.range().and_then(|range| range.of(opened.bytes())) == Some(&after.bytes);
    if !undo.after.iter().all(is_after) {
        return Err(EditError::NotAsReceipt("bytes that the edit wrote differ"));
    }
    let ranges = |list: &[Saved]| list.iter().map(Saved::range).collect::<Vec<_>>();
    if undo.old_len > undo.new_len || ranges(&undo.before) != ranges(&undo.after) {
        return Err(EditError::NotAsReceipt("the receipt contradicts itself"));
    }
    let patches: Vec<Patch> = undo.before.iter().rev().map(|saved| patch(saved.offset, &saved.bytes)).collect();
    let writes = Writes { patches: &patches, new_len: undo.old_len };
    let several = patches.len() > 1;
    let has_payload = several && plan::has_payload(opened.bytes());
    let manner =
        Manner { durability: Durability::Synced, writable: Writable::MakeIt, journal: several && !has_payload };
    if has_payload && opened.identity.links == 1 {
        return replace_or_in_place(opened, writes, manner, true).map(|_| ());
    }
    write_back(opened, writes, manner)
}

/// Takes back what a killed run left half done; another file comes back as it is.
///
/// # Errors
/// [`EditError`] when the file changed since or cannot be written.
pub fn take_back(mut opened: Opened) -> Result<Opened, EditError> {
    while let Some(journal) = Journal::behind(opened.bytes()) {
        if !journal.explains_file(opened.bytes()) {
            return Err(EditError::InterruptedThenChanged);
        }
        let path = opened.path.clone();
        let patches = journal.patches_back();
        let writes = Writes { patches: &patches, new_len: journal.old_len };
        // The journal that is there serves until the end.
        let manner = Manner { durability: Durability::Cached, writable: Writable::MakeIt, journal: false };
        opened.identity.mode = (opened.identity.mode & !0o7777) | journal.mode;
        write_back(opened, writes, manner)?;
        rustix::fs::utimensat(CWD, &path, &in_place::times(journal.modified), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|e| FileError::new(&path, "set its time", e))?;
        opened = super::map::open(&path)?;
    }
    Ok(opened)
}

fn write_back(mut opened: Opened, writes: Writes<'_>, manner: Manner) -> Result<(), EditError> {
    let links = opened.identity.links;
    if links == 1 {
        return in_place_or_replace(opened, writes, manner, None).map(|_| ());
    }
    in_place::write(&mut opened, writes, manner).map(|_| ()).map_err(|failure| failure.into_edit_error(links))
}

/// Whether a file still is the one that was planned for.
pub(super) fn check_unchanged(opened: &Opened, file: &File) -> Result<(), EditError> {
    let now = Identity::of(file).map_err(|e| FileError::new(&opened.path, "read its attributes", e))?;
    if opened.identity.same_contents(&now) { Ok(()) } else { Err(EditError::ChangedMeanwhile) }
}
