//! CRP400 to CRP407: whether cuda_compat is wanted, fits, and finds what it needs itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};

use super::answer::Answer;
use super::facts::{Facts, World};
use super::finding::Finding;
use super::judge::Judge;
use super::policy::{CheckPolicy, CompatPolicy, DriverVersion};
use super::rule;
use crate::cuda::{self, Version};
use crate::loader::{Ask, DirectoryState, Loader, Look, Process};
use crate::runpath::{EntryClass, SearchPath};

/// What compat's libcuda needs of a Jetson's board support.
pub(super) const BOARD_LIBRARIES: [&str; 3] = ["libnvrm_gpu.so", "libnvrm_mem.so", "libnvdla_runtime.so"];

/// What libcuda loads for itself, of its own release.
const COMPANIONS: [&str; 2] = ["libnvidia-ptxjitcompiler.so.1", "libnvidia-nvvm.so.4"];

/// Whether compat is wanted, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// It must come first.
    Require(String),
    /// Where it is listed it must come first.
    Prefer,
    /// It must not come first.
    Forbid(String),
}

impl Wanted {
    pub(super) fn why(&self) -> &str {
        match self {
            Self::Require(why) | Self::Forbid(why) => why,
            Self::Prefer => "",
        }
    }
}

/// What policy, platform and closure ask for.
pub(super) fn wanted(world: &dyn World, policy: &CheckPolicy, objects: &[Arc<Facts>]) -> Wanted {
    let newest = newest_cudart(objects);
    match policy.compat {
        CompatPolicy::Require => return Wanted::Require("--compat-policy require".to_owned()),
        CompatPolicy::Forbid => return Wanted::Forbid("which --compat-policy forbids".to_owned()),
        CompatPolicy::Prefer => return Wanted::Prefer,
        CompatPolicy::Auto => {}
    }
    let newest_compat = || compats(world, policy, objects).iter().filter_map(|facts| driver_version(facts)).max();
    if let Some(host) = &policy.host_driver
        && let Some(compat) = newest_compat()
        && host.is_as_new_as(&compat)
    {
        return Wanted::Forbid(format!("and the host's driver {host} is as new as compat's {compat} or newer"));
    }
    if let (Some(native), Some((cudart, at))) = (policy.platform.and_then(super::policy::Platform::native_cuda), newest)
        && cudart > native
    {
        return Wanted::Require(format!("{at} is of CUDA {cudart}, the platform's own driver of {native}"));
    }
    Wanted::Prefer
}

/// The newest CUDA runtime, and where it is.
pub(super) fn newest_cudart(objects: &[Arc<Facts>]) -> Option<(Version, &BStr)> {
    let runtimes = objects
        .iter()
        .filter(|facts| facts.object.soname.as_ref().is_some_and(|name| name.starts_with(b"libcudart.so.")));
    // Where only the SONAME is known, it is that release or a newer one.
    let release =
        |facts: &Facts| release_of(facts).or_else(|| cuda::least_of_soname(facts.object.soname.as_ref()?.as_bstr()));
    runtimes
        .filter_map(|facts| Some((release(facts)?, facts.object.path.as_bstr())))
        .max_by_key(|(version, _)| *version)
}

/// The CUDA release of a toolkit library: by its real file name, else by the package set that it is from. A file that
/// has no more than its SONAME for a name (in a wheel) tells nothing: libcudart.so.11.0 is the SONAME of 11.0 to 11.8.
pub(super) fn release_of(facts: &Facts) -> Option<Version> {
    let object = &facts.object;
    let is_real = object.soname.as_ref().is_none_or(|soname| soname != object.file_name());
    let by_name = is_real.then(|| cuda::of_file_name(object.file_name())).flatten();
    by_name
        .or_else(|| cuda::of_store_name(super::store::store_path(object.path.as_bstr()).map(super::store::base_name)?))
}

/// A real libcuda that lies in a compat directory.
pub(super) fn is_compat_libcuda(policy: &CheckPolicy, facts: &Facts) -> bool {
    let object = &facts.object;
    let paths = policy.paths(object.is_64);
    !facts.is_stub
        && object.soname.as_ref().is_some_and(|name| name == "libcuda.so.1")
        && paths.classify(object.directory()) == EntryClass::Compat
}

/// The driver release in the real name `libcuda.so.580.95.05`.
pub(super) fn driver_version(facts: &Facts) -> Option<DriverVersion> {
    let (_, version) = facts.object.file_name().split_once_str(".so.")?;
    version.to_str().ok()?.parse().ok().filter(|version: &DriverVersion| version.branch() > 1)
}

