//! Invariant 10: `.note.nixos.ldcache` does not contradict the path.
//!
//! A patched loader asks that note instead of the path, so an edit that is right in every other way could still send it
//! elsewhere. The notes are found and read here anew: the planner's reader cannot confirm itself.

use std::collections::{BTreeSet, HashSet};

use bstr::{BStr, ByteSlice};
use object::elf;

use super::dynamic::text;
use super::error::{VerifyError, broken};
use super::shape::{RawSegment, Shape, read};
use crate::elf::plan::Change;
use crate::elf::units::{FileOffset, FileRange, len64};

const OWNER: &[u8] = b"NixOS";
const KIND: u32 = 0x63a8_6cb6;
const DT_NEEDED: u64 = 1;

/// `n_namesz`, `n_descsz` and `n_type`, bytes.
const HEADER: u64 = 12;

/// patchelf writes one.
const MOST_NOTES: usize = 16;

/// A resolution cache note of an object as it was.
#[derive(Debug)]
pub(super) struct CacheNote {
    /// Its header, owner and descriptor with their padding, in the file.
    pub(crate) range: FileRange,
    /// The descriptor, from the start of `range`.
    descriptor: FileRange,
    /// Where it starts in its segment, bytes.
    within: u64,
    /// The PT_NOTE that it is found through.
    segment: RawSegment,
}

impl CacheNote {
    /// The file offsets of its first byte and of that behind its last.
    pub(super) fn bounds(&self) -> (u64, u64) {
        (self.range.start().get(), self.range.end().get())
    }
}

/// Every resolution cache note that the loader comes to through PT_NOTE.
pub(super) fn cache_notes(shape: &Shape<'_, '_>) -> Result<Vec<CacheNote>, VerifyError> {
    let mut found = Vec::new();
    for segment in shape.segments.iter().filter(|segment| segment.kind == elf::PT_NOTE.0 && segment.file_size > 0) {
        let bytes = read(shape.image, segment.offset, segment.file_size)?;
        let mut at = 0;
        while let Some(note) = next(shape, &bytes, at, segment) {
            if note.kind == KIND && note.is_of_nixos {
                let range = FileRange::new(FileOffset::new(segment.offset.saturating_add(at)), note.len);
                let range = range.ok_or(VerifyError::PastEnd { offset: segment.offset, len: segment.file_size })?;
                if found.len() >= MOST_NOTES {
                    return Err(broken(
                        10,
                        "there is no more than a handful of resolution cache notes",
                        segment.offset,
                    ));
                }
                found.push(CacheNote { range, descriptor: note.descriptor, within: at, segment: segment.clone() });
            }
            at = at.saturating_add(note.len);
        }
    }
    Ok(found)
}

/// One note of a segment.
struct Read {
    kind: u32,
    is_of_nixos: bool,
    /// With its padding, bytes.
    len: u64,
    /// From the start of the note.
    descriptor: FileRange,
}

/// The note at so many bytes behind the start of a segment; none where it reaches past the end.
fn next(shape: &Shape<'_, '_>, bytes: &[u8], at: u64, segment: &RawSegment) -> Option<Read> {
    let rest = bytes.get(usize::try_from(at).ok()?..).filter(|rest| !rest.is_empty())?;
    let [name_len, descriptor_len, kind] = [0, 4, 8].map(|field| shape.word(rest, field));
    // gABI "Note RawSection": four bytes, and eight where the segment says so.
    let padding: u64 = if segment.align == 8 { 8 } else { 4 };
    let name_end = HEADER.checked_add(u64::from(name_len?))?;
    let start = name_end.checked_next_multiple_of(padding)?;
    let end = start.checked_add(u64::from(descriptor_len?)).filter(|end| *end <= len64(rest))?;
    let name = rest.get(usize::try_from(HEADER).ok()?..usize::try_from(name_end).ok()?)?;
    Some(Read {
        kind: kind?,
        is_of_nixos: name.trim_end_with(|c| c == '\0') == OWNER,
        len: end.checked_next_multiple_of(padding)?.min(len64(rest)),
        descriptor: FileRange::new(FileOffset::new(start), end.checked_sub(start)?)?,
    })
}

/// Compares what the notes were with what stands there now, and in the place where their segment is now.
pub(super) fn cache(
    old: &Shape<'_, '_>,
    new: &Shape<'_, '_>,
    notes: &[CacheNote],
    new_strings: &[u8],
    change: &Change,
) -> Result<(), VerifyError> {
    const LIES: &str = "a resolution cache note agrees with the path, or is cleared";
    const LEFT: &str = "a resolution cache note that moved leaves nothing but zeros";
    if notes.is_empty() {
        return Ok(());
    }
    let is_same_path = old_path(old)?.as_deref().map(BStr::new) == change.path();
    let mut right = Vec::new();
    for note in notes {
        let start = note.range.start().get();
        let before = read(old.image, start, note.range.len())?;
        let mut is_right = false;
        for place in places(new, note) {
            let after = read(new.image, place, note.range.len())?;
            if (is_same_path && before == after)
                || is_cleared(new, note, &before, &after)
                || agrees(new, note, &before, &after, new_strings, change)
            {
                is_right = true;
                right.push(place);
            }
        }
        if !is_right {
            return Err(broken(10, LIES, start));
        }
        let table = new.table_offset..new.table_offset.saturating_add(new.table_size);
        let left = read(new.image, start, note.range.len())?;
        let mut pairs = (start..).zip(before.iter().zip(left.iter()));
        let wrong = pairs.find(|(at, (was, is))| was != is && **is != 0 && !table.contains(at));
        if let Some((at, _)) = wrong.filter(|_| !right.contains(&start)) {
            return Err(broken(10, LEFT, at));
        }
    }
    // Whatever else the loader would come to.
    match cache_notes(new)?.iter().find(|note| !right.contains(&note.range.start().get())) {
        Some(note) => Err(broken(10, LIES, note.range.start().get())),
        None => Ok(()),
    }
}

