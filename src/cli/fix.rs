//! `cuda-runpath fix`

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, bail};
use bstr::ByteSlice;

use super::args::{FixArgs, Global};
use super::exit::Status;
use super::{input, output, paths, progress, settings, signals};
use crate::elf::units::len64;
use crate::fsio::{self, WriteMode};
use crate::report;
use crate::report::fix::{CopyNotes, FixRun, Mode, Receipt, RevertReport, Reverted};
use crate::tree::{
    self, FileReport, FixError, FixSettings, Found, Outcome, Root, Scripts, Signatures, Workers, Writing,
};

pub(super) fn run(args: &FixArgs, global: &Global) -> anyhow::Result<Status> {
    if let Some(receipt) = &args.revert {
        return revert(receipt, &args.build_output, global);
    }
    if mode(args).writes() {
        signals::watch();
    }
    let mut fix_settings = settings::fix(args)?;
    let exclude = paths::exclude(&args.inputs)?;
    let source = input::host();
    let (mut roots, mut failures) = resolve(paths::roots(&*source, &args.inputs)?);
    let copied = match &args.output {
        None => None,
        Some(target) => {
            if let Some(missing) = failures.first() {
                bail!("{}: {}", missing.path.display(), report::fix::human::reason(missing));
            }
            let [original] = roots.as_slice() else { bail!("--output takes exactly one PATH") };
            let original = original.clone();
            let copied = tree::copy_tree(&original, target, &fix_settings.store, &|_, _| false)
                .with_context(|| format!("--output {}", target.display()))?;
            roots = vec![copied.root];
            failures
                .extend(copied.failures.into_iter().map(|error| failed(&error.path.clone(), FixError::File(error))));
            fix_settings.only_made = Some(copied.made);
            Some((original, copied.links, copied.closed))
        }
    };
    if mode(args).writes() {
        refuse_store_roots(&mut roots, &fix_settings, &mut failures);
    }
    let receipt = args.receipt.as_deref().map(|path| ReceiptFile::create(path, &fix_settings)).transpose()?;
    let is_copying = fix_settings.writing == Writing::Files(WriteMode::Replace);
    let jobs = if is_copying { settings::copying_jobs(global) } else { settings::jobs(global) };
    let workers = Workers::new(jobs);
    let mut listing = tree::discover(&*source, &roots, &exclude, &workers);
    if fix_settings.only_consumers || fix_settings.count_consumers {
        fix_settings.scripts = Scripts::of(&*source, &listing.files, &fix_settings.libraries, &workers);
    }
    fix_settings.signatures = Signatures::among(&listing);
    let only = paths::globs("--only", &args.only)?;
    if !only.is_empty() {
        listing.files.retain(|found| found.is_match(&only));
    }
    failures.extend(listing.failures.into_iter().map(|f| failed(&f.shown, FixError::Walk(f.error))));
    let shows_progress = settings::shows_progress(global);
    let mut files = with_progress(listing.files, &fix_settings, &workers, shows_progress, receipt.as_ref());
    if files.iter().any(FileReport::may_be_asked_through) {
        let again = tree::discover(&*source, &roots, &exclude, &workers);
        let scripts = Scripts::of(&*source, &again.files, &fix_settings.libraries, &workers);
        files = files.into_iter().map(|report| report.told_by(&scripts)).collect();
    }
    if !failures.is_empty() {
        files.extend(failures);
        files.sort_by(|a, b| a.path.cmp(&b.path));
    }
    let (mut copy, mut is_open) = (None, Ok(()));
    if let Some((original, links, closed)) = copied {
        let store_path = fix_settings.store.path_of(original.real.as_path());
        copy = store_path.map(|store_path| copy_notes(store_path, links, &files, &workers));
        is_open = closed.open_up();
    }
    let is_consumer = |report: &FileReport| report.object.and_then(|object| object.is_consumer) == Some(true);
    let run =
        FixRun { mode: mode(args), no_consumer: args.require_consumer && !files.iter().any(is_consumer), files, copy };
    print(&run, global)?;
    is_open.context("the copy is not complete")?;
    if let Some(receipt) = receipt {
        receipt.finish()?;
    }
    Ok(status(args, &run))
}

fn mode(args: &FixArgs) -> Mode {
    match args {
        FixArgs { diff: true, .. } => Mode::Diff,
        FixArgs { check: true, .. } => Mode::Check,
        FixArgs { dry_run: true, .. } => Mode::DryRun,
        FixArgs { output: Some(_), .. } => Mode::Output,
        FixArgs { in_place: true, .. } => Mode::InPlace,
        _ => Mode::Replace,
    }
}

fn status(args: &FixArgs, run: &FixRun) -> Status {
    let would_change = args.check && run.files.iter().any(|report| matches!(report.outcome, Outcome::Changed(_)));
    let findings = if would_change || run.no_consumer { Status::Findings } else { Status::Clean };
    findings.max(Status::of_files(&run.files))
}

/// Arguments that cannot be resolved are failures of their own; the others are still done.
fn resolve(roots: Vec<Result<Root, tree::RootError>>) -> (Vec<Root>, Vec<FileReport>) {
    let (mut found, mut failures) = (Vec::new(), Vec::new());
    for root in roots {
        match root {
            Ok(root) => found.push(root),
            Err(error) => failures.push(failed(&error.given, FixError::Walk(error.source))),
        }
    }
    (found, failures)
}

/// An argument in the store is refused as a whole, before anything is written.
fn refuse_store_roots(roots: &mut Vec<Root>, settings: &FixSettings, failures: &mut Vec<FileReport>) {
    roots.retain(|root| match settings.store.check_anchor(&root.anchor) {
        Ok(()) => true,
        Err(refusal) => {
            failures.push(failed(root.given.as_path(), FixError::Store(refusal)));
            false
        }
    });
}

