//! Package by package: what was found in it, with the remedy, and each object that asks, with its search.

use std::collections::HashMap;

use bstr::BStr;
use maud::{Markup, html};

use crate::check::{Finding, Ladder, ObjectReport, RequestReport, Severity, Verdict};
use crate::report::check::packages::{CheckedPackage, SameKind};
use crate::report::check::run::CheckRun;
use crate::report::html::{counted_badge, ends, ladder, path_shown, severity_badge, shown, verdict_badge};
use crate::report::text::counted;

/// As many packages are unfolded from the start: those with errors.
const MOST_OPEN: usize = 8;

/// More files than these are folded away behind what is said of them.
const MOST_FILES: usize = 6;

/// A page has no more than these bytes of searches; those beyond are said to be missing.
const MOST_OF_SEARCHES: usize = 3 << 20;

pub(super) fn section(run: &CheckRun, packages: &[CheckedPackage<'_>]) -> Markup {
    let mut room = MOST_OF_SEARCHES;
    html! {
        section aria-labelledby="packages" {
            h2 id="packages" { "Packages" }
            p.lead {
                (counted(packages.len(), "package", "packages"))
                ", those with the worst first. Objects of a package that ask for the same and search alike stand together."
            }
            (filter())
            div id="list" {
                @for (number, package) in packages.iter().enumerate() {
                    (card(number, package, run, &mut room))
                }
            }
        }
    }
}

/// For the script, which shows it.
fn filter() -> Markup {
    const KINDS: [(&str, &str); 6] = [
        ("error", "errors"),
        ("warning", "warnings"),
        ("note", "notes"),
        ("fail", "fail"),
        ("runtime", "at run time"),
        ("pass", "pass"),
    ];
    html! {
        form.find data-of="list" role="search" aria-label="Packages" hidden {
            label { span.hide { "Filter by text" } input type="search" placeholder="Package, file, code or text"; }
            @for (value, label) in KINDS {
                label { input type="checkbox" value=(value) checked; (label) }
            }
            button type="button" aria-pressed="false" { "Unfold all" }
            output.soft {}
        }
    }
}

fn card(number: usize, package: &CheckedPackage<'_>, run: &CheckRun, room: &mut usize) -> Markup {
    let name = path_shown(&package.name(&run.subject));
    let path = package.path.as_deref().map(path_shown).filter(|path| *path != name && !path.is_empty());
    html! {
        details.card data-group id={ "p" (number) } open[number < MOST_OPEN && package.is_bad()] {
            summary {
                h3.grow { (name) @if let Some(path) = path { span.where.path { (path) } } }
                span.tags { (counts(package)) }
            }
            div.in {
                @for (first, said) in package.kinds() { (kind(package, first, &said)) }
                @if !package.objects.is_empty() { (asking(package, room)) }
            }
        }
    }
}

fn counts(package: &CheckedPackage<'_>) -> Markup {
    let severities = [
        (Severity::Error, "error", "errors"),
        (Severity::Warning, "warning", "warnings"),
        (Severity::Note, "note", "notes"),
    ];
    html! {
        @for verdict in [Verdict::Fail, Verdict::Runtime, Verdict::Pass] {
            @let count = package.count(verdict);
            @if count > 0 { (counted_badge(count, verdict)) }
        }
        @for (severity, one, more) in severities {
            @let count = package.severity_count(severity);
            @if count > 0 { span.soft { (counted(count, one, more)) } }
        }
    }
}

fn kind(package: &CheckedPackage<'_>, first: &Finding, said: &SameKind<'_>) -> Markup {
    let rule = first.rule;
    html! {
        div.kind {
            h4 { (severity_badge(first.severity)) a href={ "#" (rule.code) } { (rule.code) " " (rule.slug) } }
            p.soft { (rule.cause) }
            p { strong { "What to do. " } (rule.remedy) }
            ul.files {
                @for (message, paths) in said {
                    li data-is=(first.severity.name()) { (told(package, message, paths)) }
                }
            }
        }
    }
}

fn told(package: &CheckedPackage<'_>, message: &str, paths: &[&std::path::Path]) -> Markup {
    let list = || html! { ul { @for path in paths { li { code { (path_shown(package.below(path))) } } } } };
    html! {
        @match paths {
            [] => {}
            [path] if path.as_os_str().is_empty() => { (shown(message)) }
            [path] => { code { (path_shown(package.below(path))) } ": " (shown(message)) }
            few if few.len() <= MOST_FILES => { (shown(message)) (list()) }
            many => { details { summary { (shown(message)) span.soft { " – " (many.len()) " files" } } (list()) } }
        }
    }
}

/// Objects that ask for the same, search alike and get the same.
struct Alike<'r> {
    request: &'r RequestReport,
    /// The search as the page shows it.
    search: Option<Markup>,
    objects: Vec<&'r ObjectReport>,
}

