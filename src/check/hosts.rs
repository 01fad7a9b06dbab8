//! One image on several kinds of hosts: what is the same everywhere is said once, the rest with the hosts on which it is so.

use std::collections::{BTreeMap, BTreeSet};

use bstr::BString;

use super::finding::{Circumstance, Finding};
use super::report::{CheckReport, ObjectReport, OnHost, RequestReport};
use super::rule::Severity;

/// By what findings of several hosts are one.
type SameFinding<'f> = (&'static str, Severity, &'f std::path::Path, &'f BString, String);

/// Puts the reports of one image together, each of them with the kind of its host.
#[must_use]
pub(crate) fn on_all_hosts(mut reports: Vec<(String, CheckReport)>) -> CheckReport {
    if reports.len() < 2 {
        return reports.pop().map(|(_, report)| report).unwrap_or_default();
    }
    let findings = findings(&reports);
    let others = reports.first_mut().map(|(_, report)| std::mem::take(&mut report.others)).unwrap_or_default();
    let mut objects: BTreeMap<BString, Vec<(String, ObjectReport)>> = BTreeMap::new();
    let (mut files, mut elf, mut unread) = (0, 0, BTreeSet::new());
    for (host, report) in reports {
        files = files.max(report.files);
        elf = elf.max(report.elf);
        unread.extend(report.unread);
        for object in report.objects {
            objects.entry(object.facts.object.path.clone()).or_default().push((host.clone(), object));
        }
    }
    let mut objects: Vec<ObjectReport> = objects.into_values().filter_map(object).collect();
    objects.sort_by(|a, b| a.facts.shown.cmp(&b.facts.shown));
    CheckReport { files, elf, objects, others, findings, unread: unread.into_iter().collect() }
}

fn findings(reports: &[(String, CheckReport)]) -> Vec<Finding> {
    let mut known: BTreeMap<SameFinding<'_>, (&Finding, Vec<&String>)> = BTreeMap::new();
    for (host, report) in reports {
        for finding in &report.findings {
            let key = (finding.rule.code, finding.severity, finding.path.as_path(), &finding.about, finding.message());
            known.entry(key).or_insert((finding, Vec::new())).1.push(host);
        }
    }
    let all = reports.len();
    let told = known.into_values().map(|(finding, mut hosts)| {
        hosts.dedup();
        let finding = finding.clone();
        let here = || Circumstance::OnHosts(hosts.iter().map(|host| (*host).clone()).collect());
        if hosts.len() == all { finding } else { finding.only(here()) }
    });
    let mut told: Vec<Finding> = told.collect();
    told.sort_by(|a, b| (&a.path, a.rule.code, &a.about).cmp(&(&b.path, b.rule.code, &b.about)));
    told
}

/// The report of an object on all hosts: of each request the worst.
fn object(reports: Vec<(String, ObjectReport)>) -> Option<ObjectReport> {
    let mut requests: Vec<RequestReport> = Vec::new();
    // What is a part of the driver on one host asks for nothing there.
    let most = reports.iter().map(|(_, report)| report.requests.len()).max()?;
    for index in 0..most {
        let each: Vec<(&String, &RequestReport)> =
            reports.iter().filter_map(|(host, report)| Some((host, report.requests.get(index)?))).collect();
        let worst = each.iter().rev().max_by_key(|(_, request)| request.verdict).map(|(_, request)| *request)?;
        let is_same =
            |request: &RequestReport| (request.verdict, request.answer.name()) == (worst.verdict, worst.answer.name());
        let differs = each.iter().any(|(_, request)| !is_same(request));
        let on_host = |(host, request): &(&String, &RequestReport)| OnHost {
            host: (*host).clone(),
            answer: request.answer.clone(),
            verdict: request.verdict,
        };
        let on_hosts = if differs { each.iter().map(on_host).collect() } else { Vec::new() };
        requests.push(RequestReport { on_hosts, ..worst.clone() });
    }
    let (_, first) = reports.into_iter().next()?;
    Some(ObjectReport { requests, ..first })
}
