//! What takes an edit in place back: in memory against a failure, behind the end of the file against a kill.
//!
//! No loader reads behind the end of an object, so a file with a journal loads as it does without one. A run that finds
//! a journal knows that another one was killed, and takes that one's writes back before it does anything else.
//!
//! What stands at the end of a file is what its maker put there. So a journal is signed with a secret of the user whose
//! run wrote it, for one inode and the moment in which that was made; any other is bytes like all others.
#![deny(clippy::arithmetic_side_effects)]

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::identity::Identity;
use super::rights::{SET_ID, is_exclusive};
use super::secret::{Key, Secret};
use super::undo::Undo;
use crate::elf::image::{Image, Saved};
use crate::elf::journal_mark::JOURNAL_MARK;
use crate::elf::plan::Patch;
use crate::elf::units::{FileOffset, FileRange, len64};

/// Behind the steps: size of the file, where the journal begins, the file's rights, its time, number of steps, their length in
/// bytes, their hash, and the contents that the rights were given to. Then come the signature of that and [`JOURNAL_MARK`]: whether a journal is to be
/// believed is known before a step is read.
const NUMBERS: usize = 7 * 8;
const HASH: usize = blake3::OUT_LEN;
const FOOTER: usize = NUMBERS + 2 * HASH;

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

/// Set-user-ID and set-group-ID that a write takes from a file of the running user's, which no other user could write to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct GivenBits {
    set_id: u32,
    /// Whose the second one is.
    group: u32,
    /// A hash of what they were given to, where there is one of them.
    contents: [u8; HASH],
}

impl GivenBits {
    fn of(file: &Identity, bytes: impl FnOnce() -> Option<blake3::Hash>) -> Option<Self> {
        let set_id = if is_exclusive(file) { file.mode & SET_ID } else { 0 };
        if set_id == 0 {
            return Some(Self::default());
        }
        Some(Self { set_id, group: file.owner.1, contents: *bytes()?.as_bytes() })
    }
}

/// How to bring a file back to what it was, from any point of an edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Journal {
    /// The file's size before, in bytes.
    pub(crate) old_len: u64,
    /// What a write can take away.
    pub(crate) given: GivenBits,
    /// When its contents changed last before, in seconds and nanoseconds: a receipt asks for that.
    pub(crate) modified: (i64, i64),
    /// One for each write, in order.
    pub(crate) steps: Vec<Replaced>,
}

