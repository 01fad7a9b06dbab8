//! A page: how much becomes how much, in sum and for each file, what goes, and what stays and why.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use maud::{Markup, html};

use super::run::{BeforeAfter, SlimRun, SlimSummary};
use crate::cuda::Code;
use crate::report::folder::{below, common_folder};
use crate::report::html::{self as page, BarPart, PageHead, Tile, bar, icon, key, path_shown, scrolling, shown, tiles};
use crate::report::size::{exact, percent, size};
use crate::report::text::{counted, skip_reason, with_sources};
use crate::tree::{SlimFacts, SlimOutcome, SlimReport};

/// Prints the page.
///
/// # Errors
/// What writing says.
pub(crate) fn print(run: &SlimRun, out: &mut dyn Write) -> io::Result<()> {
    let sums = SlimSummary::of(&run.files);
    let (title, hero) = hero(run, &sums);
    let mut parts = vec![("summary", "Summary")];
    let mut main = summary(run, &sums);
    let mut add = |id, title, section: Option<Markup>| {
        if let Some(section) = section {
            parts.push((id, title));
            main = html! { (main) (section) };
        }
    };
    add("files", "Files", files(run));
    add("goes", "What goes", goes(run));
    add("stays", "What stays", stays(run));
    add("without", "Without code for a target", without_code(run));
    add("failed", "Failed", failed(run));
    add("skipped", "Left alone", skipped(run));
    page::print(&PageHead { command: "slim", title: &title, subject: &run.subject, hero, parts }, &main, out)
}

/// The facts of every file with GPU code.
fn facts(run: &SlimRun) -> impl Iterator<Item = (&SlimReport, &SlimFacts)> {
    run.files.iter().filter_map(|report| match &report.outcome {
        SlimOutcome::Slimmed(facts, _) | SlimOutcome::Conforms(facts) | SlimOutcome::WithoutCode(facts, _) => {
            Some((report, facts.as_ref()))
        }
        SlimOutcome::NoCode | SlimOutcome::Skipped(_) | SlimOutcome::Failed(_) => None,
    })
}

fn hero(run: &SlimRun, sums: &SlimSummary) -> (String, Markup) {
    let BeforeAfter { before, after } = sums.length;
    let less = before.saturating_sub(after);
    let verb = if run.mode.writes() { "became" } else { "would become" };
    let (class, sign) = if sums.failed > 0 { ("fail", "i-fail") } else { ("pass", "i-pass") };
    let sentence = match (sums.with_gpu_code, less) {
        (0, _) => "No GPU code here".to_owned(),
        (_, 0) if sums.code.before == sums.code.after => "Nothing can go".to_owned(),
        (_, 0) => format!("GPU code {verb} {} of {}", size(sums.code.after), size(sums.code.before)),
        _ => format!("{} {verb} {}: {} less", size(before), size(after), percent(less, before)),
    };
    let targets: Vec<String> = run.targets.gpus.iter().map(ToString::to_string).collect();
    let hero = html! {
        div.hero.(class) {
            (icon(sign))
            div {
                h1 { (sentence) }
                p.soft {
                    "Files with GPU code, for " (targets.join(", ")) " alone"
                    @if run.targets.keeps_ptx { ", all PTX kept" }
                    @if !run.mode.writes() { ". Nothing was written" } "."
                }
            }
        }
    };
    (sentence, hero)
}

fn summary(run: &SlimRun, sums: &SlimSummary) -> Markup {
    let change = |label, change: BeforeAfter| {
        let BeforeAfter { before, after } = change;
        let more = format!("of {}, {} less", size(before), percent(before.saturating_sub(after), before));
        Tile { class: "plain", label, number: size(after), more }
    };
    let mut counts = vec![
        change("GPU code", sums.code),
        change("Files with it", sums.length),
        Tile::of(
            "plain",
            if run.mode.writes() { "Slimmed" } else { "To slim" },
            sums.slimmed,
            format!("of {} with GPU code", sums.with_gpu_code),
        ),
        Tile::of("plain", "Already slim", sums.conforming, ""),
    ];
    if sums.without_code > 0 {
        counts.push(Tile::of("runtime", "Without code", sums.without_code, "for a target: left as they are"));
    }
    if sums.failed > 0 {
        counts.push(Tile::of("fail", "Failed", sums.failed, "as they were"));
    }
    html! {
        section aria-labelledby="summary" {
            h2.hide id="summary" { "Summary" }
            (tiles(&counts))
            @if sums.length.before > 0 { (before_after(sums)) }
        }
    }
}

