//! Strings of Python's source as they are once the interpreter has put them together: escapes, implicit concatenation, `+`,
//! `%` and `.format` with strings, f-strings. What only a run knows is a hole.

/// What stands for a part that is not known; no name of a file has it.
pub(super) const HOLE: u8 = 0;

/// A string, or several that make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PythonString {
    /// Its bytes, with holes.
    pub(super) bytes: Vec<u8>,
    /// The first byte behind it.
    pub(super) end: usize,
}

/// As long a text may be to count: no name of a library is longer.
const LONGEST: usize = 512;

/// The string expression that begins at `at`; `None` where none does. A string that does not end, or that is longer than
/// any name, has no bytes. In brackets an expression goes on behind the end of a line.
pub(super) fn text_at(source: &[u8], at: usize, is_in_brackets: bool) -> Option<PythonString> {
    let mut text = string_at(source, at)?;
    loop {
        let next = if is_in_brackets { behind_blanks(source, text.end) } else { behind_spaces(source, text.end) };
        if let Some(more) = string_at(source, next) {
            text = joined(text, more);
        } else if source.get(next) == Some(&b'+')
            && let Some(more) = string_at(source, behind_blanks(source, next.saturating_add(1)))
        {
            text = joined(text, more);
        } else if source.get(next) == Some(&b'%') {
            let (values, end) = values_at(source, behind_blanks(source, next.saturating_add(1)));
            text = PythonString {
                bytes: filled(&text.bytes, &values, percent),
                end: end.unwrap_or(next.saturating_add(1)),
            };
        } else if source.get(next..).is_some_and(|rest| rest.starts_with(b".format(")) {
            let (values, end) = values_at(source, next.saturating_add(b".format".len()));
            text =
                PythonString { bytes: filled(&text.bytes, &values, brace), end: end.unwrap_or(next.saturating_add(1)) };
        } else {
            return Some(text);
        }
    }
}

fn joined(mut text: PythonString, more: PythonString) -> PythonString {
    if text.bytes.len() <= LONGEST {
        text.bytes.extend_from_slice(&more.bytes);
    }
    PythonString { end: more.end, ..text }
}

/// Blanks in a line, and the ends of lines that go on.
fn behind_spaces(source: &[u8], at: usize) -> usize {
    let mut at = at;
    loop {
        at = match source.get(at..).unwrap_or_default() {
            [b' ' | b'\t', ..] => at.saturating_add(1),
            [b'\\', b'\n', ..] => at.saturating_add(2),
            _ => return at,
        };
    }
}

/// Blanks, the ends of lines and what continues them.
fn behind_blanks(source: &[u8], at: usize) -> usize {
    let rest = source.get(at..).unwrap_or_default();
    at.saturating_add(rest.iter().take_while(|byte| byte.is_ascii_whitespace() || **byte == b'\\').count())
}

/// The strings in brackets, or the one that stands there by itself; and what is behind them, if they are nothing else.
fn values_at(source: &[u8], at: usize) -> (Vec<Vec<u8>>, Option<usize>) {
    if let Some(one) = string_at(source, at) {
        return (vec![one.bytes], Some(one.end));
    }
    let (mut values, mut at) = (Vec::new(), at.saturating_add(1));
    if source.get(at.saturating_sub(1)) != Some(&b'(') {
        return (values, None);
    }
    loop {
        at = behind_blanks(source, at);
        match source.get(at) {
            Some(b')') => return (values, at.checked_add(1)),
            Some(b',') => at = at.saturating_add(1),
            _ => match string_at(source, at) {
                Some(value) if values.len() < LONGEST => {
                    values.push(value.bytes);
                    at = value.end;
                }
                _ => return (values, None),
            },
        }
    }
}

/// How many bytes a place for a value takes, and whether it is one; 0 for a letter of its own.
type PlaceAt = fn(&[u8]) -> usize;

