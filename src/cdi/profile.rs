//! Usual hosts, each as the spec that the toolkit writes there: data, read as any other spec is.

use super::edits::{ALL, CdiEdits};
use super::error::CdiError;
use super::machine::ContainerMachine;

/// A kind of host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum HostProfile {
    /// With Debian's own packages.
    Debian,
    /// Ubuntu, and whatever else has NVIDIA's packages.
    Ubuntu,
    /// RHEL and all that keep libraries in `/usr/lib64`.
    Rhel,
    /// With the module of Nixpkgs.
    Nixos,
    /// A Jetson.
    Jetson,
}

/// What stands for the driver's version where that is not known: for ldconfig a name with a number is the newer one.
const ANY_VERSION: &str = "VERSION";

impl HostProfile {
    /// All that a container of this machine may run on.
    pub(crate) fn of_machine(machine: ContainerMachine) -> impl Iterator<Item = Self> {
        let all = [Self::Debian, Self::Ubuntu, Self::Rhel, Self::Nixos, Self::Jetson];
        all.into_iter().filter(move |profile| *profile != Self::Jetson || machine == ContainerMachine::Aarch64)
    }

    /// The word for it.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }

    fn spec(self) -> &'static str {
        match self {
            Self::Debian => include_str!("profiles/debian.yaml"),
            Self::Ubuntu => include_str!("profiles/ubuntu.yaml"),
            Self::Rhel => include_str!("profiles/rhel.yaml"),
            Self::Nixos => include_str!("profiles/nixos.yaml"),
            Self::Jetson => include_str!("profiles/jetson.yaml"),
        }
    }

    /// What such a host does to a container, with a driver of this version.
    ///
    /// # Errors
    /// None that the tests leave.
    pub(crate) fn edits(self, machine: ContainerMachine, driver: Option<&str>) -> Result<CdiEdits, CdiError> {
        let text = self.spec().replace("@ARCH@", machine.name()).replace("@VERSION@", driver.unwrap_or(ANY_VERSION));
        CdiEdits::parse(text.as_bytes(), &[ALL.to_owned()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cdi::hook::Hook;

    #[test]
    fn every_profile_is_a_spec() {
        for profile in HostProfile::of_machine(ContainerMachine::Aarch64) {
            let edits = profile.edits(ContainerMachine::Aarch64, Some("550.163.01")).unwrap();
            let is_unknown = |hook: &Hook| matches!(hook, Hook::Unknown(_));
            assert!(!edits.hooks.iter().any(|hook| is_unknown(&hook.hook)), "{}", profile.name());
            assert!(
                edits.mounts.iter().any(|mount| mount.container.ends_with(b".so.550.163.01")),
                "{}",
                profile.name()
            );
            assert!(edits.mounts.iter().all(|mount| !mount.container.contains(&b'@')), "{}", profile.name());
        }
        assert_eq!(HostProfile::of_machine(ContainerMachine::X86_64).count(), 4);
    }
}
