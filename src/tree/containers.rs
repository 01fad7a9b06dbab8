//! A check of an image in containers: what lies in it is looked at once, and judged for each host that it may run on.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use bstr::{BString, ByteSlice};

use super::check::{inspect_all, judge, objects_of};
use super::container::{ContainerSource, KnownFiles};
use super::discover::Listing;
use super::look::{Seen, look};
use super::run::Workers;
use super::source::Source;
use super::world::SourceWorld;
use crate::cdi::{CdiEdits, ContainerMachine, ContainerState, HostVersions, apply};
use crate::check::{CheckPolicy, CheckReport, Facts, Inspected, Item, on_all_hosts};
use crate::cuda::LibraryNames;
use crate::elf::machine::Machine;
use crate::elf::view::Subject;
use crate::fsio::{ImagePath, Site};
use crate::loader::Environment;
use crate::runpath::Directory;

/// A host, and what it does to a container.
#[derive(Clone, Debug)]
pub(crate) struct HostSpec {
    /// What it is called in a report about several.
    pub(crate) name: String,
    /// What it does.
    pub(crate) edits: CdiEdits,
    /// What is known of it beside that.
    pub(crate) versions: HostVersions,
}

/// An image is for a machine that the toolkit does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the NVIDIA Container Toolkit is made for x86_64 and aarch64, and the image is for {0}")]
pub(crate) struct NoContainer(&'static str);

/// An image, and what it is run in. `E` is why there is no host or no environment.
pub(crate) struct ContainerInput<'i, E> {
    /// The image.
    pub(crate) source: Arc<dyn Source>,
    /// The files of the host, where they are at hand.
    pub(crate) host: Option<Arc<dyn Source>>,
    /// The hosts of a machine; where there is none, the image is judged by itself.
    pub(crate) hosts: &'i dyn Fn(ContainerMachine) -> Result<Vec<HostSpec>, E>,
    /// The environment with what a spec adds to it.
    pub(crate) environment: &'i dyn Fn(&[String]) -> Result<Environment, E>,
    /// A machine that no host has is an error.
    pub(crate) must_run: bool,
}

impl<E: From<NoContainer>> ContainerInput<'_, E> {
    fn hosts(&self, machine: &'static Machine) -> Result<Vec<HostSpec>, E> {
        match container_machine(machine) {
            Ok(machine) => (self.hosts)(machine),
            Err(error) if self.must_run => Err(error.into()),
            Err(_) => Ok(Vec::new()),
        }
    }
}

/// Checks the files of a listing in every container.
///
/// # Errors
/// The image is for another machine than any host.
pub(crate) fn check_in_containers<E: From<NoContainer>>(
    listing: Listing,
    input: &ContainerInput<'_, E>,
    policy: &CheckPolicy,
    workers: &Workers,
) -> Result<CheckReport, E> {
    let inspected = inspect_all(listing, &*input.source, (policy, &LibraryNames::default()), workers);
    let machine = machine_of(objects_of(&inspected.items));
    let hosts = machine.map_or(Ok(Vec::new()), |machine| input.hosts(machine))?;
    let known = Arc::new(KnownFiles::of(objects_of(&inspected.items)));
    let mut reports = Vec::new();
    for host in hosts {
        let Some((source, policy, state)) = container(input, &host, machine, &known, policy) else { continue };
        let is_of_image = |item: &&Item| match &item.inspected {
            Inspected::Object(facts) => source.is_of_image(facts.object.path.as_ref()),
            _ => true,
        };
        let items: Vec<Item> = inspected.items.iter().filter(is_of_image).cloned().collect();
        let source = Arc::new(source);
        let seen: Arc<dyn Source> = source.clone();
        let world = SourceWorld::new(seen, None);
        let environment = (input.environment)(&state.environment)?;
        let report = judge(&items, &inspected.wrappers, world, &policy, environment, workers);
        let report = if source.take_exhausted() { report.cut() } else { report };
        let report = CheckReport { files: inspected.items.len(), ..report };
        reports.push((host.name, report));
    }
    if reports.is_empty() {
        let world = SourceWorld::new(Arc::clone(&input.source), None);
        let environment = (input.environment)(&[])?;
        return Ok(judge(&inspected.items, &inspected.wrappers, world, policy, environment, workers));
    }
    Ok(on_all_hosts(reports))
}

