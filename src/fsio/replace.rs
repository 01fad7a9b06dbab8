//! A patched copy in the same directory takes the file's name in one step.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{CWD, Gid, Mode, OFlags, RenameFlags, Uid};
use rustix::io::Errno;

use super::copy::copy_contents;
use super::edit::{Committed, Durability, EditError, How, Remark};
use super::error::FileError;
use super::identity::Identity;
use super::map::Opened;
use super::temporary::{self, Temporary};
use super::writes::{Writes, check_unchanged, read_back, write_patch};
use crate::elf::image::Saved;

/// Why the file could not be replaced.
pub(super) enum NotReplaced {
    /// No file can be made beside it.
    NoDirectory(FileError),
    /// A copy cannot be given to its owner.
    NoOwner(FileError),
    /// Anything else.
    Edit(EditError),
}

impl NotReplaced {
    fn text(self) -> String {
        match self {
            Self::NoDirectory(error) | Self::NoOwner(error) => EditError::File(error).with_source(),
            Self::Edit(error) => error.with_source(),
        }
    }
}

impl From<EditError> for NotReplaced {
    fn from(error: EditError) -> Self {
        Self::Edit(error)
    }
}

impl From<FileError> for NotReplaced {
    fn from(error: FileError) -> Self {
        Self::Edit(EditError::File(error))
    }
}

/// Makes the writes to a copy and gives it the name.
pub(super) fn write(opened: &Opened, writes: Writes<'_>, durability: Durability) -> Result<Committed, NotReplaced> {
    let path = opened.path.as_path();
    let prepared = writes.prepare(opened)?;
    let made = Temporary::in_directory(directory_of(path));
    let mut temporary = made.map_err(|error| make_failure(path, "make a temporary file beside it", error))?;
    let made = make(opened, writes, &prepared.expected, durability, temporary.file());
    // As long as the old file has the temporary name, a signal waits.
    let held = temporary::hold();
    let named = made.and_then(|made| take_name(opened, &mut temporary).map(|()| made));
    let left = temporary.remove();
    drop(held);
    let Made { mut notes, modified } = match (named, left) {
        (named, None) => named?,
        (Ok(mut made), Some(name)) => {
            made.notes.push(Remark::OldFileLeft(name));
            made
        }
        (Err(error), Some(at)) => return Err(EditError::CopyLeft { failure: error.text(), at }.into()),
    };
    // The edit is made; that it may not survive a power cut is told, not called a failure.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let sync = || rustix::fs::open(directory_of(path), flags, Mode::empty()).and_then(rustix::fs::fsync);
    if durability == Durability::Synced && sync().is_err() {
        notes.push(Remark::NotSynced);
    }
    Ok(Committed { how: How::Replaced, notes, undo: prepared.journal.into_undo(writes.new_len(), modified) })
}

/// A copy that is ready to take the name.
struct Made {
    notes: Vec<Remark>,
    /// When its contents changed last.
    modified: (i64, i64),
}

/// The file again, with the writes made.
fn make(
    opened: &Opened,
    writes: Writes<'_>,
    expected: &[Saved],
    durability: Durability,
    copy: &File,
) -> Result<Made, NotReplaced> {
    let path = opened.path.as_path();
    let failed = |action| move |error: io::Error| FileError::new(path, action, error);
    own(opened, copy)?;
    copy_contents(&opened.file, copy, opened.identity.len).map_err(failed("copy it"))?;
    for patch in writes.patches() {
        write_patch(path, "write its copy", &opened.file, copy, patch)?;
    }
    if opened.identity.len != writes.new_len() {
        copy.set_len(writes.new_len()).map_err(failed("set its copy's size"))?;
    }
    read_back(path, copy, expected, &mut Vec::new())?;
    let notes = keep_attributes(opened, copy)?;
    let modified = Identity::of(copy).map_err(failed("read its attributes"))?.modified;
    if durability == Durability::Synced {
        copy.sync_all().map_err(failed("sync its copy"))?;
    }
    Ok(Made { notes, modified })
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Gives a finished copy the file's name, if that still leads to the file. What has the temporary name then can go.
fn take_name(opened: &Opened, temporary: &mut Temporary) -> Result<(), NotReplaced> {
    const ACTION: &str = "rename its copy";
    let path = opened.path.as_path();
    check_unchanged(opened, &opened.file)?;
    check_same_name(opened, path)?;
    // Changing places shows afterwards what stood there at the last moment.
    match exchange(temporary.name(), path) {
        Ok(()) => {
            check_same_name(opened, temporary.name()).map_err(|error| give_back(path, temporary, error))?;
        }
        Err(Errno::NOENT) => return Err(FileError::new(path, ACTION, Errno::NOENT).into()),
        // Not every file system can do that, and on some it needs room for one more copy.
        Err(_) => {
            std::fs::rename(temporary.name(), path).map_err(|error| make_failure(path, ACTION, error))?;
            temporary.forget_name();
        }
    }
    Ok(())
}

fn exchange(one: &Path, other: &Path) -> rustix::io::Result<()> {
    rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)
}