/// `%s`, `%d`, `%(name)s`.
fn percent(rest: &[u8]) -> usize {
    let Some(behind) = rest.strip_prefix(b"%") else { return 0 };
    let named = if behind.starts_with(b"(") { behind.iter().position(|byte| *byte == b')') } else { None };
    let named = named.map_or(0, |end| end.saturating_add(1));
    match behind.get(named) {
        Some(b's' | b'd' | b'i' | b'r') => named.saturating_add(2),
        _ => 0,
    }
}

/// `{}`, `{0}`, `{name}`.
fn brace(rest: &[u8]) -> usize {
    if !rest.starts_with(b"{") || rest.starts_with(b"{{") {
        return 0;
    }
    rest.iter().take(LONGEST).position(|byte| *byte == b'}').map_or(0, |end| end.saturating_add(1))
}

/// A text with values in its places, in order; holes where there are no more.
fn filled(text: &[u8], values: &[Vec<u8>], place: PlaceAt) -> Vec<u8> {
    let (mut out, mut at, mut values) = (Vec::new(), 0_usize, values.iter());
    while let Some((first, _)) = text.get(at..).and_then(<[u8]>::split_first) {
        match place(text.get(at..).unwrap_or_default()) {
            0 => {
                out.push(*first);
                at = at.saturating_add(1);
            }
            length => {
                match values.next() {
                    Some(value) => out.extend_from_slice(value),
                    None => out.push(HOLE),
                }
                at = at.saturating_add(length);
            }
        }
        if out.len() > LONGEST {
            return Vec::new();
        }
    }
    out
}

/// One string with its prefix.
fn string_at(source: &[u8], at: usize) -> Option<PythonString> {
    let rest = source.get(at..)?;
    let letters = rest.iter().take(3).take_while(|byte| b"rRbBfFuU".contains(byte)).count();
    let (prefix, rest) = rest.split_at_checked(letters)?;
    let quote = *rest.first().filter(|quote| matches!(quote, b'"' | b'\''))?;
    let has = |letter: u8| prefix.iter().any(|byte| byte.to_ascii_lowercase() == letter);
    let (is_raw, is_format) = (has(b'r'), has(b'f'));
    let is_triple = rest.starts_with(&[quote; 3]);
    let mark = if is_triple { 3 } else { 1 };
    let (mut bytes, mut here) = (Vec::new(), mark);
    let start = at.saturating_add(letters);
    loop {
        let behind = rest.get(here..).unwrap_or_default();
        let Some(&byte) = behind.first() else { return Some(PythonString { bytes: Vec::new(), end: source.len() }) };
        let is_end = byte == quote && (!is_triple || behind.starts_with(&[quote; 3]));
        if is_end {
            let bytes = if bytes.len() > LONGEST { Vec::new() } else { bytes };
            return Some(PythonString { bytes, end: start.saturating_add(here).saturating_add(mark) });
        }
        let length = match byte {
            b'\n' if !is_triple => return Some(PythonString { bytes: Vec::new(), end: start.saturating_add(here) }),
            b'\\' if is_raw => {
                bytes.extend(behind.get(..2).unwrap_or(behind));
                2
            }
            b'\\' => escape(behind, &mut bytes),
            b'{' | b'}' if is_format && behind.get(1) == Some(&byte) => {
                bytes.push(byte);
                2
            }
            b'{' if is_format => {
                bytes.push(HOLE);
                hole(behind, quote)
            }
            _ => {
                bytes.push(byte);
                1
            }
        };
        here = here.saturating_add(length);
        // What is kept of a long text is not looked at.
        bytes.truncate(LONGEST.saturating_add(1));
    }
}

/// How long an expression in an f-string is, up to its bracket; the quotes around the string end it, too.
fn hole(behind: &[u8], quote: u8) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in behind.iter().enumerate() {
        match byte {
            b'{' => depth = depth.saturating_add(1),
            b'}' if depth <= 1 => return at.saturating_add(1),
            b'}' => depth = depth.saturating_sub(1),
            b'\n' => return at,
            _ if *byte == quote => return at,
            _ => {}
        }
    }
    behind.len()
}