fn asking(package: &CheckedPackage<'_>, room: &mut usize) -> Markup {
    html! {
        div.kind {
            h4 { "Who asks for the driver" }
            @for alike in alike(package) {
                @let search = alike.search.as_ref().filter(|search| fits(search, room));
                (asks(package, &alike, search))
            }
        }
    }
}

fn fits(search: &Markup, room: &mut usize) -> bool {
    match room.checked_sub(search.0.len()) {
        Some(left) => {
            *room = left;
            true
        }
        None => false,
    }
}

fn alike<'r>(package: &CheckedPackage<'r>) -> Vec<Alike<'r>> {
    let mut known: HashMap<(&str, &str, String), usize> = HashMap::new();
    let mut all: Vec<Alike<'r>> = Vec::new();
    for object in &package.objects {
        for request in &object.requests {
            let search = request.ladder.as_deref().map(|search| steps(object, search));
            let seen = format!("{}{}", result(request).0, search.as_ref().map_or("", |search| search.0.as_str()));
            let new = all.len();
            let at = *known.entry((request.soname.as_str(), request.kind.name(), seen)).or_insert(new);
            if at == new {
                all.push(Alike { request, search, objects: Vec::new() });
            }
            if let Some(alike) = all.get_mut(at) {
                alike.objects.push(object);
            }
        }
    }
    all.sort_by_key(|alike| std::cmp::Reverse(alike.request.verdict));
    all
}

fn steps(object: &ObjectReport, search: &Ladder) -> Markup {
    let own = BStr::new(&object.facts.object.path);
    html! {
        @if let Some(first) = &search.first { p.soft { code { (shown(first)) } " asks first, and decides for the process:" } }
        (ladder(own, search.steps.iter().map(|(step, class)| (step, *class)), search.more, &search.behind))
    }
}

/// What a request comes to.
fn result(request: &RequestReport) -> Markup {
    let name = BStr::new(&request.soname);
    html! {
        (ends(&request.answer, name, false, None))
        @if let Some(program) = &request.through { ", in " code { (path_shown(program)) } }
        @if !request.on_hosts.is_empty() {
            ul { @for on in &request.on_hosts {
                li { (verdict_badge(on.verdict)) " on a host like " (shown(&on.host)) ": " (ends(&on.answer, name, false, None)) }
            } }
        }
    }
}

fn asks(package: &CheckedPackage<'_>, alike: &Alike<'_>, search: Option<&Markup>) -> Markup {
    let request = alike.request;
    let Some(first) = alike.objects.first() else { return Markup::default() };
    let others = alike.objects.len().saturating_sub(1);
    html! {
        details.asks data-is=(request.verdict.name()) {
            summary {
                (verdict_badge(request.verdict)) " " code { (path_shown(package.below(&first.facts.shown))) }
                @if others > 0 { " and " (counted(others, "other", "others")) }
                " → " code { (shown(&request.soname)) } span.soft { " (" (request.kind.name()) ")" }
            }
            div {
                @if others > 0 {
                    ul.flat { @for object in &alike.objects { li { code { (path_shown(package.below(&object.facts.shown))) } (wrapped(object)) } } }
                } @else { (wrapped(first)) }
                @match (search, &alike.search) {
                    (Some(search), _) => { (search) }
                    (None, Some(_)) => { p.soft { "This page has no room for more searches: " code { "cuda-runpath explain FILE" } " shows this one." } }
                    (None, None) => {}
                }
                div.ends { "⇒ " (result(request)) }
            }
        }
    }
}

fn wrapped(object: &ObjectReport) -> Markup {
    html! { @if let Some(wrapper) = &object.wrapper { span.soft { " wrapped by " code { (path_shown(wrapper)) } } } }
}
