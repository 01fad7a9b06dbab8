//! CRP300 to CRP323: what is wrong with a search path, entry by entry, what it does not lead to, and what does not fit.

use std::collections::BTreeSet;
use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};

use super::{closure, stubs};
use crate::check::context::Context;
use crate::check::facts::Facts;
use crate::check::finding::{Circumstance, Finding};
use crate::check::misfits::{MissingSymbol, SymbolFamily};
use crate::check::policy::Scope;
use crate::check::releases::is_older;
use crate::check::report::{InProgram, ObjectReport};
use crate::check::rule::{self, Severity};
use crate::check::stale::stale_hints;
use crate::elf::imports::Binding;
use crate::loader::{DirectoryState, End, Loader, Look, Process, Provider, Search, TaggedPath, UnmetVersion};
use crate::runpath::{EntryClass, SearchPath, is_build_directory, is_host_compiler};

/// Judges the path of an object.
pub(in crate::check) fn judge(context: &Context<'_>, loader: &Loader<'_>, facts: &Facts, findings: &mut Vec<Finding>) {
    let object = &facts.object;
    let add = &mut |rule, about: &BStr, case: String| {
        findings.push(Finding::new(rule, &facts.shown, about.to_owned(), case));
    };
    match &object.path_tag {
        TaggedPath::Rpath(_) => add(&rule::RPATH_TAG, "DT_RPATH".into(), "has DT_RPATH and no DT_RUNPATH".to_owned()),
        TaggedPath::Runpath(_, true) => {
            add(&rule::RPATH_TAG, "both".into(), "has DT_RPATH, which is ignored, beside DT_RUNPATH".to_owned());
        }
        TaggedPath::None | TaggedPath::Runpath(_, false) => {}
    }
    let list = object.path_tag.path().map(SearchPath::parse).unwrap_or_default();
    let process = Process::of(Arc::clone(&facts.object));
    // Stubs stand beside each other, and no program loads them.
    let is_own_business = context.roles.role(object.directory(), object.class) == EntryClass::Stub;
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
        let class = context.class_of(entry, place.as_bstr(), object.class);
        // What the command line names is where it should be.
        let is_managed = matches!(class, EntryClass::Compat | EntryClass::Driver);
        let is_build = !is_managed
            && is_build_directory(entry, &context.policy.build_directories)
            && !is_of_closure(context, place.as_bstr())
            && !is_in_own_home(context, facts, place.as_bstr());
        // $ORIGIN of an object in /usr/lib goes wherever the object goes: only what is written counts.
        let is_fhs = !is_managed && context.policy.paths.get(object.class).classify(entry) == EntryClass::Fhs;
        let lists = |rule, what: &str| (rule, format!("lists {entry}, {what}"));
        let by_name = [
            (class == EntryClass::Relative)
                .then(|| lists(&rule::RELATIVE_ENTRY, "which depends on the current directory")),
            is_build.then(|| lists(&rule::BUILD_DIR_ENTRY, "a directory of a build")),
            is_fhs.then(|| lists(&rule::FHS_ENTRY, "which NixOS does not have")),
            is_host_compiler(entry).then(|| closure::compiler_listed(entry)),
            (!is_own_business && stubs::is_stub_directory(context, class, place.as_bstr()))
                .then(|| stubs::listed(entry)),
        ];
        let mut is_named = false;
        for (rule, case) in by_name.into_iter().flatten() {
            add(rule, entry, case);
            is_named = true;
        }
        if class == EntryClass::Relative {
            continue;
        }
        match context.world.directory(place.as_bstr()) {
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
            DirectoryState::Missing { .. } if is_of_other_hosts(context, entry) => {}
            // What the name tells says more.
            DirectoryState::Missing { .. } if !is_named && is_expected(context, class) => {
                let where_ =
                    if context.policy.scope.is_closed() { "the closure does not have" } else { "does not exist" };
                add(&rule::DANGLING_ENTRY, entry, format!("lists {entry}, which {where_}"));
            }
            DirectoryState::Missing { .. } | DirectoryState::Present { .. } => {}
        }
    }
    stale_note(context, facts, &list, findings);
}