fn failed(path: &Path, error: FixError) -> FileReport {
    FileReport { path: path.to_owned(), object: None, outcome: Outcome::Failed(Box::new(error)) }
}

/// A receipt while it is being written: one line for each file as soon as that is edited.
struct ReceiptFile {
    state: Mutex<anyhow::Result<(File, u64)>>,
}

impl ReceiptFile {
    /// A receipt that is overwritten is a run that can no longer be taken back.
    fn create(path: &Path, settings: &FixSettings) -> anyhow::Result<Self> {
        let name = || format!("cannot make the receipt {}", path.display());
        let head = Receipt::head()?;
        if fsio::size_limit().is_some_and(|limit| len64(head.as_bytes()) > limit) {
            // Before it is made: the write would kill the process with SIGXFSZ.
            return Err(anyhow::anyhow!(TOO_LARGE)).with_context(name);
        }
        let mut file = fsio::create_new(path, &settings.store).with_context(name)?;
        file.write_all(head.as_bytes()).with_context(name)?;
        Ok(Self { state: Mutex::new(Ok((file, len64(head.as_bytes())))) })
    }

    fn add(&self, report: &FileReport) {
        let Ok(mut state) = self.state.lock() else { return };
        if let Ok((file, len)) = state.as_mut()
            && let Err(error) = append(file, len, report)
        {
            *state = Err(error);
        }
    }

    /// The first line that could not be written, after the report of what was edited all the same.
    fn finish(self) -> anyhow::Result<()> {
        let state = self.state.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        state.and_then(|(file, _)| Ok(file.sync_all()?)).context("the receipt is not complete")
    }
}

const TOO_LARGE: &str = "it would be larger than the limit of file sizes (ulimit -f)";

fn append(file: &mut File, len: &mut u64, report: &FileReport) -> anyhow::Result<()> {
    let Some(line) = Receipt::line(report)? else { return Ok(()) };
    *len = len.saturating_add(u64::try_from(line.len())?);
    // A write past the limit would kill the process with SIGXFSZ.
    if fsio::size_limit().is_some_and(|limit| *len > limit) {
        bail!(TOO_LARGE);
    }
    Ok(file.write_all(line.as_bytes())?)
}

fn with_progress(
    files: Vec<Found>,
    settings: &FixSettings,
    workers: &Workers,
    shows_progress: bool,
    receipt: Option<&ReceiptFile>,
) -> Vec<FileReport> {
    let bar = progress::bar(files.len(), shows_progress);
    let shows = !bar.is_hidden();
    let reports = tree::fix(files, settings, workers, &|report| {
        if shows {
            bar.inc(1);
        }
        if let Some(receipt) = receipt {
            receipt.add(report);
        }
    });
    bar.finish_and_clear();
    reports
}

/// What in the copy still points to the original store path.
fn copy_notes(
    store_path: PathBuf,
    links: Vec<(PathBuf, PathBuf)>,
    reports: &[FileReport],
    workers: &Workers,
) -> CopyNotes {
    let prefix = std::os::unix::ffi::OsStrExt::as_bytes(store_path.as_os_str());
    let entries = reports.iter().filter_map(|report| match &report.outcome {
        Outcome::Changed(change) => change.after.as_ref(),
        Outcome::Conforms { path, .. } => path.as_ref(),
        Outcome::Skipped(_) | Outcome::LeftAlone(_) | Outcome::Failed(_) => None,
    });
    let is_below =
        |entry: &&[u8]| entry.strip_prefix(prefix).is_some_and(|below| below.is_empty() || below.starts_with(b"/"));
    let entries = entries.flat_map(|path| path.split_str(":")).filter(is_below).count();
    let files = reports.iter().map(|report| report.path.clone()).collect();
    let mut referring = tree::references_to(files, &store_path, workers);
    referring.extend(links.into_iter().filter(|(_, to)| to.starts_with(&store_path)).map(|(link, _)| link));
    referring.sort();
    CopyNotes { original: store_path, entries, files: referring }
}

fn print(run: &FixRun, global: &Global) -> anyhow::Result<()> {
    if global.is_json() {
        return Ok(report::fix::json::print(run, global.verbose > 0, &mut output::stdout())?);
    }
    let mut out = output::stdout();
    Ok(report::fix::human::print(&output::human(global), run, &mut out, &mut output::stderr())?)
}

/// Takes back what a receipt says; a file that changed since is left alone and named.
fn revert(receipt: &Path, outputs: &[PathBuf], global: &Global) -> anyhow::Result<Status> {
    let name = || format!("cannot read the receipt {}", receipt.display());
    let text = std::fs::read(receipt).with_context(name)?;
    let Receipt { files, is_cut } = Receipt::parse(&text).with_context(name)?;
    let store = settings::store(outputs);
    let secret = settings::secret(&store);
    signals::watch();
    let take_back = |file: Reverted| {
        let revert = || Ok(fsio::revert(store.admit(fsio::open_canonical(&file.path)?)?, &file.undo, &secret)?);
        let result = revert();
        RevertReport { path: file.path, result }
    };
    let reports: Vec<RevertReport> = files.into_iter().map(take_back).collect();
    if global.is_json() {
        report::fix::json::print_revert(&reports, &mut output::stdout())?;
    } else {
        let mut out = output::stdout();
        report::fix::human::print_revert(&output::human(global), &reports, &mut out, &mut output::stderr())?;
    }
    if is_cut {
        bail!("the last line of the receipt {} is cut: what it is for was not reverted", receipt.display());
    }
    Ok(if reports.iter().any(|report| report.result.is_err()) { Status::Failed } else { Status::Clean })
}
