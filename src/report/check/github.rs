//! GitHub workflow commands: findings become annotations of a pull request.

use std::io::{self, Write};

use super::run::CheckRun;
use crate::check::Severity;
use crate::report::text::escaped;

/// Prints one line for each finding.
///
/// # Errors
/// What writing says.
pub(crate) fn print(run: &CheckRun, out: &mut dyn Write) -> io::Result<()> {
    for finding in &run.report.findings {
        let command = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "notice",
        };
        let path = escaped(std::os::unix::ffi::OsStrExt::as_bytes(finding.path.as_os_str()));
        write!(out, "::{command} ")?;
        if !path.is_empty() {
            write!(out, "file={},", property(&path))?;
        }
        let title = format!("{} {}", finding.rule.code, finding.rule.slug);
        // The log shows no file name, so the message has it too.
        let message = escaped(finding.message().as_bytes());
        let message = if path.is_empty() { message } else { format!("{path}: {message}") };
        writeln!(out, "title={}::{}", property(&title), data(&message))?;
    }
    out.flush()
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
