//! The versioned JSON document of `rules`.

use std::io::{self, Write};

use serde::Serialize;

use crate::check;
use crate::report::document::{self, SCHEMA};

#[derive(Serialize)]
struct RulesDocument {
    schema: &'static str,
    command: &'static str,
    rules: Vec<RulesRow>,
}

#[derive(Serialize)]
struct RulesRow {
    code: &'static str,
    slug: &'static str,
    severity: &'static str,
    fixable: bool,
    condition: &'static str,
    cause: &'static str,
    remedy: &'static str,
    example: &'static str,
}

/// Prints the table, or a part of it.
///
/// # Errors
/// What writing says.
pub(crate) fn print(rules: &[&check::Rule], out: &mut dyn Write) -> io::Result<()> {
    let rules = rules.iter().map(|rule| RulesRow::new(rule)).collect();
    document::print(&RulesDocument { schema: SCHEMA, command: "rules", rules }, out)
}

impl RulesRow {
    fn new(rule: &check::Rule) -> Self {
        Self {
            code: rule.code,
            slug: rule.slug,
            severity: rule.severity.name(),
            fixable: rule.fixable,
            condition: rule.condition,
            cause: rule.cause,
            remedy: rule.remedy,
            example: rule.example,
        }
    }
}
