//! What an object says about its own search, without deciding anything.

use std::path::PathBuf;

use bstr::{BString, ByteSlice};

use super::discover::Found;
use super::in_order::run_in_order;
use super::look::{Seen, look};
use super::outcome::{FixError, ObjectBrief, Skip};
use super::run::Workers;
use super::source::Source;
use crate::cuda::{Consumer, DriverLibraries, Request};
use crate::elf::class::ByClass;
use crate::elf::dynamic::TagSet;
use crate::elf::ldcache;
use crate::elf::plan::{self, Atomicity, DynamicSlot, Strategy};
use crate::elf::view::{ElfView, NotApplicable, Subject};
use crate::runpath::{Directory, EntryClass, Policy, SearchPath};

/// One file's facts.
#[derive(Debug)]
pub struct ShowReport {
    /// The path below the argument as given.
    pub(crate) path: PathBuf,
    /// The facts, why there are none, or what is wrong with the file.
    pub facts: Result<Result<Box<ShownObject>, Skip>, FixError>,
}

/// What an object says about its search.
#[derive(Debug)]
pub struct ShownObject {
    /// Class and machine.
    pub(crate) object: ObjectBrief,
    /// Most significant byte first.
    pub(crate) is_big_endian: bool,
    /// ET_EXEC, ET_DYN with or without PT_INTERP.
    pub(crate) kind: &'static str,
    /// PT_INTERP.
    pub(crate) interpreter: Option<BString>,
    /// DT_SONAME.
    pub(crate) soname: Option<BString>,
    /// Which path tags there are.
    pub(crate) tag: TagSet,
    /// The path that the loader uses.
    pub(crate) path: Option<BString>,
    /// Its entries.
    pub(crate) entries: Vec<ShownEntry>,
    /// DT_NEEDED.
    pub(crate) needed: Vec<BString>,
    /// Driver libraries that it asks for.
    pub requests: Vec<Request>,
    /// Whether it has a `.note.nixos.ldcache`.
    pub(crate) has_cache_note: bool,
    /// Where a longer path would go.
    pub(crate) room: Result<Room, String>,
}

/// An entry of a search path.
#[derive(Debug)]
pub(crate) struct ShownEntry {
    /// The entry.
    pub(crate) entry: BString,
    /// Its class.
    pub(crate) class: EntryClass,
}

/// Where a path with the driver directory in front would go.
#[derive(Debug)]
pub(crate) struct Room {
    /// Where the string goes.
    pub(crate) strategy: Strategy,
    /// Which dynamic entry holds it.
    pub(crate) slot: DynamicSlot,
    /// Bytes that the file would grow by.
    pub(crate) growth: u64,
    /// Bytes that would be written.
    pub(crate) written: u64,
}

/// Reads every file of a list; `policies` are those for objects of each class.
pub fn show(
    source: &dyn Source,
    files: Vec<Found>,
    policies: &ByClass<Policy>,
    libraries: &DriverLibraries,
    workers: &Workers,
) -> Vec<ShowReport> {
    run_in_order(workers, source, files, |found| {
        let facts = show_one(source, &found, policies, libraries);
        ShowReport { path: found.shown.into_path(), facts }
    })
}

fn show_one(
    source: &dyn Source,
    found: &Found,
    policies: &ByClass<Policy>,
    libraries: &DriverLibraries,
) -> Result<Result<Box<ShownObject>, Skip>, FixError> {
    if found.is_temporary() {
        return Ok(Err(Skip::Temporary));
    }
    look(source, found.site(), |seen| match seen {
        Seen::NotElf => Ok(Err(Skip::NotApplicable(NotApplicable::NotElf))),
        Seen::Elf(_, subject) => match subject? {
            Subject::NotApplicable(reason) => Ok(Err(Skip::NotApplicable(reason))),
            Subject::Object(view) => {
                let policy = policies.get(view.encoding.class());
                Ok(Ok(Box::new(facts(&view, policy, libraries))))
            }
        },
    })?
}

fn facts(view: &ElfView<'_>, policy: &Policy, libraries: &DriverLibraries) -> ShownObject {
    let path = view.search_path();
    let requests = Consumer::of(view, libraries).requests;
    let entries = path.map(SearchPath::parse).unwrap_or_default();
    let entries = entries.entries().map(|entry| ShownEntry { entry: entry.to_owned(), class: policy.classify(entry) });
    ShownObject {
        object: ObjectBrief {
            class: view.encoding.class(),
            machine: view.machine(),
            is_consumer: Some(!requests.is_empty()),
        },
        is_big_endian: view.encoding.is_big_endian,
        kind: view.kind(),
        interpreter: view.interpreter().map(ToOwned::to_owned),
        soname: view.soname().map(ToOwned::to_owned),
        tag: view.path_tags().set(),
        path: path.map(ToOwned::to_owned),
        entries: entries.collect(),
        needed: view.needed().map(ToOwned::to_owned).collect(),
        requests,
        has_cache_note: ldcache::find(view).is_some(),
        room: room(view, policy),
    }
}

/// Plans the most common edit: the driver directory in front of what is there.
fn room(view: &ElfView<'_>, policy: &Policy) -> Result<Room, String> {
    let driver = policy.driver.first().map_or("/".as_bytes().as_bstr(), Directory::as_bstr);
    let old = view.search_path().map(SearchPath::parse).unwrap_or_default();
    let entries = std::iter::once(driver).chain(old.entries().filter(|entry| !entry.is_empty()));
    let path: SearchPath = entries.collect();
    let change = plan::Change::Set { tag: plan::PathTag::Runpath, path: path.to_bstring() };
    match plan::plan(view, &change, Atomicity::Replace) {
        Ok(plan) => {
            Ok(Room { strategy: plan.strategy, slot: plan.slot, growth: plan.growth(), written: plan.written() })
        }
        Err(error) => Err(error.to_string()),
    }
}
