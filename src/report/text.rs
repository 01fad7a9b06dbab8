//! Names and paths as text: bytes as they are in a pipe, escaped on a terminal and in JSON.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;

use crate::tree::{Signature, Skip};

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

/// Text as text: what is not UTF-8 as `\xNN`, control characters and those that cannot be seen as `\n` or `\u{1b}`.
pub(super) fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() || is_invisible(character) {
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

/// Whether a character shows as nothing, or turns the order in which others are shown: a name could pass for another one
/// (Unicode `Default_Ignorable_Code_Point` and `Bidi_Control`, line and paragraph separators, annotations, tags).
pub(super) fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
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

/// The bytes that lower-case hexadecimal digits say; `None` for anything else.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).filter(|_| !byte.is_ascii_uppercase());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)?.checked_mul(16)?.checked_add(digit(*low)?)?).ok();
    rest.is_empty().then(|| pairs.iter().map(byte).collect::<Option<_>>())?
}

/// `1 file`, `2 files`.
pub(super) fn counted(count: usize, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

/// Why a file was left alone; it can have the name of another one in it.
pub(super) fn skip_reason(skip: &Skip) -> Vec<u8> {
    let (reason, path) = match skip {
        Skip::Signed(Signature::File(signature)) => ("an edit would break its signature ", Some(signature)),
        Skip::Signed(signature) => return signature.to_string().into_bytes(),
        Skip::NotApplicable(reason) => (reason.reason(), None),
        Skip::OtherMachine => ("for another machine", None),
        Skip::DriverLibrary => ("a library of the driver itself, which is not edited", None),
        Skip::Payload => ("something stands behind the object, which may be for its bytes as they are", None),
        Skip::NoConsumer => ("asks for no driver library", None),
        Skip::Temporary => {
            ("a temporary file of cuda-runpath; when no run is at work, one was killed and it can be removed", None)
        }
        Skip::SameFile(first) => ("another name of ", Some(first)),
    };
    [reason.as_bytes(), path.map_or(b"".as_slice(), |path| path.as_os_str().as_bytes())].concat()
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
        // C1 controls, and characters by which one name passes for another.
        assert_eq!(
            escaped("\u{9b}\u{202e}\u{2066}\u{200b}\u{feff}".as_bytes()),
            r"\u{9b}\u{202e}\u{2066}\u{200b}\u{feff}"
        );
        assert_eq!(
            escaped("\u{61c}\u{e0041}\u{fe0f}\u{2028}\u{3164}".as_bytes()),
            r"\u{61c}\u{e0041}\u{fe0f}\u{2028}\u{3164}"
        );
        let visible = "\u{e4} \u{5d0}\u{5d1} \u{6f22}\u{5b57} a\u{301} \u{1f600}";
        assert_eq!(escaped(visible.as_bytes()), visible);
    }
}
