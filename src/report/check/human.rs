//! For people: findings under the file that they are about or in other groups, then two lines of counts.

use std::io::{self, Write};

use super::groups::{self, GroupBy};
use super::run::CheckRun;
use crate::check::{Answer, CheckReport, Finding, ObjectReport, Severity, Verdict};
use crate::report::human::{Detail, Human};
use crate::report::text::counted;

/// Prints findings, with `-v` every verdict, and the counts.
///
/// # Errors
/// What writing says.
pub(crate) fn print(human: &Human, run: &CheckRun, by: GroupBy, out: &mut dyn Write) -> io::Result<()> {
    let least = match human.detail {
        Detail::Quiet => Severity::Error,
        Detail::Normal => Severity::Warning,
        Detail::Verbose | Detail::All => Severity::Note,
    };
    let findings: Vec<&Finding> = run.report.findings.iter().filter(|finding| finding.severity >= least).collect();
    groups::print(human, by, &findings, out)?;
    if human.detail >= Detail::Verbose {
        for allowed in &run.allowed {
            let finding = &allowed.finding;
            write!(out, "allowed {} ", finding.rule.code)?;
            human.path(out, &finding.path)?;
            write!(out, ": ")?;
            human.name(out, format!("{} ({})", finding.message(), allowed.reason).as_bytes())?;
            writeln!(out)?;
        }
        for object in run.report.objects.iter().filter(|object| !object.requests.is_empty()) {
            verdicts(human, object, out)?;
        }
    }
    if human.detail >= Detail::Normal {
        counts(run, out)?;
    }
    out.flush()
}

/// Prints what was not read, whatever findings are wanted and in which format.
///
/// # Errors
/// What writing says.
pub(crate) fn print_unread(human: &Human, report: &CheckReport, err: &mut dyn Write) -> io::Result<()> {
    for (path, reason) in &report.unread {
        human.error(path, reason, err)?;
    }
    err.flush()
}

fn verdicts(human: &Human, object: &ObjectReport, out: &mut dyn Write) -> io::Result<()> {
    human.path(out, &object.facts.shown)?;
    if let Some(wrapper) = &object.wrapper {
        write!(out, " (wrapped by ")?;
        human.path(out, wrapper)?;
        write!(out, ")")?;
    }
    writeln!(out)?;
    for request in &object.requests {
        let verdict = human.out.verdict_label(request.verdict);
        write!(out, "  {verdict} ")?;
        human.name(out, request.soname.as_bytes())?;
        write!(out, " ({}) ", request.kind.name())?;
        answer(human, &request.answer, out)?;
        if let Some(program) = &request.through {
            write!(out, ", in ")?;
            human.path(out, program)?;
        }
        writeln!(out)?;
        for on in &request.on_hosts {
            write!(out, "    {} on a host like {}: ", human.out.verdict_label(on.verdict), on.host)?;
            answer(human, &on.answer, out)?;
            writeln!(out)?;
        }
    }
    Ok(())
}

fn answer(human: &Human, answer: &Answer, out: &mut dyn Write) -> io::Result<()> {
    match answer.place() {
        Some(place) => {
            write!(out, "<- ")?;
            human.name(out, place)
        }
        None => write!(out, "is found nowhere"),
    }
}

fn counts(run: &CheckRun, out: &mut dyn Write) -> io::Result<()> {
    let report = &run.report;
    write!(out, "{}, {} ELF, ", counted(report.files, "file", "files"), report.elf)?;
    let consumers = report.consumers();
    if consumers == 0 {
        writeln!(out, "none asks for the driver")?;
    } else {
        let ask = if consumers == 1 { "asks" } else { "ask" };
        write!(out, "{consumers} {ask} for the driver: {} pass, ", report.count(Verdict::Pass))?;
        writeln!(out, "{} at run time, {} fail", report.count(Verdict::Runtime), report.count(Verdict::Fail))?;
    }
    write!(out, "{}, ", counted(report.severity_count(Severity::Error), "error", "errors"))?;
    write!(out, "{}, ", counted(report.severity_count(Severity::Warning), "warning", "warnings"))?;
    write!(out, "{}", counted(report.severity_count(Severity::Note), "note", "notes"))?;
    if !run.allowed.is_empty() {
        write!(out, ", {} allowed", run.allowed.len())?;
    }
    match run.fixable() {
        0 => writeln!(out),
        fixable => writeln!(out, "; fix repairs {fixable}"),
    }
}
