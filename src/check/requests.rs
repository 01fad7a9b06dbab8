//! CRP100 to CRP108, CRP200, CRP400 and CRP401: which library each request for a driver library gets.

use std::path::Path;

use bstr::{BStr, BString, ByteSlice};

use super::answer::{Answer, directory_of};
use super::compat::Wanted;
use super::facts::Facts;
use super::finding::{Finding, Verdict};
use super::judge::{Judge, RequestReport};
use super::rule;
use super::rule::{Rule, Severity};
use crate::cuda::{Request, RequestKind, is_libcuda, is_optional};
use crate::loader::{Ask, Loader, Outcome, PathTag, Process, Search, Source, Step};
use crate::runpath::{EntryClass, SearchPath};

/// A process, and what was searched for while it was built.
type Started<'s> = (&'s Process, &'s [(usize, Search)]);

/// Judges everything that an object asks of the driver.
pub(super) fn judge(
    judge: &Judge<'_>,
    loader: &Loader<'_>,
    facts: &Facts,
    process: &Process,
    searches: &[(usize, Search)],
) -> Vec<RequestReport> {
    if is_provider(judge, facts) {
        return Vec::new();
    }
    let consumer = &facts.consumer;
    let mut reports: Vec<RequestReport> =
        consumer.requests.iter().map(|request| one(judge, loader, facts, request, (process, searches), 0)).collect();
    let asks = |name: &str| consumer.requests.iter().any(|request| request.soname == name);
    if let Some(unversioned) = reports.iter_mut().find(|report| report.soname == "libcuda.so")
        && !asks("libcuda.so.1")
    {
        let message = "asks for libcuda.so only: a stub directory in the path would win over the driver";
        unversioned.findings.push(Finding::new(&rule::UNVERSIONED_DLOPEN, &facts.shown, "libcuda.so", message));
    }
    if let Some(first) = reports.first_mut() {
        for path in &consumer.hardcoded {
            let message = format!("has the absolute path {path} in its data, which no search path can redirect");
            let finding = Finding::new(&rule::HARDCODED_PATH, &facts.shown, path.clone(), message);
            first.findings.push(match class_of_path(judge, facts, path.as_bstr()) {
                EntryClass::Compat => finding.no_worse_than(Severity::Note),
                // Nixpkgs writes it into some packages. It passes over compat.
                EntryClass::Driver if !matches!(judge.wanted, Wanted::Require(_)) => {
                    finding.no_worse_than(Severity::Note)
                }
                _ => finding,
            });
        }
    }
    reports
}

/// The role of the directory in a whole path.
fn class_of_path(judge: &Judge<'_>, facts: &Facts, path: &BStr) -> EntryClass {
    let directory = path.rsplit_once_str("/").map_or(path, |(directory, _)| directory.as_bstr());
    judge.policy.paths(facts.object.is_64).classify(directory)
}

/// What an absolute path in the data gives where the search gives nothing: the driver's or compat's library.
fn in_full(judge: &Judge<'_>, facts: &Facts, soname: &str) -> Option<Answer> {
    facts.consumer.hardcoded.iter().find_map(|path| {
        let (directory, name) = path.rsplit_once_str("/")?;
        match class_of_path(judge, facts, path.as_bstr()) {
            _ if name != soname.as_bytes() => None,
            EntryClass::Compat => Some(Answer::Compat(path.clone())),
            EntryClass::Driver => Some(Answer::DriverAtRuntime(directory.into())),
            _ => None,
        }
    })
}

/// Driver libraries, compat's and stubs ask for each other; their packages are judged by CRP202, CRP403 and CRP604.
pub(super) fn is_provider(judge: &Judge<'_>, facts: &Facts) -> bool {
    let object = &facts.object;
    let is_driver_library = object.soname.as_ref().is_some_and(|name| judge.policy.libraries.position(name).is_some());
    let class = judge.policy.paths(object.is_64).classify(object.directory());
    is_driver_library || facts.is_stub || matches!(class, EntryClass::Compat | EntryClass::Driver | EntryClass::Stub)
}

