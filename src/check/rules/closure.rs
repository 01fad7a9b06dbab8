//! CRP600 to CRP605: what only shows when the whole closure is looked at.

use std::collections::BTreeMap;
use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};

use super::stubs;
use crate::check::closure::{Closure, Referrers};
use crate::check::context::Context;
use crate::check::facts::Facts;
use crate::check::finding::Finding;
use crate::check::policy::Scope;
use crate::check::releases::release_of;
use crate::check::rule::{self, Rule};
use crate::cuda::{self, Role, Version, driver_library};
use crate::elf::machine::Machine;
use crate::nix;
use crate::runpath::{EntryClass, SearchPath};

/// Judges everything together.
pub(in crate::check) fn judge(context: &Context<'_>, objects: &[Arc<Facts>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let graph = graph(context, objects);
    several_releases(objects, &mut findings);
    package_sets(&graph, &mut findings);
    frozen_drivers(context, objects, &mut findings);
    if context.policy.scope.is_closed() {
        stubs::in_closure(context, objects, &mut findings);
    }
    if context.policy.scope.is_closed() || context.policy.machine.is_some() {
        foreign_machines(context, objects, &mut findings);
    }
    findings
}

/// The closure's references, or those that the objects' own search paths show.
fn graph(context: &Context<'_>, objects: &[Arc<Facts>]) -> Closure {
    if let Scope::Closure(closure) = &context.policy.scope
        && !closure.references.is_empty()
    {
        return closure.clone();
    }
    let mut graph = match &context.policy.scope {
        Scope::Closure(closure) => closure.clone(),
        Scope::Tree | Scope::Image => Closure::default(),
    };
    for facts in objects {
        let Some(own) = nix::store_path(facts.object.path.as_bstr()) else { continue };
        graph.paths.insert(own.to_owned());
        let to = graph.references.entry(own.to_owned()).or_default();
        to.extend(references(facts).into_iter().filter(|reference| reference != own));
    }
    graph
}

/// CRP600: libraries of which a process should have one release.
fn several_releases(objects: &[Arc<Facts>], findings: &mut Vec<Finding>) {
    for (library, name) in [("libcudart.so.", "libcudart"), ("libcublas.so.", "libcublas")] {
        let mut releases: BTreeMap<String, &BStr> = BTreeMap::new();
        let mut majors: BTreeMap<u32, &BStr> = BTreeMap::new();
        for facts in objects.iter().filter(|facts| !facts.is_stub) {
            let Some(soname) = facts.object.soname.as_ref().filter(|soname| soname.starts_with_str(library)) else {
                continue;
            };
            let path = facts.object.path.as_bstr();
            match (release_of(facts), cuda::least_of_soname(soname.as_bstr())) {
                (Some(release), _) => {
                    releases.entry(release.to_string()).or_insert(path);
                }
                (None, Some(Version(major, _))) => {
                    majors.entry(major).or_insert(path);
                }
                (None, None) => {}
            }
        }
        // Of which release a libcudart.so.12 is, is not known: it may be one that is here under its whole name.
        for (major, path) in majors {
            if !releases.keys().any(|release| release.starts_with(&format!("{major}."))) {
                releases.insert(major.to_string(), path);
            }
        }
        if releases.len() > 1 {
            let list: Vec<String> = releases.iter().map(|(release, path)| format!("{release} ({path})")).collect();
            let about: Vec<&str> = releases.keys().map(String::as_str).collect();
            let case = format!("has {} releases of {name}: {}", releases.len(), list.join(", "));
            findings.push(Finding::new(
                &rule::SEVERAL_CUDARTS,
                "".as_ref(),
                format!("{name} {}", about.join(" ")),
                case,
            ));
        }
    }
}

