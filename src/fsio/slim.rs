//! Carrying out a proven plan that leaves parts of a file out: a new file takes the name, or the file itself is written in
//! steps each of which is sound.

use std::fs::File;

use super::edit::{Durability, EditError, How, Remark, WriteMode, check_size_limit};
use super::error::FileError;
use super::fresh::write_all;
use super::identity::Identity;
use super::in_place::{NotWritten, Writable, lock, open_for_writing};
use super::map::Opened;
use super::replace::{NotReplaced, write_anew};
use super::rights::{AfterWriting, Rights};
use super::store::Admitted;
use super::temporary::Uninterrupted;
use super::writes::{check_unchanged, write_patch};
use crate::elf::journal_mark::carries_journal;
use crate::elf::slim::SlimShape;
use crate::elf::verify::ProvenSlim;

/// A slimmed file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slimmed {
    /// How it was written.
    pub(crate) how: How,
    /// What should be told.
    pub(crate) notes: Vec<Remark>,
    /// Bytes that it takes on the disk, where the system tells.
    pub(crate) blocks: Option<u64>,
}

/// Carries out a proven plan on an open file.
///
/// # Errors
/// [`EditError`]; where the file is replaced it has its old bytes then. Where it is written itself each of its containers
/// is sound, and the next run goes on.
pub(crate) fn commit_slim(admitted: Admitted, proven: &ProvenSlim, mode: WriteMode) -> Result<Slimmed, EditError> {
    let mut opened = admitted.into_opened();
    let plan = proven.plan();
    check_size_limit(plan.new_len)?;
    let links = opened.identity.links;
    if plan.shape == SlimShape::InPlace {
        let is_read_only = opened.identity.mode & 0o222 == 0;
        if links > 1 && is_read_only && opened.identity.modified.0 == 1 {
            return Err(EditError::LinkedToStore(links));
        }
        if links > 1 && carries_journal(opened.bytes()) {
            return Err(EditError::ForeignJournal(links));
        }
        let mut slimmed = write_steps(&mut opened, proven).map_err(|failure| failure.into_edit_error(links))?;
        if links > 1 {
            slimmed.notes.push(Remark::HardLinked(links));
        }
        return Ok(slimmed);
    }
    let durability = if mode == WriteMode::Replace { Durability::Synced } else { Durability::Cached };
    let replaced = write_anew(&opened, plan, durability);
    let notes = replaced.map_err(|failure| match failure {
        NotReplaced::Edit(error) => error,
        NotReplaced::NoDirectory(error) | NotReplaced::NoOwner(error) => EditError::File(error),
    })?;
    let blocks = opened.spot.identity().ok().map(|now| now.blocks);
    Ok(Slimmed { how: How::Replaced, notes, blocks })
}

/// Fills a file that has no name which others know with what a proven plan makes of another one.
///
/// # Errors
/// [`EditError`] when the other one changed meanwhile, or what writing says.
pub(crate) fn fill_slim(source: &Opened, proven: &ProvenSlim, target: &File) -> Result<(), EditError> {
    check_size_limit(proven.plan().new_len)?;
    write_all(&source.path, source, proven.plan(), target)?;
    check_unchanged(source, &source.file)
}

fn write_steps(opened: &mut Opened, proven: &ProvenSlim) -> Result<Slimmed, NotWritten> {
    let links = opened.identity.links;
    // What is begun is finished before a signal ends the run.
    let _uninterrupted = Uninterrupted::begin();
    let file = open_for_writing(opened, if links > 1 { Writable::MakeIt } else { Writable::AsItIs })?;
    lock(&file)?;
    opened.follow_copy_up(&file).map_err(EditError::File)?;
    let old = opened.identity;
    match Rights::of(&file, &old).after_writing(&old, 0) {
        AfterWriting::Kept => {}
        AfterWriting::SetAgain | AfterWriting::SetIdLost => return Err(EditError::SetId.into()),
        AfterWriting::CapabilityLost => return Err(EditError::Capability.into()),
    }
    check_unchanged(opened, &file)?;
    let path = &opened.path;
    for patch in &proven.plan().patches {
        write_patch(path, "write it", &file, &file, patch)?;
    }
    let failed = |error| EditError::File(FileError::new(path, "read its attributes", error));
    let now = Identity::of(&file).map_err(failed)?;
    let named = opened.spot.identity().map_err(failed)?;
    if now.len != old.len || named.inode != old.inode {
        return Err(EditError::ChangedMeanwhile.into());
    }
    Ok(Slimmed { how: How::InPlace, notes: Vec::new(), blocks: Some(now.blocks) })
}