/// Judges one request of the object at `index` of a process.
pub(super) fn one(
    judge: &Judge<'_>,
    loader: &Loader<'_>,
    facts: &Facts,
    request: &Request,
    started: Started<'_>,
    index: usize,
) -> RequestReport {
    let (process, searches) = started;
    let name = BStr::new(&request.soname);
    // Whoever asked first by DT_NEEDED decides for the whole process.
    let earlier = searches.iter().find(|(_, search)| search.name == name);
    let search = match earlier {
        Some((_, search)) => search.clone(),
        None => loader.search(process, index, how(request.kind), name),
    };
    let mut answer = judge.answer(&search, process, facts);
    let by_path = match &answer {
        Answer::Nothing | Answer::Other(_) if matches!(request.kind, RequestKind::String | RequestKind::Literal) => {
            in_full(judge, facts, &request.soname)
        }
        _ => None,
    };
    let is_by_path = by_path.is_some();
    answer = by_path.unwrap_or(answer);
    let context = Context { judge, facts, request, search: &search, answer: &answer, is_by_path };
    let (verdict, findings) = match request.kind {
        RequestKind::Needed => context.verdict(),
        _ if facts.script.is_some() => for_script(&context),
        _ if facts.consumer.imports_dlopen => context.verdict(),
        _ => through_others(&context, loader, process, index),
    };
    RequestReport { soname: request.soname.clone(), kind: request.kind, answer, verdict, through: None, findings }
}

struct Context<'c, 'j> {
    judge: &'c Judge<'j>,
    facts: &'c Facts,
    request: &'c Request,
    search: &'c Search,
    answer: &'c Answer,
    /// The answer is an absolute path in the data.
    is_by_path: bool,
}

impl Context<'_, '_> {
    fn finding(&self, rule: &'static Rule, message: impl std::fmt::Display) -> Finding {
        let mut finding = Finding::new(rule, &self.facts.shown, self.request.soname.as_str(), message);
        if self.is_by_library_path() {
            finding.message.push_str(" (by LD_LIBRARY_PATH)");
            finding.fixable = false;
        }
        if self.is_by_path {
            finding.fixable = false;
        }
        if is_optional(&self.request.soname) { finding.no_worse_than(Severity::Warning) } else { finding }
    }

    fn fail(&self, rule: &'static Rule, message: impl std::fmt::Display) -> (Verdict, Vec<Finding>) {
        let verdict = if is_optional(&self.request.soname) { Verdict::Runtime } else { Verdict::Fail };
        (verdict, vec![self.finding(rule, message)])
    }

    fn verdict(&self) -> (Verdict, Vec<Finding>) {
        let soname = &self.request.soname;
        match self.answer {
            Answer::Compat(place) if is_libcuda(soname) && matches!(self.judge.wanted, Wanted::Forbid(_)) => {
                let why = self.judge.wanted.why();
                self.fail(&rule::COMPAT_UNWANTED, format!("{soname} comes from compat ({place}), {why}"))
            }
            Answer::Compat(_) => (Verdict::Pass, Vec::new()),
            Answer::Driver(place) | Answer::DriverAtRuntime(place) if is_libcuda(soname) => {
                self.driver(place.as_bstr())
            }
            Answer::Driver(_) => (Verdict::Pass, Vec::new()),
            Answer::DriverAtRuntime(place) => self.at_runtime(place.as_bstr()),
            Answer::Stub(place) => {
                let asks_versioned = self.facts.consumer.requests.iter().any(|other| other.soname == "libcuda.so.1");
                if soname == "libcuda.so" && asks_versioned {
                    let message = format!("{soname}, the unversioned name, leads to the stub {place}");
                    return (Verdict::Runtime, vec![self.finding(&rule::STUB_IN_RUNPATH, message)]);
                }
                self.fail(&rule::STUB_FIRST, format!("{soname} comes from {place}, a link-time stub"))
            }
            // On a Jetson the board support's libraries are packages of their own.
            Answer::Other(_) if is_board_support(soname) => (Verdict::Pass, Vec::new()),
            Answer::Other(place) if self.lists(EntryClass::Driver) || self.lists(EntryClass::Compat) => {
                self.fail(&rule::DRIVER_SHADOWED, format!("{soname} comes from {place}, before the driver directory"))
            }
            Answer::Other(place) => {
                let message =
                    format!("{soname} comes from {place}; neither compat nor the driver directory is searched");
                self.fail(&rule::DRIVER_UNREACHABLE, message)
            }
            Answer::Interrupted(place, reason) => self.fail(
                &rule::DRIVER_SHADOWED,
                format!("the search for {soname} ends with an error at {place}: {reason}"),
            ),
            Answer::Nothing if self.lists(EntryClass::Driver) => self.at_runtime(b"the driver directory".into()),
            Answer::Nothing => {
                let message = format!(
                    "asks for {soname} ({}), and neither compat nor the driver directory is searched",
                    self.how()
                );
                self.fail(&rule::DRIVER_UNREACHABLE, message)
            }
        }
    }

