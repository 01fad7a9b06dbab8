//! The versioned JSON document of `doctor`.

use std::io::{self, Write};

use serde::Serialize;

use crate::check::{self, Severity};
use crate::report::document::{self, SCHEMA};

#[derive(Serialize)]
struct DoctorDocument<'a> {
    schema: &'static str,
    command: &'static str,
    diagnoses: Vec<DoctorDiagnosis<'a>>,
}

#[derive(Serialize)]
struct DoctorDiagnosis<'a> {
    subject: &'a str,
    status: &'static str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
}

/// Prints the document.
///
/// # Errors
/// What writing says.
pub(crate) fn print(found: &[check::Diagnosis], out: &mut dyn Write) -> io::Result<()> {
    let diagnoses = found.iter().map(DoctorDiagnosis::new).collect();
    document::print(&DoctorDocument { schema: SCHEMA, command: "doctor", diagnoses }, out)
}

impl<'a> DoctorDiagnosis<'a> {
    fn new(found: &'a check::Diagnosis) -> Self {
        Self {
            subject: &found.subject,
            status: found.severity.map_or("ok", Severity::name),
            detail: &found.detail,
            code: found.rule.map(|rule| rule.code),
        }
    }
}
