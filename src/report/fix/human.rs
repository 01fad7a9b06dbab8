//! For people: changed and failing files, then one summary line; more with `-v`.

use std::io::{self, Write};
use std::path::Path;

use bstr::BString;

use super::run::{FixRun, Mode, RevertReport};
use super::summary::Summary;
use crate::elf::dynamic::TagSet;
use crate::report::human::{Detail, Human, Palette};
use crate::report::text::with_sources;
use crate::tree::{FileReport, Outcome, PathChange};

/// Prints a run of `fix`: results to `out`, failures to `err`.
///
/// # Errors
/// What writing says.
pub(crate) fn print(human: &Human, run: &FixRun, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
    for report in &run.files {
        print_file(human, report, run.mode, out, err)?;
    }
    if let Some(copy) = run.copy.as_ref().filter(|_| human.detail >= Detail::Normal) {
        let (entries, files) = (copy.entries, copy.files.len());
        write!(out, "{entries} search path entries and {files} files of the copy still refer to ")?;
        human.path(out, &copy.original)?;
        writeln!(out)?;
        for path in &copy.files {
            write!(out, "  ")?;
            human.path(out, path)?;
            writeln!(out)?;
        }
    }
    if human.detail >= Detail::Normal {
        let summary = Summary::of(&run.files);
        let changed = if run.mode.writes() { "fixed" } else { "to fix" };
        let files = if summary.files == 1 { "file" } else { "files" };
        write!(out, "{} {files}, {} ELF: {} {changed}, ", summary.files, summary.elf, summary.changed)?;
        write!(out, "{} already right, ", summary.conforming)?;
        if summary.skipped > 0 {
            write!(out, "{} skipped, ", summary.skipped)?;
        }
        if summary.left_alone > 0 {
            write!(out, "{} left alone, ", summary.left_alone)?;
        }
        writeln!(out, "{} failed", summary.failed)?;
    }
    if run.no_consumer {
        writeln!(err, "{} no object asks for a driver library (--require-consumer)", human.err.error_label())?;
    }
    out.flush()?;
    err.flush()
}

fn print_file(
    human: &Human,
    report: &FileReport,
    mode: Mode,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<()> {
    match &report.outcome {
        Outcome::Changed(change) if human.detail >= Detail::Normal => {
            print_change(human, &report.path, change, mode, out)
        }
        Outcome::Conforms { path, .. } if human.detail >= Detail::Verbose => {
            let quiet = human.out.quiet;
            write!(out, "{quiet}already right{quiet:#} ")?;
            human.path(out, &report.path)?;
            write!(out, ": ")?;
            print_search_path(human, out, path.as_ref())?;
            writeln!(out)
        }
        Outcome::Skipped(skip) => human.skip(&report.path, skip, out),
        Outcome::LeftAlone(error) => human.left_alone(&report.path, error, err),
        Outcome::Failed(error) => human.failure(&report.path, error, err),
        Outcome::Changed(_) | Outcome::Conforms { .. } => Ok(()),
    }
}

fn print_change(human: &Human, path: &Path, change: &PathChange, mode: Mode, out: &mut dyn Write) -> io::Result<()> {
    if mode == Mode::Diff {
        return print_difference(human, path, change, out);
    }
    let verb = if change.how.is_some() { "fixed" } else { "would fix" };
    let Palette { good, quiet, .. } = human.out;
    write!(out, "{good}{verb}{good:#} ")?;
    human.path(out, path)?;
    let (before, after) = (change.tag_before, change.tag_after);
    let first = if matches!(before, TagSet::None | TagSet::Both) { after } else { before };
    write!(out, ": {} ", first.name().to_uppercase())?;
    print_search_path(human, out, change.before.as_ref())?;
    write!(out, " -> ")?;
    if first != after && after != TagSet::None {
        write!(out, "{} ", after.name().to_uppercase())?;
    }
    print_search_path(human, out, change.after.as_ref())?;
    writeln!(out)?;
    for note in &change.notes {
        write!(out, "  {quiet}note: ")?;
        human.name(out, note.as_bytes())?;
        writeln!(out, "{quiet:#}")?;
    }
    if human.detail >= Detail::Verbose {
        let (strategy, slot) = (change.strategy.name(), change.slot.name());
        write!(out, "  {quiet}strategy {strategy}, entry {slot}, {} bytes written", change.written)?;
        write!(out, ", file grows by {}", change.growth)?;
        writeln!(out, "{}{quiet:#}", change.how.map_or(String::new(), |how| format!(", {}", how.name())))?;
        for (stage, offset, len) in &change.patches {
            writeln!(out, "    {quiet}{:<8} {offset:#x} +{len}{quiet:#}", stage.name())?;
        }
    }
    Ok(())
}

/// One line for each tag, as `diff -u` would show a listing of the tags.
fn print_difference(human: &Human, path: &Path, change: &PathChange, out: &mut dyn Write) -> io::Result<()> {
    let Palette { good, bad, title, .. } = human.out;
    for (mark, style) in [("---", title), ("+++", title)] {
        write!(out, "{style}{mark} ")?;
        human.path(out, path)?;
        writeln!(out, "{style:#}")?;
    }
    for (mark, style, tag, path) in
        [("-", bad, change.tag_before, &change.before), ("+", good, change.tag_after, &change.after)]
    {
        if let Some(path) = path {
            write!(out, "{style}{mark}{} ", tag.name().to_uppercase())?;
            human.name(out, path)?;
            writeln!(out, "{style:#}")?;
        }
    }
    Ok(())
}

/// Why a file failed, in one line; empty when it did not.
#[must_use]
pub(crate) fn reason(report: &FileReport) -> String {
    match &report.outcome {
        Outcome::LeftAlone(error) | Outcome::Failed(error) => with_sources(error),
        Outcome::Changed(_) | Outcome::Conforms { .. } | Outcome::Skipped(_) => String::new(),
    }
}

/// Prints what became of a receipt's files: failures to `err`, one summary line to `out`.
///
/// # Errors
/// What writing says.
pub(crate) fn print_revert(
    human: &Human,
    reports: &[RevertReport],
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<()> {
    for report in reports {
        if let Err(error) = &report.result {
            human.failure(&report.path, error, err)?;
        }
    }
    if human.detail >= Detail::Normal {
        let failed = reports.iter().filter(|report| report.result.is_err()).count();
        writeln!(out, "{} files reverted, {failed} failed", reports.len().saturating_sub(failed))?;
    }
    out.flush()?;
    err.flush()
}

fn print_search_path(human: &Human, out: &mut dyn Write, path: Option<&BString>) -> io::Result<()> {
    match path {
        None => out.write_all(b"(none)"),
        Some(path) if path.is_empty() => out.write_all(b"(empty)"),
        Some(path) => human.name(out, path),
    }
}
