//! A search from the first place to the last, so that one sees who wins and why.

use std::io::{self, Write};
use std::path::Path;

use bstr::{BStr, BString};
use serde_json::{Map, Value, json};

use super::json::{SCHEMA, print, put, put_bytes, put_path};
use super::{Detail, Human};
use crate::check::{Answer, Explained, Explanation, Verdict};
use crate::loader::{End, Libc, Step, StepOutcome, StepSource};
use crate::runpath::EntryClass;

/// Prints the searches for people; with `-v` the places that exist nowhere too.
///
/// # Errors
/// What writing says.
pub fn print_explanation(human: &Human, path: &Path, explanation: &Explanation, out: &mut dyn Write) -> io::Result<()> {
    let libc = libc_name(explanation.libc);
    human.path(out, path)?;
    write!(out, ": searched by ")?;
    human.name(out, &explanation.interpreter)?;
    writeln!(out, " ({libc})")?;
    for explained in &explanation.searches {
        one(human, explained, out)?;
    }
    out.flush()
}

fn one(human: &Human, explained: &Explained, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out)?;
    human.name(out, &explained.by)?;
    write!(out, " asks for ")?;
    human.name(out, &explained.search.name)?;
    match explained.kind {
        Some(kind) => writeln!(out, " ({})", kind.name())?,
        None => writeln!(out)?,
    }
    let is_found = !matches!(explained.search.end, End::NotFound | End::Fatal);
    for (step, class) in explained.search.steps.iter().zip(&explained.classes) {
        if is_dull(step) && is_found && human.detail < Detail::Verbose {
            continue;
        }
        write!(out, "  {:<9} {:<8} ", outcome_word(&step.outcome), source_word(&step.source))?;
        place(human, step, out)?;
        if let Some(role) = role(*class) {
            write!(out, "  [{role}]")?;
        }
        match &step.outcome {
            StepOutcome::OtherMachine(machine) => writeln!(out, "  an object for {machine}")?,
            StepOutcome::Broken(reason) => writeln!(out, "  {reason}")?,
            StepOutcome::Fatal(reason) => writeln!(out, "  {reason}")?,
            _ => writeln!(out)?,
        }
    }
    for step in explained.behind.iter().filter(|step| !is_dull(step) || human.detail >= Detail::Verbose) {
        let word = format!("({})", outcome_word(&step.outcome).to_ascii_lowercase());
        write!(out, "  {word:<9} {:<8} ", source_word(&step.source))?;
        place(human, step, out)?;
        writeln!(out, "  [not reached]")?;
    }
    write!(out, "  => ")?;
    match (&explained.answer, &explained.search.end) {
        (Answer::DriverAtRuntime(place), _) => {
            human.name(out, place)?;
            write!(out, "/")?;
            human.name(out, &explained.search.name)?;
            write!(out, ", on the target")?;
        }
        (_, End::Interpreter) => write!(out, "the loader itself")?,
        (Answer::Nothing, _) => write!(out, "not found")?,
        (Answer::Interrupted(place, reason), _) => {
            write!(out, "an error at ")?;
            human.name(out, place)?;
            write!(out, ": {reason}")?;
        }
        (answer, _) => {
            human.name(out, answer.place().unwrap_or_default())?;
            let what = match answer {
                Answer::Stub(_) => ", a link-time stub",
                Answer::Compat(_) => ", from compat",
                _ => "",
            };
            write!(out, "{what}")?;
        }
    }
    match explained.verdict {
        Some(verdict) => writeln!(out, "  {}", human.out.verdict_label(verdict))?,
        None => writeln!(out)?,
    }
    for finding in &explained.findings {
        let label = human.out.severity_label(finding.severity);
        write!(out, "     {label} {} {}: ", finding.rule.code, finding.rule.slug)?;
        human.name(out, BStr::new(&finding.message()))?;
        writeln!(out)?;
    }
    Ok(())
}

/// The default directories say little unless they have something.
fn is_dull(step: &Step) -> bool {
    matches!(step.source, StepSource::Default) && matches!(step.outcome, StepOutcome::Miss | StepOutcome::NoDirectory)
}

/// The entry as it is written and, where that differs, what it stands for.
fn place(human: &Human, step: &Step, out: &mut dyn Write) -> io::Result<()> {
    let is_expanded = !step.written.is_empty() && step.written.contains(&b'$');
    if is_expanded {
        human.name(out, &step.written)?;
        write!(out, " = ")?;
    }
    if step.place.is_empty() {
        write!(out, "(current directory)")?;
    }
    human.name(out, &step.place)?;
    match &step.source {
        StepSource::Rpath(of) | StepSource::Runpath(of) if is_foreign(step, of) => {
            write!(out, "  (of ")?;
            human.name(out, of)?;
            write!(out, ")")
        }
        _ => Ok(()),
    }
}

