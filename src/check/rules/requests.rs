//! CRP100 to CRP109: which library each request for a driver library gets.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};

use super::image::{self, Unreachable};
use super::{compat, stubs};
use crate::cdi::{Admission, ContainerState};
use crate::check::answer::{Answer, answer};
use crate::check::context::Context;
use crate::check::facts::Facts;
use crate::check::finding::{Circumstance, Finding, Verdict};
use crate::check::ladder::Ladder;
use crate::check::report::RequestReport;
use crate::check::rule::{self, Rule, Severity};
use crate::check::wanted::CompatWanted;
use crate::cuda::{Request, RequestKind, is_board_support, is_libcuda, is_optional};
use crate::loader::{Ask, End, Loader, Process, Search, Step, StepOutcome, StepSource, TaggedPath};
use crate::runpath::{EntryClass, SearchPath};

/// A process, and what was searched for while it was built.
type Started<'s> = (&'s Process, &'s [(usize, Search)]);

/// Judges everything that an object asks of the driver.
pub(in crate::check) fn judge(
    context: &Context<'_>,
    loader: &Loader<'_>,
    facts: &Facts,
    process: &Process,
    searches: &[(usize, Search)],
) -> Vec<RequestReport> {
    if is_provider(context, facts) {
        return Vec::new();
    }
    let consumer = &facts.consumer;
    let mut reports: Vec<RequestReport> =
        consumer.requests.iter().map(|request| one(context, loader, facts, request, (process, searches), 0)).collect();
    let asks = |name: &str| consumer.requests.iter().any(|request| request.soname == name);
    if let Some(unversioned) = reports.iter_mut().find(|report| report.soname == "libcuda.so")
        && !asks("libcuda.so.1")
    {
        let case = "asks for libcuda.so only: a stub directory in the path would win over the driver";
        unversioned.findings.push(Finding::new(&rule::UNVERSIONED_DLOPEN, &facts.shown, "libcuda.so", case));
    }
    if context.container().is_some()
        && let Some(unversioned) = reports.iter_mut().find(|report| report.soname == "libcuda.so")
    {
        let finding = two_libcudas(context, loader, facts, process, unversioned);
        unversioned.findings.extend(finding);
    }
    if let Some(first) = reports.first_mut() {
        for path in &consumer.hardcoded {
            let case = format!("has the absolute path {path} in its data, which no search path can redirect");
            let finding = Finding::new(&rule::HARDCODED_PATH, &facts.shown, path.clone(), case);
            first.findings.push(match class_of_path(context, facts, path.as_bstr()) {
                EntryClass::Compat => finding.no_worse_than(Severity::Note),
                // Nixpkgs writes it into some packages. It passes over compat.
                EntryClass::Driver if !matches!(context.wanted, CompatWanted::Require(_)) => {
                    finding.no_worse_than(Severity::Note)
                }
                _ => finding,
            });
        }
    }
    reports
}

/// CRP804: `libcuda.so` is another library than `libcuda.so.1`.
fn two_libcudas(
    context: &Context<'_>,
    loader: &Loader<'_>,
    facts: &Facts,
    process: &Process,
    unversioned: &RequestReport,
) -> Option<Finding> {
    let is_real = |answer: &Answer| matches!(answer, Answer::Compat(_) | Answer::Driver(_) | Answer::Other(_));
    let search = loader.search(process, 0, Ask::Dlopen, "libcuda.so.1".into());
    let versioned = answer(context, &search, process, facts);
    let (one, other) = (unversioned.answer.place()?, versioned.place()?);
    let (one, other) = (context.world.real(one)?, context.world.real(other)?);
    let are_two = one != other && is_real(&unversioned.answer) && is_real(&versioned);
    are_two.then(|| image::two_libcudas(facts, one.as_bstr(), other.as_bstr()))
}

/// The role of the directory in a whole path.
fn class_of_path(context: &Context<'_>, facts: &Facts, path: &BStr) -> EntryClass {
    let directory = path.rsplit_once_str("/").map_or(path, |(directory, _)| directory.as_bstr());
    context.roles.role(directory, facts.object.class)
}

/// What an absolute path in the data gives where the search gives nothing: the driver's or compat's library.
fn in_full(context: &Context<'_>, facts: &Facts, soname: &str) -> Option<Answer> {
    facts.consumer.hardcoded.iter().find_map(|path| {
        let (directory, name) = path.rsplit_once_str("/")?;
        match class_of_path(context, facts, path.as_bstr()) {
            _ if name != soname.as_bytes() => None,
            EntryClass::Compat => Some(Answer::Compat(path.clone())),
            EntryClass::Driver => Some(Answer::DriverAtRuntime(directory.into())),
            _ => None,
        }
    })
}

