//! What takes an edit in place back: in memory against a failure, behind the end of the file against a kill.
//!
//! No loader reads behind the end of an object, so a file with a journal loads as it does without one. A run that finds
//! a journal knows that another one was killed, and takes that one's writes back before it does anything else.
#![deny(clippy::arithmetic_side_effects)]

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::identity::Identity;
use super::undo::Undo;
use crate::elf::image::{Image, Saved};
use crate::elf::plan::Patch;
use crate::elf::units::{FileOffset, FileRange, len64};

/// The last bytes of a file with a journal.
const MAGIC: &[u8; 16] = b"\ncuda-runpath\0J2";

/// In front of [`MAGIC`]: size, mode and time of the file, number of steps, their length in bytes, and a checksum.
const FOOTER: usize = 7 * 8;

/// One write of an edit, as far as it goes over bytes that the file had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Replaced {
    /// Where.
    pub(crate) offset: FileOffset,
    /// What stood there when the writes before this one were made; empty for a write behind the old end.
    pub(crate) before: Vec<u8>,
    /// What stands there when this one is made too.
    pub(crate) after: Vec<u8>,
}

impl Replaced {
    fn range(&self) -> Option<FileRange> {
        FileRange::new(self.offset, len64(&self.before))
    }
}

/// How to bring a file back to what it was, from any point of an edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Journal {
    /// The file's size before, in bytes.
    pub(crate) old_len: u64,
    /// Its permissions before: a write can drop set-user-ID.
    pub(crate) mode: u32,
    /// When its contents changed last before, in seconds and nanoseconds: a receipt asks for that.
    pub(crate) modified: (i64, i64),
    /// One for each write, in order.
    pub(crate) steps: Vec<Replaced>,
}

impl Journal {
    /// The journal of a list of writes to a file that holds `bytes`. `None` when the writes are not for these bytes.
    pub(super) fn of(identity: &Identity, bytes: &[u8], patches: &[Patch]) -> Option<Self> {
        let old_len = len64(bytes);
        let all = FileRange::new(FileOffset::new(0), old_len)?;
        let mut image = Image::of(bytes);
        let mut steps = Vec::with_capacity(patches.len());
        for patch in patches {
            let range = patch.range()?;
            let inside = range.intersection(all).or_else(|| FileRange::new(range.start(), 0))?;
            let before = image.read(inside)?.into_owned();
            image.put(patch)?;
            steps.push(Replaced { offset: range.start(), before, after: image.read(inside)?.into_owned() });
        }
        Some(Self { old_len, mode: identity.mode & 0o7777, modified: identity.modified, steps })
    }

    /// The bytes that stand behind the end of the file while the edit is made.
    pub(super) fn encode(&self) -> Vec<u8> {
        let body = self.steps.iter().map(|step| step.before.len().saturating_mul(2).saturating_add(16));
        let end = FOOTER.saturating_add(MAGIC.len());
        let mut bytes = Vec::with_capacity(body.fold(end, usize::saturating_add));
        let mut count = 0_u64;
        for step in self.steps.iter().filter(|step| !step.before.is_empty()) {
            count = count.saturating_add(1);
            bytes.extend(step.offset.get().to_le_bytes());
            bytes.extend(len64(&step.before).to_le_bytes());
            bytes.extend(&step.before);
            bytes.extend(&step.after);
        }
        let (seconds, nanoseconds) = (self.modified.0.cast_unsigned(), self.modified.1.cast_unsigned());
        let numbers = [self.old_len, u64::from(self.mode), seconds, nanoseconds, count, len64(&bytes)];
        bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        bytes.extend(checksum(&bytes).to_le_bytes());
        bytes.extend(MAGIC);
        bytes
    }

    /// How to take a finished edit back; appended bytes need no mention.
    pub(super) fn into_undo(self, new_len: u64, modified: (i64, i64)) -> Undo {
        let count = self.steps.len();
        let (mut before, mut after) = (Vec::with_capacity(count), Vec::<Saved>::with_capacity(count));
        for Replaced { offset, before: old, after: new } in self.steps {
            if old.is_empty() {
                continue;
            }
            // What this step wrote is what earlier ones have there now.
            for earlier in &mut after {
                lay_over(earlier, offset, &new);
            }
            before.push(Saved { offset, bytes: old });
            after.push(Saved { offset, bytes: new });
        }
        Undo { old_len: self.old_len, new_len, before, after, modified }
    }

