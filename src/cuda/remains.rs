//! What is left of entries that went, in a container that is written where it is.

use super::fatbin::ENTRY;
use super::field::len;
use crate::elf::runs::all_zero;
use crate::elf::units::len64;

/// Where an entry says how long it is behind its header.
const SIZE: usize = 8;

/// Where it names what its header has behind the fixed part: options, and the name of a source file.
const OPTIONS: usize = 20;
const NAME: usize = 32;

/// The header of what remains of entries that went, `size` bytes of it: theirs, without what stood behind it.
#[must_use]
pub(super) fn rest_of(head: &[u8], size: u64) -> Option<Vec<u8>> {
    let fixed = len(ENTRY);
    let mut rest = head.to_vec();
    let mut put = |at: usize, bytes: &[u8]| {
        rest.get_mut(at..at.checked_add(bytes.len())?)?.copy_from_slice(bytes);
        Some(())
    };
    put(4, &u32::try_from(fixed).ok()?.to_le_bytes())?;
    put(8, &size.checked_sub(fixed)?.to_le_bytes())?;
    put(OPTIONS, &[0; 4])?;
    put(NAME, &[0; 8])?;
    Some(rest)
}

/// Whether bytes behind a container are what a run leaves that is killed before its last write: the header of an entry
/// without options and a name, whose contents are zeros, and zeros behind those.
#[must_use]
pub(super) fn is_remains(bytes: &[u8]) -> bool {
    let Some((head, rest)) = bytes.split_at_checked(ENTRY) else { return false };
    let number = |at: usize, of: usize| {
        let bytes = head.get(at..at.saturating_add(of)).unwrap_or_default();
        bytes.iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
    };
    let is_like = rest_of(head, number(SIZE, 8).saturating_add(len(ENTRY))).is_some_and(|left| left == head);
    is_like && number(SIZE, 8) <= len64(rest) && all_zero(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kill_leaves_is_known_and_nothing_else() {
        let mut head = vec![0x11; ENTRY];
        for (at, number) in [(4, 96_u32), (8, 500), (12, 0)] {
            head[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
        let left = rest_of(&head, 1000).unwrap();
        let mut remains = [&left[..], &[0; 936]].concat();
        assert!(is_remains(&remains));
        assert!(is_remains(&[&remains[..], &[0; 40]].concat()), "zeros behind it");
        assert!(!is_remains(&remains[..900]), "less than it says");
        assert!(!is_remains(&head), "with options");
        remains[500] = 1;
        assert!(!is_remains(&remains), "with contents");
        assert!(!is_remains(b"other bytes") && !is_remains(&[0x11; 80]));
    }
}
