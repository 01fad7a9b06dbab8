//! A search while it runs: the two loaders' rules, place by place.

use std::borrow::Cow;
use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};
use foldhash::HashSet;

use super::ask::Ask;
use super::expand;
use super::file_system::{DirectoryState, FileSystem, Look};
use super::libc::Libc;
use super::object::{Ident, TaggedPath};
use super::process::{LinkMap, Process};
use super::search::{End, Environment, Patience, Search, Step, StepOutcome, StepSource, without_slashes};
use super::system::System;

/// Bytes that musl has for a path that it tries, the NUL included; it passes over longer ones (`musl ldso/dynlink.c`).
const MUSL_BUFFER: usize = 2 * 255 + 2;

/// A loader in its surroundings.
#[derive(Clone, Copy)]
pub(crate) struct Loader<'a> {
    /// What is where.
    pub(crate) files: &'a dyn FileSystem,
    /// The loader's configuration.
    pub(crate) system: &'a System,
    /// What is different this time.
    pub(crate) environment: &'a Environment,
    /// What may still be looked at; a search that is not over by then ends with an error.
    pub(crate) patience: &'a Patience,
}

impl Loader<'_> {
    /// What a process gets when the object at index `by` asks for `name`.
    #[must_use]
    pub(crate) fn search(&self, process: &Process, by: usize, ask: Ask, name: &BStr) -> Search {
        let search = Run::search(*self, process, by, ask, name);
        self.patience.spend(search.cost());
        search
    }

    /// The directory that an entry of an object's path stands for; relative ones stay relative.
    #[must_use]
    pub(crate) fn directory_of_entry(&self, process: &Process, of: usize, entry: &BStr) -> BString {
        let Some(map) = process.maps.get(of) else { return entry.to_owned() };
        let mut expanded = expand::glibc(entry, self.system.tokens(process, map));
        if let Some(tokens) = self.system.other_tokens(process, map, entry)
            && !expanded.as_ref().is_some_and(|expanded| self.files.directory(expanded.as_bstr()).exists())
            && let Some(other) = expand::glibc(entry, tokens)
            && self.files.directory(other.as_bstr()).exists()
        {
            expanded = Some(other);
        }
        without_slashes(expanded.as_ref().map_or(entry, |expanded| expanded.as_bstr())).to_owned()
    }
}

/// The directories of a list so far. Most lists are short.
#[derive(Default)]
struct SeenDirectories<'e> {
    few: Vec<Cow<'e, BStr>>,
    many: HashSet<Cow<'e, BStr>>,
}

/// As many are compared one by one.
const FEW: usize = 16;

impl<'e> SeenDirectories<'e> {
    /// The directory, unless it was there before.
    fn unless_seen(&mut self, directory: Cow<'e, BStr>) -> Option<&BStr> {
        if self.few.contains(&directory) || self.many.contains(&directory) {
            return None;
        }
        if self.few.len() < FEW {
            self.few.push(directory);
            return self.few.last().map(|last| &**last);
        }
        self.many.insert(directory.clone());
        self.many.get(&directory).map(|seen| &**seen)
    }
}

/// A search that is not over yet.
struct Run<'a> {
    loader: Loader<'a>,
    process: &'a Process,
    by: usize,
    asking: &'a LinkMap,
    name: &'a BStr,
    spent: usize,
    steps: Vec<Step>,
}

/// What follows a place.
enum Next {
    /// The next one.
    Place,
    /// What comes behind the list that it stands in.
    List,
    /// Nothing.
    Done(End),
}

impl Next {
    /// For a place that stands in no list.
    fn end(self) -> Option<End> {
        match self {
            Self::Place | Self::List => None,
            Self::Done(end) => Some(end),
        }
    }
}

