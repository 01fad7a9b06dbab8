//! For people: a table of GPU code for each file, or one for all.

use std::io::{self, Write};

use bstr::BString;

use super::run::ArchsRun;
use super::words::how;
use crate::cuda::{Counting, Form, GpuCode, Tallies, bytes_of};
use crate::report::human::{Detail, Human};
use crate::report::text;
use crate::tree::ArchsReport;

/// Prints a table for each file with GPU code, or one for all; failures to `err`.
///
/// # Errors
/// What writing says.
pub(crate) fn print(human: &Human, run: &ArchsRun, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
    for report in &run.files {
        match &report.code {
            Ok(code) if human.detail == Detail::Quiet || run.sum_only => warn(human, report, code, err)?,
            Ok(code) if code.places.is_empty() => {
                if human.detail >= Detail::Verbose {
                    human.path(out, &report.path)?;
                    writeln!(out, ": no GPU code")?;
                }
            }
            Ok(code) => {
                file(human, run, report, code, out)?;
                warn(human, report, code, err)?;
            }
            Err(error) => human.failure(&report.path, error, err)?,
        }
    }
    if human.detail >= Detail::Normal {
        let all = run.together();
        if run.sum_only {
            writeln!(out, "{}", title(human, run.counting, &all))?;
            for (place, tallies) in &run.sum() {
                rows(human, run.counting, *place, tallies, out)?;
            }
        }
        let (bytes, files) = (bytes_of(&all.total()), if run.files.len() == 1 { "file" } else { "files" });
        writeln!(out, "{} {files}, {} with GPU code: {bytes} bytes of it", run.files.len(), run.with_code())?;
        if !run.gpus.is_empty() {
            unused(run, &all, "", out)?;
        }
    }
    out.flush()?;
    err.flush()
}

fn title(human: &Human, counting: Counting, code: &GpuCode) -> String {
    let containers: u64 = code.places.iter().map(|place| place.containers).sum();
    let containers = match containers {
        0 => String::new(),
        1 => "  (1 fat binary)".to_owned(),
        more => format!("  ({more} fat binaries)"),
    };
    let style = human.out.quiet;
    format!(
        "{style}  {:<18} {:<9} {:<13} {:<15} {:>9} {:>14}{}{style:#}{containers}",
        "SECTION",
        "IN",
        "ARCHITECTURE",
        "KIND",
        "COUNT",
        "BYTES",
        if counting == Counting::Kernels { "   KERNELS" } else { "" }
    )
}

fn file(human: &Human, run: &ArchsRun, report: &ArchsReport, code: &GpuCode, out: &mut dyn Write) -> io::Result<()> {
    human.path(out, &report.path)?;
    writeln!(out)?;
    writeln!(out, "{}", title(human, run.counting, code))?;
    for place in &code.places {
        rows(human, run.counting, (&place.name, place.form), &place.code, out)?;
        if place.empty > 0 {
            write!(out, "  ")?;
            human.name(out, &place.name)?;
            writeln!(out, ": {} empty", place.empty)?;
        }
    }
    if run.gpus.is_empty() {
        return Ok(());
    }
    if code.real().next().is_none() {
        return writeln!(out, "  no kernels");
    }
    for gpu in &run.gpus {
        write!(out, "  {gpu}: {}", how(code, *gpu))?;
        let counts = [(code.containers_for(*gpu), "fat binaries have"), (code.others_for(*gpu), "others are")];
        for ((all, good), what) in counts.into_iter().filter(|((all, _), _)| *all > 0) {
            write!(out, "; {good} of {all} {what} {}", if what == "others are" { "for it" } else { "code for it" })?;
        }
        writeln!(out)?;
    }
    unused(run, code, "  ", out)
}

fn rows(
    human: &Human,
    counting: Counting,
    place: (&BString, Form),
    tallies: &Tallies,
    out: &mut dyn Write,
) -> io::Result<()> {
    let (name, form) = (place.0, place.1.name());
    for (code, tally) in tallies {
        write!(out, "  ")?;
        human.name(out, name)?;
        let padding = 18_usize.saturating_sub(name.len());
        let (architecture, kind) = (code.architecture(), code.kind.name());
        write!(out, "{:padding$} {form:<9} {architecture:<13} {kind:<15}", "")?;
        write!(out, " {:>9} {:>14}", tally.count, tally.bytes)?;
        if counting == Counting::Kernels {
            write!(out, " {:>9}", tally.kernels)?;
            if tally.uncounted > 0 {
                write!(out, "  (without {} of {})", tally.uncounted, tally.count)?;
            }
        }
        writeln!(out)?;
    }
    Ok(())
}

fn unused(run: &ArchsRun, code: &GpuCode, indent: &str, out: &mut dyn Write) -> io::Result<()> {
    let (unused, all) = (bytes_of(&code.unused(&run.gpus)), bytes_of(&code.total()));
    writeln!(out, "{indent}{unused} of {all} bytes are for none of these")
}

fn warn(human: &Human, report: &ArchsReport, code: &GpuCode, err: &mut dyn Write) -> io::Result<()> {
    for place in &code.places {
        for problem in &place.problems {
            write!(err, "{} ", human.err.warning_label())?;
            text::name(err, report.path.as_os_str().as_encoded_bytes(), human.escape_err)?;
            write!(err, ": ")?;
            text::name(err, &place.name, human.escape_err)?;
            write!(err, ": ")?;
            text::name(err, problem.to_string().as_bytes(), human.escape_err)?;
            writeln!(err)?;
        }
        if place.more_problems > 0 {
            writeln!(err, "  and {} more", place.more_problems)?;
        }
    }
    Ok(())
}
