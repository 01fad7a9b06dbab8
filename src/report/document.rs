//! What the JSON documents share: one versioned document on standard output, and nothing else there.
//!
//! A document is a struct, and so is each of its parts. Bytes that are not UTF-8 are escaped as `\xNN`, with a sibling
//! `…Hex` that holds them exactly: see [`Text`].

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::ser::{Formatter, PrettyFormatter};

use super::text::{escaped, hex, is_invisible, with_sources};
use crate::elf::plan::Strategy;
use crate::tree::{FixError, Skip};

/// Rises when a field goes or changes its meaning; new fields do not change it.
pub(super) const SCHEMA: &str = "cuda-runpath/1";

/// Prints a document.
///
/// It becomes a [`Value`] first, for two reasons: keys come out sorted, so that the order of a struct's fields is free to
/// follow what they mean; and only a value can still get the siblings of its [`Text`].
pub(super) fn print(document: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    let mut document = serde_json::to_value(document)?;
    add_siblings(&mut document);
    document.serialize(&mut serde_json::Serializer::with_formatter(&mut *out, Visible::default()))?;
    out.write_all(b"\n")?;
    out.flush()
}

/// The usual layout. What a terminal would obey, and what cannot be seen or turns text around, is written as `\\uXXXX`: the
/// same strings for every reader, and nothing for a terminal.
#[derive(Default)]
struct Visible(PrettyFormatter<'static>);

impl Formatter for Visible {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, text: &str) -> io::Result<()> {
        let mut rest = text;
        while let Some(at) = rest.find(|character: char| character.is_control() || is_invisible(character)) {
            let (plain, from) = rest.split_at(at);
            out.write_all(plain.as_bytes())?;
            let mut characters = from.chars();
            let mut units = [0_u16; 2];
            for unit in characters.next().into_iter().flat_map(|hidden| hidden.encode_utf16(&mut units).to_vec()) {
                write!(out, "\\u{unit:04x}")?;
            }
            rest = characters.as_str();
        }
        out.write_all(rest.as_bytes())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_array(out)
    }

    fn end_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array(out)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(out, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array_value(out)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_object(out)
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object(out)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(out, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_object_value(out)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object_value(out)
    }
}

/// Bytes that are nearly always text: a path, a name, an entry.
///
/// The field `path` is a text. Where the bytes are not UTF-8 it is escaped, and [`print()`] puts a `pathHex` beside it. It
/// must be a field of a struct: an element of a list has no place for a sibling.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    pub(super) fn new(bytes: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self(bytes.as_ref())
    }

    pub(super) fn of_path(path: &'a Path) -> Self {
        Self(path.as_os_str().as_bytes())
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => Escaped { text: escaped(self.0), hex: hex(self.0) }.serialize(serializer),
        }
    }
}

/// What stands in for [`Text`] that is not UTF-8 until it gets its sibling. No field of a document has these names.
#[derive(Serialize)]
struct Escaped {
    #[serde(rename = "$text")]
    text: String,
    #[serde(rename = "$hex")]
    hex: String,
}

/// Replaces every [`Escaped`] under a key by its text, and puts the hexadecimal digits under `keyHex`.
fn add_siblings(value: &mut Value) {
    let Value::Object(fields) = value else {
        for item in value.as_array_mut().into_iter().flatten() {
            add_siblings(item);
        }
        return;
    };
    let mut siblings = Vec::new();
    for (key, field) in &mut *fields {
        match field.get_mut("$text").map(Value::take) {
            Some(text) => {
                siblings.push((format!("{key}Hex"), field.get_mut("$hex").map(Value::take)));
                *field = text;
            }
            None => add_siblings(field),
        }
    }
    fields.extend(siblings.into_iter().filter_map(|(key, hex)| Some((key, hex?))));
}

/// A path by itself, in a list.
#[derive(Serialize)]
pub(super) struct PathItem<'a> {
    path: Text<'a>,
}

impl<'a> PathItem<'a> {
    pub(super) fn new(path: &'a Path) -> Self {
        Self { path: Text::of_path(path) }
    }
}

/// What is said of a file that was left alone.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Skipped<'a> {
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    same_as: Option<Text<'a>>,
    /// What an edit would break.
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<Text<'a>>,
}

impl<'a> Skipped<'a> {
    pub(super) fn new(skip: &'a Skip) -> Self {
        let (same_as, signature) = match skip {
            Skip::SameFile(first) => (Some(Text::of_path(first)), None),
            Skip::Signed(signature) => (None, Some(Text::new(signature.name()))),
            Skip::NotApplicable(_)
            | Skip::OtherMachine
            | Skip::NoConsumer
            | Skip::DriverLibrary
            | Skip::Payload
            | Skip::Temporary => (None, None),
        };
        Self { reason: skip.name(), same_as, signature }
    }
}

/// What is said of a file that could not be done.
#[derive(Serialize)]
pub(super) struct Failed {
    error: String,
    /// What each rung of the ladder has against it, where none took it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attempts: Vec<FailedAttempt>,
}

/// A rung that was tried.
#[derive(Serialize)]
struct FailedAttempt {
    strategy: &'static str,
    reason: &'static str,
}

impl Failed {
    pub(super) fn new(error: &FixError) -> Self {
        let attempt =
            |(strategy, reason): &(Strategy, &'static str)| FailedAttempt { strategy: strategy.name(), reason };
        Self { error: with_sources(error), attempts: error.attempts().iter().map(attempt).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct BarPart<'a> {
        path: Text<'a>,
    }

    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Whole<'a> {
        search_path: Option<Text<'a>>,
        before: Option<Text<'a>>,
        parts: Vec<BarPart<'a>>,
        #[serde(flatten)]
        part: BarPart<'a>,
    }

    #[test]
    fn a_terminal_obeys_nothing_and_readers_read_the_same() {
        let text = "a\u{9b}31m\u{202e}\u{e0041}\u{7f}\n\"\\ \u{e4}\u{1f600}";
        let part = BarPart { path: Text::new(text.as_bytes()) };
        let mut printed = Vec::new();
        print(&part, &mut printed).unwrap();
        let printed = String::from_utf8(printed).unwrap();
        let expected = r#""a\u009b31m\u202e\udb40\udc41\u007f\n\"\\ "#;
        assert!(printed.contains(expected), "{printed}");
        assert!(printed.contains("\u{e4}\u{1f600}"), "{printed}");
        assert_eq!(serde_json::from_str::<Value>(&printed).unwrap(), serde_json::json!({ "path": text }));
    }

    #[test]
    fn bytes_that_are_not_text_have_a_sibling() {
        let part = |path| BarPart { path: Text::new(path) };
        let whole = Whole {
            search_path: Some(Text::new(b"a\xff\n")),
            before: None,
            parts: vec![part(b"\x80".as_slice()), part(b"b".as_slice())],
            part: part(b"\xfe".as_slice()),
        };
        let mut printed = Vec::new();
        print(&whole, &mut printed).unwrap();
        let expected = serde_json::json!({
            "searchPath": "a\\xff\\n",
            "searchPathHex": "61ff0a",
            "before": null,
            "parts": [{"path": "\\x80", "pathHex": "80"}, {"path": "b"}],
            "path": "\\xfe",
            "pathHex": "fe",
        });
        assert_eq!(String::from_utf8(printed).unwrap(), format!("{expected:#}\n"));
    }
}
