//! CRP202 and CRP600 to CRP605: what only shows when the whole closure is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};

use super::closure::Closure;
use super::compat::release_of;
use super::entries::references;
use super::facts::Facts;
use super::finding::Finding;
use super::judge::Judge;
use super::policy::Scope;
use super::{rule, store};
use crate::cuda::{self, Version};
use crate::runpath::EntryClass;

/// Judges everything together.
pub(super) fn judge(judge: &Judge<'_>, objects: &[Arc<Facts>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let graph = graph(judge, objects);
    several_releases(objects, &mut findings);
    package_sets(&graph, &mut findings);
    frozen_drivers(judge, objects, &mut findings);
    if judge.policy.scope.is_closed() {
        stubs(objects, &mut findings);
    }
    if judge.policy.scope.is_closed() || judge.policy.machine.is_some() {
        foreign_machines(judge, objects, &mut findings);
    }
    findings
}

/// The closure's references, or those that the objects' own search paths show.
fn graph(judge: &Judge<'_>, objects: &[Arc<Facts>]) -> Closure {
    if let Scope::Closure(closure) = &judge.policy.scope
        && !closure.references.is_empty()
    {
        return closure.clone();
    }
    let mut graph = match &judge.policy.scope {
        Scope::Closure(closure) => closure.clone(),
        Scope::Tree | Scope::Image => Closure::default(),
    };
    for facts in objects {
        let Some(own) = store::store_path(facts.object.path.as_bstr()) else { continue };
        graph.paths.insert(own.to_owned());
        let to = graph.references.entry(own.to_owned()).or_default();
        for reference in references(facts).into_iter().filter(|reference| reference != own) {
            if !to.contains(&reference) {
                to.push(reference);
            }
        }
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
        // Of which release a libcudart.so.12 is nobody knows: it may be one that is here under its whole name.
        for (major, path) in majors {
            if !releases.keys().any(|release| release.starts_with(&format!("{major}."))) {
                releases.insert(major.to_string(), path);
            }
        }
        if releases.len() > 1 {
            let list: Vec<String> = releases.iter().map(|(release, path)| format!("{release} ({path})")).collect();
            let about: Vec<&str> = releases.keys().map(String::as_str).collect();
            let message = format!("has {} releases of {name}: {}", releases.len(), list.join(", "));
            findings.push(Finding::new(
                &rule::SEVERAL_CUDARTS,
                "".as_ref(),
                format!("{name} {}", about.join(" ")),
                message,
            ));
        }
    }
}

/// CRP601 and CRP602, by the names of store paths.
fn package_sets(graph: &Closure, findings: &mut Vec<Finding>) {
    let mut sets: BTreeMap<Version, Vec<&BString>> = BTreeMap::new();
    for path in &graph.paths {
        let name = store::package_name(path.as_bstr());
        if let Some(version) = cuda::of_store_name(store::base_name(path.as_bstr())) {
            sets.entry(version).or_default().push(path);
        }
        if name.starts_with(b"cudatoolkit-") || name.starts_with(b"cuda-merged-") {
            let message = format!("holds the monolithic toolkit {path}{}", way(graph, path));
            findings.push(Finding::new(&rule::RUNFILE_TOOLKIT, "".as_ref(), path.clone(), message));
        }
    }
    let most = sets.iter().max_by_key(|(version, paths)| (paths.len(), **version)).map(|(version, _)| *version);
    for (version, paths) in sets.iter().filter(|(version, _)| Some(**version) != most) {
        let (Some(most), Some(first)) = (most, paths.first()) else { continue };
        let message = format!("has packages of cuda{version} beside cuda{most}: {first}{}", way(graph, first));
        findings.push(Finding::new(&rule::PACKAGE_SET_LEAK, "".as_ref(), version.to_string(), message));
    }
}

/// How a store path comes into the closure.
fn way(graph: &Closure, path: &BString) -> String {
    let way = graph.way_to(path.as_bstr());
    if way.len() < 2 {
        return String::new();
    }
    let names: Vec<String> = way.iter().map(|path| store::package_name(path.as_bstr()).to_string()).collect();
    format!(", through {}", names.join(" -> "))
}

/// CRP604. A Jetson's board support comes as packages that belong to the system, so only the driver proper counts.
fn frozen_drivers(judge: &Judge<'_>, objects: &[Arc<Facts>], findings: &mut Vec<Finding>) {
    for facts in objects.iter().filter(|facts| !facts.is_stub) {
        let object = &facts.object;
        let is_driver = object.soname.as_ref().is_some_and(|name| {
            ["libcuda.so.1", "libnvidia-ml.so.1", "libcudadebugger.so.1", "libnvcuvid.so.1", "libnvidia-encode.so.1"]
                .iter()
                .any(|known| name == known)
        });
        let class = judge.policy.paths(object.is_64).classify(object.directory());
        // Some stubs have the SONAME of the real library and nothing that tells them apart but where they lie.
        if is_driver && !matches!(class, EntryClass::Compat | EntryClass::Driver | EntryClass::Stub) {
            let soname = object.soname.clone().unwrap_or_default();
            let message = format!("is a real {soname}, which fits the kernel module of its own release only");
            findings.push(Finding::new(&rule::FROZEN_DRIVER, &facts.shown, soname, message));
        }
    }
}

/// CRP202, once for each store path or directory.
fn stubs(objects: &[Arc<Facts>], findings: &mut Vec<Finding>) {
    let mut seen = BTreeSet::new();
    for facts in objects.iter().filter(|facts| facts.is_stub) {
        let path = facts.object.path.as_bstr();
        let place = store::store_path(path).unwrap_or(facts.object.directory()).to_owned();
        if seen.insert(place.clone()) {
            let soname = facts.object.soname.clone().unwrap_or_default();
            let message = format!("is a link-time stub of {soname}, reachable at run time");
            findings.push(Finding::new(&rule::STUB_IN_CLOSURE, &facts.shown, place, message));
        }
    }
}

/// CRP605. 32-bit objects of the same family run as well.
fn foreign_machines(judge: &Judge<'_>, objects: &[Arc<Facts>], findings: &mut Vec<Finding>) {
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    for facts in objects {
        let count = counts.entry(facts.object.machine_name).or_default();
        *count = count.saturating_add(1);
    }
    let most = counts.iter().max_by_key(|(_, count)| **count).map(|(machine, _)| *machine);
    let Some(own) = judge.policy.machine.or(most) else { return };
    let runs = |machine: &str| match own {
        "x86_64" => matches!(machine, "x86_64" | "i686"),
        "aarch64" => matches!(machine, "aarch64" | "armv7l"),
        own => machine == own,
    };
    for facts in objects.iter().filter(|facts| !runs(facts.object.machine_name)) {
        let machine = facts.object.machine_name;
        let message = format!("is an object for {machine} among objects for {own}");
        findings.push(Finding::new(&rule::FOREIGN_MACHINE, &facts.shown, machine, message));
    }
}
