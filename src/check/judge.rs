//! One object: what it asks for, which answer each request gets, and what is wrong with its search path.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};

use super::answer::Answer;
use super::facts::{Facts, World};
use super::finding::{Finding, Verdict};
use super::policy::CheckPolicy;
use super::verdicts::Failing;
use super::{compat, entries, requests};
use crate::cuda::RequestKind;
use crate::loader::{
    Depth, End, Environment, Hardware, Loader, Look, Object, Process, Search, Source, System, interpreter_of,
    is_of_musl, start,
};
use crate::runpath::EntryClass;

/// Everything that judging one object needs.
pub struct Judge<'a> {
    pub(super) world: &'a dyn World,
    pub(super) policy: &'a CheckPolicy,
    pub(super) wanted: compat::Wanted,
    environment: Environment,
    systems: BTreeMap<BString, System>,
    /// The loader that most programs of a machine name.
    usual: BTreeMap<&'static str, BString>,
}

/// A request and what comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestReport {
    /// The library.
    pub soname: String,
    /// How it is asked for.
    pub kind: RequestKind,
    /// What comes first.
    pub answer: Answer,
    /// Whether that is right.
    pub verdict: Verdict,
    /// The program in which that is so, for a library that has nothing by itself.
    pub through: Option<PathBuf>,
    /// What is wrong with it.
    pub(super) findings: Vec<Finding>,
}

/// An object's result.
#[derive(Clone, Debug)]
pub struct ObjectReport {
    /// The object.
    pub facts: Arc<Facts>,
    /// The wrapper that starts it.
    pub wrapper: Option<PathBuf>,
    /// The wrapper sets LD_LIBRARY_PATH.
    pub(super) has_library_path: bool,
    /// What it asks of the driver.
    pub requests: Vec<RequestReport>,
    /// What is wrong with it, beside its requests.
    pub(super) findings: Vec<Finding>,
    /// DT_NEEDED libraries that its own search does not find.
    pub(super) unresolved: Vec<BString>,
    /// For a program: what it loads at start.
    pub(super) loads: Vec<Arc<Object>>,
}

impl ObjectReport {
    /// The worst verdict; `None` when it asks for nothing.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        self.requests.iter().map(|request| request.verdict).max()
    }
}

