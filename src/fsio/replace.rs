//! A patched copy in the same directory takes the file's name in one step.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Gid, IFlags, Mode, Uid};
use rustix::io::Errno;

use super::contents::copy_contents;
use super::dir::Spot;
use super::edit::{Committed, Durability, EditError, How, Remark};
use super::error::FileError;
use super::fresh::write_all;
use super::identity::Identity;
use super::in_place::times;
use super::journal::Finished;
use super::map::Opened;
use super::rights::{CAPABILITY, Rights};
use super::temporary::{Temporary, Uninterrupted};
use super::writes::{Taken, Writes, read_back, write_patch};
use crate::elf::image::Saved;
use crate::elf::slim::SlimPlan;

/// Why the file could not be replaced.
pub(super) enum NotReplaced {
    /// No file can be made beside it.
    NoDirectory(FileError),
    /// A copy cannot be given to its owner.
    NoOwner(FileError),
    /// Anything else.
    Edit(EditError),
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

impl NotReplaced {
    fn text(self) -> String {
        match self {
            Self::NoDirectory(error) | Self::NoOwner(error) => EditError::File(error).with_source(),
            Self::Edit(error) => error.with_source(),
        }
    }
}

/// Makes the writes to a copy and gives it the name.
pub(super) fn write(opened: &Opened, writes: Writes<'_>, durability: Durability) -> Result<Committed, NotReplaced> {
    let prepared = writes.prepare(opened)?;
    let contents = |copy: &File| edited(opened, writes, &prepared.expected, copy);
    let Made { notes, modified } = replace(opened, &contents, writes.taken(), durability)?;
    let finished = Finished { journal: prepared.journal, new_len: writes.new_len(), modified };
    Ok(Committed { how: How::Replaced, notes, finished })
}

/// What is told of a file whose every byte a plan sets, once it has the name of the old one.
pub(super) fn write_anew(opened: &Opened, plan: &SlimPlan, durability: Durability) -> Result<Vec<Remark>, NotReplaced> {
    let contents = |copy: &File| Ok(write_all(&opened.path, opened, plan, copy)?);
    Ok(replace(opened, &contents, Taken::default(), durability)?.notes)
}

/// Gives a file with other contents the name.
fn replace(
    opened: &Opened,
    contents: &dyn Fn(&File) -> Result<(), NotReplaced>,
    taken: Taken,
    durability: Durability,
) -> Result<Made, NotReplaced> {
    let (path, spot) = (opened.path.as_path(), &opened.spot);
    let mut rights = Rights::of(&opened.file, &opened.identity);
    rights.set_id |= taken.set_id;
    let mut copy = copy_beside(opened, !rights.is_empty())?;
    let made = make(opened, contents, taken, &rights, durability, &copy.file);
    // As long as the old file has the temporary name, a signal waits.
    let uninterrupted = Uninterrupted::begin();
    let named = made.and_then(|made| {
        copy.name(spot, path, &uninterrupted).map_err(|error| make_failure(path, "name its copy", error))?;
        take_name(opened, &rights, &mut copy).map(|()| made)
    });
    let left = copy.remove().map(|name| path.with_file_name(name));
    drop(uninterrupted);
    let Made { mut notes, modified } = match (named, left) {
        (named, None) => named?,
        (Ok(mut made), Some(at)) => {
            made.notes.push(Remark::OldFileLeft(at));
            made
        }
        (Err(error), Some(at)) => return Err(EditError::CopyLeft { failure: error.text(), at }.into()),
    };
    // The edit is made; that it may not survive a power cut is told, not called a failure.
    if durability == Durability::Synced && spot.directory().sync().is_err() {
        notes.push(Remark::NotSynced);
    }
    Ok(Made { notes, modified })
}

/// An empty file beside another one, that only this user may read or write.
fn copy_beside(opened: &Opened, gives_rights: bool) -> Result<Temporary, NotReplaced> {
    const ACTION: &str = "make a temporary file beside it";
    let path = opened.path.as_path();
    // Between getting its owner and getting its rights it could be written by him: what gives rights has no name before
    // it has everything.
    if gives_rights {
        match Temporary::unnamed_beside(&opened.spot) {
            Ok(copy) => return Ok(copy),
            // Not every file system has files without a name. The user's own needs none: no other user opens it.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL)
                if opened.identity.owner.0 == rustix::process::geteuid().as_raw() => {}
            Err(error @ (Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL)) => {
                return Err(NotReplaced::NoOwner(FileError::new(path, ACTION, error)));
            }
            Err(error) => return Err(make_failure(path, ACTION, error.into())),
        }
    }
    Temporary::beside(&opened.spot, path).map_err(|error| make_failure(path, ACTION, error))
}

/// A copy that is ready to take the name.
struct Made {
    notes: Vec<Remark>,
    /// When its contents changed last.
    modified: (i64, i64),
}

/// The file again, with the writes made.
fn edited(opened: &Opened, writes: Writes<'_>, expected: &[Saved], copy: &File) -> Result<(), NotReplaced> {
    let path = opened.path.as_path();
    let failed = |action| move |error: io::Error| FileError::new(path, action, error);
    copy_contents(&opened.file, copy, opened.identity.len).map_err(failed("copy it"))?;
    for patch in writes.patches() {
        write_patch(path, "write its copy", &opened.file, copy, patch)?;
    }
    if opened.identity.len != writes.new_len() {
        copy.set_len(writes.new_len()).map_err(failed("set its copy's size"))?;
    }
    Ok(read_back(path, copy, expected, &mut Vec::new())?)
}

/// Contents, and all that the file has beside them.
fn make(
    opened: &Opened,
    contents: &dyn Fn(&File) -> Result<(), NotReplaced>,
    taken: Taken,
    rights: &Rights,
    durability: Durability,
    copy: &File,
) -> Result<Made, NotReplaced> {
    let path = opened.path.as_path();
    let failed = |action| move |error: io::Error| FileError::new(path, action, error);
    contents(copy)?;
    own(opened, copy)?;
    let mut notes = keep_attributes(opened, copy, rights)?;
    notes.extend(keep_flags(&opened.file, copy));
    if let Some(modified) = taken.modified {
        rustix::fs::futimens(copy, &times(modified)).map_err(|e| FileError::new(path, "set its time", e))?;
    }
    let modified = Identity::of(copy).map_err(failed("read its attributes"))?.modified;
    if durability == Durability::Synced {
        copy.sync_all().map_err(failed("sync its copy"))?;
    }
    Ok(Made { notes, modified })
}

/// Gives a finished copy the file's name, if that still leads to the file. What has the temporary name then can go.
fn take_name(opened: &Opened, rights: &Rights, copy: &mut Temporary) -> Result<(), NotReplaced> {
    const ACTION: &str = "rename its copy";
    let (path, spot) = (opened.path.as_path(), &opened.spot);
    let named = copy.spot().map_err(|error| FileError::new(path, ACTION, error))?.clone();
    check_untouched(opened, rights)?;
    check_same_name(opened, spot)?;
    // Changing places shows afterwards what stood there at the last moment.
    match named.exchange(spot) {
        Ok(()) => check_same_name(opened, &named).map_err(|error| give_back(opened, &named, copy, error).into()),
        Err(Errno::NOENT) => Err(FileError::new(path, ACTION, Errno::NOENT).into()),
        // Not every file system can do that, and on some it needs room for one more copy.
        Err(_) => copy.rename(spot).map_err(|error| make_failure(path, ACTION, error)),
    }
}

/// Another process's file stands under the temporary name: it must not go with that.
fn give_back(opened: &Opened, named: &Spot, copy: &mut Temporary, error: EditError) -> EditError {
    let Err(restore) = named.exchange(&opened.spot) else { return error };
    copy.keep();
    EditError::Displaced { at: opened.path.with_file_name(named.name()), restore: restore.into() }
}

fn make_failure(path: &Path, action: &'static str, error: io::Error) -> NotReplaced {
    let refused = matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem);
    let error = FileError::new(path, action, error);
    if refused { NotReplaced::NoDirectory(error) } else { error.into() }
}

