//! `cuda-runpath slim`

use std::path::Path;

use anyhow::{Context, bail};
use globset::GlobSet;

use super::args::{Format, Global, SlimArgs};
use super::exit::Status;
use super::{input, output, paths, progress, settings, signals, subject};
use crate::fsio::WriteMode;
use crate::report;
use crate::report::fix::Mode;
use crate::report::slim::SlimRun;
use crate::tree::{self, FixError, Root, SlimOutcome, SlimReport, SlimSettings, Workers, Writing};

pub(super) fn run(args: &SlimArgs, global: &Global) -> anyhow::Result<Status> {
    let mode = mode(args);
    if mode.writes() {
        signals::watch();
    }
    let slim_settings = settings::slim(args)?;
    let exclude = paths::exclude(&args.inputs)?;
    let source = input::host();
    let (mut roots, mut failures) = (Vec::new(), Vec::new());
    for root in paths::roots(&*source, &args.inputs)? {
        match root {
            Ok(root) => roots.push(root),
            Err(error) => failures.push(failed(&error.given, FixError::Walk(error.source))),
        }
    }
    let is_copying = slim_settings.writing == Writing::Files(WriteMode::Replace);
    let workers = Workers::new(if is_copying { settings::slimming_jobs(global) } else { settings::jobs(global) });
    let files = match &args.output {
        Some(target) => {
            if let Some(missing) = failures.first() {
                let SlimOutcome::Failed(error) = &missing.outcome else { bail!("cannot read it") };
                bail!("{}: {error}", missing.path.display());
            }
            let [original] = roots.as_slice() else { bail!("--output takes exactly one PATH") };
            copy(original, target, &slim_settings, (&exclude, &workers), global)?
        }
        None => {
            if mode.writes() {
                refuse_store_roots(&mut roots, &slim_settings, &mut failures);
            }
            let listing = tree::discover(&*source, &roots, &exclude, &workers);
            failures.extend(listing.failures.into_iter().map(|f| failed(&f.shown, FixError::Walk(f.error))));
            let bar = progress::bar(listing.files.len(), settings::shows_progress(global));
            let mut files = tree::slim(listing.files, &slim_settings, &workers, &|_| bar.inc(1));
            bar.finish_and_clear();
            files.extend(failures);
            files
        }
    };
    let mut files = files;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let SlimSettings { targets, compacts, .. } = slim_settings;
    let run = SlimRun { subject: subject::of_inputs(&args.inputs), mode, targets, compacts, files };
    print(&run, global).context("cannot write the report")?;
    Ok(status(args, &run))
}

/// A copy of a tree in which files with GPU code are slim from the start: what goes is never written.
fn copy(
    original: &Root,
    target: &Path,
    settings: &SlimSettings,
    (exclude, workers): (&GlobSet, &Workers),
    global: &Global,
) -> anyhow::Result<Vec<SlimReport>> {
    let is_excluded = |below: &Path| {
        let parts = below.ancestors().filter(|part| !part.as_os_str().is_empty());
        let mut all = parts.flat_map(|part| [Some(part), part.file_name().map(Path::new)]);
        all.any(|part| part.is_some_and(|part| exclude.is_match(part)))
    };
    let copied = tree::copy_tree(original, target, &settings.store, &|below, start| {
        tree::may_be_slimmed(start) && !is_excluded(below)
    })
    .with_context(|| format!("--output {}", target.display()))?;
    let bar = progress::bar(copied.later.len(), settings::shows_progress(global));
    let mut slimmed = tree::slim_copies(copied.later, settings, workers, &|_| bar.inc(1));
    bar.finish_and_clear();
    let source = input::host();
    let listing = tree::discover(&*source, &[copied.root], exclude, workers);
    let failures = listing.failures.into_iter().map(|f| failed(&f.shown, FixError::Walk(f.error)));
    let missing = copied.failures.into_iter().map(|error| failed(&error.path.clone(), FixError::File(error)));
    let failures = missing.chain(failures);
    let files = listing.files.into_iter().map(|found| slimmed.report(found));
    let reports = failures.chain(files).collect();
    copied.closed.open_up().context("the copy is not complete")?;
    Ok(reports)
}

fn mode(args: &SlimArgs) -> Mode {
    match args {
        SlimArgs { check: true, .. } => Mode::Check,
        SlimArgs { dry_run: true, .. } => Mode::DryRun,
        SlimArgs { output: Some(_), .. } => Mode::Output,
        SlimArgs { in_place: true, .. } => Mode::InPlace,
        _ => Mode::Replace,
    }
}

fn status(args: &SlimArgs, run: &SlimRun) -> Status {
    let is = |wanted: fn(&SlimOutcome) -> bool| run.files.iter().any(|report| wanted(&report.outcome));
    if is(|outcome| matches!(outcome, SlimOutcome::Failed(_))) {
        return Status::Failed;
    }
    let would_change = args.check && is(|outcome| matches!(outcome, SlimOutcome::Slimmed(..)));
    let finding = would_change || is(|outcome| matches!(outcome, SlimOutcome::WithoutCode(..)));
    if finding { Status::Findings } else { Status::Clean }
}

/// An argument in the store is refused as a whole, before anything is written.
fn refuse_store_roots(roots: &mut Vec<Root>, settings: &SlimSettings, failures: &mut Vec<SlimReport>) {
    roots.retain(|root| match settings.store.check_anchor(&root.anchor) {
        Ok(()) => true,
        Err(refusal) => {
            failures.push(failed(root.given.as_path(), FixError::Store(refusal)));
            false
        }
    });
}

fn failed(path: &Path, error: FixError) -> SlimReport {
    SlimReport { path: path.to_owned(), outcome: SlimOutcome::Failed(Box::new(error)) }
}

fn print(run: &SlimRun, global: &Global) -> anyhow::Result<()> {
    let mut out = output::stdout();
    match global.format {
        _ if global.is_json() => report::slim::json::print(run, global.verbose > 0, &mut out)?,
        Format::Html => report::slim::html::print(run, &mut out)?,
        Format::Markdown => report::slim::markdown::print(run, &mut out)?,
        _ => report::slim::human::print(&output::human(global), run, &mut out, &mut output::stderr())?,
    }
    Ok(())
}
