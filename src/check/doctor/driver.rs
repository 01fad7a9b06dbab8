//! The driver directory by itself: what its libcuda does not find, and what lies there that is not the driver's.

use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};

use super::diagnosis::Diagnosis;
use crate::check::context::Context;
use crate::check::facts::Facts;
use crate::check::rule::Severity;
use crate::check::rules::compat;
use crate::cuda::is_of_toolchain;
use crate::loader::{Ask, Environment, Loader, MOST_PLACES, Patience, Process, StepSource};

/// What a libcuda, opened under a path, opens for itself: with this machine's loader, since no program is meant.
pub(super) fn companions(
    context: &Context<'_>,
    environment: &Environment,
    (subject, opened): (&str, &BStr),
    libcuda: &Arc<Facts>,
) -> Vec<Diagnosis> {
    let Some(system) = context.system_of(libcuda) else { return Vec::new() };
    let patience = Patience::of(MOST_PLACES);
    let loader = Loader { files: context.world, system, environment, patience: &patience };
    let process = Process::opened(Arc::clone(&libcuda.object), opened.to_owned());
    let missing = compat::unreachable_companions(&loader, &process, 0, libcuda);
    let mut found: Vec<Diagnosis> = Vec::new();
    let (mut own, mut by_system) = (Vec::new(), Vec::new());
    for companion in &libcuda.companions {
        let search = loader.search(&process, 0, Ask::Dlopen, companion.name.as_bytes().as_bstr());
        match search.hit().map(|hit| &hit.source) {
            None => {}
            Some(StepSource::Cache | StepSource::Default) => by_system.push(companion.name.as_str()),
            Some(_) => own.push(companion.name.as_str()),
        }
    }
    if !own.is_empty() {
        found.push(Diagnosis::fine(subject, format!("finds {}", own.join(", "))));
    }
    if !by_system.is_empty() {
        let (list, loader) = (by_system.join(", "), &system.interpreter);
        let detail =
            format!("finds {list} only with {loader}; a program with a loader of its own, such as Nix's, may not");
        found.push(Diagnosis::say(subject, Severity::Note, detail));
    }
    found.extend(missing.into_iter().map(|finding| Diagnosis {
        severity: Some(finding.severity),
        ..Diagnosis::finding(subject, finding.rule, format!("{} {}", libcuda.object.path, finding.message()))
    }));
    found
}

/// Libraries of the C library and of the compiler in a driver directory. Where the directory is one that this machine's
/// loader searches anyway, its own programs get the same ones.
pub(super) fn foreign(
    context: &Context<'_>,
    subject: &str,
    directory: &BStr,
    names: &[BString],
    libcuda: &Facts,
) -> Option<Diagnosis> {
    let foreign: Vec<String> = names.iter().filter(|name| is_of_toolchain(name)).map(ToString::to_string).collect();
    if foreign.is_empty() {
        return None;
    }
    let (rule, case) = compat::shadows(&foreign);
    let diagnosis = Diagnosis::finding(subject, rule, format!("{directory} {case}"));
    let is_default = context
        .system_of(libcuda)
        .is_some_and(|system| system.default_directories.iter().any(|default| default.as_bstr() == directory));
    Some(if is_default { Diagnosis { severity: Some(Severity::Warning), ..diagnosis } } else { diagnosis })
}
