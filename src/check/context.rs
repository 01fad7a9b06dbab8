//! What judging an object needs beside the object: the world, what is wanted of it, the loaders.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use bstr::{BStr, BString, ByteSlice};

use super::facts::Facts;
use super::in_container::is_compat;
use super::misfits::Settled;
use super::policy::CheckPolicy;
use super::roles::Roles;
use super::wanted::{CompatWanted, wanted};
use super::world::World;
use crate::cdi::ContainerState;
use crate::elf::class::Class;
use crate::loader::{
    Ask, Cpu, End, Environment, Hardware, Libc, Loader, Look, MOST_PLACES, Object, Patience, Process, Search,
    StepSource, System, SystemFiles, interpreter_of, is_of_musl,
};
use crate::runpath::EntryClass;

/// Everything that judging one object needs.
pub(crate) struct Context<'a> {
    pub(super) world: &'a dyn World,
    pub(super) policy: &'a CheckPolicy,
    pub(super) roles: Roles<'a>,
    pub(super) wanted: CompatWanted,
    /// The canonical paths of all objects that are judged by themselves.
    pub(super) checked: HashSet<BString>,
    pub(super) environment: Environment,
    systems: BTreeMap<BString, System>,
    /// What libraries by themselves leave open, by path.
    settled: RwLock<HashMap<BString, Arc<Settled>>>,
    /// The loader that most programs of a machine name.
    usual: BTreeMap<&'static str, BString>,
}

impl<'a> Context<'a> {
    /// Prepares for these objects: reads each loader that they name once.
    #[must_use]
    pub(crate) fn new(
        world: &'a dyn World,
        policy: &'a CheckPolicy,
        environment: Environment,
        objects: &[Arc<Facts>],
    ) -> Self {
        let cpu = environment.cpu.as_ref();
        let mut files = SystemFiles::of(world);
        let mut systems = BTreeMap::new();
        let mut named: BTreeMap<(&'static str, &BStr), usize> = BTreeMap::new();
        for facts in objects {
            let object = &facts.object;
            let interpreter = object.interpreter.clone();
            if let Some(interpreter) = &object.interpreter {
                let count = named.entry((object.machine.name, interpreter.as_bstr())).or_default();
                *count += 1;
            }
            let interpreter = interpreter.unwrap_or_else(|| interpreter_of(object));
            systems
                .entry(interpreter)
                .or_insert_with_key(|interpreter| System::of(interpreter.as_bstr(), hardware(object, cpu), &mut files));
        }
        let mut usual: BTreeMap<&'static str, (usize, BString)> = BTreeMap::new();
        for ((machine, interpreter), count) in named {
            let most = usual.entry(machine).or_default();
            if count > most.0 {
                *most = (count, interpreter.to_owned());
            }
        }
        let usual = usual.into_iter().map(|(machine, (_, interpreter))| (machine, interpreter)).collect();
        let roles = Roles::of(world, &policy.paths);
        let wanted = wanted(world, policy, &roles, objects);
        let checked = objects.iter().map(|facts| facts.object.path.clone()).collect();
        Self { world, policy, roles, wanted, checked, environment, systems, settled: RwLock::default(), usual }
    }

    /// Whether any object is for glibc's loader.
    pub(super) fn has_glibc(&self) -> bool {
        self.systems.values().any(|system| system.libc == Libc::Glibc)
    }

    /// The same with the loader that a library brings itself: that beside the libc.so.6 that its own path leads to. A program
    /// with another loader has another libc.so.6 in memory already.
    #[must_use]
    pub(crate) fn with_own_loader(mut self, facts: &Arc<Facts>) -> Self {
        if let Some(loader) = self.own_loader(facts) {
            let hardware = hardware(&facts.object, self.environment.cpu.as_ref());
            let system = System::of(loader.as_bstr(), hardware, &mut SystemFiles::of(self.world));
            self.systems.insert(loader.clone(), system);
            self.usual.insert(facts.object.machine.name, loader);
        }
        self
    }

    fn own_loader(&self, facts: &Arc<Facts>) -> Option<BString> {
        let object = &facts.object;
        let libc = object.needed().find(|name| *name == "libc.so.6").filter(|_| !object.is_program())?;
        let system = self.system_of(facts)?;
        let patience = Patience::of(MOST_PLACES);
        let loader = Loader { files: self.world, system, environment: &self.environment, patience: &patience };
        let search = loader.search(&Process::of(Arc::clone(object)), 0, Ask::Needed, libc.as_bstr());
        let hit = search.hit().filter(|hit| matches!(hit.source, StepSource::Runpath(_) | StepSource::Rpath(_)))?;
        let usual = interpreter_of(object);
        let name = usual.rsplit_once_str("/").map_or(usual.as_bstr(), |(_, name)| name.as_bstr());
        let beside = BString::from([hit.directory().as_bytes(), b"/", name.as_bytes()].concat());
        let is_there = matches!(self.world.look(hit.directory(), name), Look::Object(_) | Look::NotLoadable(..));
        is_there.then_some(beside)
    }

    /// What a library by itself leaves open: worked out once.
    pub(super) fn settled(&self, object: &Object, settle: impl FnOnce(&Self) -> Settled) -> Arc<Settled> {
        if let Some(known) = self.settled.read().unwrap_or_else(PoisonError::into_inner).get(&object.path) {
            return Arc::clone(known);
        }
        let settled = Arc::new(settle(self));
        let mut all = self.settled.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(object.path.clone()).or_insert(settled))
    }

