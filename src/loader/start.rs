//! What starting a program, or loading a library by itself, searches for.

use std::sync::Arc;

use super::process::Process;
use super::run::Loader;
use super::search::{Ask, End, MOST_PLACES, Search};

/// How far [`start`] goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// What the object itself needs.
    Own,
    /// And what that needs, to the end.
    Everything,
}

/// What starting a program, or loading a library by itself, searches for: DT_NEEDED breadth first, each with the index of
/// the object that asks (`glibc elf/dl-deps.c`).
#[must_use]
pub(crate) fn start(loader: &Loader<'_>, mut process: Process, depth: Depth) -> (Process, Vec<(usize, Search)>) {
    let mut searches = Vec::new();
    let mut places = MOST_PLACES;
    let mut next = 0_usize;
    while let Some(map) = process.maps.get(next) {
        for name in map.object.needed.clone() {
            let search = loader.search_within(&process, next, Ask::Needed, name.as_ref(), places);
            places = places.saturating_sub(search.steps.len());
            match &search.end {
                End::Found(object, opened) => {
                    process.add(Arc::clone(object), opened.clone(), Some(next), search.expanded.clone());
                }
                End::Loaded(index) => process.name(*index, search.expanded.clone()),
                End::Interpreter | End::NotFound | End::Fatal => {}
            }
            searches.push((next, search));
        }
        if depth == Depth::Own {
            break;
        }
        next += 1;
    }
    (process, searches)
}
