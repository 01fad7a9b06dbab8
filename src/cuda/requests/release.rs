//! What stands behind the `.so` of a library's name.

/// Whether what stands behind `.so` is the version of an interface, `.1`.
pub(in crate::cuda) fn is_version(rest: &[u8]) -> bool {
    rest.strip_prefix(b".").is_some_and(|digits| digits.len() == 1 && digits.iter().all(u8::is_ascii_digit))
}

/// Whether what stands behind `.so` is a driver's release, `.570.133.07`, or a Jetson's, `.1.1`.
pub(in crate::cuda) fn is_release(rest: &[u8]) -> bool {
    let mut numbers = rest.split(|byte| *byte == b'.');
    let is_number = |number: &[u8]| (1..=4).contains(&number.len()) && number.iter().all(u8::is_ascii_digit);
    let (Some([]), Some(branch), Some(minor)) = (numbers.next(), numbers.next(), numbers.next()) else { return false };
    let is_branch = branch.len() == 3 && is_number(branch) && is_number(minor);
    (is_branch && numbers.next().is_none_or(is_number) && numbers.next().is_none()) || rest == b".1.1"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_told_from_versions() {
        for release in [".570.133.07", ".580.95", ".390.157", ".1.1"] {
            assert!(is_release(release.as_bytes()) && !is_version(release.as_bytes()), "{release}");
        }
        for other in
            ["", ".", ".1", ".12", ".2.1", ".570", ".570.", ".570.133.07.1", ".57.1", ".570.133x", "570.133", ".1.1.1"]
        {
            assert!(!is_release(other.as_bytes()), "{other}");
        }
        assert!(is_version(b".1") && !is_version(b".12") && !is_version(b"1") && !is_version(b".x"));
    }
}