impl Journal {
    /// The journal of a list of writes to a file of such a length, which are made to the image of it. `None` when the
    /// writes are not for these bytes.
    pub(super) fn of<'b>(
        identity: &Identity,
        old_len: u64,
        image: &mut Image<'b>,
        patches: &'b [Patch],
    ) -> Option<Self> {
        let all = FileRange::new(FileOffset::new(0), old_len)?;
        let given = GivenBits::of(identity, || Some(blake3::hash(&image.read(all)?)))?;
        let mut steps = Vec::with_capacity(patches.len());
        for patch in patches {
            let range = patch.range()?;
            let inside = range.intersection(all).or_else(|| FileRange::new(range.start(), 0))?;
            let before = image.read(inside)?.into_owned();
            image.put(patch)?;
            steps.push(Replaced { offset: range.start(), before, after: image.read(inside)?.into_owned() });
        }
        Some(Self { old_len, given, modified: identity.modified, steps })
    }

    /// The bytes that stand from this offset on, behind the end of the file, while the edit is made.
    pub(super) fn encode(&self, file: &Identity, at: u64, key: Key) -> Vec<u8> {
        let body = self.steps.iter().map(|step| step.before.len().saturating_mul(2).saturating_add(16));
        let end = FOOTER.saturating_add(HASH).saturating_add(JOURNAL_MARK.len());
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
        let GivenBits { set_id, group, contents } = self.given;
        let rights = (u64::from(group) << 32) | u64::from(set_id);
        let numbers = [self.old_len, at, rights, seconds, nanoseconds, count, len64(&bytes)];
        let hash = blake3::hash(&bytes);
        let numbers = numbers.iter().flat_map(|number| number.to_le_bytes());
        let footer: Vec<u8> = numbers.chain(*hash.as_bytes()).chain(contents).collect();
        bytes.extend(&footer);
        bytes.extend(signature(file, &footer, key).as_bytes());
        bytes.extend(JOURNAL_MARK);
        bytes
    }

    /// How to take a finished edit back; appended bytes need no mention.
    pub(super) fn into_undo(self, new_len: u64, modified: (i64, i64)) -> Undo {
        let overlaps = Overlaps::of(&self.steps);
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for (index, step) in self.steps.iter().enumerate().filter(|(_, step)| !step.before.is_empty()) {
            let mut now = Saved { offset: step.offset, bytes: step.after.clone() };
            // What this step wrote is what later ones have put over it.
            let mut later: Vec<usize> = overlaps.with(step).filter(|later| *later > index).collect();
            later.sort_unstable();
            for later in later.into_iter().filter_map(|later| self.steps.get(later)) {
                lay_over(&mut now, later.offset, &later.after);
            }
            before.push(Saved { offset: step.offset, bytes: step.before.clone() });
            after.push(now);
        }
        Undo { old_len: self.old_len, new_len, before, after, modified }
    }

    /// The journal at the end of a file's bytes, if there is one that a run of this user wrote for this file.
    pub(super) fn behind(file: &[u8], identity: &Identity, secret: &Secret) -> Option<Self> {
        let (rest, signed) = file.strip_suffix(JOURNAL_MARK)?.split_last_chunk::<HASH>()?;
        let (rest, footer) = rest.split_last_chunk::<FOOTER>()?;
        // Of a hash, so that the time which the comparison takes says nothing.
        secret.keys().find(|key| signature(identity, footer, *key) == *signed)?;
        let mut numbers = Numbers(footer);
        let (old_len, at, rights) = (numbers.next()?, numbers.next()?, numbers.next()?);
        let modified = (numbers.next()?.cast_signed(), numbers.next()?.cast_signed());
        let (count, len) = (numbers.next()?, numbers.next()?);
        let (hash, contents) = numbers.0.split_first_chunk::<HASH>()?;
        let group = u32::try_from(rights >> 32).ok()?;
        let set_id = u32::try_from(rights & u64::from(SET_ID)).ok()?;
        let given = GivenBits { set_id, group, contents: contents.try_into().ok()? };
        let start = rest.len().checked_sub(usize::try_from(len).ok()?)?;
        let mut body = Numbers(rest.get(start..)?);
        if blake3::hash(body.0).as_bytes() != hash {
            return None;
        }
        // Bytes that another process put in front of it since are in no step, and taking back would cut them off.
        if at != u64::try_from(start).ok()? || old_len > at {
            return None;
        }
        let mut steps = Vec::new();
        for _ in 0..count {
            let offset = FileOffset::new(body.next()?);
            let len = usize::try_from(body.next()?).ok()?;
            steps.push(Replaced { offset, before: body.take(len)?.to_vec(), after: body.take(len)?.to_vec() });
        }
        Some(Self { old_len, given, modified, steps })
    }

    /// The bits that a file gets back together with its bytes: those that were given to just these, of the same group, where
    /// still no other user may write to it.
    pub(super) fn set_id_of(&self, file: &[u8], identity: &Identity) -> u32 {
        let GivenBits { set_id, group, contents } = self.given;
        if set_id == 0 || group != identity.owner.1 || !is_exclusive(identity) {
            return 0;
        }
        let back = self.patches_back();
        let old = || {
            let mut image = Image::growing(file, len64(file));
            back.iter().try_for_each(|patch| image.put(patch))?;
            Some(blake3::hash(&image.read(FileRange::new(FileOffset::new(0), self.old_len)?)?))
        };
        if old().is_some_and(|old| *old.as_bytes() == contents) { set_id } else { 0 }
    }

    /// Whether a file holds, wherever the edit writes, what stood there at some point of it. A write that was cut short
    /// leaves bytes of two points.
    pub(super) fn explains_file(&self, file: &[u8]) -> bool {
        let overlaps = Overlaps::of(&self.steps);
        self.steps.iter().all(|step| {
            let found = step.range().and_then(|range| range.of(file));
            found.is_some_and(|found| self.explains(step, found, &overlaps))
        })
    }

    /// The writes that take every step back, the last one first.
    pub(super) fn patches_back(&self) -> Vec<Patch> {
        self.steps.iter().rev().map(|step| Patch::restoring(step.offset, &step.before)).collect()
    }

    /// The same for the bytes where one step writes.
    fn explains(&self, step: &Replaced, found: &[u8], overlaps: &Overlaps) -> bool {
        if found == step.before || found == step.after {
            return true;
        }
        let mut explained = vec![false; found.len()];
        for other in overlaps.with(step).filter_map(|index| self.steps.get(index)) {
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
        let overlaps = Overlaps::of(&self.steps);
        for step in self.steps.iter().take(begun).rev() {
            let mut found = vec![0; step.before.len()];
            let read = file.read_exact_at(&mut found, step.offset.get());
            let is_cut = read.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::UnexpectedEof);
            // What cannot be read for another reason can only be written.
            if is_cut || (read.is_ok() && !self.explains(step, &found, &overlaps)) {
                all_ours = false;
            } else if read.is_err() || found != step.before {
                file.write_all_at(&step.before, step.offset.get())?;
            }
        }
        Ok(all_ours)
    }
}

