//! For people: what is worse first and what to do about it, then what else is new, gone or other, then both in numbers.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Write};
use std::path::Path;

use super::ComparedRun;
use super::words::{ChangeKind, contents_words, kind_of, names};
use crate::check::{FileChange, Finding, RequestChange, Rule, Severity, SnapshotRequest, Totals, Verdict};
use crate::cuda::{Code, bytes_of};
use crate::report::check::{GroupBy, groups};
use crate::report::human::{Detail, Human};

/// As many lines of one kind are shown without `-v`.
const FIRST: usize = 10;

/// Prints a comparison.
///
/// # Errors
/// What writing says.
pub(crate) fn print(human: &Human, run: &ComparedRun<'_>, by: GroupBy, out: &mut dyn Write) -> io::Result<()> {
    let least = match human.detail {
        Detail::Quiet => Severity::Error,
        Detail::Normal => Severity::Warning,
        Detail::Verbose | Detail::All => Severity::Note,
    };
    let mut findings: Vec<&Finding> =
        run.run.report.findings.iter().filter(|finding| finding.severity >= least).collect();
    let mut worst: HashMap<&Path, Severity> = HashMap::new();
    for finding in &findings {
        let of_file = worst.entry(&finding.path).or_insert(finding.severity);
        *of_file = finding.severity.max(*of_file);
    }
    findings.sort_by_key(|finding| Reverse(worst.get(finding.path.as_path()).copied()));
    groups::print(human, by, &findings, out)?;
    if human.detail >= Detail::Normal {
        remedies(human, &findings, out)?;
        gone(human, run, out)?;
        files(human, run, out)?;
        counts(human, run, out)?;
    }
    out.flush()
}

/// What to do about each kind of error.
fn remedies(human: &Human, findings: &[&Finding], out: &mut dyn Write) -> io::Result<()> {
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
    let rules: BTreeMap<&str, &Rule> = errors.map(|finding| (finding.rule.code, finding.rule)).collect();
    let title = human.out.title;
    rules.values().try_for_each(|rule| writeln!(out, "{title}{}:{title:#} {}", rule.code, rule.remedy))
}

/// The first lines of a kind, and how many more there are.
fn some<T>(
    human: &Human,
    items: &[T],
    out: &mut dyn Write,
    line: impl Fn(&T, &mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let shown = if human.detail >= Detail::Verbose { items.len() } else { FIRST };
    items.iter().take(shown).try_for_each(|item| line(item, out))?;
    match items.len().saturating_sub(shown) {
        0 => Ok(()),
        more => writeln!(out, "  and {more} more (-v lists all)"),
    }
}

fn gone(human: &Human, run: &ComparedRun<'_>, out: &mut dyn Write) -> io::Result<()> {
    some(human, &run.comparison.gone, out, |finding, out| {
        let good = human.out.good;
        write!(out, "{good}no more{good:#} {} {} {} ", finding.severity.name(), finding.code, finding.slug)?;
        if !finding.path.as_os_str().is_empty() {
            human.path(out, &finding.path)?;
            write!(out, ": ")?;
        }
        human.name(out, finding.message.as_bytes())?;
        writeln!(out)
    })
}

fn files(human: &Human, run: &ComparedRun<'_>, out: &mut dyn Write) -> io::Result<()> {
    for wanted in [ChangeKind::Worse, ChangeKind::Gone, ChangeKind::New, ChangeKind::Other] {
        let of_kind = run.comparison.files.iter().filter(|change| kind_of(change) == wanted);
        some(human, &of_kind.collect::<Vec<_>>(), out, |change, out| file(human, wanted, change, out))?;
    }
    Ok(())
}

/// `changed lib/libx.so: 1200 -> 1300 bytes; GPU code 0 -> 4096 bytes, + sm_90; libcuda.so.1: pass compat … -> fail stub …`
fn file(human: &Human, kind_of: ChangeKind, change: &FileChange<'_>, out: &mut dyn Write) -> io::Result<()> {
    let word = kind_of.word();
    let style = match kind_of {
        ChangeKind::Worse => human.out.bad,
        ChangeKind::Gone => human.out.warning,
        ChangeKind::New => human.out.good,
        ChangeKind::Other => human.out.title,
    };
    write!(out, "{style}{word}{style:#} ")?;
    human.path(out, change.path())?;
    if let Some(old) = change.old.filter(|_| change.is_renamed) {
        write!(out, " (was ")?;
        human.path(out, &old.path)?;
        write!(out, ")")?;
    }
    let mut separator = ": ";
    for part in contents_words(change) {
        write!(out, "{separator}{part}")?;
        separator = "; ";
    }
    for request in &change.requests {
        write!(out, "{separator}")?;
        separator = "; ";
        answers(human, request, out)?;
    }
    writeln!(out)
}

fn answers(human: &Human, change: &RequestChange<'_>, out: &mut dyn Write) -> io::Result<()> {
    human.name(out, change.soname.as_bytes())?;
    match (change.old, change.new) {
        (Some(old), Some(new)) => {
            write!(out, ": ")?;
            answer(human, old, out)?;
            write!(out, " -> ")?;
            answer(human, new, out)
        }
        (None, Some(new)) => {
            write!(out, " is asked for now: ")?;
            answer(human, new, out)
        }
        _ => write!(out, " is not asked for any more"),
    }
}

fn answer(human: &Human, request: &SnapshotRequest, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "{} from ", human.out.verdict_label(request.verdict))?;
    match request.answer.place() {
        Some(place) => human.name(out, place),
        None => write!(out, "nowhere"),
    }
}

