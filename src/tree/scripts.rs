//! Python scripts of a tree that open driver libraries through ctypes: the object that asks is `_ctypes.cpython-*.so`.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::discover::Found;
use super::in_order::run_in_order;
use super::run::Workers;
use super::source::Source;
use crate::cuda::DriverLibraries;
use crate::cuda::python::{self, Script};

/// What the scripts of a listing open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scripts {
    /// The libraries, and the first script that names each.
    pub(crate) names: BTreeMap<String, PathBuf>,
}

impl Scripts {
    /// Reads the scripts of a listing, if the module that they would ask through is in it too: nothing else of the listing
    /// can be wrong for them. A script that cannot be read names nothing.
    #[must_use]
    pub(crate) fn of(source: &dyn Source, files: &[Found], libraries: &DriverLibraries, workers: &Workers) -> Self {
        if !files.iter().any(|found| is_ctypes(found.shown.as_path())) {
            return Self::default();
        }
        let scripts = files.iter().filter(|found| python::is_script(name(found.shown.as_path()))).cloned().collect();
        let read = run_in_order(workers, source, scripts, |found| {
            let text = source.open(found.site(), &|_| true).ok().flatten();
            (found.shown.into_path(), text.map(|text| Script::of(text.bytes(), libraries)).unwrap_or_default())
        });
        // What one script names another one of the same package opens (cuda-pathfinder).
        let opening: BTreeSet<&Path> =
            read.iter().filter(|(_, script)| script.opens).filter_map(|(path, _)| path.parent()).collect();
        let mut names = BTreeMap::new();
        for (path, script) in &read {
            if path.parent().is_some_and(|directory| opening.contains(directory)) {
                for soname in &script.names {
                    names.entry(soname.clone()).or_insert_with(|| path.clone());
                }
            }
        }
        Self { names }
    }

    /// Whether they ask through this file.
    #[must_use]
    pub(crate) fn ask_through(&self, path: &Path) -> bool {
        !self.names.is_empty() && is_ctypes(path)
    }
}

fn is_ctypes(path: &Path) -> bool {
    python::is_ctypes(name(path))
}

fn name(path: &Path) -> &[u8] {
    path.file_name().unwrap_or_default().as_bytes()
}