impl<'a> Run<'a> {
    fn search(loader: Loader<'a>, process: &'a Process, by: usize, ask: Ask, name: &BStr) -> Search {
        let mut search =
            Search { name: name.to_owned(), ask, expanded: name.to_owned(), steps: Vec::new(), end: End::NotFound };
        let Some(asking) = process.maps.get(by) else { return search };
        if matches!(ask, Ask::Needed | Ask::Filter | Ask::Auxiliary)
            && loader.system.libc == Libc::Glibc
            && name.contains(&b'$')
        {
            match Self::expanded(loader, process, asking, name) {
                Ok(expanded) => search.expanded = expanded,
                // An auxiliary library without a name is none (glibc elf/dl-deps.c, `expand_dst` with `weak`).
                Err(step) if ask == Ask::Auxiliary => return Search { steps: vec![step], ..search },
                Err(step) => return Search { steps: vec![step], end: End::Fatal, ..search },
            }
        }
        let mut run = Run { loader, process, by, asking, name: search.expanded.as_bstr(), spent: 0, steps: Vec::new() };
        search.end = run.run(ask);
        search.steps = run.steps;
        search
    }

    /// DT_NEEDED's tokens, which must have values, and which programs with more rights must not have at all
    /// (`glibc elf/dl-deps.c`, `expand_dst`).
    fn expanded(loader: Loader<'_>, process: &Process, asking: &LinkMap, name: &BStr) -> Result<BString, Step> {
        let expanded = expand::glibc(name, loader.system.tokens(process, asking));
        let error = match &expanded {
            Some(expanded) if **expanded == *name => return Ok(name.to_owned()),
            Some(_) if process.is_secure() => "DST not allowed in SUID/SGID programs",
            Some(expanded) if !expanded.is_empty() => return Ok(expanded.clone().into_owned()),
            _ => "empty dynamic string token substitution",
        };
        let outcome = StepOutcome::Fatal(Arc::from(error));
        Err(Step { source: StepSource::Path, written: name.to_owned(), place: name.to_owned(), outcome })
    }

    fn run(&mut self, ask: Ask) -> End {
        let system = self.loader.system;
        if system.is_itself(self.name) {
            self.step(StepSource::Loaded, b"".into(), system.interpreter.clone(), StepOutcome::Hit);
            return End::Interpreter;
        }
        if let Some(index) = self.process.loaded_as(self.name, system.libc) {
            let place = self.process.maps.get(index).map(|map| map.opened.clone()).unwrap_or_default();
            self.step(StepSource::Loaded, b"".into(), place, StepOutcome::Hit);
            return End::Loaded(index);
        }
        let end = if self.name.contains(&b'/') {
            self.path()
        } else {
            match system.libc {
                Libc::Glibc => self.glibc(),
                Libc::Musl => self.musl(ask),
            }
        };
        end.unwrap_or(End::NotFound)
    }

    /// A name with a slash; dlopen's tokens are expanded only here.
    fn path(&mut self) -> Option<End> {
        let path = match self.loader.system.libc {
            Libc::Glibc => expand::glibc(self.name, self.loader.system.tokens(self.process, self.asking))?.into_owned(),
            Libc::Musl => self.name.to_owned(),
        };
        self.file(&StepSource::Path, self.name, path).end()
    }

