//! CRP800 to CRP806: what a container makes of an image, and which libcuda its programs then get.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};

use super::files;
use crate::cdi::{Admission, CONF, ContainerState, admission, split};
use crate::check::context::Context;
use crate::check::facts::Facts;
use crate::check::finding::Finding;
use crate::check::rule::{self, Rule, Severity};
use crate::cuda::is_libcuda;
use crate::loader::{Libc, Look, Search, StepOutcome, StepSource};

/// The toolkit's list of the system's directories, but for a number that is drawn.
const LAST_LIST: &[u8] = b"/zz-nvcr-0.conf";

/// CRP800, and nothing else is known.
pub(in crate::check) fn unreadable(path: &Path, reason: &str) -> Finding {
    let case = format!("cannot be judged: {reason}");
    Finding::new(&rule::IMAGE_UNREADABLE, path, "", case)
}

/// Whether the toolkit would put a libcuda of the image in front of the host's, and its file.
pub(super) fn admission_of(context: &Context<'_>, container: &ContainerState, place: &BStr) -> (BString, Admission) {
    let (directory, name) = split(place).unwrap_or((b"/".into(), place));
    let Look::Object(object) = context.world.look(directory, name) else {
        return (place.to_owned(), Admission::Unknown);
    };
    let facts = context.world.facts(&object);
    let note = facts.as_ref().and_then(|facts| facts.compat_note.as_ref()?.as_ref().ok());
    let (_, file) = split(object.path.as_bstr()).unwrap_or((b"/".into(), object.path.as_bstr()));
    (object.path.clone(), admission(file, note, &container.host))
}

/// CRP803, and what is said of it.
pub(super) fn not_admitted(soname: &str, path: &BStr, way: &Way, why: &str) -> (&'static Rule, String) {
    let case = format!("{soname} comes from compat ({path}): {way}, and the toolkit would not put it in front: {why}");
    (&rule::COMPAT_NOT_ADMITTED, case)
}

/// The same where the host's driver is not known.
pub(super) fn perhaps_not_admitted(soname: &str, path: &BStr, way: &Way) -> (&'static Rule, String) {
    let case = format!("{soname} comes from compat ({path}) whatever the host's driver is: {way}");
    (&rule::COMPAT_NOT_ADMITTED, case)
}

/// What leads to a library of the image.
pub(super) struct Way(String);

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a search ends where it does, and not with the host's library.
pub(super) fn way(context: &Context<'_>, container: &ContainerState, search: &Search) -> Way {
    let Some(hit) = search.hit() else { return Way("nothing else is found".into()) };
    let directory = hit.directory();
    Way(match &hit.source {
        StepSource::Loaded => "it is in the process already, as something that is preloaded is".into(),
        StepSource::Path => "the name is a path".into(),
        StepSource::LibraryPath => format!("LD_LIBRARY_PATH has {}", hit.written),
        StepSource::Runpath(of) => format!("the RUNPATH of {of} has {}", hit.written),
        StepSource::Rpath(of) => format!("the RPATH of {of} has {}", hit.written),
        StepSource::Default if container.cache.is_none() => {
            format!("no hook makes a cache, and {directory} is one of the loader's own directories")
        }
        StepSource::Default => format!("{directory} is one of the loader's own directories"),
        StepSource::Cache => in_cache(context, container, search, hit.place.as_bstr()),
    })
}

