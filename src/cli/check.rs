//! `cuda-runpath check`

use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};

use super::against::{self, OtherRelease};
use super::args::{CheckArgs, FailOn, Format, Global, GroupByArg};
use super::exit::Status;
use super::judge::{self, Judged, judge};
use super::{input, output, settings, signals, subject};
use crate::check::{
    self, Allowlist, Baseline, CheckReport, Date, Finding, KnownFindings, Rule, Severity, Snapshot, rule::rule,
};
use crate::fsio;
use crate::report;
use crate::report::against::ComparedRun;
use crate::report::check::{CheckRun, GroupBy};

pub(super) fn run(args: &CheckArgs, global: &Global) -> anyhow::Result<Status> {
    let selected = Selection::of(args)?;
    let group_by = group_by(args.group_by, global)?;
    let allow = args.allow.as_deref().map(|file| read_allow(file).map(|list| (list, file))).transpose()?;
    let baseline = args.baseline.as_deref().map(read_baseline).transpose()?;
    let records = args.against.is_some() || (global.is_json() && global.verbose > 0);
    let told = (&selected, group_by, allow, baseline);
    let input = match input::of_check(args) {
        Ok(input) => input,
        Err(error) => match judge::unreadable(args, &error)? {
            Some(judged) => return finish(judged, None, args, global, told),
            None => return Err(error),
        },
    };
    // The other release goes first: of it only what is compared is kept.
    let is_image = input.is_saved;
    let other = args.against.as_deref().map(|old| against::other_release(old, is_image, args, global)).transpose()?;
    let judged = judge(&input, args, global, (records, args.inputs.files_from.is_some()))?;
    if judged.leads_nowhere {
        report::check::human::print_unread(&output::human(global), &judged.report, &mut output::stderr())?;
        // There is nothing to report on.
        return Ok(Status::Failed);
    }
    finish(judged, other, args, global, told)
}

/// What is excused and what is wanted: everything else of how findings are told.
type Told<'t> = (&'t Selection, GroupBy, Option<(Allowlist, &'t Path)>, Option<Baseline>);

/// Excuses what is excused, and prints the rest.
fn finish(
    judged: Judged,
    other: Option<OtherRelease>,
    args: &CheckArgs,
    global: &Global,
    (selected, group_by, allow, baseline): Told<'_>,
) -> anyhow::Result<Status> {
    let Judged { mut report, setting, policy, .. } = judged;
    report::check::human::print_unread(&output::human(global), &report, &mut output::stderr())?;
    let new = other.as_ref().map(|_| Snapshot::of(&report, setting.clone())).unwrap_or_default();
    let mut compared = other.as_ref().map(|other| check::against(&other.snapshot, &new, &policy));
    let known = compared.as_mut().map(|compared| {
        report.findings.append(&mut compared.findings);
        KnownFindings::of(compared.still.iter().filter_map(|index| report.findings.get(*index)))
    });
    report.findings.sort_by(|a, b| (&a.path, a.rule.code, &a.about).cmp(&(&b.path, b.rule.code, &b.about)));
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
    // What the other release has as well is neither new nor worse, excused or not.
    let mut still = Vec::new();
    if let Some(known) = known {
        still.extend(report.findings.extract_if(.., |finding| known.has(finding)));
        allowed.retain(|allowed| !known.has(&allowed.finding));
    }
    if let Some(compared) = &mut compared {
        compared.gone.retain(|gone| selected.has_code(&gone.code));
    }
    let is_read = other.as_ref().is_none_or(|other| other.is_read);
    let status = if is_read { status(&report, args.fail_on) } else { Status::Failed };
    let conclusion = status.conclusion(meaning(status, args.fail_on));
    let run = CheckRun { report, allowed, setting, subject: subject::of_check(args), conclusion };
    if let Some(file) = &args.runtime_list {
        signals::watch();
        let mut out = Vec::new();
        report::check::runtime_list::print(&run, &mut out)?;
        fsio::put(file, &out, &settings::store(&[])).with_context(|| format!("cannot write {}", file.display()))?;
    }
    match compared {
        None => print(&run, group_by, global)?,
        Some(comparison) => print_compared(&ComparedRun { run, comparison, still }, group_by, global)?,
    }
    Ok(status)
}

fn print_compared(run: &ComparedRun<'_>, group_by: GroupBy, global: &Global) -> anyhow::Result<()> {
    let mut out = output::stdout();
    match global.format {
        _ if global.is_json() => report::against::json::print(run, &mut out)?,
        // These list findings: what is new and what is worse.
        Format::OfCheck(format) => (format.print)(&run.run, &mut out)?,
        Format::Html => report::against::html::print(run, &mut out)?,
        Format::Markdown => report::against::markdown::print(run, &mut out)?,
        Format::Human | Format::Json => {
            report::against::human::print(&output::human(global), run, group_by, &mut out)?;
        }
    }
    Ok(out.flush()?)
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

    /// The same of a finding of another release, which may have a code that this one does not know.
    fn has_code(&self, code: &str) -> bool {
        let is_one_of = |rules: &[&Rule]| rules.iter().any(|rule| rule.code == code);
        (self.only.is_empty() || is_one_of(&self.only)) && !is_one_of(&self.skip)
    }

    fn has(&self, finding: &Finding) -> bool {
        (self.only.is_empty() || self.only.contains(&finding.rule)) && !self.skip.contains(&finding.rule)
    }
}