/// Driver libraries, compat's and stubs ask for each other; their packages are judged by CRP202, CRP403 and CRP604.
pub(in crate::check) fn is_provider(context: &Context<'_>, facts: &Facts) -> bool {
    let object = &facts.object;
    let is_driver_library =
        object.soname.as_ref().is_some_and(|name| context.policy.libraries.position(name).is_some());
    let class = context.roles.role(object.directory(), object.class);
    is_driver_library
        || facts.driver.is_some()
        || facts.stands_in(class)
        || matches!(class, EntryClass::Compat | EntryClass::Driver | EntryClass::Stub)
}

/// Judges one request of the object at `index` of a process.
pub(in crate::check) fn one(
    context: &Context<'_>,
    loader: &Loader<'_>,
    facts: &Facts,
    request: &Request,
    started: Started<'_>,
    index: usize,
) -> RequestReport {
    let (process, searches) = started;
    let name = BStr::new(&request.soname);
    // The first object that asked by DT_NEEDED decides for the whole process.
    let is_answer = |search: &Search| search.ask.must_find() || !matches!(search.end, End::NotFound | End::Fatal);
    let earlier = searches.iter().find(|(_, search)| search.name == name && is_answer(search));
    let (by, search) = match earlier {
        Some((by, search)) => (*by, search.clone()),
        None => (index, loader.search(process, index, how(request.kind), name)),
    };
    let keep = || Arc::new(Ladder::of(context, loader, process, (facts, index), (by, &search)));
    let ladder = context.policy.keeps_searches.then(keep);
    let mut found = answer(context, &search, process, facts);
    let by_path = match &found {
        Answer::Nothing | Answer::Other(_) if matches!(request.kind, RequestKind::String | RequestKind::Literal) => {
            in_full(context, facts, &request.soname)
        }
        _ => None,
    };
    let is_by_path = by_path.is_some();
    found = by_path.unwrap_or(found);
    let asked = Asked { context, facts, request, search: &search, answer: &found, is_by_path };
    let (verdict, findings) = match request.kind {
        RequestKind::Needed => asked.verdict(),
        _ if facts.script.is_some() => for_script(&asked),
        _ if facts.consumer.imports_dlopen => asked.verdict(),
        _ => through_others(&asked, loader, process, index),
    };
    RequestReport {
        soname: request.soname.clone(),
        kind: request.kind,
        answer: found,
        verdict,
        through: None,
        on_hosts: Vec::new(),
        ladder,
        findings,
    }
}

struct Asked<'c, 'j> {
    context: &'c Context<'j>,
    facts: &'c Facts,
    request: &'c Request,
    search: &'c Search,
    answer: &'c Answer,
    /// The answer is an absolute path in the data.
    is_by_path: bool,
}

impl Asked<'_, '_> {
    fn finding(&self, rule: &'static Rule, case: impl std::fmt::Display) -> Finding {
        let mut finding = Finding::new(rule, &self.facts.shown, self.request.soname.as_str(), case);
        if self.is_by_library_path() {
            finding = finding.only(Circumstance::ByLibraryPath);
            finding.fixable = false;
        }
        if self.is_by_path {
            finding.fixable = false;
        }
        if is_optional(&self.request.soname) { finding.no_worse_than(Severity::Warning) } else { finding }
    }