/// Another process's file stands under the temporary name: it must not go with that.
fn give_back(path: &Path, temporary: &mut Temporary, error: EditError) -> EditError {
    let Err(restore) = exchange(temporary.name(), path) else { return error };
    temporary.forget_name();
    EditError::Displaced { at: temporary.name().to_owned(), restore: restore.into() }
}

fn make_failure(path: &Path, action: &'static str, error: io::Error) -> NotReplaced {
    // `tempfile` puts the system's error number into an error of its own.
    let refused = matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem);
    let error = FileError::new(path, action, error);
    if refused { NotReplaced::NoDirectory(error) } else { error.into() }
}

/// Gives the copy the owner before anything is in it; a copy that belongs to another user is not the same file.
fn own(opened: &Opened, copy: &File) -> Result<(), NotReplaced> {
    let (user, group) = opened.identity.owner;
    let now = copy.metadata().map_err(|e| FileError::new(&opened.path, "read its attributes", e))?;
    if (now.uid(), now.gid()) == (user, group) {
        return Ok(());
    }
    let changed = rustix::fs::fchown(copy, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
    changed.map_err(|e| NotReplaced::NoOwner(FileError::new(&opened.path, "keep its owner", e)))
}

/// Mode and extended attributes (ACLs and file capabilities among them).
fn keep_attributes(opened: &Opened, copy: &File) -> Result<Vec<Remark>, FileError> {
    let mut notes = Vec::new();
    let mut names = vec![0_u8; 64 * 1024];
    let listed = match rustix::fs::flistxattr(&opened.file, &mut names[..]) {
        Ok(listed) => listed,
        Err(Errno::NOTSUP | Errno::NOSYS) => 0,
        Err(_) => {
            notes.push(Remark::AttributesUnread);
            0
        }
    };
    for name in names.get(..listed).unwrap_or_default().split_inclusive(|byte| *byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        let mut value = vec![0_u8; 64 * 1024];
        let kept = rustix::fs::fgetxattr(&opened.file, name, &mut value[..]).and_then(|len| {
            let value = value.get(..len).unwrap_or_default();
            rustix::fs::fsetxattr(copy, name, value, rustix::fs::XattrFlags::empty())
        });
        if kept.is_err() {
            notes.push(Remark::AttributeLost(name.to_string_lossy().into_owned()));
        }
    }
    // A directory's default ACL gave the copy rights that the file never had.
    let acl = c"system.posix_acl_access";
    let has_acl = |file: &File| rustix::fs::fgetxattr(file, acl, &mut [0_u8; 0][..]).is_ok();
    if has_acl(copy) && !has_acl(&opened.file) {
        rustix::fs::fremovexattr(copy, acl).map_err(|e| FileError::new(&opened.path, "keep its ACL", e))?;
    }
    let mode = Mode::from_raw_mode(opened.identity.mode & 0o7777);
    rustix::fs::fchmod(copy, mode).map_err(|e| FileError::new(&opened.path, "keep its mode", e))?;
    Ok(notes)
}

/// A process that put another file there meanwhile, or wrote to this one, must not lose it.
fn check_same_name(opened: &Opened, name: &Path) -> Result<(), EditError> {
    let now = std::fs::symlink_metadata(name);
    let now = Identity::from(now.map_err(|e| FileError::new(&opened.path, "read its attributes", e))?);
    if opened.identity.same_contents(&now) { Ok(()) } else { Err(EditError::ChangedMeanwhile) }
}
