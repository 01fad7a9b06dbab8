//! Ordered writes to the file itself; a journal takes everything back on failure and after a kill.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::dir::Spot;
use super::edit::{Committed, Durability, EditError, How, check_size_limit};
use super::error::FileError;
use super::identity::Identity;
use super::journal::{Finished, Journal};
use super::map::Opened;
use super::regular::again;
use super::rights::{AfterWriting, Rights, SET_ID};
use super::secret::{Key, Secret};
use super::temporary::Uninterrupted;
use super::writes::{Prepared, Writes, check_unchanged, expect, read_back, write_patch};
use crate::elf::image::{Image, Saved};
use crate::elf::plan::Stage;
use crate::elf::units::{FileOffset, FileRange, len64};
use crate::elf::view::Subject;

/// What to do about a file whose permissions forbid writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writable {
    /// Say so.
    AsItIs,
    /// Give the owner the right for as long as it takes to open it.
    MakeIt,
}

/// How to write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms<'s> {
    pub(crate) durability: Durability,
    pub(crate) writable: Writable,
    /// Whether one stands behind the end of the file until the last write is made.
    pub(crate) journal: Journaling<'s>,
}

/// What the next run goes on by after a kill.
#[derive(Clone, Copy, Debug)]
pub(super) enum Journaling<'s> {
    /// A journal that is signed with this.
    Signed(&'s Secret),
    /// Nothing stands behind the file: each state on the way must be one that a run can plan for.
    Unwritten,
    /// There is one already, or the file is this run's own copy.
    Needless,
}

impl Journaling<'_> {
    /// The key, where there is one to sign with.
    pub(super) fn key(self) -> Option<Key> {
        match self {
            Self::Signed(secret) => secret.key(),
            Self::Unwritten | Self::Needless => None,
        }
    }
}

/// Why the file itself could not be written.
pub(super) enum NotWritten {
    /// Permissions, or a read-only file system.
    NotWritable(FileError),
    /// Some process runs it.
    Running,
    /// Anything else.
    Edit(EditError),
}

impl NotWritten {
    /// For a file with several names, which nothing but writing in place can help.
    pub(super) fn into_edit_error(self, links: u64) -> EditError {
        match self {
            Self::NotWritable(error) => EditError::File(error),
            Self::Running => EditError::RunningHardLinked(links),
            Self::Edit(error) => error,
        }
    }
}

impl From<EditError> for NotWritten {
    fn from(error: EditError) -> Self {
        Self::Edit(error)
    }
}

/// Makes the writes, or none of them.
pub(super) fn write(opened: &mut Opened, writes: Writes<'_>, terms: Terms<'_>) -> Result<Committed, NotWritten> {
    // To make a key is an uninterrupted matter of its own.
    let key = terms.journal.key();
    // What is begun is finished, or taken back, before a signal ends the run.
    let _uninterrupted = Uninterrupted::begin();
    let file = open_for_writing(opened, terms.writable)?;
    lock(&file)?;
    opened.follow_copy_up(&file).map_err(EditError::File)?;
    let old = opened.identity;
    let set_again = match Rights::of(&file, &old).after_writing(&old, writes.taken().set_id) {
        AfterWriting::Kept => 0,
        AfterWriting::SetAgain => (old.mode | writes.taken().set_id) & SET_ID,
        AfterWriting::SetIdLost => return Err(EditError::SetId.into()),
        AfterWriting::CapabilityLost => return Err(EditError::Capability.into()),
    };
    let Prepared { journal, expected } = writes.prepare(opened)?;
    if key.is_none() && !matches!(terms.journal, Journaling::Needless) {
        check_states(opened.bytes(), writes)?;
    }
    let at = old.len.max(writes.new_len());
    let behind = key.map(|key| journal.encode(&old, at, key)).unwrap_or_default();
    check_size_limit(old.len.max(writes.new_len()).saturating_add(len64(&behind)))?;
    // After everything was read from it, and right in front of the first write.
    check_unchanged(opened, &file)?;
    let (path, spot) = (&opened.path, &opened.spot);
    let mut edit =
        Edit { path, spot, file: &file, old, writes, journal, set_again, begun: 0, reach: old.len, is_final: false };
    let now = match edit.carry_out(&behind, &expected, terms.durability) {
        Ok(now) => now,
        Err(error) => return Err(edit.take_back(error).into()),
    };
    let finished = Finished { journal: edit.journal, new_len: writes.new_len(), modified: now.modified };
    Ok(Committed { how: How::InPlace, notes: Vec::new(), finished })
}

