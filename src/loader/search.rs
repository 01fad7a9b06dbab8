//! One search: every place in order, with what was found there.

use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};

use super::expand::{self, Tokens};
use super::file_system::{DirectoryState, FileSystem, Look};
use super::object::{Object, PathTag};
use super::process::{LinkMap, Process};
use super::system::{Libc, System};
use crate::runpath::{Directory, is_recognised_compat};

/// What a person may want to be different.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// LD_LIBRARY_PATH.
    pub library_path: Option<BString>,
    /// Where the program is started; relative entries are not followed without one.
    pub working_directory: Option<BString>,
    /// Directories to search as if they did not exist.
    pub without: Vec<Directory>,
    /// The same for every recognised cuda_compat directory.
    pub without_compat: bool,
}

impl Environment {
    fn ignores(&self, directory: &BStr) -> bool {
        (self.without_compat && is_recognised_compat(directory))
            || self.without.iter().any(|d| d.is_named_by(directory))
    }
}

/// Why a place is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// It is in the process already.
    Loaded,
    /// The name has a slash: nothing is searched.
    Path,
    /// DT_RPATH of the object at this path, which may be one that loaded the asking one.
    Rpath(BString),
    /// LD_LIBRARY_PATH.
    LibraryPath,
    /// DT_RUNPATH of the object at this path: the asking one, or with musl one that loaded it.
    Runpath(BString),
    /// `ld.so.cache`.
    Cache,
    /// Built into the loader, or for musl in its `.path` file.
    Default,
}

/// What came of a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The search ends here, with this object.
    Hit,
    /// No such file.
    Miss,
    /// No such directory.
    NoDirectory,
    /// A relative directory, and nobody said where the program is started.
    Relative,
    /// Left out on request.
    Ignored,
    /// An object of the other ELF class: the search goes on.
    OtherClass,
    /// An object of another machine: the search goes on.
    OtherMachine(&'static str),
    /// No object that can be loaded: glibc's search ends with an error.
    Fatal(String),
    /// musl ignores a path with another token than `$ORIGIN`.
    UnknownToken,
}

/// One place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Why it is looked at.
    pub source: Source,
    /// The entry as it is written; empty where there is none.
    pub written: BString,
    /// The directory or file that it stands for.
    pub place: BString,
    /// What came of it.
    pub outcome: Outcome,
}

/// How a search ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With this object, opened under this path.
    Found(Arc<Object>, BString),
    /// With an object that is in the process already, by its index.
    Loaded(usize),
    /// With the loader itself, which every process has.
    Interpreter,
    /// With nothing.
    NotFound,
    /// With an error before the list was over.
    Fatal,
}

/// A whole search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// The name asked for.
    pub name: BString,
    /// Every place in order.
    pub steps: Vec<Step>,
    /// What came of it.
    pub end: End,
}

/// A loader in its surroundings.
#[derive(Clone, Copy)]
pub struct Loader<'a> {
    /// What is where.
    pub files: &'a dyn FileSystem,
    /// The loader's configuration.
    pub system: &'a System,
    /// What is different this time.
    pub environment: &'a Environment,
}

impl Loader<'_> {
    /// What a process gets when the object at index `by` asks for `name`, by DT_NEEDED or dlopen.
    #[must_use]
    pub fn search(&self, process: &Process, by: usize, name: &BStr) -> Search {
        let Some(asking) = process.maps.get(by) else {
            return Search { name: name.to_owned(), steps: Vec::new(), end: End::NotFound };
        };
        let mut run = Run { loader: *self, process, by, asking, name, steps: Vec::new() };
        let end = run.run();
        Search { name: name.to_owned(), steps: run.steps, end }
    }
}

impl Loader<'_> {
    /// The directory that an entry of an object's path stands for; relative ones stay relative.
    #[must_use]
    pub fn directory_of_entry(&self, process: &Process, of: usize, entry: &BStr) -> BString {
        let Some(map) = process.maps.get(of) else { return entry.to_owned() };
        let system = self.system;
        let tokens =
            Tokens { origin: map.origin.as_bstr(), lib: system.lib.as_bstr(), platform: system.platform.as_bstr() };
        let expanded = expand::glibc(entry, tokens);
        let trimmed = expanded.trim_end_with(|c| c == '/');
        if trimmed.is_empty() && !expanded.is_empty() { "/".into() } else { trimmed.into() }
    }
}

/// A search while it runs.
struct Run<'a> {
    loader: Loader<'a>,
    process: &'a Process,
    by: usize,
    asking: &'a LinkMap,
    name: &'a BStr,
    steps: Vec<Step>,
}

