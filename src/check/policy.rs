//! What is wanted of a closure: the platform it is for, its directories, its driver.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bstr::BString;

use crate::cdi::ContainerState;
use crate::cuda::{Capability, DriverLibraries, Gpu, Stack, Version, release_of_branch};
use crate::elf::class::ByClass;
use crate::elf::machine::Machine;
use crate::runpath::Policy;

/// What the closure will run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// NixOS with a discrete GPU.
    Nixos,
    /// Jetson with L4T 35.
    Jetpack5,
    /// Jetson with L4T 36.
    Jetpack6,
    /// Jetson with L4T 38.
    Jetpack7,
    /// Jetson with L4T 39, which has one driver for Orin and Thor.
    Jetpack72,
    /// An Arm server with a discrete GPU.
    Sbsa,
}

impl Platform {
    /// The newest CUDA release that the platform's own driver runs, for a Jetson.
    #[must_use]
    pub(super) fn native_cuda(self) -> Option<Version> {
        match self {
            Self::Jetpack5 => Some(Version(11, 4)),
            Self::Jetpack6 => Some(Version(12, 6)),
            Self::Jetpack7 => Some(Version(13, 0)),
            Self::Jetpack72 => Some(Version(13, 2)),
            Self::Nixos | Self::Sbsa => None,
        }
    }

    /// The newest CUDA release that cuda_compat makes possible, where there is a last one.
    #[must_use]
    pub(crate) fn newest_with_compat(self) -> Option<Version> {
        match self {
            Self::Jetpack5 => Some(Version(12, 2)),
            Self::Jetpack6 => Some(Version(12, 9)),
            Self::Jetpack7 | Self::Jetpack72 | Self::Nixos | Self::Sbsa => None,
        }
    }

    /// Whether it is a Jetson.
    #[must_use]
    pub(crate) fn is_jetson(self) -> bool {
        self.native_cuda().is_some()
    }

    /// That of an L4T release, by the first number of it.
    #[must_use]
    pub(super) fn of_l4t(release: u32) -> Option<Self> {
        match release {
            35 => Some(Self::Jetpack5),
            36 => Some(Self::Jetpack6),
            38 => Some(Self::Jetpack7),
            39 => Some(Self::Jetpack72),
            _ => None,
        }
    }

    /// The machine that it has, where it has only one.
    #[must_use]
    pub(crate) fn machine(self) -> Option<&'static Machine> {
        if self == Self::Nixos { None } else { Machine::named("aarch64") }
    }
}

/// Whether objects should find compat first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CompatPolicy {
    /// Without it the check fails.
    Require,
    /// Where it is in a path it must come first.
    Prefer,
    /// Where it comes first the check complains.
    Forbid,
    /// What platform and closure ask for.
    #[default]
    Auto,
}

/// Which code for a GPU is good enough, from the strictest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ArchPolicy {
    /// Machine code for that very architecture.
    Exact,
    /// Machine code that runs on it; PTX is worth a warning.
    #[default]
    Family,
    /// The same, and machine code of its generation that NVIDIA promises nothing about: for discrete GPUs on a Tegra, and
    /// the other way round.
    Generation,
    /// PTX is as good.
    Ptx,
}

/// What PTX counts for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PtxPolicy {
    /// There must be some for later GPUs.
    Require,
    /// It is code.
    #[default]
    Accept,
    /// Nothing: no driver will compile it.
    Ignore,
}

/// A kernel driver's version: at least its branch. Leading zeros do not make another one.
#[derive(Clone, Debug)]
pub struct DriverVersion {
    numbers: Vec<u32>,
    text: String,
}

impl PartialEq for DriverVersion {
    fn eq(&self, other: &Self) -> bool {
        self.numbers == other.numbers
    }
}

impl Eq for DriverVersion {}

impl PartialOrd for DriverVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for DriverVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers.cmp(&other.numbers)
    }
}

/// Why a text is no driver version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no driver version such as 540 or 580.95.05")]
pub struct DriverVersionError(String);

impl DriverVersion {
    /// The first number.
    #[must_use]
    pub(crate) fn branch(&self) -> u32 {
        self.numbers.first().copied().unwrap_or(0)
    }