/// The world of a container of an image in which one object is explained.
///
/// # Errors
/// The object is for another machine than any host.
pub(crate) fn world_of_container<E: From<NoContainer>>(
    input: &ContainerInput<'_, E>,
    listing: Listing,
    machine: &'static Machine,
    policy: &CheckPolicy,
    workers: &Workers,
) -> Result<Option<(SourceWorld, CheckPolicy, Environment)>, E> {
    let Some(host) = input.hosts(machine)?.into_iter().next() else { return Ok(None) };
    let mut listing = listing;
    listing.files.retain(|found| may_be_cached(found.shown.as_path()));
    let inspected = inspect_all(listing, &*input.source, (policy, &LibraryNames::default()), workers);
    let known = Arc::new(KnownFiles::of(objects_of(&inspected.items)));
    let Some((source, policy, state)) = container(input, &host, Some(machine), &known, policy) else {
        return Ok(None);
    };
    let environment = (input.environment)(&state.environment)?;
    Ok(Some((SourceWorld::new(Arc::new(source), None), policy, environment)))
}

/// An image with everything over it that a spec lays there, for x86-64.
#[must_use]
pub fn container_of(image: Arc<dyn Source>, edits: &CdiEdits) -> Arc<dyn Source> {
    let Some(machine) = Machine::named(ContainerMachine::X86_64.name()) else { return image };
    let mut source = ContainerSource::new(image, None, machine, Arc::default());
    apply(&mut source, edits, ContainerMachine::X86_64, &HostVersions::default());
    Arc::new(source)
}

/// The machine that an object of an image is for; `None` for anything else.
pub(crate) fn machine_of_object(source: &dyn Source, path: &ImagePath) -> Option<&'static Machine> {
    let found = source.resolve(path).ok()?;
    let looked = look(source, Site::at(&found), |seen| match seen {
        Seen::Elf(_, Ok(Subject::Object(view))) => Some(view.machine()),
        Seen::Elf(..) | Seen::NotElf => None,
    });
    looked.ok().flatten()
}

/// Whether a file is called as one that ldconfig opens.
fn may_be_cached(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    (name.starts_with(b"lib") || name.starts_with(b"ld-")) && name.contains_str(".so")
}

type MadeContainer = (ContainerSource, CheckPolicy, Arc<ContainerState>);

fn container<E>(
    input: &ContainerInput<'_, E>,
    host: &HostSpec,
    machine: Option<&'static Machine>,
    known: &Arc<KnownFiles>,
    policy: &CheckPolicy,
) -> Option<MadeContainer> {
    let machine = machine?;
    let of_container = container_machine(machine).ok()?;
    let machine = Machine::named(of_container.name()).unwrap_or(machine);
    let mut source = ContainerSource::new(Arc::clone(&input.source), input.host.clone(), machine, Arc::clone(known));
    let mut state = apply(&mut source, &host.edits, of_container, &host.versions);
    state.is_cut |= source.take_exhausted();
    let state = Arc::new(state);
    let mut policy = policy.clone();
    let directories = |paths: &[BString]| -> Vec<Directory> {
        paths.iter().filter_map(|path| Directory::new(path.clone()).ok()).collect()
    };
    for paths in [&mut policy.paths.elf64, &mut policy.paths.elf32] {
        paths.driver.extend(directories(&state.unknown_directories_of_driver()));
        paths.compat.extend(directories(&state.compat_roots));
    }
    policy.container = Some(Arc::clone(&state));
    Some((source, policy, state))
}

/// The machine that most objects are for.
fn machine_of<'f>(objects: impl Iterator<Item = &'f Arc<Facts>>) -> Option<&'static Machine> {
    let mut counts: BTreeMap<&'static str, (usize, &'static Machine)> = BTreeMap::new();
    for facts in objects {
        let machine = facts.object.machine;
        let (count, _) = counts.entry(machine.name).or_insert((0, machine));
        *count = count.saturating_add(1);
    }
    counts.into_values().max_by_key(|(count, _)| *count).map(|(_, machine)| machine)
}

fn container_machine(machine: &'static Machine) -> Result<ContainerMachine, NoContainer> {
    match machine.name {
        "x86_64" | "i686" | "x32" => Ok(ContainerMachine::X86_64),
        "aarch64" | "armv7l" => Ok(ContainerMachine::Aarch64),
        other => Err(NoContainer(other)),
    }
}
