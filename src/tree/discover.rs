//! From arguments to a sorted list of regular files.

use std::io;
use std::path::{Path, PathBuf};

use globset::GlobSet;
use walkdir::WalkDir;

/// One argument, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// As it was given; reports use it.
    pub given: PathBuf,
    /// What it resolves to, symbolic links followed.
    pub real: PathBuf,
}

/// Why an argument cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot resolve it")]
pub struct RootError {
    /// The argument.
    pub given: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl Root {
    /// Resolves an argument; a symbolic link is followed.
    ///
    /// # Errors
    /// [`RootError`] when it does not exist or a directory on the way cannot be searched.
    pub fn resolve(given: &Path) -> Result<Self, RootError> {
        match given.canonicalize() {
            Ok(real) => Ok(Self { given: given.to_owned(), real }),
            Err(source) => Err(RootError { given: given.to_owned(), source }),
        }
    }
}

/// A regular file in a tree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Its path below the argument as given.
    pub shown: PathBuf,
    /// Its canonical path, which is opened.
    pub real: PathBuf,
}

/// A path that cannot be walked or is no file.
#[derive(Debug)]
pub struct Failure {
    /// The path below the argument as given.
    pub shown: PathBuf,
    /// What the system said.
    pub error: io::Error,
}

/// Everything that discovery finds.
#[derive(Debug, Default)]
pub struct Listing {
    /// Regular files in path order, each once.
    pub files: Vec<Found>,
    /// What could not be walked.
    pub failures: Vec<Failure>,
}

/// Lists the regular files below the roots. Symbolic links met on the way are not followed; `exclude` is matched
/// against the path below the root and against the file name, and prunes directories.
#[must_use]
pub fn discover(roots: &[Root], exclude: &GlobSet) -> Listing {
    let mut listing = Listing::default();
    for (index, root) in roots.iter().enumerate() {
        // A root below another one, or given twice, would be edited by two threads at once.
        let covered = roots.iter().enumerate().any(|(other_index, other)| {
            let same = root.real == other.real;
            root.real.starts_with(&other.real) && (!same || other_index < index)
        });
        if !covered {
            walk(root, exclude, &mut listing);
        }
    }
    listing.files.sort();
    listing
}

fn walk(root: &Root, exclude: &GlobSet, listing: &mut Listing) {
    let shown = |path: &Path| match path.strip_prefix(&root.real) {
        Ok(below) if below.as_os_str().is_empty() => root.given.clone(),
        Ok(below) => root.given.join(below),
        Err(_) => path.to_owned(),
    };
    let is_excluded = |path: &Path| {
        let below = path.strip_prefix(&root.real).unwrap_or(path);
        let name = path.file_name().unwrap_or_default();
        !below.as_os_str().is_empty() && (exclude.is_match(below) || exclude.is_match(name))
    };
    let entries = WalkDir::new(&root.real).follow_links(false).into_iter();
    for entry in entries.filter_entry(|entry| exclude.is_empty() || !is_excluded(entry.path())) {
        match entry {
            Ok(entry) if entry.file_type().is_file() => {
                listing.files.push(Found { shown: shown(entry.path()), real: entry.into_path() });
            }
            Ok(entry) if entry.depth() == 0 && !entry.file_type().is_dir() => {
                let error = io::Error::other("neither a regular file nor a directory");
                listing.failures.push(Failure { shown: root.given.clone(), error });
            }
            Ok(_) => {}
            Err(error) => {
                let path = error.path().map_or_else(|| root.given.clone(), shown);
                let source = error.into_io_error().unwrap_or_else(|| io::Error::other("a loop of directories"));
                listing.failures.push(Failure { shown: path, error: source });
            }
        }
    }
}
