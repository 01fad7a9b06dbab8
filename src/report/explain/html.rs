//! A page: each search from the first place to the last, who wins and why, and where symbols are bound.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use bstr::{BStr, ByteSlice as _};
use maud::{Markup, html};

use crate::check::{Answer, Explained, ExplainedSymbol, ExplainedSymbols, Explanation, Rival, SymbolEnd, Verdict};
use crate::loader::End;
use crate::report::html::{
    self as page, PageHead, Tile, ends, icon, ladder, path_shown, scrolling, severity_badge, shown, tiles,
    verdict_badge,
};
use crate::report::subject::ReportSubject;
use crate::report::text::counted;
use crate::report::words::{binding_word, kind_word, libc_name, source_word};

/// More searches than these are folded but for those of which there is something to say.
const MOST_OPEN: usize = 12;

/// As many missing symbols are listed.
const MOST_SYMBOLS: usize = 2000;

/// Prints the page.
///
/// # Errors
/// What writing says.
pub(crate) fn print(path: &Path, explanation: &Explanation, out: &mut dyn Write) -> io::Result<()> {
    let (title, hero) = hero(path, explanation);
    let is_of_driver = |one: &&Explained| one.verdict.is_some();
    let driver = explanation.searches.iter().filter(is_of_driver).count();
    let mut parts = Vec::new();
    if driver > 0 {
        parts.push(("driver", "Driver libraries"));
    }
    if driver < explanation.searches.len() {
        parts.push(("searches", if driver == 0 { "Searches" } else { "Other searches" }));
    }
    if explanation.symbols.is_some() {
        parts.push(("symbols", "Symbols"));
    }
    let main = html! {
        (summary(explanation))
        (searches(explanation))
        @if let Some(explained) = &explanation.symbols { (symbols(explained)) }
    };
    let subject = ReportSubject::of_file(path);
    page::print(&PageHead { command: "explain", title: &title, subject: &subject, hero, parts }, &main, out)
}

/// Whether something must be found and is not.
fn is_lost(explained: &Explained) -> bool {
    explained.search.ask.must_find()
        && matches!(explained.answer, Answer::Nothing | Answer::Interrupted(..))
        && !matches!(explained.search.end, End::Interpreter)
}

fn hero(path: &Path, explanation: &Explanation) -> (String, Markup) {
    let name = path_shown(path.file_name().map_or(path, Path::new));
    let lost = explanation.searches.iter().filter(|one| is_lost(one)).count();
    let worst = explanation.searches.iter().filter_map(|one| one.verdict).max();
    let (class, sign, sentence) = match (worst, lost) {
        (Some(Verdict::Fail), _) => ("fail", "i-fail", format!("{name} does not get the driver that it asks for")),
        (_, 1..) => ("fail", "i-fail", format!("{name} misses {}", counted(lost, "library", "libraries"))),
        (Some(Verdict::Runtime), _) => ("runtime", "i-clock", format!("{name} gets the driver that the target has")),
        (Some(Verdict::Pass), _) => ("pass", "i-pass", format!("{name} gets the driver")),
        (None, _) => ("note", "i-note", format!("What {name} searches for")),
    };
    let hero = html! {
        div.hero.(class) {
            (icon(sign))
            div {
                h1 { (sentence) }
                p.soft {
                    @if let Some(program) = &explanation.opened_by {
                        "Opened with dlopen by " code { (path_shown(program)) } ", searched"
                    } @else {
                        "Searched"
                    }
                    " by " code { (shown(&explanation.interpreter)) } " (" (libc_name(explanation.libc)) ")."
                }
            }
        }
    };
    (sentence, hero)
}

fn summary(explanation: &Explanation) -> Markup {
    let searches = &explanation.searches;
    let count = |verdict| searches.iter().filter(|one| one.verdict == Some(verdict)).count();
    let lost = searches.iter().filter(|one| is_lost(one)).count();
    let places: usize = searches.iter().map(|one| one.search.steps.len()).sum();
    let mut counts = vec![
        Tile::of("plain", "Searches", searches.len(), format!("{places} places looked at")),
        Tile::of("fail", "Not found", lost, "and needed"),
    ];
    for (verdict, class, label) in [
        (Verdict::Fail, "fail", "Driver fails"),
        (Verdict::Runtime, "runtime", "Driver at run time"),
        (Verdict::Pass, "pass", "Driver passes"),
    ] {
        if count(verdict) > 0 {
            counts.push(Tile::of(class, label, count(verdict), ""));
        }
    }
    html! { section aria-label="Summary" { (tiles(&counts)) } }
}

fn searches(explanation: &Explanation) -> Markup {
    let (driver, others): (Vec<&Explained>, Vec<&Explained>) =
        explanation.searches.iter().partition(|one| one.verdict.is_some());
    let is_open = others.len() <= MOST_OPEN;
    html! {
        @if !driver.is_empty() {
            section aria-labelledby="driver" {
                h2 id="driver" { "Driver libraries" }
                p.lead { "The first place that has the library wins." }
                @for one in &driver { (search(one, true)) }
            }
        }
        @if !others.is_empty() {
            section aria-labelledby="searches" {
                h2 id="searches" { @if driver.is_empty() { "Searches" } @else { "Other searches" } }
                p.lead { "In the order in which they are made." }
                @for one in &others { (search(one, is_open || is_lost(one) || !one.findings.is_empty())) }
            }
        }
    }
}

