//! Arguments of `check`, `explain` and `doctor` that say what is wanted.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use bstr::BString;

use super::args::{CompatWish, PlatformName, Wanted};
use super::settings;
use crate::check::{ArchPolicy, CheckPolicy, CompatPolicy, Platform, PtxPolicy, Scope};
use crate::cuda::DriverLibraries;
use crate::loader::Environment;
use crate::runpath::{Actions, Hygiene};

/// Everything that decides about findings.
pub(super) fn policy(wanted: &Wanted, scope: Scope) -> anyhow::Result<CheckPolicy> {
    let compat = settings::directories("--compat", &wanted.compat)?;
    let stubs = settings::directories("--stub", &wanted.stub)?;
    let actions = Actions::Compose { compat: true, driver: true, stubs: true };
    let (paths_64, paths_32) = settings::policies(compat, &wanted.driver, stubs, actions, &Hygiene::default())?;
    let platform = wanted.platform.map(|name| match name {
        PlatformName::Nixos => Platform::Nixos,
        PlatformName::Jetpack5 => Platform::Jetpack5,
        PlatformName::Jetpack6 => Platform::Jetpack6,
        PlatformName::Jetpack7 => Platform::Jetpack7,
        PlatformName::Sbsa => Platform::Sbsa,
    });
    Ok(CheckPolicy {
        platform,
        compat: match wanted.compat_policy {
            CompatWish::Require => CompatPolicy::Require,
            CompatWish::Prefer => CompatPolicy::Prefer,
            CompatWish::Forbid => CompatPolicy::Forbid,
            CompatWish::Auto => CompatPolicy::Auto,
        },
        paths_64,
        paths_32,
        host_driver: wanted.host_driver.as_deref().map(str::parse).transpose().context("--host-driver")?,
        machine: platform.and_then(Platform::machine),
        build_directories: settings::build_directories(),
        libraries: DriverLibraries::with(&wanted.driver_library)?,
        require_consumer: false,
        gpus: Vec::new(),
        arch: ArchPolicy::default(),
        ptx: PtxPolicy::default(),
        scope,
    })
}

/// What `--env` says.
pub(super) fn environment(wanted: &Wanted) -> anyhow::Result<Environment> {
    let mut environment = Environment::default();
    for assignment in &wanted.env {
        match assignment.split_once('=') {
            Some(("LD_LIBRARY_PATH", value)) => environment.library_path = Some(BString::from(value)),
            Some((name, _)) => bail!("--env {name}: only LD_LIBRARY_PATH changes what the loader finds"),
            None => bail!("--env {assignment}: expected LD_LIBRARY_PATH=DIRS"),
        }
    }
    Ok(environment)
}

/// The image's root, resolved.
pub(super) fn root(root: Option<&Path>) -> anyhow::Result<Option<PathBuf>> {
    let resolve = |root: &Path| {
        let real = root.canonicalize().with_context(|| format!("--root {}", root.display()))?;
        if !real.is_dir() {
            bail!("--root {}: not a directory", root.display());
        }
        Ok(real)
    };
    root.map(resolve).transpose()
}

/// The image's name for a path: one of this machine that lies in the image, or else one of the image itself.
pub(super) fn in_image(path: &Path, root: Option<&Path>) -> PathBuf {
    let Some(root) = root else { return path.to_owned() };
    let here = std::path::absolute(path).ok();
    let below = here.as_deref().and_then(|here| here.strip_prefix(root).ok());
    Path::new("/").join(below.unwrap_or(path))
}
