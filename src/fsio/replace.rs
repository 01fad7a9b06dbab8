//! A patched copy in the same directory takes the file's name in one step.

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, RenameFlags, Uid};
use rustix::io::Errno;
use tempfile::NamedTempFile;

use super::copy::copy_contents;
use super::edit::{Committed, Durability, EditError, How, Remark};
use super::error::FileError;
use super::identity::Identity;
use super::in_place::times;
use super::map::Opened;
use super::rights::{CAPABILITY, Rights};
use super::writes::{Writes, read_back, write_patch};

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

/// Makes the writes to a copy and gives it the name.
pub(super) fn write(opened: &Opened, writes: Writes<'_>, durability: Durability) -> Result<Committed, NotReplaced> {
    let path = opened.path.as_path();
    // The file may be mapped: it is not looked at any more once there is a temporary file that a signal would leave.
    let prepared = writes.prepare(opened)?;
    let mut rights = Rights::of(&opened.file, &opened.identity);
    rights.set_id |= writes.taken().set_id;
    let copy = Copy::beside(opened, !rights.is_empty())?;
    let file = copy.file();
    copy_contents(&opened.file, file, opened.identity.len).map_err(|e| FileError::new(path, "copy it", e))?;
    for patch in writes.patches() {
        write_patch(path, "write its copy", &opened.file, file, patch)?;
    }
    if opened.identity.len != writes.new_len() {
        file.set_len(writes.new_len()).map_err(|e| FileError::new(path, "set its copy's size", e))?;
    }
    read_back(path, file, &prepared.expected, &mut Vec::new())?;
    own(opened, file)?;
    let mut notes = keep_attributes(opened, file, &rights)?;
    if let Some(modified) = writes.taken().modified {
        rustix::fs::futimens(file, &times(modified)).map_err(|e| FileError::new(path, "set its time", e))?;
    }
    let modified = Identity::of(file).map_err(|e| FileError::new(path, "read its attributes", e))?.modified;
    notes.extend(take_name(opened, &rights, copy.named(path)?, durability)?);
    Ok(Committed { how: How::Replaced, notes, undo: prepared.journal.into_undo(writes.new_len(), modified) })
}

/// What this program's temporary files are called, in front of six letters and digits.
const PREFIX: &str = ".cuda-runpath-";

/// Whether a name is that of a temporary file: of a run that is at work, or of one that was killed.
#[must_use]
pub(crate) fn is_temporary(name: &OsStr) -> bool {
    let random = name.as_bytes().strip_prefix(PREFIX.as_bytes());
    random.is_some_and(|random| random.len() == 6 && random.iter().all(u8::is_ascii_alphanumeric))
}

/// A file beside another one that will be its copy, and that only this user may read or write. It goes with the value.
enum Copy {
    Named(NamedTempFile),
    /// Between getting its owner and getting its rights it could be written by him: what gives rights has no name before
    /// it has everything.
    Unnamed(File),
}

impl Copy {
    fn beside(opened: &Opened, gives_rights: bool) -> Result<Self, NotReplaced> {
        const ACTION: &str = "make a temporary file beside it";
        let path = opened.path.as_path();
        if gives_rights {
            let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
            match rustix::fs::open(directory_of(path), flags, Mode::RUSR | Mode::WUSR) {
                Ok(file) => return Ok(Self::Unnamed(File::from(file))),
                // Not every file system has files without a name. The user's own needs none: no other user opens it.
                Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL)
                    if opened.identity.owner.0 == rustix::process::geteuid().as_raw() => {}
                Err(error @ (Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL)) => {
                    return Err(NotReplaced::NoOwner(FileError::new(path, ACTION, error)));
                }
                Err(error) => return Err(make_failure(path, ACTION, error.into())),
            }
        }
        let made = naming().tempfile_in(directory_of(path));
        made.map(Self::Named).map_err(|error| make_failure(path, ACTION, error))
    }

    fn file(&self) -> &File {
        match self {
            Self::Named(temporary) => temporary.as_file(),
            Self::Unnamed(file) => file,
        }
    }

    fn named(self, path: &Path) -> Result<NamedTempFile, NotReplaced> {
        let file = match self {
            Self::Named(temporary) => return Ok(temporary),
            Self::Unnamed(file) => file,
        };
        let named = naming().make_in(directory_of(path), |name| {
            let through_proc = || {
                let link = format!("/proc/self/fd/{}", file.as_raw_fd());
                rustix::fs::linkat(CWD, link, CWD, name, AtFlags::SYMLINK_FOLLOW)
            };
            // Without /proc where the kernel allows it.
            rustix::fs::linkat(&file, "", CWD, name, AtFlags::EMPTY_PATH).or_else(|error| match error {
                Errno::NOENT => through_proc(),
                error => Err(error),
            })?;
            file.try_clone()
        });
        named.map_err(|error| make_failure(path, "name its copy", error))
    }
}

