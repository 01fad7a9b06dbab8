//! CRP201 and CRP300 to CRP311, CRP603: what is wrong with a search path, entry by entry.

use std::collections::BTreeSet;

use bstr::{BStr, BString, ByteSlice};

use super::facts::Facts;
use super::finding::Finding;
use super::judge::Judge;
use super::policy::Scope;
use super::rule;
use super::store;
use crate::elf::ldcache;
use crate::loader::{CacheHint, DirectoryState, Loader, Look, PathTag, Process};
use crate::runpath::{EntryClass, Policy, SearchPath, is_build_directory, is_host_compiler};

/// The names under which stubs lie in a stub directory; most have the unversioned one only.
const STUB_NAMES: [&str; 4] = ["libcuda.so.1", "libcuda.so", "libnvidia-ml.so.1", "libnvidia-ml.so"];

/// The names under which stubs lie in a stub directory.
pub fn stub_names() -> impl Iterator<Item = &'static BStr> {
    STUB_NAMES.iter().map(|name| BStr::new(*name))
}

/// Judges the path of an object.
pub(super) fn judge(judge: &Judge<'_>, loader: &Loader<'_>, facts: &Facts, findings: &mut Vec<Finding>) {
    let object = &facts.object;
    let add = &mut |rule, about: &BStr, message: String| {
        findings.push(Finding::new(rule, &facts.shown, about.to_owned(), message));
    };
    match &object.path_tag {
        PathTag::Rpath(_) => add(&rule::RPATH_TAG, "DT_RPATH".into(), "has DT_RPATH and no DT_RUNPATH".to_owned()),
        PathTag::Runpath(_, true) => {
            add(&rule::RPATH_TAG, "both".into(), "has DT_RPATH, which is ignored, beside DT_RUNPATH".to_owned());
        }
        PathTag::None | PathTag::Runpath(_, false) => {}
    }
    let list = object.path_tag.path().map(SearchPath::parse).unwrap_or_default();
    let process = Process::of(std::sync::Arc::clone(&facts.object));
    // Stubs stand beside each other, and nobody loads them.
    let is_own_business = judge.policy.paths(object.is_64).classify(object.directory()) == EntryClass::Stub;
    let mut seen: BTreeSet<&BStr> = BTreeSet::new();
    for entry in list.entries() {
        if entry.is_empty() {
            if seen.insert(entry) {
                add(&rule::EMPTY_ENTRY, entry, "has an empty entry, which is the current directory".to_owned());
            }
            continue;
        }
        if !seen.insert(entry) {
            add(&rule::DUPLICATE_ENTRY, entry, format!("lists {entry} twice"));
            continue;
        }
        let place = loader.directory_of_entry(&process, 0, entry);
        let class = judge.class_of(entry, place.as_bstr(), object.is_64);
        // What somebody named on the command line is where it should be.
        let is_managed = matches!(class, EntryClass::Compat | EntryClass::Driver);
        let is_build = !is_managed
            && is_build_directory(entry, &judge.policy.build_directories)
            && !is_of_closure(judge, place.as_bstr())
            && !is_in_own_home(judge, facts, place.as_bstr());
        // $ORIGIN of an object in /usr/lib goes wherever the object goes: only what is written counts.
        let is_fhs = !is_managed && judge.policy.paths(object.is_64).classify(entry) == EntryClass::Fhs;
        let by_name = [
            (class == EntryClass::Relative, &rule::RELATIVE_ENTRY, "which depends on the current directory"),
            (is_build, &rule::BUILD_DIR_ENTRY, "a directory of a build"),
            (is_fhs, &rule::FHS_ENTRY, "which NixOS does not have"),
            (is_host_compiler(entry), &rule::HOST_COMPILER_LEAK, "the compiler behind nvcc"),
            (
                !is_own_business && is_stub(judge, class, place.as_bstr()),
                &rule::STUB_IN_RUNPATH,
                "a directory of link-time stubs",
            ),
        ];
        let mut is_named = false;
        for (_, rule, what) in by_name.into_iter().filter(|(applies, ..)| *applies) {
            add(rule, entry, format!("lists {entry}, {what}"));
            is_named = true;
        }
        if class == EntryClass::Relative {
            continue;
        }
        match judge.world.directory(place.as_bstr()) {
            DirectoryState::Present { world_writable: true, .. } => {
                add(&rule::WRITABLE_ENTRY, entry, format!("lists {entry}, where everybody can put a library"));
            }
            DirectoryState::Missing { anybody_could_make_it: true } if class != EntryClass::Driver => {
                add(
                    &rule::WRITABLE_ENTRY,
                    entry,
                    format!("lists {entry}, which does not exist and which everybody can make"),
                );
            }
            // What the name tells says more.
            DirectoryState::Missing { .. } if !is_named && is_expected(judge, class) => {
                let where_ =
                    if judge.policy.scope.is_closed() { "the closure does not have" } else { "does not exist" };
                add(&rule::DANGLING_ENTRY, entry, format!("lists {entry}, which {where_}"));
            }
            DirectoryState::Missing { .. } | DirectoryState::Present { .. } => {}
        }
    }
    stale_note(judge, facts, &list, findings);
}

