//! Short tables for pull requests: what is worse, both releases in numbers, the files that differ.

use std::io::{self, Write};

use super::ComparedRun;
use super::words::{change_line, totals, worst_first};
use crate::check::Severity;
use crate::report::check::markdown::{kinds, unread, worst};
use crate::report::markdown::{Column, code, path, table};
use crate::report::text::counted;

/// Prints them.
///
/// # Errors
/// What writing says.
pub(crate) fn print(run: &ComparedRun<'_>, out: &mut dyn Write) -> io::Result<()> {
    let errors = run.run.report.severity_count(Severity::Error);
    let verdict = match errors {
        0 => "not worse".to_owned(),
        _ => format!("worse, {} new", counted(errors, "error", "errors")),
    };
    writeln!(out, "## cuda-runpath check --against: {verdict}\n")?;
    writeln!(out, "Exit code {}: {}.", run.run.conclusion.code, run.run.conclusion.meaning)?;
    kinds(&run.run, out)?;
    worst(&run.run, out)?;
    unread(&run.run, out)?;
    let head = [("", Column::Left), ("before", Column::Right), ("now", Column::Right)];
    table(out, &head, totals(run).into_iter().map(Vec::from))?;
    let files = worst_first(run);
    if !files.is_empty() {
        let row = |(kind, change): (super::words::ChangeKind, &crate::check::FileChange<'_>)| {
            vec![kind.word().to_owned(), path(change.path()), code(change_line(change))]
        };
        let head = ["", "file", "what"].map(|title| (title, Column::Left));
        table(out, &head, files.into_iter().map(row))?;
    }
    let gone = &run.comparison.gone;
    if !gone.is_empty() {
        let row = |finding: &&crate::check::SnapshotFinding| {
            vec![finding.severity.name().to_owned(), finding.code.clone(), path(&finding.path), code(&finding.message)]
        };
        let head = ["no more", "code", "file", "finding"].map(|title| (title, Column::Left));
        table(out, &head, gone.iter().map(row))?;
    }
    let same = counted(run.comparison.same, "file is the same", "files are the same");
    writeln!(out, "\n{same}, {} still there.", counted(run.still.len(), "finding is", "findings are"))?;
    out.flush()
}
