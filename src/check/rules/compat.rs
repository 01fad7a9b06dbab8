//! CRP400 to CRP407: whether cuda_compat comes first where it should, fits, and finds what it needs itself.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};

use super::files;
use crate::check::answer::{Answer, answer};
use crate::check::context::Context;
use crate::check::facts::Facts;
use crate::check::finding::Finding;
use crate::check::releases::newest_cudart;
use crate::check::rule::{self, Rule};
use crate::check::wanted::{compats, is_compat_libcuda};
use crate::cuda::{Role, of_role};
use crate::loader::{Ask, Loader, Look, Process};

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

/// CRP403 and CRP404 of one compat libcuda. Returns what of the board support only the target can tell, and where it
/// would come from.
pub(in crate::check) fn judge_object(
    context: &Context<'_>,
    loader: &Loader<'_>,
    facts: &Facts,
    findings: &mut Vec<Finding>,
) -> Vec<(&'static str, BString)> {
    let mut at_runtime = Vec::new();
    if !is_compat_libcuda(&context.roles, facts) {
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
