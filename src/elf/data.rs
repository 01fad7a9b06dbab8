//! Where a file has data. A hole costs nothing on the disk and can have terabytes: what looks for something that is not
//! zero passes over it.

use super::ranges::RangeSet;
use super::units::FileRange;

/// The parts of a file that are not holes. Zeros may be among them; in what is left out there is nothing else.
#[derive(Clone, Debug, Default)]
pub(crate) struct DataMap(Option<RangeSet>);

/// Of a file whose holes are not known.
pub(super) static EVERYWHERE: DataMap = DataMap(None);

impl DataMap {
    /// Of a file with data in these parts only.
    #[must_use]
    pub(crate) fn of(ranges: impl IntoIterator<Item = FileRange>) -> Self {
        Self(Some(ranges.into_iter().collect()))
    }

    /// The same of a part of the file, counted from its start.
    #[must_use]
    pub(crate) fn part(&self, range: FileRange) -> Self {
        let start = range.start().get();
        let moved = |part: FileRange| {
            FileRange::between(part.start().get().checked_sub(start)?, part.end().get().checked_sub(start)?)
        };
        Self(self.0.as_ref().map(|data| data.within(range).filter_map(moved).collect()))
    }

    /// The parts of a range that may have data, in order, each with the first byte of the hole behind it: that ends a
    /// string.
    pub(crate) fn within(&self, range: FileRange) -> impl Iterator<Item = FileRange> {
        let whole = self.0.is_none().then_some(range);
        whole
            .into_iter()
            .chain(self.0.iter().flat_map(move |data| data.within(range)).map(move |part| with_one_more(part, range)))
    }
}

fn with_one_more(part: FileRange, range: FileRange) -> FileRange {
    let (start, end) = (part.start().get(), part.end().get());
    FileRange::between(start, end.saturating_add(1).min(range.end().get())).unwrap_or(part)
}
