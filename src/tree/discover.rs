//! From arguments to a sorted list of regular files.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use globset::GlobSet;

use super::run::Workers;
use super::source::{EntryKind, Source};
use super::walk::{Failure, files_below};
use crate::fsio::{self, Anchor, FileError, ImagePath, Site, Spot, Sysroot};

/// One argument, resolved.
#[derive(Clone, Debug)]
pub struct Root {
    /// As it was given; reports use it.
    pub(crate) given: ImagePath,
    /// What it resolves to, symbolic links followed.
    pub(crate) real: ImagePath,
    /// For a copy, the original: the policy asks where a file belongs, not where it is being edited.
    pub(crate) stands_for: ImagePath,
    /// What it led to when it was resolved.
    pub(crate) anchor: Anchor,
}

/// Why an argument cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot resolve it")]
pub struct RootError {
    /// The argument.
    pub(crate) given: PathBuf,
    /// What the system said.
    pub(crate) source: io::Error,
}

impl Root {
    /// Resolves an argument; a symbolic link is followed.
    ///
    /// # Errors
    /// [`RootError`] when it does not exist or a directory on the way cannot be searched.
    pub(crate) fn resolve(source: &dyn Source, given: ImagePath) -> Result<Self, RootError> {
        match source.hold(&given) {
            Ok((real, anchor)) => Ok(Self { given, stands_for: real.clone(), real, anchor }),
            Err(source) => Err(RootError { given: given.into_path(), source }),
        }
    }

    /// What it leads to, to open it.
    #[must_use]
    pub(crate) fn site(&self) -> Site<'_> {
        Site::of(&self.anchor, &self.real)
    }
}

/// A regular file in a tree.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its path below the argument as given.
    pub(crate) shown: ImagePath,
    root: Arc<Root>,
    /// Where what lies below the argument starts in `shown`, in bytes; `None` for the argument itself.
    below: Option<usize>,
}

impl Found {
    /// The place to open: an argument may itself be a symbolic link, what lies below it never is.
    #[must_use]
    pub(crate) fn site(&self) -> Site<'_> {
        match self.below {
            None => Site::of(&self.root.anchor, &self.root.real),
            Some(below) => Site::below(&self.root.anchor, below, &self.shown),
        }
    }

    /// Opens it in the directory that it was found in.
    pub(super) fn open_with<T>(&self, how: impl Fn(Spot, &Path) -> Result<T, FileError>) -> Result<T, FileError> {
        let site = self.site();
        let path = site.path().as_path();
        let spot = Sysroot::host().spot_of(site);
        how(spot.map_err(|source| FileError { path: path.to_owned(), action: "open it", source })?, path)
    }

    /// The canonical path. Only files that change need it, so it is not kept.
    #[must_use]
    pub(crate) fn real(&self) -> ImagePath {
        self.below(&self.root.real)
    }

    /// The canonical path of what a copy was made of; of the file itself otherwise.
    #[must_use]
    pub(crate) fn stands_for(&self) -> ImagePath {
        self.below(&self.root.stands_for)
    }

    /// Whether the listing of its directory is part of the walk that found it.
    #[must_use]
    pub(super) fn is_below(&self) -> bool {
        self.below.is_some()
    }

    /// Its name.
    #[must_use]
    pub(super) fn name(&self) -> &OsStr {
        let path = self.site().path().as_path().as_os_str().as_bytes();
        OsStr::from_bytes(path.rsplit(|byte| *byte == b'/').next().unwrap_or(path))
    }

    /// Whether a glob matches its path below the argument, or its name.
    #[must_use]
    pub(crate) fn is_match(&self, globs: &GlobSet) -> bool {
        let shown = self.shown.as_path().as_os_str().as_bytes();
        let below = self.below.and_then(|start| shown.get(start..)).unwrap_or(shown);
        globs.is_match(OsStr::from_bytes(below)) || globs.is_match(self.name())
    }

    /// Whether it is called as this program's own temporary files are.
    #[must_use]
    pub(crate) fn is_temporary(&self) -> bool {
        fsio::is_temporary(self.name())
    }

    fn below(&self, root: &ImagePath) -> ImagePath {
        let below = self.below.and_then(|start| self.shown.as_path().as_os_str().as_bytes().get(start..));
        let Some(below) = below else { return root.clone() };
        let root = root.as_path().as_os_str().as_bytes();
        let separator = if root.ends_with(b"/") { "" } else { "/" };
        ImagePath::new(OsString::from_vec([root, separator.as_bytes(), below].concat()))
    }
}

/// Everything that discovery finds.
#[derive(Debug, Default)]
pub struct Listing {
    /// Regular files in path order, each once.
    pub files: Vec<Found>,
    /// What could not be walked.
    pub failures: Vec<Failure>,
    /// Nothing was to be left out: what is not among the files is not there.
    pub is_whole: bool,
}

/// Lists the regular files below the roots. Symbolic links met on the way are not followed; `exclude` is matched
/// against the path below the root and against the file name, and prunes directories.
#[must_use]
pub fn discover(source: &dyn Source, roots: &[Root], exclude: &GlobSet, workers: &Workers) -> Listing {
    let mut listing = Listing { is_whole: exclude.is_empty(), ..Listing::default() };
    // A root below another one, or given twice, would be edited by two threads at once. In path order, what lies below
    // a root follows it directly.
    let mut sorted: Vec<&Root> = roots.iter().collect();
    sorted.sort_by(|a, b| a.real.cmp(&b.real));
    let mut last: Option<&Root> = None;
    for root in sorted {
        if last.is_none_or(|last| !root.real.as_path().starts_with(last.real.as_path())) {
            walk(source, &Arc::new(root.clone()), exclude, workers, &mut listing);
            last = Some(root);
        }
    }
    if roots.len() > 1 {
        // One walk is in order already.
        listing.files.sort_by(|a, b| a.shown.cmp(&b.shown));
    }
    listing
}

fn walk(source: &dyn Source, root: &Arc<Root>, exclude: &GlobSet, workers: &Workers, listing: &mut Listing) {
    let prefix = root.given.as_path().as_os_str().as_bytes();
    let below = prefix.len().saturating_add(usize::from(!prefix.ends_with(b"/")));
    let found = |shown: ImagePath| Found { shown, root: Arc::clone(root), below: Some(below) };
    let kind = match root.anchor.is_directory() {
        Some(true) => Ok(EntryKind::Directory),
        Some(false) => Ok(EntryKind::File),
        None => source.kind(&root.real),
    };
    match kind {
        Ok(EntryKind::Directory) => {}
        Ok(EntryKind::File) => {
            listing.files.push(Found { shown: root.given.clone(), root: Arc::clone(root), below: None });
            return;
        }
        other => {
            let error = other.err().unwrap_or_else(|| io::Error::other("neither a regular file nor a directory"));
            listing.failures.push(Failure { shown: root.given.as_path().to_owned(), error });
            return;
        }
    }
    let is_excluded = |path: &Path| {
        if exclude.is_empty() {
            return false;
        }
        let below = path.strip_prefix(root.given.as_path()).unwrap_or(path);
        let name = path.file_name().unwrap_or_default();
        exclude.is_match(below) || exclude.is_match(name)
    };
    let (files, failures) = files_below(source, (&root.given, (&root.anchor, below)), &is_excluded, workers);
    listing.files.extend(files.into_iter().map(found));
    listing.failures.extend(failures);
}
