//! Carrying out a verified plan: in place or by replacing the file, and back again when anything is wrong.

use rustix::fs::{AtFlags, CWD};

use super::edit::{Committed, Durability, EditError, How, Remark, WriteMode, check_size_limit};
use super::error::FileError;
use super::in_place::{Terms, Writable};
use super::journal::Journal;
use super::map::{self, Opened};
use super::undo::Undo;
use super::writes::Writes;
use super::{in_place, replace};
use crate::elf::image::Saved;
use crate::elf::plan::{self, Patch};
use crate::elf::verify::Verified;

/// Carries out a verified plan on an open file.
///
/// # Errors
/// [`EditError`]; the file has its old bytes then, and no temporary file is left.
pub(crate) fn commit(mut opened: Opened, verified: &Verified, mode: WriteMode) -> Result<Committed, EditError> {
    let plan = verified.plan();
    check_size_limit(plan.new_len)?;
    let writes = Writes::of(verified);
    let links = opened.identity.links;
    let several = plan.patches.len() > 1;
    let terms = Terms {
        durability: if mode == WriteMode::Replace { Durability::Synced } else { Durability::Cached },
        writable: if links > 1 || mode == WriteMode::OwnCopy { Writable::MakeIt } else { Writable::AsItIs },
        journal: several && !plan.has_payload && mode != WriteMode::OwnCopy,
    };
    if links > 1 {
        let read_only = opened.identity.mode & 0o222 == 0;
        if mode != WriteMode::OwnCopy && read_only && opened.identity.modified.0 == 1 {
            return Err(EditError::LinkedToStore(links));
        }
        let mut done = in_place::write(&mut opened, writes, terms).map_err(|error| error.into_edit_error(links))?;
        // On overlayfs the name can have left the others.
        if mode == WriteMode::Replace && opened.identity.links > 1 {
            done.notes.push(Remark::HardLinked(links));
        }
        return Ok(done);
    }
    if mode == WriteMode::Replace {
        return replace_or_in_place(opened, writes, terms, plan.prefix_safe);
    }
    if plan.has_payload && several && plan.prefix_safe && mode == WriteMode::InPlace {
        let mut done = replace_or_in_place(opened, writes, terms, true)?;
        if done.how == How::Replaced {
            done.notes.push(Remark::Payload);
        }
        return Ok(done);
    }
    let why_not = (!plan.prefix_safe).then_some(Remark::NotPrefixSafe);
    in_place_or_replace(opened, writes, terms, why_not)
}

fn replace_or_in_place(
    mut opened: Opened,
    writes: Writes<'_>,
    terms: Terms,
    prefix_safe: bool,
) -> Result<Committed, EditError> {
    let because = match replace::write(&opened, writes, terms.durability) {
        Ok(done) => return Ok(done),
        Err(replace::NotReplaced::Edit(error)) => return Err(error),
        Err(replace::NotReplaced::NoDirectory(error)) => (Remark::DirectoryNotWritable, error),
        Err(replace::NotReplaced::NoOwner(error)) => (Remark::OwnerKept, error),
    };
    if !prefix_safe {
        return Err(EditError::File(because.1));
    }
    match in_place::write(&mut opened, writes, terms) {
        Ok(mut done) => {
            done.notes.push(because.0);
            Ok(done)
        }
        // The first failure says more: it is about what was asked for.
        Err(in_place::NotWritten::NotWritable(_) | in_place::NotWritten::Running) => Err(EditError::File(because.1)),
        Err(in_place::NotWritten::Edit(error)) => Err(error),
    }
}

fn in_place_or_replace(
    mut opened: Opened,
    writes: Writes<'_>,
    terms: Terms,
    why_not: Option<Remark>,
) -> Result<Committed, EditError> {
    let because = match why_not {
        Some(because) => because,
        None => match in_place::write(&mut opened, writes, terms) {
            Ok(done) => return Ok(done),
            Err(in_place::NotWritten::Edit(EditError::SetId)) => Remark::NotWritable,
            Err(in_place::NotWritten::Edit(error)) => return Err(error),
            Err(in_place::NotWritten::Running) => Remark::Running,
            Err(in_place::NotWritten::NotWritable(_)) => Remark::NotWritable,
        },
    };
    match replace::write(&opened, writes, terms.durability) {
        Ok(mut done) => {
            done.notes.push(because);
            Ok(done)
        }
        Err(replace::NotReplaced::Edit(error)) => Err(error),
        Err(replace::NotReplaced::NoDirectory(error) | replace::NotReplaced::NoOwner(error)) => {
            Err(EditError::File(error))
        }
    }
}

/// Takes an edit back, if the file still is what the edit made of it.
///
/// # Errors
/// [`EditError`] when the file changed since or cannot be written.
pub(crate) fn revert(opened: Opened, undo: &Undo) -> Result<(), EditError> {
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
    let patches: Vec<Patch> =
        undo.before.iter().rev().map(|saved| Patch::restoring(saved.offset, &saved.bytes)).collect();
    let writes = Writes::back(&patches, undo.old_len);
    let several = patches.len() > 1;
    let has_payload = several && plan::has_payload(opened.bytes());
    let terms = Terms { durability: Durability::Synced, writable: Writable::MakeIt, journal: several && !has_payload };
    if has_payload && opened.identity.links == 1 {
        return replace_or_in_place(opened, writes, terms, true).map(|_| ());
    }
    write_back(opened, writes, terms)
}

/// Takes back what a killed run left half done; another file comes back as it is.
///
/// # Errors
/// [`EditError`] when the file changed since or cannot be written.
pub(crate) fn take_back(mut opened: Opened) -> Result<Opened, EditError> {
    while let Some(journal) = Journal::behind(opened.bytes()) {
        if !journal.explains_file(opened.bytes()) {
            return Err(EditError::InterruptedThenChanged);
        }
        let path = opened.path.clone();
        let patches = journal.patches_back();
        let writes = Writes::back(&patches, journal.old_len);
        // The journal that is there serves until the end.
        let terms = Terms { durability: Durability::Cached, writable: Writable::MakeIt, journal: false };
        opened.identity.mode = (opened.identity.mode & !0o7777) | journal.mode;
        write_back(opened, writes, terms)?;
        rustix::fs::utimensat(CWD, &path, &in_place::times(journal.modified), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|e| FileError::new(&path, "set its time", e))?;
        opened = map::open(&path)?;
    }
    Ok(opened)
}

fn write_back(mut opened: Opened, writes: Writes<'_>, terms: Terms) -> Result<(), EditError> {
    let links = opened.identity.links;
    if links == 1 {
        return in_place_or_replace(opened, writes, terms, None).map(|_| ());
    }
    in_place::write(&mut opened, writes, terms).map(|_| ()).map_err(|failure| failure.into_edit_error(links))
}
