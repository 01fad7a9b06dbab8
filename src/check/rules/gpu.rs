//! CRP500 to CRP510: whether a file has code for the GPUs of its target.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use crate::check::facts::Facts;
use crate::check::finding::Finding;
use crate::check::policy::{ArchPolicy, CheckPolicy, PtxPolicy};
use crate::check::releases::newest_cudart;
use crate::check::rule::{self, Rule, Severity};
use crate::cuda::{Capability, Code, CodeKind, Gpu, GpuCode, Runs, SHARED_SINCE, Stack, Variant, bytes_of};

/// Judges one file. One without kernels has nothing to judge.
pub(in crate::check) fn judge(policy: &CheckPolicy, shown: &Path, code: &GpuCode) -> Vec<Finding> {
    if policy.gpus.is_empty() {
        return Vec::new();
    }
    let mut findings = unknown(shown, code);
    findings.extend(fit(policy, shown, code));
    findings
}

/// Judges files that no loader reads. A cubin or PTX by itself is a kernel for one architecture, and a program takes what
/// fits from those beside it: such files of a directory are judged together.
pub(in crate::check) fn judge_files<'f>(
    policy: &CheckPolicy,
    files: impl Iterator<Item = (&'f Path, &'f GpuCode)>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    if policy.gpus.is_empty() {
        return findings;
    }
    let mut together: BTreeMap<&Path, Vec<(&Path, &GpuCode)>> = BTreeMap::new();
    for (shown, code) in files {
        if code.is_by_itself() {
            findings.extend(unknown(shown, code));
            together.entry(directory_of(shown)).or_default().push((shown, code));
        } else {
            findings.extend(judge(policy, shown, code));
        }
    }
    for (directory, files) in together {
        match files.as_slice() {
            [(shown, code)] => findings.extend(fit(policy, shown, code)),
            _ => {
                let shown = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
                let code = GpuCode::together(files.into_iter().map(|(_, code)| code.clone()));
                findings.extend(fit(policy, shown, &code));
            }
        }
    }
    findings
}

/// The directory of a file; one that is called like an architecture stands beside others.
fn directory_of(shown: &Path) -> &Path {
    let is_architecture = |name: &OsStr| {
        let name = name.to_str().unwrap_or_default();
        let number = name.strip_prefix("sm").or_else(|| name.strip_prefix("compute"));
        number.is_some_and(|number| number.trim_start_matches('_').parse::<Capability>().is_ok())
    };
    let mut directories = shown.ancestors().skip(1);
    let named = |directory: &&Path| !directory.file_name().is_some_and(is_architecture);
    directories.find(named).unwrap_or(Path::new(""))
}

/// CRP507, by place.
fn unknown(shown: &Path, code: &GpuCode) -> Vec<Finding> {
    let not_understood = code.places.iter().filter_map(|place| {
        let more = match place.problem_count() {
            0 | 1 => String::new(),
            all => format!(" ({} more)", all.saturating_sub(1)),
        };
        let (name, first) = (&place.name, place.problems.first()?);
        let message = format!("what GPU code {name} has is not known in full: {first}{more}");
        Some(Finding::new(&rule::FATBIN_UNPARSED, shown, name.to_string(), message))
    });
    not_understood.collect()
}

