//! For people: one line for each diagnosis.

use std::io::{self, Write};

use crate::check::Diagnosis;
use crate::report::human::{Detail, Human};

/// Prints a line for each diagnosis; with `-q` only what is wrong.
///
/// # Errors
/// What writing says.
pub(crate) fn print(human: &Human, found: &[Diagnosis], out: &mut dyn Write) -> io::Result<()> {
    for diagnosis in found.iter().filter(|diagnosis| human.detail > Detail::Quiet || diagnosis.severity.is_some()) {
        let label =
            diagnosis.severity.map_or_else(|| human.out.fine_label(), |severity| human.out.severity_label(severity));
        write!(out, "{label} ")?;
        if let Some(rule) = diagnosis.rule {
            write!(out, "{} {}, ", rule.code, rule.slug)?;
        }
        human.name(out, diagnosis.subject.as_bytes())?;
        write!(out, ": ")?;
        human.name(out, diagnosis.detail.as_bytes())?;
        writeln!(out)?;
    }
    out.flush()
}
