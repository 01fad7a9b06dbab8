//! A whole check: every file once, every object judged, then what only shows together.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bstr::{BString, ByteSlice};

use super::discover::{Found, Listing};
use super::in_order::run_in_order;
use super::look::{Seen, look, seen};
use super::run::Workers;
use super::scripts::Scripts;
use super::source::{IsWanted, Source, SourceFile};
use super::world::SourceWorld;
use crate::check::{
    CheckPolicy, CheckReport, CodeFile, ContentDigest, Context, Facts, FileRecord, Inspected, Item, Reading,
    StaticProgram, TargetWorld, Wrapper, hidden_by, judge_in_program, judge_object, library_path, programs_to_ask,
    sum_up,
};
use crate::cuda::{self, LibraryNames};
use crate::elf::units::len64;
use crate::elf::view::{NotApplicable, Subject, has_magic};
use crate::fsio::{self, FileError, ImagePath, Site};
use crate::loader::{Environment, Object};

/// A wrapper is a short script or a small program.
pub(super) const LARGEST_WRAPPER: usize = 1 << 20;

/// Checks the files of a listing in the world that they are from.
#[must_use]
pub fn check(
    listing: Listing,
    world: SourceWorld,
    policy: &CheckPolicy,
    environment: Environment,
    workers: &Workers,
) -> CheckReport {
    let beside = beside_the_driver(&world, policy);
    let inspected = inspect_all(listing, world.source(), (policy, &beside), workers);
    judge(&inspected.items, &inspected.wrappers, world, policy, environment, workers)
}

/// What every file of a listing turned out to be, before anything is judged.
pub(super) struct InspectedFiles {
    pub(super) items: Vec<Item>,
    /// What wraps a program, by its canonical path; of several the innermost first.
    pub(super) wrappers: Vec<(BString, Wrapper)>,
}

/// Looks at every file of a listing once; what lies beside the driver is no driver's.
pub(super) fn inspect_all(
    listing: Listing,
    source: &dyn Source,
    (policy, beside): (&CheckPolicy, &LibraryNames),
    workers: &Workers,
) -> InspectedFiles {
    let scripts = Scripts::of(source, &listing.files, &policy.libraries, workers);
    let paths: HashSet<PathBuf> = listing.files.iter().map(|found| found.shown.as_path().to_owned()).collect();
    let looked = run_in_order(workers, source, listing.files, |found| {
        let hidden = hidden_program(found.shown.as_path()).filter(|hidden| paths.contains(hidden));
        inspect(&found, hidden.as_deref(), source, policy, beside)
    });
    drop(paths);
    let mut items = Vec::with_capacity(looked.len());
    let mut wrappers = Vec::new();
    for (mut item, wrapper) in looked {
        if let Inspected::Object(facts) = &mut item.inspected
            && let Some(names) = scripts.asked_through(&item.shown)
        {
            Arc::make_mut(facts).open_for(names, &policy.libraries);
        }
        wrappers.extend(wrapper);
        items.push(item);
    }
    let failures = listing.failures.into_iter();
    items.extend(failures.map(|failure| Item {
        shown: failure.shown,
        inspected: Inspected::Unread(format!("cannot read it: {}", failure.error)),
    }));
    InspectedFiles { items, wrappers }
}

/// The facts of the objects among files.
pub(super) fn objects_of(items: &[Item]) -> impl Iterator<Item = &Arc<Facts>> {
    items.iter().filter_map(|item| match &item.inspected {
        Inspected::Object(facts) => Some(facts),
        _ => None,
    })
}

/// Judges files in a world.
pub(super) fn judge(
    items: &[Item],
    wrappers: &[(BString, Wrapper)],
    mut world: SourceWorld,
    policy: &CheckPolicy,
    environment: Environment,
    workers: &Workers,
) -> CheckReport {
    for (hidden, wrapper) in wrappers {
        world.wrap(hidden.clone(), wrapper.clone());
    }
    let objects: Vec<Arc<Facts>> = objects_of(items).map(Arc::clone).collect();
    for facts in &objects {
        world.know(facts);
    }
    let context = Context::new(&world, policy, environment, &objects);
    let reports = workers.run(objects, |facts| judge_object(&context, &facts));
    let (programs, failing) = programs_to_ask(&reports);
    let programs = workers.run(programs, |program| {
        let found = judge_in_program(&context, &program, &failing);
        (program, found)
    });
    sum_up(&context, items, reports, &programs)
}