impl Run<'_> {
    fn run(&mut self) -> End {
        if let Some(index) = self.process.loaded_as(self.name, self.loader.system.libc) {
            let place = self.process.maps.get(index).map(|map| map.opened.clone()).unwrap_or_default();
            self.step(Source::Loaded, b"".into(), place, Outcome::Hit);
            return End::Loaded(index);
        }
        if self.loader.system.is_itself(self.name) {
            self.step(Source::Loaded, b"".into(), self.loader.system.interpreter.clone(), Outcome::Hit);
            return End::Interpreter;
        }
        if self.name.contains(&b'/') {
            let path = expand::glibc(self.name, self.tokens(self.asking));
            return self.file(&Source::Path, self.name, path).unwrap_or(End::NotFound);
        }
        let end = match self.loader.system.libc {
            Libc::Glibc => self.glibc(),
            Libc::Musl => self.musl(),
        };
        end.unwrap_or(End::NotFound)
    }

    /// `glibc elf/dl-load.c`, `_dl_map_object`.
    fn glibc(&mut self) -> Option<End> {
        if !matches!(self.asking.object.path_tag, PathTag::Runpath(..))
            && let Some(end) = self.rpath_chain()
        {
            return Some(end);
        }
        if let Some(end) = self.library_path() {
            return Some(end);
        }
        if let PathTag::Runpath(path, _) = &self.asking.object.path_tag {
            let source = Source::Runpath(self.asking.object.path.clone());
            if let Some(end) = self.entries(&source, path.as_bstr(), self.asking) {
                return Some(end);
            }
        }
        if let Some(end) = self.cache() {
            return Some(end);
        }
        if self.asking.object.no_default_directories {
            return None;
        }
        self.default_directories()
    }

    /// The asking object's DT_RPATH, then that of whoever loaded it, up to the program; objects with DT_RUNPATH have none.
    fn rpath_chain(&mut self) -> Option<End> {
        let mut chain = self.process.loaders_of(self.by);
        if self.process.has_program && !chain.contains(&0) {
            chain.push(0);
        }
        for index in chain {
            let Some(map) = self.process.maps.get(index) else { continue };
            if let PathTag::Rpath(path) = &map.object.path_tag {
                let source = Source::Rpath(map.object.path.clone());
                if let Some(end) = self.entries(&source, path.as_bstr(), map) {
                    return Some(end);
                }
            }
        }
        None
    }

    /// `musl ldso/dynlink.c`, `load_library`: LD_LIBRARY_PATH, either tag of the whole chain, then the system's path.
    fn musl(&mut self) -> Option<End> {
        if let Some(end) = self.library_path() {
            return Some(end);
        }
        for index in self.process.loaders_of(self.by) {
            let Some(map) = self.process.maps.get(index) else { continue };
            let source = match &map.object.path_tag {
                PathTag::None => continue,
                PathTag::Rpath(_) => Source::Rpath(map.object.path.clone()),
                PathTag::Runpath(..) => Source::Runpath(map.object.path.clone()),
            };
            let path = map.object.path_tag.path().unwrap_or_default();
            let Some(expanded) = expand::musl(path, map.origin.as_bstr()) else {
                self.step(source, path, path.to_owned(), Outcome::UnknownToken);
                continue;
            };
            let written = path.split_str(":").map(BString::from).collect::<Vec<_>>();
            for (written, entry) in written.iter().zip(expanded.split_str(":")) {
                if let Some(end) = self.directory(&source, written.as_bstr(), entry.as_bstr()) {
                    return Some(end);
                }
            }
        }
        self.default_directories()
    }

    fn library_path(&mut self) -> Option<End> {
        let path = self.loader.environment.library_path.as_ref().filter(|path| !path.is_empty())?;
        if self.process.is_secure() {
            return None;
        }
        // A semicolon separates too (glibc elf/dl-load.c, _dl_init_paths).
        let separators: &[char] = if self.loader.system.libc == Libc::Glibc { &[':', ';'] } else { &[':', '\n'] };
        let entries = path.split(|byte| separators.contains(&char::from(*byte)));
        self.each(&Source::LibraryPath, entries.map(BStr::new), self.process.maps.first().unwrap_or(self.asking))
    }

    fn entries(&mut self, source: &Source, path: &BStr, of: &LinkMap) -> Option<End> {
        // An empty string is no path at all, not an empty entry.
        if path.is_empty() {
            return None;
        }
        self.each(source, path.split_str(":").map(BStr::new), of)
    }

    /// Each directory once, as `fillin_rpath` lists them.
    fn each<'e>(&mut self, source: &Source, entries: impl Iterator<Item = &'e BStr>, of: &LinkMap) -> Option<End> {
        let mut seen: Vec<BString> = Vec::new();
        for entry in entries {
            let expanded = expand::glibc(entry, self.tokens(of));
            let trimmed = expanded.trim_end_with(|c| c == '/');
            let directory = if trimmed.is_empty() && !expanded.is_empty() { b"/" } else { trimmed };
            if seen.iter().any(|known| known == directory) {
                continue;
            }
            if let Some(end) = self.directory(source, entry, directory.as_bstr()) {
                return Some(end);
            }
            seen.push(directory.into());
        }
        None
    }

    fn default_directories(&mut self) -> Option<End> {
        let system = self.loader.system;
        system.default_directories.iter().find_map(|d| self.directory(&Source::Default, d.as_bstr(), d.as_bstr()))
    }

    fn cache(&mut self) -> Option<End> {
        let system = self.loader.system;
        let found = system.cache.as_ref()?.lookup(self.name, system.cache_flags, &system.hwcaps)?.to_owned();
        let in_default = || {
            let directory = super::object::directory_of(found.as_bstr());
            system.default_directories.iter().any(|known| known == directory)
        };
        if self.asking.object.no_default_directories && in_default() {
            return None;
        }
        match self.file(&Source::Cache, b"".into(), found) {
            // A stale entry is no error: the default directories follow.
            Some(End::NotFound) | None => None,
            end => end,
        }
    }

    /// A directory and the folders for better hardware in it, which come first.
    fn directory(&mut self, source: &Source, written: &BStr, directory: &BStr) -> Option<End> {
        if self.loader.environment.ignores(directory) {
            self.step(source.clone(), written, directory.to_owned(), Outcome::Ignored);
            return None;
        }
        let Some(absolute) = self.absolute(directory) else {
            self.step(source.clone(), written, directory.to_owned(), Outcome::Relative);
            return None;
        };
        match self.loader.files.directory(absolute.as_bstr()) {
            DirectoryState::Missing { .. } => {
                self.step(source.clone(), written, directory.to_owned(), Outcome::NoDirectory);
                return None;
            }
            DirectoryState::Present { has_hardware_folders: true, .. } => {
                let system = self.loader.system;
                for below in &system.subdirectories {
                    let folder = join(absolute.as_bstr(), below.as_bstr());
                    if self.loader.files.directory(folder.as_bstr()).exists()
                        && let Some(end) = self.candidate(source, written, folder.as_bstr())
                    {
                        return Some(end);
                    }
                }
            }
            DirectoryState::Present { .. } => {}
        }
        self.candidate(source, written, absolute.as_bstr())
    }

    fn candidate(&mut self, source: &Source, written: &BStr, directory: &BStr) -> Option<End> {
        let look = self.loader.files.look(directory, self.name);
        let place = join(directory, self.name);
        self.judge(source, written, place, look)
    }

    fn file(&mut self, source: &Source, written: &BStr, path: BString) -> Option<End> {
        let Some(path) = self.absolute(path.as_bstr()) else {
            self.step(source.clone(), written, path, Outcome::Relative);
            return None;
        };
        let (directory, name) = path.rsplit_once_str("/").unwrap_or((b"", path.as_bytes()));
        let directory = if directory.is_empty() { b"/".as_bstr() } else { directory.as_bstr() };
        let look = self.loader.files.look(directory, name.as_bstr());
        self.judge(source, written, path, look)
    }

    /// `glibc elf/dl-load.c`, `open_verify`: another class or machine is passed over, anything else that is no object ends
    /// the search. musl takes the first file that it can open, whatever it is.
    fn judge(&mut self, source: &Source, written: &BStr, place: BString, look: Look) -> Option<End> {
        let asking = &self.asking.object;
        let is_musl = self.loader.system.libc == Libc::Musl;
        let (outcome, end) = match look {
            Look::Missing => (Outcome::Miss, None),
            Look::NotLoadable(reason) => (Outcome::Fatal(reason.to_owned()), Some(End::Fatal)),
            Look::Unreadable(reason) => (Outcome::Fatal(reason.to_string()), Some(End::Fatal)),
            Look::Object(found) if found.is_64 != asking.is_64 => (Outcome::OtherClass, is_musl.then_some(End::Fatal)),
            Look::Object(found) if (found.machine, found.is_big_endian) != (asking.machine, asking.is_big_endian) => {
                (Outcome::OtherMachine(found.machine_name), is_musl.then_some(End::Fatal))
            }
            Look::Object(found) => match self.process.map_of(found.identity) {
                Some(index) => (Outcome::Hit, Some(End::Loaded(index))),
                None => (Outcome::Hit, Some(End::Found(found, place.clone()))),
            },
        };
        self.step(source.clone(), written, place, outcome);
        end
    }

    fn step(&mut self, source: Source, written: &BStr, place: BString, outcome: Outcome) {
        self.steps.push(Step { source, written: written.to_owned(), place, outcome });
    }

    /// `None` for a relative path when nobody said where the program is started.
    fn absolute(&self, path: &BStr) -> Option<BString> {
        if path.starts_with(b"/") {
            return Some(path.to_owned());
        }
        let directory = self.loader.environment.working_directory.as_ref()?;
        Some(if path.is_empty() { directory.clone() } else { join(directory.as_bstr(), path) })
    }

    fn tokens<'t>(&'t self, of: &'t LinkMap) -> Tokens<'t> {
        let system = self.loader.system;
        Tokens { origin: of.origin.as_bstr(), lib: system.lib.as_bstr(), platform: system.platform.as_bstr() }
    }
}

fn join(directory: &BStr, name: &BStr) -> BString {
    let directory = if directory == "/" { b"".as_bstr() } else { directory };
    BString::from([directory.as_bytes(), b"/", name.as_bytes()].concat())
}
