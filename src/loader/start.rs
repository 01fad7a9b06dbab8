//! What starting a program, or loading a library by itself, searches for.

use std::collections::HashSet;
use std::sync::Arc;

use bstr::BString;

use super::libc::Libc;
use super::object::Object;
use super::process::Process;
use super::run::Loader;
use super::search::{Ask, End, Search};

/// How far [`start`] goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// What the object itself needs.
    Own,
    /// And what that needs, to the end. Of a name that was found the first search is told: libraries that need each other
    /// name each other as often as they are many, squared.
    Everything,
    /// The same with every search.
    EverySearch,
}

/// What was started.
#[derive(Debug)]
pub(crate) struct StartUp {
    /// What is loaded.
    pub(crate) process: Process,
    /// The searches, each with the index of the object that asks.
    pub(crate) searches: Vec<(usize, Search)>,
}

/// What starting a program, or loading a library by itself, searches for: DT_NEEDED breadth first, each with the index of
/// the object that asks (`glibc elf/dl-deps.c`). What is needed when the loader's patience is over is not followed.
#[must_use]
pub(crate) fn start(loader: &Loader<'_>, process: Process, depth: Depth) -> StartUp {
    let mut started = StartUp { process, searches: Vec::new() };
    follow(loader, &mut started, 0, depth);
    started
}

/// Adds what the program loads when it hands the path of an object to dlopen: that, and what it needs. Returns its index.
pub(crate) fn open(loader: &Loader<'_>, started: &mut StartUp, object: Arc<Object>, opened: BString) -> usize {
    // glibc notes no loader of what dlopen loads, musl the program.
    let by = (loader.system.libc == Libc::Musl).then_some(0);
    let index = started.process.add(object, opened.clone(), by, opened);
    follow(loader, started, index, Depth::EverySearch);
    index
}

/// Takes in what the objects need that a process has from an index on.
fn follow(loader: &Loader<'_>, started: &mut StartUp, from: usize, depth: Depth) {
    let StartUp { process, searches } = started;
    let mut found: HashSet<BString> = HashSet::new();
    let mut next = from;
    while let Some(map) = process.maps.get(next).filter(|_| next == from || !loader.patience.is_over()) {
        let object = Arc::clone(&map.object);
        for name in &object.needed {
            // Each name is a place, also one that leads to what is loaded already.
            if depth != Depth::EverySearch && found.contains(name) {
                loader.patience.spend(1);
                continue;
            }
            let search = loader.search(process, next, Ask::Needed, name.as_ref());
            match &search.end {
                End::Found(object, opened) => {
                    process.add(Arc::clone(object), opened.clone(), Some(next), search.expanded.clone());
                    found.insert(name.clone());
                }
                End::Loaded(index) => {
                    process.name(*index, search.expanded.clone());
                    found.insert(name.clone());
                }
                End::Interpreter | End::NotFound | End::Fatal => {}
            }
            searches.push((next, search));
        }
        next += 1;
        if depth == Depth::Own {
            break;
        }
    }
}
