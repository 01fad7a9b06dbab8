//! What is said of objects that do not fit together: of the library by itself, or of the program that does not start.

use std::collections::{BTreeMap, HashMap, HashSet};

use bstr::{BStr, BString, ByteSlice};

use super::facts::Facts;
use super::finding::Finding;
use super::misfits::MissingSymbol;
use super::report::ObjectReport;
use super::rules::{files, search_path};
use crate::loader::UnmetVersion;

/// CRP320 to CRP322, and CRP700 of tables that nothing else reads.
///
/// What is wrong with a library by itself is said of the library, unless every program here that loads it has what it
/// needs. What is wrong with a library only in the process of a program is said of the program: it does not start.
pub(super) fn findings(reports: &[ObjectReport], findings: &mut Vec<Finding>) {
    let versions = KnownMisfits::of(reports, |report| &report.misfits.versions);
    let symbols = KnownMisfits::of(reports, |report| &report.misfits.symbols);
    for report in reports {
        let (facts, misfits) = (&report.facts, &report.misfits);
        findings.extend(versions_of(facts, misfits.versions.iter().filter(|one| versions.counts(report, *one))));
        // A version that is missing says it of all its symbols.
        let unmet: HashSet<(&BStr, &BStr)> =
            misfits.versions.iter().map(|one| (one.by.as_bstr(), one.version.as_bstr())).collect();
        let is_said = |one: &MissingSymbol| {
            one.version.as_ref().is_some_and(|version| unmet.contains(&(one.by.as_bstr(), version.as_bstr())))
        };
        let missing = misfits.symbols.iter().filter(|one| symbols.counts(report, *one) && !is_said(one));
        findings.extend(symbols_of(facts, missing));
    }
    unreadable(reports, findings);
}

/// What tells a misfit from others of the same object.
type MisfitKey<'m> = (&'m BStr, Option<&'m BString>);

/// Something that does not fit, as it is known again.
trait Misfit {
    fn by(&self) -> &BStr;
    fn key(&self) -> MisfitKey<'_>;
}

impl Misfit for UnmetVersion {
    fn by(&self) -> &BStr {
        self.by.as_bstr()
    }

    fn key(&self) -> MisfitKey<'_> {
        (self.file.as_bstr(), Some(&self.version))
    }
}

impl Misfit for MissingSymbol {
    fn by(&self) -> &BStr {
        self.by.as_bstr()
    }

    fn key(&self) -> MisfitKey<'_> {
        (self.name.as_bstr(), self.version.as_ref())
    }
}

/// What libraries lack by themselves, and what they lack in programs.
struct KnownMisfits<'r> {
    by_itself: HashMap<&'r BStr, HashSet<MisfitKey<'r>>>,
    /// Of those libraries, what some program loads.
    loaded: HashSet<&'r BStr>,
    in_programs: HashSet<(&'r BStr, MisfitKey<'r>)>,
}

impl<'r> KnownMisfits<'r> {
    fn of<M: Misfit + 'r>(reports: &'r [ObjectReport], misfits: impl Fn(&'r ObjectReport) -> &'r Vec<M>) -> Self {
        let mut by_itself: HashMap<&BStr, HashSet<MisfitKey<'r>>> = HashMap::new();
        let is_program = |report: &&ObjectReport| report.facts.object.is_program();
        for report in reports.iter().filter(|report| !is_program(report)) {
            for misfit in misfits(report) {
                by_itself.entry(misfit.by()).or_default().insert(misfit.key());
            }
        }
        let programs = || reports.iter().filter(is_program);
        let mut loaded = HashSet::new();
        if !by_itself.is_empty() {
            let all = programs().flat_map(|program| &program.loads).map(|object| object.path.as_bstr());
            loaded.extend(all.filter(|path| by_itself.contains_key(path)));
        }
        let in_programs = programs().flat_map(&misfits).map(|misfit| (misfit.by(), misfit.key())).collect();
        Self { by_itself, loaded, in_programs }
    }

    /// Whether the report of this object is the one that says it.
    fn counts(&self, report: &ObjectReport, misfit: &impl Misfit) -> bool {
        let own = report.facts.object.path.as_bstr();
        if report.facts.object.is_program() {
            let is_known = || self.by_itself.get(misfit.by()).is_some_and(|known| known.contains(&misfit.key()));
            return misfit.by() == own || !is_known();
        }
        !self.loaded.contains(own) || self.in_programs.contains(&(own, misfit.key()))
    }
}

/// One finding for each pair of an object and a file that it needs versions of.
fn versions_of<'m>(facts: &Facts, unmet: impl Iterator<Item = &'m UnmetVersion>) -> Vec<Finding> {
    let mut groups: BTreeMap<(&BStr, &BStr), Vec<&UnmetVersion>> = BTreeMap::new();
    for one in unmet {
        groups.entry((one.by.as_bstr(), one.file.as_bstr())).or_default().push(one);
    }
    groups.into_values().filter_map(|group| search_path::version_missing(facts, &group)).collect()
}

/// One finding for each object, file, version and time.
fn symbols_of<'m>(facts: &Facts, missing: impl Iterator<Item = &'m MissingSymbol>) -> Vec<Finding> {
    let mut groups: BTreeMap<_, Vec<&MissingSymbol>> = BTreeMap::new();
    for one in missing {
        let key = (&one.by, &one.file, &one.version, one.binding, one.is_unversioned);
        groups.entry(key).or_default().push(one);
    }
    groups.into_values().filter_map(|group| search_path::symbols_missing(facts, &group)).collect()
}

fn unreadable(reports: &[ObjectReport], findings: &mut Vec<Finding>) {
    if reports.iter().all(|report| report.misfits.unreadable.is_empty()) {
        return;
    }
    let checked: HashMap<&BString, &Facts> =
        reports.iter().map(|report| (&report.facts.object.path, report.facts.as_ref())).collect();
    for report in reports {
        for (path, reason) in &report.misfits.unreadable {
            findings.push(match checked.get(path) {
                // Each object that asks it says the same.
                Some(facts) => files::unreadable(&facts.shown, reason),
                None => files::unreadable(&report.facts.shown, &format!("loads {path}: {reason}")),
            });
        }
    }
}
