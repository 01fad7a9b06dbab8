//! A file's bytes as they are or as they will be: the bytes on disk under a list of replacements.
//!
//! Lets the verifier compare before and after without a copy of the file.

use std::borrow::Cow;
use std::collections::BTreeMap;

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
    changed: Vec<FileRange>,
    /// What shows of the patches, by the start of each part: a read must not ask every patch.
    shown: BTreeMap<u64, Shown<'a>>,
}

/// So many zeros are lent at once.
const MOST_ZEROS: u64 = 1 << 16;
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// A part of what patches set.
#[derive(Clone, Copy, Debug)]
enum Shown<'a> {
    Bytes(&'a [u8]),
    /// So many.
    Zeros(u64),
}

impl<'a> Shown<'a> {
    fn len(self) -> u64 {
        match self {
            Self::Bytes(bytes) => len64(bytes),
            Self::Zeros(len) => len,
        }
    }

    /// Two parts, both with bytes.
    fn split_at(self, within: u64) -> Option<(Self, Self)> {
        let rest = self.len().checked_sub(within).filter(|rest| *rest > 0 && within > 0)?;
        Some(match self {
            Self::Bytes(bytes) => {
                let (front, back) = bytes.split_at_checked(usize::try_from(within).ok()?)?;
                (Self::Bytes(front), Self::Bytes(back))
            }
            Self::Zeros(_) => (Self::Zeros(within), Self::Zeros(rest)),
        })
    }

    /// As much of some of it as can be lent in one piece.
    fn piece(self, from: u64, len: u64) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => {
                let from = usize::try_from(from).ok()?;
                bytes.get(from..from.checked_add(usize::try_from(len).ok()?)?)
            }
            Self::Zeros(_) => ZEROS.get(..usize::try_from(len.min(MOST_ZEROS)).ok()?),
        }
    }
}

impl<'a> Image<'a> {
    /// The bytes as they are.
    #[must_use]
    pub(crate) fn of(base: &'a [u8]) -> Self {
        Self { base, len: len64(base), changed: Vec::new(), shown: BTreeMap::new() }
    }

    /// The bytes as they are, of a file that patches are to give another length.
    #[must_use]
    pub(crate) fn growing(base: &'a [u8], len: u64) -> Self {
        Self { len, ..Self::of(base) }
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
        let mut image = Self::growing(base, len);
        patches.iter().try_for_each(|patch| image.put(patch))?;
        Some(image)
    }

    /// Lays one more patch over everything. `None` when it copies bytes that the file does not have.
    pub(crate) fn put(&mut self, patch: &'a Patch) -> Option<()> {
        let shown = match &patch.content {
            Content::Bytes(bytes) => Shown::Bytes(bytes),
            Content::CopyOf(range) => Shown::Bytes(range.of(self.base)?),
            Content::Zero(len) => Shown::Zeros(*len),
        };
        let range = patch.range()?;
        let (start, end) = (range.start().get(), range.end().get());
        self.split_at(start)?;
        self.split_at(end)?;
        let under: Vec<u64> = self.shown.range(start..end).map(|(at, _)| *at).collect();
        for at in under {
            self.shown.remove(&at);
        }
        if shown.len() > 0 {
            self.shown.insert(start, shown);
        }
        self.changed.push(range);
        Some(())
    }

    /// Parts in two what shows at an offset.
    fn split_at(&mut self, offset: u64) -> Option<()> {
        let Some((start, shown)) = self.shown.range(..offset).next_back().map(|(start, shown)| (*start, *shown)) else {
            return Some(());
        };
        if let Some((front, back)) = shown.split_at(offset.checked_sub(start)?) {
            self.shown.insert(start, front);
            self.shown.insert(offset, back);
        }
        Some(())
    }

    /// The file's size in bytes.
    #[must_use]
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The ranges that an edit wrote.
    pub(crate) fn changed(&self) -> impl Iterator<Item = FileRange> {
        self.changed.iter().copied()
    }

