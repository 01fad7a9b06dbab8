//! A patched copy in the same directory takes the file's name in one step.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Gid, Mode, Uid};
use tempfile::NamedTempFile;

use super::commit::{Committed, Durability, EditError, How, Note, Undo, check_unchanged, save, write_patches};
use super::copy::copy_contents;
use super::map::{FileError, Identity, Opened, contents};
use crate::elf::image::Image;
use crate::elf::plan::{Change, Plan};
use crate::elf::units::FileRange;
use crate::elf::verify::verify;

/// Why the file could not be replaced.
pub(super) enum Failure {
    /// No file can be made beside it.
    NoDirectory(FileError),
    /// A copy cannot be given to its owner.
    NoOwner(FileError),
    /// Anything else.
    Edit(EditError),
}

impl From<EditError> for Failure {
    fn from(error: EditError) -> Self {
        Self::Edit(error)
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::Edit(EditError::File(error))
    }
}

/// Writes the patched copy and gives it the name.
pub(super) fn write(
    opened: &Opened,
    plan: &Plan,
    change: &Change,
    note: Option<FileRange>,
    durability: Durability,
) -> Result<Committed, Failure> {
    let path = opened.path.as_path();
    let temporary = copy_beside(opened)?;
    let copy = temporary.as_file();
    write_patches(&opened.file, copy, &plan.patches).map_err(|e| FileError::new(path, "write its copy", e))?;
    if plan.new_len != plan.old_len {
        copy.set_len(plan.new_len).map_err(|e| FileError::new(path, "write its copy", e))?;
    }
    check(opened, copy, plan, change, note)?;
    let mut notes = keep_attributes(opened, copy)?;
    let read = |e| FileError::new(path, "read it", e);
    let (before, after) = save(opened.bytes(), plan).ok_or(EditError::ChangedMeanwhile)?;
    let modified = Identity::of(copy).map_err(read)?.modified;
    notes.extend(take_name(opened, temporary, durability)?);
    let undo = Undo { old_len: plan.old_len, new_len: plan.new_len, before, after, modified };
    Ok(Committed { how: How::Replaced, notes, undo })
}

/// Takes an edit back in a copy, for a file that itself cannot be written.
pub(super) fn restore_from(opened: &Opened, undo: &Undo) -> Result<(), EditError> {
    let restore = || {
        let temporary = copy_beside(opened)?;
        let written = super::in_place::write_back(temporary.as_file(), undo.old_len, &undo.before);
        written.map_err(|e| FileError::new(&opened.path, "write its copy", e))?;
        keep_attributes(opened, temporary.as_file())?;
        take_name(opened, temporary, Durability::Synced).map(|_| ())
    };
    restore().map_err(|failure: Failure| match failure {
        Failure::NoDirectory(error) | Failure::NoOwner(error) => EditError::File(error),
        Failure::Edit(error) => error,
    })
}

/// The file again, under a temporary name in the same directory. It goes with the value.
fn copy_beside(opened: &Opened) -> Result<NamedTempFile, Failure> {
    let path = opened.path.as_path();
    let made = tempfile::Builder::new().prefix(".cuda-runpath-").tempfile_in(directory_of(path));
    let temporary = made.map_err(|error| make_failure(path, error))?;
    own(opened, temporary.as_file())?;
    let copied = copy_contents(&opened.file, temporary.as_file(), opened.identity.len);
    copied.map_err(|e| FileError::new(path, "copy it", e))?;
    Ok(temporary)
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Gives a finished copy the file's name, if that still leads to the file.
fn take_name(opened: &Opened, temporary: NamedTempFile, durability: Durability) -> Result<Option<Note>, Failure> {
    let path = opened.path.as_path();
    if durability == Durability::Synced {
        temporary.as_file().sync_all().map_err(|e| FileError::new(path, "sync its copy", e))?;
    }
    check_unchanged(opened, &opened.file)?;
    check_same_name(opened)?;
    // A temporary file that could not be renamed goes with the error.
    temporary.persist(path).map_err(|failed| make_failure(path, failed.error))?;
    // The edit is made; that it may not survive a power cut is told, not called a failure.
    let sync = || File::open(directory_of(path)).and_then(|directory| directory.sync_all());
    Ok((durability == Durability::Synced && sync().is_err()).then_some(Note::NotSynced))
}

fn make_failure(path: &Path, error: io::Error) -> Failure {
    // `tempfile` puts the system's error number into an error of its own.
    let refused = matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem);
    let error = FileError::new(path, "make a temporary file beside it", error);
    if refused { Failure::NoDirectory(error) } else { error.into() }
}

/// Gives the copy the owner before anything is in it; a copy that belongs to somebody else is not the same file.
fn own(opened: &Opened, copy: &File) -> Result<(), Failure> {
    let (user, group) = opened.identity.owner;
    let now = copy.metadata().map_err(|e| FileError::new(&opened.path, "read its attributes", e))?;
    if (now.uid(), now.gid()) == (user, group) {
        return Ok(());
    }
    let changed = rustix::fs::fchown(copy, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
    changed.map_err(|e| Failure::NoOwner(FileError::new(&opened.path, "keep its owner", e)))
}

fn check(opened: &Opened, copy: &File, plan: &Plan, change: &Change, note: Option<FileRange>) -> Result<(), EditError> {
    let copied = contents(copy, plan.new_len).map_err(|e| FileError::new(&opened.path, "map its copy", e))?;
    let before = Image::of(opened.bytes());
    let after = Image::written(copied.bytes(), plan).ok_or(EditError::ChangedMeanwhile)?;
    // The writes are compared byte for byte first: the verifier only looks where the plan wrote.
    let wanted = Image::planned(opened.bytes(), plan).ok_or(EditError::ChangedMeanwhile)?;
    for range in wanted.changed() {
        if wanted.read(range) != after.read(range) {
            return Err(EditError::ChangedMeanwhile);
        }
    }
    verify(&before, &after, change, note)?;
    Ok(())
}

/// Mode and extended attributes (ACLs and file capabilities among them).
fn keep_attributes(opened: &Opened, copy: &File) -> Result<Vec<Note>, FileError> {
    let mut notes = Vec::new();
    let mut names = vec![0_u8; 64 * 1024];
    let listed = rustix::fs::flistxattr(&opened.file, &mut names[..]).unwrap_or(0);
    for name in names.get(..listed).unwrap_or_default().split_inclusive(|byte| *byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        let mut value = vec![0_u8; 64 * 1024];
        let kept = rustix::fs::fgetxattr(&opened.file, name, &mut value[..]).and_then(|len| {
            let value = value.get(..len).unwrap_or_default();
            rustix::fs::fsetxattr(copy, name, value, rustix::fs::XattrFlags::empty())
        });
        if kept.is_err() {
            notes.push(Note::AttributeLost(name.to_string_lossy().into_owned()));
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

/// Somebody who put another file there meanwhile must not lose it.
fn check_same_name(opened: &Opened) -> Result<(), EditError> {
    let now = std::fs::symlink_metadata(&opened.path);
    let now = now.map_err(|e| FileError::new(&opened.path, "read its attributes", e))?;
    if (now.dev(), now.ino()) == opened.identity.inode { Ok(()) } else { Err(EditError::ChangedMeanwhile) }
}
