//! Short tables for pull requests and job summaries: the verdicts, the kinds of findings, and the worst findings.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use super::run::CheckRun;
use crate::check::{Finding, Severity, Verdict};
use crate::report::markdown::{Column, code, path, table, words};
use crate::report::text::counted;

/// Prints them.
///
/// # Errors
/// What writing says.
pub(crate) fn print(run: &CheckRun, out: &mut dyn Write) -> io::Result<()> {
    let report = &run.report;
    let [errors, warnings, notes] =
        [Severity::Error, Severity::Warning, Severity::Note].map(|severity| report.severity_count(severity));
    let (errors, warnings) = (counted(errors, "error", "errors"), counted(warnings, "warning", "warnings"));
    writeln!(out, "## cuda-runpath check: {errors}, {warnings}\n")?;
    writeln!(out, "Exit code {}: {}.", run.conclusion.code, run.conclusion.meaning)?;
    if report.consumers() > 0 {
        let verdicts = [Verdict::Pass, Verdict::Runtime, Verdict::Fail].map(|verdict| report.count(verdict));
        let row = [report.consumers()].into_iter().chain(verdicts).map(|count| count.to_string()).collect();
        let head = ["ask for the driver", "pass", "at run time", "fail"].map(|title| (title, Column::Right));
        table(out, &head, [row].into_iter())?;
    } else {
        writeln!(out, "\n{}, and none asks for the driver.", counted(report.files, "file", "files"))?;
    }
    kinds(run, out)?;
    worst(run, out)?;
    unread(run, out)?;
    let mut more = Vec::new();
    if notes > 0 {
        more.push(counted(notes, "note", "notes"));
    }
    if !run.allowed.is_empty() {
        more.push(format!("{} excused", run.allowed.len()));
    }
    if run.fixable() > 0 {
        more.push(format!("`cuda-runpath fix` repairs {}", run.fixable()));
    }
    if !more.is_empty() {
        writeln!(out, "\n{}.", more.join(", "))?;
    }
    out.flush()
}

/// Findings of one rule that are equally bad.
pub(in crate::report) fn kinds(run: &CheckRun, out: &mut dyn Write) -> io::Result<()> {
    let mut kinds: BTreeMap<_, Vec<&Finding>> = BTreeMap::new();
    for finding in &run.report.findings {
        kinds.entry((Reverse(finding.severity), finding.rule.code)).or_default().push(finding);
    }
    if kinds.is_empty() {
        return Ok(());
    }
    let rows = kinds.values().filter_map(|kind| {
        let first = kind.first()?;
        let files: BTreeSet<_> = kind.iter().map(|finding| &finding.path).collect();
        let name = format!("{} {}", first.rule.code, first.rule.slug);
        let (count, files) = (kind.len().to_string(), files.len().to_string());
        Some(vec![first.severity.name().to_owned(), name, count, files, words(first.rule.remedy)])
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let head = [
        ("", Column::Left),
        ("kind", Column::Left),
        ("findings", Column::Right),
        ("files", Column::Right),
        ("what to do", Column::Left),
    ];
    table(out, &head, rows.into_iter())
}

/// The worst findings.
pub(in crate::report) fn worst(run: &CheckRun, out: &mut dyn Write) -> io::Result<()> {
    let mut findings: Vec<&Finding> =
        run.report.findings.iter().filter(|finding| finding.severity > Severity::Note).collect();
    if findings.is_empty() {
        return Ok(());
    }
    findings.sort_by_key(|finding| Reverse(finding.severity));
    let row = |finding: &Finding| {
        let file = if finding.path.as_os_str().is_empty() { "(all together)".to_owned() } else { path(&finding.path) };
        vec![finding.severity.name().to_owned(), finding.rule.code.to_owned(), file, code(finding.message())]
    };
    let rows: Vec<Vec<String>> = findings.into_iter().map(row).collect();
    let head = ["", "code", "file", "finding"].map(|title| (title, Column::Left));
    table(out, &head, rows.into_iter())
}

/// What could not be read.
pub(in crate::report) fn unread(run: &CheckRun, out: &mut dyn Write) -> io::Result<()> {
    if run.report.unread.is_empty() {
        return Ok(());
    }
    let rows = run.report.unread.iter().map(|(file, reason)| vec![path(file), code(reason)]);
    table(out, &[("not read", Column::Left), ("why", Column::Left)], rows)
}
