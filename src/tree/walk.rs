//! Every regular file below a directory. Directories of one level are listed at the same time; the result is in the order
//! in which one walk, names sorted, would come to them.

use std::io;
use std::path::{Path, PathBuf};

use super::run::Workers;
use super::source::{EntryKind, Source};
use crate::fsio::{Anchor, ImagePath, Site};

/// A path that cannot be walked or is no file.
#[derive(Debug)]
pub struct Failure {
    /// The path below the argument as given.
    pub(crate) shown: PathBuf,
    /// What the system said.
    pub(crate) error: io::Error,
}

/// What a directory has that matters.
enum Walked {
    File(ImagePath),
    /// Its place in the list of directories.
    Directory(usize),
    Failed(Failure),
}

/// The files below a directory, which is held, with what lies below it from so many bytes of a path on, and what could not be listed. What `is_excluded` says of is left out, with what is below.
pub(super) fn files_below(
    source: &dyn Source,
    (root, held): (&ImagePath, (&Anchor, usize)),
    is_excluded: &(dyn Fn(&Path) -> bool + Sync),
    workers: &Workers,
) -> (Vec<ImagePath>, Vec<Failure>) {
    let mut directories: Vec<Vec<Walked>> = vec![Vec::new()];
    let mut level = vec![(0, root.clone())];
    while !level.is_empty() {
        let listed = workers.run(level, |(place, path)| (place, list(source, path, held, is_excluded)));
        level = Vec::new();
        for (place, (found, failure)) in listed {
            let mut entries = Vec::with_capacity(found.len());
            entries.extend(failure.map(Walked::Failed));
            for (path, kind) in found {
                entries.push(match kind {
                    EntryKind::Directory => {
                        level.push((directories.len(), path));
                        directories.push(Vec::new());
                        Walked::Directory(directories.len().saturating_sub(1))
                    }
                    EntryKind::File | EntryKind::Other => Walked::File(path),
                });
            }
            if let Some(directory) = directories.get_mut(place) {
                *directory = entries;
            }
        }
    }
    in_order(directories)
}

/// What stands in one directory, by name.
fn list(
    source: &dyn Source,
    path: ImagePath,
    (anchor, below): (&Anchor, usize),
    is_excluded: &dyn Fn(&Path) -> bool,
) -> (Vec<(ImagePath, EntryKind)>, Option<Failure>) {
    let mut found = Vec::new();
    let failure = source
        .walk_into(Site::below(anchor, below, &path), &mut found)
        .err()
        .map(|error| Failure { shown: path.into_path(), error });
    found.retain(|(path, _)| !is_excluded(path.as_path()));
    // All have the same directory in front.
    found.sort_unstable_by(|(a, _), (b, _)| a.as_path().as_os_str().cmp(b.as_path().as_os_str()));
    (found, failure)
}

fn in_order(mut directories: Vec<Vec<Walked>>) -> (Vec<ImagePath>, Vec<Failure>) {
    let (mut files, mut failures) = (Vec::new(), Vec::new());
    let mut take = |place: usize| directories.get_mut(place).map(std::mem::take).unwrap_or_default().into_iter();
    let mut open = vec![take(0)];
    while let Some(entries) = open.last_mut() {
        match entries.next() {
            Some(Walked::File(path)) => files.push(path),
            Some(Walked::Failed(failure)) => failures.push(failure),
            Some(Walked::Directory(place)) => open.push(take(place)),
            None => {
                open.pop();
            }
        }
    }
    (files, failures)
}
