//! From single objects to the whole: what programs lend to libraries, what is missing everywhere, and the counts.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use bstr::BString;

use super::context::Context;
use super::facts::{Facts, Inspected, Item};
use super::finding::{Circumstance, Finding, Verdict};
use super::fit;
use super::report::{CheckReport, Failing, InProgram, ObjectReport, OtherFile, RequestReport};
use super::rule;
use super::rules::{closure, compat, files, gpu, image, requests, search_path};
use crate::loader::is_of_musl;

/// The programs that load a library that misses something by itself, and those libraries: in the program it may be
/// right. And those that a wrapper starts with an LD_LIBRARY_PATH, with every library that asks: in the program it may
/// be wrong.
#[must_use]
pub(crate) fn programs_to_ask(reports: &[ObjectReport]) -> (Vec<Arc<Facts>>, Failing) {
    let wrapped = reports.iter().filter(|report| report.has_library_path);
    let led: BTreeSet<&BString> = wrapped.flat_map(|report| &report.loads).map(|object| &object.path).collect();
    let misses = |report: &&ObjectReport| {
        let is_led = report.verdict().is_some() && led.contains(&report.facts.object.path);
        !report.facts.object.is_program()
            && (is_led
                || report.verdict() == Some(Verdict::Fail)
                // musl searches the program's path for what a library opens.
                || (report.verdict().is_some() && is_of_musl(&report.facts.object))
                || !report.unresolved.is_empty()
                || report.findings.iter().any(is_companion))
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
pub(crate) fn sum_up(
    context: &Context<'_>,
    items: &[Item],
    mut reports: Vec<ObjectReport>,
    programs: &[(Arc<Facts>, InProgram)],
) -> CheckReport {
    let objects: Vec<Arc<Facts>> = reports.iter().map(|report| Arc::clone(&report.facts)).collect();
    let elsewhere = search_path::names(&objects);
    let (mut findings, mut unread) = (Vec::new(), Vec::new());
    let mut loaders_of: HashMap<&BString, Vec<(&Facts, &InProgram)>> = HashMap::new();
    for (facts, found) in programs {
        findings.extend(found.cut.clone());
        for path in found.libraries.keys() {
            loaders_of.entry(path).or_default().push((facts.as_ref(), found));
        }
    }
    let keeping = programs.iter().filter(|(program, _)| requests::keeps_driver(context, program));
    let keeping: HashSet<&BString> = keeping.map(|(program, _)| &program.object.path).collect();
    for report in &mut reports {
        let loaders = loaders_of.remove(&report.facts.object.path).unwrap_or_default();
        in_their_programs(report, &loaders);
        let before = findings.len();
        findings.append(&mut report.findings);
        search_path::missing(report, &loaders, &elsewhere, &mut findings);
        for request in &mut report.requests {
            findings.append(&mut request.findings);
        }
        let own = findings.get(before..).unwrap_or_default();
        if own.iter().any(|finding| finding.rule == &rule::DRIVER_UNREACHABLE) {
            let keeping = loaders.iter().find(|(program, _)| keeping.contains(&program.object.path));
            findings.extend(keeping.map(|(program, _)| requests::not_inherited(&report.facts, program)));
        }
        files::notes(&report.facts, &mut findings);
        findings.extend(files::journal(&report.facts));
        findings.extend(gpu::judge(context.policy, &report.facts.shown, &report.facts.gpu_code));
    }
    for item in items {
        match &item.inspected {
            Inspected::Malformed(reason) => findings.push(files::unreadable(&item.shown, reason)),
            Inspected::Unread(reason) => {
                findings.push(files::unreadable(&item.shown, reason));
                unread.push((item.shown.clone(), reason.clone()));
            }
            Inspected::Static(program) => {
                findings.extend(requests::static_consumer(&item.shown, &program.names));
                findings.extend(gpu::judge(context.policy, &item.shown, &program.gpu_code));
            }
            _ => {}
        }
    }
    let code = items.iter().filter_map(|item| match &item.inspected {
        Inspected::Code(file) => Some((item.shown.as_path(), &file.gpu_code)),
        _ => None,
    });
    findings.extend(gpu::judge_files(context.policy, code));
    if let Some(list) = context.environment.library_path.as_ref().filter(|_| context.has_glibc()) {
        findings.extend(search_path::library_path("".as_ref(), list.as_ref()));
    }
    fit::findings(&reports, &mut findings);
    findings.extend(compat::judge_closure(context, &objects));
    findings.extend(closure::judge(context, &objects));
    findings.extend(image::judge_container(context, &objects));
    findings.extend(gpu::judge_closure(context.policy, &objects));
    let asks = reports.iter().any(|report| !report.requests.is_empty());
    if context.policy.require_consumer && !asks {
        findings.push(requests::no_consumer());
    }
    findings.sort_by(|a, b| (&a.path, a.rule.code, &a.about).cmp(&(&b.path, b.rule.code, &b.about)));
    findings.dedup();
    let is_elf = |item: &&Item| match &item.inspected {
        Inspected::NotElf => false,
        Inspected::Code(file) => file.is_elf,
        _ => true,
    };
    unread.sort();
    let elf = items.iter().filter(is_elf).count();
    let others = items.iter().filter_map(other_file).collect();
    CheckReport { files: items.len(), elf, objects: reports, others, findings, unread }
}

/// What a comparison is about beside objects.
fn other_file(item: &Item) -> Option<OtherFile> {
    let (record, gpu_code) = match &item.inspected {
        Inspected::Static(program) => (program.record?, &program.gpu_code),
        Inspected::Code(file) => (file.record?, &file.gpu_code),
        Inspected::NotElf
        | Inspected::Object(_)
        | Inspected::NotApplicable(_)
        | Inspected::Malformed(_)
        | Inspected::Unread(_) => return None,
    };
    Some(OtherFile { shown: item.shown.clone(), record, gpu_code: gpu_code.clone() })
}

impl CheckReport {
    /// About an image that cannot be judged.
    #[must_use]
    pub(crate) fn of_unreadable_image(path: &Path, reason: &str) -> Self {
        let findings = vec![image::unreadable(path, reason)];
        Self { findings, unread: vec![(path.to_owned(), reason.to_owned())], ..Self::default() }
    }

    /// The same where not all paths were followed.
    #[must_use]
    pub(crate) fn cut(mut self) -> Self {
        let finding = files::container_cut();
        if !self.findings.contains(&finding) {
            self.findings.insert(0, finding);
        }
        self
    }
}

/// A request that fails by itself and is right in every program that loads the library, is right; one that fails in a
/// program that loads the library, fails.
fn in_their_programs(report: &mut ObjectReport, loaders: &[(&Facts, &InProgram)]) {
    let path = report.facts.object.path.clone();
    if !loaders.is_empty() {
        // A program's DT_RPATH serves libcuda as well.
        report.findings.retain(|finding| !is_companion(finding));
        for (program, found) in loaders {
            let companions = found.libraries.get(&path).into_iter().flat_map(|library| &library.companions);
            let in_program = companions.map(|finding| finding.clone().only(Circumstance::In(program.shown.clone())));
            report.findings.extend(in_program);
        }
    }
    for (index, request) in report.requests.iter_mut().enumerate() {
        let in_programs =
            loaders.iter().filter_map(|(facts, found)| Some((facts, found.libraries.get(&path)?.requests.get(index)?)));
        let worst = in_programs.max_by_key(|(_, request)| request.verdict);
        let changes = |other: &&RequestReport| (other.verdict == Verdict::Fail) != (request.verdict == Verdict::Fail);
        if let Some((program, other)) = worst.filter(|(_, other)| changes(other)) {
            *request = other.clone();
            request.through = Some(program.shown.clone());
            for finding in &mut request.findings {
                finding.circumstances.push(Circumstance::In(program.shown.clone()));
            }
        }
    }
}

/// CRP408, which depends on the program.
fn is_companion(finding: &Finding) -> bool {
    finding.rule == &rule::COMPANION_UNREACHABLE
}
