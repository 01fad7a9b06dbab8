//! What tells a file's contents from others. Memory is that of one block, and holes cost nothing.

use crate::elf::data::DataMap;
use crate::elf::units::{FileRange, len64};

/// Blocks of zeros do not count, so that a file with holes and a copy without them are the same.
const BLOCK: usize = 1 << 16;

/// A hash of all bytes, whichever of its zeros are holes.
#[must_use]
pub(crate) fn digest(bytes: &[u8], data: &DataMap) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&len64(bytes).to_le_bytes());
    let parts = FileRange::between(0, len64(bytes)).into_iter().flat_map(|whole| data.within(whole));
    let index_of = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).checked_div(BLOCK).unwrap_or(0);
    let mut next = 0;
    for part in parts.filter(|part| part.start() < part.end()) {
        let first = index_of(part.start().get()).max(next);
        let last = index_of(part.end().get().saturating_sub(1));
        for index in first..=last {
            let start = index.saturating_mul(BLOCK);
            let rest = bytes.get(start..).unwrap_or_default();
            let block = rest.get(..BLOCK).unwrap_or(rest);
            if block.iter().any(|byte| *byte != 0) {
                hasher.update(&index.to_le_bytes()).update(block);
            }
        }
        next = next.max(last.saturating_add(1));
    }
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(start: u64, end: u64) -> FileRange {
        FileRange::between(start, end).unwrap()
    }

    #[test]
    fn holes_are_zeros_and_everything_else_counts() {
        let mut bytes = vec![0_u8; 5 * BLOCK + 100];
        bytes[10] = 1;
        bytes[3 * BLOCK + 7] = 2;
        bytes[5 * BLOCK + 99] = 3;
        let whole = digest(&bytes, &DataMap::default());
        let block = u64::try_from(BLOCK).unwrap();
        let holes = DataMap::of([part(0, 4096), part(3 * block, 3 * block + 4096), part(5 * block, 5 * block + 100)]);
        assert_eq!(digest(&bytes, &holes), whole);
        // Two parts of one block are hashed once.
        let close = DataMap::of([part(0, 20), part(100, 4096), part(3 * block, 5 * block + 100)]);
        assert_eq!(digest(&bytes, &close), whole);
        for at in [10, 3 * BLOCK + 7, 5 * BLOCK + 99] {
            let mut other = bytes.clone();
            other[at] ^= 4;
            assert_ne!(digest(&other, &DataMap::default()), whole, "{at}");
        }
        // A block elsewhere, and one more zero.
        let mut moved = vec![0_u8; bytes.len()];
        moved[BLOCK + 10] = 1;
        let mut first = vec![0_u8; bytes.len()];
        first[10] = 1;
        assert_ne!(digest(&moved, &DataMap::default()), digest(&first, &DataMap::default()));
        assert_ne!(digest(&[0; 5], &DataMap::default()), digest(&[0; 6], &DataMap::default()));
    }
}
