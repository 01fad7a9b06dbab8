//! What a release changed: two checks in, what is new, gone, other and worse out. What is worse is a finding of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use bstr::BString;

use super::answer::Answer;
use super::finding::{Finding, Verdict};
use super::pairing::{Pair, Roots, pair_by, pairs, path_without_versions};
use super::policy::{ArchPolicy, CheckPolicy, CompatPolicy};
use super::rule;
use super::rules::comparison;
use super::snapshot::{Lack, Snapshot, SnapshotFile, SnapshotFinding, SnapshotRequest};
use crate::cuda::{Code, GpuCode, Runs, Tallies, bytes_of, is_libcuda};
use crate::nix;

/// Everything that differs, and how much does not.
#[derive(Debug)]
pub(crate) struct Comparison<'s> {
    /// Files that differ, in the order of the new release, then those that are gone.
    pub(crate) files: Vec<FileChange<'s>>,
    /// How many files are the same.
    pub(crate) same: usize,
    /// Findings that only the old release has.
    pub(crate) gone: Vec<&'s SnapshotFinding>,
    /// Findings of the new release that are as bad in the old one, by index.
    pub(crate) still: HashSet<usize>,
    /// What is worse (CRP900 to CRP902), and what is not compared (CRP903).
    pub(crate) findings: Vec<Finding>,
    /// Both releases in numbers.
    pub(crate) totals: (Totals, Totals),
}

/// Findings that the other release has as well, wherever an allowlist put them.
#[derive(Debug, Default)]
pub(crate) struct KnownFindings(HashSet<(&'static str, PathBuf, BString, String)>);

impl KnownFindings {
    /// These.
    #[must_use]
    pub(crate) fn of<'f>(findings: impl Iterator<Item = &'f Finding>) -> Self {
        Self(findings.map(Self::key).collect())
    }

    /// Whether it is one of them.
    #[must_use]
    pub(crate) fn has(&self, finding: &Finding) -> bool {
        self.0.contains(&Self::key(finding))
    }

    fn key(finding: &Finding) -> (&'static str, PathBuf, BString, String) {
        (finding.rule.code, finding.path.clone(), finding.about.clone(), finding.message())
    }
}

/// A file that is new, gone or other.
#[derive(Debug)]
pub(crate) struct FileChange<'s> {
    /// As it was.
    pub(crate) old: Option<&'s SnapshotFile>,
    /// As it is.
    pub(crate) new: Option<&'s SnapshotFile>,
    /// It has another name, beside store hashes and the name of what was checked.
    pub(crate) is_renamed: bool,
    /// What is in it.
    pub(crate) contents: ContentsChange,
    /// What it gets for what it asks, where that differs.
    pub(crate) requests: Vec<RequestChange<'s>>,
    /// Code that there was none for.
    pub(crate) gained: Vec<Code>,
    /// Code that there is none for any more.
    pub(crate) lost: Vec<Code>,
    /// CRP900 to CRP902 tell of it.
    pub(crate) is_worse: bool,
}

/// Whether the bytes of a file are others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum ContentsChange {
    /// They are the same.
    Same,
    /// They are others.
    Other,
    /// Of one side they are not known, or only one side has the file.
    Unknown,
}

/// What an object gets for a name, then and now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestChange<'s> {
    /// The library.
    pub(crate) soname: &'s str,
    /// As it was; `None` where the object did not ask for it.
    pub(crate) old: Option<&'s SnapshotRequest>,
    /// As it is.
    pub(crate) new: Option<&'s SnapshotRequest>,
}

/// A release in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Objects, and other files with GPU code.
    pub(crate) files: usize,
    /// Of all of them whose sizes are known.
    pub(crate) bytes: u64,
    /// GPU code, by what it is.
    pub(crate) gpu_code: Tallies,
    /// How many objects that ask for the driver have each verdict.
    pub(crate) verdicts: BTreeMap<&'static str, usize>,
    /// Which kind of place answers requests for libcuda, and how often.
    pub(crate) libcuda: BTreeMap<&'static str, usize>,
}