    /// DT_NEEDED names of the object itself that are found nowhere, where enough is known to say so.
    pub(super) fn unresolved(&self, searches: &[(usize, Search)], facts: &Facts) -> Vec<BString> {
        if !self.knows_what_is_missing(facts) {
            return Vec::new();
        }
        let failed = searches.iter().filter(|(by, search)| {
            *by == 0 && search.ask.must_find() && matches!(search.end, End::NotFound | End::Fatal)
        });
        let names = failed.map(|(_, search)| search.name.clone());
        names.filter(|name| self.policy.libraries.asked_for_as(name).is_none()).collect()
    }

    /// Whether what a search does not find can be said to be missing.
    pub(super) fn knows_what_is_missing(&self, facts: &Facts) -> bool {
        self.policy.scope.is_closed() || self.knows_machine(facts)
    }

    /// Whether this machine's loader and libraries are at hand: without them nothing can be said about what is missing.
    fn knows_machine(&self, facts: &Facts) -> bool {
        let Some(system) = self.system_of(facts) else { return false };
        let (directory, name) = system.interpreter.rsplit_once_str("/").unwrap_or((b"", b""));
        matches!(self.world.look(directory.as_bstr(), name.as_bstr()), Look::Object(_) | Look::NotLoadable(..))
    }

    /// LD_LIBRARY_PATH as a wrapper sets it, unless the command line asks for another one.
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
        let usual = || self.usual.get(object.machine.name).filter(|_| !is_of_musl(object));
        let own = object.interpreter.as_ref().or_else(usual);
        own.and_then(|path| self.systems.get(path)).or_else(|| self.systems.get(&interpreter_of(object)))
    }

    /// The container that it runs in.
    pub(super) fn container(&self) -> Option<&'a ContainerState> {
        self.policy.container.as_deref()
    }

    /// The role of an object that was found: in a container what is mounted is the driver, and of the image's own libraries
    /// compat is told from the rest by what it is.
    pub(super) fn role_in_container(&self, facts: &Facts, otherwise: EntryClass) -> EntryClass {
        match self.container() {
            None => otherwise,
            Some(container) if container.is_mounted(facts.object.path.as_bstr()) => EntryClass::Driver,
            Some(container) if is_compat(container, facts) => EntryClass::Compat,
            Some(_) => otherwise,
        }
    }

    /// The role of a place, by how it is written and by what it stands for.
    pub(super) fn class_of(&self, written: &BStr, directory: &BStr, class: Class) -> EntryClass {
        let as_written = self.roles.role(written, class);
        if matches!(as_written, EntryClass::Compat | EntryClass::Driver | EntryClass::Stub) {
            return as_written;
        }
        self.roles.role(directory, class)
    }

    /// Whether the effective search of an object has a directory of this class.
    pub(super) fn has_role(&self, search: &Search, role: EntryClass, class: Class) -> bool {
        search.steps.iter().any(|step| {
            let directory = if matches!(step.source, StepSource::Cache | StepSource::Path | StepSource::Loaded) {
                return false;
            } else {
                step.directory()
            };
            self.class_of(step.written.as_bstr(), directory, class) == role
        })
    }
}

/// What a loader must know of the machine.
fn hardware<'c>(object: &Object, cpu: Option<&'c Cpu>) -> Hardware<'c> {
    let cpu = cpu.filter(|cpu| cpu.machine == object.machine);
    Hardware {
        machine: object.machine,
        class: object.class,
        is_big_endian: object.is_big_endian,
        hwcaps: cpu.map(|cpu| cpu.hwcaps.as_slice()),
        platform: cpu.map(|cpu| cpu.platform),
    }
}
