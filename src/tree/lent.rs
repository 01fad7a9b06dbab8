//! What objects find only because DT_RPATH is inherited: an edit must not take that away.
//!
//! A program's DT_RPATH serves everything in its process, but objects that have a DT_RUNPATH of their own. So it may
//! not become a DT_RUNPATH where something else needs it, and what needs it may not get one.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};

use super::look::{Seen, look};
use super::run::Workers;
use super::surroundings::{Surroundings, directory_of};
use super::world::SourceWorld;
use crate::check::TargetWorld;
use crate::cuda::{LibraryNames, driver_library};
use crate::elf::dynamic::{PathTags, TagSet};
use crate::elf::view::{ElfView, Subject};
use crate::fsio::{ImagePath, Site};
use crate::loader::{
    Ask, Depth, End, Environment, FileSystem, Hardware, Libc, Loader, Look, MOST_PLACES, Object, Patience, Process,
    Search, StartUp, StepSource, System, SystemFiles, TaggedPath, interpreter_of, open, start,
};
use crate::runpath::{SearchPath, TagPolicy};

/// How an object without DT_RUNPATH is tied to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tie {
    /// They inherit its DT_RPATH.
    Lender(BString),
    /// It inherits theirs.
    Heir,
}

impl Tie {
    pub(super) fn of(view: &ElfView<'_>) -> Option<Self> {
        match view.path_tags() {
            PathTags::Runpath(_) | PathTags::Both(_) => None,
            PathTags::Rpath(_) | PathTags::None => {
                let path = view.search_path().filter(|path| !path.is_empty());
                Some(path.map_or(Self::Heir, |path| Self::Lender(path.to_owned())))
            }
        }
    }
}

/// A library that an object finds through another one's DT_RPATH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Loan {
    /// Whose path it is.
    pub(super) lender: BString,
    /// Who asks.
    pub(super) heir: BString,
    /// For what.
    pub(super) library: BString,
}

/// All loans among the files of a run, and of what they load.
#[derive(Debug, Default)]
pub(super) struct Loans {
    by_lender: HashMap<BString, Vec<Loan>>,
    by_heir: HashMap<BString, Loan>,
}

impl Loans {
    /// What the object at this path lends.
    pub(super) fn of_lender(&self, path: &BStr) -> &[Loan] {
        self.by_lender.get(path).map_or(&[], Vec::as_slice)
    }

    /// The first one of what the object at this path borrows.
    pub(super) fn of_heir(&self, path: &BStr) -> Option<&Loan> {
        self.by_heir.get(path)
    }

    /// Finds them: `paths` are all files of the run that have no DT_RUNPATH. A program can open any of these by its path,
    /// so what one of them does not find by itself, and would find in a program, counts. With `gives_driver` each gets the
    /// driver directory itself, and no longer needs that of others.
    pub(super) fn find(world: &SourceWorld, paths: &[ImagePath], gives_driver: bool, workers: &Workers) -> Self {
        let objects: Vec<Arc<Object>> = paths.iter().filter_map(|path| object_at(world, path)).collect();
        let lends = |object: &&Arc<Object>| matches!(&object.path_tag, TaggedPath::Rpath(path) if !path.is_empty());
        let lenders: Vec<Arc<Object>> = objects.iter().filter(lends).cloned().collect();
        let of_run: HashSet<BString> = objects.iter().map(|object| object.path.clone()).collect();
        let environment = Environment::default();
        let mut systems: HashMap<BString, System> = HashMap::new();
        let mut files = SystemFiles::of(world);
        for object in &objects {
            let interpreter = interpreter_of(object);
            let interpreter = object.interpreter.clone().unwrap_or(interpreter);
            systems
                .entry(interpreter)
                .or_insert_with_key(|path| System::of(path.as_bstr(), hardware(object), &mut files));
        }
        let surroundings = Lending { world, environment, systems, names: names_lent(world, &lenders) };
        let missing = workers.run(objects, |object| {
            let missing = surroundings.missing(&object);
            (object, missing)
        });
        let heirs: Vec<(Arc<Object>, BTreeSet<BString>)> =
            missing.into_iter().filter(|(_, missing)| !missing.is_empty()).collect();
        let loans = workers.run(lenders, |lender| surroundings.loans_of(&lender, &heirs));
        let is_repaid = |loan: &Loan| {
            let is_edited = || world.facts_at(loan.heir.as_bstr()).is_some_and(|facts| facts.driver.is_none());
            gives_driver && driver_library(&loan.library).is_some() && of_run.contains(&loan.heir) && is_edited()
        };
        let mut all = Self::default();
        for loan in loans.into_iter().flatten().filter(|loan| !is_repaid(loan)) {
            all.by_heir.entry(loan.heir.clone()).or_insert_with(|| loan.clone());
            let known = all.by_lender.entry(loan.lender.clone()).or_default();
            if !known.iter().any(|other| other.library == loan.library) {
                known.push(loan);
            }
        }
        all
    }
}

