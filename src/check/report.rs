//! What a check says of requests, of objects and of everything together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use bstr::BString;

use super::answer::Answer;
use super::facts::Facts;
use super::finding::{Finding, Verdict};
use super::ladder::Ladder;
use super::misfits::Misfits;
use super::record::FileRecord;
use super::rule::Severity;
use crate::cuda::{GpuCode, RequestKind};
use crate::loader::Object;

/// A request and what comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestReport {
    /// The library.
    pub(crate) soname: String,
    /// How it is asked for.
    pub(crate) kind: RequestKind,
    /// What comes first.
    pub(crate) answer: Answer,
    /// Whether that is right.
    pub(crate) verdict: Verdict,
    /// The program in which that is so, for a library that has nothing by itself.
    pub(crate) through: Option<PathBuf>,
    /// What it gets on each kind of host, where they differ.
    pub(crate) on_hosts: Vec<OnHost>,
    /// The search, where the policy asks for it.
    pub(crate) ladder: Option<Arc<Ladder>>,
    /// What is wrong with it.
    pub(super) findings: Vec<Finding>,
}

/// What a request comes to on one kind of host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OnHost {
    /// The kind of host.
    pub(crate) host: String,
    /// What comes first.
    pub(crate) answer: Answer,
    /// Whether that is right.
    pub(crate) verdict: Verdict,
}

/// An object's result.
#[derive(Clone, Debug)]
pub struct ObjectReport {
    /// The object.
    pub facts: Arc<Facts>,
    /// The wrapper that starts it.
    pub(crate) wrapper: Option<PathBuf>,
    /// The wrapper sets LD_LIBRARY_PATH.
    pub(super) has_library_path: bool,
    /// What it asks of the driver.
    pub(crate) requests: Vec<RequestReport>,
    /// What is wrong with it, beside its requests.
    pub(super) findings: Vec<Finding>,
    /// DT_NEEDED libraries that its own search does not find.
    pub(super) unresolved: Vec<BString>,
    /// What does not fit in its process.
    pub(super) misfits: Misfits,
    /// For a program: what it loads at start.
    pub(super) loads: Vec<Arc<Object>>,
}

impl ObjectReport {
    /// The worst verdict; `None` when it asks for nothing.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        self.requests.iter().map(|request| request.verdict).max()
    }
}

/// What a library gets in one program.
#[derive(Debug)]
pub(super) struct InOneProgram {
    /// What it asks of the driver.
    pub(super) requests: Vec<RequestReport>,
    /// DT_NEEDED names that are not found.
    pub(super) missing: BTreeSet<BString>,
    /// What its libcuda opens and does not find.
    pub(super) companions: Vec<Finding>,
}

/// What libraries get in one program.
#[derive(Debug, Default)]
pub(crate) struct InProgram {
    /// By path.
    pub(super) libraries: BTreeMap<BString, InOneProgram>,
    /// That not all of it was followed.
    pub(super) cut: Option<Finding>,
}

/// Libraries that miss something by themselves, or that a wrapper's LD_LIBRARY_PATH may lead astray, by path.
pub(crate) type Failing = BTreeMap<BString, Arc<Facts>>;

/// A file that no loader reads: a static program, or one with GPU code.
#[derive(Clone, Debug)]
pub(crate) struct OtherFile {
    /// As it was given.
    pub(crate) shown: PathBuf,
    /// Its size and contents.
    pub(crate) record: FileRecord,
    /// Its GPU code.
    pub(crate) gpu_code: GpuCode,
}

/// The whole result.
#[derive(Clone, Debug, Default)]
pub struct CheckReport {
    /// Regular files that were looked at.
    pub files: usize,
    /// ELF files among them.
    pub elf: usize,
    /// Objects with a search path or the right to one, in path order.
    pub objects: Vec<ObjectReport>,
    /// Other files that a comparison is about, in path order, if that was asked for.
    pub(crate) others: Vec<OtherFile>,
    /// Everything that was found, in path order, by code.
    pub(crate) findings: Vec<Finding>,
    /// What could not be read, and why: whatever findings are wanted, the check is not one of these.
    pub(crate) unread: Vec<(PathBuf, String)>,
}

impl CheckReport {
    /// How many objects that ask for the driver have this verdict.
    #[must_use]
    pub(crate) fn count(&self, verdict: Verdict) -> usize {
        self.objects.iter().filter(|object| object.verdict() == Some(verdict)).count()
    }

    /// How many objects ask for the driver.
    #[must_use]
    pub(crate) fn consumers(&self) -> usize {
        self.objects.iter().filter(|object| !object.requests.is_empty()).count()
    }

    /// How many findings are this bad.
    #[must_use]
    pub(crate) fn severity_count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}
