//! For people: files from which code goes and those that are left alone, then the sums.

use std::io::{self, Write};
use std::path::Path;

use super::run::{SlimRun, SlimSummary};
use crate::report::human::{Detail, Human, Palette};
use crate::report::text;
use crate::tree::{SlimFacts, SlimOutcome, SlimReport, SlimWritten};

/// Prints a run of `slim`: results to `out`, failures and files without code for a target to `err`.
///
/// # Errors
/// What writing says.
pub(crate) fn print(human: &Human, run: &SlimRun, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
    for report in &run.files {
        print_file(human, report, out, err)?;
    }
    if human.detail >= Detail::Normal {
        let sums = SlimSummary::of(&run.files);
        let files = if sums.files == 1 { "file" } else { "files" };
        let slimmed = if run.mode.writes() { "slimmed" } else { "to slim" };
        write!(out, "{} {files}, {} with GPU code: {} {slimmed}, ", sums.files, sums.with_gpu_code, sums.slimmed)?;
        write!(out, "{} already slim, ", sums.conforming)?;
        if sums.without_code > 0 {
            write!(out, "{} without code for a target, ", sums.without_code)?;
        }
        if sums.skipped > 0 {
            write!(out, "{} skipped, ", sums.skipped)?;
        }
        writeln!(out, "{} failed", sums.failed)?;
        let (code, length, blocks) = (sums.code, sums.length, sums.blocks);
        writeln!(
            out,
            "GPU code {} -> {} bytes, files with it {} -> {} bytes",
            code.before, code.after, length.before, length.after
        )?;
        if run.mode.writes() && sums.slimmed > 0 {
            writeln!(out, "on disk {} -> {} bytes in what was slimmed", blocks.before, blocks.after)?;
        }
    }
    out.flush()?;
    err.flush()
}

fn print_file(human: &Human, report: &SlimReport, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
    let path = &report.path;
    match &report.outcome {
        SlimOutcome::Slimmed(facts, written) if human.detail >= Detail::Normal => {
            slimmed(human, path, facts, written, out)
        }
        SlimOutcome::Conforms(facts)
            if human.detail >= Detail::Verbose || has_more(facts) && human.detail >= Detail::Normal =>
        {
            let quiet = human.out.quiet;
            write!(out, "{quiet}already slim{quiet:#} ")?;
            human.path(out, path)?;
            writeln!(out, ": {} bytes of GPU code", facts.code.0)?;
            more(human, facts, out)
        }
        SlimOutcome::WithoutCode(_, gpu) => {
            write!(err, "{} ", human.err.warning_label())?;
            text::name(err, path.as_os_str().as_encoded_bytes(), human.escape_err)?;
            writeln!(err, ": left as it is, no code in it runs on {gpu} (CRP500)")
        }
        SlimOutcome::NoCode if human.detail >= Detail::All => {
            human.path(out, path)?;
            writeln!(out, ": no GPU code")
        }
        SlimOutcome::Skipped(skip) => human.skip(path, skip, out),
        SlimOutcome::Failed(error) => human.failure(path, error, err),
        SlimOutcome::Slimmed(..) | SlimOutcome::Conforms(_) | SlimOutcome::NoCode => Ok(()),
    }
}

fn slimmed(
    human: &Human,
    path: &Path,
    facts: &SlimFacts,
    written: &SlimWritten,
    out: &mut dyn Write,
) -> io::Result<()> {
    let verb = if written.how.is_some() { "slimmed" } else { "would slim" };
    let Palette { good, quiet, .. } = human.out;
    write!(out, "{good}{verb}{good:#} ")?;
    human.path(out, path)?;
    write!(out, ": GPU code {} -> {} bytes", facts.code.0, facts.code.1)?;
    match facts.length {
        (before, after) if before == after => write!(out, ", file {before} bytes as before")?,
        (before, after) => write!(out, ", file {before} -> {after} bytes")?,
    }
    match written.blocks {
        Some(after) => writeln!(out, ", on disk {} -> {after}", facts.blocks)?,
        None => writeln!(out)?,
    }
    for note in &written.notes {
        write!(out, "  {quiet}note: ")?;
        human.name(out, note.as_bytes())?;
        writeln!(out, "{quiet:#}")?;
    }
    more(human, facts, out)?;
    if human.detail >= Detail::Verbose {
        let (all, anew) = facts.containers;
        writeln!(out, "  {quiet}{anew} of {all} fat binaries, {} runs of pages{quiet:#}", facts.runs)?;
        for (code, (count, bytes)) in &facts.removed {
            let title = code.kind.title();
            writeln!(out, "    {quiet}- {title}{} x{count} {bytes} bytes{quiet:#}", code.architecture())?;
        }
    }
    Ok(())
}

/// Whether something stays that no target needs.
fn has_more(facts: &SlimFacts) -> bool {
    !facts.left.is_empty() || facts.unmoved > 0
}

/// What stays although no target may need it, and why.
fn more(human: &Human, facts: &SlimFacts, out: &mut dyn Write) -> io::Result<()> {
    let quiet = human.out.quiet;
    for (reason, (count, bytes)) in &facts.left {
        let binaries = if *count == 1 { "fat binary" } else { "fat binaries" };
        writeln!(out, "  {quiet}left as they are: {count} {binaries}, {bytes} bytes: {}{quiet:#}", reason.text())?;
    }
    for (form, (count, bytes)) in &facts.outside {
        let what = format!("{bytes} bytes for no target outside of fat binaries");
        writeln!(out, "  {quiet}stays: {what}, {count} in the form {form}{quiet:#}")?;
    }
    if facts.unmoved > 0 {
        let what = format!("{} bytes for no target", facts.unmoved);
        writeln!(out, "  {quiet}stays: {what}, over which what follows cannot be moved in steps{quiet:#}")?;
    }
    if let Some(why) = facts.not_compacted {
        writeln!(out, "  {quiet}as long as before: {}{quiet:#}", why.text())?;
    }
    Ok(())
}
