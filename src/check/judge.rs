//! One object: everything that is judged of it by itself, and in the programs that load it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bstr::BString;

use super::context::Context;
use super::facts::Facts;
use super::misfits::Misfits;
use super::report::{Failing, InOneProgram, InProgram, ObjectReport, RequestReport};
use super::rules::{compat, files, requests, search_path};
use crate::cuda::RequestKind;
use crate::loader::{Depth, End, Libc, Loader, MOST_PLACES, Object, Patience, Process, StartUp, start};

/// Judges one object by itself; a program together with what it loads at start.
#[must_use]
pub(crate) fn judge_object(context: &Context<'_>, facts: &Arc<Facts>) -> ObjectReport {
    let object = &facts.object;
    let environment = context.environment_of(facts);
    let wrapper = context.world.wrapper(object);
    let mut report = ObjectReport {
        facts: Arc::clone(facts),
        wrapper: wrapper.map(|wrapper| wrapper.shown.clone()),
        has_library_path: wrapper.is_some_and(|wrapper| wrapper.library_path.is_some()),
        requests: Vec::new(),
        findings: Vec::new(),
        unresolved: Vec::new(),
        misfits: Misfits::default(),
        loads: Vec::new(),
    };
    let Some(system) = context.system_of(facts) else { return report };
    let patience = Patience::of(MOST_PLACES);
    let loader = Loader { files: context.world, system, environment: &environment, patience: &patience };
    search_path::judge(context, &loader, facts, &mut report.findings);
    if let Some(list) = wrapper.and_then(|wrapper| wrapper.library_path.as_ref())
        && context.environment.library_path.is_none()
        && system.libc == Libc::Glibc
    {
        report.findings.extend(search_path::library_path(&facts.shown, list.as_ref()));
    }
    // A library's own requests need no more than the library, unless it leaves dlopen to what it loads.
    let is_by_dlopen = facts.consumer.requests.iter().any(|request| request.kind != RequestKind::Needed);
    let leaves_dlopen = is_by_dlopen && !facts.consumer.imports_dlopen;
    let needs_more = needs_versions_of_others(object);
    let depth = if object.is_program() || leaves_dlopen || needs_more { Depth::Everything } else { Depth::Own };
    let StartUp { process, searches } = start(&loader, Process::of(Arc::clone(object)), depth);
    report.unresolved = context.unresolved(&searches, facts);
    if object.is_program() {
        report.loads = process.maps.iter().skip(1).map(|map| Arc::clone(&map.object)).collect();
    }
    report.misfits = Misfits::of(&process, &searches, system, patience.is_over());
    if context.policy.symbols {
        search_path::other_releases(context, &loader, facts, (&process, &searches), &mut report.findings);
    }
    context.add_symbols(&loader, (&process, &searches), &mut report.misfits);
    if let Some(container) = context.container() {
        report.misfits.without_what_is_mounted(container, &process);
    }
    report.requests = requests::judge(context, &loader, facts, &process, &searches);
    if !requests::is_provider(context, facts) {
        report.findings.extend(compat::shadowed(context, &loader, facts, &process, &searches));
    }
    if context.knows_what_is_missing(facts) {
        report.findings.extend(compat::companions(context, &loader, &process, 0, &report.requests));
    }
    let at_runtime = compat::judge_object(context, &loader, facts, &mut report.findings);
    let at_runtime = at_runtime.iter().map(|(name, place)| requests::board_at_runtime(facts, name, place.as_ref()));
    report.findings.extend(at_runtime);
    report.findings.extend((patience.is_over() || report.misfits.is_cut).then(|| files::search_cut(facts)));
    report
}

/// Whether it needs versions of a file that it does not load itself.
fn needs_versions_of_others(object: &Object) -> bool {
    let Ok(versions) = &object.versions else { return false };
    versions.needs.iter().any(|need| !object.needed().any(|name| name == versions.name(need.file)))
}

/// What the program that loads a library makes of its requests: all that the library asks for, in that process.
#[must_use]
pub(crate) fn judge_in_program(context: &Context<'_>, program: &Arc<Facts>, failing: &Failing) -> InProgram {
    let mut found = InProgram::default();
    let Some(system) = context.system_of(program) else { return found };
    let environment = context.environment_of(program);
    let patience = Patience::of(MOST_PLACES);
    let loader = Loader { files: context.world, system, environment: &environment, patience: &patience };
    let StartUp { process, searches } = start(&loader, Process::of(Arc::clone(&program.object)), Depth::Everything);
    let mut missing_by: BTreeMap<usize, BTreeSet<BString>> = BTreeMap::new();
    for (by, search) in
        searches.iter().filter(|(_, search)| search.ask.must_find() && matches!(search.end, End::NotFound | End::Fatal))
    {
        missing_by.entry(*by).or_default().insert(search.name.clone());
    }
    for (index, map) in process.maps.iter().enumerate().skip(1) {
        let Some(facts) = failing.get(&map.object.path) else { continue };
        let missing = missing_by.remove(&index).unwrap_or_default();
        let reports = facts.consumer.requests.iter();
        let reports =
            reports.map(|request| requests::one(context, &loader, facts, request, (&process, &searches), index));
        let requests: Vec<RequestReport> = reports.collect();
        let companions = if context.knows_what_is_missing(program) {
            compat::companions(context, &loader, &process, index, &requests)
        } else {
            Vec::new()
        };
        found.libraries.insert(map.object.path.clone(), InOneProgram { requests, missing, companions });
    }
    found.cut = patience.is_over().then(|| files::search_cut(program));
    found
}
