//! Ordered writes to the file itself; saved bytes take everything back on failure.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::{Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::commit::{Committed, Durability, EditError, How, Note, Undo, check_unchanged, save, write_patches};
use super::map::{FileError, Identity, Opened};
use crate::elf::image::{Image, Saved};
use crate::elf::plan::{Change, Content, Plan, Stage};
use crate::elf::units::FileRange;
use crate::elf::verify::verify;

/// What to do about a file whose permissions forbid writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writable {
    /// Say so.
    AsItIs,
    /// Give the owner the right for as long as it takes to open it.
    MakeIt,
}

/// Why the file itself could not be written.
pub(super) enum Failure {
    /// Permissions, or a read-only file system.
    NotWritable(FileError),
    /// Some process runs it.
    Running,
    /// Anything else.
    Edit(EditError),
}

impl Failure {
    /// For a file with several names, which nothing but writing in place can help.
    pub(super) fn into_edit_error(self, links: u64) -> EditError {
        match self {
            Self::NotWritable(error) => EditError::File(error),
            Self::Running => EditError::RunningHardLinked(links),
            Self::Edit(error) => error,
        }
    }
}

impl From<EditError> for Failure {
    fn from(error: EditError) -> Self {
        Self::Edit(error)
    }
}

pub(super) fn write(
    opened: &mut Opened,
    plan: &Plan,
    change: &Change,
    note: Option<FileRange>,
    durability: Durability,
    writable: Writable,
) -> Result<Committed, Failure> {
    let file = open_for_writing(opened, writable)?;
    check_unchanged(opened, &file)?;
    check_mode_can_be_kept(opened)?;
    let capability = capability(&file);
    let (saved, after) = save(opened.bytes(), plan).ok_or(EditError::ChangedMeanwhile)?;
    let expected = expected(opened.bytes(), plan);
    let old = opened.identity;
    opened.unmap();
    let written = write_and_sync(&file, plan, durability);
    let written = written.map_err(|e| EditError::File(FileError::new(&opened.path, "write it", e)));
    let outcome = written.and_then(|()| {
        match &expected {
            Some(expected) => read_back(opened, expected, plan)?,
            None => check(opened, &saved, change, note, plan)?,
        }
        keep_mode(&file, &old, &opened.identity).map_err(|e| FileError::new(&opened.path, "keep its mode", e))?;
        Ok(opened.identity)
    });
    let now = match outcome {
        Ok(done) => done,
        Err(error) => {
            opened.unmap();
            return Err(restore(&file, &old, &saved, error).into());
        }
    };
    let mut notes = Vec::new();
    if capability.is_some() && self::capability(&file) != capability {
        notes.push(Note::AttributeLost("security.capability".to_owned()));
    }
    let undo = Undo { old_len: plan.old_len, new_len: plan.new_len, before: saved, after, modified: now.modified };
    Ok(Committed { how: How::InPlace, notes, undo })
}

/// A write drops set-user-ID and set-group-ID, and only the owner and root can set them again.
fn check_mode_can_be_kept(opened: &Opened) -> Result<(), EditError> {
    let user = rustix::process::geteuid();
    let may_set = user.is_root() || user.as_raw() == opened.identity.owner.0;
    if opened.identity.mode & 0o6000 != 0 && !may_set { Err(EditError::SetId) } else { Ok(()) }
}

fn open_for_writing(opened: &Opened, writable: Writable) -> Result<File, Failure> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let open = || rustix::fs::open(&opened.path, flags, Mode::empty()).map(File::from);
    let error = match open() {
        Ok(file) => return Ok(file),
        Err(error) => error,
    };
    let file_error = |error: Errno| FileError::new(&opened.path, "open it for writing", error);
    match error {
        Errno::TXTBSY => Err(Failure::Running),
        Errno::ACCESS | Errno::PERM if writable == Writable::MakeIt && opened.identity.mode & 0o200 == 0 => {
            // The names of a hard-linked file only follow its inode, so its owner lends himself the right.
            let mode = Mode::from_raw_mode(opened.identity.mode & 0o7777);
            let lent = rustix::fs::fchmod(&opened.file, mode | Mode::WUSR).and_then(|()| open());
            let back = rustix::fs::fchmod(&opened.file, mode);
            lent.and_then(|file| back.map(|()| file)).map_err(|error| Failure::NotWritable(file_error(error)))
        }
        Errno::ACCESS | Errno::PERM | Errno::ROFS => Err(Failure::NotWritable(file_error(error))),
        error => Err(Failure::Edit(EditError::File(file_error(error)))),
    }
}

