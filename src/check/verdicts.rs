//! From single objects to the whole: what programs lend to libraries, what is missing everywhere, and the counts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bstr::BString;

use super::facts::{Facts, Inspected, Item};
use super::finding::{Finding, Verdict};
use super::judge::{InProgram, Judge, ObjectReport, RequestReport};
use super::requests::{not_inherited, shown, static_consumer};
use super::rule::{self, Severity};
use super::{compat, gpu, whole};

/// The whole result.
#[derive(Clone, Debug, Default)]
pub struct CheckReport {
    /// Regular files that were looked at.
    pub files: usize,
    /// ELF files among them.
    pub elf: usize,
    /// Objects with a search path or the right to one, in path order.
    pub objects: Vec<ObjectReport>,
    /// Everything that was found, in path order, by code.
    pub findings: Vec<Finding>,
}

impl CheckReport {
    /// How many objects that ask for the driver have this verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.objects.iter().filter(|object| object.verdict() == Some(verdict)).count()
    }

    /// How many objects ask for the driver.
    #[must_use]
    pub fn consumers(&self) -> usize {
        self.objects.iter().filter(|object| !object.requests.is_empty()).count()
    }

    /// How many findings are this bad.
    #[must_use]
    pub fn severity_count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}

/// Libraries that miss something by themselves, or that a wrapper's LD_LIBRARY_PATH may lead astray, by path.
pub type Failing = BTreeMap<BString, Arc<Facts>>;

/// The programs that load a library that misses something by itself, and those libraries: in the program it may be
/// right. And those that a wrapper starts with an LD_LIBRARY_PATH, with every library that asks: in the program it may
/// be wrong.
#[must_use]
pub fn programs_to_ask(reports: &[ObjectReport]) -> (Vec<Arc<Facts>>, Failing) {
    let wrapped = reports.iter().filter(|report| report.has_library_path);
    let led: BTreeSet<&BString> = wrapped.flat_map(|report| &report.loads).map(|object| &object.path).collect();
    let misses = |report: &&ObjectReport| {
        let is_led = report.verdict().is_some() && led.contains(&report.facts.object.path);
        !report.facts.object.is_program()
            && (is_led || report.verdict() == Some(Verdict::Fail) || !report.unresolved.is_empty())
    };
    let failing: Failing = reports
        .iter()
        .filter(misses)
        .map(|report| (report.facts.object.path.clone(), Arc::clone(&report.facts)))
        .collect();
    let programs = reports.iter().filter(|report| report.loads.iter().any(|object| failing.contains_key(&object.path)));
    (programs.map(|report| Arc::clone(&report.facts)).collect(), failing)
}

/// Puts everything together.
#[must_use]
pub fn sum_up(
    judge: &Judge<'_>,
    items: &[Item],
    mut reports: Vec<ObjectReport>,
    programs: &[(Arc<Facts>, InProgram)],
) -> CheckReport {
    let objects: Vec<Arc<Facts>> = reports.iter().map(|report| Arc::clone(&report.facts)).collect();
    let elsewhere = names(&objects);
    let mut findings = Vec::new();
    for report in &mut reports {
        let path = report.facts.object.path.clone();
        let loaders: Vec<(&Facts, &InProgram)> = programs
            .iter()
            .filter(|(_, found)| found.libraries.contains_key(&path))
            .map(|(facts, found)| (facts.as_ref(), found))
            .collect();
        lend(report, &loaders);
        let before = findings.len();
        findings.append(&mut report.findings);
        missing(report, &loaders, &elsewhere, &mut findings);
        for request in &mut report.requests {
            findings.append(&mut request.findings);
        }
        let own = findings.get(before..).unwrap_or_default();
        if own.iter().any(|finding| finding.rule == &rule::DRIVER_UNREACHABLE) {
            let loaders: Vec<&Facts> = loaders.iter().map(|(facts, _)| *facts).collect();
            findings.extend(not_inherited(judge, &report.facts, &loaders));
        }
        notes(&report.facts, &mut findings);
        findings.extend(gpu::judge(judge.policy, &report.facts.shown, &report.facts.gpu_code));
    }
    for item in items {
        match &item.inspected {
            Inspected::Unreadable(reason) => {
                findings.push(Finding::new(&rule::UNREADABLE_ELF, &item.shown, "", reason));
            }
            Inspected::Static(program) => {
                findings.extend(static_consumer(&item.shown, &program.names));
                findings.extend(gpu::judge(judge.policy, &item.shown, &program.gpu_code));
            }
            _ => {}
        }
    }
    findings.extend(compat::judge_closure(judge, &objects));
    findings.extend(whole::judge(judge, &objects));
    findings.extend(gpu::judge_closure(judge.policy, &objects));
    let asks = reports.iter().any(|report| !report.requests.is_empty());
    if judge.policy.require_consumer && !asks {
        findings.push(Finding::new(&rule::NO_CONSUMER, "".as_ref(), "", "no object asks for a driver library"));
    }
    findings.sort_by(|a, b| (&a.path, a.rule.code, &a.about).cmp(&(&b.path, b.rule.code, &b.about)));
    findings.dedup();
    let is_elf = |item: &&Item| !matches!(item.inspected, Inspected::NotElf);
    CheckReport { files: items.len(), elf: items.iter().filter(is_elf).count(), objects: reports, findings }
}