    /// libcuda from the driver directory.
    fn driver(&self, place: &BStr) -> (Verdict, Vec<Finding>) {
        let soname = &self.request.soname;
        if self.compat_is_behind() && !matches!(self.judge.wanted, Wanted::Forbid(_)) {
            let message = format!("{soname} comes from {place}; the compat directory stands behind it");
            return self.fail(&rule::COMPAT_AFTER_DRIVER, message);
        }
        match &self.judge.wanted {
            Wanted::Require(why) => {
                self.fail(&rule::COMPAT_MISSING, format!("{soname} comes from {place}, not from compat: {why}"))
            }
            Wanted::Prefer | Wanted::Forbid(_) => (Verdict::Pass, Vec::new()),
        }
    }

    fn at_runtime(&self, place: &BStr) -> (Verdict, Vec<Finding>) {
        let message = format!("{} ({}) comes from {place}, if the target has it", self.request.soname, self.how());
        (Verdict::Runtime, vec![self.finding(&rule::DRIVER_AT_RUNTIME, message)])
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
        let class = |step: &Step| self.judge.class_of(step.written.as_bstr(), directory_of(step), object.is_64);
        let answers = |step: &Step| {
            class(step) == EntryClass::Driver && matches!(step.outcome, Outcome::Hit | Outcome::NoDirectory)
        };
        let at = self.search.steps.iter().position(answers).unwrap_or(self.search.steps.len());
        let (before, after) = self.search.steps.split_at_checked(at).unwrap_or_default();
        let own = object.path_tag.path().map(SearchPath::parse).unwrap_or_default();
        let mut compat =
            own.entries().filter(|entry| self.judge.policy.paths(object.is_64).classify(entry) == EntryClass::Compat);
        compat.any(|entry| !before.iter().any(|step| step.written == *entry))
            || after.iter().any(|step| class(step) == EntryClass::Compat)
    }

    /// Whether LD_LIBRARY_PATH, which no search path of an object can overrule, gives the answer.
    fn is_by_library_path(&self) -> bool {
        let is_answer = |step: &&Step| match step.outcome {
            Outcome::Hit | Outcome::Fatal(_) => true,
            Outcome::NoDirectory => {
                let class = self.judge.class_of(step.written.as_bstr(), directory_of(step), self.facts.object.is_64);
                matches!(class, EntryClass::Driver | EntryClass::Compat)
            }
            _ => false,
        };
        self.search.steps.iter().find(is_answer).is_some_and(|step| step.source == Source::LibraryPath)
    }

    /// Whether a directory of this class is anywhere in the effective search, behind the hit too.
    fn lists(&self, class: EntryClass) -> bool {
        let object = &self.facts.object;
        let own = object.path_tag.path().map(SearchPath::parse).unwrap_or_default();
        let paths = self.judge.policy.paths(object.is_64);
        own.entries().any(|entry| paths.classify(entry) == class)
            || self.judge.has_class(self.search, class, object.is_64)
    }
}

/// How the loader is asked.
pub(super) fn how(kind: RequestKind) -> Ask {
    match kind {
        RequestKind::Needed => Ask::Needed,
        _ => Ask::Dlopen,
    }
}