/// What an entry of the cache comes from: which directory comes first, or which file of one directory is the newest.
fn in_cache(context: &Context<'_>, container: &ContainerState, search: &Search, place: &BStr) -> String {
    let Some(cache) = &container.cache else {
        return "the image's own cache has it, and no hook makes a new one".into();
    };
    let directory = split(place).map_or(place, |(directory, _)| directory);
    let real = |path: &BStr| context.world.real(path);
    let line = |wanted: &BStr| {
        let is_it = |path: &BString| path == wanted || real(path.as_bstr()) == real(wanted);
        cache.searched.iter().position(|searched| is_it(&searched.path))
    };
    let told = |at: Option<usize>| match at.and_then(|at| cache.searched.get(at)) {
        Some(found) => match &found.from {
            Some(from) => format!("{from} names {}", found.path),
            None => format!("ldconfig goes through {} by itself", found.path),
        },
        None => format!("ldconfig goes through {directory}"),
    };
    let Some(driver) = container.provided.get(&search.name) else { return told(line(directory)) };
    let (of_driver, name) = split(driver.as_bstr()).unwrap_or((b"/".into(), driver.as_bstr()));
    if real(directory) == real(of_driver) {
        let own = real(place).unwrap_or_default();
        let (_, own) = split(own.as_bstr()).unwrap_or((b"/".into(), own.as_bstr()));
        if own == search.name {
            return format!("in {of_driver} a file has the name that should be a link to the host's {name}");
        }
        let host = if container.host.driver.is_some() { name.to_string() } else { "where that is older".to_owned() };
        return format!(
            "of all files in {of_driver} ldconfig takes the newest by its name: {own}, not the host's, {host}"
        );
    }
    match line(of_driver) {
        Some(at) => {
            let from = cache.searched.get(at).and_then(|found| found.from.as_ref());
            let why = match from.filter(|from| !from.ends_with(LAST_LIST)) {
                Some(from) => format!("{from} names it later"),
                None => "the toolkit puts no directory of the system in front".to_owned(),
            };
            format!("{}, before {of_driver}, where the host's is ({why})", told(line(directory)))
        }
        None => format!("{}, and {of_driver}, where the host's is, is not gone through", told(line(directory))),
    }
}

/// CRP801, and what is said of it.
pub(super) fn shadowed(soname: &str, path: &BStr, way: &Way) -> (&'static Rule, String) {
    let case = format!("{soname} comes from the image ({path}) and not from the host's driver: {way}");
    (&rule::IMAGE_SHADOWS_DRIVER, case)
}

/// What a request that finds nothing comes to, and what is said of it.
pub(super) enum Unreachable {
    /// Only the target can tell.
    AtRuntime(String),
    /// Nothing will be found there.
    Fails(String),
}

/// What a request that finds nothing comes to.
pub(super) fn unreachable(
    context: &Context<'_>,
    container: &ContainerState,
    facts: &Facts,
    search: &Search,
    how: &str,
) -> Unreachable {
    let name = search.name.as_bstr();
    let unknown = search.steps.iter().filter(|step| step.outcome == StepOutcome::NoDirectory);
    if let Some(step) = unknown.into_iter().find(|step| container.is_unknown(step.directory())) {
        let case = format!("{name} ({how}) comes from {}, if the host has it there", step.directory());
        return Unreachable::AtRuntime(case);
    }
    let versioned = facts.consumer.requests.iter().any(|request| request.soname == "libcuda.so.1");
    // The link for linkers leads to the library that has the SONAME.
    let asked = if name == "libcuda.so" { b"libcuda.so.1".as_bstr() } else { name };
    let Some(driver) = container.provided.get(asked) else {
        let case = format!("asks for {name} ({how}), and nothing that is mounted has it");
        return match is_libcuda(&name.to_str_lossy()) {
            true => Unreachable::Fails(case),
            false => Unreachable::AtRuntime(format!("{name} ({how}) is not among what is mounted")),
        };
    };
    let (directory, file) = split(driver.as_bstr()).unwrap_or((b"/".into(), driver.as_bstr()));
    if matches!(context.world.look(directory, name), Look::Missing) && file != name {
        let case = format!("asks for {name} ({how}), and no hook makes that a link to {driver}");
        return match name == "libcuda.so" && versioned {
            true => Unreachable::AtRuntime(format!("{case}; libcuda.so.1 is asked for as well")),
            false => Unreachable::Fails(case),
        };
    }
    let system = context.system_of(facts);
    let remedy = match system.map(|system| system.libc) {
        Some(Libc::Musl) => {
            format!("LD_LIBRARY_PATH={directory}, or that directory in musl's path file, would find it")
        }
        _ => format!("a RUNPATH with {directory}, or LD_LIBRARY_PATH={directory}, would find it"),
    };
    Unreachable::Fails(format!(
        "asks for {name} ({how}), and its search does not come to {directory}, where the host's is: {remedy}"
    ))
}

/// CRP804, and what is said of it.
pub(super) fn two_libcudas(facts: &Facts, unversioned: &BStr, versioned: &BStr) -> Finding {
    let case = format!(
        "gets libcuda.so from {unversioned} and libcuda.so.1 from {versioned}: one process can load both, and each has its own state"
    );
    Finding::new(&rule::TWO_LIBCUDAS, &facts.shown, "libcuda.so", case)
}