/// CRP300 and CRP301 of an LD_LIBRARY_PATH, of what is started with it (nothing: everything). glibc takes nothing between two
/// separators for the current directory; musl does not.
pub(in crate::check) fn library_path(started: &std::path::Path, list: &BStr) -> Vec<Finding> {
    let mut findings = Vec::new();
    // An empty list is no list.
    let entries = list.split(|byte| matches!(byte, b':' | b';')).map(BStr::new).filter(|_| !list.is_empty());
    for entry in entries.collect::<BTreeSet<&BStr>>() {
        let (rule, case) = match EntryClass::by_name(entry) {
            EntryClass::Empty => {
                (&rule::EMPTY_ENTRY, "LD_LIBRARY_PATH has an empty entry, which is the current directory".to_owned())
            }
            EntryClass::Relative => {
                (&rule::RELATIVE_ENTRY, format!("LD_LIBRARY_PATH has {entry}, which depends on the current directory"))
            }
            _ => continue,
        };
        let about = if entry.is_empty() { "LD_LIBRARY_PATH".into() } else { entry.to_owned() };
        findings.push(Finding { fixable: false, ..Finding::new(rule, started, about, case) });
    }
    findings
}

/// An image has NixOS' driver directory in its paths for hosts that mount it: on others nothing is wrong with that.
fn is_of_other_hosts(context: &Context<'_>, entry: &BStr) -> bool {
    context.container().is_some() && entry.starts_with(b"/run/opengl-driver")
}

/// A store may lie anywhere, in a home too: what a closure has is no directory of a build.
fn is_of_closure(context: &Context<'_>, place: &BStr) -> bool {
    matches!(context.policy.scope, Scope::Closure(_)) && context.world.directory(place).exists()
}

