//! A file's bytes as they are or as they will be: the bytes on disk under a list of replacements.
//!
//! Lets the verifier compare before and after without a copy of the file.

use std::borrow::Cow;

use super::plan::{Content, Patch, Plan};
use super::units::{FileOffset, FileRange, len64};

/// Bytes of a file and where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Saved {
    /// Where they are.
    pub(crate) offset: FileOffset,
    /// What they are.
    pub(crate) bytes: Vec<u8>,
}

impl Saved {
    /// The range of the file; `None` when its end is past 2^64.
    #[must_use]
    pub(crate) fn range(&self) -> Option<FileRange> {
        FileRange::new(self.offset, len64(&self.bytes))
    }
}

/// A view of a file with some bytes replaced.
#[derive(Debug)]
pub(crate) struct Image<'a> {
    base: &'a [u8],
    len: u64,
    layers: Vec<(FileRange, &'a [u8])>,
}

impl<'a> Image<'a> {
    /// The bytes as they are.
    #[must_use]
    pub(crate) fn of(base: &'a [u8]) -> Self {
        Self { base, len: len64(base), layers: Vec::new() }
    }

    /// What a plan makes of a file. `None` when the plan is not for these bytes.
    #[must_use]
    pub(crate) fn planned(base: &'a [u8], plan: &'a Plan) -> Option<Self> {
        if plan.old_len == len64(base) { Self::patched(base, &plan.patches, plan.new_len) } else { None }
    }

    /// What a list of patches makes of a file, later ones over earlier ones. `None` when one of them copies bytes that
    /// the file does not have.
    #[must_use]
    pub(crate) fn patched(base: &'a [u8], patches: &'a [Patch], len: u64) -> Option<Self> {
        let mut image = Self { base, len, layers: Vec::with_capacity(patches.len()) };
        patches.iter().try_for_each(|patch| image.put(patch))?;
        Some(image)
    }

    /// Lays one more patch over everything. `None` when it copies bytes that the file does not have.
    pub(crate) fn put(&mut self, patch: &'a Patch) -> Option<()> {
        let bytes = match &patch.content {
            Content::Bytes(bytes) => bytes,
            Content::CopyOf(range) => range.of(self.base)?,
        };
        self.layers.push((patch.range()?, bytes));
        Some(())
    }

    /// The file's size in bytes.
    #[must_use]
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The ranges that an edit wrote.
    pub(crate) fn changed(&self) -> impl Iterator<Item = FileRange> {
        self.layers.iter().map(|(range, _)| *range)
    }

    /// As many bytes from the start of a range on as lie in one piece, without a copy: up to where other bytes were put
    /// over them. `None` past the end of the file.
    #[must_use]
    pub(crate) fn run(&self, range: FileRange) -> Option<&'a [u8]> {
        if range.end().get() > self.len {
            return None;
        }
        let from = range.start();
        let is_there = |(layer, _): &(FileRange, &[u8])| layer.start() <= from && from < layer.end();
        let on_top = self.layers.iter().rposition(is_there);
        let above = self.layers.iter().skip(on_top.map_or(0, |index| index.saturating_add(1)));
        let covered = above.map(|(layer, _)| layer.start()).filter(|start| *start > from).min();
        let whole = FileRange::new(FileOffset::new(0), len64(self.base))?;
        let (layer, content) = on_top.and_then(|index| self.layers.get(index)).copied().unwrap_or((whole, self.base));
        let end = covered.unwrap_or(range.end()).min(range.end()).min(layer.end());
        let Some(len) = end.since(from) else { return Some(&[]) };
        part(FileRange::new(from, len)?, layer, content)
    }

    /// The bytes of a range; `None` past the end of the file, but for those of an empty range. Bytes that nothing sets are zero, as in a hole.
    #[must_use]
    pub(crate) fn read(&self, range: FileRange) -> Option<Cow<'a, [u8]>> {
        if range.is_empty() {
            return Some(Cow::Borrowed(&[]));
        }
        if range.end().get() > self.len {
            return None;
        }
        let hits = self.layers.iter().filter(|(layer, _)| layer.intersects(range));
        match hits.clone().next_back() {
            // What lies under it does not show.
            Some((layer, content)) if layer.covers(range) => return part(range, *layer, content).map(Cow::Borrowed),
            Some(_) => {}
            None => {
                if let Some(bytes) = range.of(self.base) {
                    return Some(Cow::Borrowed(bytes));
                }
            }
        }
        let len = usize::try_from(range.len()).ok()?;
        let inside = FileRange::new(FileOffset::new(0), len64(self.base))?.intersection(range);
        let mut bytes = Vec::with_capacity(len);
        bytes.extend_from_slice(inside.map_or(Some(&[][..]), |inside| inside.of(self.base))?);
        bytes.resize(len, 0);
        for (layer, content) in hits {
            lay(&mut bytes, range, *layer, content)?;
        }
        Some(Cow::Owned(bytes))
    }
}

/// Copies the part of a layer that lies in a range.
fn lay(target: &mut [u8], range: FileRange, layer: FileRange, content: &[u8]) -> Option<()> {
    let Some(both) = layer.intersection(range) else { return Some(()) };
    let to = usize::try_from(both.start().since(range.start())?).ok()?;
    let bytes = part(both, layer, content)?;
    target.get_mut(to..to.checked_add(bytes.len())?)?.copy_from_slice(bytes);
    Some(())
}

/// The part of a layer's bytes that a range inside of it names.
fn part(range: FileRange, layer: FileRange, content: &[u8]) -> Option<&[u8]> {
    let from = usize::try_from(range.start().since(layer.start())?).ok()?;
    content.get(from..from.checked_add(usize::try_from(range.len()).ok()?)?)
}

/// The whole file that a plan makes: for small files and for tests; writers go patch by patch.
#[must_use]
pub fn apply(base: &[u8], plan: &Plan) -> Option<Vec<u8>> {
    let image = Image::planned(base, plan)?;
    image.read(FileRange::new(FileOffset::new(0), image.len())?).map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_what_reading_gives_as_far_as_it_goes() {
        let base: Vec<u8> = (0..40).collect();
        let patch = |at, len: usize, byte| Patch {
            stage: crate::elf::plan::Stage::Content,
            offset: FileOffset::new(at),
            content: Content::Bytes(vec![byte; len]),
        };
        let patches = [patch(5, 10, 100), patch(8, 2, 101), patch(30, 20, 102), patch(60, 4, 103)];
        let image = Image::patched(&base, &patches, 64).unwrap();
        // Ends of the pieces: other bytes over them, or a hole that nothing sets.
        let ends = [5, 8, 10, 15, 30, 50, 60, 64];
        for from in 0..64 {
            for len in 0..=64 - from {
                let range = FileRange::new(FileOffset::new(from), len).unwrap();
                let run = image.run(range).unwrap();
                let end = ends.into_iter().find(|end| *end > from).unwrap().min(from + len);
                let wanted = if (50..60).contains(&from) { from } else { end };
                assert_eq!(len64(run), wanted - from, "{range}");
                assert_eq!(run, &image.read(range).unwrap()[..run.len()], "{range}");
            }
        }
        assert_eq!(image.run(FileRange::new(FileOffset::new(60), 5).unwrap()), None);
    }
}