    /// The journal at the end of a file's bytes, if there is one, whole and for a file like this.
    pub(super) fn behind(file: &[u8]) -> Option<Self> {
        let checked = file.strip_suffix(MAGIC)?;
        let (rest, footer) = checked.split_at_checked(checked.len().checked_sub(FOOTER)?)?;
        let mut numbers = Numbers(footer);
        let (old_len, mode) = (numbers.next()?, u32::try_from(numbers.next()?).ok()?);
        let modified = (numbers.next()?.cast_signed(), numbers.next()?.cast_signed());
        let (count, len, sum) = (numbers.next()?, numbers.next()?, numbers.next()?);
        let start = rest.len().checked_sub(usize::try_from(len).ok()?)?;
        if checksum(checked.get(start..checked.len().checked_sub(8)?)?) != sum {
            return None;
        }
        let mut body = Numbers(rest.get(start..)?);
        let mut steps = Vec::new();
        for _ in 0..count {
            let offset = FileOffset::new(body.next()?);
            let len = usize::try_from(body.next()?).ok()?;
            let step = Replaced { offset, before: body.take(len)?.to_vec(), after: body.take(len)?.to_vec() };
            if step.range()?.end().get() > old_len {
                return None;
            }
            steps.push(step);
        }
        let is_for_this = body.0.is_empty() && old_len <= u64::try_from(start).ok()? && mode <= 0o7777;
        is_for_this.then_some(Self { old_len, mode, modified, steps })
    }

    /// Whether a file holds, wherever the edit writes, what stood there at some point of it. A write that was cut short
    /// leaves bytes of two points.
    pub(super) fn explains_file(&self, file: &[u8]) -> bool {
        self.steps.iter().all(|step| {
            let found = step.range().and_then(|range| range.of(file));
            found.is_some_and(|found| self.explains(step, found))
        })
    }

    /// The writes that take every step back, the last one first.
    pub(super) fn patches_back(&self) -> Vec<Patch> {
        self.steps.iter().rev().map(|step| Patch::restoring(step.offset, &step.before)).collect()
    }

    /// The same for the bytes where one step writes.
    fn explains(&self, step: &Replaced, found: &[u8]) -> bool {
        if found == step.before || found == step.after {
            return true;
        }
        let mut explained = vec![false; found.len()];
        for other in &self.steps {
            let Some(both) = other.range().zip(step.range()).and_then(|(other, own)| other.intersection(own)) else {
                continue;
            };
            let skip = |from: FileOffset| both.start().since(from).and_then(|skip| usize::try_from(skip).ok());
            let (Some(in_other), Some(in_found)) = (skip(other.offset), skip(step.offset)) else { continue };
            let sides = other.before.iter().zip(&other.after).skip(in_other);
            let bytes = found.iter().zip(&mut explained).skip(in_found);
            for ((before, after), (byte, explained)) in sides.zip(bytes) {
                *explained |= byte == before || byte == after;
            }
        }
        explained.iter().all(|explained| *explained)
    }

    /// Takes the first `begun` steps back, the last one first: every state on the way is one that the edit passed through.
    /// What another process wrote meanwhile stays; the answer is whether there was nothing of that kind.
    ///
    /// # Errors
    /// What writing says; the steps before that one stand as they are.
    pub(super) fn roll_back(&self, file: &File, begun: usize) -> io::Result<bool> {
        let mut all_ours = true;
        for step in self.steps.iter().take(begun).rev() {
            let mut found = vec![0; step.before.len()];
            let read = file.read_exact_at(&mut found, step.offset.get());
            let is_cut = read.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::UnexpectedEof);
            // What cannot be read for another reason can only be written.
            if is_cut || (read.is_ok() && !self.explains(step, &found)) {
                all_ours = false;
            } else if read.is_err() || found != step.before {
                file.write_all_at(&step.before, step.offset.get())?;
            }
        }
        Ok(all_ours)
    }
}

