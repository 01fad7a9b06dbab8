//! The versioned JSON document of a check; `check.schema.json` describes it.

use std::io::{self, Write};

use serde::Serialize;

use super::run::CheckRun;
use crate::check::{self, ObjectReport, RequestReport, Severity, Verdict};
use crate::report::document::{self, Bytes, SCHEMA};

/// The document's JSON Schema.
pub(crate) const SCHEMA_FILE: &str = include_str!("check.schema.json");

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    command: &'static str,
    objects: Vec<Object<'a>>,
    findings: Vec<Finding<'a>>,
    allowed: Vec<Allowed<'a>>,
    summary: Summary,
}

/// A file that was looked at.
#[derive(Serialize)]
struct Object<'a> {
    path: Bytes<'a>,
    class: u8,
    machine: &'static str,
    /// The wrapper that starts this hidden program.
    #[serde(skip_serializing_if = "Option::is_none")]
    wrapper: Option<Bytes<'a>>,
    /// The worst of its requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<&'static str>,
    requests: Vec<Request<'a>>,
}

/// A driver library that the object asks for.
#[derive(Serialize)]
struct Request<'a> {
    soname: &'a str,
    kind: &'static str,
    verdict: &'static str,
    answer: &'static str,
    /// The file or directory that answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<Bytes<'a>>,
    /// The program in which that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<Bytes<'a>>,
}

#[derive(Serialize)]
struct Finding<'a> {
    code: &'static str,
    slug: &'static str,
    severity: &'static str,
    /// Empty for a finding about everything together.
    path: Bytes<'a>,
    message: String,
    /// What the finding is about within the file: a library, an entry, a version.
    about: Bytes<'a>,
    /// cuda-runpath fix repairs it.
    fixable: bool,
    /// The same from build to build: store hashes are left out.
    fingerprint: String,
}

/// A finding that an allowlist or a baseline excuses.
#[derive(Serialize)]
struct Allowed<'a> {
    #[serde(flatten)]
    finding: Finding<'a>,
    reason: &'a str,
}

#[derive(Serialize)]
struct Summary {
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

/// Prints the document: every finding, and every object that asks for the driver; with `all` the other objects too.
///
/// # Errors
/// What writing says.
pub(crate) fn print(run: &CheckRun, all: bool, out: &mut dyn Write) -> io::Result<()> {
    let is_listed = |object: &&ObjectReport| all || !object.requests.is_empty();
    let document = Document {
        schema: SCHEMA,
        command: "check",
        objects: run.report.objects.iter().filter(is_listed).map(Object::new).collect(),
        findings: run.report.findings.iter().map(Finding::new).collect(),
        allowed: run.allowed.iter().map(Allowed::new).collect(),
        summary: Summary::new(run),
    };
    document::print(&document, out)
}

impl<'a> Object<'a> {
    fn new(report: &'a ObjectReport) -> Self {
        let facts = &report.facts;
        Self {
            path: Bytes::of_path(&facts.shown),
            class: facts.object.class.bits(),
            machine: facts.object.machine.name,
            wrapper: report.wrapper.as_deref().map(Bytes::of_path),
            verdict: report.verdict().map(Verdict::name),
            requests: report.requests.iter().map(Request::new).collect(),
        }
    }
}

impl<'a> Request<'a> {
    fn new(request: &'a RequestReport) -> Self {
        Self {
            soname: &request.soname,
            kind: request.kind.name(),
            verdict: request.verdict.name(),
            answer: request.answer.name(),
            place: request.answer.place().map(Bytes::new),
            program: request.through.as_deref().map(Bytes::of_path),
        }
    }
}

impl<'a> Finding<'a> {
    fn new(finding: &'a check::Finding) -> Self {
        Self {
            code: finding.rule.code,
            slug: finding.rule.slug,
            severity: finding.severity.name(),
            path: Bytes::of_path(&finding.path),
            message: finding.message(),
            about: Bytes::new(&finding.about),
            fixable: finding.fixable,
            fingerprint: finding.fingerprint(),
        }
    }
}

impl<'a> Allowed<'a> {
    fn new(allowed: &'a check::Allowed) -> Self {
        Self { finding: Finding::new(&allowed.finding), reason: &allowed.reason }
    }
}

impl Summary {
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