/// A finished edit, and what it replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(super) journal: Journal,
    pub(super) new_len: u64,
    pub(super) modified: (i64, i64),
}

impl Finished {
    /// How to take it back.
    pub(crate) fn undo(self) -> Undo {
        self.journal.into_undo(self.new_len, self.modified)
    }
}

/// Which steps of an edit write to the same bytes. The planner's do so a few times at most, however many there are: what is
/// asked of each step costs as much as there are steps over it.
struct Overlaps {
    /// In the order of their starts: start, the furthest end so far, and which step it is.
    sorted: Vec<(u64, u64, usize)>,
}

impl Overlaps {
    fn of(steps: &[Replaced]) -> Self {
        let range = |(index, step): (usize, &Replaced)| step.range().map(|r| (r.start().get(), r.end().get(), index));
        let mut sorted: Vec<_> = steps.iter().enumerate().filter_map(range).collect();
        sorted.sort_unstable();
        let mut furthest = 0;
        for (_, end, _) in &mut sorted {
            furthest = furthest.max(*end);
            *end = furthest;
        }
        Self { sorted }
    }

    /// Those that may write to bytes of this one, itself among them.
    fn with(&self, step: &Replaced) -> impl Iterator<Item = usize> {
        let (start, end) = step.range().map_or((0, 0), |range| (range.start().get(), range.end().get()));
        let before_its_end = self.sorted.partition_point(|(other, ..)| *other < end);
        let before_its_end = self.sorted.get(..before_its_end).unwrap_or_default();
        before_its_end.iter().rev().take_while(move |(_, furthest, _)| *furthest > start).map(|(.., index)| *index)
    }
}

