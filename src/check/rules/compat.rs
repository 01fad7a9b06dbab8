//! CRP400 to CRP409: whether cuda_compat comes first where it should, fits, and finds what it needs itself; what comes
//! with the driver's own directory.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};

use super::files;
use crate::cdi::{Admission, CompatChoice};
use crate::check::answer::{Answer, answer};
use crate::check::context::Context;
use crate::check::facts::Facts;
use crate::check::finding::{Circumstance, Finding};
use crate::check::policy::CompatPolicy;
use crate::check::releases::newest_cudart;
use crate::check::report::RequestReport;
use crate::check::rule::{self, Rule, Severity};
use crate::check::wanted::{CompatWanted, compats, is_compat_libcuda, older_than_native, release_of_note};
use crate::cuda::{Companion, Role, is_board_support, is_libcuda, is_of_libc, of_role};
use crate::loader::{Ask, End, Libc, LinkMap, Loader, Look, Object, Process, Search, Step, StepSource};
use crate::runpath::{Directory, EntryClass};

/// CRP400, and what is said of it.
pub(super) fn missing(soname: &str, place: &BStr, why: &str) -> (&'static Rule, String) {
    (&rule::COMPAT_MISSING, format!("{soname} comes from {place}, not from compat: {why}"))
}

/// CRP401.
pub(super) fn after_driver(soname: &str, place: &BStr) -> (&'static Rule, String) {
    (&rule::COMPAT_AFTER_DRIVER, format!("{soname} comes from {place}; the compat directory stands behind it"))
}

/// CRP402.
pub(super) fn unwanted(soname: &str, place: &BStr, why: &str) -> (&'static Rule, String) {
    (&rule::COMPAT_UNWANTED, format!("{soname} comes from compat ({place}), {why}"))
}

/// Why a compat libcuda should not be the one that is found; `None` where it may be. One that is older than the target's
/// own driver is unwanted, even where a newer one is in the closure.
pub(super) fn why_unwanted(context: &Context<'_>, place: &BStr) -> Option<String> {
    match &context.wanted {
        CompatWanted::Forbid(why) => return Some(why.clone()),
        _ if context.policy.compat != CompatPolicy::Auto => return None,
        CompatWanted::Require(_) | CompatWanted::Prefer => {}
    }
    let native = context.policy.native_cuda()?;
    let (directory, name) = place.rsplit_once_str("/")?;
    let Look::Object(object) = context.world.look(directory.as_bstr(), name.as_bstr()) else { return None };
    let compat = release_of_note(&*context.world.facts(&object)?)?;
    (compat < native).then(|| format!("which {}", older_than_native(compat, native)))
}

/// CRP403 and CRP404 of one compat libcuda. Returns what of the board support only the target can tell, and where it
/// would come from.
pub(in crate::check) fn judge_object(
    context: &Context<'_>,
    loader: &Loader<'_>,
    facts: &Facts,
    findings: &mut Vec<Finding>,
) -> Vec<(&'static str, BString)> {
    let mut at_runtime = Vec::new();
    if !is_compat_libcuda(&context.roles, facts) || is_left_aside(context, facts) {
        return at_runtime;
    }
    let process = Process::of(Arc::clone(&facts.object));
    let answer_for = |name: &str| {
        answer(context, &loader.search(&process, 0, Ask::Dlopen, name.as_bytes().as_bstr()), &process, facts)
    };
    let asks = |name: &str| facts.consumer.requests.iter().any(|request| request.soname == name);
    for name in of_role(Role::Board).filter(|name| asks(name)) {
        match answer_for(name) {
            Answer::Nothing | Answer::Interrupted(..) | Answer::Stub(_) => {
                let case = format!("needs {name}, and its own search path has neither that nor the driver directory");
                findings.push(Finding::new(&rule::NVRM_UNREACHABLE, &facts.shown, name, case));
            }
            Answer::DriverAtRuntime(place) => at_runtime.push((name, place)),
            Answer::Compat(_) | Answer::Driver(_) | Answer::Other(_) => {}
        }
    }
    for name in of_role(Role::Companion) {
        let own = context.world.look(facts.object.directory(), name.into());
        if !asks(name) && matches!(own, Look::Missing) {
            continue;
        }
        let found = answer_for(name);
        let is_own = found
            .place()
            .and_then(|place| place.rsplit_once_str("/"))
            .is_some_and(|(d, _)| d == facts.object.directory());
        if !is_own {
            let place = found.place().map_or_else(|| "nowhere".to_owned(), ToString::to_string);
            let case = format!("{name} would come from {place}, not from libcuda's own directory");
            findings.push(Finding::new(&rule::COMPANION_MIX, &facts.shown, name, case));
        }
    }
    at_runtime
}

/// Whether a container has a compat that the toolkit does not put in front: what else puts it there is CRP803.
fn is_left_aside(context: &Context<'_>, facts: &Facts) -> bool {
    let Some(container) = context.container() else { return false };
    let is_used = |directory: &BString| directory == facts.object.directory();
    !matches!(&container.compat, CompatChoice::Found(directory, Admission::Admitted) if is_used(directory))
}