/// Bytes that nobody reads yet reach the disk before the headers that name them.
fn write_and_sync(file: &File, plan: &Plan, durability: Durability) -> io::Result<()> {
    let split = plan.patches.partition_point(|patch| patch.stage == Stage::Content);
    let (content, rest) = plan.patches.split_at(split);
    write_patches(file, file, content)?;
    if plan.new_len > plan.old_len {
        // Trailing zeros are a hole; the size says that they are there.
        file.set_len(plan.new_len)?;
    }
    if durability == Durability::Synced && !content.is_empty() {
        file.sync_data()?;
    }
    write_patches(file, file, rest)?;
    if durability == Durability::Synced {
        file.sync_all()?;
    }
    Ok(())
}

/// What the file must hold wherever the plan writes; `None` for a plan that copies parts of the file.
fn expected(bytes: &[u8], plan: &Plan) -> Option<Vec<Saved>> {
    if plan.patches.iter().any(|patch| matches!(patch.content, Content::CopyOf(_))) {
        return None;
    }
    let after = Image::planned(bytes, plan)?;
    let read = |range: FileRange| Some(Saved { offset: range.start(), bytes: after.read(range)?.into_owned() });
    plan.patches.iter().map(|patch| patch.range().and_then(read)).collect()
}

/// The image that the plan makes was verified before; now the file is that image, byte for byte.
fn read_back(opened: &mut Opened, expected: &[Saved], plan: &Plan) -> Result<(), EditError> {
    let failed = |e| FileError::new(&opened.path, "read it", e);
    let mut found = Vec::new();
    for wanted in expected {
        found.resize(wanted.bytes.len(), 0);
        opened.file.read_exact_at(&mut found, wanted.offset.get()).map_err(failed)?;
        if found != wanted.bytes {
            return Err(EditError::ChangedMeanwhile);
        }
    }
    opened.identity = Identity::of(&opened.file).map_err(failed)?;
    if opened.identity.len == plan.new_len { Ok(()) } else { Err(EditError::ChangedMeanwhile) }
}

/// Verifies the file anew.
fn check(
    opened: &mut Opened,
    saved: &[Saved],
    change: &Change,
    note: Option<FileRange>,
    plan: &Plan,
) -> Result<(), EditError> {
    opened.remap()?;
    let before = Image::before(opened.bytes(), plan.old_len, saved).ok_or(EditError::ChangedMeanwhile)?;
    let after = Image::of(opened.bytes());
    if after.len() != plan.new_len {
        return Err(EditError::ChangedMeanwhile);
    }
    verify(&before, &after, change, note)?;
    Ok(())
}

/// Writes the old bytes back, last one first, because of two overlapping patches the first saw the original.
fn restore(file: &File, old: &Identity, saved: &[Saved], failure: EditError) -> EditError {
    let kept = |()| keep_mode(file, old, &Identity::of(file)?).and_then(|()| keep_time(file, old));
    match write_back(file, old.len, saved).and_then(kept) {
        Ok(()) => failure,
        Err(restore) => EditError::NotRestored { failure: failure.to_string(), restore },
    }
}

pub(super) fn write_back(file: &File, old_len: u64, saved: &[Saved]) -> io::Result<()> {
    for old in saved.iter().rev() {
        file.write_all_at(&old.bytes, old.offset.get())?;
    }
    if file.metadata()?.len() != old_len {
        file.set_len(old_len)?;
    }
    Ok(())
}

/// Takes an edit back whose state was checked by the caller.
pub(super) fn restore_from(opened: &mut Opened, undo: &Undo) -> Result<(), Failure> {
    let file = open_for_writing(opened, Writable::MakeIt)?;
    check_unchanged(opened, &file)?;
    let old = opened.identity;
    opened.unmap();
    let written = write_back(&file, undo.old_len, &undo.before);
    let written = written.and_then(|()| keep_mode(&file, &old, &Identity::of(&file)?));
    let synced = written.and_then(|()| file.sync_all());
    synced.map_err(|e| EditError::File(FileError::new(&opened.path, "write it", e)).into())
}

/// Writing drops set-user-ID and set-group-ID unless root does it.
fn keep_mode(file: &File, old: &Identity, now: &Identity) -> io::Result<()> {
    if now.mode != old.mode {
        rustix::fs::fchmod(file, Mode::from_raw_mode(old.mode & 0o7777))?;
    }
    Ok(())
}

fn keep_time(file: &File, old: &Identity) -> io::Result<()> {
    let modified = Timespec { tv_sec: old.modified.0, tv_nsec: old.modified.1 };
    let unchanged = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
    rustix::fs::futimens(file, &Timestamps { last_access: unchanged, last_modification: modified })?;
    Ok(())
}

fn capability(file: &File) -> Option<Vec<u8>> {
    let mut value = vec![0; 64];
    let len = rustix::fs::fgetxattr(file, "security.capability", &mut value[..]).ok()?;
    value.truncate(len);
    Some(value)
}
