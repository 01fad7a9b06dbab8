//! What Nixpkgs' wrappers set for the program that they hide (`.name-wrapped` beside `name`).

use std::collections::{BTreeMap, HashMap};

use bstr::{BStr, BString, ByteSlice};

/// The name of the program that a file of this name wraps in the end. Wrapped twice, `name` starts `.name-wrapped_`,
/// which is the first wrapper and starts `.name-wrapped`.
#[must_use]
pub(crate) fn hidden_by(name: &BStr) -> BString {
    let inner = name.trim_end_with(|c| c == '_').as_bstr();
    if inner.len() < name.len() && inner.starts_with(b".") && inner.ends_with(b"-wrapped") {
        return inner.to_owned();
    }
    BString::from([b".", name.as_bytes(), b"-wrapped"].concat())
}

/// LD_LIBRARY_PATH as a wrapper leaves it where the environment does not set it; `None` when it does not touch it.
///
/// A shell wrapper assigns the variable in lines of its own, a directory at a time; a binary one carries the arguments
/// it was made with as text (`makeCWrapper … --prefix LD_LIBRARY_PATH : dirs`).
#[must_use]
pub(crate) fn library_path(wrapper: &[u8]) -> Option<BString> {
    let mut path = Directories::default();
    for line in wrapper.split(|byte| matches!(byte, b'\n' | 0)) {
        let Some(Assignment { keeps, front, back }) = Assignment::of(line) else { continue };
        if !keeps {
            path = Directories::default();
        }
        // A directory that moves to the front is taken out elsewhere; one that is there is not added behind.
        front.iter().for_each(|directory| path.take_out(directory));
        let behind: Vec<&BStr> = back.into_iter().filter(|new| !path.places.contains_key(new)).collect();
        front.into_iter().rev().for_each(|directory| path.put(path.first().saturating_sub(1), directory));
        behind.into_iter().for_each(|directory| path.put(path.end(), directory));
    }
    let path = path.in_order;
    (!path.is_empty()).then(|| BString::from(bstr::join(":", path.values())))
}

/// Directories in an order that grows at both ends. A wrapper can move thousands of them to the front, one by one.
#[derive(Default)]
struct Directories<'a> {
    in_order: BTreeMap<i64, &'a BStr>,
    places: HashMap<&'a BStr, Vec<i64>>,
}

impl<'a> Directories<'a> {
    fn first(&self) -> i64 {
        self.in_order.first_key_value().map_or(0, |(place, _)| *place)
    }

    fn end(&self) -> i64 {
        self.in_order.last_key_value().map_or(0, |(place, _)| place.saturating_add(1))
    }

    fn put(&mut self, place: i64, directory: &'a BStr) {
        self.in_order.insert(place, directory);
        self.places.entry(directory).or_default().push(place);
    }

    fn take_out(&mut self, directory: &BStr) {
        for place in self.places.remove(directory).unwrap_or_default() {
            self.in_order.remove(&place);
        }
    }
}

const VARIABLE: &str = "LD_LIBRARY_PATH";

/// What a line does to the variable.
struct Assignment<'a> {
    /// The value so far stays.
    keeps: bool,
    front: Vec<&'a BStr>,
    back: Vec<&'a BStr>,
}

impl<'a> Assignment<'a> {
    fn of(line: &'a [u8]) -> Option<Self> {
        let (before, after) = line.split_once_str(VARIABLE)?;
        let set = |back| Self { keeps: false, front: Vec::new(), back };
        let last = before.trim_end_with(|c| matches!(c, '\'' | '"' | ' ')).rsplit(|byte| *byte == b' ').next()?;
        // Only up to the next option, where several stand in one line.
        let arguments = || directories(after.split_once_str(" --").map_or(after, |(own, _)| own));
        match last {
            b"--prefix" => return Some(Self { keeps: true, front: arguments(), back: Vec::new() }),
            b"--suffix" => return Some(Self { keeps: true, front: Vec::new(), back: arguments() }),
            b"--set" | b"--set-default" => return Some(set(arguments())),
            b"--unset" | b"unset" => return Some(set(Vec::new())),
            _ => {}
        }
        let (_, assigned) = line.split_once_str(&format!("{VARIABLE}="))?;
        let value = first_word(assigned);
        match value.split_once_str(VARIABLE) {
            None => Some(set(directories(value))),
            // ${LD_LIBRARY_PATH/…/…} takes something out that is put in front next.
            Some((_, rest)) if rest.starts_with(b"/") => None,
            Some((front, back)) => Some(Self { keeps: true, front: directories(front), back: directories(back) }),
        }
    }
}