/// CRP408: what the libcuda at an index of a process opens for itself and does not find.
pub(in crate::check) fn unreachable_companions(
    loader: &Loader<'_>,
    process: &Process,
    at: usize,
    libcuda: &Facts,
) -> Vec<Finding> {
    // With musl the program's path counts, and without one nothing is known.
    if loader.system.libc == Libc::Musl && !process.has_program {
        return Vec::new();
    }
    let missing = libcuda.companions.iter().filter(|companion| {
        let search = loader.search(process, at, Ask::Dlopen, companion.name.as_bytes().as_bstr());
        matches!(search.end, End::NotFound | End::Fatal)
    });
    let finding = |companion: &Companion| {
        let (name, fails) = (&companion.name, companion.effect.fails);
        let case = format!("opens {name} and does not find it, with {}: {fails}", loader.system.interpreter);
        let finding = Finding::new(&rule::COMPANION_UNREACHABLE, &libcuda.shown, name.as_str(), case);
        if companion.effect.is_usual { finding } else { finding.no_worse_than(Severity::Warning) }
    };
    missing.map(finding).collect()
}

/// CRP408 of every libcuda that the object at an index of a process gets and that is at hand. For the first object, of
/// those that are loaded with it, too.
pub(in crate::check) fn companions(
    context: &Context<'_>,
    loader: &Loader<'_>,
    process: &Process,
    by: usize,
    requests: &[RequestReport],
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen: HashSet<(u64, u64)> = HashSet::new();
    let libcuda_of =
        |object: &Object| context.world.facts(object).filter(|facts| !facts.is_stub && !facts.companions.is_empty());
    for (at, map) in process.maps.iter().enumerate().skip(1).filter(|(at, _)| by == 0 || *at == by) {
        if let Some(libcuda) = libcuda_of(&map.object)
            && seen.insert(map.object.identity)
        {
            findings.extend(unreachable_companions(loader, process, at, &libcuda));
        }
    }
    for request in requests.iter().filter(|request| is_libcuda(&request.soname)) {
        let (Answer::Driver(place) | Answer::Compat(place)) = &request.answer else { continue };
        let Some((directory, name)) = place.rsplit_once_str("/") else { continue };
        let Look::Object(object) = context.world.look(directory.as_bstr(), name.as_bstr()) else { continue };
        let Some(libcuda) = libcuda_of(&object) else { continue };
        if !seen.insert(object.identity) {
            continue;
        }
        let (at, chain) = match process.maps.iter().position(|map| map.object.identity == object.identity) {
            Some(at) => (at, None),
            // Who calls dlopen lends nothing to what it loads; only the program does.
            None => {
                let (mut chain, _) = process.chain_of(by);
                (chain.add(object, place.clone(), None, name.into()), Some(chain))
            }
        };
        findings.extend(unreachable_companions(loader, chain.as_ref().unwrap_or(process), at, &libcuda));
    }
    findings
}

/// CRP409: what an object needs or opens and gets from the driver directory, although something behind it has another one;
/// for a program also what its libraries need, unless they are judged by themselves and would get the same.
pub(in crate::check) fn shadowed(
    context: &Context<'_>,
    loader: &Loader<'_>,
    facts: &Facts,
    process: &Process,
    searches: &[(usize, Search)],
) -> Vec<Finding> {
    let class = facts.object.class;
    let is_driver =
        |step: &Step| context.class_of(step.written.as_bstr(), step.directory(), class) == EntryClass::Driver;
    let open = |name: &BString| (0, loader.search(process, 0, Ask::Dlopen, name.as_bstr()));
    let opened: Vec<(usize, Search)> = facts.opens.iter().map(open).collect();
    let mut told: HashSet<&BStr> = HashSet::new();
    let mut findings = Vec::new();
    for (by, search) in searches.iter().chain(&opened) {
        let name = search.name.as_bstr();
        let Some(hit) = search.hit().filter(|hit| hit.source != StepSource::Loaded && is_driver(hit)) else { continue };
        let Some(asking) = process.maps.get(*by).filter(|map| *by == 0 || is_told_here(context, map, hit)) else {
            continue;
        };
        let is_of_driver = context.policy.libraries.position(name).is_some() || is_board_support(&name.to_str_lossy());
        let Some(first) = found(search, process).filter(|_| !is_of_driver) else { continue };
        let Some(other) = without_driver(loader, process, *by, search, is_driver) else { continue };
        if found(&other, process).is_some_and(|object| object.identity == first.identity) {
            continue;
        }
        let Some(shadowed) = other.hit().filter(|_| told.insert(name)) else { continue };
        let whom = if *by == 0 { String::new() } else { format!(" for {}", asking.object.path) };
        let case =
            format!("gets {name}{whom} from the driver directory ({}), in front of {}", hit.place, shadowed.place);
        let finding = Finding::new(&rule::DRIVER_DIRECTORY_SHADOWS, &facts.shown, name.to_owned(), case);
        let finding = if is_of_libc(name) { finding } else { finding.no_worse_than(Severity::Warning) };
        let is_by_library_path = hit.source == StepSource::LibraryPath;
        findings.push(if is_by_library_path { finding.only(Circumstance::ByLibraryPath) } else { finding });
    }
    findings
}

