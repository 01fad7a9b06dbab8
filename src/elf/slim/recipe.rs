//! The plan of a slimmed file.

use crate::elf::plan::{Content, Patch, Stage};
use crate::elf::units::{FileOffset, FileRange};

/// A part of a file that gets other contents of the same length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rewrite {
    /// All of it.
    pub(crate) range: FileRange,
    /// What it becomes. For a new file: every byte of it once, in order. In the file itself: what changes, in an order in
    /// which every step is sound, read from the file as it was.
    pub(crate) patches: Vec<Patch>,
}

/// What the new file is beside the old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlimShape {
    /// The old file itself, in ordered writes.
    InPlace,
    /// A new file in which everything is where it was.
    SameLayout,
    /// A new file that has no bytes for pages of zeros.
    Compacted {
        /// How many runs of pages left it.
        runs: u64,
    },
}

/// How to slim a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SlimPlan {
    /// What is set, in order.
    pub(crate) patches: Vec<Patch>,
    /// The file's size before, in bytes.
    pub(crate) old_len: u64,
    /// The file's size after, in bytes.
    pub(crate) new_len: u64,
    /// The parts that get other contents, in the old file; in order.
    pub(crate) rewritten: Vec<FileRange>,
    /// What the patches make.
    pub(crate) shape: SlimShape,
}

/// A new file of the same layout; `None` when the parts overlap or lie outside of the file.
#[must_use]
pub(crate) fn new_file(old_len: u64, mut rewrites: Vec<Rewrite>) -> Option<SlimPlan> {
    rewrites.sort_by_key(|rewrite| rewrite.range);
    let mut patches = Vec::new();
    let mut rewritten = Vec::with_capacity(rewrites.len());
    let mut at = 0_u64;
    for rewrite in rewrites {
        copy(&mut patches, FileRange::between(at, rewrite.range.start().get())?);
        patches.extend(rewrite.patches);
        rewritten.push(rewrite.range);
        at = rewrite.range.end().get();
    }
    copy(&mut patches, FileRange::between(at, old_len)?);
    Some(SlimPlan { patches, old_len, new_len: old_len, rewritten, shape: SlimShape::SameLayout })
}

/// The file itself; `None` when the parts overlap.
#[must_use]
pub(crate) fn in_place(old_len: u64, mut rewrites: Vec<Rewrite>) -> Option<SlimPlan> {
    rewrites.sort_by_key(|rewrite| rewrite.range);
    let mut pairs = rewrites.iter().zip(rewrites.iter().skip(1));
    let is_apart = pairs.all(|(first, second)| first.range.end() <= second.range.start());
    let rewritten = rewrites.iter().map(|rewrite| rewrite.range).collect();
    let patches = rewrites.into_iter().flat_map(|rewrite| rewrite.patches).collect();
    is_apart.then_some(SlimPlan { patches, old_len, new_len: old_len, rewritten, shape: SlimShape::InPlace })
}

/// Goes on with bytes that stay where they are.
fn copy(patches: &mut Vec<Patch>, range: FileRange) {
    if !range.is_empty() {
        patches.push(patch(range.start(), Content::CopyOf(range)));
    }
}

pub(super) fn patch(offset: FileOffset, content: Content) -> Patch {
    Patch { stage: Stage::Content, offset, content }
}
