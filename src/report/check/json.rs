//! The versioned JSON document of a check; `check.schema.json` describes it.

use std::collections::BTreeMap;
use std::io::{self, Write};

#[cfg(test)]
use schemars::JsonSchema;
use serde::Serialize;
#[cfg(test)]
use strum::VariantNames as _;

use super::run::CheckRun;
use crate::check::{
    self, CheckRoot, FileRecord, ObjectReport, OnHost, OtherFile, RequestReport, ScopeKind, Severity, Verdict,
};
use crate::cuda::GpuCode;
use crate::report::document::{self, SCHEMA, Text};

/// The document's JSON Schema.
pub(crate) const SCHEMA_FILE: &str = include_str!("check.schema.json");

/// Findings and verdicts. Bytes that are not UTF-8 are escaped as \xNN, with a sibling whose name ends in Hex that holds
/// them exactly. New fields may come; none goes or changes its meaning while schema is cuda-runpath/1.
#[derive(Serialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(title = "cuda-runpath check --json"))]
struct CheckDocument<'a> {
    #[cfg_attr(test, schemars(extend("const" = SCHEMA)))]
    schema: &'static str,
    #[cfg_attr(test, schemars(extend("const" = "check")))]
    command: &'static str,
    /// What the objects are part of.
    #[cfg_attr(test, schemars(extend("enum" = ScopeKind::VARIANTS)))]
    scope: Option<&'static str>,
    /// What was walked; of a list the directory that all of it lies in; nothing of a closure, whose paths have names of
    /// their own.
    roots: Vec<CheckWalked<'a>>,
    /// The options that decide about findings and verdicts.
    asked: BTreeMap<&'a str, &'a str>,
    /// Every object is listed (-v), with its record.
    complete: bool,
    /// Those that ask for a driver library; with -v the others too.
    objects: Vec<CheckObject<'a>>,
    /// With -v: static programs, and files with GPU code that no loader reads.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    others: Vec<CheckOther<'a>>,
    findings: Vec<CheckFinding<'a>>,
    allowed: Vec<CheckAllowed<'a>>,
    summary: CheckSummary,
}

/// A file or a tree that was walked.
#[derive(Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
struct CheckWalked<'a> {
    /// As paths below it begin here.
    path: Text<'a>,
    /// What it led to, as places begin.
    real: Text<'a>,
}

/// An ELF file that was looked at.
#[derive(Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
struct CheckObject<'a> {
    path: Text<'a>,
    #[cfg_attr(test, schemars(extend("enum" = [32, 64])))]
    class: u8,
    machine: &'static str,
    /// The wrapper that starts this hidden program.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Text"))]
    wrapper: Option<Text<'a>>,
    /// The worst of its requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "&str", extend("enum" = Verdict::VARIANTS)))]
    verdict: Option<&'static str>,
    requests: Vec<CheckRequest<'a>>,
    #[serde(flatten)]
    record: Option<CheckRecord>,
}

/// A file that no loader reads.
#[derive(Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
struct CheckOther<'a> {
    path: Text<'a>,
    #[serde(flatten)]
    record: CheckRecord,
}

/// With -v: what tells another release of a file from this one.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(JsonSchema))]
struct CheckRecord {
    /// In bytes.
    length: u64,
    /// A BLAKE3 hash over the length and each block of 64 KiB that is not all zeros, its number in front.
    #[cfg_attr(test, schemars(regex(pattern = "^[0-9a-f]{64}$")))]
    contents: String,
    gpu_code: Vec<CheckCode>,
    /// How much GPU code is not understood.
    gpu_problems: u64,
}

/// GPU code of one form for one architecture.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(JsonSchema))]
struct CheckCode {
    form: &'static str,
    architecture: String,
    kind: &'static str,
    count: u64,
    without_kernels: u64,
    bytes: u64,
}

/// A driver library that an object asks for.
#[derive(Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
struct CheckRequest<'a> {
    soname: &'a str,
    #[cfg_attr(test, schemars(extend("enum" = crate::cuda::RequestKind::VARIANTS)))]
    kind: &'static str,
    #[cfg_attr(test, schemars(extend("enum" = Verdict::VARIANTS)))]
    verdict: &'static str,
    #[cfg_attr(test, schemars(extend("enum" = check::Answer::VARIANTS)))]
    answer: &'static str,
    /// The file or directory that answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Text"))]
    place: Option<Text<'a>>,
    /// The program in which that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Text"))]
    program: Option<Text<'a>>,
    /// What it gets on each kind of host, where an image is judged on several and they differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hosts: Vec<CheckHost<'a>>,
}

/// What a request comes to on one kind of host.
#[derive(Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
struct CheckHost<'a> {
    host: &'a str,
    #[cfg_attr(test, schemars(extend("enum" = Verdict::VARIANTS)))]
    verdict: &'static str,
    #[cfg_attr(test, schemars(extend("enum" = check::Answer::VARIANTS)))]
    answer: &'static str,
    /// The file or directory that answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Text"))]
    place: Option<Text<'a>>,
}

/// What is wrong, and where.
#[derive(Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(in crate::report) struct CheckFinding<'a> {
    #[cfg_attr(test, schemars(regex(pattern = "^CRP[0-9]{3}$")))]
    code: &'static str,
    #[cfg_attr(test, schemars(regex(pattern = "^[a-z0-9-]+$")))]
    slug: &'static str,
    #[cfg_attr(test, schemars(extend("enum" = Severity::VARIANTS)))]
    severity: &'static str,
    /// Empty for a finding about everything together.
    path: Text<'a>,
    message: String,
    /// What the finding is about within the file: a library, an entry, a version.
    about: Text<'a>,
    /// cuda-runpath fix repairs it.
    fixable: bool,
    /// The same from build to build: store hashes are left out.
    fingerprint: String,
}

