//! CUDA releases: `major.minor`, and where file and store names tell them.

use std::fmt;
use std::str::FromStr;

use bstr::{BStr, ByteSlice};

/// A CUDA release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u32, pub u32);

/// Why a text is no release.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no version such as 12.8")]
pub struct VersionError(String);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl FromStr for Version {
    type Err = VersionError;

    /// Reads `12.8` and `12.8.93`; a minor version is needed.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut numbers = text.split('.').map(str::parse::<u32>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Ok(Self(major, minor)),
            _ => Err(VersionError(text.to_owned())),
        }
    }
}

/// The release behind `.so.` in a library's real name (`libcudart.so.12.8.90`); `None` for a bare major number.
#[must_use]
pub(crate) fn of_file_name(name: &BStr) -> Option<Version> {
    let (_, version) = name.split_once_str(".so.")?;
    version.to_str().ok()?.parse().ok()
}

/// The first release that a toolkit library with this SONAME can be of: `libcudart.so.12` is 12.0 or newer.
#[must_use]
pub(crate) fn least_of_soname(name: &BStr) -> Option<Version> {
    let (_, version) = name.split_once_str(".so.")?;
    let version = version.to_str().ok()?;
    version.parse().ok().or_else(|| Some(Version(version.parse().ok()?, 0)))
}

/// The `cuda12.8-` that Nixpkgs puts in front of every package of a CUDA package set.
#[must_use]
pub(crate) fn of_store_name(name: &BStr) -> Option<Version> {
    let rest = name.find("-cuda").and_then(|at| name.get(at.checked_add(5)?..))?;
    let (version, _) = rest.split_once_str("-")?;
    let is_version = version.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    is_version.then(|| version.to_str().ok()?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_releases() {
        assert_eq!(of_file_name("libcudart.so.12.8.90".into()), Some(Version(12, 8)));
        assert_eq!(of_file_name("libcudart.so.12".into()), None);
        assert_eq!(least_of_soname("libcudart.so.12".into()), Some(Version(12, 0)));
        assert_eq!(least_of_soname("libcudart.so.11.0".into()), Some(Version(11, 0)));
        assert_eq!(least_of_soname("libcudart.so".into()), None);
        assert_eq!(of_store_name("abc-cuda12.8-cuda_cudart-12.8.90-lib".into()), Some(Version(12, 8)));
        assert_eq!(of_store_name("abc-cudatoolkit-12.8".into()), None);
        assert_eq!(of_store_name("abc-cuda-merged-12.8".into()), None);
    }
}
