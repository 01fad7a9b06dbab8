//! The table of findings, for people and programs.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::Palette;
use super::json::{SCHEMA, print};
use crate::check::{RULES, Rule};

/// The widest severity: `warning`.
const WIDEST: usize = 7;

/// Prints all rules, a line each.
///
/// # Errors
/// What writing says.
pub fn print_rules(palette: &Palette, out: &mut dyn Write) -> io::Result<()> {
    for rule in RULES {
        let label = palette.severity_label(rule.severity);
        // Colours have no width.
        let pad = WIDEST.saturating_sub(rule.severity.name().len());
        let fix = if rule.fixable { "fix" } else { "   " };
        writeln!(out, "{} {label}{:pad$} {fix} {:24} {}", rule.code, "", rule.slug, rule.condition)?;
    }
    out.flush()
}

/// Prints one rule with its cause and remedy.
///
/// # Errors
/// What writing says.
pub fn print_rule(rule: &Rule, palette: &Palette, width: usize, out: &mut dyn Write) -> io::Result<()> {
    let fix = if rule.fixable { ", repaired by fix" } else { "" };
    writeln!(out, "{} {} ({}{fix})", rule.code, rule.slug, palette.severity_label(rule.severity))?;
    for (title, text) in
        [("When", rule.condition), ("Why", rule.cause), ("Remedy", rule.remedy), ("Example", rule.example)]
    {
        writeln!(out, "\n{title}")?;
        for line in wrapped(text, width.saturating_sub(2)) {
            writeln!(out, "  {line}")?;
        }
    }
    out.flush()
}

/// Prints the table as a section of a manual page (roff, man macros).
///
/// # Errors
/// What writing says.
pub fn print_rules_man(out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, ".SH FINDINGS")?;
    for rule in RULES {
        let fix = if rule.fixable { ", repaired by fix" } else { "" };
        let (slug, condition, remedy) = (roff(rule.slug), roff(rule.condition), roff(rule.remedy));
        writeln!(out, ".TP\n\\fB{} {slug}\\fR ({}{fix})", rule.code, rule.severity.name())?;
        writeln!(out, "{condition}\n.br\nRemedy: {remedy}")?;
    }
    Ok(())
}

/// Text for roff: no hyphen may become a dash, and no line may start a request.
fn roff(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-");
    if escaped.starts_with(['.', '\'']) { format!("\\&{escaped}") } else { escaped }
}

/// Prints the table as JSON.
///
/// # Errors
/// What writing says.
pub fn print_rules_json(rules: &[&Rule], out: &mut dyn Write) -> io::Result<()> {
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
    print(&json!({"schema": SCHEMA, "command": "rules", "rules": rules}), out)
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count().saturating_add(word.chars().count()) < width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