/// A request that fails by itself and is right in every program that loads the library, is right; one that fails in a
/// program that loads the library, fails.
fn lend(report: &mut ObjectReport, loaders: &[(&Facts, &InProgram)]) {
    let path = report.facts.object.path.clone();
    for (index, request) in report.requests.iter_mut().enumerate() {
        let in_programs = loaders.iter().filter_map(|(facts, found)| {
            let (requests, _) = found.libraries.get(&path)?;
            Some((facts, requests.get(index)?))
        });
        let worst = in_programs.max_by_key(|(_, request)| request.verdict);
        let changes = |other: &&RequestReport| (other.verdict == Verdict::Fail) != (request.verdict == Verdict::Fail);
        if let Some((program, other)) = worst.filter(|(_, other)| changes(other)) {
            *request = other.clone();
            request.through = Some(program.shown.clone());
            for finding in &mut request.findings {
                finding.message = format!("{}, in {}", finding.message, shown(&program.shown));
            }
        }
    }
}

/// CRP312. A library that nothing here loads may be loaded by something that has the rest in memory already.
fn missing(
    report: &ObjectReport,
    loaders: &[(&Facts, &InProgram)],
    elsewhere: &BTreeSet<(&str, BString)>,
    findings: &mut Vec<Finding>,
) {
    let facts = &report.facts;
    for name in &report.unresolved {
        let failing_in = |(_, found): &&(&Facts, &InProgram)| {
            found.libraries.get(&facts.object.path).is_some_and(|(_, missing)| missing.contains(name))
        };
        let program = loaders.iter().find(failing_in).map(|(program, _)| program.shown.clone());
        let message = match (&program, facts.object.is_program(), loaders.is_empty()) {
            (Some(program), ..) => format!("needs {name}, which is found nowhere when {} starts", shown(program)),
            (None, false, false) => continue,
            (None, ..) => format!("needs {name}, which is found nowhere"),
        };
        let finding = Finding::new(&rule::NEEDED_UNRESOLVED, &facts.shown, name.clone(), message);
        let is_here = elsewhere.contains(&(facts.object.machine_name, name.clone()));
        let may_be_loaded = program.is_none() && !facts.object.is_program() && is_here;
        findings.push(if may_be_loaded {
            let message =
                format!("needs {name}, which is here but not in its search: something else must load it first");
            Finding { message, ..finding }.no_worse_than(Severity::Warning)
        } else {
            finding
        });
    }
}

/// CRP701.
fn notes(facts: &Facts, findings: &mut Vec<Finding>) {
    if facts.consumer.has_bad_note {
        findings.push(Finding::new(&rule::MALFORMED_NOTE, &facts.shown, "dlopen", ".note.dlopen is cut or no JSON"));
    }
    if let Some(Err(error)) = &facts.compat_note {
        findings.push(Finding::new(&rule::MALFORMED_NOTE, &facts.shown, "compat", error));
    }
}

/// Every name that something here could be found under, by machine.
fn names(objects: &[Arc<Facts>]) -> BTreeSet<(&'static str, BString)> {
    let own = objects.iter().map(|facts| (facts.object.machine_name, facts.object.file_name().to_owned()));
    let sonames = objects.iter().filter_map(|facts| Some((facts.object.machine_name, facts.object.soname.clone()?)));
    own.chain(sonames).collect()
}