fn search(explained: &Explained, is_open: bool) -> Markup {
    let search = &explained.search;
    let is_loader = matches!(search.end, End::Interpreter);
    let steps = search.steps.iter().zip(explained.classes.iter().copied());
    html! {
        details.card open[is_open] {
            summary {
                h3.grow {
                    code { (shown(&search.name)) }
                    span.where { "⇒ " (ends(&explained.answer, search.name.as_bstr(), is_loader, explained.file.as_ref())) }
                }
                span.tags {
                    @if let Some(kind) = kind_word(explained) { span.soft { (kind) } }
                    @if let Some(verdict) = explained.verdict { (verdict_badge(verdict)) }
                    @if is_lost(explained) { span.badge.fail { (icon("i-fail")) "not found" } }
                }
            }
            div.in {
                p.soft { "Asked for by " code { (shown(&explained.by)) } }
                (ladder(explained.by.as_bstr(), steps, 0, &explained.behind))
                div.ends { "⇒ " (ends(&explained.answer, search.name.as_bstr(), is_loader, explained.file.as_ref())) }
                @for finding in &explained.findings {
                    div.kind {
                        h4 { (severity_badge(finding.severity)) (finding.rule.code) " " (finding.rule.slug) }
                        p { (shown(finding.message())) }
                        p.soft { (finding.rule.cause) }
                        p { strong { "What to do. " } (finding.rule.remedy) }
                    }
                }
            }
        }
    }
}

/// How many symbols each library gives to each object that asks.
type Providers<'e> = BTreeMap<(&'e BStr, &'e BStr), usize>;

fn symbols(explained: &ExplainedSymbols) -> Markup {
    let mut providers = Providers::new();
    for symbol in &explained.symbols {
        if let SymbolEnd::Bound(place, _) = &symbol.end {
            *providers.entry((symbol.by.as_bstr(), place.as_bstr())).or_default() += 1;
        }
    }
    let missing: Vec<&ExplainedSymbol> =
        explained.symbols.iter().filter(|one| !matches!(one.end, SymbolEnd::Bound(..))).collect();
    let needed = missing.iter().filter(|one| !one.is_weak).count();
    html! {
        section aria-labelledby="symbols" {
            h2 id="symbols" { "Symbols" }
            p.lead {
                (counted(explained.symbols.len(), "symbol is", "symbols are")) " asked for, "
                @if needed == 0 { "and none is missing." } @else { strong { (needed) " missing" } "." }
            }
            @if !explained.problems.is_empty() {
                p { "Not all can be told:" }
                ul.files { @for (path, reason) in &explained.problems { li { code { (shown(path)) } ": " (shown(reason)) } } }
            }
            @if !missing.is_empty() { (unbound(&missing, explained.is_whole)) }
            @if !providers.is_empty() { (bound(&providers)) }
        }
    }
}

fn bound(providers: &Providers<'_>) -> Markup {
    scrolling(
        "Which library gives how many symbols",
        &html! {
            table.sorts {
                caption { "Which library gives how many" }
                thead { tr { th scope="col" { "Asks" } th scope="col" { "Gets them from" } th.n scope="col" { "Symbols" } } }
                tbody {
                    @for ((by, place), count) in providers {
                        tr { td { span.path { (shown(by)) } } td { span.path { (shown(place)) } } td.n { (count) } }
                    }
                }
            }
        },
    )
}

fn unbound(missing: &[&ExplainedSymbol], is_whole: bool) -> Markup {
    scrolling(
        "Symbols that nothing gives",
        &html! {
            table.sorts {
                caption {
                    "Symbols that nothing gives"
                    @if missing.len() > MOST_SYMBOLS { ", the first " (MOST_SYMBOLS) " of " (missing.len()) }
                }
                thead { tr {
                    th scope="col" { "Symbol" } th scope="col" { "Version" } th scope="col" { "Asks" }
                    th scope="col" { "When" } th scope="col" { "What became of it" }
                } }
                tbody {
                    @for symbol in missing.iter().take(MOST_SYMBOLS) {
                        tr {
                            th scope="row" { span.path { (shown(&symbol.name)) } }
                            td { @if let Some(version) = &symbol.version {
                                (shown(version))
                                @if let Some(file) = &symbol.file { " of " span.path { (shown(file)) } }
                            } }
                            td { span.path { (shown(&symbol.by)) } }
                            td { (binding_word(symbol.binding)) }
                            td { (fate(symbol, is_whole)) }
                        }
                    }
                }
            }
        },
    )
}

fn fate(symbol: &ExplainedSymbol, is_whole: bool) -> Markup {
    html! {
        @match &symbol.end {
            _ if symbol.is_weak => { "weak: it is zero" }
            SymbolEnd::Unversioned(place) => {
                code { (shown(place)) } " has it, and no versions at all: the loader stops with an assertion"
            }
            SymbolEnd::OtherVersion(place) => { code { (shown(place)) } " has it in another version, or hidden" }
            SymbolEnd::Nothing | SymbolEnd::Bound(..) if is_whole || symbol.version.is_some() => {
                "nothing in the process has it"
            }
            SymbolEnd::Nothing | SymbolEnd::Bound(..) => { "what loads this object may have it" }
        }
        @for Rival { place, source, behind } in &symbol.rivals {
            span.where {
                code { (shown(place)) } " has it, but stands behind " code { (shown(behind)) } " in the search ("
                (source_word(source)) ")"
            }
        }
    }
}