/// What lies in the driver directories that are at hand and is not the driver's.
fn beside_the_driver(world: &SourceWorld, policy: &CheckPolicy) -> LibraryNames {
    let directories = policy.paths.elf64.driver.iter().chain(&policy.paths.elf32.driver);
    let names = directories.flat_map(|directory| world.names(directory.as_bstr()).unwrap_or_default());
    let others: Vec<BString> = names.filter(|name| policy.libraries.position(name).is_none()).collect();
    LibraryNames::of_files(others.iter())
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
    source: &dyn Source,
    policy: &CheckPolicy,
    beside: &LibraryNames,
) -> (Item, Option<(BString, Wrapper)>) {
    let shown = found.shown.as_path();
    let item = |inspected| Item { shown: shown.to_owned(), inspected };
    // A wrapper is read whole, whatever it is.
    let is_wanted: IsWanted<'_> = match (hidden, Reading::of(policy).gpu_code) {
        (Some(_), _) => &|_| true,
        (None, true) => &cuda::may_have_code,
        (None, false) => &has_magic,
    };
    let file = match source.open(found.site(), is_wanted) {
        Ok(Some(file)) => file,
        Ok(None) => return (item(Inspected::NotElf), None),
        Err(error) => return (item(unread(&error)), None),
    };
    let real = found.real();
    let wrapper = hidden.filter(|_| file.bytes().len() <= LARGEST_WRAPPER).map(|hidden| {
        let path = real.as_path().with_file_name(hidden.file_name().unwrap_or_default());
        let path = BString::from(path.as_os_str().as_bytes());
        (path, Wrapper { shown: shown.to_owned(), library_path: library_path(file.bytes()) })
    });
    let told = with_code(inspected(seen(&file), shown, &real, Reading::of(policy).with(beside)), &file, policy);
    let record =
        || FileRecord { length: len64(file.bytes()), contents: ContentDigest(fsio::digest(file.bytes(), &file.data)) };
    let told = if policy.records { told.recorded(record) } else { told };
    (item(file.check_whole().map_or_else(|error| unread(&error), |()| told)), wrapper)
}

/// What no loader reads may have GPU code.
fn with_code(inspected: Inspected, file: &SourceFile, policy: &CheckPolicy) -> Inspected {
    if !matches!(inspected, Inspected::NotElf | Inspected::NotApplicable(_)) {
        return inspected;
    }
    let gpu_code = Reading::of(policy).gpu_code(file.bytes(), &file.data);
    match gpu_code.places.is_empty() {
        true => inspected,
        false => Inspected::Code(CodeFile { is_elf: !matches!(inspected, Inspected::NotElf), gpu_code, record: None }),
    }
}

/// The same for one file by itself, at a path without symbolic links.
pub(super) fn inspect_one(shown: &Path, real: &ImagePath, source: &dyn Source, policy: &CheckPolicy) -> Inspected {
    let looked = look(source, Site::at(real), |seen| inspected(seen, shown, real, Reading::of(policy)));
    looked.unwrap_or_else(|error| unread(&error))
}

fn unread(error: &FileError) -> Inspected {
    let source = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    Inspected::Unread(format!("{error}{source}"))
}

fn inspected(seen: Seen<'_>, shown: &Path, real: &ImagePath, reading: Reading<'_>) -> Inspected {
    let Seen::Elf(file, subject) = seen else { return Inspected::NotElf };
    match subject {
        Err(error) => Inspected::Malformed(error.to_string()),
        Ok(Subject::NotApplicable(NotApplicable::NotElf)) => Inspected::NotElf,
        Ok(Subject::NotApplicable(NotApplicable::Static | NotApplicable::StaticPie)) => {
            Inspected::Static(StaticProgram::of(file.bytes(), &file.data, reading))
        }
        Ok(Subject::NotApplicable(reason)) => Inspected::NotApplicable(reason),
        Ok(Subject::Object(view)) => {
            let path = BString::from(real.as_path().as_os_str().as_bytes());
            let object = Object::of(&view, path, file.identity, file.mode).with_capabilities(file.has_capabilities);
            Inspected::Object(Arc::new(Facts::of(&view, shown.to_owned(), object, reading)))
        }
    }
}
