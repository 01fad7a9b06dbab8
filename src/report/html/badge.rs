//! Words that say how good or bad something is, each with a sign of its own beside its colour.

use maud::{Markup, html};

use crate::check::{Severity, Verdict};

/// The signs, drawn once for the page.
pub(super) fn symbols() -> Markup {
    const SIGNS: [(&str, &str); 5] = [
        ("i-pass", "M20 6 9 17l-5-5"),
        ("i-clock", "M12 2a10 10 0 1 0 0 20 10 10 0 0 0 0-20M12 6v6l4 2"),
        ("i-fail", "M18 6 6 18M6 6l12 12"),
        ("i-warn", "M12 3 2 20.5h20zM12 10v4M12 17.5v.01"),
        ("i-note", "M12 2a10 10 0 1 0 0 20 10 10 0 0 0 0-20M12 16v-5M12 8v.01"),
    ];
    html! {
        svg.hide aria-hidden="true" width="0" height="0" {
            @for (id, path) in SIGNS { symbol id=(id) viewBox="0 0 24 24" { path d=(path) {} } }
        }
    }
}

/// A sign, which the word beside it says, too.
pub(in crate::report) fn icon(id: &str) -> Markup {
    html! { svg.icon aria-hidden="true" { use href={ "#" (id) } {} } }
}

/// The sign of a class of the style; none for what is neither good nor bad.
pub(in crate::report) fn icon_of(class: &str) -> Option<&'static str> {
    match class {
        "pass" => Some("i-pass"),
        "runtime" => Some("i-clock"),
        "fail" | "error" => Some("i-fail"),
        "warning" => Some("i-warn"),
        "note" => Some("i-note"),
        _ => None,
    }
}

/// How bad a finding is.
pub(in crate::report) fn severity_badge(severity: Severity) -> Markup {
    badge(severity.name(), severity.name())
}

/// Whether a request is answered right.
pub(in crate::report) fn verdict_badge(verdict: Verdict) -> Markup {
    badge(verdict.name(), words(verdict))
}

/// How many objects have a verdict.
pub(in crate::report) fn counted_badge(count: usize, verdict: Verdict) -> Markup {
    badge(verdict.name(), &format!("{count} {}", words(verdict)))
}

fn words(verdict: Verdict) -> &'static str {
    if verdict == Verdict::Runtime { "at run time" } else { verdict.name() }
}

fn badge(class: &'static str, word: &str) -> Markup {
    html! { span.badge.(class) { @if let Some(id) = icon_of(class) { (icon(id)) } (word) } }
}
