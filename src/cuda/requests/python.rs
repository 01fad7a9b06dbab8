//! Python scripts that open a driver library through ctypes, as numba-cuda, cuda-bindings, PyTorch's NVML functions,
//! Triton and nvidia-ml-py do: `ctypes.CDLL("libcuda.so.1")`; or through cffi: `FFI().dlopen("libcuda.so.1")`.
//!
//! The call of dlopen is in `_ctypes.cpython-*.so` or `_cffi_backend.cpython-*.so`, so that object asks, and its search path decides. A script counts when
//! a string of its code *is* a library's name; comments, documentation and messages that mention one do not, and neither
//! does a comparison with one.

use std::collections::BTreeSet;

use memchr::memmem;

use super::python_text::{HOLE, text_at};
use crate::cuda::DriverLibraries;

/// The extension module in which dlopen is called for a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Opener {
    /// `_ctypes`, of Python itself.
    Ctypes,
    /// `_cffi_backend`, of cffi.
    Cffi,
}

impl Opener {
    /// The one in a file of this name.
    #[must_use]
    pub(crate) fn of_file(file_name: &[u8]) -> Option<Self> {
        let modules = [(b"_ctypes".as_slice(), Self::Ctypes), (b"_cffi_backend", Self::Cffi)];
        let is_module = |module: &[u8]| {
            let rest = file_name.strip_prefix(module);
            rest.is_some_and(|rest| rest.starts_with(b".") && rest.ends_with(b".so"))
        };
        modules.into_iter().find(|(module, _)| is_module(module)).map(|(_, opener)| opener)
    }
}

/// What opens a library by name: the functions that each module is reached through.
const OPENERS: [(&[u8], Opener); 7] = [
    (b"CDLL", Opener::Ctypes),
    (b"PyDLL", Opener::Ctypes),
    (b"cdll", Opener::Ctypes),
    (b"LoadLibrary", Opener::Ctypes),
    (b"find_library", Opener::Ctypes),
    (b"dlopen", Opener::Cffi),
    // `_ctypes` has one, too.
    (b"dlopen", Opener::Ctypes),
];

/// A script that has this word opens through cffi what it opens with dlopen.
const FFI: &[u8] = b"FFI";

/// In front of a string, what only looks at it, or says it.
const COMPARED: [&[u8]; 14] = [
    b"==",
    b"!=",
    b"startswith(",
    b"endswith(",
    b"print(",
    b"basename(",
    b"Error(",
    b"Exception(",
    b"Warning(",
    b"warn(",
    b"warning(",
    b"debug(",
    b"info(",
    b"error(",
];

/// What a script says of driver libraries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Script {
    /// The names that stand in it as strings of their own, in the table's order.
    pub names: Vec<String>,
    /// It can open a library by name through these. What it opens may stand in another script of its package.
    pub opens: BTreeSet<Opener>,
}

/// What a file may be to Python.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScriptKind {
    /// Source.
    Source,
    /// Compiled source.
    Compiled,
    /// Its first line tells.
    Program,
}

impl ScriptKind {
    /// Of a file of this name.
    #[must_use]
    pub(crate) fn of_file(file_name: &[u8]) -> Option<Self> {
        if file_name.ends_with(b".py") {
            Some(Self::Source)
        } else if file_name.ends_with(b".pyc") {
            Some(Self::Compiled)
        } else {
            (!file_name.contains(&b'.')).then_some(Self::Program)
        }
    }

    /// Whether a file of this kind that begins like that is one.
    #[must_use]
    pub(crate) fn may_be(self, start: &[u8]) -> bool {
        self != Self::Program || start.starts_with(b"#!")
    }

    /// Reads it.
    #[must_use]
    pub(crate) fn read(self, text: &[u8], libraries: &DriverLibraries) -> Script {
        let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        match self {
            Self::Source => Script::of(text, libraries),
            Self::Compiled => Script::of_compiled(text, libraries),
            Self::Program if memmem::find(first, b"python").is_some() => Script::of(text, libraries),
            Self::Program => Script::default(),
        }
    }
}

