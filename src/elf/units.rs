//! Quantities that must not be mixed up: where a byte lies in the file, in memory and in the string table.
//!
//! There is no conversion between them but through a segment, and every sum is checked: the values come from files
//! that no check vouches for.

use std::fmt;

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// Wraps a value in bytes.
            #[must_use]
            pub const fn new(bytes: u64) -> Self {
                Self(bytes)
            }

            /// The value in bytes.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }

            /// This many bytes further, unless that is past 2^64.
            #[must_use]
            pub(crate) const fn plus(self, bytes: u64) -> Option<Self> {
                match self.0.checked_add(bytes) {
                    Some(sum) => Some(Self(sum)),
                    None => None,
                }
            }

            /// How many bytes this lies behind `earlier`, unless it lies before it.
            #[must_use]
            pub(crate) const fn since(self, earlier: Self) -> Option<u64> {
                self.0.checked_sub(earlier.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }
    };
}

quantity!(
    /// A position in the file, in bytes from its start.
    FileOffset
);
quantity!(
    /// A virtual address before relocation, in bytes (gABI 5.4 "Program Header", `p_vaddr`).
    Address
);
quantity!(
    /// A position in the dynamic string table, in bytes from DT_STRTAB.
    StringOffset
);

/// A power of two; "not a power of two" cannot be expressed (the exponent is what is stored).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Alignment(u8);

impl Alignment {
    /// No constraint.
    pub(crate) const ONE: Self = Self(0);
    /// 16 bytes: enough for every ELF record.
    pub(crate) const SIXTEEN: Self = Self(4);
    /// 4096 bytes: the smallest page of any kernel.
    pub(crate) const SMALLEST_PAGE: Self = Self(12);

    /// Reads `p_align` or `sh_addralign`, where 0 and 1 both mean "none".
    #[must_use]
    pub(crate) fn new(value: u64) -> Option<Self> {
        match value {
            0 => Some(Self::ONE),
            value if value.is_power_of_two() => u8::try_from(value.trailing_zeros()).ok().map(Self),
            _ => None,
        }
    }

    /// The alignment in bytes.
    #[must_use]
    pub(crate) fn get(self) -> u64 {
        1_u64.checked_shl(u32::from(self.0)).unwrap_or(1 << 63)
    }

    /// How far a value lies behind the last multiple.
    #[must_use]
    pub(crate) fn remainder(self, value: u64) -> u64 {
        value & self.mask()
    }

    /// The last multiple at or before a value.
    #[must_use]
    pub(crate) fn down(self, value: u64) -> u64 {
        value & !self.mask()
    }

    /// The first multiple at or behind a value, unless that is past 2^64.
    #[must_use]
    pub(crate) fn up(self, value: u64) -> Option<u64> {
        value.checked_add(self.mask()).map(|sum| sum & !self.mask())
    }

    /// The first value at or behind `from` that leaves the same remainder as `like`.
    #[must_use]
    pub(crate) fn up_congruent(self, from: u64, like: u64) -> Option<u64> {
        let step = like.wrapping_sub(from) & self.mask();
        from.checked_add(step)
    }

    fn mask(self) -> u64 {
        self.get().wrapping_sub(1)
    }
}

/// A half-open range of file offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileRange {
    start: u64,
    end: u64,
}

impl FileRange {
    /// `len` bytes at `start`, unless the end is past 2^64.
    #[must_use]
    pub(crate) fn new(start: FileOffset, len: u64) -> Option<Self> {
        Some(Self { start: start.get(), end: start.get().checked_add(len)? })
    }

    /// The bytes from one offset up to another, unless that lies in front of it.
    #[must_use]
    pub(crate) fn between(start: u64, end: u64) -> Option<Self> {
        (start <= end).then_some(Self { start, end })
    }

    /// The first byte.
    #[must_use]
    pub(crate) fn start(self) -> FileOffset {
        FileOffset::new(self.start)
    }

    /// The byte behind the last one.
    #[must_use]
    pub fn end(self) -> FileOffset {
        FileOffset::new(self.end)
    }

    /// The number of bytes.
    #[must_use]
    pub(crate) fn len(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether there is no byte in it.
    #[must_use]
    pub(crate) fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Whether every byte of `inner` lies in this range; an empty range at either edge does.
    #[must_use]
    pub(crate) fn covers(self, inner: Self) -> bool {
        self.start <= inner.start && inner.end <= self.end
    }

    /// Whether a byte lies in both.
    #[must_use]
    pub(crate) fn intersects(self, other: Self) -> bool {
        self.start.max(other.start) < self.end.min(other.end)
    }

    /// The bytes that lie in both.
    #[must_use]
    pub(crate) fn intersection(self, other: Self) -> Option<Self> {
        let both = Self { start: self.start.max(other.start), end: self.end.min(other.end) };
        (both.start < both.end).then_some(both)
    }

    /// The bytes of this range in the whole file's bytes; `None` when it reaches past their end.
    #[must_use]
    pub fn of(self, file: &[u8]) -> Option<&[u8]> {
        file.get(usize::try_from(self.start).ok()?..usize::try_from(self.end).ok()?)
    }
}

impl fmt::Display for FileRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}..{:#x}", self.start, self.end)
    }
}

/// The length of a slice, as the files count it.
#[must_use]
pub(crate) fn len64<T>(items: &[T]) -> u64 {
    u64::try_from(items.len()).unwrap_or(u64::MAX)
}

/// A sum or product of file offsets, addresses and sizes that is no such number any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an offset, address or size does not fit")]
pub(crate) struct Overflow;

impl From<Overflow> for &'static str {
    fn from(_: Overflow) -> Self {
        "an offset, address or size does not fit"
    }
}

/// For the results of checked arithmetic.
pub(crate) trait Fits<T> {
    /// The number, or that there is none.
    ///
    /// # Errors
    /// [`Overflow`] where the arithmetic had no result.
    fn fits(self) -> Result<T, Overflow>;
}

impl<T> Fits<T> for Option<T> {
    fn fits(self) -> Result<T, Overflow> {
        self.ok_or(Overflow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alignments() {
        let page = Alignment::new(0x1000).unwrap();
        assert_eq!(
            (page.get(), page.down(0x1fff), page.up(0x1001), page.remainder(0x1234)),
            (0x1000, 0x1000, Some(0x2000), 0x234)
        );
        assert_eq!(page.up(u64::MAX), None);
        assert_eq!(page.up_congruent(0x2001, 0x10), Some(0x2010));
        assert_eq!(page.up_congruent(0x2011, 0x10), Some(0x3010));
        assert_eq!(Alignment::new(0), Some(Alignment::ONE));
        assert_eq!(Alignment::new(1 << 63).unwrap().get(), 1 << 63);
        assert_eq!(Alignment::new(3), None);
    }

    #[test]
    fn ranges() {
        let range = |start, len| FileRange::new(FileOffset::new(start), len).unwrap();
        assert!(range(0, 4).covers(range(4, 0)) && !range(0, 4).intersects(range(4, 1)));
        assert!(range(0, 4).intersects(range(3, 9)) && !range(0, 4).intersects(range(2, 0)));
        assert_eq!(range(0, 4).intersection(range(3, 9)), Some(range(3, 1)));
        assert_eq!(FileRange::new(FileOffset::new(u64::MAX), 1), None);
        assert_eq!(range(1, 2).of(b"abc"), Some(&b"bc"[..]));
        assert_eq!(range(1, 3).of(b"abc"), None);
    }
}