/// What binds a journal to a file. An inode's number is given again to another file, later.
fn signature(file: &Identity, footer: &[u8], key: Key) -> blake3::Hash {
    let place = [file.inode.1, file.made.0, file.made.1].map(u64::to_le_bytes);
    key.sign(&[&JOURNAL_MARK[..], place.as_flattened(), footer].concat())
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

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use super::*;
    use crate::elf::plan::Content;

    const FILE: Identity = Identity {
        inode: (1, 2),
        made: (9, 10),
        len: 16,
        modified: (-3, 4),
        changed: (5, 6),
        mode: 0o100_4755,
        owner: (7, 8),
        links: 1,
        blocks: 8,
        is_sealed: false,
        mount: None,
    };

    fn journal() -> (Vec<u8>, Vec<Patch>, Journal) {
        let file = b"0123456789abcdef".to_vec();
        // The last one goes over the first two and behind the end.
        let patches = [(2, &b"AAAA"[..]), (4, b"BBBB"), (5, b"CCCCCCCCCCCCCC")];
        let patches = patches.map(|(at, bytes)| Patch::restoring(FileOffset::new(at), bytes)).to_vec();
        let mut image = Image::growing(&file, 19);
        let journal = Journal::of(&FILE, 16, &mut image, &patches).unwrap();
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
        assert_eq!((journal.old_len, journal.given, journal.modified), (16, GivenBits::default(), (-3, 4)));
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

    fn secret() -> Secret {
        let folder = tempfile::tempdir().unwrap();
        let secret = Secret::of(vec![folder.path().to_owned()], folder.path(), &|_| true);
        secret.key().unwrap();
        secret
    }

    #[test]
    fn it_is_read_as_it_was_written_or_not_at_all() {
        let (file, _, journal) = journal();
        let secret = secret();
        let whole = [&file[..], b"zz", &journal.encode(&FILE, 18, secret.key().unwrap())].concat();
        let read = |file: &[u8]| Journal::behind(file, &FILE, &secret);
        assert_eq!(read(&whole), Some(journal.clone()));
        assert_eq!(read(&file), None);
        for at in 18..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 4;
            assert_eq!(read(&damaged), None, "{at}");
            assert_eq!(read(&whole[..at]), None, "{at}");
        }
        // For a longer file than there is in front of it, and behind what was put in since.
        assert_eq!(read(&whole[3..]), None);
        let behind = &whole[18..];
        assert_eq!(read(&[&file[..], b"zz, and a payload", behind].concat()), None);
        assert_eq!(read(&[&whole, behind].concat()), None, "twice");
    }

    #[test]
    fn it_is_believed_for_its_file_and_by_its_writer_only() {
        let (file, _, journal) = journal();
        let own = secret();
        let whole = [&file[..], &journal.encode(&FILE, 16, own.key().unwrap())].concat();
        // What an edit or its owner changes.
        let later = Identity { len: 500, modified: (77, 0), changed: (78, 0), mode: 0o100_755, links: 2, ..FILE };
        assert_eq!(Journal::behind(&whole, &later, &own), Some(journal));
        for other in [Identity { inode: (1, 3), ..FILE }, Identity { made: (9, 11), ..FILE }] {
            assert_eq!(Journal::behind(&whole, &other, &own), None, "{other:?}");
        }
        assert_eq!(Journal::behind(&whole, &FILE, &secret()), None);
    }

    /// The bits go to the bytes, the owner and the group that they were given to; each of the others is asked for alone.
    #[test]
    fn rights_come_back_to_what_had_them() {
        let (file, patches, _) = journal();
        let user = rustix::process::geteuid().as_raw();
        let own = Identity { owner: (user, 8), mode: 0o100_6755, ..FILE };
        let journal_of = |of: &Identity| {
            let journal = Journal::of(of, 16, &mut Image::growing(&file, 19), &patches).unwrap();
            let secret = secret();
            let whole = [&file[..], b"zz", &journal.encode(of, 18, secret.key().unwrap())].concat();
            Journal::behind(&whole, of, &secret).unwrap()
        };
        let journal = journal_of(&own);
        let half = after(&file, &patches, 1, 2);
        let dropped = Identity { mode: 0o100_755, len: 700, ..own };
        assert_eq!(journal.set_id_of(&half, &dropped), 0o6000);
        let mut other = half.clone();
        other[0] ^= 1;
        assert_eq!(journal.set_id_of(&other, &dropped), 0, "another byte that no step writes");
        assert_eq!(journal.set_id_of(&half, &Identity { owner: (user, 9), ..dropped }), 0, "another group");
        assert_eq!(journal.set_id_of(&half, &Identity { owner: (user + 1, 8), ..dropped }), 0, "another owner");
        assert_eq!(journal.set_id_of(&half, &Identity { mode: 0o100_775, ..dropped }), 0, "others may write");
        // Nor those that another user could have given to other bytes before it was signed.
        for before in [Identity { owner: (user + 1, 8), ..own }, Identity { mode: 0o100_4775, ..own }] {
            assert_eq!(journal_of(&before).set_id_of(&half, &dropped), 0, "{before:?}");
        }
    }

    /// Cost in steps looked at: a file whose maker chose many places is as cheap for each as one with few.
    #[test]
    fn each_step_asks_only_those_over_the_same_bytes() {
        let step = |at: u64, len| Replaced { offset: FileOffset::new(at), before: vec![0; len], after: vec![1; len] };
        let mut steps: Vec<_> = (0..10_000).map(|index| step(index * 8, 8)).collect();
        steps.extend([step(100, 50), step(40_000, 0)]);
        let overlaps = Overlaps::of(&steps);
        let asked: usize = steps.iter().map(|step| overlaps.with(step).count()).sum();
        assert!(asked < 2 * steps.len(), "{asked}");
        let over: Vec<usize> = overlaps.with(&steps[15]).collect();
        assert!(over.contains(&15) && over.contains(&10_000) && over.len() < 6, "{over:?}");
    }
}