impl Script {
    /// Reads a script: one pass, whatever the text is. Most scripts have neither, and are only searched.
    #[must_use]
    pub(crate) fn of(source: &[u8], libraries: &DriverLibraries) -> Self {
        if !may_name(source) && !OPENERS.iter().any(|(word, _)| memmem::find(source, word).is_some()) {
            return Self::default();
        }
        let mut found = vec![false; libraries.names().len()];
        let has_ffi = memmem::find(source, FFI).is_some();
        let mut opens = BTreeSet::new();
        let opens_by = |word: &[u8]| {
            let by = OPENERS.iter().filter(|(opener, _)| *opener == word).map(|(_, opener)| *opener);
            let is_right = |opener: &Opener| word != b"dlopen" || (*opener == Opener::Cffi) == has_ffi;
            by.filter(is_right).collect::<Vec<_>>()
        };
        let (mut at, mut brackets) = (0_usize, 0_usize);
        while let Some((&first, rest)) = source.get(at..).and_then(<[u8]>::split_first) {
            at = if first == b'#' {
                let comment = rest.iter().take_while(|byte| **byte != b'\n').count();
                at.saturating_add(comment).saturating_add(1)
            } else if let Some(text) = text_at(source, at, brackets > 0) {
                let front = source.get(..at).unwrap_or_default().trim_ascii_end();
                let behind = source.get(text.end..).unwrap_or_default();
                if let Some(seen) = named(&text.bytes, front, libraries).and_then(|index| found.get_mut(index)) {
                    *seen |= !is_compared(front, behind);
                }
                if is_attribute(front) {
                    opens.extend(opens_by(&text.bytes));
                }
                text.end.max(at.saturating_add(1))
            } else if is_word(first) {
                let length = rest.iter().take_while(|byte| is_word(**byte)).count().saturating_add(1);
                let end = at.saturating_add(length);
                opens.extend(opens_by(source.get(at..end).unwrap_or_default()));
                end
            } else {
                match first {
                    b'(' | b'[' | b'{' => brackets = brackets.saturating_add(1),
                    b')' | b']' | b'}' => brackets = brackets.saturating_sub(1),
                    _ => {}
                }
                at.saturating_add(1)
            };
        }
        let names = libraries.names().iter().zip(found).filter(|(_, seen)| *seen).map(|(name, _)| name.clone());
        Self { names: names.collect(), opens }
    }

    /// Reads a compiled script, whose source is not there. Its constants and names stand in it each with its length in front
    /// (`CPython Python/marshal.c`), and what it does with them is not told.
    #[must_use]
    pub(crate) fn of_compiled(code: &[u8], libraries: &DriverLibraries) -> Self {
        let mut found = vec![false; libraries.names().len()];
        libraries.searches.search.each(code, |hit| {
            let is_whole = is_marshalled(code, hit.start, hit.end.saturating_sub(hit.start));
            if let Some(seen) = found.get_mut(hit.name).filter(|_| is_whole) {
                *seen = true;
            }
        });
        let is_there = |word: &[u8]| memmem::find_iter(code, word).any(|at| is_marshalled(code, at, word.len()));
        let has_ffi = is_there(FFI);
        let is_used = |(word, opener): &&(&[u8], Opener)| {
            is_there(word) && (*word != b"dlopen" || (*opener == Opener::Cffi) == has_ffi)
        };
        let opens = OPENERS.iter().filter(is_used).map(|(_, opener)| *opener).collect();
        let names = libraries.names().iter().zip(found).filter(|(_, seen)| *seen).map(|(name, _)| name.clone());
        Self { names: names.collect(), opens }
    }
}

/// Whether a string of this length stands at a place of compiled code: TYPE_SHORT_ASCII or its interned form, each with a
/// reference or not.
fn is_marshalled(code: &[u8], at: usize, len: usize) -> bool {
    let front = at.checked_sub(2).and_then(|front| code.get(front..at)).unwrap_or_default();
    matches!(front, [b'z' | b'Z' | 0xfa | 0xda, length] if usize::from(*length) == len)
}

