//! A process as the loader builds it: objects in load order, and who loaded each.

use std::sync::Arc;

use bstr::{BStr, BString};
use foldhash::HashMap;

use super::libc::Libc;
use super::object::{Object, TaggedPath, directory_of};

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
    names: Vec<BString>,
    /// The nearest of those that loaded it that has a DT_RPATH alone.
    rpath_above: Option<usize>,
    /// The nearest of those that loaded it that has a path under either tag.
    path_above: Option<usize>,
}

/// By what a loader knows an object again, with the index of the first one that it is.
#[derive(Clone, Debug, Default)]
struct Known {
    /// Every name that led to it, its path and its DT_SONAME.
    names: HashMap<BString, usize>,
    /// The first name of each that has no slash.
    short_names: HashMap<BString, usize>,
    /// Device and inode.
    files: HashMap<(u64, u64), usize>,
}

/// Objects in load order.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    /// In load order; the first one is the program, or the one object that is looked at by itself.
    pub(crate) maps: Vec<LinkMap>,
    /// Whether the first one is a program, whose DT_RPATH serves all that it loads.
    pub(crate) has_program: bool,
    known: Known,
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
        let mut process = Self { maps: Vec::new(), has_program, known: Known::default() };
        let (rpath_above, path_above) = (None, None);
        process.push(LinkMap { object, opened, origin, loader: None, names: Vec::new(), rpath_above, path_above });
        process
    }

    /// Takes a map in as it is, and learns by what the loader knows it again.
    fn push(&mut self, map: LinkMap) -> usize {
        let index = self.maps.len();
        let known = &mut self.known;
        // The program's own path is empty in its link map, and the kernel loaded it: no loader knows which file it is.
        let is_program = self.has_program && index == 0;
        if !is_program {
            known.files.entry(map.object.identity).or_insert(index);
        }
        let own = map.object.soname.iter().chain((!is_program).then_some(&map.opened));
        for name in own.chain(&map.names) {
            known.names.entry(name.clone()).or_insert(index);
        }
        if let Some(short) = map.names.iter().find(|name| is_short(name)) {
            known.short_names.entry(short.clone()).or_insert(index);
        }
        self.maps.push(map);
        index
    }

    /// The index of an object that the loader would not search for again.
    ///
    /// glibc knows an object by every name that led to it, by the path that it was opened under and by its DT_SONAME
    /// (`glibc elf/dl-load.c`, `_dl_map_object`); musl by the first name that it was searched for, the program not at all
    /// (`musl ldso/dynlink.c`, `load_library`).
    pub(super) fn loaded_as(&self, name: &BStr, libc: Libc) -> Option<usize> {
        let known = match libc {
            Libc::Glibc => &self.known.names,
            Libc::Musl => &self.known.short_names,
        };
        known.get(name).copied()
    }

    /// The index of the object that a name or path led to. A DT_SONAME that nothing asked for does not count
    /// (`glibc elf/dl-version.c`, `find_needed`).
    pub(super) fn asked_for_as(&self, name: &BStr) -> Option<usize> {
        let index = *self.known.names.get(name)?;
        let map = self.maps.get(index)?;
        (map.opened == name || map.names.iter().any(|known| known == name)).then_some(index)
    }

    /// The index of a file that was loaded already, under whatever path. The kernel loaded the program, and no loader
    /// knows which file that is.
    pub(super) fn map_of(&self, identity: (u64, u64)) -> Option<usize> {
        self.known.files.get(&identity).copied()
    }

    /// The object itself, and of who loaded it, who loaded that and so on those whose path it searches too: with glibc
    /// those with a DT_RPATH alone, with musl those with either tag.
    pub(super) fn lenders_of(&self, index: usize, libc: Libc) -> impl Iterator<Item = usize> {
        let above = move |index: &usize| {
            let map = self.maps.get(*index)?;
            match libc {
                Libc::Glibc => map.rpath_above,
                Libc::Musl => map.path_above,
            }
        };
        std::iter::successors(Some(index), above)
    }

    /// The object at an index and those that loaded it, without anything else; with its index there.
    #[must_use]
    pub(crate) fn chain_of(&self, index: usize) -> (Self, usize) {
        let loader_of = |index: &usize| self.maps.get(*index).and_then(|map| map.loader);
        let mut chain: Vec<usize> = std::iter::successors(Some(index), loader_of).collect();
        if self.has_program && chain.last() != Some(&0) {
            chain.push(0);
        }
        let mut process = Self { maps: Vec::new(), has_program: self.has_program, known: Known::default() };
        for map in chain.into_iter().rev().filter_map(|index| self.maps.get(index).cloned()) {
            let loader = map.loader.and(process.maps.len().checked_sub(1));
            process.push_below(LinkMap { loader, ..map });
        }
        let last = process.maps.len().saturating_sub(1);
        (process, last)
    }

    /// The same as [`Process::push`] for one whose loader is there already: what it inherits follows from that.
    fn push_below(&mut self, map: LinkMap) -> usize {
        let loader = map.loader.and_then(|index| Some((index, self.maps.get(index)?)));
        let path_of = |above: &LinkMap| above.object.path_tag.path().is_some_and(|path| !path.is_empty());
        let (mut rpath_above, mut path_above) = (None, None);
        if let Some((index, above)) = loader {
            let is_rpath = matches!(above.object.path_tag, TaggedPath::Rpath(_));
            rpath_above = if is_rpath && path_of(above) { Some(index) } else { above.rpath_above };
            path_above = if path_of(above) { Some(index) } else { above.path_above };
        }
        self.push(LinkMap { rpath_above, path_above, ..map })
    }

    /// setuid and setgid programs ignore the environment.
    pub(super) fn is_secure(&self) -> bool {
        self.has_program && self.maps.first().is_some_and(|map| map.object.is_secure)
    }

    /// Takes an object in; `loader` is the object that needs it, none for dlopen.
    pub(crate) fn add(&mut self, object: Arc<Object>, opened: BString, loader: Option<usize>, name: BString) -> usize {
        let origin = directory_of(opened.as_ref()).to_owned();
        let (rpath_above, path_above) = (None, None);
        self.push_below(LinkMap { object, opened, origin, loader, names: vec![name], rpath_above, path_above })
    }

    /// Notes that a name led to an object.
    pub(super) fn name(&mut self, index: usize, name: BString) {
        let Some(map) = self.maps.get_mut(index) else { return };
        let is_first_short = is_short(&name) && !map.names.iter().any(is_short);
        if is_first_short {
            self.known.short_names.entry(name.clone()).or_insert(index);
        }
        if is_first_short || self.known.names.get(&name) != Some(&index) {
            self.known.names.entry(name.clone()).or_insert(index);
            map.names.push(name);
        }
    }
}

fn is_short(name: &BString) -> bool {
    !name.contains(&b'/')
}
