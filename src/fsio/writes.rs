//! The writes that change a file or take that back, whichever file they go to.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::edit::EditError;
use super::error::FileError;
use super::identity::Identity;
use super::journal::Journal;
use super::map::Opened;
use crate::elf::image::{Image, Saved};
use crate::elf::plan::{Content, Patch};
use crate::elf::units::{FileOffset, FileRange, len64};
use crate::elf::verify::Verified;

/// What is written to a file: the patches of a verified plan, or those that bring back what stood there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Writes<'w> {
    patches: &'w [Patch],
    new_len: u64,
    taken: Taken,
}

/// What a killed edit took from a file beside bytes: it comes back when they are back.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Taken {
    /// The time of its last change.
    pub(crate) modified: Option<(i64, i64)>,
    /// Bits of its mode.
    pub(crate) set_id: u32,
}

impl<'w> Writes<'w> {
    /// A plan's.
    pub(super) fn of(verified: &'w Verified) -> Self {
        let plan = verified.plan();
        Self { patches: &plan.patches, new_len: plan.new_len, taken: Taken::default() }
    }

    /// Those of a journal or a receipt, whose bytes the file had.
    pub(super) fn back(patches: &'w [Patch], old_len: u64, taken: Taken) -> Self {
        Self { patches, new_len: old_len, taken }
    }

    /// See [`Taken`].
    pub(super) fn taken(&self) -> Taken {
        self.taken
    }

    /// In order.
    pub(super) fn patches(&self) -> &'w [Patch] {
        self.patches
    }

    /// The file's size after the last one, in bytes.
    pub(super) fn new_len(&self) -> u64 {
        self.new_len
    }

    /// What an edit needs of the old bytes, all of it taken before the first write.
    pub(super) fn prepare(&self, opened: &Opened) -> Result<Prepared, EditError> {
        let bytes = opened.bytes();
        let old_len = len64(bytes);
        let mut image = Image::growing(bytes, old_len.max(self.new_len));
        let journal = Journal::of(&opened.identity, old_len, &mut image, self.patches);
        let journal = journal.ok_or(EditError::ChangedMeanwhile)?;
        let expected = self.expected(&image, old_len.min(self.new_len)).ok_or(EditError::ChangedMeanwhile)?;
        Ok(Prepared { journal, expected })
    }

    /// What the file holds, where these writes go and at its old ends, when all of them are made. A file that another process
    /// wrote anew or cut meanwhile has other ends; copies are compared as they are made.
    fn expected(&self, image: &Image<'_>, len: u64) -> Option<Vec<Saved>> {
        const END: u64 = 1024;
        let head = len.min(END);
        let tail = head.max(len.saturating_sub(END));
        let own = self.patches.iter().filter(|patch| matches!(patch.content, Content::Bytes(_)));
        let mut wanted: Vec<FileRange> = own.filter_map(Patch::range).collect();
        wanted.extend([FileRange::between(0, head)?, FileRange::between(tail, len)?]);
        let within = FileRange::between(0, image.len())?;
        let all = united(wanted).into_iter().filter_map(|range| range.intersection(within));
        all.map(|range| Some(Saved { offset: range.start(), bytes: image.read(range)?.into_owned() })).collect()
    }
}

/// To ask the system for one more range costs as much as to read this many bytes with the one before it.
const NEAR: u64 = 4096;

/// Ranges that cover these, in order: those that are near to each other as one.
fn united(mut ranges: Vec<FileRange>) -> Vec<FileRange> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_unstable_by_key(|range| (range.start(), range.end()));
    let mut united: Vec<FileRange> = Vec::new();
    for range in ranges {
        let (start, end) = (range.start().get(), range.end().get());
        match united.last_mut() {
            Some(last) if start <= last.end().get().saturating_add(NEAR) => {
                *last = FileRange::between(last.start().get(), end.max(last.end().get())).unwrap_or(*last);
            }
            _ => united.push(range),
        }
    }
    united
}

/// See [`Writes::prepare`].
pub(super) struct Prepared {
    /// What takes the writes back.
    pub(crate) journal: Journal,
    /// What must stand in the file afterwards.
    pub(crate) expected: Vec<Saved>,
}