/// What is installed in a home has its libraries there.
fn is_in_own_home(context: &Context<'_>, facts: &Facts, place: &BStr) -> bool {
    let home = home_of(place);
    home.is_some() && home == home_of(facts.object.path.as_bstr()) && context.world.directory(place).exists()
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
fn is_expected(context: &Context<'_>, class: EntryClass) -> bool {
    match class {
        EntryClass::Driver => false,
        EntryClass::Compat => context.policy.scope.is_closed(),
        _ => true,
    }
}

/// CRP311. Answers of entries with tokens depend on where the object lies; those are left out of the comparison.
fn stale_note(context: &Context<'_>, facts: &Facts, path: &SearchPath, findings: &mut Vec<Finding>) {
    let Some(hints) = &facts.object.hints else { return };
    let stale = stale_hints(hints, facts.object.needed(), path, context.policy.paths.get(facts.object.class));
    findings.extend(stale.map(|(soname, why)| {
        let case = format!(".note.nixos.ldcache disagrees about {soname}: {why}");
        Finding::new(&rule::STALE_LDCACHE_NOTE, &facts.shown, soname.to_owned(), case)
    }));
}

/// CRP312. A library that nothing here loads may be loaded by something that has the rest in memory already.
pub(in crate::check) fn missing(
    report: &ObjectReport,
    loaders: &[(&Facts, &InProgram)],
    elsewhere: &BTreeSet<(&str, BString)>,
    findings: &mut Vec<Finding>,
) {
    let facts = &report.facts;
    for name in &report.unresolved {
        let failing_in = |(_, found): &&(&Facts, &InProgram)| {
            found.libraries.get(&facts.object.path).is_some_and(|library| library.missing.contains(name))
        };
        let program = loaders.iter().find(failing_in).map(|(program, _)| program.shown.clone());
        // Every program that loads it here has what it needs.
        if program.is_none() && !facts.object.is_program() && !loaders.is_empty() {
            continue;
        }
        let is_here = elsewhere.contains(&(facts.object.machine.name, name.clone()));
        let finding = |case| Finding::new(&rule::NEEDED_UNRESOLVED, &facts.shown, name.clone(), case);
        findings.push(match program {
            None if !facts.object.is_program() && is_here => {
                let case =
                    format!("needs {name}, which is here but not in its search: something else must load it first");
                finding(case).no_worse_than(Severity::Warning)
            }
            None => finding(format!("needs {name}, which is found nowhere")),
            Some(program) => {
                finding(format!("needs {name}, which is found nowhere")).only(Circumstance::WhenStarting(program))
            }
        });
    }
}

/// CRP320 of one object in a process and one file, with all versions that are missing.
pub(in crate::check) fn version_missing(facts: &Facts, unmet: &[&UnmetVersion]) -> Option<Finding> {
    let UnmetVersion { by, file, provider, .. } = unmet.first()?;
    let versions: Vec<&BStr> = unmet.iter().map(|one| one.version.as_bstr()).collect();
    let versions = bstr::join(", ", versions);
    let versions = versions.as_bstr();
    let why = match provider {
        Provider::Loaded(place) => format!("which {place} does not define"),
        Provider::Interpreter(place) => format!("which the loader {place} does not define"),
        Provider::Nothing => "which nothing asks for by that name: the loader stops with an assertion".to_owned(),
    };
    if *by == facts.object.path {
        let case = format!("needs {versions} of {file}, {why}");
        return Some(Finding::new(&rule::VERSION_MISSING, &facts.shown, file.clone(), case));
    }
    let case = format!("loads {by}, which needs {versions} of {file}, {why}");
    let name = by.rsplit_once_str("/").map_or(by.as_bstr(), |(_, name)| name.as_bstr());
    Some(Finding::new(&rule::VERSION_MISSING, &facts.shown, format!("{file} for {name}"), case))
}

/// CRP321 and CRP322 of one object in a process and one file that should have the symbols.
pub(in crate::check) fn symbols_missing(facts: &Facts, missing: &[&MissingSymbol]) -> Option<Finding> {
    let MissingSymbol { by, file, version, place, binding, is_unversioned, family, .. } = missing.first()?;
    let names: Vec<&BStr> = missing.iter().take(MOST_NAMES).map(|one| one.name.as_bstr()).collect();
    let more = missing.len().saturating_sub(names.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let names = format!("{}{more}", bstr::join(", ", names).as_bstr());
    let of = version.as_ref().map(|version| format!(", version {version}")).unwrap_or_default();
    let why = match (file, place) {
        (Some(file), Some(place)) if *is_unversioned => {
            format!("{file} is {place}, which has no versions at all: the loader stops with an assertion")
        }
        (Some(file), Some(place)) if let Some(SymbolFamily { word, bound }) = family => {
            format!("{file} is {place}, which has the {bound} others that begin with {word}: it is of another release")
        }
        (Some(file), Some(place)) => format!("{file} is {place}, and neither that nor anything else has them"),
        _ => "nothing in the process has them".to_owned(),
    };
    let (rule, when) = match binding {
        Binding::AtLoad => (&rule::SYMBOL_MISSING, "when it is loaded"),
        // Python loads with RTLD_NOW.
        Binding::Lazy if !facts.object.is_program() => {
            (&rule::SYMBOL_MISSING_LAZY, "at the first call, or at once when Python loads it,")
        }
        Binding::Lazy => (&rule::SYMBOL_MISSING_LAZY, "at the first call"),
    };
    let case = format!("asks {when} for {names}{of}; {why}");
    let about = file.as_ref().or_else(|| missing.first().map(|one| &one.name)).cloned().unwrap_or_default();
    let finding = if *by == facts.object.path {
        Finding::new(rule, &facts.shown, about, case)
    } else {
        let name = by.rsplit_once_str("/").map_or(by.as_bstr(), |(_, name)| name.as_bstr());
        Finding::new(rule, &facts.shown, format!("{about} for {name}"), format!("loads {by}, which {case}"))
    };
    // An assertion is no error that a program could handle.
    Some(if *is_unversioned { finding.no_better_than(Severity::Error) } else { finding })
}

/// CRP323, of what an object's own searches find while it ships a newer one.
pub(in crate::check) fn other_releases(
    context: &Context<'_>,
    loader: &Loader<'_>,
    facts: &Facts,
    (process, searches): (&Process, &[(usize, Search)]),
    findings: &mut Vec<Finding>,
) {
    let path = facts.object.path_tag.path().map(SearchPath::parse).unwrap_or_default();
    let of_origin = path.entries().filter(|entry| entry.starts_with(b"$ORIGIN") || entry.starts_with(b"${ORIGIN}"));
    let shipped = of_origin.map(|entry| loader.directory_of_entry(process, 0, entry));
    let shipped: Vec<BString> = std::iter::once(facts.object.directory().to_owned()).chain(shipped).collect();
    for (_, search) in searches.iter().filter(|(by, _)| *by == 0) {
        let End::Found(found, place) = &search.end else { continue };
        let Some(found) = context.world.facts(found) else { continue };
        let rival =
            shipped.iter().find_map(|directory| match context.world.look(directory.as_bstr(), search.name.as_bstr()) {
                Look::Object(rival) if rival.identity != found.object.identity => Some((directory, rival)),
                _ => None,
            });
        let Some((directory, rival)) = rival else { continue };
        if context.world.facts(&rival).is_some_and(|rival| is_older(&found, &rival)) {
            let name = &search.name;
            let case = format!("gets {name} from {place}, an older release than the one in {directory}");
            findings.push(Finding::new(&rule::OTHER_RELEASE, &facts.shown, name.clone(), case));
        }
    }
}

/// Symbols that one finding names.
const MOST_NAMES: usize = 3;

/// Every name that something here could be found under, by machine.
pub(in crate::check) fn names(objects: &[Arc<Facts>]) -> BTreeSet<(&'static str, BString)> {
    let own = objects.iter().map(|facts| (facts.object.machine.name, facts.object.file_name().to_owned()));
    let sonames = objects.iter().filter_map(|facts| Some((facts.object.machine.name, facts.object.soname.clone()?)));
    own.chain(sonames).collect()
}
