//! For people: a search from the first place to the last, so that one sees who wins and why.

use std::io::{self, Write};
use std::path::Path;

use bstr::{BStr, BString};

use super::symbols;
use crate::check::{Answer, Explained, Explanation};
use crate::loader::{End, Step, StepOutcome, StepSource};
use crate::report::human::{Detail, Human};
use crate::report::words::{kind_word, libc_name, outcome_word, source_word};
use crate::runpath::EntryClass;

/// Prints the searches for people; with `-v` the places that exist nowhere too.
///
/// # Errors
/// What writing says.
pub(crate) fn print(human: &Human, path: &Path, explanation: &Explanation, out: &mut dyn Write) -> io::Result<()> {
    let libc = libc_name(explanation.libc);
    human.path(out, path)?;
    if let Some(program) = &explanation.opened_by {
        write!(out, ": opened with dlopen by ")?;
        human.path(out, program)?;
        write!(out, ", searched by ")?;
    } else {
        write!(out, ": searched by ")?;
    }
    human.name(out, &explanation.interpreter)?;
    writeln!(out, " ({libc})")?;
    for explained in &explanation.searches {
        one(human, explained, out)?;
    }
    if let Some(explained) = &explanation.symbols {
        symbols::print(human, explained, out)?;
    }
    out.flush()
}

fn one(human: &Human, explained: &Explained, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out)?;
    human.name(out, &explained.by)?;
    write!(out, " asks for ")?;
    human.name(out, &explained.search.name)?;
    match kind_word(explained) {
        Some(kind) => writeln!(out, " ({kind})")?,
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
            StepOutcome::Broken(reason) => also(human, reason, out)?,
            StepOutcome::Fatal(reason) => also(human, reason, out)?,
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
            write!(out, ": ")?;
            human.name(out, reason.as_bytes())?;
        }
        (answer, _) => {
            human.name(out, answer.place().unwrap_or_default())?;
            let what = match answer {
                Answer::Stub(_) => ", a link-time stub",
                Answer::Compat(_) => ", from compat",
                _ => "",
            };
            write!(out, "{what}")?;
            if let Some(file) = explained.file.as_ref().filter(|file| answer.place() != Some(file.as_ref())) {
                write!(out, ", which is ")?;
                human.name(out, file)?;
            }
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

/// A reason can have the name of a file in it.
fn also(human: &Human, reason: &str, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "  ")?;
    human.name(out, reason.as_bytes())?;
    writeln!(out)
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