/// A store may lie anywhere, in a home too: what a closure has is no directory of a build.
fn is_of_closure(judge: &Judge<'_>, place: &BStr) -> bool {
    matches!(judge.policy.scope, Scope::Closure(_)) && judge.world.directory(place).exists()
}

/// What is installed in a home has its libraries there.
fn is_in_own_home(judge: &Judge<'_>, facts: &Facts, place: &BStr) -> bool {
    let home = home_of(place);
    home.is_some() && home == home_of(facts.object.path.as_bstr()) && judge.world.directory(place).exists()
}

/// `/root`, or the folder of one user.
fn home_of(path: &BStr) -> Option<Vec<&[u8]>> {
    let mut components = path.split_str("/").filter(|component| !component.is_empty());
    match components.next()? {
        root @ b"root" => Some(vec![root]),
        homes @ (b"home" | b"Users") => Some(vec![homes, components.next()?]),
        _ => None,
    }
}

/// The driver directory is on the target only; a compat directory is a part of every closure.
fn is_expected(judge: &Judge<'_>, class: EntryClass) -> bool {
    match class {
        EntryClass::Driver => false,
        EntryClass::Compat => judge.policy.scope.is_closed(),
        _ => true,
    }
}

fn is_stub(judge: &Judge<'_>, class: EntryClass, place: &BStr) -> bool {
    if matches!(class, EntryClass::Compat | EntryClass::Driver) {
        return false;
    }
    class == EntryClass::Stub
        || stub_names().any(|name| match judge.world.look(place, name) {
            Look::Object(object) => judge.world.facts(&object).is_some_and(|facts| facts.is_stub),
            _ => false,
        })
}

/// CRP311. Answers of entries with tokens depend on where the object lies; those are left out of the comparison.
fn stale_note(judge: &Judge<'_>, facts: &Facts, path: &SearchPath, findings: &mut Vec<Finding>) {
    let Some(hints) = &facts.object.hints else { return };
    let stale = stale_hints(hints, &facts.object.needed, path, judge.policy.paths(facts.object.is_64));
    findings.extend(stale.map(|(soname, why)| {
        let message = format!(".note.nixos.ldcache disagrees about {soname}: {why}");
        Finding::new(&rule::STALE_LDCACHE_NOTE, &facts.shown, soname.to_owned(), message)
    }));
}

/// The libraries about which a resolution cache note disagrees with the path or with DT_NEEDED, and how.
pub fn stale_hints<'h>(
    hints: &'h [CacheHint],
    needed: &'h [BString],
    path: &'h SearchPath,
    policy: &'h Policy,
) -> impl Iterator<Item = (&'h BStr, String)> {
    let is_managed = |entry: &BStr| matches!(policy.classify(entry), EntryClass::Compat | EntryClass::Driver);
    hints.iter().filter_map(move |hint| {
        let why = if needed.contains(&hint.soname) {
            ldcache::disagreement(&hint.answers, path, &is_managed)?
        } else {
            "DT_NEEDED does not name it".to_owned()
        };
        Some((hint.soname.as_bstr(), why))
    })
}

/// The store paths that an object's search path names.
pub(super) fn references(facts: &Facts) -> Vec<BString> {
    let path = facts.object.path_tag.path().map(SearchPath::parse).unwrap_or_default();
    let entries = path.entries().map(ToOwned::to_owned).chain(facts.object.interpreter.clone());
    entries.filter_map(|entry| store::store_path(entry.as_bstr()).map(ToOwned::to_owned)).collect()
}
