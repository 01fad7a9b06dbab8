//! `cuda-runpath doctor`

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;

use super::args::{DoctorArgs, Global};
use super::exit::Status;
use super::{output, paths, policy};
use crate::check::{RuntimeRequest, Scope, Severity, diagnose};
use crate::report;
use crate::report::check::runtime_list::{self, RuntimeEntry};
use crate::tree::{HostSource, SourceWorld};

pub(super) fn run(args: &DoctorArgs, global: &Global) -> anyhow::Result<Status> {
    let sysroot = paths::sysroot(args.wanted.root.as_deref())?;
    let policy = policy::policy(&args.wanted, Scope::Tree)?;
    let requests = match &args.runtime_list {
        None => Vec::new(),
        Some(file) => {
            let name = || format!("--runtime-list {}", file.display());
            let text = std::fs::read(file).with_context(name)?;
            let entries = runtime_list::read(&text).with_context(name)?.into_iter();
            let request = |entry: RuntimeEntry| RuntimeRequest {
                path: PathBuf::from(entry.path),
                class: entry.class,
                soname: entry.soname,
                is_needed: entry.is_needed,
            };
            entries.map(request).collect()
        }
    };
    let environment = policy::environment(&args.wanted, &[])?;
    let world = SourceWorld::new(Arc::new(HostSource::new(sysroot)), None);
    let found = diagnose(&world, &policy, &environment, &requests);
    let mut out = output::stdout();
    if global.is_json() {
        report::doctor::json::print(&found, &mut out)?;
    } else {
        report::doctor::human::print(&output::human(global), &found, &mut out)?;
    }
    let failed = found.iter().any(|diagnosis| diagnosis.severity == Some(Severity::Error));
    Ok(if failed { Status::Findings } else { Status::Clean })
}
