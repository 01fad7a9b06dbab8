//! Dynamic string tokens in search paths and names: `$ORIGIN`, `$LIB`, `$PLATFORM`, with or without braces.

use bstr::{BStr, BString, ByteSlice};

/// What the tokens stand for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tokens<'a> {
    pub(super) origin: &'a BStr,
    pub(super) lib: &'a BStr,
    pub(super) platform: &'a BStr,
}

/// Expands the tokens as glibc does: an unknown `$word` stays as it is (`glibc elf/dl-load.c`, `_dl_dst_substitute`).
pub(super) fn glibc(text: &BStr, tokens: Tokens<'_>) -> BString {
    let mut out = BString::default();
    let mut rest = text.as_bytes();
    while let Some((before, after)) = rest.split_once_str("$") {
        out.extend_from_slice(before);
        let known = [("ORIGIN", tokens.origin), ("LIB", tokens.lib), ("PLATFORM", tokens.platform)];
        let hit = known.into_iter().find_map(|(name, value)| Some((value, strip_token(after, name)?)));
        if let Some((value, behind)) = hit {
            out.extend_from_slice(value);
            rest = behind;
        } else {
            out.push(b'$');
            rest = after;
        }
    }
    out.extend_from_slice(rest);
    out
}

/// Expands `$ORIGIN` as musl does; another token makes it ignore the whole path (`musl ldso/dynlink.c`, `fixup_rpath`).
pub(super) fn musl(path: &BStr, origin: &BStr) -> Option<BString> {
    let mut out = BString::default();
    let mut rest = path.as_bytes();
    while let Some((before, after)) = rest.split_once_str("$") {
        out.extend_from_slice(before);
        out.extend_from_slice(origin);
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

    fn expanded(text: &str) -> String {
        let tokens = Tokens { origin: "/o".into(), lib: "lib64".into(), platform: "haswell".into() };
        glibc(text.into(), tokens).to_string()
    }

    #[test]
    fn tokens_are_whole_words() {
        assert_eq!(expanded("$ORIGIN/../$LIB/${PLATFORM}/${ORIGIN}x"), "/o/../lib64/haswell//ox");
        assert_eq!(expanded("$ORIGINAL/$LIBx/$HOME/a$"), "$ORIGINAL/$LIBx/$HOME/a$");
        assert_eq!(expanded("${ORIGIN"), "${ORIGIN");
    }

    #[test]
    fn musl_knows_one_token_and_drops_the_path_with_another() {
        assert_eq!(musl("$ORIGIN/a:${ORIGIN}/b".into(), "/o".into()).unwrap(), "/o/a:/o/b");
        assert_eq!(musl("$ORIGIN/a:$LIB".into(), "/o".into()), None);
    }
}
