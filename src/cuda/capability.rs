//! Compute capabilities: what they are called, what runs on what, and which CUDA releases can make them.

use std::fmt;
use std::str::FromStr;

use super::version::Version;

/// Which features of an architecture code uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Variant {
    /// The ones that every later minor version has as well.
    #[default]
    Common,
    /// `f`: those of the family, that is of later minor versions.
    Family,
    /// `a`: those of exactly this architecture.
    Exact,
    /// `(a)`: the same, told by a mark in the code; the entry of its fat binary calls it plain.
    Marked,
}

impl Variant {
    /// Whether code runs on exactly one architecture.
    fn is_exact(self) -> bool {
        matches!(self, Self::Exact | Self::Marked)
    }
}

/// A compute capability, such as 8.7 or 9.0a.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability {
    /// The architecture's generation.
    pub(crate) major: u32,
    /// Within the generation.
    pub(crate) minor: u32,
    /// Which features.
    pub(crate) variant: Variant,
}

/// Why a text is no capability.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no compute capability such as 8.7, sm_87 or sm_90a")]
pub struct CapabilityError(String);

impl Capability {
    /// From the number in `sm_87`: the last digit is the minor version.
    #[must_use]
    pub(crate) fn of_number(number: u32, variant: Variant) -> Option<Self> {
        let (major, minor) = (number.checked_div(10)?, number.checked_rem(10)?);
        (major > 0 && major < 100).then_some(Self { major, minor, variant })
    }

    /// The number in `sm_87`.
    #[must_use]
    pub(crate) fn number(self) -> u32 {
        self.major.saturating_mul(10).saturating_add(self.minor)
    }

    /// `sm_87`, as compilers write it.
    #[must_use]
    pub(crate) fn sm(self) -> String {
        format!("sm_{}{}", self.number(), self.suffix())
    }

    /// `compute_87`, as PTX is called.
    #[must_use]
    pub(crate) fn compute(self) -> String {
        format!("compute_{}{}", self.number(), self.suffix())
    }

    fn suffix(self) -> &'static str {
        match self.variant {
            Variant::Common => "",
            Variant::Family => "f",
            Variant::Exact => "a",
            Variant::Marked => "(a)",
        }
    }

    /// Whether code for this capability is exactly what is asked for.
    #[must_use]
    pub(crate) fn is_for(self, wanted: Self) -> bool {
        let is_same = self.variant == wanted.variant || (self.variant.is_exact() && wanted.variant.is_exact());
        is_same && (self.major, self.minor) == (wanted.major, wanted.minor)
    }

    /// Whether NVIDIA promises that machine code for this capability runs on a GPU (CUDA C++ Programming Guide, "Binary
    /// Compatibility"): on later ones of its generation, but neither on a Tegra nor from one.
    #[must_use]
    pub(crate) fn cubin_runs_on(self, gpu: Self) -> bool {
        let is_same = (self.major, self.minor) == (gpu.major, gpu.minor);
        is_same || (self.is_of_generation(gpu) && !self.is_tegra() && !gpu.is_tegra())
    }

    /// Whether it is of an earlier GPU of the same generation, or of the same one, and not for that one alone.
    #[must_use]
    pub(crate) fn is_of_generation(self, gpu: Self) -> bool {
        !self.variant.is_exact() && self.major == gpu.major && self.minor <= gpu.minor
    }

    /// The GPU of a Tegra, a part of the chip: of Jetsons and of vehicles.
    #[must_use]
    pub(crate) fn is_tegra(self) -> bool {
        TEGRA.contains(&self.number())
    }

    /// Whether PTX for this capability can be compiled for a GPU (the same guide, "PTX Compatibility").
    #[must_use]
    pub(crate) fn ptx_runs_on(self, gpu: Self) -> bool {
        match self.variant {
            Variant::Common => (self.major, self.minor) <= (gpu.major, gpu.minor),
            Variant::Family | Variant::Exact | Variant::Marked => self.cubin_runs_on(gpu),
        }
    }

    /// The other name of Thor: 10.1 until CUDA 12.9, 11.0 since CUDA 13.0.
    #[must_use]
    pub(crate) fn renamed(self) -> Option<Self> {
        match (self.major, self.minor) {
            (10, 1) => Some(Self { major: 11, minor: 0, ..self }),
            (11, 0) => Some(Self { major: 10, minor: 1, ..self }),
            _ => None,
        }
    }

    /// The CUDA releases that can generate code for it: the first, and the last where there is one.
    #[must_use]
    pub(crate) fn releases(self) -> Option<(Version, Option<Version>)> {
        let is_own = |row: &&KnownCapability| row.0 == self.number() && row.1.contains(&self.variant);
        RELEASES.iter().find(is_own).map(|(.., first, last)| (*first, *last))
    }

    /// Whether there is such an architecture, as far as is known here.
    #[must_use]
    pub(crate) fn is_known(self) -> bool {
        RELEASES.iter().any(|row| row.0 == self.number())
    }

    /// Every architecture that is known here, without variants.
    pub(crate) fn known() -> impl Iterator<Item = Self> {
        let common = RELEASES.iter().filter(|row| row.1.contains(&Variant::Common));
        common.filter_map(|row| Self::of_number(row.0, Variant::Common))
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}{}", self.major, self.minor, self.suffix())
    }
}

impl FromStr for Capability {
    type Err = CapabilityError;

