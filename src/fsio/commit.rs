//! Carrying out a plan: in place or by replacing the file, verified, and undone when anything is wrong.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use super::map::{FileError, Identity, Opened};
use super::{in_place, replace};
use crate::elf::image::{Image, Saved};
use crate::elf::plan::{Change, Content, Patch, Plan};
use crate::elf::units::{FileOffset, FileRange};
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
    /// An extended attribute that could not be copied.
    AttributeLost(String),
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
    /// The bytes that were replaced, as they were.
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
    /// The plan needs the whole file to be replaced and that is not possible here.
    #[error("a half-written file would not load, and the file cannot be replaced as a whole: {0}")]
    CannotReplace(&'static str),
    /// The edit failed and so did taking it back.
    #[error("the edit failed ({failure}) and the old bytes could not be written back: {restore}")]
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
    check_size_limit(plan)?;
    let links = opened.identity.links;
    if links > 1 {
        let read_only = opened.identity.mode & 0o222 == 0;
        if mode != WriteMode::OwnCopy && read_only && opened.identity.modified.0 == 1 {
            return Err(EditError::LinkedToStore(links));
        }
        let durability = if mode == WriteMode::Replace { Durability::Synced } else { Durability::Cached };
        let mut done = in_place::write(&mut opened, plan, change, note, durability, in_place::Writable::MakeIt)
            .map_err(|error| error.into_edit_error(links))?;
        if mode == WriteMode::Replace {
            done.notes.push(Note::HardLinked(links));
        }
        return Ok(done);
    }
    match mode {
        WriteMode::Replace => replace_or_in_place(opened, plan, change, note),
        WriteMode::InPlace => in_place_or_replace(opened, plan, change, note, in_place::Writable::AsItIs),
        WriteMode::OwnCopy => in_place_or_replace(opened, plan, change, note, in_place::Writable::MakeIt),
    }
}