/// What is wrong with a container whatever is started in it.
pub(in crate::check) fn judge_container(context: &Context<'_>, objects: &[Arc<Facts>]) -> Vec<Finding> {
    let Some(container) = context.policy.container.as_deref() else { return Vec::new() };
    let mut findings = Vec::new();
    conf_without_include(context, container, &mut findings);
    path_file(context, container, objects, &mut findings);
    for name in &container.unknown_hooks {
        let case = format!("runs the hook {name}, of which it is not known what it does to the search");
        findings.push(Finding::new(&rule::HOOK_NOT_MODELLED, "".as_ref(), name.as_str(), case));
    }
    findings.extend(container.is_cut.then(files::container_cut));
    for why in &container.failures {
        let case = format!("cannot be made as the spec says: {why}");
        findings.push(Finding::new(&rule::HOOK_NOT_MODELLED, "".as_ref(), why.as_str(), case));
    }
    findings
}

/// CRP802.
fn conf_without_include(context: &Context<'_>, container: &ContainerState, findings: &mut Vec<Finding>) {
    let Some(cache) = container.cache.as_ref().filter(|cache| !cache.is_included) else { return };
    let real = |path: &BString| context.world.real(path.as_bstr());
    let searched: BTreeSet<BString> = cache.searched.iter().filter_map(|directory| real(&directory.path)).collect();
    let is_lost = |folder: &&BString| real(folder).is_none_or(|folder| !searched.contains(&folder));
    let lost: Vec<String> = container.folders.iter().filter(is_lost).map(ToString::to_string).collect();
    let case = "includes no /etc/ld.so.conf.d/*.conf: what the toolkit writes there has no effect";
    findings.push(if lost.is_empty() {
        let case = format!("{case}; the host's driver is found, for it lies in a directory that ldconfig knows");
        Finding::new(&rule::LD_SO_CONF_WITHOUT_INCLUDE, CONF.as_ref(), "", case).no_worse_than(Severity::Warning)
    } else {
        let lost = lost.join(", ");
        let case = format!("{case}, and {lost} is not searched");
        Finding::new(&rule::LD_SO_CONF_WITHOUT_INCLUDE, CONF.as_ref(), lost, case)
    });
}

/// CRP806.
fn path_file(context: &Context<'_>, container: &ContainerState, objects: &[Arc<Facts>], findings: &mut Vec<Finding>) {
    const LOCAL: &str = "/usr/local/lib";
    let finding = |path: &BStr, about: &BStr, case: String| {
        let path = Path::new(OsStr::from_bytes(path));
        Finding::new(&rule::MUSL_PATH_FILE, path, about.to_owned(), case)
    };
    if let Some(file) = &container.path_file {
        let path = file.path.as_bstr();
        if let Some((last, first)) = &file.glued {
            let case = format!(
                "has no newline behind its last line: the toolkit appends {first}, and musl then searches {last}{first}"
            );
            findings.push(finding(path, first.as_bstr(), case));
        }
        if file.is_new && objects.iter().any(|facts| facts.object.directory() == LOCAL) {
            let case =
                format!("is made by the toolkit and does not list {LOCAL}, which musl searches without such a file");
            findings.push(finding(path, LOCAL.into(), case).no_worse_than(Severity::Warning));
        }
        return;
    }
    if container.cache.is_none() {
        return;
    }
    let of_musl = objects.iter().filter_map(|facts| context.system_of(facts)).find(|system| system.libc == Libc::Musl);
    let Some(system) = of_musl else { return };
    let real = |path: &BString| context.world.real(path.as_bstr());
    let searched: BTreeSet<BString> = system.default_directories.iter().filter_map(real).collect();
    let lost = container.folders.iter().find(|folder| real(folder).is_none_or(|folder| !searched.contains(&folder)));
    if let Some(folder) = lost {
        let case = format!(
            "is a loader of musl, and without /etc/alpine-release the toolkit tells it nothing: it does not search {folder}, where the host's driver is"
        );
        findings.push(finding(system.interpreter.as_bstr(), folder.as_bstr(), case));
    }
}
