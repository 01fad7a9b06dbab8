//! Python scripts of a tree that open driver libraries: the object that asks is `_ctypes.cpython-*.so`, or that of cffi.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::discover::Found;
use super::in_order::run_in_order;
use super::run::Workers;
use super::source::Source;
use crate::cuda::DriverLibraries;
use crate::cuda::python::{Opener, ScriptKind};

/// No script of a person's is as large; a sparse file says that it is.
const LARGEST_SCRIPT: usize = 16 << 20;

/// What the scripts of a listing open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scripts {
    /// By what opens them: the libraries, and the first script that names each.
    names: BTreeMap<Opener, BTreeMap<String, PathBuf>>,
}

impl Scripts {
    /// Reads the scripts of a listing, if the module that they would ask through is in it too: nothing else of the listing
    /// can be wrong for them. A script that cannot be read names nothing.
    #[must_use]
    pub(crate) fn of(source: &dyn Source, files: &[Found], libraries: &DriverLibraries, workers: &Workers) -> Self {
        if !files.iter().any(|found| opener(found.shown.as_path()).is_some()) {
            return Self::default();
        }
        let sources: HashSet<&Path> =
            files.iter().map(|found| found.shown.as_path()).filter(|path| name(path).ends_with(b".py")).collect();
        let is_read = |found: &&Found| {
            let path = found.shown.as_path();
            match ScriptKind::of_file(name(path)) {
                None => false,
                Some(ScriptKind::Compiled) => source_of(path).is_none_or(|source| !sources.contains(source.as_path())),
                Some(ScriptKind::Source | ScriptKind::Program) => true,
            }
        };
        let scripts = files.iter().filter(is_read).cloned().collect();
        let read = run_in_order(workers, source, scripts, |found| {
            let kind = ScriptKind::of_file(name(found.shown.as_path())).unwrap_or(ScriptKind::Source);
            let text = source.open(found.site(), &|start| kind.may_be(start)).ok().flatten();
            let text = text.filter(|text| text.bytes().len() <= LARGEST_SCRIPT);
            (found.shown.into_path(), text.map(|text| kind.read(text.bytes(), libraries)).unwrap_or_default())
        });
        // What one script names another one of the same package opens (cuda-pathfinder).
        let mut opening: BTreeMap<&Path, BTreeSet<Opener>> = BTreeMap::new();
        for (path, script) in &read {
            if let Some(directory) = path.parent() {
                opening.entry(directory).or_default().extend(&script.opens);
            }
        }
        let mut names: BTreeMap<Opener, BTreeMap<String, PathBuf>> = BTreeMap::new();
        for (path, script) in &read {
            for opener in path.parent().and_then(|directory| opening.get(directory)).into_iter().flatten() {
                for soname in &script.names {
                    let through = names.entry(*opener).or_default();
                    through.entry(soname.clone()).or_insert_with(|| path.clone());
                }
            }
        }
        Self { names }
    }

    /// Whether scripts ask through files of this name.
    #[must_use]
    pub(super) fn may_ask_through(path: &Path) -> bool {
        opener(path).is_some()
    }

    /// What they ask for through this file.
    #[must_use]
    pub(crate) fn asked_through(&self, path: &Path) -> Option<&BTreeMap<String, PathBuf>> {
        self.names.get(&opener(path)?)
    }
}

/// The source that a compiled script is from: `x.py` of `__pycache__/x.cpython-313.pyc`, and of `x.pyc`.
fn source_of(path: &Path) -> Option<PathBuf> {
    let stem = name(path).split(|byte| *byte == b'.').next()?;
    let file = OsStr::from_bytes(&[stem, b".py"].concat()).to_owned();
    let directory = path.parent()?;
    let directory = if directory.ends_with("__pycache__") { directory.parent()? } else { directory };
    Some(directory.join(file))
}

fn opener(path: &Path) -> Option<Opener> {
    Opener::of_file(name(path))
}

fn name(path: &Path) -> &[u8] {
    path.file_name().unwrap_or_default().as_bytes()
}