/// What an object lends to others, and borrows.
#[derive(Default)]
pub(super) struct Ties<'l> {
    pub(super) lent: &'l [Loan],
    borrowed: Option<&'l Loan>,
}

impl<'l> Ties<'l> {
    pub(super) fn of(loans: Option<&'l Loans>, surroundings: &Surroundings, real: &ImagePath) -> Self {
        let Some(loans) = loans else { return Self::default() };
        let path = surroundings.path_of(real);
        let path = path.as_path().as_os_str().as_bytes().as_bstr();
        Self { lent: loans.of_lender(path), borrowed: loans.of_heir(path) }
    }

    pub(super) fn are_there(&self) -> bool {
        !self.lent.is_empty() || self.borrowed.is_some()
    }

    /// Why it has DT_RPATH and not the other tag.
    pub(super) fn note(&self, tag: TagPolicy, after: TagSet) -> Option<String> {
        if tag == TagPolicy::Rpath || after != TagSet::Rpath {
            return None;
        }
        match (self.lent.first(), self.borrowed) {
            (Some(loan), _) => Some(format!("keeps DT_RPATH: {} finds {} only through it", loan.heir, loan.library)),
            (None, Some(Loan { lender, library, .. })) => Some(format!(
                "DT_RPATH, because with DT_RUNPATH it no longer finds {library}, through that of {lender}"
            )),
            (None, None) => None,
        }
    }
}

/// What looking for loans needs.
struct Lending<'w> {
    world: &'w SourceWorld,
    environment: Environment,
    systems: HashMap<BString, System>,
    /// Libraries in the directories of every lender.
    names: LibraryNames,
}

impl Lending<'_> {
    fn system_of(&self, object: &Object) -> Option<&System> {
        let own = object.interpreter.as_ref().and_then(|path| self.systems.get(path));
        own.or_else(|| self.systems.get(&interpreter_of(object))).filter(|system| system.libc == Libc::Glibc)
    }

    /// What a library asks for and does not find when nothing is known of its program, in its own name or in that of what
    /// it loads.
    fn missing(&self, object: &Arc<Object>) -> BTreeSet<BString> {
        let Some(system) = self.system_of(object).filter(|_| !object.is_program()) else { return BTreeSet::new() };
        let patience = Patience::of(MOST_PLACES);
        let loader = Loader { files: self.world, system, environment: &self.environment, patience: &patience };
        let started = self.everything(&loader, start(&loader, Process::of(Arc::clone(object)), Depth::Everything));
        let is_missing = |search: &&Search| matches!(search.end, End::NotFound | End::Fatal);
        started.searches.iter().map(|(_, search)| search).filter(is_missing).map(|search| search.name.clone()).collect()
    }

    /// Adds what the objects of a process hand to dlopen.
    fn everything(&self, loader: &Loader<'_>, mut started: StartUp) -> StartUp {
        let mut at = 0_usize;
        while let Some(path) = started.process.maps.get(at).map(|map| map.object.path.clone()) {
            for name in self.opened_by(path.as_bstr()) {
                let search = loader.search(&started.process, at, Ask::Dlopen, name.as_bstr());
                if let End::Found(object, opened) = &search.end {
                    open(loader, &mut started, Arc::clone(object), opened.clone());
                }
                started.searches.push((at, search));
            }
            if loader.patience.is_over() {
                break;
            }
            at = at.saturating_add(1);
        }
        started
    }

    /// The libraries of lenders that an object hands to dlopen.
    fn opened_by(&self, path: &BStr) -> Vec<BString> {
        let path = ImagePath::new(OsStr::from_bytes(path));
        let opened = look(self.world.source(), Site::at(&path), |seen| match seen {
            Seen::Elf(_, Ok(Subject::Object(view))) => self.names.opened_by(&view),
            _ => Vec::new(),
        });
        opened.unwrap_or_default()
    }

    /// What a lender's process, and the plugins that it may open, find through its path.
    fn loans_of(&self, lender: &Arc<Object>, heirs: &[(Arc<Object>, BTreeSet<BString>)]) -> Vec<Loan> {
        let Some(system) = self.system_of(lender) else { return Vec::new() };
        let patience = Patience::of(MOST_PLACES);
        let loader = Loader { files: self.world, system, environment: &self.environment, patience: &patience };
        let process = Process::of(Arc::clone(lender));
        let places = places_of(&loader, &process);
        let started = self.everything(&loader, start(&loader, process, Depth::Everything));
        let mut loans = loans_in(&started, lender);
        let is_there: HashSet<(u64, u64)> = started.process.maps.iter().map(|map| map.object.identity).collect();
        for (heir, missing) in heirs.iter().filter(|_| lender.is_program()) {
            let is_like = (heir.class, heir.code) == (lender.class, lender.code) && !is_there.contains(&heir.identity);
            let has = |name: &BString| {
                places.iter().any(|place| matches!(self.world.look(place.as_bstr(), name.as_bstr()), Look::Object(_)))
            };
            if is_like && missing.iter().any(has) {
                let mut with = StartUp { process: Process::of(Arc::clone(lender)), searches: Vec::new() };
                open(&loader, &mut with, Arc::clone(heir), heir.path.clone());
                loans.extend(loans_in(&self.everything(&loader, with), lender));
            }
        }
        loans
    }
}

