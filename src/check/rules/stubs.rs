//! CRP200 to CRP202: link-time stubs that a search comes to, or could come to.

use std::collections::BTreeSet;
use std::sync::Arc;

use bstr::BStr;

use crate::check::context::Context;
use crate::check::facts::Facts;
use crate::check::finding::Finding;
use crate::check::rule::{self, Rule};
use crate::cuda::stub_names;
use crate::loader::Look;
use crate::nix;
use crate::runpath::EntryClass;

/// CRP200, and what is said of it.
pub(super) fn first(soname: &str, place: &BStr) -> (&'static Rule, String) {
    (&rule::STUB_FIRST, format!("{soname} comes from {place}, a link-time stub"))
}

/// CRP201 of the unversioned name, where the object asks for the versioned one too.
pub(super) fn unversioned(soname: &str, place: &BStr) -> (&'static Rule, String) {
    (&rule::STUB_IN_RUNPATH, format!("{soname}, the unversioned name, leads to the stub {place}"))
}

/// CRP201 of an entry.
pub(super) fn listed(entry: &BStr) -> (&'static Rule, String) {
    (&rule::STUB_IN_RUNPATH, format!("lists {entry}, a directory of link-time stubs"))
}

/// Whether a directory is one of stubs, by its name or by what lies in it.
pub(super) fn is_stub_directory(context: &Context<'_>, class: EntryClass, place: &BStr) -> bool {
    if matches!(class, EntryClass::Compat | EntryClass::Driver) {
        return false;
    }
    class == EntryClass::Stub
        || stub_names().any(|name| match context.world.look(place, name) {
            Look::Object(object) => context.world.facts(&object).is_some_and(|facts| facts.stands_in(class)),
            _ => false,
        })
}

/// CRP202, once for each store path or directory.
pub(super) fn in_closure(context: &Context<'_>, objects: &[Arc<Facts>], findings: &mut Vec<Finding>) {
    let mut seen = BTreeSet::new();
    let role = |facts: &Facts| context.roles.role(facts.object.directory(), facts.object.class);
    for facts in objects.iter().filter(|facts| facts.stands_in(role(facts))) {
        let place = nix::store_path(facts.object.path.as_ref()).unwrap_or(facts.object.directory()).to_owned();
        if seen.insert(place.clone()) {
            let soname = facts.object.soname.clone().unwrap_or_default();
            let case = format!("is a link-time stub of {soname}, reachable at run time");
            findings.push(Finding::new(&rule::STUB_IN_CLOSURE, &facts.shown, place, case));
        }
    }
}