/// Adds what an escape stands for, and says how long it is. Letters beyond ASCII are no part of a name.
fn escape(behind: &[u8], bytes: &mut Vec<u8>) -> usize {
    let number = |from: usize, digits: usize, radix: u32| {
        let text = behind.get(from..)?;
        let text = text.get(..digits).unwrap_or(text);
        let is_digit = |byte: &u8| char::from(*byte).is_digit(radix);
        let digits = text.iter().take_while(|byte| is_digit(byte)).count();
        let text = std::str::from_utf8(text.get(..digits)?).ok()?;
        Some((u32::from_str_radix(text, radix).ok()?, from.saturating_add(digits)))
    };
    let known = match behind.get(1) {
        None => return 1,
        Some(b'x') => number(2, 2, 16),
        Some(b'u') => number(2, 4, 16),
        Some(b'U') => number(2, 8, 16),
        Some(b'0'..=b'7') => number(1, 3, 8),
        Some(b'\n') => return 2,
        Some(b'n') => Some((10, 2)),
        Some(b't') => Some((9, 2)),
        Some(quote @ (b'\\' | b'\'' | b'"')) => Some((u32::from(*quote), 2)),
        Some(_) => None,
    };
    match known.and_then(|(value, length)| Some((u8::try_from(value).ok().filter(u8::is_ascii)?, length))) {
        Some((byte, length)) => {
            bytes.push(byte);
            length
        }
        None => {
            bytes.extend(behind.get(..2).unwrap_or(behind));
            2
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn is(source: &str, text: &str) {
        let found = text_at(source.as_bytes(), 0, false).unwrap();
        assert_eq!(String::from_utf8_lossy(&found.bytes).replace('\0', "?"), text, "{source}");
    }

    #[test]
    fn what_is_put_together_is_one_text() {
        is("'libcuda' \".so.1\")", "libcuda.so.1");
        is("'libcuda'\\\n  '.so.1'", "libcuda.so.1");
        is("'lib' + b'cuda' + r'.so.1' + x", "libcuda.so.1");
        is("'lib%s.so.%d' % ('cuda', n)", "libcuda.so.?");
        is("'lib%s.so.%s' % (n, '1')", "lib?.so.?");
        is("'lib%s.so.1' % 'cuda'", "libcuda.so.1");
        is("'lib%s.so.%s' % ('cuda', '1',)", "libcuda.so.1");
        is("'lib{}.so.{}'.format(\"cuda\", '1')", "libcuda.so.1");
        is("'lib{name}.so.1'.format(name=x)", "lib?.so.1");
        is("f'libcuda.so.{major}'", "libcuda.so.?");
        is("rf\"lib{x['a']}.so\"", "lib?.so");
        is("f'{{lib}}'", "{lib}");
        is("'\\x6c\\151b\\u0063uda'", "libcuda");
        is("r'\\x6c'", "\\x6c");
        is("'''a\n\"b''' 'c'", "a\n\"bc");
        is("'100%' % x", "100%");
        is("'a'\n'b'", "a");
        assert_eq!(text_at(b"'a'\n 'b')", 0, true).unwrap().bytes, b"ab");
    }

    #[test]
    fn any_text_ends() {
        for source in ["'", "'''", "f'{", "'%s' % (", "'%(", "'{'.format(", "'\\", "'\\x", "'a' + ", "'a' % 'b", "f'{x"]
        {
            let found = text_at(source.as_bytes(), 0, true).unwrap();
            assert!(found.end <= source.len(), "{source}");
        }
        assert_eq!(text_at(b"x'a'", 0, true), None);
        assert_eq!(text_at(b"", 0, true), None);
    }
}
