//! For people: a table of GPU code for each file, or one for all.

use std::io::{self, Write};

use bstr::BString;

use super::run::ArchsRun;
use crate::cuda::{Gpu, GpuCode, Runs, SHARED_SINCE, Tallies, bytes_of};
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
            writeln!(out, "{}", title(human, &all))?;
            for (name, tallies) in &run.sum() {
                rows(human, name, tallies, out)?;
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

fn title(human: &Human, code: &GpuCode) -> String {
    let containers: u64 = code.places.iter().map(|place| place.containers).sum();
    let containers = if containers == 1 { "1 fat binary".to_owned() } else { format!("{containers} fat binaries") };
    let style = human.out.quiet;
    format!(
        "{style}  {:<18} {:<13} {:<7} {:>9} {:>14}{style:#}  ({containers})",
        "SECTION", "ARCHITECTURE", "KIND", "COUNT", "BYTES"
    )
}

fn file(human: &Human, run: &ArchsRun, report: &ArchsReport, code: &GpuCode, out: &mut dyn Write) -> io::Result<()> {
    human.path(out, &report.path)?;
    writeln!(out)?;
    writeln!(out, "{}", title(human, code))?;
    for place in &code.places {
        rows(human, &place.name, &place.code, out)?;
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
        let (all, good) = code.containers_for(*gpu);
        writeln!(out, "  {gpu}: {}; {good} of {all} fat binaries have code for it", how(code, *gpu))?;
    }
    unused(run, code, "  ", out)
}

fn rows(human: &Human, name: &BString, tallies: &Tallies, out: &mut dyn Write) -> io::Result<()> {
    for (code, tally) in tallies {
        write!(out, "  ")?;
        human.name(out, name)?;
        let padding = 18_usize.saturating_sub(name.len());
        let (architecture, kind) = (code.architecture(), code.kind.name());
        writeln!(out, "{:padding$} {architecture:<13} {kind:<7} {:>9} {:>14}", "", tally.count, tally.bytes)?;
    }
    Ok(())
}

fn unused(run: &ArchsRun, code: &GpuCode, indent: &str, out: &mut dyn Write) -> io::Result<()> {
    let (unused, all) = (bytes_of(&code.unused(&run.gpus)), bytes_of(&code.total()));
    writeln!(out, "{indent}{unused} of {all} bytes are for none of these")
}

fn how(code: &GpuCode, gpu: Gpu) -> String {
    match code.runs_on(gpu) {
        Runs::Exactly(found) => format!("runs {}", found.sm()),
        Runs::Family(found) => format!("runs through {}", found.sm()),
        Runs::Jit(found) => format!("JIT from {} PTX", found.compute()),
        Runs::Renamed(found) => format!("{} is another name of it", found.sm()),
        Runs::Not => match code.promised_later(gpu) {
            Some(found) => format!("missing; {} from CUDA {SHARED_SINCE} on", found.sm()),
            None => "missing".to_owned(),
        },
    }
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