/// Everything else.
fn fit(policy: &CheckPolicy, shown: &Path, code: &GpuCode) -> Vec<Finding> {
    let finding = |rule: &'static Rule, about: String, message: String| Finding::new(rule, shown, about, message);
    let mut findings = Vec::new();
    if code.real().next().is_none() {
        return findings;
    }
    if code.real().all(|code| code.kind == CodeKind::LtoIr) {
        let message = format!("has {} only, which must be linked by nvJitLink before it runs", architectures(code));
        findings.push(finding(&rule::LTO_ONLY, String::new(), message));
        return findings;
    }
    for gpu in policy.targets() {
        let found = judge_for(policy, shown, code, gpu);
        let is_missing = found.iter().any(|finding| finding.rule == &rule::ARCH_MISSING);
        findings.extend(found);
        if let (all @ 1.., 0) = code.others_for(gpu)
            && !is_missing
        {
            let there = list(code.others());
            let message =
                format!("none of its {all} pieces of GPU code outside of fat binaries is for {gpu}, there is {there}");
            findings.push(finding(&rule::OTHERS_MISSING, gpu.to_string(), message));
        }
    }
    if policy.ptx == PtxPolicy::Require
        && let Some(highest) = policy.targets().max_by_key(|gpu| gpu.capability)
        && let Some(message) = lacks_ptx(code, highest)
    {
        findings.push(finding(&rule::PTX_MISSING, highest.to_string(), message));
    }
    findings.extend(extra(policy, code).map(|message| finding(&rule::ARCH_EXTRA, String::new(), message)));
    findings
}

/// CRP500 to CRP502 and CRP506, about one GPU.
fn judge_for(policy: &CheckPolicy, shown: &Path, code: &GpuCode, gpu: Gpu) -> Vec<Finding> {
    let finding = |rule: &'static Rule, message: String| Finding::new(rule, shown, gpu.to_string(), message);
    let unfit = match fitness(policy, code, gpu) {
        Fitness::Good => return Vec::new(),
        Fitness::ByFamily(found) => {
            let how = unpromised(gpu, found);
            let message = format!("runs on {gpu} through {}{how}{}", found.sm(), partly(code, gpu));
            Some(finding(&rule::ARCH_BY_FAMILY, message))
        }
        Fitness::Jit(found) => {
            let compiler = found.kind.compiler().unwrap_or_default();
            let needs = format!("JIT from {}, needs {compiler}{}", source(found), partly(code, gpu));
            let found = finding(&rule::ARCH_JIT_ONLY, format!("has no machine code for {gpu}: {needs}"));
            Some(if policy.arch == ArchPolicy::Ptx { found.no_worse_than(Severity::Note) } else { found })
        }
        Fitness::Missing(but) => {
            Some(finding(&rule::ARCH_MISSING, format!("has no code that is wanted for {gpu}: {but}")))
        }
        Fitness::Renamed => None,
    };
    let renamed = gpu.capability.renamed().filter(|other| matches!(code.runs_on((*other).into()), Runs::Exactly(_)));
    let renamed = renamed.map(|other| {
        let message = format!("has code for {other}, which is what {gpu} is called {}", when(other));
        finding(&rule::ARCH_RENAMED, message)
    });
    unfit.into_iter().chain(renamed).collect()
}

/// That machine code runs although the generation alone does not promise it.
fn unpromised(gpu: Gpu, found: Capability) -> String {
    match gpu.stack {
        _ if !gpu.mixes(found) => String::new(),
        Stack::Trusted => ", which --arch-policy generation trusts and NVIDIA does not promise".to_owned(),
        _ => format!(", which a Tegra's driver takes from CUDA {SHARED_SINCE} on"),
    }
}

/// Why machine code of the right generation does not count.
fn other_kind(code: &GpuCode, gpu: Gpu) -> String {
    let of_other_kind = |code: &Code| code.kind == CodeKind::Cubin && gpu.mixes(code.capability);
    let newest = code.real().filter(of_other_kind).map(|code| code.capability).max();
    match newest {
        Some(found) if found.is_tegra() => format!("; {} is for that Tegra alone", found.sm()),
        Some(found) => {
            let since =
                format!("; {} is for discrete GPUs, and a Tegra takes it from CUDA {SHARED_SINCE} on", found.sm());
            let hint = " (--host-cuda says what the target has)";
            format!("{since}{}", if gpu.stack == Stack::Unknown { hint } else { "" })
        }
        None => String::new(),
    }
}

/// Whether a GPU runs a file the way that is wanted.
enum Fitness {
    Good,
    ByFamily(Capability),
    Jit(Code),
    /// Under the other name of its chip only.
    Renamed,
    /// Not at all, and what there is instead.
    Missing(String),
}

