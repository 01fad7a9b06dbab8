//! A file's bytes as they are, as they will be or as they were: the bytes on disk under a list of replacements.
//!
//! Lets one verifier compare before and after, whether the plan was carried out or not, without a copy of the file.

use std::borrow::Cow;

use super::plan::{Content, Patch, Plan};
use super::units::{FileOffset, FileRange, len64};

/// Bytes that an in-place edit replaced, in file order of the writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Where they were.
    pub offset: FileOffset,
    /// What they were.
    pub bytes: Vec<u8>,
}

/// A view of a file with some bytes replaced.
#[derive(Debug)]
pub struct Image<'a> {
    base: &'a [u8],
    len: u64,
    layers: Vec<(FileRange, &'a [u8])>,
    changed: Vec<FileRange>,
}

impl<'a> Image<'a> {
    /// The bytes as they are.
    #[must_use]
    pub fn of(base: &'a [u8]) -> Self {
        Self { base, len: len64(base), layers: Vec::new(), changed: Vec::new() }
    }

    /// What a plan makes of a file. `None` when the plan is not for these bytes.
    #[must_use]
    pub fn planned(base: &'a [u8], plan: &'a Plan) -> Option<Self> {
        if plan.old_len != len64(base) {
            return None;
        }
        let mut layers = Vec::new();
        for patch in &plan.patches {
            let bytes = match &patch.content {
                Content::Bytes(bytes) => bytes,
                Content::CopyOf(range) => range.of(base)?,
            };
            layers.push((patch.range()?, bytes));
        }
        let changed = layers.iter().map(|(range, _)| *range).collect();
        Some(Self { base, len: plan.new_len, layers, changed })
    }

    /// What a plan has made of a file, as the file is now. `None` when it has not the size that the plan says.
    #[must_use]
    pub fn written(base: &'a [u8], plan: &Plan) -> Option<Self> {
        let changed = plan.patches.iter().filter_map(Patch::range).collect();
        (len64(base) == plan.new_len).then_some(Self { base, len: plan.new_len, layers: Vec::new(), changed })
    }

    /// What a file was before an in-place edit replaced the saved bytes.
    #[must_use]
    pub fn before(base: &'a [u8], old_len: u64, saved: &'a [Saved]) -> Option<Self> {
        let layers =
            saved.iter().map(|old| Some((FileRange::new(old.offset, len64(&old.bytes))?, old.bytes.as_slice())));
        let layers: Vec<_> = layers.collect::<Option<_>>()?;
        let changed = layers.iter().map(|(range, _)| *range).collect();
        Some(Self { base, len: old_len, layers, changed })
    }

    /// The file's size in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the file is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The ranges that an edit wrote.
    pub fn changed(&self) -> impl Iterator<Item = FileRange> {
        self.changed.iter().copied()
    }

    /// The bytes of a range; `None` past the end of the file. Bytes that nothing sets are zero, as in a hole.
    #[must_use]
    pub fn read(&self, range: FileRange) -> Option<Cow<'a, [u8]>> {
        if range.end().get() > self.len {
            return None;
        }
        let mut hits = self.layers.iter().filter(|(layer, _)| layer.intersects(range)).peekable();
        if hits.peek().is_none()
            && let Some(bytes) = range.of(self.base)
        {
            return Some(Cow::Borrowed(bytes));
        }
        let mut bytes = vec![0; usize::try_from(range.len()).ok()?];
        let base = FileRange::new(FileOffset::new(0), len64(self.base))?;
        lay(&mut bytes, range, base, self.base)?;
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
    let from = usize::try_from(both.start().since(layer.start())?).ok()?;
    let len = usize::try_from(both.len()).ok()?;
    target.get_mut(to..to.checked_add(len)?)?.copy_from_slice(content.get(from..from.checked_add(len)?)?);
    Some(())
}

/// The whole file that a plan makes: for small files and for tests; writers go patch by patch.
#[must_use]
pub fn apply(base: &[u8], plan: &Plan) -> Option<Vec<u8>> {
    let image = Image::planned(base, plan)?;
    image.read(FileRange::new(FileOffset::new(0), image.len())?).map(Cow::into_owned)
}