/// Up to the blank or semicolon that ends a word of a shell, quotes left as they are.
fn first_word(text: &[u8]) -> &[u8] {
    let mut quote = None;
    let end = text.iter().position(|byte| {
        match (quote, byte) {
            (None, b'\'' | b'"') => quote = Some(*byte),
            (Some(open), byte) if open == *byte => quote = None,
            _ => {}
        }
        quote.is_none() && matches!(byte, b' ' | b'\t' | b';' | b'&')
    });
    text.get(..end.unwrap_or(text.len())).unwrap_or_default()
}

/// The absolute directories in a text, whatever quotes and colons are around them.
fn directories(text: &[u8]) -> Vec<&BStr> {
    let words = text.split(|byte| b"'\":=;$(){} \t\\".contains(byte));
    let words = words.filter(|word| word.starts_with(b"/") && word.len() > 1);
    words.map(|word| word.trim_end_with(|c| c == '/').as_bstr()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Option<String> {
        library_path(text.as_bytes()).map(|path| path.to_string())
    }

    /// What makeWrapper writes for one directory in front.
    fn prefix(directory: &str) -> String {
        format!(
            "LD_LIBRARY_PATH=${{LD_LIBRARY_PATH:+':'$LD_LIBRARY_PATH':'}}\n\
             LD_LIBRARY_PATH=${{LD_LIBRARY_PATH/':''{directory}'':'/':'}}\n\
             LD_LIBRARY_PATH='{directory}'$LD_LIBRARY_PATH\n\
             LD_LIBRARY_PATH=${{LD_LIBRARY_PATH#':'}}\n\
             LD_LIBRARY_PATH=${{LD_LIBRARY_PATH%':'}}\n\
             export LD_LIBRARY_PATH\n"
        )
    }

    #[test]
    fn shell_wrappers_add_a_directory_at_a_time() {
        assert_eq!(path(&prefix("/run/opengl-driver/lib")).unwrap(), "/run/opengl-driver/lib");
        // --prefix with /a:/b writes the last one first.
        assert_eq!(path(&(prefix("/b") + &prefix("/a"))).unwrap(), "/a:/b");
        assert_eq!(path(&(prefix("/b") + &prefix("/a") + &prefix("/b"))).unwrap(), "/b:/a");
        let suffix = "if [[ $LD_LIBRARY_PATH != *':''/z'':'* ]]; then\n    LD_LIBRARY_PATH=$LD_LIBRARY_PATH'/z'\nfi\n";
        assert_eq!(path(&(prefix("/a") + suffix)).unwrap(), "/a:/z");
        assert_eq!(path(&(suffix.to_owned() + suffix)).unwrap(), "/z");
    }

    #[test]
    fn other_assignments_are_read() {
        assert_eq!(path("export LD_LIBRARY_PATH='/a:/b/'\n").unwrap(), "/a:/b");
        assert_eq!(path(&(prefix("/a") + "export LD_LIBRARY_PATH='/b'\n")).unwrap(), "/b");
        assert_eq!(path("export LD_LIBRARY_PATH=${LD_LIBRARY_PATH-'/a'}\n").unwrap(), "/a");
        assert_eq!(path("export LD_LIBRARY_PATH=/a${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}\n").unwrap(), "/a");
        assert_eq!(path("LD_LIBRARY_PATH=\"/a\" exec /nix/store/x/bin/y\n").unwrap(), "/a");
        assert_eq!(path(&(prefix("/a") + "unset LD_LIBRARY_PATH\n")), None);
        assert_eq!(path("#!/bin/sh\n# LD_LIBRARY_PATH is not needed: /a\nexec /bin/x\n"), None);
    }

    #[test]
    fn binary_wrappers_carry_their_arguments() {
        let made = |arguments: &str| {
            format!("\x7fELF\0LD_LIBRARY_PATH\0:\0makeCWrapper '/nix/store/a-x/bin/.x-wrapped' \\\n    {arguments}\n\0")
        };
        let more =
            "--prefix 'LD_LIBRARY_PATH' ':' '/a:/b' \\\n    --set 'A' '/c' \\\n    --suffix 'LD_LIBRARY_PATH' ':' '/z'";
        assert_eq!(path(&made(more)).unwrap(), "/a:/b:/z");
        assert_eq!(path(&made("--prefix LD_LIBRARY_PATH : /a --set A /c")).unwrap(), "/a");
        assert_eq!(path(&made("--prefix PATH : /a")), None);
        assert_eq!(path("LD_LIBRARY_PATH=/a\0").unwrap(), "/a");
    }

    #[test]
    fn a_program_can_be_wrapped_twice() {
        assert_eq!(hidden_by("x".into()), ".x-wrapped");
        assert_eq!(hidden_by("x_".into()), ".x_-wrapped");
        assert_eq!(hidden_by(".x-wrapped_".into()), ".x-wrapped");
        assert_eq!(hidden_by(".x-wrapped__".into()), ".x-wrapped");
    }
}