fn fitness(policy: &CheckPolicy, code: &GpuCode, gpu: Gpu) -> Fitness {
    let is_exact = policy.arch == ArchPolicy::Exact;
    match code.runs_on(gpu) {
        Runs::Exactly(_) if is_exact && gpu.capability.variant != Variant::Common && !has_cubin(code, gpu) => {
            Fitness::Missing(format!("{} is missing, there is {}", gpu.capability.sm(), architectures(code)))
        }
        Runs::Exactly(_) => Fitness::Good,
        Runs::Family(found) if is_exact => {
            Fitness::Missing(format!("it runs through {}, which --arch-policy exact does not accept", found.sm()))
        }
        Runs::Renamed(found) if is_exact => {
            Fitness::Missing(format!("it is called {} here, which --arch-policy exact does not accept", found.sm()))
        }
        Runs::Jit(found) if is_exact => {
            Fitness::Missing(format!("JIT from {} is not accepted by --arch-policy exact", source(found)))
        }
        Runs::Jit(found) if policy.ptx == PtxPolicy::Ignore => {
            let other = other_kind(code, gpu);
            Fitness::Missing(format!("{} does not count with --ptx ignore{other}", source(found)))
        }
        Runs::Family(found) => Fitness::ByFamily(found),
        Runs::Jit(found) => Fitness::Jit(found),
        Runs::Renamed(_) => Fitness::Renamed,
        Runs::Not => Fitness::Missing(format!("missing, there is {}{}", architectures(code), other_kind(code, gpu))),
    }
}

fn has_cubin(code: &GpuCode, gpu: Gpu) -> bool {
    code.real().any(|code| code.kind == CodeKind::Cubin && code.capability.is_for(gpu.capability))
}

/// `compute_90 PTX`: what is compiled at run time.
fn source(found: Code) -> String {
    format!("{} {}", found.architecture(), found.kind.title().trim_end())
}

/// That some containers have nothing for a GPU: their kernels fail, or are for others on purpose.
fn partly(code: &GpuCode, gpu: Gpu) -> String {
    match code.containers_for(gpu) {
        (all, good) if good < all => format!(" ({good} of {all} fat binaries have code for it)"),
        _ => String::new(),
    }
}

/// `sm_80, sm_90a; PTX compute_90; LTO-IR compute_75`
fn architectures(code: &GpuCode) -> String {
    list(code.real())
}

fn list(code: impl Iterator<Item = Code>) -> String {
    let all: BTreeSet<Code> = code.collect();
    let mut text = String::new();
    for kind in CodeKind::ALL.iter().copied() {
        let names: Vec<String> = all.iter().filter(|code| code.kind == kind).map(|code| code.architecture()).collect();
        if !names.is_empty() {
            let separator = if text.is_empty() { "" } else { "; " };
            // Writing to a String cannot fail.
            let _ = write!(text, "{separator}{}{}", kind.title(), names.join(", "));
        }
    }
    text
}

fn when(other: Capability) -> &'static str {
    if other.major == 10 { "up to CUDA 12.9" } else { "since CUDA 13.0" }
}

/// Forward compatibility wants PTX that is as new as the machine code of the newest target.
fn lacks_ptx(code: &GpuCode, highest: Gpu) -> Option<String> {
    let wanted = match code.runs_on(highest) {
        Runs::Exactly(found) | Runs::Family(found) => found,
        Runs::Jit(found) => found.capability,
        Runs::Renamed(_) | Runs::Not => highest.capability,
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
    let unused = code.unused(&policy.targets().collect::<Vec<_>>());
    let names: Vec<String> = unused.keys().map(|code| code.architecture()).collect();
    let (bytes, all, names) = (bytes_of(&unused), bytes_of(&code.total()), names.join(", "));
    (!unused.is_empty()).then(|| format!("{bytes} of {all} bytes of GPU code are for what no target is: {names}"))
}

/// CRP509, about the closure.
pub(in crate::check) fn judge_closure(policy: &CheckPolicy, objects: &[Arc<Facts>]) -> Vec<Finding> {
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
