//! What a cubin says of itself in `.nv.compat`, and again in the header of its entry: a row of attributes, each a byte for
//! its format, a byte for what it is, and two for its value, or for the size of what follows.

use super::field::u16_at;

/// A value of unknown length follows (`EIFMT_SVAL`).
const SIZED: u8 = 4;
/// `EICOMPAT_ATTR_CUDA_ACCELERATOR_TARGET`: 1 in code for exactly one architecture. tileiras sets it in code that its entry
/// calls plain.
const ACCELERATOR_TARGET: u8 = 9;

/// Whether it runs on exactly the architecture that it was made for; None where the attributes do not tell.
pub(super) fn is_exact(mut attributes: &[u8]) -> Option<bool> {
    loop {
        let (head, rest) = attributes.split_at_checked(4)?;
        if head.get(1) == Some(&ACCELERATOR_TARGET) {
            return Some(u16_at(head, 2) != 0);
        }
        let size = if head.first() == Some(&SIZED) { usize::from(u16_at(head, 2)) } else { 0 };
        attributes = rest.get(size..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_any_size_is_stepped_over() {
        // As ptxas 13.5 writes them for sm_100a, in another order.
        let row = [2, 12, 0, 0, 4, 11, 8, 0, 9, 9, 1, 0, 0, 0, 0, 0, 2, 9, 1, 0, 3, 14, 0x40, 4];
        assert_eq!(is_exact(&row), Some(true));
        assert_eq!(is_exact(&[2, 9, 0, 0]), Some(false));
        for end in 0..20 {
            assert_eq!(is_exact(&row[..end]), None, "{end}");
        }
    }
}
