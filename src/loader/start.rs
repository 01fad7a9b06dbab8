//! What starting a program, or loading a library by itself, searches for.

use std::collections::VecDeque;
use std::sync::Arc;

use bstr::BString;
use foldhash::HashSet;

use super::ask::Ask;
use super::libc::Libc;
use super::object::Object;
use super::process::Process;
use super::run::Loader;
use super::search::{End, Search};
use super::system::names_of_list;

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

/// What starting a program, or loading a library by itself, searches for: what is preloaded, then DT_NEEDED breadth first,
/// each with the index of the object that asks (`glibc elf/dl-deps.c`). With glibc, what an object filters stands in front
/// of it and is asked next. What is needed when the loader's patience is over is not followed.
#[must_use]
pub(crate) fn start(loader: &Loader<'_>, process: Process, depth: Depth) -> StartUp {
    let mut started = StartUp { process, searches: Vec::new() };
    let mut starting = Starting { loader, depth, started: &mut started, found: HashSet::default() };
    starting.preload();
    starting.follow(0);
    started
}

/// Adds what the program loads when it hands the path of an object to dlopen: that, and what it needs. Returns its index.
pub(crate) fn open(loader: &Loader<'_>, started: &mut StartUp, object: Arc<Object>, opened: BString) -> usize {
    // glibc notes no loader of what dlopen loads, musl the program.
    let by = (loader.system.libc == Libc::Musl).then_some(0);
    let index = started.process.add(object, opened.clone(), by, opened);
    Starting { loader, depth: Depth::EverySearch, started, found: HashSet::default() }.follow(index);
    index
}

/// A process on its way.
struct Starting<'s> {
    loader: &'s Loader<'s>,
    depth: Depth,
    started: &'s mut StartUp,
    found: HashSet<BString>,
}

impl Starting<'_> {
    /// Loads what LD_PRELOAD names, then what the loader's own list names (`glibc elf/rtld.c`; musl has no list).
    ///
    /// A program with more rights than its user takes from LD_PRELOAD only libraries that are setuid themselves: none is
    /// taken here. Of what is preloaded by a name without a slash the program's path decides: without a program, it is not
    /// known.
    fn preload(&mut self) {
        let is_secure = self.started.process.is_secure();
        let by_user = self.loader.environment.preload.iter().filter(|_| !is_secure);
        let by_user = by_user.flat_map(|list| names_of_list(list)).map(BString::from);
        let everywhere = self.loader.system.preloaded.iter().cloned();
        let is_known = |name: &BString| name.contains(&b'/') || (self.started.process.has_program && !is_secure);
        let names: Vec<BString> = by_user.chain(everywhere).filter(is_known).collect();
        let program = self.started.process.has_program.then_some(0);
        for name in names {
            self.load(0, Ask::Preload, &name, program);
        }
    }

    /// Loads what the objects ask for that there are from an index on.
    fn follow(&mut self, from: usize) {
        let mut waiting: VecDeque<usize> = (from..self.started.process.maps.len()).collect();
        while let Some(next) = waiting.pop_front().filter(|next| *next == from || !self.loader.patience.is_over()) {
            self.load_for(next, &mut waiting);
            if self.depth == Depth::Own {
                break;
            }
        }
    }

    /// Loads what one object asks for; those that are new wait for their turn.
    fn load_for(&mut self, next: usize, waiting: &mut VecDeque<usize>) {
        let Some(object) = self.started.process.maps.get(next).map(|map| Arc::clone(&map.object)) else { return };
        let mut in_front = Vec::new();
        for (ask, name) in &object.dependencies {
            if *ask != Ask::Needed && self.loader.system.libc == Libc::Musl {
                continue;
            }
            // Each name is a place, also one that leads to what is loaded already.
            if self.depth != Depth::EverySearch && self.found.contains(name) {
                self.loader.patience.spend(1);
                continue;
            }
            match (*ask, self.load(next, *ask, name, Some(next))) {
                (_, None) => {}
                (Ask::Filter | Ask::Auxiliary, Some((index, is_new))) => {
                    let at = waiting.iter().position(|waits| *waits == index);
                    let waits = at.and_then(|at| waiting.remove(at)).is_some();
                    in_front.extend((is_new || waits).then_some(index));
                }
                (_, Some((index, is_new))) => waiting.extend(is_new.then_some(index)),
            }
        }
        in_front.into_iter().rev().for_each(|index| waiting.push_front(index));
    }

    /// The index of what a name leads to, and whether it is new.
    fn load(&mut self, by: usize, ask: Ask, name: &BString, owner: Option<usize>) -> Option<(usize, bool)> {
        let search = self.loader.search(&self.started.process, by, ask, name.as_ref());
        let index = match &search.end {
            End::Found(object, opened) => {
                let (object, opened) = (Arc::clone(object), opened.clone());
                Some((self.started.process.add(object, opened, owner, search.expanded.clone()), true))
            }
            End::Loaded(index) => {
                self.started.process.name(*index, search.expanded.clone());
                Some((*index, false))
            }
            End::Interpreter | End::NotFound | End::Fatal => None,
        };
        self.found.extend(index.map(|_| name.clone()));
        self.started.searches.push((by, search));
        index
    }
}