/// The files with GPU code in three parts: what goes, the code that stays, and everything else in them.
fn before_after(sums: &SlimSummary) -> Markup {
    let kept = BarPart { class: "used", amount: sums.code.after, is_striped: false };
    let rest = BarPart { class: "rest", amount: sums.length.after.saturating_sub(sums.code.after), is_striped: false };
    let goes =
        BarPart { class: "lighter", amount: sums.length.before.saturating_sub(sums.length.after), is_striped: true };
    let words = [
        (kept, format!("{} of code stays", size(kept.amount))),
        (rest, format!("{} of everything else", size(rest.amount))),
        (goes, format!("{} goes", size(goes.amount))),
    ];
    let label: Vec<&str> = words.iter().map(|(_, words)| words.as_str()).collect();
    html! { (bar(true, &[kept, rest, goes], sums.length.before, &label.join(", "))) (key(&words)) }
}

fn files(run: &SlimRun) -> Option<Markup> {
    let mut all: Vec<(&SlimReport, &SlimFacts)> = facts(run).collect();
    all.sort_by_key(|(_, facts)| Reverse(facts.length.0.saturating_sub(facts.length.1)));
    let most = all.iter().map(|(_, facts)| facts.length.0).max()?;
    let common = common_folder(all.iter().map(|(report, _)| report.path.as_path()));
    let table = html! {
        table.sorts {
            thead { tr {
                th scope="col" { "File" }
                th.n scope="col" { "Code before" } th.n scope="col" { "after" }
                th.n scope="col" { "File before" } th.n scope="col" { "after" } th.n scope="col" { "Less" }
                th scope="col" { "Picture" }
            } }
            tbody {
                @for (report, facts) in all {
                    @let (before, after) = facts.length;
                    @let less = before.saturating_sub(after);
                    @let parts = [
                        BarPart { class: "used", amount: after, is_striped: false },
                        BarPart { class: "lighter", amount: less, is_striped: true },
                    ];
                    tr {
                        th.file scope="row" { span.path { (path_shown(below(&report.path, &common))) } (state(report)) }
                        td.n data-v=(facts.code.0) { (size(facts.code.0)) }
                        td.n data-v=(facts.code.1) { (size(facts.code.1)) }
                        td.n data-v=(before) title={ (exact(before)) " bytes" } { (size(before)) }
                        td.n data-v=(after) title={ (exact(after)) " bytes" } { (size(after)) }
                        td.n data-v=(less) { (percent(less, before)) }
                        td.bar data-v=(before) { (bar(false, &parts, most, &format!("{} of {} stay", size(after), size(before)))) }
                    }
                }
            }
        }
    };
    Some(html! {
        section aria-labelledby="files" {
            h2 id="files" { "Files" }
            p.lead {
                "Before and after"
                @if !common.as_os_str().is_empty() { ", below " code { (path_shown(&common)) } }
                ". Those stand first that become much shorter."
            }
            (scrolling("Files before and after", &table))
        }
    })
}

fn state(report: &SlimReport) -> Markup {
    html! {
        @match &report.outcome {
            SlimOutcome::Conforms(_) => { span.where { "already slim" } }
            SlimOutcome::WithoutCode(_, gpu) => { span.where { "left as it is: no code for " (gpu) } }
            SlimOutcome::Slimmed(_, written) => { @for note in &written.notes { span.where { (shown(note)) } } }
            SlimOutcome::NoCode | SlimOutcome::Skipped(_) | SlimOutcome::Failed(_) => {}
        }
    }
}