    /// The last part that begins before an offset.
    fn last_before(&self, end: FileOffset) -> Option<(FileRange, Shown<'a>)> {
        if self.shown.is_empty() {
            return None;
        }
        let (at, shown) = self.shown.range(..end.get()).next_back()?;
        Some((FileRange::new(FileOffset::new(*at), shown.len())?, *shown))
    }

    /// The parts that show in a range and around its ends, each with its range.
    fn parts(&self, range: FileRange) -> impl Iterator<Item = (FileRange, Shown<'a>)> {
        let (start, end) = (range.start().get(), range.end().get());
        let first = self.shown.range(..start).next_back();
        let parts = first.into_iter().chain(self.shown.range(start..end));
        let parts = parts.filter_map(|(at, shown)| Some((FileRange::new(FileOffset::new(*at), shown.len())?, *shown)));
        parts.filter(move |(part, _)| part.intersects(range))
    }

    /// As many bytes from the start of a range on as lie in one piece, without a copy: up to where other bytes were put
    /// over them. `None` past the end of the file.
    #[must_use]
    pub(crate) fn run(&self, range: FileRange) -> Option<&'a [u8]> {
        if range.end().get() > self.len {
            return None;
        }
        let from = range.start();
        let (part, content) = match self.last_before(from.plus(1)?) {
            Some((part, content)) if from < part.end() => (part, content),
            _ => {
                let above = if self.shown.is_empty() { None } else { self.shown.range(from.get()..).next() };
                let end = above.map_or(u64::MAX, |(start, _)| *start).min(len64(self.base));
                (FileRange::between(0, end)?, Shown::Bytes(self.base))
            }
        };
        let end = range.end().min(part.end());
        let Some(len) = end.since(from) else { return Some(&[]) };
        content.piece(from.since(part.start())?, len)
    }

    /// The pieces of a range, each with its offset, as far as bytes are lent: what a hole has that nothing sets is left
    /// out.
    pub(crate) fn runs(&self, range: FileRange) -> impl Iterator<Item = (u64, &'a [u8])> {
        let mut at = range.start().get();
        std::iter::from_fn(move || {
            let rest = FileRange::between(at, range.end().get()).filter(|rest| !rest.is_empty())?;
            let run = self.run(rest).filter(|run| !run.is_empty())?;
            let start = at;
            at = at.checked_add(len64(run))?;
            Some((start, run))
        })
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
        // Nearly every read is of bytes that are all changed by one patch, or all of them as they were.
        match self.last_before(range.end()) {
            Some((part, content)) if part.covers(range) => {
                let piece = content.piece(range.start().since(part.start())?, range.len())?;
                if len64(piece) == range.len() {
                    return Some(Cow::Borrowed(piece));
                }
            }
            Some((part, _)) if part.intersects(range) => {}
            _ => {
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
        for (part, content) in self.parts(range) {
            lay(&mut bytes, range, part, content)?;
        }
        Some(Cow::Owned(bytes))
    }
}

/// Copies the part of some content that lies in a range.
fn lay(target: &mut [u8], range: FileRange, part: FileRange, content: Shown<'_>) -> Option<()> {
    let Some(both) = part.intersection(range) else { return Some(()) };
    let to = usize::try_from(both.start().since(range.start())?).ok()?;
    let target = target.get_mut(to..to.checked_add(usize::try_from(both.len()).ok()?)?)?;
    match content {
        Shown::Zeros(_) => target.fill(0),
        Shown::Bytes(_) => target.copy_from_slice(content.piece(both.start().since(part.start())?, both.len())?),
    }
    Some(())
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
        let zeros = Patch { content: Content::Zero(2), ..patch(12, 0, 0) };
        let patches = [patch(5, 10, 100), zeros, patch(8, 2, 101), patch(30, 20, 102), patch(60, 4, 103)];
        let image = Image::patched(&base, &patches, 64).unwrap();
        assert_eq!(image.read(FileRange::between(11, 15).unwrap()).unwrap()[..], [100, 0, 0, 100]);
        // Ends of the pieces: other bytes over them, or a hole that nothing sets.
        let ends = [5, 8, 10, 12, 14, 15, 30, 50, 60, 64];
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
