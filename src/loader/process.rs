//! A process as the loader builds it: objects in load order, and who loaded each.

use std::sync::Arc;

use bstr::{BStr, BString};

use super::object::{Object, directory_of};
use super::search::{End, Loader, Search};
use super::system::Libc;

/// An object in a process.
#[derive(Clone, Debug)]
pub struct LinkMap {
    /// The object.
    pub object: Arc<Object>,
    /// The path that it was opened under, which is not resolved.
    pub opened: BString,
    /// What `$ORIGIN` is: for a program the real path's directory (the kernel says it), for a library that of the path
    /// that it was opened under (`glibc elf/dl-object.c`).
    pub origin: BString,
    /// Who loaded it; `None` for the first.
    pub loader: Option<usize>,
    /// The name that it was asked for.
    pub asked: Option<BString>,
}

/// Objects in load order.
#[derive(Clone, Debug)]
pub struct Process {
    /// In load order; the first one is the program, or the one object that is looked at by itself.
    pub maps: Vec<LinkMap>,
    /// Whether the first one is a program, whose DT_RPATH serves everybody.
    pub has_program: bool,
}

impl Process {
    /// An object by itself: a program before anything is loaded, or a library of which nobody knows who loads it.
    #[must_use]
    pub fn of(object: Arc<Object>) -> Self {
        let opened = object.path.clone();
        let origin = object.directory().to_owned();
        let has_program = object.is_program();
        Self { maps: vec![LinkMap { object, opened, origin, loader: None, asked: None }], has_program }
    }

    /// The index of an object that glibc would not search for again: by the name that it was asked for, the path that it was opened under, or its DT_SONAME.
    /// musl knows the names that it was asked for, and answers for every part of libc itself.
    pub(super) fn loaded_as(&self, name: &BStr, libc: Libc) -> Option<usize> {
        let is = |known: Option<&BString>| known.is_some_and(|known| known == name);
        self.maps.iter().position(|map| match libc {
            // The main program's own name is empty in its link map.
            Libc::Glibc => {
                is(map.asked.as_ref())
                    || (map.loader.is_some() && is(Some(&map.opened)))
                    || is(map.object.soname.as_ref())
            }
            Libc::Musl => is(map.asked.as_ref()),
        })
    }

    /// The index of a file that is loaded already, under whatever path.
    pub(super) fn map_of(&self, identity: (u64, u64)) -> Option<usize> {
        self.maps.iter().position(|map| map.object.identity == identity)
    }

    /// The object itself, who loaded it, and so on.
    pub(super) fn loaders_of(&self, index: usize) -> Vec<usize> {
        let mut chain = Vec::new();
        let mut next = Some(index);
        while let Some(index) = next.filter(|index| !chain.contains(index)) {
            chain.push(index);
            next = self.maps.get(index).and_then(|map| map.loader);
        }
        chain
    }

    /// The object at an index and those that loaded it, without anything else; with its index there.
    #[must_use]
    pub fn chain_of(&self, index: usize) -> (Self, usize) {
        let mut chain: Vec<LinkMap> =
            self.loaders_of(index).into_iter().filter_map(|index| self.maps.get(index).cloned()).collect();
        chain.reverse();
        for (at, map) in chain.iter_mut().enumerate() {
            map.loader = at.checked_sub(1);
        }
        let last = chain.len().saturating_sub(1);
        (Self { maps: chain, has_program: self.has_program }, last)
    }

    /// setuid and setgid programs ignore the environment.
    pub(super) fn is_secure(&self) -> bool {
        self.has_program && self.maps.first().is_some_and(|map| map.object.is_secure)
    }

    /// Takes an object in.
    pub fn add(&mut self, object: Arc<Object>, opened: BString, loader: usize, asked: BString) -> usize {
        let origin = directory_of(opened.as_ref()).to_owned();
        self.maps.push(LinkMap { object, opened, origin, loader: Some(loader), asked: Some(asked) });
        self.maps.len().saturating_sub(1)
    }
}

/// How far [`start`] goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// What the object itself needs.
    Own,
    /// And what that needs, to the end.
    Everything,
}

/// What starting a program, or loading a library by itself, searches for: DT_NEEDED breadth first, each with the index of
/// the object that asks (`glibc elf/dl-deps.c`).
#[must_use]
pub fn start(loader: &Loader<'_>, object: Arc<Object>, depth: Depth) -> (Process, Vec<(usize, Search)>) {
    let mut process = Process::of(object);
    let mut searches = Vec::new();
    let mut next = 0_usize;
    while let Some(map) = process.maps.get(next) {
        for name in map.object.needed.clone() {
            let search = loader.search(&process, next, name.as_ref());
            if let End::Found(object, opened) = &search.end {
                process.add(Arc::clone(object), opened.clone(), next, name);
            }
            searches.push((next, search));
        }
        if depth == Depth::Own {
            break;
        }
        next = next.saturating_add(1);
    }
    (process, searches)
}
