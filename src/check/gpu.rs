//! CRP500 to CRP509: whether a file has code for the GPUs of its target.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use super::compat::newest_cudart;
use super::facts::Facts;
use super::finding::Finding;
use super::policy::{ArchPolicy, CheckPolicy, PtxPolicy};
use super::rule::{self, Rule, Severity};
use crate::cuda::{Capability, Code, CodeKind, GpuCode, Runs, Variant};

/// Judges one file. One without kernels is none of anybody's business.
pub(super) fn judge(policy: &CheckPolicy, shown: &Path, code: &GpuCode) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |rule: &'static Rule, about: String, message: String| {
        findings.push(Finding::new(rule, shown, about, message));
    };
    for place in &code.places {
        if let Some(problem) = place.problems.first() {
            let others = u64::try_from(place.problems.len()).unwrap_or(0).saturating_add(place.more_problems);
            let more = match others {
                0 | 1 => String::new(),
                all => format!(" ({} more)", all.saturating_sub(1)),
            };
            let message = format!("what GPU code {} has is not known in full: {problem}{more}", place.name);
            find(&rule::FATBIN_UNPARSED, place.name.to_string(), message);
        }
    }
    if code.real().next().is_none() {
        return findings;
    }
    if code.real().all(|code| code.kind == CodeKind::LtoIr) {
        let list = architectures(code);
        find(
            &rule::LTO_ONLY,
            String::new(),
            format!("has {list} only, which must be linked by nvJitLink before it runs"),
        );
        return findings;
    }
    for gpu in &policy.gpus {
        let about = gpu.to_string();
        let renamed = gpu.renamed().filter(|other| matches!(code.runs_on(*other), Runs::Exactly(_)));
        match fitness(policy, code, *gpu) {
            Fitness::Good => continue,
            Fitness::ByFamily(found) => {
                find(
                    &rule::ARCH_BY_FAMILY,
                    about.clone(),
                    format!("runs on {gpu} through {}{}", found.sm(), partly(code, *gpu)),
                );
            }
            Fitness::Jit(found) => {
                let compute = found.compute();
                let message = format!(
                    "has no machine code for {gpu}: JIT from {compute} PTX, needs libnvidia-ptxjitcompiler{}",
                    partly(code, *gpu)
                );
                find(&rule::ARCH_JIT_ONLY, about.clone(), message);
            }
            Fitness::Missing(but) => {
                let message = format!("has no code that is wanted for {gpu}: {but}");
                find(&rule::ARCH_MISSING, about.clone(), message);
            }
        }
        if let Some(other) = renamed {
            let message = format!("has code for {other}, which is what {gpu} is called {}", when(other));
            find(&rule::ARCH_RENAMED, about, message);
        }
    }
    if policy.ptx == PtxPolicy::Require
        && let Some(highest) = policy.gpus.iter().max()
        && let Some(message) = lacks_ptx(code, *highest)
    {
        find(&rule::PTX_MISSING, highest.to_string(), message);
    }
    if let Some(message) = extra(policy, code) {
        find(&rule::ARCH_EXTRA, String::new(), message);
    }
    if policy.arch == ArchPolicy::Ptx {
        let is_jit = |finding: &Finding| finding.rule == &rule::ARCH_JIT_ONLY;
        return findings.into_iter().map(|f| if is_jit(&f) { f.no_worse_than(Severity::Note) } else { f }).collect();
    }
    findings
}

/// Whether a GPU runs a file the way that is wanted.
enum Fitness {
    Good,
    ByFamily(Capability),
    Jit(Capability),
    /// Not at all, and what there is instead.
    Missing(String),
}

fn fitness(policy: &CheckPolicy, code: &GpuCode, gpu: Capability) -> Fitness {
    let is_exact = policy.arch == ArchPolicy::Exact;
    match code.runs_on(gpu) {
        Runs::Exactly(_) if is_exact && gpu.variant != Variant::Common && !has_cubin(code, gpu) => {
            Fitness::Missing(format!("{} is missing, there is {}", gpu.sm(), architectures(code)))
        }
        Runs::Exactly(_) => Fitness::Good,
        Runs::Family(found) if is_exact => {
            Fitness::Missing(format!("it runs through {}, which --arch-policy exact does not accept", found.sm()))
        }
        Runs::Jit(found) if is_exact => {
            Fitness::Missing(format!("JIT from {} PTX is not accepted by --arch-policy exact", found.compute()))
        }
        Runs::Jit(found) if policy.ptx == PtxPolicy::Ignore => {
            Fitness::Missing(format!("{} PTX does not count with --ptx ignore", found.compute()))
        }
        Runs::Family(found) => Fitness::ByFamily(found),
        Runs::Jit(found) => Fitness::Jit(found),
        Runs::Not => Fitness::Missing(format!("missing, there is {}", architectures(code))),
    }
}

