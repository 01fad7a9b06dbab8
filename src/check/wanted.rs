//! Whether cuda_compat is wanted, and which compat libraries there are.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use bstr::{BString, ByteSlice};

use super::facts::Facts;
use super::policy::{CheckPolicy, CompatPolicy, Platform};
use super::releases::{driver_version, newest_cudart};
use super::roles::Roles;
use super::world::World;
use crate::cuda::Version;
use crate::elf::class::Class;
use crate::loader::{DirectoryState, Look};
use crate::runpath::{EntryClass, SearchPath};

/// Whether compat is wanted, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CompatWanted {
    /// It must come first.
    Require(String),
    /// Where it is listed it must come first.
    Prefer,
    /// It must not come first.
    Forbid(String),
}

/// What policy, platform and closure ask for.
pub(super) fn wanted(
    world: &dyn World,
    policy: &CheckPolicy,
    roles: &Roles<'_>,
    objects: &[Arc<Facts>],
) -> CompatWanted {
    let newest = newest_cudart(objects);
    match policy.compat {
        CompatPolicy::Require => return CompatWanted::Require("--compat-policy require".to_owned()),
        CompatPolicy::Forbid => return CompatWanted::Forbid("which --compat-policy forbids".to_owned()),
        CompatPolicy::Prefer => return CompatWanted::Prefer,
        CompatPolicy::Auto => {}
    }
    let newest_compat =
        || compats(world, policy, roles, objects).iter().filter_map(|facts| driver_version(facts)).max();
    if let Some(host) = &policy.host_driver
        && let Some(compat) = newest_compat()
        && host.is_as_new_as(&compat)
    {
        return CompatWanted::Forbid(format!("and the host's driver {host} is as new as compat's {compat} or newer"));
    }
    let Some(native) = policy.native_cuda() else { return CompatWanted::Prefer };
    // A discrete GPU's driver runs every later release of its major one ("minor version compatibility").
    let is_jetson = policy.platform.is_some_and(Platform::is_jetson);
    if let Some((cudart, at)) = newest
        && if is_jetson { cudart > native } else { cudart.0 > native.0 }
    {
        return CompatWanted::Require(format!("{at} is of CUDA {cudart}, the platform's own driver of {native}"));
    }
    let newest_note = compats(world, policy, roles, objects).iter().filter_map(|facts| release_of_note(facts)).max();
    match newest_note.filter(|compat| *compat < native) {
        Some(compat) => CompatWanted::Forbid(format!("which {}", older_than_native(compat, native))),
        None => CompatWanted::Prefer,
    }
}

/// The CUDA release in a compat libcuda's note: the only release that a Jetson's tells, whose name is libcuda.so.1.1.
pub(super) fn release_of_note(facts: &Facts) -> Option<Version> {
    facts.compat_note.as_ref()?.as_ref().ok().map(|note| note.cuda)
}

/// Why a compat of an older release is not wanted.
pub(super) fn older_than_native(compat: Version, native: Version) -> String {
    format!("is of CUDA {compat}, and the target's own driver of {native}")
}

/// A real libcuda that lies in a compat directory.
pub(super) fn is_compat_libcuda(roles: &Roles<'_>, facts: &Facts) -> bool {
    let object = &facts.object;
    !facts.is_stub
        && object.soname.as_ref().is_some_and(|name| name == "libcuda.so.1")
        && roles.role(object.directory(), object.class) == EntryClass::Compat
}

/// Every compat libcuda that is checked, or that lies in a directory that an option or a search path names.
pub(super) fn compats(
    world: &dyn World,
    policy: &CheckPolicy,
    roles: &Roles<'_>,
    objects: &[Arc<Facts>],
) -> Vec<Arc<Facts>> {
    let checked = objects.iter().filter(|facts| is_compat_libcuda(roles, facts)).map(Arc::clone);
    let mut found: Vec<Arc<Facts>> = checked.collect();
    let mut directories: BTreeSet<BString> =
        policy.paths.elf64.compat.iter().map(|directory| directory.as_bstr().to_owned()).collect();
    for object in objects.iter().map(|facts| &facts.object).filter(|object| object.class == Class::Elf64) {
        let path = object.path_tag.path().map(SearchPath::parse).unwrap_or_default();
        let listed = path.entries().filter(|entry| roles.role(entry, Class::Elf64) == EntryClass::Compat);
        directories.extend(listed.map(|entry| BString::from(entry.trim_end_with(|c| c == '/'))));
    }
    let mut known: HashSet<(u64, u64)> = found.iter().map(|facts| facts.object.identity).collect();
    for directory in &directories {
        let place = directory.as_bstr();
        if matches!(world.directory(place), DirectoryState::Missing { .. }) {
            continue;
        }
        if let Look::Object(object) = world.look(place, "libcuda.so.1".into())
            && let Some(facts) = world.facts(&object)
            && known.insert(object.identity)
        {
            found.push(facts);
        }
    }
    found
}
