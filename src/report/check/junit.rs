//! JUnit XML, for CI systems: each object that asks for the driver, and each file with findings, is a test case.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use super::run::CheckRun;
use crate::check::{Finding, Severity};
use crate::report::text::{escaped, is_invisible};

/// Prints one test suite; errors are failures, the rest is output of the case.
///
/// # Errors
/// What writing says.
pub(crate) fn print(run: &CheckRun, out: &mut dyn Write) -> io::Result<()> {
    let consumers = run.report.objects.iter().filter(|object| !object.requests.is_empty());
    let mut cases: BTreeMap<&Path, Vec<&Finding>> =
        consumers.map(|object| (object.facts.shown.as_path(), Vec::new())).collect();
    for finding in &run.report.findings {
        cases.entry(&finding.path).or_default().push(finding);
    }
    let is_error = |finding: &&&Finding| finding.severity == Severity::Error;
    let failures = cases.values().filter(|findings| findings.iter().any(|finding| is_error(&finding))).count();
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    writeln!(out, "<testsuites>")?;
    writeln!(out, "  <testsuite name=\"cuda-runpath check\" tests=\"{}\" failures=\"{failures}\">", cases.len())?;
    for (path, findings) in &cases {
        let name = if path.as_os_str().is_empty() { "(all together)".to_owned() } else { name(path) };
        write!(out, "    <testcase classname=\"cuda-runpath.check\" name=\"{}\"", xml(&name))?;
        if findings.is_empty() {
            writeln!(out, "/>")?;
            continue;
        }
        writeln!(out, ">")?;
        let errors: Vec<String> = findings.iter().filter(is_error).map(|finding| line(finding)).collect();
        if let Some(first) = findings.iter().find(is_error) {
            let (code, message) = (first.rule.code, xml(&first.message()));
            writeln!(
                out,
                "      <failure type=\"{code}\" message=\"{message}\">{}</failure>",
                xml(&errors.join("\n"))
            )?;
        }
        let rest: Vec<String> =
            findings.iter().filter(|finding| !is_error(finding)).map(|finding| line(finding)).collect();
        if !rest.is_empty() {
            writeln!(out, "      <system-out>{}</system-out>", xml(&rest.join("\n")))?;
        }
        writeln!(out, "    </testcase>")?;
    }
    writeln!(out, "  </testsuite>")?;
    writeln!(out, "</testsuites>")?;
    out.flush()
}

fn line(finding: &Finding) -> String {
    format!("{} {} {}: {}", finding.severity.name(), finding.rule.code, finding.rule.slug, finding.message())
}

fn name(path: &Path) -> String {
    escaped(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()))
}

/// Text as XML 1.0 allows it: markup escaped, control characters replaced.
fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            // The same text for every reader, and nothing that a terminal obeys.
            c if is_invisible(c) => out.extend(["&#x", &format!("{:x}", u32::from(c)), ";"]),
            c => out.push(c),
        }
    }
    out
}