/// Whether a script may put a library's name together: most have no `.so` but that of `.sort`.
fn may_name(source: &[u8]) -> bool {
    let goes_on = |at: usize| source.get(at.saturating_add(3)).is_some_and(|byte| is_word(*byte));
    memmem::find_iter(source, b".so").any(|at| !goes_on(at))
}

/// The library of a text: its name; or that of an interface whose version is only known in a run; or, for
/// `find_library("cuda")`, what that looks for.
fn named(text: &[u8], front: &[u8], libraries: &DriverLibraries) -> Option<usize> {
    if text.is_empty() {
        return None;
    }
    let stem_of = |name: &String| name.split_once(".so").map(|(stem, _)| stem.as_bytes().to_vec());
    if front.ends_with(b"find_library(") {
        let stem = [b"lib", text].concat();
        return libraries.names().iter().position(|name| stem_of(name).is_some_and(|known| known == stem));
    }
    let (known, behind) = match text.iter().position(|byte| *byte == HOLE) {
        None => return libraries.asked_for_as(text),
        Some(hole) => text.split_at_checked(hole)?,
    };
    let is_end = behind.iter().all(|byte| *byte == HOLE || byte.is_ascii_digit() || *byte == b'.');
    let stem = known.strip_suffix(b".so.").or_else(|| known.strip_suffix(b".so")).filter(|_| is_end)?;
    libraries.names().iter().position(|name| stem_of(name).is_some_and(|known| known == stem))
}

/// Whether a string is the name of an attribute: the second value of `getattr`.
fn is_attribute(front: &[u8]) -> bool {
    /// Bytes of the first value.
    const LONGEST: usize = 64;
    let Some(front) = front.strip_suffix(b",") else { return false };
    let front = front.get(front.len().saturating_sub(LONGEST)..).unwrap_or_default();
    memmem::rfind(front, b"getattr(").is_some_and(|at| !front.get(at..).unwrap_or_default().contains(&b')'))
}