/// A finding that an allowlist or a baseline excuses.
#[derive(Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
pub(in crate::report) struct CheckAllowed<'a> {
    #[serde(flatten)]
    finding: CheckFinding<'a>,
    /// Why it is excused.
    #[cfg_attr(test, schemars(length(min = 1)))]
    reason: &'a str,
}

/// How many there are of each.
#[derive(Serialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(extend("additionalProperties" = {"type": "integer", "minimum": 0})))]
struct CheckSummary {
    files: usize,
    elf: usize,
    consumers: usize,
    pass: usize,
    runtime: usize,
    fail: usize,
    errors: usize,
    warnings: usize,
    notes: usize,
    allowed: usize,
    fixable: usize,
}

/// Prints the document: every finding, and every object that asks for the driver; with `all` the other files too.
///
/// # Errors
/// What writing says.
pub(crate) fn print(run: &CheckRun, all: bool, out: &mut dyn Write) -> io::Result<()> {
    let setting = &run.setting;
    let is_listed = |object: &&ObjectReport| all || !object.requests.is_empty();
    let document = CheckDocument {
        schema: SCHEMA,
        command: "check",
        scope: setting.scope.map(ScopeKind::name),
        roots: setting.roots.iter().map(CheckWalked::new).collect(),
        asked: setting.asked.iter().flatten().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
        complete: all,
        others: run.report.others.iter().filter(|_| all).map(CheckOther::new).collect(),
        objects: run.report.objects.iter().filter(is_listed).map(CheckObject::new).collect(),
        findings: run.report.findings.iter().map(CheckFinding::new).collect(),
        allowed: run.allowed.iter().map(CheckAllowed::new).collect(),
        summary: CheckSummary::new(run),
    };
    document::print(&document, out)
}

impl<'a> CheckWalked<'a> {
    fn new(root: &'a CheckRoot) -> Self {
        Self { path: Text::of_path(&root.given), real: Text::of_path(&root.real) }
    }
}

impl<'a> CheckObject<'a> {
    fn new(report: &'a ObjectReport) -> Self {
        let facts = &report.facts;
        Self {
            path: Text::of_path(&facts.shown),
            class: facts.object.class.bits(),
            machine: facts.object.machine.name,
            wrapper: report.wrapper.as_deref().map(Text::of_path),
            verdict: report.verdict().map(Verdict::name),
            requests: report.requests.iter().map(CheckRequest::new).collect(),
            record: facts.record.map(|record| CheckRecord::new(record, &facts.gpu_code)),
        }
    }
}

impl<'a> CheckOther<'a> {
    fn new(other: &'a OtherFile) -> Self {
        Self { path: Text::of_path(&other.shown), record: CheckRecord::new(other.record, &other.gpu_code) }
    }
}

impl CheckRecord {
    fn new(record: FileRecord, code: &GpuCode) -> Self {
        let short = code.in_short();
        let rows = short.places.iter().flat_map(|place| {
            place.code.iter().map(|(code, tally)| CheckCode {
                form: place.form.name(),
                architecture: code.architecture(),
                kind: code.kind.name(),
                count: tally.count,
                without_kernels: tally.empty,
                bytes: tally.bytes,
            })
        });
        Self {
            length: record.length,
            contents: record.contents.to_string(),
            gpu_code: rows.collect(),
            gpu_problems: short.problem_count(),
        }
    }
}

impl<'a> CheckRequest<'a> {
    fn new(request: &'a RequestReport) -> Self {
        Self {
            soname: &request.soname,
            kind: request.kind.name(),
            verdict: request.verdict.name(),
            answer: request.answer.name(),
            place: request.answer.place().map(Text::new),
            program: request.through.as_deref().map(Text::of_path),
            hosts: request.on_hosts.iter().map(CheckHost::new).collect(),
        }
    }
}

impl<'a> CheckHost<'a> {
    fn new(on: &'a OnHost) -> Self {
        Self {
            host: &on.host,
            verdict: on.verdict.name(),
            answer: on.answer.name(),
            place: on.answer.place().map(Text::new),
        }
    }
}

impl<'a> CheckFinding<'a> {
    pub(in crate::report) fn new(finding: &'a check::Finding) -> Self {
        Self {
            code: finding.rule.code,
            slug: finding.rule.slug,
            severity: finding.severity.name(),
            path: Text::of_path(&finding.path),
            message: finding.message(),
            about: Text::new(&finding.about),
            fixable: finding.fixable,
            fingerprint: finding.fingerprint(),
        }
    }
}

impl<'a> CheckAllowed<'a> {
    pub(in crate::report) fn new(allowed: &'a check::Allowed) -> Self {
        Self { finding: CheckFinding::new(&allowed.finding), reason: &allowed.reason }
    }
}

impl CheckSummary {
    fn new(run: &CheckRun) -> Self {
        let report = &run.report;
        Self {
            files: report.files,
            elf: report.elf,
            consumers: report.consumers(),
            pass: report.count(Verdict::Pass),
            runtime: report.count(Verdict::Runtime),
            fail: report.count(Verdict::Fail),
            errors: report.severity_count(Severity::Error),
            warnings: report.severity_count(Severity::Warning),
            notes: report.severity_count(Severity::Note),
            allowed: run.allowed.len(),
            fixable: run.fixable(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `SNAPSHOTS=overwrite cargo test schema` writes the committed file anew.
    #[test]
    fn the_schema_is_that_of_the_document() {
        snapbox::assert_data_eq!(
            crate::report::schema::of::<CheckDocument>(),
            snapbox::file!["check.schema.json"].raw()
        );
    }
}