/// Compares two releases; the findings of the new one are known by their index.
#[must_use]
pub(crate) fn against<'s>(old: &'s Snapshot, new: &'s Snapshot, policy: &CheckPolicy) -> Comparison<'s> {
    let pairs = pairs(old, new);
    let (still, gone) = findings(old, new, &pairs);
    let mut comparison = Comparison {
        files: Vec::new(),
        same: 0,
        gone,
        still,
        findings: not_compared(old, new),
        totals: (Totals::of(old), Totals::of(new)),
    };
    let roots = (Roots::of(&old.setting.roots), Roots::of(&new.setting.roots));
    // Compat was not wanted there: that it is no more is no loss.
    let unwanted: BTreeSet<&Path> = old
        .findings
        .iter()
        .filter(|finding| finding.code == rule::COMPAT_UNWANTED.code)
        .map(|finding| finding.path.as_path())
        .collect();
    for (before, after) in pairs {
        let before = before.and_then(|index| old.files.get(index));
        let after = after.and_then(|index| new.files.get(index));
        let mut change = FileChange::of(before, after, &roots);
        if let (Some(before), Some(after)) = (before, after) {
            let is_wanted = policy.compat != CompatPolicy::Forbid && !unwanted.contains(before.path.as_path());
            let worse = worse(before, after, policy, is_wanted);
            change.is_worse = !worse.is_empty();
            comparison.findings.extend(worse);
            // What is not understood may have anything in it; in a file that is the same it is the same.
            if change.contents != ContentsChange::Same {
                comparison.findings.extend(not_understood(before, after));
            }
        }
        if change.is_change() {
            comparison.files.push(change)
        } else {
            comparison.same = comparison.same.saturating_add(1)
        }
    }
    comparison.findings.sort_by(|a, b| (&a.path, a.rule.code, &a.about).cmp(&(&b.path, b.rule.code, &b.about)));
    comparison
}

impl<'s> FileChange<'s> {
    fn of(old: Option<&'s SnapshotFile>, new: Option<&'s SnapshotFile>, roots: &(Roots<'_>, Roots<'_>)) -> Self {
        let (of_old, of_new) = roots;
        let is_renamed =
            old.zip(new).is_some_and(|(old, new)| of_old.relative(&old.path) != of_new.relative(&new.path));
        let records = old.and_then(|file| file.record).zip(new.and_then(|file| file.record));
        let contents = match records {
            Some((old, new)) if old == new => ContentsChange::Same,
            Some(_) => ContentsChange::Other,
            None => ContentsChange::Unknown,
        };
        let codes = |file: Option<&SnapshotFile>| -> Option<BTreeSet<Code>> {
            Some(file?.gpu_code.as_ref()?.total().into_keys().collect())
        };
        let (before, after) = (codes(old), codes(new));
        let missing = |from: &Option<BTreeSet<Code>>, of: &Option<BTreeSet<Code>>| match (from, of) {
            (Some(from), Some(of)) => of.difference(from).copied().collect(),
            _ => Vec::new(),
        };
        let requests = old.zip(new).map(|(old, new)| requests(old, new, roots)).unwrap_or_default();
        let (gained, lost) = (missing(&before, &after), missing(&after, &before));
        Self { old, new, is_renamed, contents, requests, gained, lost, is_worse: false }
    }

    /// Whether anything is to be told of it. A new name alone is none: a new version has it in every file.
    fn is_change(&self) -> bool {
        let is_one_sided = self.old.is_none() || self.new.is_none();
        is_one_sided || self.is_worse || self.contents == ContentsChange::Other || !self.requests.is_empty()
    }

    /// The name to tell it by: that of the new release, where it has the file.
    pub(crate) fn path(&self) -> &'s Path {
        self.new.or(self.old).map_or(Path::new(""), |file| file.path.as_path())
    }

    /// Lengths, then and now, as far as they are known.
    pub(crate) fn lengths(&self) -> (Option<u64>, Option<u64>) {
        let length = |file: Option<&SnapshotFile>| Some(file?.record?.length);
        (length(self.old), length(self.new))
    }

    /// Bytes of GPU code, then and now, as far as they are known.
    pub(crate) fn code_bytes(&self) -> (Option<u64>, Option<u64>) {
        let bytes = |file: Option<&SnapshotFile>| Some(bytes_of(&file?.gpu_code.as_ref()?.total()));
        (bytes(self.old), bytes(self.new))
    }
}

/// What an object gets for each name that it asks for, where that differs.
fn requests<'s>(
    old: &'s SnapshotFile,
    new: &'s SnapshotFile,
    roots: &(Roots<'_>, Roots<'_>),
) -> Vec<RequestChange<'s>> {
    let mut by_name: BTreeMap<&str, (Option<&SnapshotRequest>, Option<&SnapshotRequest>)> = BTreeMap::new();
    for request in &old.requests {
        by_name.entry(&request.soname).or_default().0 = Some(request);
    }
    for request in &new.requests {
        by_name.entry(&request.soname).or_default().1 = Some(request);
    }
    let changes = by_name.into_iter().map(|(soname, (old, new))| RequestChange { soname, old, new });
    changes.filter(|change| change.is_change(roots)).collect()
}

