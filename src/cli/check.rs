//! `cuda-runpath check`

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use bstr::ByteSlice;

use super::args::{ArchWish, CheckArgs, FailOn, Format, Global, PtxWish};
use super::exit::Status;
use super::{output, policy, settings};
use crate::check::{
    Allowlist, ArchPolicy, Baseline, Closure, Date, Finding, PtxPolicy, Rule, Scope, Severity, rule::rule,
};
use crate::fsio;
use crate::report;
use crate::report::check::CheckRun;
use crate::tree::{self, Machine, Root, Workers};

pub(super) fn run(args: &CheckArgs, global: &Global) -> anyhow::Result<Status> {
    let selected = Selection::of(args)?;
    let allow = args.allow.as_deref().map(|file| read_allow(file).map(|list| (list, file))).transpose()?;
    let baseline = args.baseline.as_deref().map(read_baseline).transpose()?;
    let root = policy::root(args.wanted.root.as_deref())?;
    let (paths, scope) = inputs(args, root.as_deref())?;
    let within = match &scope {
        Scope::Closure(closure) => Some(closure.paths.clone()),
        Scope::Tree | Scope::Image => None,
    };
    let mut policy = policy::policy(&args.wanted, scope)?;
    policy.require_consumer = args.require_consumer;
    policy.gpus = settings::gpus("--arch", &args.arch)?;
    policy.arch = match args.arch_policy {
        ArchWish::Exact => ArchPolicy::Exact,
        ArchWish::Family => ArchPolicy::Family,
        ArchWish::Ptx => ArchPolicy::Ptx,
    };
    policy.ptx = match args.ptx {
        PtxWish::Require => PtxPolicy::Require,
        PtxWish::Accept => PtxPolicy::Accept,
        PtxWish::Ignore => PtxPolicy::Ignore,
    };
    if let Some(machine) = &args.machine {
        policy.machine = Some(settings::machine(machine)?);
    }
    let exclude = settings::exclude(&args.inputs)?;
    let mut roots = Vec::with_capacity(paths.len());
    for path in &paths {
        let found = Root::resolve(&on_disk(path, root.as_deref())?).map_err(|error| error.source);
        roots.push(found.with_context(|| format!("cannot resolve {}", path.display()))?);
    }
    let machine = Machine::new(root, within);
    let environment = policy::environment(&args.wanted)?;
    let workers = Workers::new(settings::jobs(global));
    let listing = tree::discover(&roots, &exclude, &workers);
    let mut report = tree::check(listing, machine, &policy, environment, &workers);
    let mut allowed = Vec::new();
    // A row is unused when nothing was there to excuse, not when something else hides it: the allowlist comes first.
    if let Some((list, file)) = allow {
        let (kept, excused) = list.apply(std::mem::take(&mut report.findings), file, today());
        report.findings = kept;
        allowed.extend(excused);
    }
    if let Some(baseline) = baseline {
        let (kept, known) = baseline.apply(std::mem::take(&mut report.findings));
        report.findings = kept;
        allowed.extend(known);
    }
    report.findings.retain(|finding| selected.has(finding));
    allowed.retain(|allowed| selected.has(&allowed.finding));
    let run = CheckRun { report, allowed };
    if let Some(file) = &args.runtime_list {
        let mut out = Vec::new();
        report::check::runtime_list::print(&run, &mut out)?;
        std::fs::write(file, out).with_context(|| format!("cannot write {}", file.display()))?;
    }
    print(&run, global).or_else(output::ignore_closed_pipe)?;
    Ok(status(&run, args.fail_on))
}

fn status(run: &CheckRun, fail_on: FailOn) -> Status {
    let limit = match fail_on {
        FailOn::Error => Severity::Error,
        FailOn::Warning => Severity::Warning,
        FailOn::Never => return Status::Clean,
    };
    if run.worst().is_some_and(|worst| worst >= limit) { Status::Findings } else { Status::Clean }
}

fn print(run: &CheckRun, global: &Global) -> anyhow::Result<()> {
    let mut out = output::stdout();
    let format = if global.json { Format::Json } else { global.format };
    match format {
        Format::Human => report::check::human::print(&output::human(global), run, &mut out)?,
        Format::Json => report::check::json::print(run, global.verbose > 0, &mut out)?,
        Format::Sarif => report::check::sarif::print(run, &mut out)?,
        Format::Junit => report::check::junit::print(run, &mut out)?,
        Format::Github => report::check::github::print(run, &mut out)?,
    }
    Ok(out.flush()?)
}

/// Where to walk: links of an image lead into the image.
fn on_disk(path: &Path, root: Option<&Path>) -> anyhow::Result<PathBuf> {
    if root.is_none() {
        return Ok(path.to_owned());
    }
    let found = fsio::resolve(path, root).with_context(|| format!("cannot find {} in the image", path.display()))?;
    Ok(fsio::host_path(&found, root))
}

