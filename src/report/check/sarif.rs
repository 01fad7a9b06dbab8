//! SARIF 2.1.0, for code scanning dashboards. By hand: of its some hundred types this needs a dozen fields.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde_json::{Value, json};

use super::run::CheckRun;
use crate::check::{Finding, RULES, Severity};
use crate::report::document;

/// Prints one run with all rules.
///
/// # Errors
/// What writing says.
pub(crate) fn print(run: &CheckRun, out: &mut dyn Write) -> io::Result<()> {
    let rules = RULES.iter().map(|rule| {
        json!({
            "id": rule.code,
            "name": rule.slug,
            "shortDescription": {"text": rule.condition},
            "fullDescription": {"text": rule.cause},
            "help": {"text": rule.remedy},
            "defaultConfiguration": {"level": level(rule.severity)},
        })
    });
    let allowed = run.allowed.iter().map(|allowed| {
        let mut value = result(&allowed.finding);
        if let Some(object) = value.as_object_mut() {
            let suppression = json!([{"kind": "external", "justification": allowed.reason}]);
            object.insert("suppressions".to_owned(), suppression);
        }
        value
    });
    let results: Vec<Value> = run.report.findings.iter().map(result).chain(allowed).collect();
    let document = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "cuda-runpath",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.collect::<Vec<_>>(),
            }},
            "results": results,
        }],
    });
    document::print(&document, out)
}

fn result(finding: &Finding) -> Value {
    let index = RULES.iter().position(|rule| rule.code == finding.rule.code);
    let mut value = json!({
        "ruleId": finding.rule.code,
        "ruleIndex": index,
        "level": level(finding.severity),
        "message": {"text": finding.message()},
        "partialFingerprints": {"cudaRunpath/v1": finding.fingerprint()},
    });
    if let Some(object) = value.as_object_mut().filter(|_| !finding.path.as_os_str().is_empty()) {
        let location = json!([{"physicalLocation": {"artifactLocation": {"uri": uri(&finding.path)}}}]);
        object.insert("locations".to_owned(), location);
    }
    value
}

/// SARIF's levels have the names of ours.
fn level(severity: Severity) -> &'static str {
    severity.name()
}

/// A path as a URI reference (RFC 3986): absolute ones get a scheme, all but the harmless bytes are escaped.
fn uri(path: &Path) -> String {
    let mut uri = if path.is_absolute() { "file://".to_owned() } else { String::new() };
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/+,@=".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}