    fn fail(&self, (rule, case): (&'static Rule, String)) -> (Verdict, Vec<Finding>) {
        let verdict = if is_optional(&self.request.soname) { Verdict::Runtime } else { Verdict::Fail };
        (verdict, vec![self.finding(rule, case)])
    }

    fn verdict(&self) -> (Verdict, Vec<Finding>) {
        if let Some(container) = self.context.container() {
            return self.in_container(container);
        }
        let soname = &self.request.soname;
        match self.answer {
            Answer::Compat(place) => {
                let why = compat::why_unwanted(self.context, place.as_bstr()).filter(|_| is_libcuda(soname));
                match why {
                    Some(why) => {
                        let (verdict, mut findings) = self.fail(compat::unwanted(soname, place.as_bstr(), &why));
                        // Without it the program needs a newer one.
                        let is_needed = matches!(self.context.wanted, CompatWanted::Require(_));
                        findings.iter_mut().for_each(|finding| finding.fixable &= !is_needed);
                        (verdict, findings)
                    }
                    None => (Verdict::Pass, Vec::new()),
                }
            }
            Answer::Driver(place) | Answer::DriverAtRuntime(place) if is_libcuda(soname) => {
                self.driver(place.as_bstr())
            }
            Answer::Driver(_) => (Verdict::Pass, Vec::new()),
            Answer::DriverAtRuntime(place) => self.at_runtime(place.as_bstr()),
            Answer::Stub(place) => self.stub(place.as_bstr()),
            // On a Jetson the board support's libraries are packages of their own.
            Answer::Other(_) if is_board_support(soname) => (Verdict::Pass, Vec::new()),
            Answer::Other(place) if self.lists(EntryClass::Driver) || self.lists(EntryClass::Compat) => {
                let case = format!("{soname} comes from {place}, before the driver directory");
                self.fail((&rule::DRIVER_SHADOWED, case))
            }
            Answer::Other(place) => {
                let case = format!("{soname} comes from {place}; neither compat nor the driver directory is searched");
                self.fail((&rule::DRIVER_UNREACHABLE, case))
            }
            Answer::Interrupted(place, reason) => {
                let case = format!("the search for {soname} ends with an error at {place}: {reason}");
                self.fail((&rule::DRIVER_SHADOWED, case))
            }
            Answer::Nothing if self.lists(EntryClass::Driver) => self.at_runtime(b"the driver directory".into()),
            Answer::Nothing => {
                let case = format!(
                    "asks for {soname} ({}), and neither compat nor the driver directory is searched",
                    self.how()
                );
                self.fail((&rule::DRIVER_UNREACHABLE, case))
            }
        }
    }

    /// What is right in a container: that the host's driver answers, or compat where it fits that.
    fn in_container(&self, container: &ContainerState) -> (Verdict, Vec<Finding>) {
        let soname = &self.request.soname;
        let way = || image::way(self.context, container, self.search);
        let (verdict, findings) = match self.answer {
            Answer::Driver(place) | Answer::DriverAtRuntime(place) if is_libcuda(soname) => {
                match &self.context.wanted {
                    CompatWanted::Require(why) => self.fail(compat::missing(soname, place.as_bstr(), why)),
                    CompatWanted::Prefer | CompatWanted::Forbid(_) => (Verdict::Pass, Vec::new()),
                }
            }
            Answer::Driver(_) => (Verdict::Pass, Vec::new()),
            Answer::DriverAtRuntime(place) => self.at_runtime(place.as_bstr()),
            Answer::Compat(place) if is_libcuda(soname) => {
                match image::admission_of(self.context, container, place.as_bstr()) {
                    (_, Admission::Admitted) => (Verdict::Pass, Vec::new()),
                    (path, Admission::Refused(why)) => {
                        self.fail(image::not_admitted(soname, path.as_bstr(), &way(), &why))
                    }
                    (path, Admission::Unknown) => {
                        let (rule, case) = image::perhaps_not_admitted(soname, path.as_bstr(), &way());
                        (Verdict::Runtime, vec![self.finding(rule, case).no_worse_than(Severity::Warning)])
                    }
                }
            }
            Answer::Compat(_) => (Verdict::Pass, Vec::new()),
            Answer::Stub(place) => self.stub(place.as_bstr()),
            Answer::Other(_) if is_board_support(soname) => (Verdict::Pass, Vec::new()),
            Answer::Other(place) => {
                let real = self.context.world.real(place.as_bstr()).unwrap_or_else(|| place.clone());
                self.fail(image::shadowed(soname, real.as_bstr(), &way()))
            }
            Answer::Interrupted(place, reason) => {
                let case = format!("the search for {soname} ends with an error at {place}: {reason}");
                self.fail((&rule::DRIVER_SHADOWED, case))
            }
            Answer::Nothing => match image::unreachable(self.context, container, self.facts, self.search, self.how()) {
                Unreachable::AtRuntime(case) => (Verdict::Runtime, vec![self.finding(&rule::DRIVER_AT_RUNTIME, case)]),
                Unreachable::Fails(case) => {
                    let (verdict, findings) = self.fail((&rule::DRIVER_UNREACHABLE, case));
                    // What fix puts in front is no directory of this container.
                    (verdict, findings.into_iter().map(|finding| Finding { fixable: false, ..finding }).collect())
                }
            },
        };
        let is_certain = container.unknown_hooks.is_empty() && container.failures.is_empty();
        (if is_certain { verdict } else { verdict.max(Verdict::Runtime) }, findings)
    }

    fn stub(&self, place: &BStr) -> (Verdict, Vec<Finding>) {
        let soname = &self.request.soname;
        let asks_versioned = self.facts.consumer.requests.iter().any(|other| other.soname == "libcuda.so.1");
        if soname == "libcuda.so" && asks_versioned {
            let (rule, case) = stubs::unversioned(soname, place);
            return (Verdict::Runtime, vec![self.finding(rule, case)]);
        }
        self.fail(stubs::first(soname, place))
    }

    /// libcuda from the driver directory.
    fn driver(&self, place: &BStr) -> (Verdict, Vec<Finding>) {
        let soname = &self.request.soname;
        if self.compat_is_behind() && !matches!(self.context.wanted, CompatWanted::Forbid(_)) {
            return self.fail(compat::after_driver(soname, place));
        }
        match &self.context.wanted {
            CompatWanted::Require(why) => self.fail(compat::missing(soname, place, why)),
            CompatWanted::Prefer | CompatWanted::Forbid(_) => (Verdict::Pass, Vec::new()),
        }
    }

    fn at_runtime(&self, place: &BStr) -> (Verdict, Vec<Finding>) {
        let case = format!("{} ({}) comes from {place}, if the target has it", self.request.soname, self.how());
        (Verdict::Runtime, vec![self.finding(&rule::DRIVER_AT_RUNTIME, case)])
    }

    fn how(&self) -> &'static str {
        match self.request.kind {
            RequestKind::Needed => "DT_NEEDED",
            RequestKind::Note => ".note.dlopen",
            RequestKind::String => "dlopen",
            RequestKind::Literal => "dlopen, a name without a NUL",
            RequestKind::Code => "dlopen, a name in the code",
            RequestKind::Built => "dlopen, a name that is made at run time",
        }
    }

