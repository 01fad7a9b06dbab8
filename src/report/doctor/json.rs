//! The versioned JSON document of `doctor`.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use crate::check::{Diagnosis, Severity};
use crate::report::document::{SCHEMA, print as print_document, put};

/// Prints the document.
///
/// # Errors
/// What writing says.
pub fn print(found: &[Diagnosis], out: &mut dyn Write) -> io::Result<()> {
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
    print_document(&json!({"schema": SCHEMA, "command": "doctor", "diagnoses": diagnoses}), out)
}
