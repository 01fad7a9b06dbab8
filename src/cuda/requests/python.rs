//! Python scripts that open a driver library through ctypes, as numba-cuda, cuda-bindings, PyTorch's NVML functions,
//! Triton and nvidia-ml-py do: `ctypes.CDLL("libcuda.so.1")`; or through cffi: `FFI().dlopen("libcuda.so.1")`.
//!
//! The call of dlopen is in `_ctypes.cpython-*.so` or `_cffi_backend.cpython-*.so`, so that object asks, and its search path decides. A script counts when
//! a string of its code *is* a library's name; comments, documentation and messages that mention one do not, and neither
//! does a comparison with one.

use std::collections::BTreeSet;

use memchr::memmem;

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

/// In front of a string, what only looks at it.
const COMPARED: [&[u8]; 6] = [b"==", b"!=", b"startswith(", b"endswith(", b"print(", b"basename("];

/// What a script says of driver libraries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Script {
    /// The names that stand in it as strings of their own, in the table's order.
    pub names: Vec<String>,
    /// It can open a library by name through these. What it opens may stand in another script of its package.
    pub opens: BTreeSet<Opener>,
}

/// Whether a file of this name is a script.
#[must_use]
pub(crate) fn is_script(file_name: &[u8]) -> bool {
    file_name.ends_with(b".py")
}

impl Script {
    /// Reads a script: one pass, whatever the text is. Most scripts have neither, and are only searched.
    #[must_use]
    pub(crate) fn of(text: &[u8], libraries: &DriverLibraries) -> Self {
        let mut is_named = false;
        libraries.searches.search.each(text, |hit| is_named |= hit.name < libraries.names().len());
        if !is_named && !OPENERS.iter().any(|(word, _)| memmem::find(text, word).is_some()) {
            return Self::default();
        }
        let mut found = vec![false; libraries.names().len()];
        let has_ffi = memmem::find(text, FFI).is_some();
        let mut opens = BTreeSet::new();
        let mut at = 0_usize;
        while let Some((&first, rest)) = text.get(at..).and_then(<[u8]>::split_first) {
            let length = match first {
                b'#' => rest.iter().take_while(|byte| **byte != b'\n').count(),
                b'"' | b'\'' => {
                    let (content, length) = string(first, rest);
                    let behind = rest.get(length..).unwrap_or_default();
                    let named = content.and_then(|content| libraries.position(content));
                    let is_named = !is_compared(text.get(..at).unwrap_or_default(), behind);
                    if let Some(seen) = named.and_then(|index| found.get_mut(index)) {
                        *seen |= is_named;
                    }
                    length
                }
                _ if is_word(first) => {
                    let length = rest.iter().take_while(|byte| is_word(**byte)).count();
                    let word = text.get(at..at.saturating_add(length).saturating_add(1)).unwrap_or_default();
                    let by = OPENERS.iter().filter(|(opener, _)| *opener == word).map(|(_, opener)| *opener);
                    opens.extend(by.filter(|opener| word != b"dlopen" || (*opener == Opener::Cffi) == has_ffi));
                    length
                }
                _ => 0,
            };
            at = at.saturating_add(length).saturating_add(1);
        }
        let names = libraries.names().iter().zip(found).filter(|(_, seen)| *seen).map(|(name, _)| name.clone());
        Self { names: names.collect(), opens }
    }
}

/// The content of a string behind its first quote, and how many bytes there are up to its end.
fn string(quote: u8, rest: &[u8]) -> (Option<&[u8]>, usize) {
    let triple = [quote, quote];
    let is_triple = rest.starts_with(&triple);
    let mut at = if is_triple { triple.len() } else { 0 };
    while let Some(&byte) = rest.get(at) {
        match byte {
            b'\\' => at = at.saturating_add(1),
            b'\n' if !is_triple => return (None, at),
            _ if byte != quote => {}
            _ if !is_triple => return (rest.get(..at), at.saturating_add(1)),
            _ if rest.get(at.saturating_add(1)..).is_some_and(|behind| behind.starts_with(&triple)) => {
                return (rest.get(triple.len()..at), at.saturating_add(3));
            }
            _ => {}
        }
        at = at.saturating_add(1);
    }
    (None, rest.len())
}

/// Whether a string is looked for or compared with, not handed on.
fn is_compared(front: &[u8], behind: &[u8]) -> bool {
    let front = front.trim_ascii_end();
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
