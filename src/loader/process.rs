//! A process as the loader builds it: objects in load order, and who loaded each.

use std::sync::Arc;

use bstr::{BStr, BString};

use super::libc::Libc;
use super::object::{Object, directory_of};

/// An object in a process.
#[derive(Clone, Debug)]
pub(crate) struct LinkMap {
    /// The object.
    pub(crate) object: Arc<Object>,
    /// The path that it was opened under, which is not resolved.
    pub(crate) opened: BString,
    /// What `$ORIGIN` is: for a program the real path's directory (the kernel says it), for a library that of the path
    /// that it was opened under (`glibc elf/dl-object.c`).
    pub(crate) origin: BString,
    /// Who needs it; `None` for the first, and for what dlopen loads.
    pub(crate) loader: Option<usize>,
    /// The names that led to it.
    pub(crate) names: Vec<BString>,
}

/// Objects in load order.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    /// In load order; the first one is the program, or the one object that is looked at by itself.
    pub(crate) maps: Vec<LinkMap>,
    /// Whether the first one is a program, whose DT_RPATH serves all that it loads.
    pub(crate) has_program: bool,
}

impl Process {
    /// An object by itself: a program before anything is loaded, or a library of which it is not known what loads it.
    #[must_use]
    pub(crate) fn of(object: Arc<Object>) -> Self {
        let opened = object.path.clone();
        Self::opened(object, opened)
    }

    /// The same for an object that was opened under this path, which may have links in it.
    #[must_use]
    pub(crate) fn opened(object: Arc<Object>, opened: BString) -> Self {
        let has_program = object.is_program();
        let origin = if has_program { object.directory() } else { directory_of(opened.as_ref()) }.to_owned();
        Self { maps: vec![LinkMap { object, opened, origin, loader: None, names: Vec::new() }], has_program }
    }

    /// The index of an object that the loader would not search for again.
    ///
    /// glibc knows an object by every name that led to it, by the path that it was opened under and by its DT_SONAME
    /// (`glibc elf/dl-load.c`, `_dl_map_object`); musl by the first name that it was searched for, the program not at all
    /// (`musl ldso/dynlink.c`, `load_library`).
    pub(super) fn loaded_as(&self, name: &BStr, libc: Libc) -> Option<usize> {
        let is = |known: &BString| known == name;
        let mut maps = self.maps.iter().enumerate();
        let known = maps.find(|(index, map)| match libc {
            // The program's own path is empty in its link map.
            Libc::Glibc => {
                map.names.iter().any(is)
                    || map.object.soname.as_ref().is_some_and(is)
                    || (!self.is_program(*index) && is(&map.opened))
            }
            Libc::Musl => map.names.iter().find(|name| !name.contains(&b'/')).is_some_and(is),
        });
        known.map(|(index, _)| index)
    }

    /// The index of a file that was loaded already, under whatever path. The kernel loaded the program, and no loader
    /// knows which file that is.
    pub(super) fn map_of(&self, identity: (u64, u64)) -> Option<usize> {
        let mut maps = self.maps.iter().enumerate();
        let known = maps.find(|(index, map)| !self.is_program(*index) && map.object.identity == identity);
        known.map(|(index, _)| index)
    }

    fn is_program(&self, index: usize) -> bool {
        self.has_program && index == 0
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
    pub(crate) fn chain_of(&self, index: usize) -> (Self, usize) {
        let mut chain = self.loaders_of(index);
        if self.has_program && !chain.contains(&0) {
            chain.push(0);
        }
        let mut chain: Vec<LinkMap> = chain.into_iter().filter_map(|index| self.maps.get(index).cloned()).collect();
        chain.reverse();
        for (at, map) in chain.iter_mut().enumerate() {
            map.loader = map.loader.and(at.checked_sub(1));
        }
        let last = chain.len().saturating_sub(1);
        (Self { maps: chain, has_program: self.has_program }, last)
    }

    /// setuid and setgid programs ignore the environment.
    pub(super) fn is_secure(&self) -> bool {
        self.has_program && self.maps.first().is_some_and(|map| map.object.is_secure)
    }

    /// Takes an object in; `loader` is the object that needs it, none for dlopen.
    pub(crate) fn add(&mut self, object: Arc<Object>, opened: BString, loader: Option<usize>, name: BString) -> usize {
        let origin = directory_of(opened.as_ref()).to_owned();
        self.maps.push(LinkMap { object, opened, origin, loader, names: vec![name] });
        self.maps.len().saturating_sub(1)
    }

    /// Notes that a name led to an object.
    pub(super) fn name(&mut self, index: usize, name: BString) {
        if let Some(map) = self.maps.get_mut(index).filter(|map| !map.names.contains(&name)) {
            map.names.push(name);
        }
    }
}