fn is_board_support(soname: &str) -> bool {
    ["libnvrm_", "libnvdla_", "libnvcudla", "libnvbufsurface"].iter().any(|start| soname.starts_with(start))
}

/// A name that a Python script hands to this object, the module `_ctypes`.
fn for_script(context: &Context<'_, '_>) -> (Verdict, Vec<Finding>) {
    let own = context.verdict();
    let (Verdict::Fail, Some(script)) = (own.0, &context.facts.script) else { return own };
    let soname = &context.request.soname;
    let message =
        format!("opens {soname} for Python ({} names it) and does not search the driver directory", shown(script));
    (Verdict::Runtime, vec![context.finding(&rule::DLOPEN_PROXY, message)])
}

/// A name that the object cannot open itself: whoever it loads and can call dlopen does.
fn through_others(
    context: &Context<'_, '_>,
    loader: &Loader<'_>,
    process: &Process,
    index: usize,
) -> (Verdict, Vec<Finding>) {
    let judge = context.judge;
    let soname = &context.request.soname;
    let openers = process.maps.iter().enumerate().filter(|(at, map)| {
        let is_libc = map.object.soname.as_ref().is_some_and(|name| is_libc(name.as_bstr()));
        *at != index && !is_libc && judge.world.facts(&map.object).is_some_and(|facts| facts.consumer.imports_dlopen)
    });
    let mut blind: Vec<BString> = Vec::new();
    let mut count = 0_usize;
    for (at, map) in openers {
        let Some(facts) = judge.world.facts(&map.object) else { continue };
        count = count.saturating_add(1);
        let search = loader.search(process, at, Ask::Dlopen, soname.as_bytes().as_bstr());
        let reaches = matches!(
            judge.answer(&search, process, &facts),
            Answer::Compat(_) | Answer::Driver(_) | Answer::DriverAtRuntime(_)
        );
        if !reaches {
            blind.push(map.object.path.clone());
        }
    }
    let own = context.verdict();
    if blind.is_empty() && (count > 0 || own.0 == Verdict::Pass) {
        let verdict = if own.0 == Verdict::Fail { Verdict::Pass } else { own.0 };
        return (verdict, Vec::new());
    }
    let message = match blind.first() {
        Some(opener) => {
            format!("names {soname} and leaves dlopen to {opener}, which does not search the driver directory")
        }
        None => format!("names {soname} but does not import dlopen: whoever opens it searches a path of its own"),
    };
    (Verdict::Runtime, vec![context.finding(&rule::DLOPEN_PROXY, message)])
}

/// Who defines dlopen does not call it for others.
fn is_libc(soname: &BStr) -> bool {
    soname.starts_with(b"libc.so")
        || soname.starts_with(b"libdl.so")
        || soname.starts_with(b"ld-")
        || soname.starts_with(b"libc.musl-")
}

/// CRP103: a program that has the directory does not lend it to a library.
pub(super) fn not_inherited(judge: &Judge<'_>, library: &Facts, programs: &[&Facts]) -> Option<Finding> {
    let has_driver = |facts: &&&Facts| {
        let paths = judge.policy.paths(facts.object.is_64);
        match &facts.object.path_tag {
            PathTag::Runpath(path, _) => SearchPath::parse(path.as_bstr())
                .entries()
                .any(|entry| matches!(paths.classify(entry), EntryClass::Driver | EntryClass::Compat)),
            PathTag::None | PathTag::Rpath(_) => false,
        }
    };
    let program = programs.iter().find(has_driver)?;
    let message = format!(
        "{} has the driver directory in its RUNPATH, but DT_RUNPATH is not inherited by the libraries that it loads",
        shown(&program.shown)
    );
    Some(Finding::new(&rule::RUNPATH_NOT_INHERITED, &library.shown, "RUNPATH", message))
}

/// CRP108.
pub(super) fn static_consumer(path: &Path, names: &[String]) -> Option<Finding> {
    let first = names.first()?;
    let message = format!("is statically linked and names {}: no search path can help", names.join(", "));
    Some(Finding::new(&rule::STATIC_CONSUMER, path, first.as_str(), message))
}

pub(super) fn shown(path: &Path) -> String {
    path.display().to_string()
}