/// A path of another object than the asking one is always an inherited DT_RPATH, or musl's.
fn is_foreign(step: &Step, of: &BString) -> bool {
    matches!(step.source, StepSource::Rpath(_)) && !of.is_empty()
}

fn role(class: EntryClass) -> Option<&'static str> {
    match class {
        EntryClass::Compat | EntryClass::Driver | EntryClass::Stub => Some(class.name()),
        _ => None,
    }
}

fn source_word(source: &StepSource) -> &'static str {
    match source {
        StepSource::Loaded => "loaded",
        StepSource::Path => "path",
        StepSource::Rpath(_) => "RPATH",
        StepSource::LibraryPath => "LD_LIBRARY_PATH",
        StepSource::Runpath(_) => "RUNPATH",
        StepSource::Cache => "cache",
        StepSource::Default => "default",
    }
}

fn outcome_word(outcome: &StepOutcome) -> &'static str {
    match outcome {
        StepOutcome::Hit => "HIT",
        StepOutcome::Miss => "miss",
        StepOutcome::NoDirectory => "absent",
        StepOutcome::Relative => "relative",
        StepOutcome::Ignored => "ignored",
        StepOutcome::Refused => "refused",
        StepOutcome::Forbidden => "forbidden",
        StepOutcome::Broken(_) => "broken",
        StepOutcome::OtherClass => "class",
        StepOutcome::OtherMachine(_) => "machine",
        StepOutcome::Fatal(_) => "ERROR",
        StepOutcome::UnknownToken => "token",
    }
}

fn libc_name(libc: Libc) -> &'static str {
    match libc {
        Libc::Glibc => "glibc",
        Libc::Musl => "musl",
    }
}

/// Prints the searches as JSON.
///
/// # Errors
/// What writing says.
pub fn print_explanation_json(path: &Path, explanation: &Explanation, out: &mut dyn Write) -> io::Result<()> {
    let mut document = Map::new();
    put(&mut document, "schema", SCHEMA);
    put(&mut document, "command", "explain");
    put_path(&mut document, "path", path);
    put_bytes(&mut document, "interpreter", &explanation.interpreter);
    put(&mut document, "libc", libc_name(explanation.libc));
    let searches = explanation.searches.iter().map(search);
    document.insert("searches".to_owned(), searches.collect());
    print(&Value::Object(document), out)
}

fn search(explained: &Explained) -> Value {
    let mut value = Map::new();
    put_bytes(&mut value, "by", &explained.by);
    put_bytes(&mut value, "name", &explained.search.name);
    if explained.search.expanded != explained.search.name {
        put_bytes(&mut value, "expanded", &explained.search.expanded);
    }
    if let Some(kind) = explained.kind {
        put(&mut value, "kind", kind.name());
    }
    let steps = explained.search.steps.iter().zip(&explained.classes).map(|(step, class)| {
        let mut value = step_object(step);
        put(&mut value, "class", class.name());
        Value::Object(value)
    });
    value.insert("steps".to_owned(), steps.collect());
    value.insert("behind".to_owned(), explained.behind.iter().map(|step| Value::Object(step_object(step))).collect());
    put(&mut value, "answer", explained.answer.name());
    if let Some(place) = explained.answer.place() {
        put_bytes(&mut value, "place", place);
    }
    if let End::Found(_, opened) = &explained.search.end {
        put_bytes(&mut value, "found", opened);
    }
    if let Some(verdict) = explained.verdict.map(Verdict::name) {
        put(&mut value, "verdict", verdict);
    }
    let findings = explained.findings.iter().map(
        |finding| json!({"code": finding.rule.code, "severity": finding.severity.name(), "message": finding.message()}),
    );
    value.insert("findings".to_owned(), findings.collect());
    Value::Object(value)
}

fn step_object(step: &Step) -> Map<String, Value> {
    let mut value = Map::new();
    put(&mut value, "source", &source_word(&step.source).to_ascii_lowercase());
    if let StepSource::Rpath(of) | StepSource::Runpath(of) = &step.source {
        put_bytes(&mut value, "of", of);
    }
    put_bytes(&mut value, "written", &step.written);
    put_bytes(&mut value, "place", &step.place);
    put(&mut value, "outcome", &outcome_word(&step.outcome).to_ascii_lowercase());
    match &step.outcome {
        StepOutcome::Fatal(reason) => put(&mut value, "reason", reason),
        StepOutcome::Broken(reason) => put(&mut value, "reason", reason),
        _ => {}
    }
    value
}