/// Whether what a library of a program gets is said of the program: the library is no part of what is checked, or gets it
/// through the program's path. Libraries of the driver ask for each other.
fn is_told_here(context: &Context<'_>, library: &LinkMap, hit: &Step) -> bool {
    let object = &library.object;
    let is_own = match &hit.source {
        StepSource::Rpath(path) | StepSource::Runpath(path) => *path == object.path,
        _ => true,
    };
    let is_driver = context.roles.role(object.directory(), object.class) == EntryClass::Driver
        || context.world.facts(object).is_some_and(|facts| facts.driver.is_some());
    !(is_driver || is_own && context.checked.contains(&object.path))
}

/// CRP409 of a directory by itself, and what is said of it.
pub(in crate::check) fn shadows(names: &[String]) -> (&'static Rule, String) {
    let list = names.join(", ");
    let case = format!("has {list}: where the directory comes first, they win over every program's own");
    (&rule::DRIVER_DIRECTORY_SHADOWS, case)
}

/// The object that a search comes to.
fn found(search: &Search, process: &Process) -> Option<Arc<Object>> {
    match &search.end {
        End::Found(object, _) => Some(Arc::clone(object)),
        End::Loaded(index) => process.maps.get(*index).map(|map| Arc::clone(&map.object)),
        End::Interpreter | End::NotFound | End::Fatal => None,
    }
}

/// A search of an object of a process anew, without the driver directories in which it ends.
fn without_driver(
    loader: &Loader<'_>,
    process: &Process,
    by: usize,
    search: &Search,
    is_driver: impl Fn(&Step) -> bool,
) -> Option<Search> {
    /// More driver directories are given to no check.
    const MOST: usize = 8;
    let (chain, by) = process.chain_of(by);
    let mut environment = loader.environment.clone();
    let mut last = search.clone();
    for _ in 0..MOST {
        let Some(hit) = last.hit().filter(|hit| is_driver(hit)) else { return Some(last) };
        environment.without.push(Directory::new(hit.directory().to_owned()).ok()?);
        let again = Loader { environment: &environment, ..*loader };
        last = again.search(&chain, by, search.ask, search.name.as_bstr());
    }
    None
}

/// CRP405 to CRP407, about the closure.
pub(in crate::check) fn judge_closure(context: &Context<'_>, objects: &[Arc<Facts>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let newest = newest_cudart(objects);
    let compats = compats(context.world, context.policy, &context.roles, objects);
    let checked: HashSet<(u64, u64)> = objects.iter().map(|facts| facts.object.identity).collect();
    for facts in &compats {
        let note = match &facts.compat_note {
            None => None,
            Some(Ok(note)) => Some(note),
            // The note of an object that is checked is named together with the object.
            Some(Err(error)) => {
                if !checked.contains(&facts.object.identity) {
                    findings.push(files::compat_note(facts, error));
                }
                None
            }
        };
        if is_left_aside(context, facts) {
            continue;
        }
        let limit = note.map(|note| note.cuda).or_else(|| context.policy.platform?.newest_with_compat());
        if let (Some(limit), Some((cudart, at))) = (limit, newest)
            && cudart > limit
        {
            let case = format!("runs CUDA up to {limit}, and {at} is of CUDA {cudart}");
            findings.push(Finding::new(&rule::CUDA_NEWER_THAN_LIBCUDA, &facts.shown, cudart.to_string(), case));
        }
        if let (Some(note), Some(host)) = (note, &context.policy.host_driver)
            && !note.driver_branches.is_empty()
            && !note.driver_branches.contains(&host.branch())
        {
            let list: Vec<String> = note.driver_branches.iter().map(u32::to_string).collect();
            let case = format!("works with drivers of branch {}, the host's is {host}", list.join(", "));
            findings.push(Finding::new(&rule::HOST_DRIVER_UNSUPPORTED, &facts.shown, host.to_string(), case));
        }
    }
    let mut directories: BTreeMap<BString, &Arc<Facts>> = BTreeMap::new();
    for facts in &compats {
        directories.entry(facts.object.directory().to_owned()).or_insert(facts);
    }
    if directories.len() > 1 {
        let list: Vec<String> = directories.keys().map(ToString::to_string).collect();
        let case = format!("has {} compat directories: {}", directories.len(), list.join(", "));
        findings.push(Finding::new(&rule::SEVERAL_COMPATS, "".as_ref(), list.join(":"), case));
    }
    findings
}
