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