/// The file offsets at which a note can be now: at the same distance in a segment like the one that it was in.
fn places<'s>(new: &'s Shape<'_, '_>, note: &'s CacheNote) -> impl Iterator<Item = u64> {
    let like = |now: &&RawSegment| {
        let was = &note.segment;
        (now.kind, now.file_size, now.align) == (was.kind, was.file_size, was.align)
    };
    let all: Vec<&RawSegment> = new.segments.iter().filter(like).collect();
    // Where several moved, each is compared with what it was by invariant 4.
    let stays = all.iter().any(|now| now.offset == note.segment.offset);
    let here = all.into_iter().filter(move |now| !stays || now.offset == note.segment.offset);
    here.filter_map(|now| now.offset.checked_add(note.within))
}

/// Owner and sizes as they were, the type no longer that of a cache, and nothing in the descriptor.
fn is_cleared(new: &Shape<'_, '_>, note: &CacheNote, before: &[u8], after: &[u8]) -> bool {
    let is_same = |range: std::ops::Range<usize>| before.get(range.clone()) == after.get(range);
    let header = usize::try_from(HEADER).unwrap_or(usize::MAX);
    let owner = header..usize::try_from(note.descriptor.start().get()).unwrap_or(usize::MAX);
    let descriptor = note.descriptor.of(after).unwrap_or_default();
    is_same(0..8) && new.word(after, 8) == Some(0) && is_same(owner) && descriptor.iter().all(|byte| *byte == 0)
}

/// Header and owner as they were; every answer is for a library that is needed, from a directory that the path has, and
/// no directory stands in the path before all that the note knows.
fn agrees(
    new: &Shape<'_, '_>,
    note: &CacheNote,
    before: &[u8],
    after: &[u8],
    new_strings: &[u8],
    change: &Change,
) -> bool {
    let start = usize::try_from(note.descriptor.start().get()).unwrap_or(usize::MAX);
    let path = change.path().unwrap_or_default();
    let entries: Vec<&[u8]> = path.split(|byte| *byte == b':').filter(|_| !path.is_empty()).collect();
    let needed = new.dynamic.iter().filter(|(tag, _)| *tag == DT_NEEDED);
    let needed: BTreeSet<&[u8]> =
        needed.filter_map(|(_, offset)| text(new_strings, *offset)).map(AsRef::as_ref).collect();
    let Some(descriptor) = note.descriptor.of(after) else { return false };
    before.get(..start).is_some()
        && before.get(..start) == after.get(..start)
        && are_true(descriptor, &entries, &needed)
}

/// Pairs of NUL-terminated strings up to an empty soname, behind which there is nothing.
fn are_true(descriptor: &[u8], entries: &[&[u8]], needed: &BTreeSet<&[u8]>) -> bool {
    let has_tokens = entries.iter().any(|entry| entry.contains(&b'$'));
    let listed: HashSet<&[u8]> = entries.iter().copied().collect();
    let mut strings = descriptor.split(|byte| *byte == 0);
    while let Some(soname) = strings.next() {
        if soname.is_empty() {
            return strings.all(<[u8]>::is_empty);
        }
        let Some(answers) = strings.next().filter(|_| needed.contains(soname)) else { return false };
        let answers = answers.split(|byte| *byte == b':').filter(|_| !answers.is_empty());
        let known: Option<Vec<&[u8]>> = answers.map(directory).collect();
        let Some(known) = known else { return false };
        let is_listed = |directory: &&[u8]| has_tokens || listed.contains(*directory);
        let is_in_front = entries.first().is_none_or(|first| known.contains(first));
        if !known.iter().all(is_listed) || !is_in_front {
            return false;
        }
    }
    false
}

/// The directory of `=directory/file` or `?directory`.
fn directory(answer: &[u8]) -> Option<&[u8]> {
    match answer.split_first()? {
        (b'?', directory) => Some(directory),
        (b'=', file) => Some(file.rsplit_once_str("/").map_or(file, |(directory, _)| directory)),
        _ => None,
    }
}

/// The path that the loader used: DT_RUNPATH, else DT_RPATH.
fn old_path(old: &Shape<'_, '_>) -> Result<Option<Vec<u8>>, VerifyError> {
    let Some(offset) = old.value(super::error::DT_RUNPATH).or_else(|| old.value(super::error::DT_RPATH)) else {
        return Ok(None);
    };
    let strings = old.strings()?;
    Ok(text(&strings, offset).map(|text| text.to_vec()))
}