/// Without a journal the next run finds what a killed one left: each state between two writes must be an object that it can
/// plan for.
fn check_states(old: &[u8], writes: Writes<'_>) -> Result<(), EditError> {
    /// More writes than the plan of any object that a linker made.
    const MOST_WRITES: usize = 64;
    let Some((_, between)) = writes.patches().split_last().filter(|(_, between)| !between.is_empty()) else {
        return Ok(());
    };
    let whole = len64(old).max(writes.new_len());
    let mut image = Image::growing(old, whole);
    for patch in between.iter().take(MOST_WRITES) {
        let state = image.put(patch).and_then(|()| image.read(FileRange::new(FileOffset::new(0), whole)?));
        if !state.is_some_and(|state| matches!(Subject::parse(&state), Ok(Subject::Object(_)))) {
            return Err(EditError::NoWayOn);
        }
    }
    if between.len() > MOST_WRITES { Err(EditError::NoWayOn) } else { Ok(()) }
}

/// An edit, and how far it has come.
struct Edit<'e> {
    path: &'e Path,
    spot: &'e Spot,
    file: &'e File,
    old: Identity,
    writes: Writes<'e>,
    journal: Journal,
    /// The set-user-ID and set-group-ID that the writes take and that come back.
    set_again: u32,
    /// How many writes were begun.
    begun: usize,
    /// How long the file is by now unless another process writes to it.
    reach: u64,
    /// What is cut off cannot be taken back.
    is_final: bool,
}

impl Edit<'_> {
    fn carry_out(&mut self, behind: &[u8], expected: &[Saved], durability: Durability) -> Result<Identity, EditError> {
        let is_synced = durability == Durability::Synced;
        if !behind.is_empty() {
            let at = self.old.len.max(self.writes.new_len());
            self.reach = at.saturating_add(len64(behind));
            self.file.write_all_at(behind, at).map_err(|e| self.failed("write a journal behind it", e))?;
        }
        let mut found = Vec::new();
        // The journal, and bytes that no header names yet, reach the disk before the headers that name them.
        let first_read = self.writes.patches().partition_point(|patch| patch.stage == Stage::Content);
        for (index, patch) in self.writes.patches().iter().enumerate() {
            if is_synced && index == first_read && (index > 0 || !behind.is_empty()) {
                self.file.sync_data().map_err(|e| self.failed("sync it", e))?;
            }
            let end = patch.range().map_or(0, |range| range.end().get());
            if end > self.old.len {
                // Behind the old end there is nothing to compare.
                self.expect_len()?;
            }
            self.expect_old(index, &mut found)?;
            self.begun = index.saturating_add(1);
            self.reach = self.reach.max(end);
            write_patch(self.path, "write it", self.file, self.file, patch)?;
        }
        if self.reach != self.writes.new_len() {
            if is_synced {
                self.file.sync_data().map_err(|e| self.failed("sync it", e))?;
            }
            self.expect_len()?;
            self.file.set_len(self.writes.new_len()).map_err(|e| self.failed("set its size", e))?;
            self.reach = self.writes.new_len();
            self.is_final = self.writes.new_len() < self.old.len;
        }
        // The last look: of two processes that write at once, none can keep the other out.
        read_back(self.path, self.file, expected, &mut found)?;
        let now = self.look_by_name()?;
        self.keep_set_id(&now).map_err(|e| self.failed("keep its mode", e))?;
        if let Some(modified) = self.writes.taken().modified {
            rustix::fs::futimens(self.file, &times(modified)).map_err(|e| self.failed("set its time", e.into()))?;
        }
        if is_synced {
            self.file.sync_all().map_err(|e| self.failed("sync it", e))?;
        }
        // What the own writes do not take went with another process's.
        let has_lost = self.old.mode & !now.mode & SET_ID & !self.set_again != 0;
        if now.len == self.reach && !has_lost { Ok(now) } else { Err(EditError::ChangedMeanwhile) }
    }

    fn keep_set_id(&self, now: &Identity) -> io::Result<()> {
        if self.set_again & !now.mode != 0 {
            rustix::fs::fchmod(self.file, Mode::from_raw_mode((now.mode | self.set_again) & 0o7777))?;
        }
        Ok(())
    }

    fn failed(&self, action: &'static str, error: io::Error) -> EditError {
        EditError::File(FileError::new(self.path, action, error))
    }

    fn expect_len(&self) -> Result<(), EditError> {
        let now = self.file.metadata().map_err(|e| self.failed("read its attributes", e))?;
        if now.len() == self.reach { Ok(()) } else { Err(EditError::ChangedMeanwhile) }
    }

    /// The last look goes by the name: another process may have put another file there, and the edit would be in one without
    /// a name.
    fn look_by_name(&self) -> Result<Identity, EditError> {
        match self.spot.identity() {
            Ok(now) if now.inode == self.old.inode => Ok(now),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.failed("read its attributes", error)),
            _ => Err(EditError::ChangedMeanwhile),
        }
    }

    /// Another process may have written since the last look; what it wrote must not be overwritten. A look at several places
    /// at once would leave it more time.
    fn expect_old(&self, index: usize, found: &mut Vec<u8>) -> Result<(), EditError> {
        let step = self.journal.steps.get(index).ok_or(EditError::ChangedMeanwhile)?;
        expect(self.path, "read it", self.file, (step.offset, &step.before), found)
    }

    fn take_back(&self, failure: EditError) -> EditError {
        if self.is_final {
            return failure;
        }
        match self.roll_back() {
            Ok(true) => failure,
            Ok(false) => EditError::ChangedMeanwhile,
            Err(restore) => EditError::NotRestored { failure: failure.with_source(), restore },
        }
    }

    /// Says whether no other process wrote.
    fn roll_back(&self) -> io::Result<bool> {
        let is_ours = self.journal.roll_back(self.file, self.begun)?;
        let len = self.file.metadata()?.len();
        if !(self.old.len..=self.reach).contains(&len) {
            return Ok(false);
        }
        if len != self.old.len {
            self.file.set_len(self.old.len)?;
        }
        if is_ours {
            self.keep_set_id(&Identity::of(self.file)?)?;
            rustix::fs::futimens(self.file, &times(self.old.modified))?;
        }
        Ok(is_ours)
    }
}

