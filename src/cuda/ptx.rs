//! PTX as text: a module says first which version of the language it is in, then for which architecture it is (PTX ISA, "PTX
//! Module Directives").

use bstr::ByteSlice;

use super::capability::Capability;
use super::code::{Code, CodeKind, Tally};
use super::empty::is_empty_ptx;
use super::field::len;

/// What a module begins with, comments aside.
pub(super) const MAGIC: &[u8] = b".version";
const TARGET: &[u8] = b".target";
/// Comments in front of a file's module end before this.
const LONGEST_COMMENTS: usize = 1 << 16;
/// Its first two directives stand in this many bytes.
const LONGEST_HEAD: usize = 1 << 10;
const WINDOW: usize = 1 << 12;

/// Whether a text file that begins so may be PTX. Its comments decide nothing: any source file may begin with some.
pub(super) fn may_be(start: &[u8]) -> bool {
    let start = start.trim_ascii_start();
    start.starts_with(b".ver") || start.starts_with(b"//") || start.starts_with(b"/*") || b".version".starts_with(start)
}

/// The module of a file, comments in front.
pub(super) fn of_file(bytes: &[u8]) -> Option<(Code, Tally)> {
    let text = without_comments(bytes.get(..LONGEST_COMMENTS).unwrap_or(bytes))?;
    let comments = bytes.len().min(LONGEST_COMMENTS).checked_sub(text.len())?;
    let (code, tally) = module(bytes.get(comments..)?)?;
    let bytes = tally.bytes.saturating_add(len(comments));
    Some((code, Tally { bytes, unpacked: bytes, ..tally }))
}

/// The module at the start of `rest`, which starts with [`MAGIC`]: up to the first byte that is no text, or to the next one.
pub(super) fn module(rest: &[u8]) -> Option<(Code, Tally)> {
    let capability = head(rest)?;
    let mut end = MAGIC.len();
    // Windows: what stands behind the module must not be searched once for each module in front of it.
    while let Some(window) = rest.get(end..end.saturating_add(WINDOW).min(rest.len())).filter(|rest| !rest.is_empty()) {
        let next = window
            .find_iter(MAGIC)
            .find(|next| head(rest.get(end.saturating_add(*next)..).unwrap_or_default()).is_some());
        let text = window.get(..next.unwrap_or(window.len())).unwrap_or(window);
        let is_text = |byte: &u8| matches!(byte, b'\t'..=b'\r' | b' '..=b'~' | 0x80..);
        let stop = text.iter().position(|byte| !is_text(byte)).or(next);
        // One that begins in this window and ends in the next is found there.
        let whole = window.len() == WINDOW && stop.is_none();
        end = end.saturating_add(stop.unwrap_or(if whole { WINDOW.saturating_sub(MAGIC.len()) } else { window.len() }));
        if !whole {
            break;
        }
    }
    let text = rest.get(..end)?;
    let size = len(end);
    let tally = Tally::one(is_empty_ptx(text), size, size);
    Some((Code { kind: CodeKind::Ptx, capability }, tally))
}

/// `.version 9.0`, `.target sm_87`: the architecture. A text with anything else is about PTX, or a pattern for some.
pub(super) fn head(text: &[u8]) -> Option<Capability> {
    let text = text.get(..LONGEST_HEAD).unwrap_or(text).strip_prefix(MAGIC)?;
    let (version, text) = word(text)?;
    let (major, minor) = version.split_once_str(".")?;
    let is_number = |text: &[u8]| !text.is_empty() && text.len() <= 3 && text.iter().all(u8::is_ascii_digit);
    if !is_number(major) || !is_number(minor) {
        return None;
    }
    let text = without_comments(text)?.strip_prefix(TARGET)?;
    let (target, _) = word(text)?;
    let target = target.to_str().ok().filter(|target| target.starts_with("sm_") || target.starts_with("compute_"))?;
    target.parse().ok()
}

/// The word behind blanks, up to a blank or what cannot be in one.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = text.trim_ascii_start();
    if start.len() == text.len() {
        return None;
    }
    let is_in_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    let end = start.iter().position(|byte| !is_in_word(byte)).unwrap_or(start.len());
    start.split_at_checked(end)
}

fn without_comments(mut text: &[u8]) -> Option<&[u8]> {
    loop {
        text = text.trim_ascii_start();
        if let Some(comment) = text.strip_prefix(b"//") {
            text = comment.get(comment.find_byte(b'\n')?..)?;
        } else if let Some(comment) = text.strip_prefix(b"/*") {
            text = comment.get(comment.find(b"*/")?.checked_add(2)?..)?;
        } else {
            return Some(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<(String, u64)> {
        of_file(text.as_bytes()).map(|(code, tally)| (code.architecture(), tally.bytes))
    }

    #[test]
    fn a_module_is_told_from_a_text_about_one() {
        let plain = ".version 9.0\n.target sm_87\n.address_size 64\n";
        assert_eq!(found(plain), Some(("compute_87".into(), 44)));
        assert_eq!(
            found("//\n// Generated\n//\n\n.version 6.0 // old\n.target sm_90a, debug\n").unwrap().0,
            "compute_90a"
        );
        assert_eq!(found("/* one\n.target */ .version\t8.8\r\n/**/.target\tsm_100f").unwrap().0, "compute_100f");
        for text in [
            "",
            ".version",
            ".version 9.0\n",
            ".version 9.0\n.target sm_%d\n",
            ".version %s\n.target sm_87\n",
            ".version 9\n.target sm_87",
            ".versions 9.0\n.target sm_87",
            ".version 9.0 .targets sm_87",
            ".version 9.0 is what .target sm_87 needs",
            "x .version 9.0\n.target sm_87",
            "/* .version 9.0\n.target sm_87",
            "// .version 9.0 .target sm_87",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn a_module_ends_where_the_text_does() {
        let plain = ".version 9.0\n.target sm_87\n";
        assert_eq!(found(&format!("{plain}\0.version")).unwrap().1, 27);
        // Literals of Rust and Go stand one behind another.
        assert_eq!(found(&format!("{plain}//.version\n{plain}")).unwrap().1, 27 + 11);
    }
}
