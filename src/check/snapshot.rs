//! A check as another one is compared with it: of this run, or read from the document of an earlier one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::answer::Answer;
use super::finding::Verdict;
use super::policy::Scope;
use super::record::FileRecord;
use super::report::{CheckReport, ObjectReport, OtherFile, RequestReport};
use super::rule::{ALLOW_EXPIRED, ALLOW_UNUSED, Severity};
use crate::cuda::GpuCode;

/// What was checked, and what was asked of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CheckSetting {
    /// What the objects are part of; unknown of a document of an older release.
    pub(crate) scope: Option<ScopeKind>,
    /// What was walked, as reports name it; of a list the directory that all of it lies in, and nothing of a closure, whose
    /// paths have names of their own.
    pub(crate) roots: Vec<CheckRoot>,
    /// Options that decide about findings, by their names; unknown of a document of an older release.
    pub(crate) asked: Option<BTreeMap<String, String>>,
}

/// A file or a tree that was walked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CheckRoot {
    /// As paths below it begin in reports.
    pub(crate) given: PathBuf,
    /// What it led to, as the places begin that a loader looks at.
    pub(crate) real: PathBuf,
}

/// What objects are part of, as a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, strum::EnumString, strum::VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum ScopeKind {
    /// Files of a machine.
    Tree,
    /// An image.
    Image,
    /// A closure of store paths.
    Closure,
}

impl From<&Scope> for ScopeKind {
    fn from(scope: &Scope) -> Self {
        match scope {
            Scope::Tree => Self::Tree,
            Scope::Image => Self::Image,
            Scope::Closure(_) => Self::Closure,
        }
    }
}

impl ScopeKind {
    /// The word used in every output format.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }
}

/// What a document does not say of all its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lack {
    /// The objects that ask for nothing.
    Idle,
    /// Sizes, contents and GPU code.
    Records,
    /// The options of its run.
    Options,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    /// What was checked.
    pub(crate) setting: CheckSetting,
    /// Objects, and other files with GPU code.
    pub(crate) files: Vec<SnapshotFile>,
    /// What was found, excused or not.
    pub(crate) findings: Vec<SnapshotFinding>,
    /// What is not known.
    pub(crate) lacks: BTreeSet<Lack>,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotFile {
    /// As it was given.
    pub(crate) path: PathBuf,
    /// The machine and the class of an object; `None` for a file that no loader reads.
    pub(crate) kind: Option<(String, u8)>,
    /// What it asks of the driver.
    pub(crate) requests: Vec<SnapshotRequest>,
    /// Its size and contents.
    pub(crate) record: Option<FileRecord>,
    /// Its GPU code, [in short](GpuCode::in_short).
    pub(crate) gpu_code: Option<GpuCode>,
}

/// A request and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotRequest {
    /// The library.
    pub(crate) soname: String,
    /// Whether what comes first is right.
    pub(crate) verdict: Verdict,
    /// What comes first.
    pub(crate) answer: Answer,
    /// The verdict on each kind of host, where they differ.
    pub(crate) on_hosts: BTreeMap<String, Verdict>,
}

/// A finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotFinding {
    /// `CRP100`, or one that only another release has.
    pub(crate) code: String,
    /// The same as words.
    pub(crate) slug: String,
    /// How bad it is.
    pub(crate) severity: Severity,
    /// The file; empty for a finding about everything together.
    pub(crate) path: PathBuf,
    /// What it is about within the file.
    pub(crate) about: Vec<u8>,
    /// The case in one sentence.
    pub(crate) message: String,
}

impl Snapshot {
    /// Of a check of this run, in the order of its findings.
    #[must_use]
    pub(crate) fn of(report: &CheckReport, setting: CheckSetting) -> Self {
        let objects = report.objects.iter().map(SnapshotFile::of_object);
        let findings = report.findings.iter().map(|finding| SnapshotFinding {
            code: finding.rule.code.to_owned(),
            slug: finding.rule.slug.to_owned(),
            severity: finding.severity,
            path: finding.path.clone(),
            about: finding.about.to_vec(),
            message: finding.message(),
        });
        Self {
            setting,
            files: objects.chain(report.others.iter().map(SnapshotFile::of_other)).collect(),
            findings: findings.collect(),
            lacks: BTreeSet::new(),
        }
    }
}

impl SnapshotFile {
    fn of_object(report: &ObjectReport) -> Self {
        let facts = &report.facts;
        Self {
            path: facts.shown.clone(),
            kind: Some((facts.object.machine.name.to_owned(), facts.object.class.bits())),
            requests: report.requests.iter().map(SnapshotRequest::of).collect(),
            record: facts.record,
            gpu_code: facts.record.map(|_| facts.gpu_code.in_short()),
        }
    }

    fn of_other(other: &OtherFile) -> Self {
        Self {
            path: other.shown.clone(),
            kind: None,
            requests: Vec::new(),
            record: Some(other.record),
            gpu_code: Some(other.gpu_code.in_short()),
        }
    }

    /// The worst verdict; `None` when it asks for nothing.
    #[must_use]
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        self.requests.iter().map(|request| request.verdict).max()
    }
}

impl SnapshotRequest {
    fn of(request: &RequestReport) -> Self {
        Self {
            soname: request.soname.clone(),
            verdict: request.verdict,
            answer: request.answer.clone(),
            on_hosts: request.on_hosts.iter().map(|on| (on.host.clone(), on.verdict)).collect(),
        }
    }

    /// The verdict on a kind of host.
    #[must_use]
    pub(super) fn on(&self, host: &str) -> Verdict {
        self.on_hosts.get(host).copied().unwrap_or(self.verdict)
    }
}

impl SnapshotFinding {
    /// Whether it is about the list of one run, and nothing that a release has.
    #[must_use]
    pub(super) fn is_of_allowlist(&self) -> bool {
        [ALLOW_UNUSED.code, ALLOW_EXPIRED.code].contains(&self.code.as_str())
    }
}
