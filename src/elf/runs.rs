//! How far bytes agree, in steps that are one instruction each: padding and tables can have many pages.

const STEP: usize = 32;

/// How many bytes from the start are the same.
pub(super) fn agreeing(a: &[u8], b: &[u8]) -> usize {
    let (steps_of_a, _) = a.as_chunks::<STEP>();
    let (steps_of_b, _) = b.as_chunks::<STEP>();
    let steps = steps_of_a.iter().zip(steps_of_b).take_while(|(a, b)| a == b).count().saturating_mul(STEP);
    let rest = a.iter().skip(steps).zip(b.iter().skip(steps));
    steps.saturating_add(rest.take_while(|(a, b)| a == b).count())
}

/// How many bytes up to the end are the same.
pub(super) fn agreeing_at_the_end(a: &[u8], b: &[u8]) -> usize {
    let (_, steps_of_a) = a.as_rchunks::<STEP>();
    let (_, steps_of_b) = b.as_rchunks::<STEP>();
    let pairs = steps_of_a.iter().rev().zip(steps_of_b.iter().rev());
    let steps = pairs.take_while(|(a, b)| a == b).count().saturating_mul(STEP);
    let rest = a.iter().rev().skip(steps).zip(b.iter().rev().skip(steps));
    steps.saturating_add(rest.take_while(|(a, b)| a == b).count())
}

/// How many bytes from the start are zero.
pub(super) fn zeros(bytes: &[u8]) -> usize {
    let (steps, _) = bytes.as_chunks::<STEP>();
    let steps = steps.iter().take_while(|step| **step == [0; STEP]).count().saturating_mul(STEP);
    steps.saturating_add(bytes.iter().skip(steps).take_while(|byte| **byte == 0).count())
}

/// How many bytes up to the end are zero.
pub(super) fn zeros_at_the_end(bytes: &[u8]) -> usize {
    let (_, steps) = bytes.as_rchunks::<STEP>();
    let steps = steps.iter().rev().take_while(|step| **step == [0; STEP]).count().saturating_mul(STEP);
    steps.saturating_add(bytes.iter().rev().skip(steps).take_while(|byte| **byte == 0).count())
}

/// Whether there is nothing but zeros.
pub(crate) fn all_zero(bytes: &[u8]) -> bool {
    zeros(bytes) == bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_and_every_place() {
        for len in 0..100 {
            let zero = vec![0_u8; len];
            assert_eq!((zeros(&zero), zeros_at_the_end(&zero), all_zero(&zero)), (len, len, true));
            assert_eq!(agreeing(&zero, &vec![0; len + 40]), len);
            for at in 0..len {
                let mut other = zero.clone();
                other[at] = 1;
                assert_eq!((zeros(&other), all_zero(&other)), (at, false));
                assert_eq!((agreeing(&other, &zero), agreeing(&zero, &other)), (at, at));
                let behind = len - at - 1;
                assert_eq!(zeros_at_the_end(&other), behind);
                assert_eq!(agreeing_at_the_end(&other, &[&[1; 7][..], &zero].concat()), behind);
                assert_eq!(agreeing_at_the_end(&zero, &other), behind);
            }
        }
    }
}