    /// Whether a compat directory follows the driver directory that answers. One in front of it has no libcuda, or is
    /// not there.
    fn compat_is_behind(&self) -> bool {
        let object = &self.facts.object;
        let class = |step: &Step| self.context.class_of(step.written.as_bstr(), step.directory(), object.class);
        let answers = |step: &Step| {
            class(step) == EntryClass::Driver && matches!(step.outcome, StepOutcome::Hit | StepOutcome::NoDirectory)
        };
        let at = self.search.steps.iter().position(answers).unwrap_or(self.search.steps.len());
        let (before, after) = self.search.steps.split_at_checked(at).unwrap_or_default();
        let own = object.path_tag.path().map(SearchPath::parse).unwrap_or_default();
        let mut compat =
            own.entries().filter(|entry| self.context.roles.role(entry, object.class) == EntryClass::Compat);
        let before: HashSet<&BStr> = before.iter().map(|step| step.written.as_bstr()).collect();
        compat.any(|entry| !before.contains(entry)) || after.iter().any(|step| class(step) == EntryClass::Compat)
    }

    /// Whether LD_LIBRARY_PATH, which no search path of an object can overrule, gives the answer.
    fn is_by_library_path(&self) -> bool {
        let is_answer = |step: &&Step| match step.outcome {
            StepOutcome::Hit | StepOutcome::Fatal(_) => true,
            StepOutcome::NoDirectory => {
                let class = self.context.class_of(step.written.as_bstr(), step.directory(), self.facts.object.class);
                matches!(class, EntryClass::Driver | EntryClass::Compat)
            }
            _ => false,
        };
        self.search.steps.iter().find(is_answer).is_some_and(|step| step.source == StepSource::LibraryPath)
    }

    /// Whether a directory of this class is anywhere in the effective search, behind the hit too.
    fn lists(&self, class: EntryClass) -> bool {
        let object = &self.facts.object;
        let own = object.path_tag.path().map(SearchPath::parse).unwrap_or_default();
        own.entries().any(|entry| self.context.roles.role(entry, object.class) == class)
            || self.context.has_role(self.search, class, object.class)
    }
}

/// How the loader is asked.
pub(in crate::check) fn how(kind: RequestKind) -> Ask {
    match kind {
        RequestKind::Needed => Ask::Needed,
        _ => Ask::Dlopen,
    }
}