/// Writes that stand at an offset of a file over the bytes that were saved of it.
fn lay_over(saved: &mut Saved, offset: FileOffset, bytes: &[u8]) {
    let layer = FileRange::new(offset, len64(bytes));
    let Some((layer, whole)) = layer.zip(saved.range()) else { return };
    let Some(both) = layer.intersection(whole) else { return };
    let within = |from: FileOffset| both.start().since(from).and_then(|skip| usize::try_from(skip).ok());
    if let (Some(to), Some(from)) = (within(whole.start()), within(layer.start())) {
        for (byte, new) in saved.bytes.iter_mut().skip(to).zip(bytes.iter().skip(from)) {
            *byte = *new;
        }
    }
}

/// Little-endian numbers, then bytes, from the front of a slice.
struct Numbers<'b>(&'b [u8]);

impl<'b> Numbers<'b> {
    fn next(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    fn take(&mut self, len: usize) -> Option<&'b [u8]> {
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }
}

/// A journal that reached the disk only in part must not be believed. As FNV-1a, but eight bytes at a time, the last ones
/// alone; the rotation takes the high bits to where the multiplication spreads them.
fn checksum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    words
        .chain(rest.iter().map(|byte| u64::from(*byte)))
        .fold(0xcbf2_9ce4_8422_2325, |sum: u64, word| (sum ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(29))
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use super::*;
    use crate::elf::plan::Content;

    fn journal() -> (Vec<u8>, Vec<Patch>, Journal) {
        let file = b"0123456789abcdef".to_vec();
        // The last one goes over the first two and behind the end.
        let patches = [(2, &b"AAAA"[..]), (4, b"BBBB"), (5, b"CCCCCCCCCCCCCC")];
        let patches = patches.map(|(at, bytes)| Patch::restoring(FileOffset::new(at), bytes)).to_vec();
        let identity = Identity {
            inode: (1, 2),
            len: 16,
            modified: (-3, 4),
            changed: (5, 6),
            mode: 0o100_4755,
            owner: (7, 8),
            links: 1,
        };
        let journal = Journal::of(&identity, &file, &patches).unwrap();
        (file, patches, journal)
    }

    /// The file after the first writes, and of the next one so many bytes.
    fn after(file: &[u8], patches: &[Patch], count: usize, bytes: usize) -> Vec<u8> {
        let mut file = Cursor::new(file.to_vec());
        for (index, patch) in patches.iter().enumerate().filter(|(index, _)| *index <= count) {
            let Content::Bytes(all) = &patch.content else { panic!() };
            let written = if index < count { all.len() } else { bytes.min(all.len()) };
            file.set_position(patch.offset.get());
            file.write_all(&all[..written]).unwrap();
        }
        file.into_inner()
    }

    #[test]
    fn every_point_of_an_edit_leads_back() {
        let (file, patches, journal) = journal();
        assert_eq!((journal.old_len, journal.mode, journal.modified), (16, 0o4755, (-3, 4)));
        for count in 0..=patches.len() {
            for bytes in 0..14 {
                let now = after(&file, &patches, count, bytes);
                assert!(journal.explains_file(&now), "{count} {bytes}");
                let mut back = after(&now, &journal.patches_back(), 3, 0);
                back.truncate(16);
                assert_eq!(back, file, "{count} {bytes}");
            }
        }
    }

    #[test]
    fn a_foreign_byte_is_not_explained() {
        let (file, patches, journal) = journal();
        for at in 0..16 {
            let mut now = after(&file, &patches, 3, 0);
            now[at] = b'x';
            assert_eq!(journal.explains_file(&now), at < 2, "{at}");
        }
        assert!(!journal.explains_file(&file[..10]));
    }

    #[test]
    fn it_is_read_as_it_was_written_or_not_at_all() {
        let (file, _, journal) = journal();
        let whole = [&file[..], b"zz", &journal.encode()].concat();
        assert_eq!(Journal::behind(&whole), Some(journal.clone()));
        assert_eq!(Journal::behind(&file), None);
        for at in 18..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 4;
            assert_eq!(Journal::behind(&damaged), None, "{at}");
            assert_eq!(Journal::behind(&whole[..at]), None, "{at}");
        }
        // For a longer file than there is in front of it.
        assert_eq!(Journal::behind(&whole[3..]), None);
    }
}
