//! What is said of objects that do not fit together: of the library by itself, or of the program that does not start.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use bstr::{BStr, BString, ByteSlice};

use super::facts::Facts;
use super::finding::Finding;
use super::report::ObjectReport;
use super::rules::{files, search_path};
use crate::loader::UnmetVersion;

/// CRP320, and CRP700 of tables that nothing else reads.
///
/// What is wrong with a library by itself is said of the library, unless every program here that loads it has what it
/// needs. What is wrong with a library only in the process of a program is said of the program: it does not start.
pub(super) fn findings(reports: &[ObjectReport], findings: &mut Vec<Finding>) {
    let mut by_itself: HashMap<&BStr, HashSet<(&BStr, &BStr)>> = HashMap::new();
    for report in reports.iter().filter(|report| !report.facts.object.is_program()) {
        for unmet in &report.misfits.versions {
            let known = by_itself.entry(unmet.by.as_bstr()).or_default();
            known.insert((unmet.file.as_bstr(), unmet.version.as_bstr()));
        }
    }
    let is_known = |unmet: &UnmetVersion| {
        let known = by_itself.get(unmet.by.as_bstr());
        known.is_some_and(|known| known.contains(&(unmet.file.as_bstr(), unmet.version.as_bstr())))
    };
    let programs = || reports.iter().filter(|report| report.facts.object.is_program());
    let loaded: HashSet<&BStr> = if by_itself.is_empty() {
        HashSet::new()
    } else {
        let loaded = programs().flat_map(|program| &program.loads).map(|object| object.path.as_bstr());
        loaded.filter(|path| by_itself.contains_key(path)).collect()
    };
    let in_programs: HashSet<(&BStr, &BStr, &BStr)> = programs()
        .flat_map(|program| &program.misfits.versions)
        .map(|unmet| (unmet.by.as_bstr(), unmet.file.as_bstr(), unmet.version.as_bstr()))
        .collect();
    for report in reports {
        let facts = &report.facts;
        let own = facts.object.path.as_bstr();
        let is_program = facts.object.is_program();
        let counts = |unmet: &&UnmetVersion| {
            if is_program {
                return unmet.by == own || !is_known(unmet);
            }
            let here = (own, unmet.file.as_bstr(), unmet.version.as_bstr());
            !loaded.contains(own) || in_programs.contains(&here)
        };
        findings.extend(grouped(facts, report.misfits.versions.iter().filter(counts)));
    }
    unreadable(reports, findings);
}

/// One finding for each pair of an object and a file that it needs versions of.
fn grouped<'m>(facts: &Facts, unmet: impl Iterator<Item = &'m UnmetVersion>) -> Vec<Finding> {
    let mut groups: BTreeMap<(&BStr, &BStr), Vec<&UnmetVersion>> = BTreeMap::new();
    for one in unmet {
        groups.entry((one.by.as_bstr(), one.file.as_bstr())).or_default().push(one);
    }
    groups.into_values().filter_map(|group| search_path::version_missing(facts, &group)).collect()
}

fn unreadable(reports: &[ObjectReport], findings: &mut Vec<Finding>) {
    let is_clean = |report: &ObjectReport| report.misfits.unreadable.is_empty();
    if reports.iter().all(is_clean) {
        return;
    }
    let checked: BTreeSet<&BString> = reports.iter().map(|report| &report.facts.object.path).collect();
    for report in reports {
        for (path, reason) in &report.misfits.unreadable {
            if *path == report.facts.object.path {
                findings.push(files::unreadable(&report.facts.shown, reason));
            } else if !checked.contains(path) {
                findings.push(files::unreadable(&report.facts.shown, &format!("loads {path}: {reason}")));
            }
        }
    }
}
