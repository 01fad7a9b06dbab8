//! `check` and `rules` from outside: every finding is raised by one case and nearly raised by another.

mod after_fix;
mod against;
mod bad_input;
mod commands;
mod compat;
mod containers;
mod doctor;
mod driver;
mod entries;
mod fit;
pub(crate) mod formats;
mod gpu;
mod groups;
pub(crate) mod image;
mod inputs;
mod names;
mod nix;
pub(crate) mod objects;
mod options;
mod real_driver;
mod requests;
mod table;
mod verdicts;
mod whole;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::harness::invoke;
use table::{Case, cases};

/// The published table, by code.
fn rules() -> BTreeMap<String, Value> {
    let document = invoke(["rules", "--json"]).json();
    let rules = document["rules"].as_array().unwrap().iter();
    rules.map(|rule| (rule["code"].as_str().unwrap().to_owned(), rule.clone())).collect()
}

/// A rule without a case that raises it, or without one that nearly does, is not tested.
#[test]
fn every_rule_has_a_case_and_a_near_miss() {
    let mut rules: BTreeSet<String> = rules().into_keys().collect();
    // An image that cannot be read is no tree: `container::rules`.
    assert!(rules.remove("CRP800"));
    // Two releases are no tree either: `against`.
    for code in ["CRP900", "CRP901", "CRP902", "CRP903"] {
        assert!(rules.remove(code));
    }
    let cases = cases();
    let of_kind = |raised: bool| -> BTreeSet<String> {
        cases.iter().filter(|case| case.raised.is_some() == raised).map(|case| case.code.to_owned()).collect()
    };
    assert_eq!(of_kind(true), rules, "raised");
    assert_eq!(of_kind(false), rules, "near misses");
    let titles: BTreeSet<String> = cases.iter().map(Case::title).collect();
    assert_eq!(titles.len(), cases.len(), "two cases have one name");
}

#[test]
fn every_case_finds_what_it_says_and_nothing_else() {
    let rules = rules();
    let mut wrong = Vec::new();
    for case in cases() {
        let image = case.image();
        let host = image.host("/").to_str().unwrap().to_owned();
        let checked = case.check(&image, &[]);
        let title = case.title();
        if checked.codes() != case.finds {
            wrong.push(format!("{title}: wanted {:?}, found {:#?}", case.finds, checked.findings()));
            continue;
        }
        let Some((path, about)) = case.raised else { continue };
        let (path, severity) = (path.replace("IMAGE", host.trim_end_matches('/')), case.severity);
        let severity = severity.unwrap_or_else(|| rules[case.code]["severity"].as_str().unwrap());
        let is_it = |finding: &&image::Finding| {
            finding.code == case.code && finding.path == path && finding.about == about && finding.severity == severity
        };
        if !checked.findings().iter().any(|finding| is_it(&finding)) {
            wrong.push(format!("{title}: wanted {severity} {path} about {about}, found {:#?}", checked.findings()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