fn naming() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).rand_bytes(6);
    builder
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Gives a finished copy the file's name, if that still leads to the file.
fn take_name(
    opened: &Opened,
    rights: &Rights,
    temporary: NamedTempFile,
    durability: Durability,
) -> Result<Vec<Remark>, NotReplaced> {
    const ACTION: &str = "rename its copy";
    let path = opened.path.as_path();
    if durability == Durability::Synced {
        temporary.as_file().sync_all().map_err(|e| FileError::new(path, "sync its copy", e))?;
    }
    check_untouched(opened, rights)?;
    check_same_name(opened, path)?;
    let mut notes = Vec::new();
    // Changing places shows afterwards what stood there at the last moment.
    match exchange(temporary.path(), path) {
        Ok(()) => {
            if let Err(error) = check_same_name(opened, temporary.path()) {
                return Err(give_back(path, temporary, error).into());
            }
            let name = temporary.path().to_owned();
            if temporary.close().is_err() {
                notes.push(Remark::OldFileLeft(name));
            }
        }
        Err(Errno::NOENT) => return Err(FileError::new(path, ACTION, Errno::NOENT).into()),
        // Not every file system can do that, and on some it needs room for one more copy.
        Err(_) => {
            temporary.persist(path).map_err(|failed| make_failure(path, ACTION, failed.error))?;
        }
    }
    // The edit is made; that it may not survive a power cut is told, not called a failure.
    let sync = || File::open(directory_of(path)).and_then(|directory| directory.sync_all());
    if durability == Durability::Synced && sync().is_err() {
        notes.push(Remark::NotSynced);
    }
    Ok(notes)
}

fn exchange(one: &Path, other: &Path) -> rustix::io::Result<()> {
    rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)
}

/// Another process's file stands under the temporary name: it must not go with that.
fn give_back(path: &Path, mut temporary: NamedTempFile, error: EditError) -> EditError {
    let Err(restore) = exchange(temporary.path(), path) else { return error };
    temporary.disable_cleanup(true);
    EditError::Displaced { at: temporary.path().to_owned(), restore: restore.into() }
}

fn make_failure(path: &Path, action: &'static str, error: io::Error) -> NotReplaced {
    // `tempfile` puts the system's error number into an error of its own.
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

/// What the file lost meanwhile, its copy must not have: nothing at all happened to it since it was opened.
fn check_untouched(opened: &Opened, rights: &Rights) -> Result<(), EditError> {
    let old = &opened.identity;
    let now = Identity::of(&opened.file).map_err(|e| FileError::new(&opened.path, "read its attributes", e))?;
    let has_rights = || rights.is_empty() || Rights::of(&opened.file, &now).capability == rights.capability;
    let is_untouched = old.is_same_as(&now) && old.changed == now.changed && has_rights();
    if is_untouched { Ok(()) } else { Err(EditError::ChangedMeanwhile) }
}

/// A process that put another file there meanwhile, or wrote to this one, must not lose it.
fn check_same_name(opened: &Opened, name: &Path) -> Result<(), EditError> {
    let now = std::fs::symlink_metadata(name);
    let now = Identity::from(now.map_err(|e| FileError::new(&opened.path, "read its attributes", e))?);
    if opened.identity.is_same_as(&now) { Ok(()) } else { Err(EditError::ChangedMeanwhile) }
}
