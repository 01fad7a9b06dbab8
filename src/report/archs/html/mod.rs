//! A page: how much GPU code there is and for what, libraries by architectures, and where the code stands.

mod heat;
mod picture;
mod sums;

use std::io::{self, Write};

use maud::{Markup, html};

use super::run::ArchsRun;
use crate::cuda::{GpuCode, bytes_of};
use crate::report::html::{self as page, BarPart, PageHead, Tile, bar, icon, key, path_shown, shown, tiles};
use crate::report::size::{exact, percent, size};
use crate::report::text::{counted, with_sources};
use crate::tree::ArchsReport;

/// Prints the page.
///
/// # Errors
/// What writing says.
pub(crate) fn print(run: &ArchsRun, out: &mut dyn Write) -> io::Result<()> {
    let all = run.together();
    let problems: Vec<&ArchsReport> = run.files.iter().filter(|report| has_problem(report)).collect();
    let (title, hero) = hero(run, &all);
    let mut parts = vec![("summary", "Summary")];
    if run.with_code() > 0 {
        if !run.sum_only {
            parts.push(("libraries", "Libraries by architectures"));
        }
        parts.push(("architectures", "Architectures"));
        if !run.gpus.is_empty() && !run.sum_only {
            parts.push(("targets", "Targets"));
        }
        parts.push(("places", "Where the code stands"));
    }
    if !problems.is_empty() {
        parts.push(("problems", "Not understood"));
    }
    let main = html! {
        (summary(run, &all))
        @if run.with_code() > 0 {
            @if !run.sum_only { (heat::section(run, &all)) }
            (sums::architectures(run, &all))
            @if !run.gpus.is_empty() && !run.sum_only { (sums::targets(run)) }
            (sums::places(run))
        }
        @if !problems.is_empty() { (not_understood(&problems)) }
    };
    page::print(&PageHead { command: "archs", title: &title, subject: &run.subject, hero, parts }, &main, out)
}

fn has_problem(report: &ArchsReport) -> bool {
    report.code.as_ref().map_or(true, |code| code.places.iter().any(|place| place.problem_count() > 0))
}

/// `8.7 and 9.0`.
fn gpus(run: &ArchsRun) -> String {
    let names: Vec<String> = run.gpus.iter().map(ToString::to_string).collect();
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}

fn hero(run: &ArchsRun, all: &GpuCode) -> (String, Markup) {
    let bytes = bytes_of(&all.total());
    let unused = bytes_of(&all.unused(&run.gpus));
    let files = counted(run.with_code(), "file", "files");
    let sentence = match bytes {
        0 => "No GPU code here".to_owned(),
        _ if run.gpus.is_empty() => format!("{} of GPU code in {files}", size(bytes)),
        _ => format!("{} of {} of GPU code is for none of the targets", size(unused), size(bytes)),
    };
    let hero = html! {
        div.hero.note {
            (icon("i-note"))
            div {
                h1 { (sentence) }
                @if bytes > 0 && !run.gpus.is_empty() {
                    p.soft {
                        (percent(unused, bytes)) " could go where only " (gpus(run)) " must run it; "
                        code { "cuda-runpath slim" } " takes it out."
                    }
                }
            }
        }
    };
    (sentence, hero)
}

fn summary(run: &ArchsRun, all: &GpuCode) -> Markup {
    let total = all.total();
    let (bytes, unused) = (bytes_of(&total), bytes_of(&all.unused(&run.gpus)));
    let failed = run.files.iter().filter(|report| report.code.is_err()).count();
    let problems: u64 = all.places.iter().map(|place| place.problem_count()).fold(0, u64::saturating_add);
    let containers: u64 = all.places.iter().map(|place| place.containers).fold(0, u64::saturating_add);
    let plain = |label, number: String, more: String| Tile { class: "plain", label, number, more };
    let mut counts = vec![
        plain("GPU code", size(bytes), format!("{} bytes", exact(bytes))),
        plain("Files with it", run.with_code().to_string(), format!("of {}", run.files.len())),
        plain("Architectures", total.len().to_string(), "kinds of code counted apart".to_owned()),
        plain("Fat binaries", exact(containers), String::new()),
    ];
    if !run.gpus.is_empty() {
        let more = format!("{} of it, for none of {}", percent(unused, bytes), gpus(run));
        counts.push(Tile { class: "runtime", label: "Dead code", number: size(unused), more });
    }
    if failed > 0 || problems > 0 {
        let more = format!("in files, and {} not read", counted(failed, "file", "files"));
        counts.push(Tile { class: "fail", label: "Not understood", number: exact(problems), more });
    }
    let used = BarPart { class: "used", amount: bytes.saturating_sub(unused), is_striped: false };
    let dead = BarPart { class: "rest", amount: unused, is_striped: true };
    let words = [
        (used, format!("{} for a target", size(bytes.saturating_sub(unused)))),
        (dead, format!("{} for none", size(unused))),
    ];
    html! {
        section aria-labelledby="summary" {
            h2.hide id="summary" { "Summary" }
            (tiles(&counts))
            @if !run.gpus.is_empty() && bytes > 0 {
                (bar(true, &[used, dead], bytes, &format!("{} and {}", words[0].1, words[1].1)))
                (key(&words))
            }
        }
    }
}

fn not_understood(reports: &[&ArchsReport]) -> Markup {
    html! {
        section aria-labelledby="problems" {
            h2 id="problems" { "Not understood" }
            p.lead { "What is here may be more GPU code than this page counts." }
            ul.files {
                @for report in reports {
                    @match &report.code {
                        Err(error) => { li { code { (path_shown(&report.path)) } ": " (shown(with_sources(error))) } }
                        Ok(code) => {
                            @for place in code.places.iter().filter(|place| place.problem_count() > 0) {
                                li {
                                    code { (path_shown(&report.path)) } " in " code { (shown(&place.name)) } ":"
                                    ul {
                                        @for problem in &place.problems { li { (shown(problem.to_string())) } }
                                        @if place.more_problems > 0 { li { "and " (place.more_problems) " more" } }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