fn counts(human: &Human, run: &ComparedRun<'_>, out: &mut dyn Write) -> io::Result<()> {
    let comparison = &run.comparison;
    let (old, new) = &comparison.totals;
    let count = |wanted| comparison.files.iter().filter(|change| kind_of(change) == wanted).count();
    let (fresh, gone) = (count(ChangeKind::New), count(ChangeKind::Gone));
    let other = count(ChangeKind::Other).saturating_add(count(ChangeKind::Worse));
    writeln!(
        out,
        "{}: {fresh} new, {gone} gone, {other} changed, {} the same",
        then("files", old.files, new.files),
        comparison.same
    )?;
    if old.bytes > 0 || new.bytes > 0 {
        write!(out, "{}", then("bytes", old.bytes, new.bytes))?;
        let (before, after) = (bytes_of(&old.gpu_code), bytes_of(&new.gpu_code));
        if before > 0 || after > 0 {
            let codes = |totals: &Totals| -> BTreeSet<Code> { totals.gpu_code.keys().copied().collect() };
            let (before_codes, after_codes) = (codes(old), codes(new));
            let gained: Vec<Code> = after_codes.difference(&before_codes).copied().collect();
            let lost: Vec<Code> = before_codes.difference(&after_codes).copied().collect();
            write!(out, ", {} of GPU code", then("", before, after).trim_start())?;
            write!(out, "{}{}", names(", + ", &gained), names(", - ", &lost))?;
        }
        writeln!(out)?;
    }
    let verdicts: Vec<String> = [Verdict::Pass, Verdict::Runtime, Verdict::Fail]
        .iter()
        .map(|verdict| {
            let of = |totals: &Totals| totals.verdicts.get(verdict.name()).copied().unwrap_or(0);
            then(verdict.name(), of(old), of(new))
        })
        .collect();
    let answers: BTreeSet<&str> = old.libcuda.keys().chain(new.libcuda.keys()).copied().collect();
    let answers = answers.into_iter().map(|answer| {
        let of = |totals: &Totals| totals.libcuda.get(answer).copied().unwrap_or(0);
        then(answer, of(old), of(new))
    });
    let answers: Vec<String> = answers.collect();
    write!(out, "verdicts: {}", verdicts.join(", "))?;
    if answers.is_empty() {
        writeln!(out)?
    } else {
        writeln!(out, "; libcuda from {}", answers.join(", "))?
    }
    let report = &run.run.report;
    let errors = report.severity_count(Severity::Error);
    let counts = [
        (report.severity_count(Severity::Warning), "new warning", "s"),
        (report.severity_count(Severity::Note), "new note", "s"),
        (run.run.allowed.len(), "allowed", ""),
        (run.still.len(), "still there", ""),
        (comparison.gone.len(), "no more", ""),
    ];
    let plural = |count: usize, letter: &'static str| if count == 1 { "" } else { letter };
    write!(out, "findings: {errors} error{} new or worse", plural(errors, "s"))?;
    for (count, what, letter) in counts.into_iter().filter(|(count, ..)| *count > 0) {
        write!(out, ", {count} {what}{}", plural(count, letter))?;
    }
    writeln!(out)?;
    let (bad, good) = (human.out.bad, human.out.good);
    match errors {
        0 => writeln!(out, "{good}not worse{good:#}"),
        _ => writeln!(out, "{bad}worse{bad:#}"),
    }
}

/// `pass 3`, or `pass 2 -> 3` where that differs.
fn then<T: PartialEq + std::fmt::Display>(what: &str, old: T, new: T) -> String {
    if old == new { format!("{what} {new}") } else { format!("{what} {old} -> {new}") }
}