fn replace_or_in_place(
    mut opened: Opened,
    plan: &Plan,
    change: &Change,
    note: Option<FileRange>,
) -> Result<Committed, EditError> {
    let because = match replace::write(&opened, plan, change, note, Durability::Synced) {
        Ok(done) => return Ok(done),
        Err(replace::Failure::Edit(error)) => return Err(error),
        Err(replace::Failure::NoDirectory(error)) => (Note::DirectoryNotWritable, error),
        Err(replace::Failure::NoOwner(error)) => (Note::OwnerKept, error),
    };
    if !plan.prefix_safe {
        return Err(EditError::File(because.1));
    }
    match in_place::write(&mut opened, plan, change, note, Durability::Synced, in_place::Writable::AsItIs) {
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
    plan: &Plan,
    change: &Change,
    note: Option<FileRange>,
    writable: in_place::Writable,
) -> Result<Committed, EditError> {
    let because = if plan.prefix_safe {
        match in_place::write(&mut opened, plan, change, note, Durability::Cached, writable) {
            Ok(done) => return Ok(done),
            Err(in_place::Failure::Edit(EditError::SetId)) => Note::NotWritable,
            Err(in_place::Failure::Edit(error)) => return Err(error),
            Err(in_place::Failure::Running) => Note::Running,
            Err(in_place::Failure::NotWritable(_)) => Note::NotWritable,
        }
    } else {
        Note::NotPrefixSafe
    };
    match replace::write(&opened, plan, change, note, Durability::Cached) {
        Ok(mut done) => {
            done.notes.push(because);
            Ok(done)
        }
        Err(replace::Failure::Edit(error)) => Err(error),
        Err(replace::Failure::NoDirectory(error) | replace::Failure::NoOwner(error)) => Err(EditError::File(error)),
    }
}

/// A write past the limit would kill the process with SIGXFSZ, half-way.
fn check_size_limit(plan: &Plan) -> Result<(), EditError> {
    match size_limit() {
        Some(limit) if plan.new_len > limit => Err(EditError::SizeLimit { needed: plan.new_len, limit }),
        _ => Ok(()),
    }
}

/// `RLIMIT_FSIZE` in bytes; `None` without one.
#[must_use]
pub fn size_limit() -> Option<u64> {
    static LIMIT: OnceLock<Option<u64>> = OnceLock::new();
    *LIMIT.get_or_init(|| rustix::process::getrlimit(rustix::process::Resource::Fsize).current)
}

/// Takes an edit back, in place, if the file still is what the edit made of it.
///
/// # Errors
/// [`EditError`] when the file changed since or cannot be written.
pub fn revert(mut opened: Opened, undo: &Undo) -> Result<(), EditError> {
    if opened.identity.len != undo.new_len {
        return Err(EditError::NotAsReceipt("its size differs"));
    }
    if opened.identity.modified != undo.modified {
        return Err(EditError::NotAsReceipt("it was modified later"));
    }
    for after in &undo.after {
        let range = FileRange::new(after.offset, crate::elf::units::len64(&after.bytes));
        if range.and_then(|range| range.of(opened.bytes())) != Some(after.bytes.as_slice()) {
            return Err(EditError::NotAsReceipt("bytes that the edit wrote differ"));
        }
    }
    match in_place::restore_from(&mut opened, undo) {
        Err(in_place::Failure::Running | in_place::Failure::NotWritable(_)) if opened.identity.links == 1 => {
            replace::restore_from(&opened, undo)
        }
        Err(failure) => Err(failure.into_edit_error(opened.identity.links)),
        Ok(()) => Ok(()),
    }
}

/// Writes a plan's patches to a file, one write each, in order; returns how many bytes.
pub(super) fn write_patches(source: &File, target: &File, patches: &[Patch]) -> io::Result<u64> {
    let mut written = 0_u64;
    for patch in patches {
        match &patch.content {
            Content::Bytes(bytes) => {
                target.write_all_at(bytes, patch.offset.get())?;
                written = written.saturating_add(crate::elf::units::len64(bytes));
            }
            Content::CopyOf(range) => {
                copy_range(source, target, *range, patch.offset)?;
                written = written.saturating_add(range.len());
            }
        }
    }
    Ok(written)
}

/// Copies a part of a file in pieces of bounded size.
fn copy_range(source: &File, target: &File, range: FileRange, to: FileOffset) -> io::Result<()> {
    let mut buffer = vec![0_u8; 1 << 16];
    let mut done = 0_u64;
    while done < range.len() {
        let piece = usize::try_from(range.len().saturating_sub(done)).unwrap_or(usize::MAX).min(buffer.len());
        let piece = buffer.get_mut(..piece).unwrap_or_default();
        source.read_exact_at(piece, range.start().get().saturating_add(done))?;
        target.write_all_at(piece, to.get().saturating_add(done))?;
        done = done.saturating_add(crate::elf::units::len64(piece));
    }
    Ok(())
}

/// The bytes that a plan replaces, and what it replaces them by; appended bytes are in neither list. `bytes` are the
/// file's before the edit.
pub(super) fn save(bytes: &[u8], plan: &Plan) -> Option<(Vec<Saved>, Vec<Saved>)> {
    let after = Image::planned(bytes, plan)?;
    let old = FileRange::new(FileOffset::new(0), plan.old_len)?;
    let (mut replaced, mut replacing) = (Vec::new(), Vec::new());
    for range in plan.patches.iter().filter_map(Patch::range).filter_map(|range| range.intersection(old)) {
        replaced.push(Saved { offset: range.start(), bytes: range.of(bytes)?.to_vec() });
        replacing.push(Saved { offset: range.start(), bytes: after.read(range)?.into_owned() });
    }
    Some((replaced, replacing))
}

/// Whether a file still is the one that was planned for.
pub(super) fn check_unchanged(opened: &Opened, file: &File) -> Result<(), EditError> {
    let now = Identity::of(file).map_err(|e| FileError::new(&opened.path, "read its attributes", e))?;
    if opened.identity.same_contents(&now) { Ok(()) } else { Err(EditError::ChangedMeanwhile) }
}
