//! Many ranges as a set, asked by bisection: each of millions of records must not be compared with each of thousands.

use super::units::FileRange;

/// The numbers in any of some ranges.
#[derive(Clone, Debug, Default)]
pub(super) struct RangeSet {
    /// Start and end, in order and apart from each other.
    ranges: Vec<(u64, u64)>,
}

impl RangeSet {
    /// Whether any number from `start` up to `end` is in it.
    pub(super) fn meets(&self, start: u64, end: u64) -> bool {
        let first = self.ranges.partition_point(|(_, range_end)| *range_end <= start);
        start < end && self.ranges.get(first).is_some_and(|(range_start, _)| *range_start < end)
    }

    /// Whether a number is in it.
    pub(super) fn has(&self, number: u64) -> bool {
        self.meets(number, number.saturating_add(1))
    }

    /// Whether any byte of a part of the file is in it.
    pub(super) fn intersects(&self, range: FileRange) -> bool {
        self.meets(range.start().get(), range.end().get())
    }

    /// The parts of the file that are in both, in order.
    pub(super) fn within(&self, range: FileRange) -> impl Iterator<Item = FileRange> {
        let (start, end) = (range.start().get(), range.end().get());
        let first = self.ranges.partition_point(|(_, range_end)| *range_end <= start);
        let behind = self.ranges.iter().skip(first).take_while(move |(range_start, _)| *range_start < end);
        behind.filter_map(move |(from, to)| FileRange::between((*from).max(start), (*to).min(end)))
    }
}

impl FromIterator<(u64, u64)> for RangeSet {
    fn from_iter<I: IntoIterator<Item = (u64, u64)>>(ranges: I) -> Self {
        let mut all: Vec<(u64, u64)> = ranges.into_iter().filter(|(start, end)| start < end).collect();
        all.sort_unstable();
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for (start, end) in all {
            match ranges.last_mut() {
                Some((_, last)) if start <= *last => *last = end.max(*last),
                _ => ranges.push((start, end)),
            }
        }
        Self { ranges }
    }
}

impl FromIterator<FileRange> for RangeSet {
    fn from_iter<I: IntoIterator<Item = FileRange>>(ranges: I) -> Self {
        ranges.into_iter().map(|range| (range.start().get(), range.end().get())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_asking_each_range() {
        let list = [(5, 9), (9, 12), (30, 30), (20, 25), (7, 8), (40, 41)];
        let set: RangeSet = list.into_iter().collect();
        assert_eq!(set.ranges, [(5, 12), (20, 25), (40, 41)]);
        for start in 0..50 {
            assert_eq!(set.has(start), list.iter().any(|(from, to)| *from <= start && start < *to), "{start}");
            for end in start..50 {
                let meets = list.iter().any(|(from, to)| (start.max(*from)) < end.min(*to));
                assert_eq!(set.meets(start, end), meets, "{start}..{end}");
                let parts = set.within(FileRange::between(start, end).unwrap());
                let len: u64 = parts.map(FileRange::len).sum();
                let wanted = (start..end).filter(|at| set.has(*at)).count();
                assert_eq!(len, u64::try_from(wanted).unwrap(), "{start}..{end}");
            }
        }
    }
}
