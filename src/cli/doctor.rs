//! `cuda-runpath doctor`

use std::path::PathBuf;

use anyhow::Context;

use super::args::{DoctorArgs, Global, PlatformName};
use super::exit::Status;
use super::{output, policy};
use crate::check::{Scope, Severity, Target, Wish, diagnose};
use crate::report;
use crate::report::check::runtime_list::{self, RuntimeEntry};
use crate::tree::Machine;

pub(super) fn run(args: &DoctorArgs, global: &Global) -> anyhow::Result<Status> {
    let root = policy::root(args.wanted.root.as_deref())?;
    let policy = policy::policy(&args.wanted, Scope::Tree)?;
    let wishes = match &args.runtime_list {
        None => Vec::new(),
        Some(file) => {
            let name = || format!("--runtime-list {}", file.display());
            let text = std::fs::read(file).with_context(name)?;
            let entries = runtime_list::read(&text).with_context(name)?.into_iter();
            let wish = |entry: RuntimeEntry| Wish {
                path: PathBuf::from(entry.path),
                class: entry.class,
                soname: entry.soname,
                is_needed: entry.is_needed,
            };
            entries.map(wish).collect()
        }
    };
    let is_jetson =
        matches!(args.wanted.platform, Some(PlatformName::Jetpack5 | PlatformName::Jetpack6 | PlatformName::Jetpack7));
    let target = Target {
        driver_64: policy.paths_64.driver.clone(),
        driver_32: policy.paths_32.driver.clone(),
        compat: policy.paths_64.compat.clone(),
        is_jetson,
        host_driver: policy.host_driver.clone(),
        wishes,
    };
    let found = diagnose(&Machine::new(root, None), &target);
    let mut out = output::stdout();
    if global.is_json() {
        report::doctor::json::print(&found, &mut out)?;
    } else {
        report::doctor::human::print(&output::human(global), &found, &mut out)?;
    }
    let failed = found.iter().any(|diagnosis| diagnosis.severity == Some(Severity::Error));
    Ok(if failed { Status::Findings } else { Status::Clean })
}