impl RequestChange<'_> {
    fn is_change(&self, (of_old, of_new): &(Roots<'_>, Roots<'_>)) -> bool {
        match (self.old, self.new) {
            (Some(old), Some(new)) => {
                (old.verdict, old.answer.name(), &old.on_hosts) != (new.verdict, new.answer.name(), &new.on_hosts)
                    || old.answer.place().map(|place| of_old.place(place))
                        != new.answer.place().map(|place| of_new.place(place))
            }
            _ => true,
        }
    }
}

/// CRP900 to CRP902 about a file that both releases have.
fn worse(old: &SnapshotFile, new: &SnapshotFile, policy: &CheckPolicy, compat_is_wanted: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let before: HashMap<&str, &SnapshotRequest> =
        old.requests.iter().map(|request| (request.soname.as_str(), request)).collect();
    for request in &new.requests {
        let Some(before) = before.get(request.soname.as_str()) else { continue };
        let hosts: BTreeSet<&String> = before.on_hosts.keys().chain(request.on_hosts.keys()).collect();
        let fails_on = |host: &&&String| before.on(host) != Verdict::Fail && request.on(host) == Verdict::Fail;
        let failing: Vec<&str> = hosts.iter().filter(fails_on).map(|host| host.as_str()).collect();
        let is_worse = before.verdict != Verdict::Fail && request.verdict == Verdict::Fail;
        if is_worse || !failing.is_empty() {
            findings.push(comparison::verdict_worse(&new.path, before, request, &failing));
        } else if compat_is_wanted
            && is_libcuda(&request.soname)
            && matches!(before.answer, Answer::Compat(_))
            && !matches!(request.answer, Answer::Compat(_))
        {
            findings.push(comparison::compat_lost(&new.path, before, request));
        }
    }
    if let (Some(before), Some(after)) = (&old.gpu_code, &new.gpu_code) {
        for gpu in policy.targets() {
            let (was, is) = (before.runs_on(gpu), after.runs_on(gpu));
            let is_enough = policy.arch == ArchPolicy::Ptx && matches!(is, Runs::Jit(_));
            if rank(&is) > rank(&was) && !is_enough {
                findings.push(comparison::arch_lost(&new.path, gpu, &was, &is));
            }
        }
    }
    findings
}

/// Machine code, code that is compiled, code under another name, none.
fn rank(runs: &Runs) -> u8 {
    match runs {
        Runs::Exactly(_) | Runs::Family(_) => 0,
        Runs::Jit(_) => 1,
        Runs::Renamed(_) => 2,
        Runs::Not => 3,
    }
}

/// Findings of the new release that the old one has as well, and those that are gone.
fn findings<'s>(old: &'s Snapshot, new: &'s Snapshot, pairs: &[Pair]) -> (HashSet<usize>, Vec<&'s SnapshotFinding>) {
    // What both have, under one number: a finding about a file stays one when the file gets a new name.
    let mut numbers: (HashMap<&Path, usize>, HashMap<&Path, usize>) = Default::default();
    for (number, pair) in pairs.iter().enumerate() {
        if let (Some(left), Some(right)) = *pair {
            numbers.0.extend(old.files.get(left).map(|file| (file.path.as_path(), number)));
            numbers.1.extend(new.files.get(right).map(|file| (file.path.as_path(), number)));
        }
    }
    let roots = (Roots::of(&old.setting.roots), Roots::of(&new.setting.roots));
    let open = |snapshot: &Snapshot| -> Vec<usize> {
        let findings = snapshot.findings.iter().enumerate();
        findings.filter(|(_, finding)| !finding.is_of_allowlist()).map(|(index, _)| index).collect()
    };
    let mut left = (open(old), open(new));
    let mut same = Vec::new();
    let of_file = |numbers: &HashMap<&Path, usize>, finding: &SnapshotFinding, about: Vec<u8>| {
        let number = numbers.get(finding.path.as_path())?;
        Some((finding.code.clone(), (Some(*number), None), about))
    };
    let of_path = |roots: &Roots<'_>, finding: &SnapshotFinding, is_loose: bool| {
        let name = roots.relative(&finding.path);
        let (name, about) = match is_loose {
            true => (name.without_versions(), loose(&finding.about)),
            false => (name, exact(&finding.about)),
        };
        Some((finding.code.clone(), (None, Some(name)), about))
    };
    type FindingKey = (String, (Option<usize>, Option<super::pairing::RelativeName>), Vec<u8>);
    let mut pass = |key: &dyn Fn(bool, &SnapshotFinding) -> Option<FindingKey>| {
        let (of_old, of_new) =
            (|index: usize| key(true, old.findings.get(index)?), |index: usize| key(false, new.findings.get(index)?));
        pair_by((&mut left.0, &mut left.1), false, of_old, of_new, &mut same);
    };
    let numbers = |is_old: bool| if is_old { &numbers.0 } else { &numbers.1 };
    let roots = |is_old: bool| if is_old { &roots.0 } else { &roots.1 };
    pass(&|is_old, finding| of_file(numbers(is_old), finding, exact(&finding.about)));
    pass(&|is_old, finding| of_file(numbers(is_old), finding, loose(&finding.about)));
    pass(&|is_old, finding| of_path(roots(is_old), finding, false));
    pass(&|is_old, finding| of_path(roots(is_old), finding, true));
    let is_as_bad = |(before, after): &Pair| -> Option<usize> {
        let before = old.findings.get((*before)?)?;
        let after = (*after)?;
        (new.findings.get(after)?.severity <= before.severity).then_some(after)
    };
    let mut gone: Vec<&SnapshotFinding> = left.0.into_iter().filter_map(|index| old.findings.get(index)).collect();
    // Those that a document has as excused stand behind the others there.
    gone.sort_by(|a, b| (&a.path, &a.code, &a.about).cmp(&(&b.path, &b.code, &b.about)));
    let still = same.iter().filter_map(is_as_bad).collect();
    (still, gone)
}