/// What others than the lender find through its path.
fn loans_in(started: &StartUp, lender: &Object) -> Vec<Loan> {
    let source = StepSource::Rpath(lender.path.clone());
    let others = started.searches.iter().filter(|(by, _)| *by > 0);
    let lent = others.filter(|(_, search)| search.hit().is_some_and(|hit| hit.source == source));
    let loan = |(by, search): &(usize, Search)| {
        let heir = started.process.maps.get(*by)?.object.path.clone();
        Some(Loan { lender: lender.path.clone(), heir, library: search.name.clone() })
    };
    lent.filter_map(loan).collect()
}

/// The directories that the first object's path names.
fn places_of(loader: &Loader<'_>, process: &Process) -> Vec<BString> {
    let Some(first) = process.maps.first() else { return Vec::new() };
    let path = first.object.path_tag.path().map(SearchPath::parse).unwrap_or_default();
    path.entries().map(|entry| loader.directory_of_entry(process, 0, entry)).collect()
}

/// Whether there may be a library in a directory of a DT_RPATH of an object in another one. What was built elsewhere often
/// has the paths of its builder, which lead nowhere. A relative one is the working directory's, which is not known.
pub(super) fn leads_anywhere(world: &SourceWorld, path: &BStr, origin: &BStr) -> bool {
    SearchPath::parse(path).entries().any(|entry| match directory_of(entry, origin) {
        Some(place) => !world.lists_nothing(place.as_bstr()),
        None => entry.contains(&b'$'),
    })
}

/// The libraries in all directories that lenders name by their full paths or from their own.
fn names_lent(world: &SourceWorld, lenders: &[Arc<Object>]) -> LibraryNames {
    let mut places: BTreeSet<BString> = BTreeSet::new();
    for lender in lenders {
        let path = lender.path_tag.path().map(SearchPath::parse).unwrap_or_default();
        places.extend(path.entries().filter_map(|entry| directory_of(entry, lender.directory())));
    }
    let names: Vec<BString> =
        places.iter().flat_map(|place| world.names(place.as_bstr()).unwrap_or_default()).collect();
    LibraryNames::of_files(names.iter())
}

fn object_at(world: &SourceWorld, path: &ImagePath) -> Option<Arc<Object>> {
    let path = path.as_path();
    let (directory, name) = (path.parent()?.as_os_str().as_bytes(), path.file_name()?.as_bytes());
    match world.look(directory.as_bstr(), name.as_bstr()) {
        Look::Object(object) => Some(object),
        _ => None,
    }
}

fn hardware(object: &Object) -> Hardware<'static> {
    Hardware {
        machine: object.machine,
        class: object.class,
        is_big_endian: object.is_big_endian,
        hwcaps: None,
        platform: None,
    }
}
