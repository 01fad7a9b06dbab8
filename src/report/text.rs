//! Names and paths as text: bytes as they are in a pipe, escaped on a terminal and in JSON.

use std::fmt::Write as _;
use std::io::{self, Write};

/// Whether control characters and bytes that are not UTF-8 are written as escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Escape {
    /// On a terminal, which would obey them.
    Terminal,
    /// In a pipe, where the next program wants the bytes.
    Never,
}

/// Writes a name.
pub(super) fn name(out: &mut dyn Write, bytes: &[u8], escape: Escape) -> io::Result<()> {
    match escape {
        Escape::Never => out.write_all(bytes),
        Escape::Terminal => out.write_all(escaped(bytes).as_bytes()),
    }
}

/// Text as text: what is not UTF-8 as `\xNN`, control characters as `\n` or `\u{1b}`.
pub(super) fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() {
                text.extend(character.escape_default());
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Text as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Lines of text with nothing in them that a terminal would obey.
#[must_use]
pub(crate) fn for_terminal(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| escaped(line.as_bytes())).collect();
    lines.join("\n")
}

/// An error with everything behind it: `cannot open it: Permission denied (os error 13)`.
pub(super) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        // Writing to a String cannot fail.
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(escaped(b"a\nb\x1b[31m\xff\xc3\xa4"), "a\\nb\\u{1b}[31m\\xff\u{e4}");
    }
}
