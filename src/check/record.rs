//! What a comparison with another run needs of a file beyond what is judged: how long it is, and what is in it.

use std::fmt;
use std::str::FromStr;

/// Tells contents apart: a BLAKE3 hash, for which holes and zeros are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ContentDigest(pub(crate) [u8; 32]);

/// A file's size and contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileRecord {
    /// In bytes.
    pub(crate) length: u64,
    /// Of all of them.
    pub(crate) contents: ContentDigest,
}

/// Why a text is no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no digest of 64 hexadecimal digits")]
pub(crate) struct ContentDigestError;

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for ContentDigest {
    type Err = ContentDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => byte.checked_sub(b'0'),
            b'a'..=b'f' => byte.checked_sub(b'a').and_then(|digit| digit.checked_add(10)),
            _ => None,
        };
        let mut digest = [0; 32];
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != digest.len() || !rest.is_empty() {
            return Err(ContentDigestError);
        }
        for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
            let (high, low) = (digit(*high).ok_or(ContentDigestError)?, digit(*low).ok_or(ContentDigestError)?);
            *byte = (high << 4) | low;
        }
        Ok(Self(digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_as_they_are_printed() {
        let mut digest = ContentDigest([0xa5; 32]);
        digest.0[0] = 0x0f;
        assert_eq!(digest.to_string().parse(), Ok(digest));
        for text in ["", "0", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"A".repeat(64), &"\u{e4}".repeat(32)]
        {
            assert_eq!(text.parse::<ContentDigest>(), Err(ContentDigestError), "{text}");
        }
    }
}
