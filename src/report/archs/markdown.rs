//! Short tables for pull requests and job summaries: architectures, and the libraries with most code.

use std::cmp::Reverse;
use std::io::{self, Write};

use super::run::ArchsRun;
use super::words::how;
use crate::cuda::{CodeKind, GpuCode, bytes_of};
use crate::report::markdown::{Column, code as span, path, table};
use crate::report::size::{percent, size};
use crate::report::text::{counted, with_sources};

/// Prints them.
///
/// # Errors
/// What writing says.
pub(crate) fn print(run: &ArchsRun, out: &mut dyn Write) -> io::Result<()> {
    let all = run.together();
    let total = all.total();
    let bytes = bytes_of(&total);
    writeln!(
        out,
        "## cuda-runpath archs: {} of GPU code in {}",
        size(bytes),
        counted(run.with_code(), "file", "files")
    )?;
    if !run.gpus.is_empty() {
        let unused = bytes_of(&all.unused(&run.gpus));
        let targets: Vec<String> = run.gpus.iter().map(ToString::to_string).collect();
        let share = percent(unused, bytes);
        writeln!(out, "\n{} ({share}) of it is for none of {}.", size(unused), targets.join(", "))?;
    }
    if !total.is_empty() {
        architectures(run, &all, out)?;
    }
    if !run.sum_only {
        libraries(run, out)?;
    }
    problems(run, out)?;
    out.flush()
}

fn architectures(run: &ArchsRun, all: &GpuCode, out: &mut dyn Write) -> io::Result<()> {
    let (total, unused) = (all.total(), all.unused(&run.gpus));
    let bytes = bytes_of(&total);
    let row = |(code, tally): (&crate::cuda::Code, &crate::cuda::Tally)| {
        let mut row =
            vec![code.architecture(), code.kind.name().to_owned(), size(tally.bytes), percent(tally.bytes, bytes)];
        if !run.gpus.is_empty() {
            row.push(if unused.contains_key(code) { "no" } else { "yes" }.to_owned());
        }
        row
    };
    let rows: Vec<Vec<String>> = total.iter().map(row).collect();
    let mut head = vec![
        ("architecture", Column::Left),
        ("kind", Column::Left),
        ("bytes", Column::Right),
        ("share", Column::Right),
    ];
    if !run.gpus.is_empty() {
        head.push(("for a target", Column::Left));
    }
    table(out, &head, rows.into_iter())
}

fn libraries(run: &ArchsRun, out: &mut dyn Write) -> io::Result<()> {
    let with_code = run.files.iter().filter_map(|report| {
        let code = report.code.as_ref().ok()?;
        let bytes = bytes_of(&code.total());
        (bytes > 0).then_some((bytes, report, code))
    });
    let mut with_code: Vec<_> = with_code.collect();
    if with_code.is_empty() {
        return Ok(());
    }
    with_code.sort_by_key(|(bytes, ..)| Reverse(*bytes));
    let rows = with_code.into_iter().map(|(bytes, report, code)| {
        let mut row = vec![path(&report.path), size(bytes)];
        if run.gpus.is_empty() {
            let names = code.total().into_keys().map(|code| match code.kind {
                CodeKind::Cubin => code.architecture(),
                kind => format!("{}{}", kind.title(), code.architecture()),
            });
            row.push(names.collect::<Vec<_>>().join(", "));
        } else {
            row.push(size(bytes_of(&code.unused(&run.gpus))));
            row.extend(run.gpus.iter().map(|gpu| how(code, *gpu)));
        }
        row
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let targets: Vec<String> = run.gpus.iter().map(|gpu| format!("on {gpu}")).collect();
    let mut head = vec![("file", Column::Left), ("GPU code", Column::Right)];
    if run.gpus.is_empty() {
        head.push(("architectures", Column::Left));
    } else {
        head.push(("for none", Column::Right));
        head.extend(targets.iter().map(|title| (title.as_str(), Column::Left)));
    }
    table(out, &head, rows.into_iter())
}

fn problems(run: &ArchsRun, out: &mut dyn Write) -> io::Result<()> {
    let mut rows = Vec::new();
    for report in &run.files {
        match &report.code {
            Err(error) => rows.push(vec![path(&report.path), span(with_sources(error))]),
            Ok(code) => {
                let places = code.places.iter().filter(|place| place.problem_count() > 0);
                rows.extend(places.map(|place| {
                    let first = place.problems.first().map(ToString::to_string).unwrap_or_default();
                    let more = place.problem_count().saturating_sub(1);
                    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                    vec![path(&report.path), format!("{}{more}", span(format!("{}: {first}", place.name)))]
                }));
            }
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    table(out, &[("not understood", Column::Left), ("why", Column::Left)], rows.into_iter())
}
