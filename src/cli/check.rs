//! `cuda-runpath check`

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};

use super::args::{ArchPolicyArg, CheckArgs, FailOn, Format, Global, GroupByArg, PtxPolicyArg};
use super::container::{self, Hosts};
use super::exit::Status;
use super::{input, output, paths, policy, settings, subject};
use crate::check::{
    Allowlist, ArchPolicy, Baseline, CheckReport, Date, Finding, PtxPolicy, Rule, Scope, Severity, rule::rule,
};
use crate::fsio;
use crate::report;
use crate::report::check::{CheckRun, GroupBy};
use crate::tree::{self, ContainerInput, Workers};

pub(super) fn run(args: &CheckArgs, global: &Global) -> anyhow::Result<Status> {
    let selected = Selection::of(args)?;
    let group_by = group_by(args.group_by, global)?;
    let allow = args.allow.as_deref().map(|file| read_allow(file).map(|list| (list, file))).transpose()?;
    let baseline = args.baseline.as_deref().map(read_baseline).transpose()?;
    let input = match input::of_check(args) {
        Ok(input) => input,
        Err(error) => match input::unreadable_image(args, &error) {
            Some(report) => return finish(report, args, global, (&selected, group_by, allow, baseline)),
            None => return Err(error),
        },
    };
    let hosts = Hosts::of(&args.container, &args.wanted, input.is_saved)?;
    if hosts.is_asked() && !matches!(input.scope, Scope::Image) {
        bail!("--cdi and --container are for an image: a saved one, or --root DIR");
    }
    let mut policy = policy::policy(&args.wanted, input.scope.clone())?;
    policy.require_consumer = args.require_consumer;
    policy.symbols = args.symbols;
    policy.keeps_searches = matches!(global.format, Format::Html) && !global.is_json();
    policy.gpus = settings::gpus("--arch", &args.arch)?;
    policy.arch = match args.arch_policy {
        ArchPolicyArg::Exact => ArchPolicy::Exact,
        ArchPolicyArg::Family => ArchPolicy::Family,
        ArchPolicyArg::Generation => ArchPolicy::Generation,
        ArchPolicyArg::Ptx => ArchPolicy::Ptx,
    };
    policy.ptx = match args.ptx {
        PtxPolicyArg::Require => PtxPolicy::Require,
        PtxPolicyArg::Accept => PtxPolicy::Accept,
        PtxPolicyArg::Ignore => PtxPolicy::Ignore,
    };
    if let Some(machine) = &args.machine {
        policy.machine = Some(settings::machine(machine)?);
    }
    let exclude = paths::exclude(&args.inputs)?;
    let environment = policy::environment(&args.wanted, &input.environment)?;
    if hosts.is_asked() && args.wanted.driver.is_empty() {
        // It is what the host mounts.
        policy.paths.elf64.driver.clear();
        policy.paths.elf32.driver.clear();
    }
    let host_root = container::host_root(&args.container)?;
    let workers = Workers::new(settings::jobs(global));
    let roots = input.roots();
    let leads_nowhere = !roots.is_empty() && roots.iter().all(Result::is_err);
    // A closure has the archives of its sources, too, and a list may name such files among others.
    let takes_archives = args.inputs.files_from.is_some() || matches!(input.scope, Scope::Closure(_));
    let roots = if takes_archives { roots } else { paths::refuse_packed(&*input.source, roots) };
    let listing = paths::listing_of(&*input.source, roots, &exclude, &workers);
    let report = if hosts.is_asked() {
        let container = ContainerInput {
            source: Arc::clone(&input.source),
            host: host_root,
            hosts: &|machine| hosts.of_machine(machine, &policy, &args.wanted),
            environment: &|added| policy::environment(&args.wanted, &[input.environment.as_slice(), added].concat()),
            must_run: hosts.is_named(),
        };
        tree::check_in_containers(listing, &container, &policy, &workers)?
    } else {
        tree::check(listing, input.world(), &policy, environment, &workers)
    };
    if leads_nowhere {
        report::check::human::print_unread(&output::human(global), &report, &mut output::stderr())?;
        // There is nothing to report on.
        return Ok(Status::Failed);
    }
    finish(report, args, global, (&selected, group_by, allow, baseline))
}

/// What is excused and what is wanted: everything else of how findings are told.
type Told<'t> = (&'t Selection, GroupBy, Option<(Allowlist, &'t Path)>, Option<Baseline>);

/// Excuses what is excused, and prints the rest.
fn finish(
    mut report: CheckReport,
    args: &CheckArgs,
    global: &Global,
    (selected, group_by, allow, baseline): Told<'_>,
) -> anyhow::Result<Status> {
    report::check::human::print_unread(&output::human(global), &report, &mut output::stderr())?;
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
    let status = status(&report, args.fail_on);
    let conclusion = status.conclusion(meaning(status, args.fail_on));
    let run = CheckRun { report, allowed, subject: subject::of_check(args), conclusion };
    if let Some(file) = &args.runtime_list {
        let mut out = Vec::new();
        report::check::runtime_list::print(&run, &mut out)?;
        fsio::put(file, &out, &settings::store(&[])).with_context(|| format!("cannot write {}", file.display()))?;
    }
    print(&run, group_by, global)?;
    Ok(status)
}

fn status(report: &CheckReport, fail_on: FailOn) -> Status {
    if !report.unread.is_empty() {
        return Status::Failed;
    }
    let limit = match fail_on {
        FailOn::Error => Severity::Error,
        FailOn::Warning => Severity::Warning,
        FailOn::Never => return Status::Clean,
    };
    let worst = report.findings.iter().map(|finding| finding.severity).max();
    if worst.is_some_and(|worst| worst >= limit) { Status::Findings } else { Status::Clean }
}

/// What the exit code says, in words.
fn meaning(status: Status, fail_on: FailOn) -> &'static str {
    match (status, fail_on) {
        (Status::Failed, _) => "something could not be read",
        (Status::Findings, FailOn::Error) => "there are errors",
        (Status::Findings, _) => "there are warnings or errors",
        (Status::Clean, FailOn::Error) => "there are no errors",
        (Status::Clean, FailOn::Warning) => "there are neither errors nor warnings",
        (Status::Clean, FailOn::Never) => "findings were not to change it",
    }
}

/// What findings stand under; with `-v` each is told.
fn group_by(asked: Option<GroupByArg>, global: &Global) -> anyhow::Result<GroupBy> {
    let is_human = matches!(global.format, Format::Human) && !global.is_json();
    if asked.is_some() && !is_human {
        bail!("--group-by is for people: every other format lists each finding");
    }
    Ok(match asked {
        None if global.verbose > 0 => GroupBy::Path,
        None => GroupBy::Many,
        Some(GroupByArg::Code) => GroupBy::Code,
        Some(GroupByArg::Path) => GroupBy::Path,
        Some(GroupByArg::Package) => GroupBy::Package,
    })
}

fn print(run: &CheckRun, group_by: GroupBy, global: &Global) -> anyhow::Result<()> {
    let mut out = output::stdout();
    match global.format {
        _ if global.is_json() => report::check::json::print(run, global.verbose > 0, &mut out)?,
        Format::OfCheck(format) => (format.print)(run, &mut out)?,
        Format::Html => report::check::html::print(run, &mut out)?,
        Format::Markdown => report::check::markdown::print(run, &mut out)?,
        Format::Human | Format::Json => {
            report::check::human::print(&output::human(global), run, group_by, &mut out)?;
        }
    }
    Ok(out.flush()?)
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
