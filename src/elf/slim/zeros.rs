//! Which bytes of a new file are zero, as far as that is worth knowing: what its plan sets to zero, and what adjoins that.

use crate::elf::plan::{Content, Patch};
use crate::elf::runs::{zeros, zeros_at_the_end};
use crate::elf::units::{FileOffset, FileRange};

/// The zeros of the plan of a new file, and those of the old file in some parts of it, in order and joined where they
/// adjoin. Offsets are those before anything leaves the file.
#[must_use]
pub(crate) fn zero_ranges(file: &[u8], patches: &[Patch], gaps: &[FileRange]) -> Vec<FileRange> {
    let planned = patches.iter().filter(|patch| matches!(patch.content, Content::Zero(_)));
    let mut found: Vec<FileRange> = planned.filter_map(Patch::range).collect();
    for gap in gaps {
        let Some(bytes) = gap.of(file) else { continue };
        // What separates containers is zeros as a whole, or begins or ends with some.
        let front = zeros(bytes);
        found.extend(FileRange::new(gap.start(), u64::try_from(front).unwrap_or(0)));
        if front < bytes.len() {
            let back = u64::try_from(zeros_at_the_end(bytes)).unwrap_or(0);
            let start = gap.end().get().saturating_sub(back);
            found.extend(FileRange::new(FileOffset::new(start), back));
        }
    }
    found.retain(|range| !range.is_empty());
    found.sort_unstable();
    let mut joined: Vec<FileRange> = Vec::with_capacity(found.len());
    for range in found {
        match joined.last_mut() {
            Some(last) if range.start() <= last.end() => {
                *last = FileRange::between(last.start().get(), last.end().max(range.end()).get()).unwrap_or(*last);
            }
            _ => joined.push(range),
        }
    }
    joined
}