/// Whether a string is looked for or compared with, not handed on.
fn is_compared(front: &[u8], behind: &[u8]) -> bool {
    let behind = behind.get(..16).unwrap_or(behind).trim_ascii_start();
    let words = [b"in ".as_slice(), b"not in ", b"==", b"!="];
    COMPARED.iter().any(|before| front.ends_with(before)) || words.iter().any(|word| behind.starts_with(word))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let script = Script::of(text.as_bytes(), &DriverLibraries::with(&[]).unwrap());
        if script.opens.is_empty() { Vec::new() } else { script.names }
    }

    #[test]
    fn a_name_that_is_opened_counts() {
        assert_eq!(names("import ctypes\nctypes.CDLL(\"libcuda.so.1\")\n"), ["libcuda.so.1"]);
        assert_eq!(names("CDLL('''libcuda.so.1''')"), ["libcuda.so.1"]);
        assert_eq!(names("nvmlLib = CDLL('libnvidia-ml.so.1')"), ["libnvidia-ml.so.1"]);
        assert_eq!(names("n = [\"libcuda.so\", \"libcuda.so.1\"]\nx = ctypes.CDLL\n"), ["libcuda.so.1", "libcuda.so"]);
        assert_eq!(names("'''\"''' + 'a\\'' + cdll.LoadLibrary(b'libcuda.so.1')"), ["libcuda.so.1"]);
    }

    #[test]
    fn a_name_that_is_put_together_counts() {
        for text in [
            "ctypes.CDLL(f\"libcuda.so.{1}\")",
            "ctypes.CDLL(\"lib%s.so.1\" % \"cuda\")",
            "ctypes.CDLL('lib%s.so.%s' % ('cuda', '1'))",
            "ctypes.CDLL(\"libcuda\" \".so.1\")",
            "ctypes.CDLL('lib' + 'cuda' + '.so.1')",
            "ctypes.CDLL('lib{}.so.1'.format('cuda'))",
            "ctypes.CDLL('\\x6cibcuda.so.1')",
            "ctypes.CDLL('libcuda.so.570.133.07')",
            "getattr(ctypes, \"CDLL\")(\"libcuda.so.1\")",
            "ctypes.CDLL(ctypes.util.find_library('cuda'))",
        ] {
            assert_eq!(names(text), ["libcuda.so.1"], "{text}");
        }
    }

    #[test]
    fn compiled_scripts_tell_names_by_their_lengths() {
        let libraries = DriverLibraries::with(&[]).unwrap();
        let script = Script::of_compiled(b"\xa7\r\xfa\x0clibcuda.so.1\xda\x04CDLL\xda\x06ctypes", &libraries);
        assert_eq!(
            (script.names, script.opens.into_iter().collect()),
            (vec!["libcuda.so.1".into()], vec![Opener::Ctypes])
        );
        let script = Script::of_compiled(b"\xfa\x16no libcuda.so.1 there!!\xda\x05aCDLL", &libraries);
        assert_eq!(script, Script::default());
    }

    #[test]
    fn the_module_that_opens_is_known() {
        let opens = |text: &str| {
            let script = Script::of(text.as_bytes(), &DriverLibraries::with(&[]).unwrap());
            script.opens.into_iter().collect::<Vec<_>>()
        };
        assert_eq!(opens("import ctypes\nctypes.CDLL('libcuda.so.1')"), [Opener::Ctypes]);
        assert_eq!(opens("from cffi import FFI\nFFI().dlopen('libcuda.so.1')"), [Opener::Cffi]);
        assert_eq!(opens("FFI().dlopen('x'); CDLL('libcuda.so.1')"), [Opener::Ctypes, Opener::Cffi]);
        assert_eq!(opens("loader.dlopen('libcuda.so.1')"), [Opener::Ctypes]);
        assert_eq!(Opener::of_file(b"_ctypes.cpython-312-x86_64-linux-gnu.so"), Some(Opener::Ctypes));
        assert_eq!(Opener::of_file(b"_ctypes.so"), Some(Opener::Ctypes));
        assert_eq!(Opener::of_file(b"_cffi_backend.cpython-312-x86_64-linux-gnu.so"), Some(Opener::Cffi));
        assert_eq!(Opener::of_file(b"_ctypes_test.so"), None);
    }

    #[test]
    fn a_name_that_is_only_mentioned_does_not() {
        assert!(names("import ctypes\n# ctypes.CDLL(\"libcuda.so.1\")\n").is_empty());
        assert!(names("CDLL(path)\n'''CDLL(\"libcuda.so.1\")'''").is_empty());
        assert!(names("CDLL(path)\nlines = [l for l in lines if \"libcuda.so.1\" in l]").is_empty());
        assert!(names("CDLL(path)\nif name == 'libcuda.so.1': pass").is_empty());
        assert!(names("CDLL(path)\nmsg = 'libcuda.so.1 cannot be found'").is_empty());
        assert!(names("CDLL(path)\nraise ImportError('libcuda.so.1')").is_empty());
        assert!(names("CDLL(path)\nlog.error(\n  'libcuda.so.1')").is_empty());
        assert!(names("CDLL(f'lib{name}.so.1')\n'lib%s.so' % name").is_empty());
        assert!(names("CDLL(f'libcuda.so.{n} is missing')").is_empty());
        assert!(names("find_library('cudart')\n'cuda'").is_empty());
        assert!(names("libraries=[\"libcuda.so.1\"]").is_empty());
        assert!(names("\"CDLL\", 'libcuda.so.1'").is_empty());
    }

    #[test]
    fn any_text_ends() {
        for text in ["\"", "'''", "'''\\", "\"\\", "#", "'\n'", "\\", "''''''", "'''a''"] {
            assert!(names(&format!("{text}CDLL libcuda.so.1")).is_empty(), "{text}");
            assert!(names(&format!("CDLL libcuda.so.1 {text}")).is_empty(), "{text}");
        }
    }
}
