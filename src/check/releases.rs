//! Which release a library is of, by its name and by where it lies.

use std::collections::HashSet;
use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};

use super::facts::Facts;
use super::policy::DriverVersion;
use crate::cuda::{self, Version};
use crate::nix;

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
    by_name.or_else(|| cuda::of_store_name(nix::store_path(object.path.as_bstr()).map(nix::base_name)?))
}

/// The driver release in the real name `libcuda.so.580.95.05`.
pub(super) fn driver_version(facts: &Facts) -> Option<DriverVersion> {
    let (_, version) = facts.object.file_name().split_once_str(".so.")?;
    version.to_str().ok()?.parse().ok().filter(|version: &DriverVersion| version.branch() > 1)
}

/// Whether a library is of an older release than another one of the same name: by their names, or because the other one
/// defines all of its versions of symbols and more.
pub(super) fn is_older(library: &Facts, than: &Facts) -> bool {
    if let (Some(own), Some(other)) = (release_of(library), release_of(than)) {
        return own < other;
    }
    let versions = |facts: &Facts| -> Option<HashSet<BString>> {
        let versions = facts.object.versions.as_ref().ok()?;
        let own = versions.definitions.as_ref()?.iter().filter(|version| !version.is_base);
        Some(own.map(|version| versions.name(version.name).to_owned()).collect())
    };
    let (Some(own), Some(other)) = (versions(library), versions(than)) else { return false };
    own.len() < other.len() && own.is_subset(&other)
}
