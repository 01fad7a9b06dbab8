//! Dynamic string tokens in search paths and names: `$ORIGIN`, `$LIB`, `$PLATFORM`, with or without braces.

use std::borrow::Cow;

use bstr::{BStr, BString, ByteSlice};

/// What the tokens stand for in one object of a process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tokens<'a> {
    pub(super) origin: &'a BStr,
    pub(super) lib: &'a BStr,
    /// Not every machine has one.
    pub(super) platform: Option<&'a BStr>,
    pub(super) trust: Trust<'a>,
}

/// How far `$ORIGIN` is trusted: the user chooses the path of a program that has more rights than the user.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trust<'a> {
    /// Everywhere.
    Full,
    /// At the start of an entry: a library in a program with more rights.
    Start,
    /// At the start of an entry that leads below one of these directories: such a program itself.
    Below(&'a [BString]),
}

/// No longer path can be opened (PATH_MAX). Tokens behind that many bytes stay as they are: a megabyte of them would become
/// hundreds.
const LONGEST_PATH: usize = 4096;

/// Expands the tokens as glibc does: an unknown `$word` stays as it is, and without a value, or where `$ORIGIN` is not
/// trusted, there is no result (`glibc elf/dl-load.c`, `_dl_dst_substitute`).
pub(super) fn glibc<'t>(text: &'t BStr, tokens: Tokens<'_>) -> Option<Cow<'t, BStr>> {
    // Nearly every entry is as it is written.
    if !text.contains(&b'$') {
        return Some(Cow::Borrowed(text));
    }
    expand(text, tokens).map(Cow::Owned)
}

fn expand(text: &BStr, tokens: Tokens<'_>) -> Option<BString> {
    let mut out = BString::default();
    let mut rest = text.as_bytes();
    let mut has_origin = false;
    while out.len() <= LONGEST_PATH
        && let Some((before, after)) = rest.split_once_str("$")
    {
        out.extend_from_slice(before);
        if let Some(behind) = strip_token(after, "ORIGIN") {
            let is_whole = out.is_empty() && (behind.is_empty() || behind.starts_with(b"/"));
            (is_whole || matches!(tokens.trust, Trust::Full)).then_some(())?;
            has_origin = true;
            out.extend_from_slice(tokens.origin);
            rest = behind;
        } else if let Some(behind) = strip_token(after, "PLATFORM") {
            out.extend_from_slice(tokens.platform?);
            rest = behind;
        } else if let Some(behind) = strip_token(after, "LIB") {
            out.extend_from_slice(tokens.lib);
            rest = behind;
        } else {
            out.push(b'$');
            rest = after;
        }
    }
    out.extend_from_slice(rest);
    match tokens.trust {
        Trust::Below(trusted) if has_origin => is_below(out.as_bstr(), trusted).then_some(out),
        _ => Some(out),
    }
}

/// Whether a path, with its `.` and `..` taken as text, leads into one of the directories.
fn is_below(path: &BStr, directories: &[BString]) -> bool {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split_str("/").filter(|part| !matches!(*part, b"" | b".")) {
        if part == b".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    let of = |directory: &BString| -> bool {
        let wanted: Vec<&[u8]> = directory.split_str("/").filter(|part| !part.is_empty()).collect();
        parts.starts_with(&wanted)
    };
    directories.iter().any(of)
}

/// Expands `$ORIGIN` as musl does; another token makes it ignore the whole path (`musl ldso/dynlink.c`, `fixup_rpath`).
pub(super) fn musl(path: &BStr, origin: &BStr) -> Option<BString> {
    let mut out = BString::default();
    let mut rest = path.as_bytes();
    while let Some((before, after)) = rest.split_once_str("$") {
        out.extend_from_slice(before);
        if out.len() <= LONGEST_PATH {
            out.extend_from_slice(origin);
        }
        rest = after.strip_prefix(b"ORIGIN").or_else(|| after.strip_prefix(b"{ORIGIN}"))?;
    }
    out.extend_from_slice(rest);
    Some(out)
}

/// What follows a token; a bare one ends where a letter, digit or `_` would not continue it.
fn strip_token<'a>(after: &'a [u8], name: &str) -> Option<&'a [u8]> {
    if let Some(braced) = after.strip_prefix(b"{") {
        return braced.strip_prefix(name.as_bytes())?.strip_prefix(b"}");
    }
    let behind = after.strip_prefix(name.as_bytes())?;
    let continues = behind.first().is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    (!continues).then_some(behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded_with(text: &str, platform: Option<&str>, trust: Trust<'_>) -> Option<String> {
        let tokens = Tokens { origin: "/o".into(), lib: "lib64".into(), platform: platform.map(BStr::new), trust };
        glibc(text.into(), tokens).map(|text| text.to_string())
    }

    fn expanded(text: &str) -> String {
        expanded_with(text, Some("haswell"), Trust::Full).unwrap()
    }

    #[test]
    fn tokens_are_whole_words() {
        assert_eq!(expanded("$ORIGIN/../$LIB/${PLATFORM}/${ORIGIN}x"), "/o/../lib64/haswell//ox");
        assert_eq!(expanded("$ORIGINAL/$LIBx/$HOME/a$"), "$ORIGINAL/$LIBx/$HOME/a$");
        assert_eq!(expanded("${ORIGIN"), "${ORIGIN");
        assert_eq!(expanded("$$ORIGIN${}$LIB$LIB"), "$/o${}lib64lib64");
    }

    #[test]
    fn a_token_without_a_value_takes_the_entry_along() {
        assert_eq!(expanded_with("/a/$PLATFORM/b", None, Trust::Full), None);
        assert_eq!(expanded_with("/a/$PLATFORMS", None, Trust::Full).unwrap(), "/a/$PLATFORMS");
    }

    #[test]
    fn the_origin_is_trusted_at_the_start_of_a_trusted_path_only() {
        let directories = [BString::from("/o/lib"), BString::from("/usr/lib")];
        let program = |text| expanded_with(text, None, Trust::Below(&directories));
        assert_eq!(program("$ORIGIN/lib/x").unwrap(), "/o/lib/x");
        assert_eq!(program("${ORIGIN}/./../o//lib").unwrap(), "/o/./../o//lib");
        assert_eq!(program("$ORIGIN/../usr/lib").unwrap(), "/o/../usr/lib");
        assert_eq!(program("$ORIGIN/lib/.."), None);
        assert_eq!(program("$ORIGIN/library"), None);
        assert_eq!(program("/usr/lib$ORIGIN"), None);
        assert_eq!(program("/anywhere/$LIB").unwrap(), "/anywhere/lib64");
        let library = |text| expanded_with(text, None, Trust::Start);
        assert_eq!(library("$ORIGIN/x").unwrap(), "/o/x");
        assert_eq!(library("$ORIGINx").unwrap(), "$ORIGINx");
        assert_eq!(library("${ORIGIN}x"), None);
        assert_eq!(library("/$ORIGIN"), None);
    }

    #[test]
    fn musl_knows_one_token_and_drops_the_path_with_another() {
        assert_eq!(musl("$ORIGIN/a:${ORIGIN}/b".into(), "/o".into()).unwrap(), "/o/a:/o/b");
        assert_eq!(musl("$ORIGIN/a:$LIB".into(), "/o".into()), None);
    }
}