    /// Whether it is as new as another one, as far as both are told.
    #[must_use]
    pub(crate) fn is_as_new_as(&self, other: &Self) -> bool {
        let told = self.numbers.len().min(other.numbers.len());
        self.numbers.get(..told) >= other.numbers.get(..told)
    }
}

impl FromStr for DriverVersion {
    type Err = DriverVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers: Result<Vec<u32>, _> = text.split('.').map(str::parse).collect();
        let version = numbers.map(|numbers| Self { numbers, text: text.to_owned() });
        version.map_err(|_| DriverVersionError(text.to_owned()))
    }
}

impl fmt::Display for DriverVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What the objects that are checked are part of.
#[derive(Clone, Debug, Default)]
pub enum Scope {
    /// Files of this machine: what they need may lie anywhere on it.
    #[default]
    Tree,
    /// An unpacked image: nothing is outside.
    Image,
    /// A closure of store paths: nothing is outside but the driver directory.
    Closure(super::closure::Closure),
}

impl Scope {
    /// Whether everything that objects need must be in it.
    #[must_use]
    pub(crate) fn is_closed(&self) -> bool {
        !matches!(self, Self::Tree)
    }
}

/// Everything that decides about findings, beside the objects.
#[derive(Clone, Debug)]
pub struct CheckPolicy {
    /// Where it will run; unknown without one.
    pub platform: Option<Platform>,
    /// Whether compat is wanted.
    pub compat: CompatPolicy,
    /// Directories for objects of each class.
    pub paths: ByClass<Policy>,
    /// The kernel driver of the target.
    pub host_driver: Option<DriverVersion>,
    /// The CUDA release of the target's own driver.
    pub host_cuda: Option<Version>,
    /// The only machine that may be in the closure.
    pub machine: Option<&'static Machine>,
    /// Directories of builds, beside the usual ones.
    pub build_directories: Vec<BString>,
    /// What counts as a driver library.
    pub libraries: DriverLibraries,
    /// An object must ask for the driver.
    pub require_consumer: bool,
    /// Symbols are looked for, too.
    pub symbols: bool,
    /// What a comparison with another run needs is kept of each file: its contents' digest, its GPU code.
    pub records: bool,
    /// The search of each request is kept for the report.
    pub keeps_searches: bool,
    /// The GPUs that it will run on; GPU code is not looked at without any.
    pub gpus: Vec<Capability>,
    /// Which code for them is good enough.
    pub arch: ArchPolicy,
    /// What PTX counts for.
    pub ptx: PtxPolicy,
    /// What is checked.
    pub scope: Scope,
    /// The container that it runs in, where that is known.
    pub container: Option<Arc<ContainerState>>,
}

impl CheckPolicy {
    /// The CUDA release that the target's own driver brings: as the command line says, or as the platform has it, or its
    /// driver's branch. A Jetson's newer driver brings more than the first one of its L4T release.
    #[must_use]
    pub(crate) fn native_cuda(&self) -> Option<Version> {
        let of_driver = self.host_driver.as_ref().and_then(|driver| release_of_branch(driver.branch()));
        self.host_cuda.or_else(|| self.platform.and_then(Platform::native_cuda).max(of_driver))
    }

    /// Whether GPU code is looked at.
    #[must_use]
    pub(crate) fn reads_gpu_code(&self) -> bool {
        self.records || !self.gpus.is_empty()
    }

    /// The GPUs of the target with its driver in front of them.
    pub(crate) fn targets(&self) -> impl Iterator<Item = Gpu> {
        let stack = match self.arch {
            ArchPolicy::Generation => Stack::Trusted,
            ArchPolicy::Exact | ArchPolicy::Family | ArchPolicy::Ptx => Stack::of(self.native_cuda()),
        };
        self.gpus.iter().map(move |capability| Gpu { capability: *capability, stack })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn driver_versions_compare_as_far_as_they_are_told() {
        let version = |text: &str| text.parse::<DriverVersion>().unwrap();
        assert!(version("580.159.04").is_as_new_as(&version("580.95.05")));
        assert!(version("580").is_as_new_as(&version("580.95.05")));
        assert!(!version("575.57").is_as_new_as(&version("580.95.05")));
        assert!("58x".parse::<DriverVersion>().is_err() && "".parse::<DriverVersion>().is_err());
    }
}
