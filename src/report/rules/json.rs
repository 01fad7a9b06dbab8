//! The versioned JSON document of `rules`.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::check::Rule;
use crate::report::document::{SCHEMA, print as print_document};

/// Prints the table as JSON.
///
/// # Errors
/// What writing says.
pub fn print(rules: &[&Rule], out: &mut dyn Write) -> io::Result<()> {
    let rules = rules.iter().map(|rule| {
        json!({
            "code": rule.code,
            "slug": rule.slug,
            "severity": rule.severity.name(),
            "fixable": rule.fixable,
            "condition": rule.condition,
            "cause": rule.cause,
            "remedy": rule.remedy,
            "example": rule.example,
        })
    });
    let rules: Vec<Value> = rules.collect();
    print_document(&json!({"schema": SCHEMA, "command": "rules", "rules": rules}), out)
}
