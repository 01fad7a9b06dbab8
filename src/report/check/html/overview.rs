//! The first screen: one sentence, the counts, and what to do next.

use std::collections::BTreeMap;

use maud::{Markup, html};

use crate::check::{Rule, Severity, Verdict};
use crate::report::check::run::CheckRun;
use crate::report::html::{BarPart, Tile, bar, icon, tiles};
use crate::report::text::counted;

/// As many remedies are told before the list of all kinds.
const FIRST: usize = 3;

/// What the whole comes to: the window's title, and the sentence that a person sees first.
pub(super) fn hero(run: &CheckRun) -> (String, Markup) {
    let report = &run.report;
    let consumers = report.consumers();
    let (fail, runtime) = (report.count(Verdict::Fail), report.count(Verdict::Runtime));
    let errors = report.severity_count(Severity::Error);
    let objects = |count: usize| counted(count, "object", "objects");
    let (class, sign, sentence) = if !report.unread.is_empty() {
        ("fail", "i-fail", format!("{} could not be read", counted(report.unread.len(), "file", "files")))
    } else if fail > 0 {
        let word = if fail == 1 { "does" } else { "do" };
        ("fail", "i-fail", format!("{fail} of {} that ask for the driver {word} not get it", objects(consumers)))
    } else if errors > 0 {
        (
            "fail",
            "i-fail",
            format!("{} found, though no request for the driver fails", counted(errors, "error", "errors")),
        )
    } else if consumers == 0 {
        ("note", "i-note", "Nothing here asks for the driver".to_owned())
    } else if runtime > 0 {
        let leaves = if runtime == 1 { "leaves" } else { "leave" };
        ("runtime", "i-clock", format!("{runtime} of {} {leaves} the answer to the target", objects(consumers)))
    } else if consumers == 1 {
        ("pass", "i-pass", "The one object that asks for the driver gets it".to_owned())
    } else {
        ("pass", "i-pass", format!("All {consumers} objects that ask for the driver get it"))
    };
    let hero = html! {
        div.hero.(class) {
            (icon(sign))
            div {
                h1 { (sentence) }
                p.soft { "Exit code " strong { (run.conclusion.code) } ": " (run.conclusion.meaning) "." }
            }
        }
    };
    (sentence, hero)
}

/// The counts, and what to do.
pub(super) fn summary(run: &CheckRun) -> Markup {
    let report = &run.report;
    let consumers = report.consumers();
    let [pass, runtime, fail] = [Verdict::Pass, Verdict::Runtime, Verdict::Fail].map(|verdict| report.count(verdict));
    let severity = |severity| report.severity_count(severity);
    let mut counts = Vec::new();
    if consumers > 0 {
        counts.push(Tile::of("pass", "Pass", pass, "the right directory comes first"));
        counts.push(Tile::of("runtime", "At run time", runtime, "only the target can tell"));
        counts.push(Tile::of("fail", "Fail", fail, "something else or nothing"));
    }
    counts.push(Tile::of("fail", "Errors", severity(Severity::Error), "fails, or loads the wrong library"));
    counts.push(Tile::of("runtime", "Warnings", severity(Severity::Warning), "works today, or by chance"));
    counts.push(Tile::of("plain", "Notes", severity(Severity::Note), "worth knowing"));
    if !run.allowed.is_empty() {
        counts.push(Tile::of("plain", "Excused", run.allowed.len(), "by an allowlist or a baseline"));
    }
    let looked = format!("{} of them ELF, {} for the driver", report.elf, counted(consumers, "asks", "ask"));
    counts.push(Tile::of("plain", "Files", report.files, looked));
    let amount = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let part = |class, count, is_striped| BarPart { class, amount: amount(count), is_striped };
    let parts = [part("pass", pass, false), part("runtime", runtime, true), part("fail", fail, false)];
    let label = format!("Of {consumers}: {pass} pass, {runtime} at run time, {fail} fail");
    html! {
        section aria-labelledby="summary" {
            h2.hide id="summary" { "Summary" }
            (tiles(&counts))
            @if consumers > 0 { (bar(true, &parts, amount(consumers), &label)) }
            (todo(run))
        }
    }
}

fn todo(run: &CheckRun) -> Markup {
    let steps = steps(run);
    html! {
        div.todo {
            h2 { "What to do" }
            ol.one[steps.len() == 1] { @for step in &steps { li { (step) } } }
        }
    }
}

fn steps(run: &CheckRun) -> Vec<Markup> {
    let report = &run.report;
    let (all, fixable) = (report.findings.len(), run.fixable());
    let mut steps = Vec::new();
    if !report.unread.is_empty() {
        steps.push(html! {
            "Make " a href="#unread" { (counted(report.unread.len(), "the file", "the files")) " that could not be read" }
            " readable, and check again."
        });
    }
    if fixable > 0 {
        steps.push(html! {
            "Let fix repair " (fixable) " of " (counted(all, "finding", "findings")) ":"
            pre { code { "cuda-runpath fix " (run.subject.words()) } }
        });
    }
    // By hand: the errors, of which there are most.
    let mut rules: BTreeMap<&str, (usize, &'static Rule)> = BTreeMap::new();
    for finding in report.findings.iter().filter(|one| one.severity == Severity::Error && !one.fixable) {
        rules.entry(finding.rule.code).or_insert((0, finding.rule)).0 += 1;
    }
    let mut rules: Vec<(usize, &Rule)> = rules.into_values().collect();
    rules.sort_by_key(|(count, rule)| (std::cmp::Reverse(*count), rule.code));
    for (count, rule) in rules.iter().take(FIRST) {
        steps.push(html! {
            a href={ "#" (rule.code) } { (rule.code) " " (rule.slug) } ", " (counted(*count, "error", "errors")) ": "
            (rule.remedy)
        });
    }
    if rules.len() > FIRST {
        steps.push(html! {
            "See " a href="#kinds" { "the other kinds" } " of errors, each with its remedy."
        });
    }
    let runtime = report.count(Verdict::Runtime);
    if runtime > 0 {
        let ask = counted(runtime, "object finds", "objects find");
        steps.push(html! {
            (ask) " the driver only where it runs. Write down what is left to the target with "
            code { "check --runtime-list FILE" } ", and close it there:"
            pre { code { "cuda-runpath doctor --runtime-list FILE" } }
        });
    }
    if steps.is_empty() {
        steps.push(match report.severity_count(Severity::Warning) {
            0 => html! { "Nothing." },
            some => html! {
                "Nothing must be done. " a href="#kinds" { (counted(some, "warning", "warnings")) }
                " may be worth a look."
            },
        });
    }
    steps
}