/// Two runs at once would take each other's journal for that of a killed one. Where a file system has no locks, they are
/// told apart by what they write.
pub(super) fn lock(file: &File) -> Result<(), EditError> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => Err(EditError::Busy),
        _ => Ok(()),
    }
}

/// Opens a file once more, to write to it; a signal must wait meanwhile.
pub(super) fn open_for_writing(opened: &mut Opened, writable: Writable) -> Result<File, NotWritten> {
    let open = || again(&opened.file, &opened.identity, &opened.spot, OFlags::RDWR);
    let error = match open() {
        Ok(file) => return Ok(file),
        Err(error) => error,
    };
    let path = opened.path.clone();
    let file_error = |error: io::Error| FileError::new(&path, "open it for writing", error);
    match Errno::from_io_error(&error) {
        Some(Errno::TXTBSY) => Err(NotWritten::Running),
        Some(Errno::ACCESS | Errno::PERM) if writable == Writable::MakeIt && opened.identity.mode & 0o200 == 0 => {
            // The names of a hard-linked file only follow its inode, so its owner lends himself the right. Another process
            // may have taken rights away meanwhile: those are not given back.
            let before = Identity::of(&opened.file).map_err(|error| NotWritten::NotWritable(file_error(error)))?;
            if !opened.identity.is_same_as(&before) {
                return Err(EditError::ChangedMeanwhile.into());
            }
            let mode = Mode::from_raw_mode(before.mode & 0o7777);
            let lent_mode = mode | Mode::WUSR;
            rustix::fs::fchmod(&opened.file, lent_mode).map_err(|e| NotWritten::NotWritable(file_error(e.into())))?;
            let lent = open();
            let now = Identity::of(&opened.file).map_err(|error| NotWritten::NotWritable(file_error(error)))?;
            if now.mode & 0o7777 != lent_mode.bits() {
                return Err(EditError::ChangedMeanwhile.into());
            }
            let back = rustix::fs::fchmod(&opened.file, mode).map_err(Into::into);
            // Only the time of that is another one; the rest is compared.
            opened.identity.changed = Identity::of(&opened.file).map_or(opened.identity.changed, |now| now.changed);
            lent.and_then(|file| back.map(|()| file)).map_err(|error| NotWritten::NotWritable(file_error(error)))
        }
        Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => Err(NotWritten::NotWritable(file_error(error))),
        _ => Err(NotWritten::Edit(EditError::File(file_error(error)))),
    }
}

/// The time of the last change, and of the last access as it is.
pub(super) fn times(modified: (i64, i64)) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
        last_modification: Timespec { tv_sec: modified.0, tv_nsec: modified.1 },
    }
}
