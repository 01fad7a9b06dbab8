//! `ld.so.conf`: which directories ldconfig goes through, in which order, and which line says so.

use std::collections::HashSet;

use bstr::{BStr, BString, ByteSlice};

use super::files::{ContainerFiles, join, split};
use super::glob::glob;

/// The file that ldconfig begins with.
pub(crate) const CONF: &str = "/etc/ld.so.conf";
/// The folder that distributions include.
pub(crate) const CONF_D: &str = "/etc/ld.so.conf.d";

/// Bytes of one such file.
const LARGEST: u64 = 1 << 20;
/// Files that may include each other.
const MOST_FILES: usize = 1024;
/// How deep they may do so.
const DEEPEST: usize = 16;
/// Names that the patterns of all of them are compared with.
const MOST_NAMES: usize = 1 << 20;
/// Directories of all of them.
const MOST_DIRECTORIES: usize = 4096;

/// A directory and the file that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfDirectory {
    /// As it is written, without slashes at its end.
    pub(crate) path: BString,
    /// Which file names it; `None` for what ldconfig goes through without being told.
    pub(crate) from: Option<BString>,
}

/// The directories that `ld.so.conf` and what it includes name (`glibc elf/ldconfig.c`, `parse_conf`).
pub(super) fn directories(files: &dyn ContainerFiles) -> Vec<ConfDirectory> {
    let mut reading =
        ConfReader { files, found: Vec::new(), open: Vec::new(), files_left: MOST_FILES, names_left: MOST_NAMES };
    reading.file(CONF.into());
    reading.found
}

struct ConfReader<'f> {
    files: &'f dyn ContainerFiles,
    found: Vec<ConfDirectory>,
    /// The files that are being read, each included by the one before.
    open: Vec<BString>,
    files_left: usize,
    /// Names that patterns may still be compared with.
    names_left: usize,
}

impl ConfReader<'_> {
    fn file(&mut self, path: &BStr) {
        if self.open.len() >= DEEPEST || self.open.iter().any(|open| open == path) {
            return;
        }
        let Some(left) = self.files_left.checked_sub(1) else { return };
        self.files_left = left;
        let Some(text) = read(self.files, path) else { return };
        self.open.push(path.to_owned());
        for line in text.split(|byte| *byte == b'\n') {
            let line = line.split(|byte| *byte == b'#').next().unwrap_or_default();
            let line = line.trim_ascii_start();
            match line.strip_prefix(b"include") {
                Some(rest) if rest.first().is_some_and(is_blank) => {
                    for pattern in rest.split(is_blank).map(<[u8]>::trim_ascii_end).filter(|one| !one.is_empty()) {
                        self.include(path, pattern.as_bstr());
                    }
                }
                _ if line.starts_with(b"hwcap") && line.get(5).is_some_and(is_blank) => {}
                _ => self.directory(line, path),
            }
        }
        self.open.pop();
    }

    /// A pattern without a slash in front is one beside the file that has it.
    fn include(&mut self, by: &BStr, pattern: &BStr) {
        let pattern = match split(by) {
            Some((directory, _)) if !pattern.starts_with(b"/") => join(directory, pattern),
            _ => pattern.to_owned(),
        };
        for path in glob(self.files, pattern.as_bstr(), &mut self.names_left) {
            self.file(path.as_bstr());
        }
    }

    fn directory(&mut self, line: &[u8], from: &BStr) {
        // An equals sign begins a kind of library that no system has any more.
        let path = line.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii_end();
        let path = path.trim_end_with(|c| c == '/');
        if !path.is_empty() && self.found.len() < MOST_DIRECTORIES {
            self.found.push(ConfDirectory { path: path.into(), from: Some(from.to_owned()) });
        }
    }
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn read(files: &dyn ContainerFiles, path: &BStr) -> Option<Vec<u8>> {
    files.contents(files.resolve(path)?.as_bstr(), LARGEST)
}

/// The lines that the toolkit takes for directories, by their text: it reads the files in its own way
/// (nvidia-container-toolkit internal/ldconfig/ldconfig.go, `getLdsoconfDirectories`).
pub(super) fn known_to_toolkit(files: &dyn ContainerFiles) -> HashSet<BString> {
    let mut known = HashSet::new();
    let mut read_already: HashSet<BString> = HashSet::new();
    let mut names_left = MOST_NAMES;
    let mut left: Vec<BString> = vec![CONF.into()];
    while let Some(path) = left.pop() {
        if read_already.len() >= MOST_FILES || !read_already.insert(path.clone()) {
            continue;
        }
        for line in read(files, path.as_bstr()).unwrap_or_default().split(|byte| *byte == b'\n') {
            let line = line.trim_ascii();
            if let Some(pattern) = line.strip_prefix(b"include ") {
                left.extend(glob(files, pattern.as_bstr(), &mut names_left));
            } else if !line.is_empty() && !line.starts_with(b"#") && known.len() < MOST_DIRECTORIES {
                known.insert(line.into());
            }
        }
    }
    known
}
