//! Short tables for pull requests and job summaries: before and after, in sum and of the files that become much shorter.

use std::cmp::Reverse;
use std::io::{self, Write};

use super::run::{BeforeAfter, SlimRun, SlimSummary};
use crate::report::markdown::{Column, code, path, table};
use crate::report::size::{percent, size};
use crate::report::text::{counted, with_sources};
use crate::tree::SlimOutcome;

/// Prints them.
///
/// # Errors
/// What writing says.
pub(crate) fn print(run: &SlimRun, out: &mut dyn Write) -> io::Result<()> {
    let sums = SlimSummary::of(&run.files);
    let targets: Vec<String> = run.targets.gpus.iter().map(ToString::to_string).collect();
    let verb = if run.mode.writes() { "slimmed" } else { "to slim" };
    writeln!(
        out,
        "## cuda-runpath slim for {}: {} {verb}",
        targets.join(", "),
        counted(sums.slimmed, "file", "files")
    )?;
    let row = |what: &str, change: BeforeAfter| {
        let less = change.before.saturating_sub(change.after);
        vec![what.to_owned(), size(change.before), size(change.after), size(less), percent(less, change.before)]
    };
    let head = ["", "before", "after", "less", ""].map(|title| (title, Column::Right));
    table(out, &head, [row("GPU code", sums.code), row("files with it", sums.length)].into_iter())?;
    files(run, out)?;
    others(run, out)?;
    out.flush()
}

fn files(run: &SlimRun, out: &mut dyn Write) -> io::Result<()> {
    let slimmed = run.files.iter().filter_map(|report| match &report.outcome {
        SlimOutcome::Slimmed(facts, _) => Some((report, facts)),
        _ => None,
    });
    let mut slimmed: Vec<_> = slimmed.collect();
    if slimmed.is_empty() {
        return Ok(());
    }
    slimmed.sort_by_key(|(_, facts)| Reverse(facts.length.0.saturating_sub(facts.length.1)));
    let rows = slimmed.into_iter().map(|(report, facts)| {
        let ((before, after), (code_before, code_after)) = (facts.length, facts.code);
        let less = percent(before.saturating_sub(after), before);
        vec![
            path(&report.path),
            format!("{} → {}", size(code_before), size(code_after)),
            size(before),
            size(after),
            less,
        ]
    });
    let head = [
        ("file", Column::Left),
        ("GPU code", Column::Right),
        ("before", Column::Right),
        ("after", Column::Right),
        ("less", Column::Right),
    ];
    table(out, &head, rows)
}

fn others(run: &SlimRun, out: &mut dyn Write) -> io::Result<()> {
    let mut rows = Vec::new();
    for report in &run.files {
        match &report.outcome {
            SlimOutcome::WithoutCode(_, gpu) => {
                rows.push(vec![path(&report.path), format!("left as it is: no code in it runs on {gpu} (CRP500)")]);
            }
            SlimOutcome::Failed(error) => rows.push(vec![path(&report.path), code(with_sources(error.as_ref()))]),
            _ => {}
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    table(out, &[("not slimmed", Column::Left), ("why", Column::Left)], rows.into_iter())
}
