//! The last bytes of an object that an edit in place was killed in: whatever reads such a file can say so.

/// What a journal ends with.
pub(crate) const JOURNAL_MARK: &[u8; 16] = b"\ncuda-runpath\0J5";

/// Whether a file ends as one with a journal does, of this version or an earlier one. Its maker may have put that there:
/// only a run of the user whose edit it was can tell.
#[must_use]
pub(crate) fn carries_journal(file: &[u8]) -> bool {
    let end = file.last_chunk::<{ JOURNAL_MARK.len() }>();
    end.is_some_and(|end| matches!(end, [name @ .., b'0'..=b'9'] if JOURNAL_MARK.starts_with(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_of_any_version_is_seen_at_the_end_only() {
        for version in [JOURNAL_MARK, b"\ncuda-runpath\0J4"] {
            assert!(carries_journal(version));
            assert!(carries_journal(&[b"\x7fELF", &version[..]].concat()));
            assert!(!carries_journal(&[&version[..], b"\0"].concat()));
            assert!(!carries_journal(&version[1..]));
        }
        assert!(!carries_journal(b"\ncuda-runpath\0Jx"));
    }
}