/// Gives a copy that holds everything its owner; one that belongs to another user is not the same file.
fn own(opened: &Opened, copy: &File) -> Result<(), NotReplaced> {
    let (user, group) = opened.identity.owner;
    let now = copy.metadata().map_err(|e| FileError::new(&opened.path, "read its attributes", e))?;
    if (now.uid(), now.gid()) == (user, group) {
        return Ok(());
    }
    let changed = rustix::fs::fchown(copy, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
    changed.map_err(|e| NotReplaced::NoOwner(FileError::new(&opened.path, "keep its owner", e)))
}

/// Mode and extended attributes: each comes when what it opens the copy to can no longer change what it gives.
fn keep_attributes(opened: &Opened, copy: &File, rights: &Rights) -> Result<Vec<Remark>, NotReplaced> {
    const ACL: &CStr = c"system.posix_acl_access";
    let path = opened.path.as_path();
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
    let names = names.get(..listed).unwrap_or_default().split_inclusive(|byte| *byte == 0);
    let mut names: Vec<&CStr> = names.filter_map(|name| CStr::from_bytes_with_nul(name).ok()).collect();
    names.sort_by_key(|name| *name == ACL);
    // A directory's default ACL gave the copy rights that the file never had.
    let has_acl = |file: &File| rustix::fs::fgetxattr(file, ACL, &mut [0_u8; 0][..]).is_ok();
    if has_acl(copy) && !names.contains(&ACL) && !has_acl(&opened.file) {
        rustix::fs::fremovexattr(copy, ACL).map_err(|e| FileError::new(path, "keep its ACL", e))?;
    }
    let set_mode = |mode| {
        let set = rustix::fs::fchmod(copy, Mode::from_raw_mode(mode));
        set.map_err(|e| FileError::new(path, "keep its mode", e))
    };
    let mode = (opened.identity.mode & 0o7777) | rights.set_id;
    for name in names {
        if name == ACL && rights.set_id != 0 {
            set_mode(mode & 0o7700)?;
        }
        let mut value = vec![0_u8; 64 * 1024];
        let kept = rustix::fs::fgetxattr(&opened.file, name, &mut value[..]).and_then(|len| {
            let value = value.get(..len).unwrap_or_default();
            rustix::fs::fsetxattr(copy, name, value, rustix::fs::XattrFlags::empty())
        });
        match kept {
            // It says what the mode is, and others may write by it now.
            Ok(()) if name == ACL && rights.set_id != 0 => return Ok(notes),
            Ok(()) => {}
            Err(_) if name == CAPABILITY => return Err(EditError::Capability.into()),
            Err(_) => notes.push(Remark::AttributeLost(name.to_string_lossy().into_owned())),
        }
    }
    set_mode(mode)?;
    Ok(notes)
}

/// What `chattr` sets of a file and its user may set again, with its letters.
const FLAGS: [(IFlags, &str); 10] = [
    (IFlags::NOATIME, "A"),
    (IFlags::NODUMP, "d"),
    (IFlags::SYNC, "S"),
    (IFlags::NOCOW, "C"),
    (IFlags::COMPRESSED, "c"),
    (IFlags::JOURNALING, "j"),
    (IFlags::NOTAIL, "t"),
    (IFlags::SECURE_REMOVAL, "s"),
    (IFlags::UNRM, "u"),
    (IFlags::PROJECT_INHERIT, "P"),
];

/// Those that the copy does not have yet, each by itself; says which it cannot have.
fn keep_flags(old: &File, copy: &File) -> Option<Remark> {
    // Not every file system has any.
    let had = rustix::fs::ioctl_getflags(old).ok()?;
    if !FLAGS.iter().any(|(flag, _)| had.contains(*flag)) {
        return None;
    }
    let is_kept = |flag: IFlags| {
        let has = rustix::fs::ioctl_getflags(copy)?;
        if has.contains(flag) { Ok(()) } else { rustix::fs::ioctl_setflags(copy, has | flag) }
    };
    let lost = FLAGS.iter().filter(|(flag, _)| had.contains(*flag) && is_kept(*flag).is_err());
    let lost: String = lost.map(|(_, letter)| *letter).collect();
    (!lost.is_empty()).then_some(Remark::FlagsLost(lost))
}

/// What the file lost meanwhile, its copy must not have: nothing at all happened to it since it was opened.
fn check_untouched(opened: &Opened, rights: &Rights) -> Result<(), EditError> {
    let old = &opened.identity;
    let now = Identity::of(&opened.file).map_err(|e| FileError::new(&opened.path, "read its attributes", e))?;
    let has_rights = || rights.is_empty() || Rights::of(&opened.file, &now).capability == rights.capability;
    let is_untouched = old.is_same_as(&now) && old.changed == now.changed && has_rights();
    if is_untouched { Ok(()) } else { Err(EditError::ChangedMeanwhile) }
}

/// A process that put another file there meanwhile, or wrote to this one, must not lose it.
fn check_same_name(opened: &Opened, name: &Spot) -> Result<(), EditError> {
    let now = name.identity().map_err(|e| FileError::new(&opened.path, "read its attributes", e))?;
    if opened.identity.is_same_as(&now) { Ok(()) } else { Err(EditError::ChangedMeanwhile) }
}
