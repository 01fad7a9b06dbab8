//! Short tables for pull requests and job summaries: a table for each search, and the symbols that are missing.

use std::io::{self, Write};
use std::path::Path;

use bstr::ByteSlice as _;

use crate::check::{Answer, Explained, ExplainedSymbols, Explanation, SymbolEnd};
use crate::loader::End;
use crate::report::markdown::{Column, code, path, table};
use crate::report::text::counted;
use crate::report::words::{binding_word, kind_word, libc_name, outcome_word, source_word};
use crate::runpath::EntryClass;

/// Prints them.
///
/// # Errors
/// What writing says.
pub(crate) fn print(file: &Path, explanation: &Explanation, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "## cuda-runpath explain {}\n", path(file))?;
    if let Some(program) = &explanation.opened_by {
        write!(out, "Opened with dlopen by {}. ", path(program))?;
    }
    writeln!(out, "Searched by {} ({}).", code(&explanation.interpreter), libc_name(explanation.libc))?;
    for explained in &explanation.searches {
        one(explained, out)?;
    }
    if let Some(symbols) = &explanation.symbols {
        missing(symbols, out)?;
    }
    out.flush()
}

fn one(explained: &Explained, out: &mut dyn Write) -> io::Result<()> {
    let search = &explained.search;
    let kind = kind_word(explained).map(|kind| format!(" ({kind})")).unwrap_or_default();
    writeln!(out, "\n{} asks for {}{kind}", code(&explained.by), code(&search.name))?;
    let reached = search.steps.iter().zip(&explained.classes).map(|(step, class)| {
        let role = match class {
            EntryClass::Compat | EntryClass::Driver | EntryClass::Stub => class.name(),
            _ => "",
        };
        vec![
            outcome_word(&step.outcome).to_owned(),
            source_word(&step.source).to_owned(),
            code(&step.place),
            role.to_owned(),
        ]
    });
    let behind = explained.behind.iter().map(|step| {
        let outcome = format!("({})", outcome_word(&step.outcome).to_ascii_lowercase());
        vec![outcome, source_word(&step.source).to_owned(), code(&step.place), "not reached".to_owned()]
    });
    let rows: Vec<Vec<String>> = reached.chain(behind).collect();
    let head = ["", "from", "place", ""].map(|title| (title, Column::Left));
    table(out, &head, rows.into_iter())?;
    let end = match &explained.answer {
        Answer::DriverAtRuntime(place) => {
            format!("{}, on the target", code([place.as_bytes(), b"/", search.name.as_bytes()].concat()))
        }
        _ if matches!(search.end, End::Interpreter) => "the loader itself".to_owned(),
        Answer::Nothing => "not found".to_owned(),
        Answer::Interrupted(place, reason) => format!("an error at {}: {}", code(place), code(reason.as_bytes())),
        Answer::Stub(place) => format!("{}, a link-time stub", code(place)),
        Answer::Compat(place) => format!("{}, from compat", code(place)),
        Answer::Driver(place) | Answer::Other(place) => code(place),
    };
    let verdict = explained.verdict.map(|verdict| format!(" **{}**", verdict.name())).unwrap_or_default();
    writeln!(out, "\n⇒ {end}{verdict}")?;
    for finding in &explained.findings {
        let (severity, rule) = (finding.severity.name(), finding.rule);
        writeln!(out, "\n- {severity} {} {}: {}", rule.code, rule.slug, code(finding.message()))?;
    }
    Ok(())
}

fn missing(explained: &ExplainedSymbols, out: &mut dyn Write) -> io::Result<()> {
    let lost: Vec<_> = explained
        .symbols
        .iter()
        .filter(|symbol| !symbol.is_weak && !matches!(symbol.end, SymbolEnd::Bound(..)))
        .collect();
    let asked = counted(explained.symbols.len(), "symbol is", "symbols are");
    writeln!(out, "\n{asked} asked for, {} missing.", lost.len())?;
    if lost.is_empty() {
        return Ok(());
    }
    let rows = lost.into_iter().map(|symbol| {
        let version = symbol.version.as_ref().map(code).unwrap_or_default();
        vec![code(&symbol.name), version, code(&symbol.by), binding_word(symbol.binding).to_owned()]
    });
    let head = ["missing symbol", "version", "asked for by", "when"].map(|title| (title, Column::Left));
    table(out, &head, rows)
}
