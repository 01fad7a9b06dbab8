//! Which release a library is of, by its name and by where it lies.

use std::sync::Arc;

use bstr::{BStr, ByteSlice};

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
