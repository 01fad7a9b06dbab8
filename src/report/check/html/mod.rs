//! A page: the verdicts at a glance and what to do, then what was found by kind and by package, each object's search with it.

mod kinds;
mod overview;
mod packages;

use std::io::{self, Write};

use maud::{Markup, html};

use super::packages as grouped;
use super::run::CheckRun;
use crate::report::html::{self as page, PageHead, path_shown, shown};

/// Prints the page.
///
/// # Errors
/// What writing says.
pub(crate) fn print(run: &CheckRun, out: &mut dyn Write) -> io::Result<()> {
    let report = &run.report;
    let (title, hero) = overview::hero(run);
    let packages = grouped::packages(run);
    let mut parts = vec![("summary", "Summary")];
    if !report.findings.is_empty() {
        parts.push(("kinds", "Kinds of findings"));
    }
    if !packages.is_empty() {
        parts.push(("packages", "Packages"));
    }
    if !report.unread.is_empty() {
        parts.push(("unread", "Not read"));
    }
    if !run.allowed.is_empty() {
        parts.push(("excused", "Excused"));
    }
    let main = html! {
        (overview::summary(run))
        @if !report.findings.is_empty() { (kinds::section(run, &packages)) }
        @if !packages.is_empty() { (packages::section(run, &packages)) }
        @if !report.unread.is_empty() { (unread(run)) }
        @if !run.allowed.is_empty() { (excused(run)) }
    };
    page::print(&PageHead { command: "check", title: &title, subject: &run.subject, hero, parts }, &main, out)
}

fn unread(run: &CheckRun) -> Markup {
    html! {
        section aria-labelledby="unread" {
            h2 id="unread" { "Not read" }
            p.lead { "Nothing is said of these files, and the check is no pass." }
            ul.files {
                @for (path, reason) in &run.report.unread {
                    li { code { (path_shown(path)) } ": " (shown(reason)) }
                }
            }
        }
    }
}

fn excused(run: &CheckRun) -> Markup {
    html! {
        section aria-labelledby="excused" {
            h2 id="excused" { "Excused" }
            p.lead { "Findings that an allowlist or a baseline excuses. They count for nothing." }
            (page::scrolling("Excused findings", &html! {
                table {
                    thead { tr {
                        th scope="col" { "Finding" } th scope="col" { "File" }
                        th scope="col" { "What" } th scope="col" { "Why it is excused" }
                    } }
                    tbody {
                        @for allowed in &run.allowed {
                            tr {
                                th scope="row" { (allowed.finding.rule.code) " " (allowed.finding.rule.slug) }
                                td { code { (path_shown(&allowed.finding.path)) } }
                                td { (shown(allowed.finding.message())) }
                                td { (shown(&allowed.reason)) }
                            }
                        }
                    }
                }
            }))
        }
    }
}