fn exact(about: &[u8]) -> Vec<u8> {
    nix::without_hashes(about)
}

/// What a finding is about, whatever its version; a GPU and the name of a library are what they are.
fn loose(about: &[u8]) -> Vec<u8> {
    let about = exact(about);
    if about.contains(&b'/') { path_without_versions(&about) } else { about }
}

/// CRP903: what a document does not say, or says of something else.
fn not_compared(old: &Snapshot, new: &Snapshot) -> Vec<Finding> {
    let mut findings: Vec<Finding> = old.lacks.iter().map(|lack| comparison::lacks(*lack)).collect();
    if let (Some(before), Some(after)) = (old.setting.scope, new.setting.scope)
        && before != after
    {
        findings.push(comparison::other_scope(before, after));
    }
    if let (Some(before), Some(after)) = (&old.setting.asked, &new.setting.asked) {
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for name in names {
            let (before, after) = (before.get(name), after.get(name));
            let same = |value: Option<&String>| value.map(|value| loose(value.as_bytes()));
            if same(before) != same(after) && !leaves_out_more(name, before, after) {
                findings.push(comparison::other_option(name, before, after));
            }
        }
    }
    if old.files.is_empty() && !new.files.is_empty() && !old.lacks.contains(&Lack::Idle) {
        findings.push(comparison::nothing_to_compare_with());
    }
    findings
}

/// Whether an option leaves out of this run what it left out of that one, and more: that is left out of both.
fn leaves_out_more(name: &str, old: Option<&String>, new: Option<&String>) -> bool {
    let codes = |value: Option<&String>| -> BTreeSet<String> {
        value.into_iter().flat_map(|value| value.split(',')).map(str::to_ascii_lowercase).collect()
    };
    let (before, after) = (codes(old), codes(new));
    match name {
        "--skip" => before.is_subset(&after),
        "--only" => before.is_empty() || (!after.is_empty() && after.is_subset(&before)),
        _ => false,
    }
}

fn not_understood(old: &SnapshotFile, new: &SnapshotFile) -> Option<Finding> {
    let problems = |file: &SnapshotFile| file.gpu_code.as_ref().map_or(0, GpuCode::problem_count);
    let (before, after) = (problems(old), problems(new));
    (before > 0 || after > 0).then(|| comparison::code_not_understood(&new.path, before, after))
}

impl Totals {
    fn of(snapshot: &Snapshot) -> Self {
        let mut totals = Self { files: snapshot.files.len(), ..Self::default() };
        for file in &snapshot.files {
            totals.bytes = totals.bytes.saturating_add(file.record.map_or(0, |record| record.length));
            for (code, tally) in file.gpu_code.iter().flat_map(|code| &code.places).flat_map(|place| &place.code) {
                let of_code = totals.gpu_code.entry(*code).or_default();
                *of_code = of_code.plus(*tally);
            }
            if let Some(verdict) = file.verdict() {
                let count = totals.verdicts.entry(verdict.name()).or_default();
                *count = count.saturating_add(1);
            }
            for request in file.requests.iter().filter(|request| is_libcuda(&request.soname)) {
                let count = totals.libcuda.entry(request.answer.name()).or_default();
                *count = count.saturating_add(1);
            }
        }
        totals
    }
}
