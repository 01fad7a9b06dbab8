//! A GPU as the target of a check: what it is, and what the driver in front of it takes.
//!
//! NVIDIA promises that machine code runs on later GPUs of its generation among discrete GPUs only, not on a Tegra and not
//! from one (CUDA C++ Programming Guide, "Binary Compatibility"): sm_80 code on an Orin ends with "no kernel image". From
//! CUDA 13.2 on one driver serves Arm servers and Orin, and takes both.

use std::fmt;
use std::str::FromStr;

use super::capability::{Capability, CapabilityError, Variant};
use super::version::Version;

/// From this release on a Tegra's driver takes machine code for discrete GPUs.
pub(crate) const SHARED_SINCE: Version = Version(13, 2);

/// What a driver makes of machine code for GPUs of the other kind, discrete or Tegra.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stack {
    /// Its release is not known: such code counts neither as running nor as useless.
    #[default]
    Unknown,
    /// CUDA 13.1 or older: it takes none.
    Apart,
    /// CUDA 13.2 or newer: a Tegra takes code for discrete GPUs.
    Shared,
    /// Only the generation counts, as the command line wants it.
    Trusted,
}

impl Stack {
    /// That of a driver of this release.
    #[must_use]
    pub(crate) fn of(release: Option<Version>) -> Self {
        match release {
            None => Self::Unknown,
            Some(release) if release < SHARED_SINCE => Self::Apart,
            Some(_) => Self::Shared,
        }
    }
}

/// A GPU, and the driver in front of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// What it is.
    pub(crate) capability: Capability,
    /// What its driver takes.
    pub(crate) stack: Stack,
}

/// Without a word about its driver.
impl FromStr for Gpu {
    type Err = CapabilityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(|capability: Capability| capability.into())
    }
}

/// The same.
impl From<Capability> for Gpu {
    fn from(capability: Capability) -> Self {
        Self { capability, stack: Stack::Unknown }
    }
}

impl fmt::Display for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.capability.fmt(f)
    }
}

impl Gpu {
    /// Whether machine code for a capability runs on it.
    #[must_use]
    pub(crate) fn runs(self, code: Capability) -> bool {
        code.cubin_runs_on(self.capability)
            || match self.stack {
                Stack::Unknown | Stack::Apart => false,
                Stack::Shared => !code.is_tegra() && self.mixes(code),
                Stack::Trusted => self.mixes(code),
            }
    }

    /// Whether machine code for a capability may be of use on it, as far as is known.
    #[must_use]
    pub(crate) fn may_run(self, code: Capability) -> bool {
        let is_open = self.stack == Stack::Unknown && !code.is_tegra() && self.mixes(code);
        self.runs(code) || self.is_same_chip(code) || is_open
    }

    /// Whether code is for an earlier GPU of its generation, and only that one of the two is a Tegra forbids it.
    #[must_use]
    pub(crate) fn mixes(self, code: Capability) -> bool {
        // A driver that takes other kinds calls Thor 11.0, under whichever name it is asked for: sm_100 is of another
        // generation.
        let is_thor = self.capability.renamed().is_some();
        let is_earlier = !is_thor && code.variant == Variant::Common && code.is_of_generation(self.capability);
        is_earlier && !code.cubin_runs_on(self.capability)
    }

    /// Whether code is for this very chip under its other name.
    #[must_use]
    pub(crate) fn is_same_chip(self, code: Capability) -> bool {
        self.capability.renamed().is_some_and(|other| (code.major, code.minor) == (other.major, other.minor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(gpu: &str, stack: Stack, code: &str) -> (bool, bool) {
        let gpu = Gpu { capability: gpu.parse().unwrap(), stack };
        let code = code.parse().unwrap();
        (gpu.runs(code), gpu.may_run(code))
    }

    #[test]
    fn a_tegra_takes_code_of_discrete_gpus_since_cuda_13_2() {
        for (gpu, code) in
            [("8.7", "8.0"), ("8.7", "8.6"), ("7.2", "7.0"), ("6.2", "6.0"), ("6.2", "6.1"), ("5.3", "5.0")]
        {
            assert_eq!(runs(gpu, Stack::Apart, code), (false, false), "{code} on {gpu}");
            assert_eq!(runs(gpu, Stack::Unknown, code), (false, true), "{code} on {gpu}");
            assert_eq!(runs(gpu, Stack::Shared, code), (true, true), "{code} on {gpu}");
            assert_eq!(runs(gpu, Stack::Trusted, code), (true, true), "{code} on {gpu}");
        }
        assert_eq!(Stack::of(Some(Version(13, 1))), Stack::Apart);
        assert_eq!(Stack::of(Some(Version(13, 2))), Stack::Shared);
        assert_eq!(Stack::of(None), Stack::Unknown);
    }

    #[test]
    fn code_of_a_tegra_is_for_that_tegra() {
        for stack in [Stack::Unknown, Stack::Apart, Stack::Shared] {
            assert_eq!(runs("8.9", stack, "8.7"), (false, false), "{stack:?}");
            assert_eq!(runs("8.7", stack, "8.7"), (true, true), "{stack:?}");
            // Among discrete GPUs nothing changes.
            assert_eq!(runs("8.9", stack, "8.6"), (true, true), "{stack:?}");
            assert_eq!(runs("8.6", stack, "8.9"), (false, false), "{stack:?}");
            // Exact and family code is for whom it names.
            assert_eq!(runs("10.1", stack, "10.0a"), (false, false), "{stack:?}");
            assert_eq!(runs("10.1", stack, "10.0f"), (false, false), "{stack:?}");
        }
        assert_eq!(runs("8.9", Stack::Trusted, "8.7"), (true, true));
    }

    #[test]
    fn thor_has_two_names() {
        // One chip, two names: what does not run under the one does not under the other.
        for stack in [Stack::Shared, Stack::Trusted] {
            assert_eq!(runs("10.1", stack, "10.0"), (false, false), "{stack:?}");
            assert_eq!(runs("11.0", stack, "10.0"), (false, false), "{stack:?}");
        }
        for (gpu, code) in [("11.0", "10.1"), ("10.1", "11.0"), ("11.0", "10.1a")] {
            assert_eq!(runs(gpu, Stack::Shared, code), (false, true), "{code} on {gpu}");
        }
        assert_eq!(runs("11.0", Stack::Shared, "10.0"), (false, false));
    }
}
