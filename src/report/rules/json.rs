//! The versioned JSON document of `rules`.

use std::io::{self, Write};

use serde::Serialize;

use crate::check;
use crate::report::document::{self, SCHEMA};

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    command: &'static str,
    rules: Vec<Rule>,
}

#[derive(Serialize)]
struct Rule {
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
    let rules = rules.iter().map(|rule| Rule::new(rule)).collect();
    document::print(&Document { schema: SCHEMA, command: "rules", rules }, out)
}

impl Rule {
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