/// CRP403 and CRP404 of one compat libcuda.
pub(super) fn judge_object(judge: &Judge<'_>, loader: &Loader<'_>, facts: &Facts, findings: &mut Vec<Finding>) {
    if !is_compat_libcuda(judge.policy, facts) {
        return;
    }
    let process = Process::of(Arc::clone(&facts.object));
    let answer =
        |name: &str| judge.answer(&loader.search(&process, 0, Ask::Dlopen, name.as_bytes().as_bstr()), &process, facts);
    let asks = |name: &str| facts.consumer.requests.iter().any(|request| request.soname == name);
    for name in BOARD_LIBRARIES.into_iter().filter(|name| asks(name)) {
        match answer(name) {
            Answer::Nothing | Answer::Interrupted(..) | Answer::Stub(_) => {
                let message =
                    format!("needs {name}, and its own search path has neither that nor the driver directory");
                findings.push(Finding::new(&rule::NVRM_UNREACHABLE, &facts.shown, name, message));
            }
            Answer::DriverAtRuntime(place) => {
                let message = format!("{name} comes from {place}, if the target has it");
                findings.push(Finding::new(&rule::DRIVER_AT_RUNTIME, &facts.shown, name, message));
            }
            Answer::Compat(_) | Answer::Driver(_) | Answer::Other(_) => {}
        }
    }
    for name in COMPANIONS {
        let own = judge.world.look(facts.object.directory(), name.into());
        if !asks(name) && matches!(own, Look::Missing) {
            continue;
        }
        let found = answer(name);
        let is_own = found
            .place()
            .and_then(|place| place.rsplit_once_str("/"))
            .is_some_and(|(d, _)| d == facts.object.directory());
        if !is_own {
            let place = found.place().map_or_else(|| "nowhere".to_owned(), ToString::to_string);
            let message = format!("{name} would come from {place}, not from libcuda's own directory");
            findings.push(Finding::new(&rule::COMPANION_MIX, &facts.shown, name, message));
        }
    }
}

/// CRP405 to CRP407, about the closure.
pub(super) fn judge_closure(judge: &Judge<'_>, objects: &[Arc<Facts>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let newest = newest_cudart(objects);
    let compats = compats(judge.world, judge.policy, objects);
    for facts in &compats {
        let note = match &facts.compat_note {
            None => None,
            Some(Ok(note)) => Some(note),
            // The note of an object that is checked is named together with the object.
            Some(Err(error)) => {
                if !objects.iter().any(|known| known.object.identity == facts.object.identity) {
                    findings.push(Finding::new(&rule::MALFORMED_NOTE, &facts.shown, "compat", error));
                }
                None
            }
        };
        let limit = note.map(|note| note.cuda).or_else(|| judge.policy.platform?.newest_with_compat());
        if let (Some(limit), Some((cudart, at))) = (limit, newest)
            && cudart > limit
        {
            let message = format!("runs CUDA up to {limit}, and {at} is of CUDA {cudart}");
            findings.push(Finding::new(&rule::CUDA_NEWER_THAN_LIBCUDA, &facts.shown, cudart.to_string(), message));
        }
        if let (Some(note), Some(host)) = (note, &judge.policy.host_driver)
            && !note.driver_branches.is_empty()
            && !note.driver_branches.contains(&host.branch())
        {
            let list: Vec<String> = note.driver_branches.iter().map(u32::to_string).collect();
            let message = format!("works with drivers of branch {}, the host's is {host}", list.join(", "));
            findings.push(Finding::new(&rule::HOST_DRIVER_UNSUPPORTED, &facts.shown, host.to_string(), message));
        }
    }
    let mut directories: BTreeMap<BString, &Arc<Facts>> = BTreeMap::new();
    for facts in &compats {
        directories.entry(facts.object.directory().to_owned()).or_insert(facts);
    }
    if directories.len() > 1 {
        let list: Vec<String> = directories.keys().map(ToString::to_string).collect();
        let message = format!("has {} compat directories: {}", directories.len(), list.join(", "));
        findings.push(Finding::new(&rule::SEVERAL_COMPATS, "".as_ref(), list.join(":"), message));
    }
    findings
}

/// Every compat libcuda that is checked, or that lies in a directory that an option or a search path names.
fn compats(world: &dyn World, policy: &CheckPolicy, objects: &[Arc<Facts>]) -> Vec<Arc<Facts>> {
    let checked = objects.iter().filter(|facts| is_compat_libcuda(policy, facts)).map(Arc::clone);
    let mut found: Vec<Arc<Facts>> = checked.collect();
    let mut directories: BTreeSet<BString> =
        policy.paths_64.compat.iter().map(|directory| directory.as_bstr().to_owned()).collect();
    for object in objects.iter().map(|facts| &facts.object).filter(|object| object.is_64) {
        let path = object.path_tag.path().map(SearchPath::parse).unwrap_or_default();
        let listed = path.entries().filter(|entry| policy.paths_64.classify(entry) == EntryClass::Compat);
        directories.extend(listed.map(|entry| BString::from(entry.trim_end_with(|c| c == '/'))));
    }
    for directory in &directories {
        let place = directory.as_bstr();
        if matches!(world.directory(place), DirectoryState::Missing { .. }) {
            continue;
        }
        if let Look::Object(object) = world.look(place, "libcuda.so.1".into())
            && let Some(facts) = world.facts(&object)
            && !found.iter().any(|known| known.object.identity == object.identity)
        {
            found.push(facts);
        }
    }
    found
}
