//! What `doctor` found, for people and programs.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::json::{SCHEMA, print, put};
use super::{Detail, Human};
use crate::check::{Diagnosis, Severity};

/// Prints a line for each diagnosis; with `-q` only what is wrong.
///
/// # Errors
/// What writing says.
pub fn print_doctor(human: &Human, found: &[Diagnosis], out: &mut dyn Write) -> io::Result<()> {
    for diagnosis in found.iter().filter(|diagnosis| human.detail > Detail::Quiet || diagnosis.severity.is_some()) {
        let label =
            diagnosis.severity.map_or_else(|| human.out.fine_label(), |severity| human.out.severity_label(severity));
        write!(out, "{label} ")?;
        if let Some(rule) = diagnosis.rule {
            write!(out, "{} {}, ", rule.code, rule.slug)?;
        }
        write!(out, "{}: ", diagnosis.subject)?;
        human.name(out, diagnosis.detail.as_bytes())?;
        writeln!(out)?;
    }
    out.flush()
}

/// Prints the same as JSON.
///
/// # Errors
/// What writing says.
pub fn print_doctor_json(found: &[Diagnosis], out: &mut dyn Write) -> io::Result<()> {
    let diagnoses = found.iter().map(|diagnosis| {
        let mut value = Map::new();
        put(&mut value, "subject", &diagnosis.subject);
        put(&mut value, "status", diagnosis.severity.map_or("ok", Severity::name));
        put(&mut value, "detail", &diagnosis.detail);
        if let Some(rule) = diagnosis.rule {
            put(&mut value, "code", rule.code);
        }
        Value::Object(value)
    });
    let diagnoses: Vec<Value> = diagnoses.collect();
    print(&json!({"schema": SCHEMA, "command": "doctor", "diagnoses": diagnoses}), out)
}