/// What to walk, and what it is part of.
fn inputs(args: &CheckArgs, root: Option<&Path>) -> anyhow::Result<(Vec<PathBuf>, Scope)> {
    if let Some(list) = &args.closure_from {
        let closure = read_closure(list, args.attrs_key.as_deref())?;
        return Ok((to_walk(&closure, root), Scope::Closure(closure)));
    }
    // clap does not ask for what conflicts with a PATH.
    if args.attrs_key.is_some() {
        bail!("--attrs-key names an attribute of the file of --closure-from");
    }
    let mut paths = args.inputs.paths.clone();
    if let Some(list) = &args.inputs.files_from {
        paths.extend(settings::read_list(list, args.inputs.null)?);
    }
    if paths.is_empty() {
        match (&args.inputs.files_from, root) {
            (Some(_), _) => {}
            (None, Some(_)) => paths.push(PathBuf::from("/")),
            (None, None) => bail!("no PATH given; name files or directories, or use --closure-from or --root"),
        }
    }
    if args.closure {
        let closure = nix_closure(&paths)?;
        return Ok((to_walk(&closure, None), Scope::Closure(closure)));
    }
    let scope = if root.is_some() { Scope::Image } else { Scope::Tree };
    Ok((paths.iter().map(|path| policy::in_image(path, root)).collect(), scope))
}

/// The store paths. What one that is a link leads to is a store path too, or no part of the closure.
fn to_walk(closure: &Closure, root: Option<&Path>) -> Vec<PathBuf> {
    let paths = closure.paths.iter().map(|path| PathBuf::from(std::ffi::OsStr::from_bytes(path)));
    paths.filter(|path| !fsio::host_path(path, root).is_symlink()).collect()
}

fn read_closure(file: &Path, key: Option<&str>) -> anyhow::Result<Closure> {
    let name = || format!("--closure-from {}", file.display());
    let text = std::fs::read(file).with_context(name)?;
    Closure::parse(&text, key).with_context(name)
}

/// Asks Nix for the closure of the store paths that the arguments lie in.
fn nix_closure(paths: &[PathBuf]) -> anyhow::Result<Closure> {
    let mut real = Vec::with_capacity(paths.len());
    for path in paths {
        real.push(path.canonicalize().with_context(|| format!("cannot resolve {}", path.display()))?);
    }
    let all = nix_store(&["--query", "--requisites"], &real)?;
    let all: BTreeSet<PathBuf> = all.lines().map(|line| PathBuf::from(std::ffi::OsStr::from_bytes(line))).collect();
    // The registration also has who refers to whom.
    let registration = nix_store(&["--dump-db"], &all.into_iter().collect::<Vec<_>>())?;
    Closure::parse(&registration, None).context("what nix-store --dump-db printed")
}

fn nix_store(arguments: &[&str], paths: &[PathBuf]) -> anyhow::Result<Vec<u8>> {
    let output = Command::new("nix-store").args(arguments).arg("--").args(paths).output();
    let output = output.context("--closure needs nix-store; --closure-from reads a list without it")?;
    if !output.status.success() {
        bail!("nix-store {}: {}", arguments.join(" "), output.stderr.trim_ascii().as_bstr());
    }
    Ok(output.stdout)
}

fn read_allow(file: &Path) -> anyhow::Result<Allowlist> {
    let name = || format!("--allow {}", file.display());
    let text = std::fs::read_to_string(file).with_context(name)?;
    Allowlist::parse(&text).with_context(name)
}

fn read_baseline(file: &Path) -> anyhow::Result<Baseline> {
    let name = || format!("--baseline {}", file.display());
    let text = std::fs::read(file).with_context(name)?;
    Baseline::parse(&text).context("is no document of cuda-runpath check --json").with_context(name)
}

fn today() -> Date {
    let today = time::OffsetDateTime::now_utc().date();
    (u16::try_from(today.year()).unwrap_or(u16::MAX), today.month().into(), today.day())
}

/// The findings that are wanted.
struct Selection {
    only: Vec<&'static Rule>,
    skip: Vec<&'static Rule>,
}

impl Selection {
    fn of(args: &CheckArgs) -> anyhow::Result<Self> {
        let rules = |option: &str, names: &[String]| {
            let find = |name: &String| {
                rule(name).with_context(|| format!("{option} {name}: no such finding; see cuda-runpath rules"))
            };
            names.iter().map(find).collect::<anyhow::Result<Vec<_>>>()
        };
        Ok(Self { only: rules("--only", &args.only)?, skip: rules("--skip", &args.skip)? })
    }

    fn has(&self, finding: &Finding) -> bool {
        (self.only.is_empty() || self.only.contains(&finding.rule)) && !self.skip.contains(&finding.rule)
    }
}