fn has_cubin(code: &GpuCode, gpu: Capability) -> bool {
    code.real().any(|code| code.kind == CodeKind::Cubin && code.capability == gpu)
}

/// That some containers have nothing for a GPU: their kernels fail, or are for others on purpose.
fn partly(code: &GpuCode, gpu: Capability) -> String {
    match code.containers_for(gpu) {
        (all, good) if good < all => format!(" ({good} of {all} fat binaries have code for it)"),
        _ => String::new(),
    }
}

/// `sm_80, sm_90a; PTX compute_90; LTO-IR compute_75`
fn architectures(code: &GpuCode) -> String {
    let all: BTreeSet<Code> = code.real().collect();
    let mut text = String::new();
    for (kind, title) in [(CodeKind::Cubin, ""), (CodeKind::Ptx, "PTX "), (CodeKind::LtoIr, "LTO-IR ")] {
        let names: Vec<String> = all.iter().filter(|code| code.kind == kind).map(|code| code.architecture()).collect();
        if !names.is_empty() {
            let separator = if text.is_empty() { "" } else { "; " };
            // Writing to a String cannot fail.
            let _ = write!(text, "{separator}{title}{}", names.join(", "));
        }
    }
    text
}

fn when(other: Capability) -> &'static str {
    if other.major == 10 { "up to CUDA 12.9" } else { "since CUDA 13.0" }
}

/// Forward compatibility wants PTX that is as new as the machine code of the newest target.
fn lacks_ptx(code: &GpuCode, highest: Capability) -> Option<String> {
    let wanted = match code.runs_on(highest) {
        Runs::Exactly(found) | Runs::Family(found) | Runs::Jit(found) => found,
        Runs::Not => highest,
    };
    let wanted = Capability { variant: Variant::Common, ..wanted };
    match code.newest_ptx() {
        Some(ptx) if ptx >= wanted => None,
        Some(ptx) => {
            let (ptx, wanted) = (ptx.compute(), wanted.compute());
            Some(format!("GPUs newer than {highest} would get {ptx} PTX, older than the {wanted} of its machine code"))
        }
        None => Some(format!("has no PTX that GPUs newer than {highest} could run")),
    }
}

fn extra(policy: &CheckPolicy, code: &GpuCode) -> Option<String> {
    let unused = code.unused(&policy.gpus);
    if unused.count == 0 {
        return None;
    }
    let total = code.total();
    let is_unused = |code: &&Code| !policy.gpus.iter().any(|gpu| code.serves(*gpu));
    let names: Vec<String> = total.keys().filter(is_unused).map(|code| code.architecture()).collect();
    let all: u64 = total.values().fold(0, |sum, tally| sum.saturating_add(tally.bytes));
    let (unused, names) = (unused.bytes, names.join(", "));
    Some(format!("{unused} of {all} bytes of GPU code are for what no target is: {names}"))
}

/// CRP509, about the closure.
pub(super) fn judge_closure(policy: &CheckPolicy, objects: &[Arc<Facts>]) -> Vec<Finding> {
    let Some((release, at)) = newest_cudart(objects) else { return Vec::new() };
    let outside = policy.gpus.iter().filter_map(|gpu| {
        let (first, last) = gpu.releases()?;
        let range = match last {
            Some(last) if release > last => format!("{first} to {last}"),
            _ if release < first => format!("{first} and later"),
            _ => return None,
        };
        let message = format!("{at} is of CUDA {release}; code for {gpu} takes {range}");
        Some(Finding::new(&rule::ARCH_OUTSIDE_TOOLKIT, "".as_ref(), gpu.to_string(), message))
    });
    outside.collect()
}
