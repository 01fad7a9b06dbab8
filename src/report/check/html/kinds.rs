//! Each kind of finding once: when it is raised, why that matters, what to do, and which packages have it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use maud::{Markup, html};

use crate::check::{Rule, Severity};
use crate::report::check::packages::CheckedPackage;
use crate::report::check::run::CheckRun;
use crate::report::html::{path_shown, severity_badge};
use crate::report::text::counted;

/// As many packages are named with a kind.
const MOST_NAMED: usize = 12;

struct FoundKind<'r> {
    rule: &'static Rule,
    worst: Severity,
    count: usize,
    fixable: usize,
    files: BTreeSet<&'r Path>,
    packages: Vec<(usize, &'r CheckedPackage<'r>)>,
}

pub(super) fn section(run: &CheckRun, packages: &[CheckedPackage<'_>]) -> Markup {
    let kinds = kinds(packages);
    html! {
        section aria-labelledby="kinds" {
            h2 id="kinds" { "Kinds of findings" }
            p.lead {
                (counted(run.report.findings.len(), "finding", "findings")) " of " (counted(kinds.len(), "kind", "kinds"))
                ", the worst first: why each matters, and what to do."
            }
            @for kind in &kinds { (card(kind, run)) }
        }
    }
}

fn kinds<'r>(packages: &'r [CheckedPackage<'r>]) -> Vec<FoundKind<'r>> {
    let mut kinds: BTreeMap<&str, FoundKind<'r>> = BTreeMap::new();
    for (number, package) in packages.iter().enumerate() {
        for finding in &package.findings {
            let kind = kinds.entry(finding.rule.code).or_insert_with(|| FoundKind {
                rule: finding.rule,
                worst: finding.severity,
                count: 0,
                fixable: 0,
                files: BTreeSet::new(),
                packages: Vec::new(),
            });
            kind.worst = kind.worst.max(finding.severity);
            kind.count += 1;
            kind.fixable += usize::from(finding.fixable);
            kind.files.insert(&finding.path);
            if kind.packages.last().is_none_or(|(last, _)| *last != number) {
                kind.packages.push((number, package));
            }
        }
    }
    let mut kinds: Vec<FoundKind<'r>> = kinds.into_values().collect();
    kinds.sort_by_key(|kind| (Reverse(kind.worst), kind.rule.code));
    kinds
}

fn card(kind: &FoundKind<'_>, run: &CheckRun) -> Markup {
    let rule = kind.rule;
    html! {
        details.card id=(rule.code) {
            summary {
                (severity_badge(kind.worst))
                h3.grow { (rule.code) " " (rule.slug) }
                span.soft {
                    (kind.count) " in " (counted(kind.files.len(), "file", "files"))
                    @if kind.fixable > 0 { ", fix repairs " (if kind.fixable == kind.count { "all".to_owned() } else { kind.fixable.to_string() }) }
                }
            }
            div.in {
                p { strong { "When. " } (rule.condition) }
                p { strong { "Why. " } (rule.cause) }
                p { strong { "What to do. " } (rule.remedy) }
                p {
                    strong { "Where. " }
                    @for (at, (number, package)) in kind.packages.iter().take(MOST_NAMED).enumerate() {
                        @if at > 0 { ", " }
                        a href={ "#p" (number) } { (path_shown(&package.name(&run.subject))) }
                    }
                    @if kind.packages.len() > MOST_NAMED { " and " (kind.packages.len() - MOST_NAMED) " more" }
                }
            }
        }
    }
}
