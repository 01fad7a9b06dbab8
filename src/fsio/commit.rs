//! Carrying out a verified plan: in place or by replacing the file, and back again when anything is wrong.

use super::edit::{Committed, Durability, EditError, How, Remark, WriteMode, check_size_limit};
use super::in_place::{Journaling, Terms, Writable};
use super::journal::Journal;
use super::map::{self, Opened};
use super::secret::Secret;
use super::store::Admitted;
use super::undo::Undo;
use super::writes::{Taken, Writes};
use super::{in_place, replace};
use crate::elf::image::{Image, Saved};
use crate::elf::journal_mark::carries_journal;
use crate::elf::plan::{self, Patch};
use crate::elf::units::len64;
use crate::elf::verify::Verified;

/// Carries out a verified plan on an open file.
///
/// # Errors
/// [`EditError`]; the file has its old bytes then, and no temporary file is left.
pub(crate) fn commit(
    admitted: Admitted,
    verified: &Verified,
    mode: WriteMode,
    secret: &Secret,
) -> Result<Committed, EditError> {
    let mut opened = admitted.into_opened();
    let plan = verified.plan();
    check_size_limit(plan.new_len)?;
    let writes = Writes::of(verified);
    let links = opened.identity.links;
    let needs_journal = plan.patches.len() > 1 && mode != WriteMode::OwnCopy;
    let terms = Terms {
        durability: if mode == WriteMode::Replace { Durability::Synced } else { Durability::Cached },
        writable: if links > 1 || mode == WriteMode::OwnCopy { Writable::MakeIt } else { Writable::AsItIs },
        journal: match (needs_journal, plan.has_payload) {
            (false, _) => Journaling::Needless,
            (true, true) => Journaling::Unwritten,
            (true, false) => Journaling::Signed(secret),
        },
    };
    if links > 1 {
        let read_only = opened.identity.mode & 0o222 == 0;
        if mode != WriteMode::OwnCopy && read_only && opened.identity.modified.0 == 1 {
            return Err(EditError::LinkedToStore(links));
        }
        if carries_journal(opened.bytes()) {
            return Err(EditError::ForeignJournal(links));
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
    if needs_journal && plan.prefix_safe && terms.journal.key().is_none() {
        let mut done = replace_or_in_place(opened, writes, terms, true)?;
        if done.how == How::Replaced {
            done.notes.push(if plan.has_payload { Remark::Payload } else { Remark::NoSecret });
        }
        return Ok(done);
    }
    let why_not = (!plan.prefix_safe).then_some(Remark::NotPrefixSafe);
    in_place_or_replace(opened, writes, terms, why_not)
}

fn replace_or_in_place(
    mut opened: Opened,
    writes: Writes<'_>,
    terms: Terms<'_>,
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
    terms: Terms<'_>,
    why_not: Option<Remark>,
) -> Result<Committed, EditError> {
    let because = match why_not {
        Some(because) => because,
        None => match in_place::write(&mut opened, writes, terms) {
            Ok(done) => return Ok(done),
            Err(in_place::NotWritten::Edit(EditError::SetId)) => Remark::NotWritable,
            Err(in_place::NotWritten::Edit(EditError::Capability)) => Remark::Capability,
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
pub(crate) fn revert(admitted: Admitted, undo: &Undo, secret: &Secret) -> Result<(), EditError> {
    let opened = take_back(admitted, secret)?;
    if is_as_before(opened.bytes(), undo) {
        // A run that was killed has come as far.
        return Ok(());
    }
    if opened.identity.links > 1 && carries_journal(opened.bytes()) {
        return Err(EditError::ForeignJournal(opened.identity.links));
    }
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
    let writes = Writes::back(&patches, undo.old_len, Taken::default());
    let several = patches.len() > 1;
    let has_payload = several && plan::has_payload(opened.bytes());
    let journal = match (several, has_payload) {
        (false, _) => Journaling::Needless,
        (true, true) => Journaling::Unwritten,
        (true, false) => Journaling::Signed(secret),
    };
    let terms = Terms { durability: Durability::Synced, writable: Writable::MakeIt, journal };
    if several && journal.key().is_none() && opened.identity.links == 1 {
        return replace_or_in_place(opened, writes, terms, true).map(|_| ());
    }
    write_back(opened, writes, terms)
}

/// Whether a file has the size and the bytes that it had before an edit.
fn is_as_before(file: &[u8], undo: &Undo) -> bool {
    let back: Vec<Patch> = undo.before.iter().rev().map(|saved| Patch::restoring(saved.offset, &saved.bytes)).collect();
    let mut image = Image::growing(file, len64(file));
    if len64(file) != undo.old_len || back.is_empty() || !back.iter().all(|patch| image.put(patch).is_some()) {
        return false;
    }
    let is_there = |patch: &Patch| {
        let range = patch.range()?;
        Some(range.of(file)? == &*image.read(range)?)
    };
    back.iter().all(|patch| is_there(patch) == Some(true))
}

/// Takes back what a killed run of this user left half done; another file comes back as it is.
///
/// # Errors
/// [`EditError`] when the file changed since or cannot be written.
pub(crate) fn take_back(admitted: Admitted, secret: &Secret) -> Result<Opened, EditError> {
    let mut opened = admitted.into_opened();
    while let Some(journal) = Journal::behind(opened.bytes(), &opened.identity, secret) {
        if !journal.explains_file(opened.bytes()) {
            return Err(EditError::InterruptedThenChanged);
        }
        let (spot, path) = (opened.spot.clone(), opened.path.clone());
        let patches = journal.patches_back();
        let set_id = journal.set_id_of(opened.bytes(), &opened.identity);
        let writes = Writes::back(&patches, journal.old_len, Taken { modified: Some(journal.modified), set_id });
        // The journal that is there serves until the end.
        let terms = Terms { durability: Durability::Cached, writable: Writable::MakeIt, journal: Journaling::Needless };
        write_back(opened, writes, terms)?;
        opened = map::open(spot, &path)?;
    }
    Ok(opened)
}

fn write_back(mut opened: Opened, writes: Writes<'_>, terms: Terms<'_>) -> Result<(), EditError> {
    let links = opened.identity.links;
    if links == 1 {
        return in_place_or_replace(opened, writes, terms, None).map(|_| ());
    }
    in_place::write(&mut opened, writes, terms).map(|_| ()).map_err(|failure| failure.into_edit_error(links))
}
