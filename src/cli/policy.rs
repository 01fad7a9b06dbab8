//! Arguments of `check`, `explain` and `doctor` that say what is wanted.

use anyhow::{Context, bail};
use bstr::BString;

use super::args::{CompatPolicyArg, PlatformName, TargetArgs};
use super::{paths, settings};
use crate::check::{ArchPolicy, CheckPolicy, CompatPolicy, Platform, PtxPolicy, Scope};
use crate::cuda::DriverLibraries;
use crate::loader::Environment;
use crate::runpath::{Actions, Hygiene};

/// Everything that decides about findings.
pub(super) fn policy(wanted: &TargetArgs, scope: Scope) -> anyhow::Result<CheckPolicy> {
    let compat = paths::directories("--compat", &wanted.compat)?;
    let stubs = paths::directories("--stub", &wanted.stub)?;
    let actions = Actions::Compose { compat: true, driver: true, stubs: true };
    let paths = settings::policies(compat, &wanted.driver, stubs, actions, &Hygiene::default())?;
    let platform = wanted.platform.map(|name| match name {
        PlatformName::Nixos => Platform::Nixos,
        PlatformName::Jetpack5 => Platform::Jetpack5,
        PlatformName::Jetpack6 => Platform::Jetpack6,
        PlatformName::Jetpack7 => Platform::Jetpack7,
        PlatformName::Jetpack72 => Platform::Jetpack72,
        PlatformName::Sbsa => Platform::Sbsa,
    });
    Ok(CheckPolicy {
        platform,
        compat: match wanted.compat_policy {
            CompatPolicyArg::Require => CompatPolicy::Require,
            CompatPolicyArg::Prefer => CompatPolicy::Prefer,
            CompatPolicyArg::Forbid => CompatPolicy::Forbid,
            CompatPolicyArg::Auto => CompatPolicy::Auto,
        },
        paths,
        host_driver: wanted.host_driver.as_deref().map(str::parse).transpose().context("--host-driver")?,
        host_cuda: wanted.host_cuda.as_deref().map(str::parse).transpose().context("--host-cuda")?,
        machine: platform.and_then(Platform::machine),
        build_directories: settings::build_directories(),
        libraries: DriverLibraries::with(&wanted.driver_library)?,
        require_consumer: false,
        symbols: false,
        records: false,
        keeps_searches: false,
        gpus: Vec::new(),
        arch: ArchPolicy::default(),
        ptx: PtxPolicy::default(),
        scope,
        container: None,
    })
}

/// What `--env` says, over what an image says.
pub(super) fn environment(wanted: &TargetArgs, of_image: &[String]) -> anyhow::Result<Environment> {
    let mut environment = Environment::default();
    for assignment in of_image {
        match assignment.split_once('=') {
            Some(("LD_LIBRARY_PATH", value)) => environment.library_path = Some(BString::from(value)),
            Some(("LD_PRELOAD", value)) => environment.preload = Some(BString::from(value)),
            _ => {}
        }
    }
    for assignment in &wanted.env {
        match assignment.split_once('=') {
            Some(("LD_LIBRARY_PATH", value)) => environment.library_path = Some(BString::from(value)),
            Some(("LD_PRELOAD", value)) => environment.preload = Some(BString::from(value)),
            Some((name, _)) => {
                bail!("--env {name}: only LD_LIBRARY_PATH and LD_PRELOAD change what the loader finds")
            }
            None => bail!("--env {assignment}: expected LD_LIBRARY_PATH=DIRS or LD_PRELOAD=FILES"),
        }
    }
    Ok(environment)
}