    /// Reads `8.7`, `sm_87`, `compute_87`, `87`, each with `a` or `f` behind it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || CapabilityError(text.to_owned());
        let digits = text.strip_prefix("sm_").or_else(|| text.strip_prefix("compute_")).unwrap_or(text);
        let (digits, variant) = match (digits.strip_suffix('a'), digits.strip_suffix('f')) {
            (Some(digits), _) => (digits, Variant::Exact),
            (None, Some(digits)) => (digits, Variant::Family),
            (None, None) => (digits, Variant::Common),
        };
        let number = match digits.split_once('.') {
            Some((major, minor)) if minor.len() == 1 => format!("{major}{minor}"),
            Some(_) => return Err(error()),
            None => digits.to_owned(),
        };
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(error());
        }
        number.parse().ok().and_then(|number| Self::of_number(number, variant)).ok_or_else(error)
    }
}

/// TX1, TX2, Xavier, Orin, and Thor under its two names.
const TEGRA: [u32; 6] = [53, 62, 72, 87, 101, 110];

/// A row: the number in `sm_87`, the variants, the first and the last release.
type KnownCapability = (u32, &'static [Variant], Version, Option<Version>);

/// Which releases can make code that is of use for a capability: what their assemblers accept (`ptxas --help` of 11.7 to
/// 13.4, release notes before). 12.3 to 12.9 accept sm_72 as well, but the newest driver of its devices, through
/// cuda_compat, runs 12.2.
const RELEASES: &[KnownCapability] = {
    use Variant::{Common, Exact, Family};
    const ALL: &[Variant] = &[Common, Exact, Family];
    &[
        (30, &[Common], Version(10, 0), Some(Version(10, 2))),
        (35, &[Common], Version(10, 0), Some(Version(11, 8))),
        (37, &[Common], Version(10, 0), Some(Version(11, 8))),
        (50, &[Common], Version(10, 0), Some(Version(12, 9))),
        (52, &[Common], Version(10, 0), Some(Version(12, 9))),
        (53, &[Common], Version(10, 0), Some(Version(12, 9))),
        (60, &[Common], Version(10, 0), Some(Version(12, 9))),
        (61, &[Common], Version(10, 0), Some(Version(12, 9))),
        (62, &[Common], Version(10, 0), Some(Version(12, 9))),
        (70, &[Common], Version(10, 0), Some(Version(12, 9))),
        (72, &[Common], Version(10, 0), Some(Version(12, 2))),
        (75, &[Common], Version(10, 0), None),
        (80, &[Common], Version(11, 0), None),
        (86, &[Common], Version(11, 1), None),
        (87, &[Common], Version(11, 4), None),
        (88, &[Common], Version(13, 0), None),
        (89, &[Common], Version(11, 8), None),
        (90, &[Common], Version(11, 8), None),
        (90, &[Exact], Version(12, 0), None),
        (100, &[Common, Exact], Version(12, 8), None),
        (100, &[Family], Version(12, 9), None),
        (101, &[Common, Exact], Version(12, 8), Some(Version(12, 9))),
        (101, &[Family], Version(12, 9), Some(Version(12, 9))),
        (103, ALL, Version(12, 9), None),
        (107, ALL, Version(13, 4), None),
        (110, ALL, Version(13, 0), None),
        (120, &[Common, Exact], Version(12, 8), None),
        (120, &[Family], Version(12, 9), None),
        (121, ALL, Version(12, 9), None),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    fn capability(text: &str) -> Capability {
        text.parse().unwrap()
    }

    #[test]
    fn every_spelling_is_read() {
        for text in ["8.7", "87", "sm_87", "compute_87"] {
            assert_eq!(capability(text), Capability { major: 8, minor: 7, variant: Variant::Common }, "{text}");
        }
        assert_eq!(capability("sm_90a"), Capability { major: 9, minor: 0, variant: Variant::Exact });
        assert_eq!(capability("12.1f"), Capability { major: 12, minor: 1, variant: Variant::Family });
        assert_eq!(capability("sm_121f").sm(), "sm_121f");
        for text in ["", "sm_", "8.", ".7", "8.75", "8.7b", "sm_sm_87", "0.1", "9", "a", "8.7aa", "+8.7", "99999999999"]
        {
            assert!(text.parse::<Capability>().is_err(), "{text}");
        }
    }

    #[test]
    fn machine_code_runs_within_its_generation() {
        // CUDA C++ Programming Guide, "Binary Compatibility".
        for (code, gpu, runs) in [
            ("8.0", "8.6", true),
            ("8.0", "8.7", false),
            ("8.7", "8.7", true),
            ("8.7", "8.9", false),
            ("7.0", "7.2", false),
            ("6.0", "6.2", false),
            ("6.0", "6.1", true),
            ("10.0", "10.1", false),
            ("10.1", "10.3", false),
            ("8.7", "8.6", false),
            ("8.6", "9.0", false),
            ("9.0a", "9.0", true),
            ("10.0a", "10.3", false),
            ("10.0f", "10.3", true),
            ("10.0f", "11.0", false),
            ("10.1", "11.0", false),
            ("12.0", "12.1", true),
        ] {
            assert_eq!(capability(code).cubin_runs_on(capability(gpu)), runs, "{code} on {gpu}");
        }
        for (code, gpu, runs) in [
            ("5.0", "12.1", true),
            ("8.0", "8.7", true),
            ("8.7", "8.9", true),
            ("8.7", "8.6", false),
            ("9.0a", "10.0", false),
            ("10.0f", "10.3", true),
        ] {
            assert_eq!(capability(code).ptx_runs_on(capability(gpu)), runs, "PTX {code} on {gpu}");
        }
    }

    #[test]
    fn releases_are_told() {
        let releases = |text: &str| capability(text).releases();
        assert_eq!(releases("sm_100"), Some((Version(12, 8), None)));
        assert_eq!(releases("sm_101a"), Some((Version(12, 8), Some(Version(12, 9)))));
        assert_eq!(releases("9.0f"), None);
        assert!(!capability("7.8").is_known() && capability("9.0f").is_known());
    }
}
