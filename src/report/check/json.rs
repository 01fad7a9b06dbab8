//! The versioned JSON document of a check; `check.schema.json` describes it.

use std::io::{self, Write};

use bstr::BStr;
use serde_json::{Map, Value, json};

use super::run::CheckRun;
use crate::check::{Finding, ObjectReport, Severity, Verdict};
use crate::report::document::{SCHEMA, print as print_document, put, put_bytes, put_path};

/// The document's JSON Schema.
pub const SCHEMA_FILE: &str = include_str!("check.schema.json");

/// Prints the document: every finding, and every object that asks for the driver; with `all` the other objects too.
///
/// # Errors
/// What writing says.
pub fn print(run: &CheckRun, all: bool, out: &mut dyn Write) -> io::Result<()> {
    let report = &run.report;
    let listed = report.objects.iter().filter(|object| all || !object.requests.is_empty());
    let allowed = run.allowed.iter().map(|allowed| {
        let mut value = finding(&allowed.finding);
        put(&mut value, "reason", &allowed.reason);
        Value::Object(value)
    });
    let document = json!({
        "schema": SCHEMA,
        "command": "check",
        "objects": listed.map(object).collect::<Vec<_>>(),
        "findings": report.findings.iter().map(|f| Value::Object(finding(f))).collect::<Vec<_>>(),
        "allowed": allowed.collect::<Vec<_>>(),
        "summary": {
            "files": report.files,
            "elf": report.elf,
            "consumers": report.consumers(),
            "pass": report.count(Verdict::Pass),
            "runtime": report.count(Verdict::Runtime),
            "fail": report.count(Verdict::Fail),
            "errors": report.severity_count(Severity::Error),
            "warnings": report.severity_count(Severity::Warning),
            "notes": report.severity_count(Severity::Note),
            "allowed": run.allowed.len(),
            "fixable": run.fixable(),
        },
    });
    print_document(&document, out)
}

fn object(report: &ObjectReport) -> Value {
    let mut value = Map::new();
    let facts = &report.facts;
    put_path(&mut value, "path", &facts.shown);
    value.insert("class".to_owned(), facts.object.class().into());
    put(&mut value, "machine", facts.object.machine_name);
    if let Some(wrapper) = &report.wrapper {
        put_path(&mut value, "wrapper", wrapper);
    }
    if let Some(verdict) = report.verdict() {
        put(&mut value, "verdict", verdict.name());
    }
    let requests = report.requests.iter().map(|request| {
        let mut value = Map::new();
        put(&mut value, "soname", &request.soname);
        put(&mut value, "kind", request.kind.name());
        put(&mut value, "verdict", request.verdict.name());
        put(&mut value, "answer", request.answer.name());
        if let Some(place) = request.answer.place() {
            put_bytes(&mut value, "place", place);
        }
        if let Some(program) = &request.through {
            put_path(&mut value, "program", program);
        }
        Value::Object(value)
    });
    value.insert("requests".to_owned(), requests.collect());
    Value::Object(value)
}

fn finding(finding: &Finding) -> Map<String, Value> {
    let mut value = Map::new();
    put(&mut value, "code", finding.rule.code);
    put(&mut value, "slug", finding.rule.slug);
    put(&mut value, "severity", finding.severity.name());
    put_path(&mut value, "path", &finding.path);
    put(&mut value, "message", &finding.message);
    put_bytes(&mut value, "about", BStr::new(&finding.about));
    value.insert("fixable".to_owned(), finding.fixable.into());
    put(&mut value, "fingerprint", &finding.fingerprint());
    value
}
