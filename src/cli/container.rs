//! Arguments that say what an image is run in.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};

use super::args::{ContainerArgs, ContainerName, PlatformName, TargetArgs};
use super::paths;
use crate::cdi::{ALL, CdiEdits, ContainerMachine, HostProfile, HostVersions, LARGEST_SPEC};
use crate::check::CheckPolicy;
use crate::tree::{HostSource, HostSpec, Source};

/// The hosts that an image is judged on.
pub(super) enum Hosts {
    /// None: the image by itself.
    NotAsked,
    /// What specs say.
    Spec(CdiEdits),
    /// Usual ones, whether the command line names them, or all that there are.
    Usual(Vec<HostProfile>, bool),
}

impl Hosts {
    /// What the command line asks for; a saved image without a wish is judged on all that its machine may have.
    pub(super) fn of(args: &ContainerArgs, wanted: &TargetArgs, is_saved_image: bool) -> anyhow::Result<Self> {
        if !args.cdi.is_empty() {
            return Ok(Self::Spec(read_specs(args)?));
        }
        if args.container.contains(&ContainerName::None) {
            if args.container.len() > 1 {
                bail!("--container none is no host: no other can stand beside it");
            }
            return Ok(Self::NotAsked);
        }
        let mut named: Vec<HostProfile> = args.container.iter().copied().filter_map(profile).collect();
        named.sort();
        named.dedup();
        if !named.is_empty() {
            return Ok(Self::Usual(named, true));
        }
        if !is_saved_image {
            return Ok(Self::NotAsked);
        }
        Ok(Self::Usual(of_platform(wanted.platform), false))
    }

    /// Whether the image is judged on a host.
    pub(super) fn is_asked(&self) -> bool {
        !matches!(self, Self::NotAsked)
    }

    /// Whether the command line asks for it.
    pub(super) fn is_named(&self) -> bool {
        matches!(self, Self::Spec(_) | Self::Usual(_, true))
    }

    /// Those of a machine. With `only_one` the first.
    pub(super) fn of_machine(
        &self,
        machine: ContainerMachine,
        policy: &CheckPolicy,
        wanted: &TargetArgs,
    ) -> anyhow::Result<Vec<HostSpec>> {
        let whole = wanted.host_driver.clone().filter(|version| version.contains('.'));
        match self {
            Self::NotAsked => Ok(Vec::new()),
            Self::Spec(edits) => {
                let versions = HostVersions { driver: wanted.host_driver.clone(), cuda: wanted.host_cuda.clone() };
                Ok(vec![HostSpec { name: "the spec's".into(), edits: edits.clone(), versions }])
            }
            Self::Usual(profiles, is_named) => {
                let of_machine: Vec<HostProfile> = HostProfile::of_machine(machine).collect();
                let mut hosts = Vec::new();
                for profile in profiles {
                    if !of_machine.contains(profile) {
                        if *is_named {
                            bail!("--container {}: the image is for {}", profile.name(), machine.name());
                        }
                        continue;
                    }
                    // The toolkit tells its hook the driver's version, on a Jetson the CUDA release.
                    let versions = match profile {
                        HostProfile::Jetson => HostVersions {
                            driver: None,
                            cuda: wanted.host_cuda.clone().or_else(|| Some(policy.native_cuda()?.to_string())),
                        },
                        _ => HostVersions { driver: wanted.host_driver.clone(), cuda: None },
                    };
                    let edits = profile.edits(machine, whole.as_deref())?;
                    hosts.push(HostSpec { name: profile.name().to_owned(), edits, versions });
                }
                Ok(hosts)
            }
        }
    }
}

/// The host's files, where they are at hand.
pub(super) fn host_root(args: &ContainerArgs) -> anyhow::Result<Option<Arc<dyn Source>>> {
    let Some(root) = &args.host_root else { return Ok(None) };
    let sysroot = paths::sysroot_of("--host-root", root)?;
    Ok(Some(Arc::new(HostSource::new(sysroot))))
}

fn profile(name: ContainerName) -> Option<HostProfile> {
    Some(match name {
        ContainerName::Debian => HostProfile::Debian,
        ContainerName::Ubuntu => HostProfile::Ubuntu,
        ContainerName::Rhel => HostProfile::Rhel,
        ContainerName::Nixos => HostProfile::Nixos,
        ContainerName::Jetson => HostProfile::Jetson,
        ContainerName::None => return None,
    })
}

/// The hosts that a platform may be; all without one.
fn of_platform(platform: Option<PlatformName>) -> Vec<HostProfile> {
    let usual = [HostProfile::Debian, HostProfile::Ubuntu, HostProfile::Rhel];
    match platform {
        None => usual.into_iter().chain([HostProfile::Nixos, HostProfile::Jetson]).collect(),
        Some(PlatformName::Nixos) => vec![HostProfile::Nixos],
        Some(PlatformName::Sbsa) => usual.to_vec(),
        Some(PlatformName::Jetpack5 | PlatformName::Jetpack6 | PlatformName::Jetpack7 | PlatformName::Jetpack72) => {
            vec![HostProfile::Jetson]
        }
    }
}

fn read_specs(args: &ContainerArgs) -> anyhow::Result<CdiEdits> {
    let all = [ALL.to_owned()];
    let devices = if args.cdi_device.is_empty() { &all } else { args.cdi_device.as_slice() };
    let mut edits = CdiEdits::default();
    for spec in &args.cdi {
        let name = || format!("--cdi {}", spec.display());
        let text = read_spec(spec).with_context(name)?;
        let more = CdiEdits::parse(&text, devices).with_context(name)?;
        edits = edits.and(more).with_context(name)?;
    }
    Ok(edits)
}

fn read_spec(path: &Path) -> anyhow::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut text = Vec::new();
    std::fs::File::open(path)?.take(LARGEST_SPEC.saturating_add(1)).read_to_end(&mut text)?;
    if u64::try_from(text.len()).is_ok_and(|len| len > LARGEST_SPEC) {
        bail!("it has more than {LARGEST_SPEC} bytes");
    }
    Ok(text)
}