    /// `glibc elf/dl-load.c`, `_dl_map_object`.
    fn glibc(&mut self) -> Option<End> {
        if !matches!(self.asking.object.path_tag, TaggedPath::Runpath(..))
            && let Some(end) = self.rpath_chain()
        {
            return Some(end);
        }
        if let Some(end) = self.library_path() {
            return Some(end);
        }
        if let TaggedPath::Runpath(path, _) = &self.asking.object.path_tag {
            let source = StepSource::Runpath(self.asking.object.path.clone());
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

    /// The asking object's DT_RPATH, then that of the object that loaded it, up to the program; objects with DT_RUNPATH have none.
    fn rpath_chain(&mut self) -> Option<End> {
        let chain: Vec<usize> = self.process.lenders_of(self.by, Libc::Glibc).collect();
        let program = (self.process.has_program && chain.last() != Some(&0)).then_some(0);
        for index in chain.into_iter().chain(program) {
            let Some(map) = self.process.maps.get(index) else { continue };
            if let TaggedPath::Rpath(path) = &map.object.path_tag {
                let source = StepSource::Rpath(map.object.path.clone());
                if let Some(end) = self.entries(&source, path.as_bstr(), map) {
                    return Some(end);
                }
            }
        }
        None
    }

    fn library_path(&mut self) -> Option<End> {
        let path = self.loader.environment.library_path.as_ref().filter(|path| !path.is_empty())?;
        if self.process.is_secure() {
            return None;
        }
        if self.loader.system.libc == Libc::Musl {
            return self.musl_list(&StepSource::LibraryPath, path.as_bstr(), None);
        }
        // A semicolon separates too (glibc elf/dl-load.c, _dl_init_paths).
        let entries = path.split(|byte| matches!(byte, b':' | b';'));
        self.each(&StepSource::LibraryPath, entries.map(BStr::new), self.process.maps.first().unwrap_or(self.asking))
    }

    fn entries(&mut self, source: &StepSource, path: &BStr, of: &LinkMap) -> Option<End> {
        // An empty string is no path at all, not an empty entry.
        if path.is_empty() {
            return None;
        }
        self.each(source, path.split(|byte| *byte == b':').map(BStr::new), of)
    }

    /// Each directory once, as `fillin_rpath` lists them.
    fn each<'e>(&mut self, source: &StepSource, entries: impl Iterator<Item = &'e BStr>, of: &LinkMap) -> Option<End> {
        let system = self.loader.system;
        let tokens = system.tokens(self.process, of);
        let mut seen = SeenDirectories::default();
        let entries = entries.flat_map(|entry| {
            let other = system.other_tokens(self.process, of, entry).map(|tokens| (entry, tokens));
            std::iter::once((entry, tokens)).chain(other)
        });
        for (entry, tokens) in entries {
            let expanded = match expand::glibc(entry, tokens) {
                Some(Cow::Borrowed(expanded)) => Cow::Borrowed(without_slashes(expanded)),
                Some(Cow::Owned(expanded)) if entry.is_empty() || !expanded.is_empty() => {
                    Cow::Owned(without_slashes(expanded.as_bstr()).to_owned())
                }
                _ => {
                    self.step(source.clone(), entry, entry.to_owned(), StepOutcome::UnknownToken);
                    continue;
                }
            };
            let Some(directory) = seen.unless_seen(expanded) else { continue };
            match self.directory(source, entry, directory) {
                Next::Place => {}
                Next::List => return None,
                Next::Done(end) => return Some(end),
            }
        }
        None
    }

    fn default_directories(&mut self) -> Option<End> {
        for directory in self.loader.system.default_directories.iter() {
            match self.directory(&StepSource::Default, directory.as_bstr(), directory.as_bstr()) {
                Next::Place => {}
                Next::List => return None,
                Next::Done(end) => return Some(end),
            }
        }
        None
    }

    fn cache(&mut self) -> Option<End> {
        let system = self.loader.system;
        let found = system.cache.as_ref()?.lookup(self.name, &system.cached)?.to_owned();
        // What lies below a default directory counts as being in it.
        let is_below =
            |directory: &BString| found.strip_prefix(directory.as_slice()).is_some_and(|rest| rest.starts_with(b"/"));
        if self.asking.object.no_default_directories && system.default_directories.iter().any(is_below) {
            self.step(StepSource::Cache, b"".into(), found, StepOutcome::Refused);
            return None;
        }
        // A stale entry is no error: the default directories follow.
        self.file(&StepSource::Cache, b"".into(), found).end()
    }

    /// `musl ldso/dynlink.c`, `load_library`: LD_LIBRARY_PATH, either tag of the whole chain, then the system's path. Who
    /// calls dlopen does not count: the program asks.
    fn musl(&mut self, ask: Ask) -> Option<End> {
        if let Some(end) = self.library_path() {
            return Some(end);
        }
        let chain = match ask {
            Ask::Needed | Ask::Filter | Ask::Auxiliary => self.process.lenders_of(self.by, Libc::Musl).collect(),
            Ask::Dlopen if self.process.has_program => vec![0],
            Ask::Dlopen | Ask::Preload => Vec::new(),
        };
        for index in chain {
            let Some(map) = self.process.maps.get(index) else { continue };
            let source = match &map.object.path_tag {
                TaggedPath::None => continue,
                TaggedPath::Rpath(_) => StepSource::Rpath(map.object.path.clone()),
                TaggedPath::Runpath(..) => StepSource::Runpath(map.object.path.clone()),
            };
            let path = map.object.path_tag.path().unwrap_or_default();
            // Who starts a program with more rights chooses the path that it is started under.
            let is_unsafe = index == 0 && self.process.is_secure() && path.contains(&b'$');
            if is_unsafe || expand::musl(path, b"".into()).is_none() {
                self.step(source, path, path.to_owned(), StepOutcome::UnknownToken);
                continue;
            }
            if let Some(end) = self.musl_list(&source, path, Some(map.origin.as_bstr())) {
                return Some(end);
            }
        }
        self.default_directories()
    }

    /// A list as it is written: lines or colons between directories, and nothing between two of those is no directory
    /// (`musl ldso/dynlink.c`, `path_open`). With an origin, `$ORIGIN` in it stands for that.
    fn musl_list(&mut self, source: &StepSource, list: &BStr, origin: Option<&BStr>) -> Option<End> {
        let is_separator = |byte: &u8| matches!(byte, b':' | b'\n');
        for written in list.split(is_separator).map(BStr::new) {
            let expanded = origin.and_then(|origin| expand::musl(written, origin));
            let entries = expanded.as_ref().map_or(written, |expanded| expanded.as_bstr());
            for entry in entries.split(is_separator).filter(|entry| !entry.is_empty()) {
                if let Some(end) = self.directory(source, written, entry.into()).end() {
                    return Some(end);
                }
            }
        }
        None
    }

    /// A directory and the folders for better hardware in it, which come first.
    fn directory(&mut self, source: &StepSource, written: &BStr, directory: &BStr) -> Next {
        if self.spent >= self.loader.patience.left() {
            let outcome = StepOutcome::Fatal("too many places to search".into());
            self.step(source.clone(), written, directory.to_owned(), outcome);
            return Next::Done(End::Fatal);
        }
        if self.loader.environment.ignores(directory) {
            self.step(source.clone(), written, directory.to_owned(), StepOutcome::Ignored);
            return Next::Place;
        }
        let Some(absolute) = self.absolute(directory) else {
            self.step(source.clone(), written, directory.to_owned(), StepOutcome::Relative);
            return Next::Place;
        };
        match self.loader.files.directory(absolute.as_bstr()) {
            DirectoryState::Missing { .. } => {
                self.step(source.clone(), written, directory.to_owned(), StepOutcome::NoDirectory);
                return Next::Place;
            }
            DirectoryState::Present { has_hardware_folders: true, .. } => {
                let system = self.loader.system;
                for below in &system.subdirectories {
                    let folder = join(absolute.as_bstr(), below.as_bstr());
                    // What happens here ends the search or does not: the list is left for what happens in the directory.
                    if self.loader.files.directory(folder.as_bstr()).exists()
                        && let Next::Done(end) = self.candidate(source, written, folder.as_bstr())
                    {
                        return Next::Done(end);
                    }
                }
            }
            DirectoryState::Present { .. } => {}
        }
        self.candidate(source, written, absolute.as_bstr())
    }

    fn candidate(&mut self, source: &StepSource, written: &BStr, directory: &BStr) -> Next {
        let place = join(directory, self.name);
        if self.loader.system.libc == Libc::Musl && place.len() >= MUSL_BUFFER {
            return Next::Place;
        }
        let look = self.loader.files.look(directory, self.name);
        self.judge(source, written, place, look)
    }

    fn file(&mut self, source: &StepSource, written: &BStr, path: BString) -> Next {
        let Some(path) = self.absolute(path.as_bstr()) else {
            self.step(source.clone(), written, path, StepOutcome::Relative);
            return Next::Place;
        };
        let (directory, name) = path.rsplit_once_str("/").unwrap_or((b"", path.as_bytes()));
        let directory = if directory.is_empty() { b"/".as_bstr() } else { directory.as_bstr() };
        let look = self.loader.files.look(directory, name.as_bstr());
        self.judge(source, written, path, look)
    }

    fn judge(&mut self, source: &StepSource, written: &BStr, place: BString, look: Look) -> Next {
        let fatal = |reason: Arc<str>| (StepOutcome::Fatal(reason), Next::Done(End::Fatal));
        let ident = match &look {
            Look::Object(found) => Some(found.ident()),
            Look::NotLoadable(ident, _) => *ident,
            Look::Missing | Look::Forbidden | Look::Broken(_) => None,
        };
        let (outcome, next) = match (ident.and_then(|ident| self.passes_over(ident)), look) {
            (Some(answer), _) => answer,
            (None, Look::Missing) => (StepOutcome::Miss, Next::Place),
            (None, Look::Forbidden) => (StepOutcome::Forbidden, Next::Place),
            (None, Look::Broken(reason)) => (
                StepOutcome::Broken(reason),
                match self.loader.system.libc {
                    Libc::Glibc => Next::List,
                    Libc::Musl => Next::Done(End::NotFound),
                },
            ),
            (None, Look::NotLoadable(_, reason)) => fatal(reason),
            (None, Look::Object(found)) if found.is_executable && self.loader.system.libc == Libc::Glibc => {
                fatal("cannot dynamically load an executable".into())
            }
            (None, Look::Object(found)) => match self.process.map_of(found.identity) {
                Some(index) => (StepOutcome::Hit, Next::Done(End::Loaded(index))),
                None => (StepOutcome::Hit, Next::Done(End::Found(found, place.clone()))),
            },
        };
        self.step(source.clone(), written, place, outcome);
        next
    }

    /// `glibc elf/dl-load.c`, `open_verify`: a file of another class or machine is passed over, one of another byte order
    /// or for another system is an error. musl takes the first file that it can open, and for any of these that is an error.
    fn passes_over(&self, found: Ident) -> Option<(StepOutcome, Next)> {
        let own = self.asking.object.ident();
        let next = match self.loader.system.libc {
            Libc::Glibc => Next::Place,
            Libc::Musl => Next::Done(End::Fatal),
        };
        if found.class != own.class {
            Some((StepOutcome::OtherClass, next))
        } else if found.data != own.data {
            let order = if own.data == 2 { "big" } else { "little" };
            let reason = format!("ELF file data encoding not {order}-endian");
            Some((StepOutcome::Fatal(reason.into()), Next::Done(End::Fatal)))
        } else if found.code != own.code {
            Some((StepOutcome::OtherMachine(found.machine()), next))
        } else {
            let reason = self.loader.system.refuses(found.abi)?;
            Some((StepOutcome::Fatal(reason.into()), Next::Done(End::Fatal)))
        }
    }

    fn step(&mut self, source: StepSource, written: &BStr, place: BString, outcome: StepOutcome) {
        let step = Step { source, written: written.to_owned(), place, outcome };
        self.spent = self.spent.saturating_add(step.cost());
        self.steps.push(step);
    }

    /// `None` for a relative path when it is not known where the program is started.
    fn absolute(&self, path: &BStr) -> Option<BString> {
        if path.starts_with(b"/") {
            return Some(path.to_owned());
        }
        let directory = self.loader.environment.working_directory.as_ref()?;
        Some(if path.is_empty() { directory.clone() } else { join(directory.as_bstr(), path) })
    }
}

fn join(directory: &BStr, name: &BStr) -> BString {
    let directory = if directory == "/" { b"".as_bstr() } else { directory };
    BString::from([directory.as_bytes(), b"/", name.as_bytes()].concat())
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;