/// Makes one write; `action` says what to call it when it fails.
pub(super) fn write_patch(
    path: &Path,
    action: &'static str,
    source: &File,
    target: &File,
    patch: &Patch,
) -> Result<(), EditError> {
    let failed = |error| FileError::new(path, action, error);
    match &patch.content {
        Content::Bytes(bytes) => Ok(target.write_all_at(bytes, patch.offset.get()).map_err(failed)?),
        Content::CopyOf(range) => {
            let is_same = copy_range(source, target, *range, patch.offset).map_err(failed)?;
            if is_same { Ok(()) } else { Err(EditError::ChangedMeanwhile) }
        }
        Content::Zero(len) => Ok(write_zeros(target, patch.offset.get(), *len).map_err(failed)?),
    }
}

/// Shorter zeros are written like other bytes: a hole that short is hardly worth a call.
const SHORTEST_HOLE: u64 = 1 << 15;

/// What no file system has smaller holes than.
const PAGE: u64 = 4096;

/// Makes a part of a file zero: a hole where that is worth it and the file system has holes. Only whole pages become one:
/// what the pages at the ends just got would have to reach the disk first.
fn write_zeros(target: &File, offset: u64, len: u64) -> io::Result<()> {
    use rustix::fs::FallocateFlags;
    let end = offset.saturating_add(len);
    let first = offset.checked_next_multiple_of(PAGE).unwrap_or(end);
    let last = end.saturating_sub(end % PAGE);
    let inner = last.saturating_sub(first);
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    if len < SHORTEST_HOLE || rustix::fs::fallocate(target, hole, first, inner).is_err() {
        return fill_zeros(target, offset, end);
    }
    fill_zeros(target, offset, first)?;
    fill_zeros(target, last, end)
}

fn fill_zeros(target: &File, start: u64, end: u64) -> io::Result<()> {
    let zeros = [0_u8; 1 << 16];
    let mut at = start;
    while at < end {
        let piece = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX).min(zeros.len());
        target.write_all_at(zeros.get(..piece).unwrap_or_default(), at)?;
        at = at.saturating_add(u64::try_from(piece).unwrap_or(u64::MAX));
    }
    Ok(())
}

/// Copies a part of a file in pieces of bounded size, and says whether each reads back as it was written.
fn copy_range(source: &File, target: &File, range: FileRange, to: FileOffset) -> io::Result<bool> {
    let (mut buffer, mut found) = (vec![0_u8; 1 << 16], vec![0_u8; 1 << 16]);
    let mut done = 0_u64;
    while done < range.len() {
        let len = usize::try_from(range.len().saturating_sub(done)).unwrap_or(usize::MAX).min(buffer.len());
        let piece = buffer.get_mut(..len).unwrap_or_default();
        let found = found.get_mut(..len).unwrap_or_default();
        let at = to.get().saturating_add(done);
        source.read_exact_at(piece, range.start().get().saturating_add(done))?;
        target.write_all_at(piece, at)?;
        target.read_exact_at(found, at)?;
        if piece != found {
            return Ok(false);
        }
        done = done.saturating_add(len64(piece));
    }
    Ok(true)
}

/// The image that the writes make was verified before; now the file is that image, byte for byte.
pub(super) fn read_back(path: &Path, file: &File, expected: &[Saved], found: &mut Vec<u8>) -> Result<(), EditError> {
    expected.iter().try_for_each(|wanted| expect(path, "read it back", file, (wanted.offset, &wanted.bytes), found))
}

/// Whether a file has these bytes at an offset; `found` is where they are read to.
pub(super) fn expect(
    path: &Path,
    action: &'static str,
    file: &File,
    (offset, wanted): (FileOffset, &[u8]),
    found: &mut Vec<u8>,
) -> Result<(), EditError> {
    found.resize(wanted.len(), 0);
    match file.read_exact_at(found, offset.get()) {
        Ok(()) if found == wanted => Ok(()),
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(FileError::new(path, action, error).into()),
        _ => Err(EditError::ChangedMeanwhile),
    }
}

/// Whether a file still is the one that was planned for.
pub(super) fn check_unchanged(opened: &Opened, file: &File) -> Result<(), EditError> {
    let now = Identity::of(file).map_err(|e| FileError::new(&opened.path, "read its attributes", e))?;
    if opened.identity.is_same_as(&now) { Ok(()) } else { Err(EditError::ChangedMeanwhile) }
}
