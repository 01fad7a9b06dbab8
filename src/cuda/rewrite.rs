//! What a container becomes when some of its entries stay, as patches.
//!
//! For a new file: the header with another `payload_size`, the entries that stay packed behind it, zeros.
//!
//! In the file itself every step leaves a container that the run time reads to its end, with what the targets need, so
//! that a killed run has done no harm and the next one goes on. An entry that goes is first made to reach up to the next
//! one that stays; that one is copied over its contents, and behind the copy comes the header of what remains; then one
//! write of a header makes the copy the entry. What is left at the end becomes one entry, whose contents become zeros while
//! it still is one; then `payload_size` shrinks, and its header is the last to go: [`super::remains::is_remains`] knows it, and nothing
//! else, behind a container. Where an entry is too long to be moved over what goes in front of it, that stays.

use super::fatbin::ENTRY;
use super::field::len;
use super::remains::rest_of;
use super::slim::{Fate, Targets};
use super::spans::FatBinary;
use crate::elf::plan::{Content, Patch, Stage};
use crate::elf::slim::Rewrite;
use crate::elf::units::{FileOffset, FileRange};

/// Where a container says how long its payload is, and an entry how long it is behind its header.
const SIZE: u64 = 8;

fn patch(offset: FileOffset, content: Content) -> Patch {
    Patch { stage: Stage::Content, offset, content }
}

fn number(value: u64) -> Content {
    Content::Bytes(value.to_le_bytes().to_vec())
}

/// A container of a new file, of which only some entries stay.
#[must_use]
pub(crate) fn anew(binary: &FatBinary, kept: &[FileRange]) -> Option<Rewrite> {
    let start = binary.range.start();
    let size = kept.iter().map(|range| range.len()).try_fold(0_u64, u64::checked_add)?;
    let mut patches =
        vec![patch(start, Content::CopyOf(FileRange::new(start, SIZE)?)), patch(start.plus(SIZE)?, number(size))];
    let mut at = start.plus(FatBinary::HEADER)?;
    for range in kept {
        patches.push(patch(at, Content::CopyOf(*range)));
        at = at.plus(range.len())?;
    }
    let rest = binary.range.end().since(at)?;
    if rest > 0 {
        patches.push(patch(at, Content::Zero(rest)));
    }
    Some(Rewrite { range: binary.range, patches })
}

/// The same in the file itself, and how many bytes stay although no target needs them. No rewrite where nothing can go.
#[must_use]
pub(crate) fn where_it_is(file: &[u8], binary: &FatBinary, kept: &[FileRange]) -> Option<(Option<Rewrite>, u64)> {
    let wanted = kept.iter().map(|range| range.len()).fold(0, u64::saturating_add);
    let movable = StepsInPlace::of(file, binary, kept).map(|steps| (steps, wanted));
    let (steps, size) = match movable {
        Some(movable) => movable,
        None => {
            // Only what is behind the last one goes.
            let start = binary.payload()?.start();
            let end = kept.last().map_or(Some(start), |last| Some(last.end()))?;
            let size = end.since(start)?;
            (StepsInPlace { patches: Vec::new(), dead: None }, size)
        }
    };
    let payload = binary.payload()?;
    let rest = payload.len().checked_sub(size)?;
    let stays = size.checked_sub(wanted)?;
    if rest == 0 {
        return Some((None, stays));
    }
    let (fixed, tail) = (len(ENTRY), payload.start().plus(size)?);
    let head = match steps.dead {
        Some(head) => head,
        None => FileRange::new(tail, fixed)?.of(file)?.to_vec(),
    };
    let mut patches = steps.patches;
    patches.push(patch(tail, Content::Bytes(rest_of(&head, rest)?)));
    let contents = rest.checked_sub(fixed)?;
    if contents > 0 {
        patches.push(patch(tail.plus(fixed)?, Content::Zero(contents)));
    }
    patches.push(patch(binary.range.start().plus(SIZE)?, number(size)));
    patches.push(patch(tail, Content::Zero(fixed)));
    Some((Some(Rewrite { range: binary.range, patches }), stays))
}

/// The steps in front of the last two.
struct StepsInPlace {
    patches: Vec<Patch>,
    /// The header of what the last move left.
    dead: Option<Vec<u8>>,
}

impl StepsInPlace {
    /// `None` where an entry that stays does not fit over what goes in front of it.
    fn of(file: &[u8], binary: &FatBinary, kept: &[FileRange]) -> Option<Self> {
        let fixed = len(ENTRY);
        let mut patches = Vec::new();
        let mut at = binary.payload()?.start();
        // What begins at `at` is the first entry that goes, or what the last move left; its first bytes are these.
        let mut dead: Option<Vec<u8>> = None;
        for range in kept {
            let gap = range.start().since(at)?;
            if gap == 0 {
                at = range.end();
                continue;
            }
            let size = range.len();
            if size > gap || (size < gap && size.checked_add(fixed)? > gap) || gap < fixed {
                return None;
            }
            let head = match dead.take() {
                Some(head) => head,
                None => FileRange::new(at, fixed)?.of(file)?.to_vec(),
            };
            let own = u64::from(u32::from_le_bytes(head.get(4..8)?.try_into().ok()?));
            // 1: what goes reaches up to what stays.
            patches.push(patch(at.plus(SIZE)?, number(gap.checked_sub(own)?)));
            // 2: all but the first bytes of the copy, and behind it the header of what remains.
            let behind = FileRange::new(range.start().plus(fixed)?, size.checked_sub(fixed)?)?;
            if !behind.is_empty() {
                patches.push(patch(at.plus(fixed)?, Content::CopyOf(behind)));
            }
            let next = at.plus(size)?;
            let rest = rest_of(&head, gap)?;
            if size < gap {
                patches.push(patch(next, Content::Bytes(rest.clone())));
            }
            // 3: the copy is the entry.
            patches.push(patch(at, Content::CopyOf(FileRange::new(range.start(), fixed)?)));
            if size == gap {
                // The copy ends just where its original begins. That goes only now: what is moved over it next must not
                // be taken for it.
                patches.push(patch(next, Content::Bytes(rest.clone())));
            }
            dead = Some(rest);
            at = next;
        }
        Some(Self { patches, dead })
    }
}

/// What becomes of all containers of a file in a new file: those that are rewritten, in order.
#[must_use]
pub(crate) fn all_anew(binaries: &[(&FatBinary, Fate)]) -> Option<Vec<Rewrite>> {
    let rewritten = binaries.iter().filter_map(|(binary, fate)| match fate {
        Fate::Rewritten(kept) => Some(anew(binary, kept)),
        Fate::Whole | Fate::LeftAlone(_) => None,
    });
    rewritten.collect()
}

impl Targets {
    /// The same in the file itself, and how many bytes stay that no target needs.
    #[must_use]
    pub(crate) fn all_in_place(file: &[u8], binaries: &[(&FatBinary, Fate)]) -> Option<(Vec<Rewrite>, u64)> {
        let (mut rewrites, mut all_that_stays) = (Vec::new(), 0_u64);
        for (binary, fate) in binaries {
            if let Fate::Rewritten(kept) = fate {
                let (rewrite, stays) = where_it_is(file, binary, kept)?;
                rewrites.extend(rewrite);
                all_that_stays = all_that_stays.saturating_add(stays);
            }
        }
        Some((rewrites, all_that_stays))
    }
}
