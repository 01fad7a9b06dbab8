//! A whole check: every file once, every object judged, then what only shows together.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bstr::{BString, ByteSlice};

use super::discover::{Found, Listing};
use super::run::Workers;
use super::scripts::Scripts;
use super::world::Machine;
use crate::check::{
    CheckPolicy, CheckReport, Facts, Inspected, Item, Judge, Reading, StaticProgram, Wrapper, hidden_by, library_path,
    programs_to_ask, sum_up,
};
use crate::elf::view::{NotApplicable, Subject};
use crate::fsio::{self, FileError, Opened, Sniffed};
use crate::loader::{Environment, Object};

/// A wrapper is a short script or a small program.
pub(super) const LARGEST_WRAPPER: usize = 1 << 20;

/// Checks the files of a listing in the file system of `machine`.
#[must_use]
pub fn check(
    listing: Listing,
    mut machine: Machine,
    policy: &CheckPolicy,
    environment: Environment,
    workers: &Workers,
) -> CheckReport {
    let scripts = Scripts::of(&listing.files, &policy.libraries, workers);
    let paths: HashSet<PathBuf> = listing.files.iter().map(|found| found.shown.clone()).collect();
    let looked = workers.run(listing.files, |found| {
        let hidden = hidden_program(&found.shown).filter(|hidden| paths.contains(hidden));
        inspect(&found, hidden.as_deref(), &machine, policy)
    });
    drop(paths);
    let mut items = Vec::with_capacity(looked.len());
    for (mut item, wrapper) in looked {
        if let Inspected::Object(facts) = &mut item.inspected {
            if scripts.ask_through(&item.shown) {
                Arc::make_mut(facts).open_for(&scripts.names, &policy.libraries);
            }
            machine.know(facts);
        }
        if let Some((hidden, wrapper)) = wrapper {
            machine.wrap(hidden, wrapper);
        }
        items.push(item);
    }
    let failures = listing.failures.into_iter();
    items.extend(failures.map(|failure| Item {
        shown: failure.shown,
        inspected: Inspected::Unreadable(format!("cannot read it: {}", failure.error)),
    }));
    let object = |item: &Item| match &item.inspected {
        Inspected::Object(facts) => Some(Arc::clone(facts)),
        _ => None,
    };
    let objects: Vec<Arc<Facts>> = items.iter().filter_map(object).collect();
    let judge = Judge::new(&machine, policy, environment, &objects);
    let reports = workers.run(objects, |facts| judge.object(&facts));
    let (programs, failing) = programs_to_ask(&reports);
    let programs = workers.run(programs, |program| {
        let found = judge.in_program(&program, &failing);
        (program, found)
    });
    sum_up(&judge, &items, reports, &programs)
}

/// The path of the program that a wrapper at this path would hide.
fn hidden_program(path: &Path) -> Option<PathBuf> {
    let hidden = hidden_by(path.file_name()?.as_bytes().as_bstr());
    Some(path.with_file_name(std::ffi::OsStr::from_bytes(&hidden)))
}

/// Opens a file once and reads everything from it that a check may want.
fn inspect(
    found: &Found,
    hidden: Option<&Path>,
    machine: &Machine,
    policy: &CheckPolicy,
) -> (Item, Option<(BString, Wrapper)>) {
    let shown = machine.inside(&found.shown);
    let item = |inspected| Item { shown: shown.clone(), inspected };
    // A wrapper is read whole, whatever it is.
    let opened =
        if hidden.is_some() { fsio::open(found.to_open()).map(Sniffed::Elf) } else { fsio::sniff(found.to_open()) };
    let opened = match opened {
        Ok(Sniffed::Elf(opened)) => opened,
        Ok(Sniffed::NotElf) => return (item(Inspected::NotElf), None),
        Err(error) => return (item(unreadable(&error)), None),
    };
    let real = machine.inside(&found.real());
    let wrapper = hidden.filter(|_| opened.bytes().len() <= LARGEST_WRAPPER).map(|hidden| {
        let path = real.with_file_name(hidden.file_name().unwrap_or_default());
        let path = BString::from(path.as_os_str().as_bytes());
        (path, Wrapper { shown: shown.clone(), library_path: library_path(opened.bytes()) })
    });
    let inspected = subject(&opened, &shown, &real, policy);
    (item(inspected), wrapper)
}

/// The same for one file by itself, at a path of the machine's file system without symbolic links.
pub(super) fn inspect_one(shown: &Path, real: &Path, machine: &Machine, policy: &CheckPolicy) -> Inspected {
    match fsio::sniff(&machine.host(real)) {
        Ok(Sniffed::Elf(opened)) => subject(&opened, shown, real, policy),
        Ok(Sniffed::NotElf) => Inspected::NotElf,
        Err(error) => unreadable(&error),
    }
}

fn unreadable(error: &FileError) -> Inspected {
    let source = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    Inspected::Unreadable(format!("{error}{source}"))
}

fn subject(opened: &Opened, shown: &Path, real: &Path, policy: &CheckPolicy) -> Inspected {
    match Subject::parse(opened.bytes()) {
        Err(error) => Inspected::Unreadable(error.to_string()),
        Ok(Subject::NotApplicable(NotApplicable::NotElf)) => Inspected::NotElf,
        Ok(Subject::NotApplicable(NotApplicable::Static | NotApplicable::StaticPie)) => {
            Inspected::Static(StaticProgram::of(opened.bytes(), Reading::of(policy)))
        }
        Ok(Subject::NotApplicable(reason)) => Inspected::NotApplicable(reason),
        Ok(Subject::Object(view)) => {
            let path = BString::from(real.as_os_str().as_bytes());
            let object = Object::of(&view, path, opened.identity.inode, opened.identity.mode);
            Inspected::Object(Arc::new(Facts::of(&view, shown.to_owned(), object, Reading::of(policy))))
        }
    }
}