fn goes(run: &SlimRun) -> Option<Markup> {
    let mut removed: BTreeMap<Code, (u64, u64)> = BTreeMap::new();
    for (code, (count, bytes)) in facts(run).flat_map(|(_, facts)| &facts.removed) {
        let sum = removed.entry(*code).or_default();
        *sum = (sum.0.saturating_add(*count), sum.1.saturating_add(*bytes));
    }
    let most = removed.values().map(|(_, bytes)| *bytes).max()?;
    let table = html! {
        table.sorts {
            thead { tr {
                th scope="col" { "Architecture" } th scope="col" { "Kind" } th.n scope="col" { "Pieces" }
                th.n scope="col" { "Bytes" } th scope="col" { "Picture" }
            } }
            tbody {
                @for (code, (count, bytes)) in &removed {
                    @let part = BarPart { class: "lighter", amount: *bytes, is_striped: true };
                    tr {
                        th scope="row" { (code.architecture()) } td { (code.kind.name()) }
                        td.n data-v=(count) { (exact(*count)) } td.n data-v=(bytes) { (size(*bytes)) }
                        td.bar data-v=(bytes) { (bar(false, &[part], most, &size(*bytes))) }
                    }
                }
            }
        }
    };
    Some(html! {
        section aria-labelledby="goes" {
            h2 id="goes" { "What goes" }
            (scrolling("What goes, by architecture", &table))
        }
    })
}

fn stays(run: &SlimRun) -> Option<Markup> {
    let has_more = |facts: &SlimFacts| {
        !facts.left.is_empty() || !facts.outside.is_empty() || facts.unmoved > 0 || facts.not_compacted.is_some()
    };
    let some: Vec<(&SlimReport, &SlimFacts)> = facts(run).filter(|(_, facts)| has_more(facts)).collect();
    (!some.is_empty()).then(|| html! {
        section aria-labelledby="stays" {
            h2 id="stays" { "What stays" }
            p.lead { "Code that no target may need and that is left where it is, with the reason." }
            ul.files { @for (report, facts) in some { li { code { (path_shown(&report.path)) } (reasons(facts)) } } }
        }
    })
}

fn reasons(facts: &SlimFacts) -> Markup {
    html! {
        ul {
            @for (reason, (count, bytes)) in &facts.left {
                li { (exact(*count)) " fat binaries, " (size(*bytes)) ": " (reason.text()) }
            }
            @for (form, (count, bytes)) in &facts.outside {
                li { (size(*bytes)) " outside of fat binaries, " (exact(*count)) " in the form " (form) }
            }
            @if facts.unmoved > 0 {
                li { (size(facts.unmoved)) ", over which what follows cannot be moved in steps" }
            }
            @if let Some(why) = facts.not_compacted { li { "as long as before: " (why.text()) } }
        }
    }
}

fn listed(id: &str, title: &str, lead: &str, rows: Vec<(&Path, String)>) -> Option<Markup> {
    (!rows.is_empty()).then(|| {
        html! {
            section aria-labelledby=(id) {
                h2 id=(id) { (title) }
                p.lead { (lead) }
                ul.files { @for (path, text) in &rows { li { code { (path_shown(path)) } ": " (shown(text)) } } }
            }
        }
    })
}

fn without_code(run: &SlimRun) -> Option<Markup> {
    let rows = run.files.iter().filter_map(|report| match &report.outcome {
        SlimOutcome::WithoutCode(_, gpu) => Some((report.path.as_path(), format!("nothing in it runs on {gpu}"))),
        _ => None,
    });
    let lead = "They are left as they are: slim never makes a file that a target cannot run out of one that it may. CRP500 of check says the same.";
    listed("without", "Without code for a target", lead, rows.collect())
}

fn failed(run: &SlimRun) -> Option<Markup> {
    let rows = run.files.iter().filter_map(|report| match &report.outcome {
        SlimOutcome::Failed(error) => Some((report.path.as_path(), with_sources(error.as_ref()))),
        _ => None,
    });
    listed("failed", "Failed", "These files are as they were.", rows.collect())
}

fn skipped(run: &SlimRun) -> Option<Markup> {
    let rows = run.files.iter().filter_map(|report| match &report.outcome {
        SlimOutcome::Skipped(skip) if !skip.is_not_elf() => Some((report.path.as_path(), shown(skip_reason(skip)))),
        _ => None,
    });
    let rows: Vec<(&Path, String)> = rows.collect();
    let lead = counted(rows.len(), "file is not for this program", "files are not for this program");
    listed("skipped", "Left alone", &format!("{lead}, or another name of one that was done."), rows)
}