impl<'a> Judge<'a> {
    /// Prepares for these objects: reads each loader that they name once.
    #[must_use]
    pub fn new(
        world: &'a dyn World,
        policy: &'a CheckPolicy,
        environment: Environment,
        objects: &[Arc<Facts>],
    ) -> Self {
        let cpu = environment.cpu.as_ref();
        let mut systems = BTreeMap::new();
        let mut named: BTreeMap<(&'static str, &BStr), usize> = BTreeMap::new();
        for facts in objects {
            let object = &facts.object;
            let interpreter = object.interpreter.clone();
            if let Some(interpreter) = &object.interpreter {
                let count = named.entry((object.machine_name, interpreter.as_bstr())).or_default();
                *count = count.saturating_add(1);
            }
            let interpreter = interpreter.unwrap_or_else(|| interpreter_of(object));
            systems.entry(interpreter).or_insert_with_key(|interpreter| {
                let hardware = Hardware {
                    machine: object.machine,
                    is_64: object.is_64,
                    is_big_endian: object.is_big_endian,
                    name: object.machine_name,
                    hwcaps: cpu.filter(|cpu| cpu.machine == object.machine_name).map(|cpu| cpu.hwcaps.as_slice()),
                };
                System::of(interpreter.as_bstr(), hardware, world)
            });
        }
        let mut usual: BTreeMap<&'static str, (usize, BString)> = BTreeMap::new();
        for ((machine, interpreter), count) in named {
            let most = usual.entry(machine).or_default();
            if count > most.0 {
                *most = (count, interpreter.to_owned());
            }
        }
        let usual = usual.into_iter().map(|(machine, (_, interpreter))| (machine, interpreter)).collect();
        let wanted = compat::wanted(world, policy, objects);
        Self { world, policy, wanted, environment, systems, usual }
    }

    /// Judges one object by itself; a program together with what it loads at start.
    #[must_use]
    pub fn object(&self, facts: &Arc<Facts>) -> ObjectReport {
        let object = &facts.object;
        let environment = self.environment_of(facts);
        let wrapper = self.world.wrapper(object);
        let mut report = ObjectReport {
            facts: Arc::clone(facts),
            wrapper: wrapper.map(|wrapper| wrapper.shown.clone()),
            has_library_path: wrapper.is_some_and(|wrapper| wrapper.library_path.is_some()),
            requests: Vec::new(),
            findings: Vec::new(),
            unresolved: Vec::new(),
            loads: Vec::new(),
        };
        let Some(system) = self.system_of(facts) else { return report };
        let loader = Loader { files: self.world, system, environment: &environment };
        entries::judge(self, &loader, facts, &mut report.findings);
        // A library's own requests need no more than the library, unless it leaves dlopen to what it loads.
        let leaves_dlopen = facts.consumer.asks() && !facts.consumer.imports_dlopen;
        let depth = if object.is_program() || leaves_dlopen { Depth::Everything } else { Depth::Own };
        let (process, searches) = start(&loader, Process::of(Arc::clone(object)), depth);
        report.unresolved = self.unresolved(&searches, facts);
        if object.is_program() {
            report.loads = process.maps.iter().skip(1).map(|map| Arc::clone(&map.object)).collect();
        }
        report.requests = requests::judge(self, &loader, facts, &process, &searches);
        compat::judge_object(self, &loader, facts, &mut report.findings);
        report
    }

    /// DT_NEEDED names of the object itself that are found nowhere, where enough is known to say so.
    fn unresolved(&self, searches: &[(usize, Search)], facts: &Facts) -> Vec<BString> {
        if !self.policy.scope.is_closed() && !self.knows_machine(facts) {
            return Vec::new();
        }
        let failed =
            searches.iter().filter(|(by, search)| *by == 0 && matches!(search.end, End::NotFound | End::Fatal));
        let names = failed.map(|(_, search)| search.name.clone());
        names.filter(|name| self.policy.libraries.position(name).is_none()).collect()
    }

    /// Whether this machine's loader and libraries are at hand: without them nothing can be said about what is missing.
    fn knows_machine(&self, facts: &Facts) -> bool {
        let Some(system) = self.system_of(facts) else { return false };
        let (directory, name) = system.interpreter.rsplit_once_str("/").unwrap_or((b"", b""));
        matches!(self.world.look(directory.as_bstr(), name.as_bstr()), Look::Object(_) | Look::NotLoadable(..))
    }

    /// What the program that loads a library makes of its requests: all that the library asks for, in that process.
    #[must_use]
    pub fn in_program(&self, program: &Arc<Facts>, failing: &Failing) -> InProgram {
        let mut found = InProgram::default();
        let Some(system) = self.system_of(program) else { return found };
        let environment = self.environment_of(program);
        let loader = Loader { files: self.world, system, environment: &environment };
        let (process, searches) = start(&loader, Process::of(Arc::clone(&program.object)), Depth::Everything);
        for (index, map) in process.maps.iter().enumerate().skip(1) {
            let Some(facts) = failing.get(&map.object.path) else { continue };
            let needed = searches.iter().filter(|(by, _)| *by == index);
            let missing = needed.filter(|(_, search)| matches!(search.end, End::NotFound | End::Fatal));
            let missing = missing.map(|(_, search)| search.name.clone()).collect();
            let reports = facts.consumer.requests.iter();
            let reports =
                reports.map(|request| requests::one(self, &loader, facts, request, (&process, &searches), index));
            found.libraries.insert(map.object.path.clone(), (reports.collect(), missing));
        }
        found
    }

    /// LD_LIBRARY_PATH as a wrapper sets it, unless somebody asked for another one.
    pub(super) fn environment_of(&self, facts: &Facts) -> Environment {
        let mut environment = self.environment.clone();
        if environment.library_path.is_none() {
            environment.library_path =
                self.world.wrapper(&facts.object).and_then(|wrapper| wrapper.library_path.clone());
        }
        environment
    }

    /// The loader that a program names; for a library the one that the programs around it name, unless it is of another
    /// libc.
    pub(super) fn system_of(&self, facts: &Facts) -> Option<&System> {
        let object = &facts.object;
        let usual = || self.usual.get(object.machine_name).filter(|_| !is_of_musl(object));
        let own = object.interpreter.as_ref().or_else(usual);
        own.and_then(|path| self.systems.get(path)).or_else(|| self.systems.get(&interpreter_of(object)))
    }

    /// The role of a place, by how it is written and by what it stands for.
    pub(super) fn class_of(&self, written: &BStr, directory: &BStr, is_64: bool) -> EntryClass {
        let paths = self.policy.paths(is_64);
        let by_text = paths.classify(written);
        if matches!(by_text, EntryClass::Compat | EntryClass::Driver | EntryClass::Stub) {
            return by_text;
        }
        paths.classify(directory)
    }

    /// What a search comes to: the first place that answers, or that will on the target.
    pub(super) fn answer(&self, search: &Search, process: &Process, facts: &Facts) -> Answer {
        super::answer::of(self, search, process, facts)
    }

    /// Whether the effective search of an object has a directory of this class.
    pub(super) fn has_class(&self, search: &Search, class: EntryClass, is_64: bool) -> bool {
        search.steps.iter().any(|step| {
            let directory = if matches!(step.source, Source::Cache | Source::Path | Source::Loaded) {
                return false;
            } else {
                super::answer::directory_of(step)
            };
            self.class_of(step.written.as_bstr(), directory, is_64) == class
        })
    }
}

/// What libraries get in one program.
#[derive(Debug, Default)]
pub struct InProgram {
    /// By path: its requests, and DT_NEEDED names that are not found.
    pub(super) libraries: BTreeMap<BString, (Vec<RequestReport>, Vec<BString>)>,
}
