//! A page: is it worse, and why; both releases in numbers; every file that differs; what is no more.

use std::io::{self, Write};

use maud::{Markup, html};

use super::ComparedRun;
use super::words::{ChangeKind, change_line, totals, worst_first};
use crate::check::Severity;
use crate::report::html::{self as page, PageHead, icon, path_shown, scrolling, severity_badge, shown};
use crate::report::text::counted;

/// As many files are on a page: it is for people.
const MOST_FILES: usize = 5000;

/// Prints the page.
///
/// # Errors
/// What writing says.
pub(crate) fn print(run: &ComparedRun<'_>, out: &mut dyn Write) -> io::Result<()> {
    let (title, hero) = hero(run);
    let mut parts = vec![("numbers", "Numbers")];
    let mut main = numbers(run);
    let mut add = |id, title, section: Option<Markup>| {
        if let Some(section) = section {
            parts.push((id, title));
            main = html! { (main) (section) };
        }
    };
    add("worse", "New and worse", worse(run));
    add("unread", "Not read", unread(run));
    add("files", "Files", files(run));
    add("gone", "No more", gone(run));
    page::print(&PageHead { command: "check", title: &title, subject: &run.run.subject, hero, parts }, &main, out)
}

fn hero(run: &ComparedRun<'_>) -> (String, Markup) {
    let errors = run.run.report.severity_count(Severity::Error);
    let is_read = run.run.report.unread.is_empty();
    let (class, sign) = if errors == 0 && is_read { ("pass", "i-pass") } else { ("fail", "i-fail") };
    let sentence = match errors {
        0 => "Not worse than the other release".to_owned(),
        _ => format!("Worse than the other release: {}", counted(errors, "new error", "new errors")),
    };
    let conclusion = &run.run.conclusion;
    let hero = html! {
        div.hero.(class) {
            (icon(sign))
            div { h1 { (sentence) } p.soft { "Exit code " (conclusion.code) ": " (conclusion.meaning) "." } }
        }
    };
    (sentence, hero)
}

fn numbers(run: &ComparedRun<'_>) -> Markup {
    let table = html! {
        table {
            thead { tr { th scope="col" { "What" } th.n scope="col" { "Before" } th.n scope="col" { "Now" } } }
            tbody {
                @for [what, before, now] in totals(run) {
                    tr { th scope="row" { (what) } td.n { (before) } td.n { @if before == now { (now) } @else { strong { (now) } } } }
                }
            }
        }
    };
    html! {
        section aria-labelledby="numbers" {
            h2 id="numbers" { "Numbers" }
            p.lead {
                (counted(run.comparison.same, "file is the same", "files are the same")) ", "
                (counted(run.still.len(), "finding is", "findings are")) " still there."
            }
            (scrolling("Both releases in numbers", &table))
        }
    }
}

fn worse(run: &ComparedRun<'_>) -> Option<Markup> {
    let findings = &run.run.report.findings;
    let table = html! {
        table.sorts {
            thead { tr {
                th scope="col" { "Finding" } th scope="col" { "File" } th scope="col" { "What" } th scope="col" { "What to do" }
            } }
            tbody {
                @for finding in findings {
                    tr {
                        th scope="row" { (severity_badge(finding.severity)) " " (finding.rule.code) " " (finding.rule.slug) }
                        td { code { (path_shown(&finding.path)) } }
                        td { (shown(finding.message())) }
                        td { (finding.rule.remedy) }
                    }
                }
            }
        }
    };
    (!findings.is_empty()).then(|| {
        html! {
            section aria-labelledby="worse" {
                h2 id="worse" { "New and worse" }
                p.lead { "Findings that the other release does not have, or has less bad." }
                (scrolling("Findings that are new or worse", &table))
            }
        }
    })
}

fn unread(run: &ComparedRun<'_>) -> Option<Markup> {
    let unread = &run.run.report.unread;
    (!unread.is_empty()).then(|| {
        html! {
            section aria-labelledby="unread" {
                h2 id="unread" { "Not read" }
                p.lead { "Nothing is said of these files, and the check is no pass." }
                ul.files { @for (path, reason) in unread { li { code { (path_shown(path)) } ": " (shown(reason)) } } }
            }
        }
    })
}

fn files(run: &ComparedRun<'_>) -> Option<Markup> {
    let files = worst_first(run);
    let more = files.len().saturating_sub(MOST_FILES);
    let table = html! {
        table.sorts {
            thead { tr { th scope="col" { "Change" } th scope="col" { "File" } th scope="col" { "What" } } }
            tbody {
                @for (kind, change) in files.iter().take(MOST_FILES) {
                    tr {
                        td { @if *kind == ChangeKind::Worse { strong { (kind.word()) } } @else { (kind.word()) } }
                        th scope="row" {
                            code { (path_shown(change.path())) }
                            @if let Some(old) = change.old.filter(|_| change.is_renamed) {
                                span.where { "was " code { (path_shown(&old.path)) } }
                            }
                        }
                        td { (shown(change_line(change))) }
                    }
                }
            }
        }
    };
    (!files.is_empty()).then(|| {
        html! {
            section aria-labelledby="files" {
                h2 id="files" { "Files" }
                p.lead {
                    "Files that are new, gone or other, the worst first."
                    @if more > 0 { " " (more) " more are not shown." }
                }
                (scrolling("Files that differ", &table))
            }
        }
    })
}

fn gone(run: &ComparedRun<'_>) -> Option<Markup> {
    let gone = &run.comparison.gone;
    (!gone.is_empty()).then(|| {
        html! {
            section aria-labelledby="gone" {
                h2 id="gone" { "No more" }
                p.lead { "Findings that only the other release has." }
                ul.files {
                    @for finding in gone {
                        li {
                            (finding.severity.name()) " " (shown(finding.code.as_bytes())) " "
                            code { (path_shown(&finding.path)) } ": " (shown(finding.message.as_bytes()))
                        }
                    }
                }
            }
        }
    })
}