/// CRP601 and CRP602, by the names of store paths.
fn package_sets(graph: &Closure, findings: &mut Vec<Finding>) {
    let mut sets: BTreeMap<Version, Vec<&BString>> = BTreeMap::new();
    let mut referrers = graph.referrers();
    for path in &graph.paths {
        let name = nix::package_name(path.as_bstr());
        if let Some(version) = cuda::of_store_name(nix::base_name(path.as_bstr())) {
            sets.entry(version).or_default().push(path);
        }
        if name.starts_with(b"cudatoolkit-") || name.starts_with(b"cuda-merged-") {
            let case = format!("holds the monolithic toolkit {path}{}", way(&mut referrers, path));
            findings.push(Finding::new(&rule::RUNFILE_TOOLKIT, "".as_ref(), path.clone(), case));
        }
    }
    let most = sets.iter().max_by_key(|(version, paths)| (paths.len(), **version)).map(|(version, _)| *version);
    for (version, paths) in sets.iter().filter(|(version, _)| Some(**version) != most) {
        let (Some(most), Some(first)) = (most, paths.first()) else { continue };
        let case = format!("has packages of cuda{version} beside cuda{most}: {first}{}", way(&mut referrers, first));
        findings.push(Finding::new(&rule::PACKAGE_SET_LEAK, "".as_ref(), version.to_string(), case));
    }
}

/// How a store path comes into the closure.
fn way<'c>(referrers: &mut Referrers<'c>, path: &'c BString) -> String {
    let Some(way) = referrers.way_to(path.as_bstr()) else {
        return ", on a way that too many references hide".to_owned();
    };
    if way.len() < 2 {
        return String::new();
    }
    let names: Vec<String> = way.iter().map(|path| nix::package_name(path).to_string()).collect();
    format!(", through {}", names.join(" -> "))
}

/// CRP604. A Jetson's board support comes as packages that belong to the system, so only the driver proper counts.
fn frozen_drivers(context: &Context<'_>, objects: &[Arc<Facts>], findings: &mut Vec<Finding>) {
    for facts in objects.iter().filter(|facts| !facts.is_stub) {
        let object = &facts.object;
        let Some(library) = facts.driver.filter(|library| library.is_of_the_driver()) else { continue };
        let class = context.role_in_container(facts, context.roles.role(object.directory(), object.class));
        // Some stubs have the SONAME of the real library and nothing that tells them apart but where they lie.
        if !matches!(class, EntryClass::Compat | EntryClass::Driver | EntryClass::Stub) {
            let soname = object.soname.clone().unwrap_or_default();
            let name = if driver_library(&soname).is_some() {
                soname.to_string()
            } else {
                format!("{} under the name {soname:?}", library.soname)
            };
            let fits = match library.role {
                Role::Cuda | Role::KernelModule => "fits the kernel module of its own release only",
                _ => "fits a driver of its own release only",
            };
            let case = format!("is a real {name}, which {fits}");
            findings.push(Finding::new(&rule::FROZEN_DRIVER, &facts.shown, soname, case));
        }
    }
}

/// CRP605. 32-bit objects of the same family run as well.
fn foreign_machines(context: &Context<'_>, objects: &[Arc<Facts>], findings: &mut Vec<Finding>) {
    let mut counts: BTreeMap<&'static str, (usize, &'static Machine)> = BTreeMap::new();
    for facts in objects {
        let machine = facts.object.machine;
        let (count, _) = counts.entry(machine.name).or_insert((0, machine));
        *count += 1;
    }
    let most = counts.values().max_by_key(|(count, _)| *count).map(|(_, machine)| *machine);
    let Some(own) = context.policy.machine.or(most) else { return };
    for facts in objects.iter().filter(|facts| !own.runs(facts.object.machine)) {
        let machine = facts.object.machine;
        let case = format!("is an object for {machine} among objects for {own}");
        findings.push(Finding::new(&rule::FOREIGN_MACHINE, &facts.shown, machine.name, case));
    }
}

/// CRP603 of an entry, and what is said of it.
pub(super) fn compiler_listed(entry: &BStr) -> (&'static Rule, String) {
    (&rule::HOST_COMPILER_LEAK, format!("lists {entry}, the compiler behind nvcc"))
}

/// The store paths that an object's search path names.
fn references(facts: &Facts) -> Vec<BString> {
    let path = facts.object.path_tag.path().map(SearchPath::parse).unwrap_or_default();
    let entries = path.entries().map(ToOwned::to_owned).chain(facts.object.interpreter.clone());
    entries.filter_map(|entry| nix::store_path(entry.as_bstr()).map(ToOwned::to_owned)).collect()
}