/// A name that a Python script hands to this object, the module `_ctypes`.
fn for_script(asked: &Asked<'_, '_>) -> (Verdict, Vec<Finding>) {
    let own = asked.verdict();
    let (Verdict::Fail, Some(script)) = (own.0, &asked.facts.script) else { return own };
    let soname = &asked.request.soname;
    let script = script.display();
    let case = format!("opens {soname} for Python ({script} names it) and does not search the driver directory");
    (Verdict::Runtime, vec![asked.finding(&rule::DLOPEN_PROXY, case)])
}

/// A name that the object cannot open itself: a library that it loads and that can call dlopen does.
fn through_others(
    asked: &Asked<'_, '_>,
    loader: &Loader<'_>,
    process: &Process,
    index: usize,
) -> (Verdict, Vec<Finding>) {
    let context = asked.context;
    let soname = &asked.request.soname;
    let openers = process.maps.iter().enumerate().filter(|(at, map)| {
        let is_libc = map.object.soname.as_ref().is_some_and(|name| is_libc(name.as_bstr()));
        *at != index && !is_libc && context.world.facts(&map.object).is_some_and(|facts| facts.consumer.imports_dlopen)
    });
    let mut blind: Option<&BString> = None;
    let mut is_opened = false;
    for (at, map) in openers {
        let Some(facts) = context.world.facts(&map.object) else { continue };
        is_opened = true;
        let search = loader.search(process, at, Ask::Dlopen, soname.as_bytes().as_bstr());
        let reaches = matches!(
            answer(context, &search, process, &facts),
            Answer::Compat(_) | Answer::Driver(_) | Answer::DriverAtRuntime(_)
        );
        if !reaches {
            blind = Some(&map.object.path);
            break;
        }
    }
    let own = asked.verdict();
    if blind.is_none() && (is_opened || own.0 == Verdict::Pass) {
        let verdict = if own.0 == Verdict::Fail { Verdict::Pass } else { own.0 };
        return (verdict, Vec::new());
    }
    let case = match blind {
        Some(opener) => {
            format!("names {soname} and leaves dlopen to {opener}, which does not search the driver directory")
        }
        None => format!("names {soname} but does not import dlopen: whoever opens it searches a path of its own"),
    };
    (Verdict::Runtime, vec![asked.finding(&rule::DLOPEN_PROXY, case)])
}

/// Who defines dlopen does not call it for others.
fn is_libc(soname: &BStr) -> bool {
    soname.starts_with(b"libc.so")
        || soname.starts_with(b"libdl.so")
        || soname.starts_with(b"ld-")
        || soname.starts_with(b"libc.musl-")
}

/// Whether a program's DT_RUNPATH, which it lends to no library, has the driver or compat directory.
pub(in crate::check) fn keeps_driver(context: &Context<'_>, program: &Facts) -> bool {
    let class = program.object.class;
    match &program.object.path_tag {
        TaggedPath::Runpath(path, _) => SearchPath::parse(path.as_bstr())
            .entries()
            .any(|entry| matches!(context.roles.role(entry, class), EntryClass::Driver | EntryClass::Compat)),
        TaggedPath::None | TaggedPath::Rpath(_) => false,
    }
}

/// CRP103: a program that has the directory does not lend it to a library.
pub(in crate::check) fn not_inherited(library: &Facts, program: &Facts) -> Finding {
    let case = format!(
        "{} has the driver directory in its RUNPATH, but DT_RUNPATH is not inherited by the libraries that it loads",
        program.shown.display()
    );
    Finding::new(&rule::RUNPATH_NOT_INHERITED, &library.shown, "RUNPATH", case)
}

/// CRP102 of what a compat libcuda needs of a Jetson's board support.
pub(in crate::check) fn board_at_runtime(facts: &Facts, name: &str, place: &BStr) -> Finding {
    let case = format!("{name} comes from {place}, if the target has it");
    Finding::new(&rule::DRIVER_AT_RUNTIME, &facts.shown, name, case)
}

/// CRP109.
pub(in crate::check) fn no_consumer() -> Finding {
    Finding::new(&rule::NO_CONSUMER, "".as_ref(), "", "no object asks for a driver library")
}

/// CRP108.
pub(in crate::check) fn static_consumer(path: &Path, names: &[String]) -> Option<Finding> {
    let first = names.first()?;
    let case = format!("is statically linked and names {}: no search path can help", names.join(", "));
    Some(Finding::new(&rule::STATIC_CONSUMER, path, first.as_str(), case))
}
