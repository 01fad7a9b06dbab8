//! For people: the table of findings, or one of them with its cause and remedy.

use std::io::{self, Write};

use crate::check::{RULES, Rule};
use crate::report::human::Palette;

/// The widest severity: `warning`.
const WIDEST: usize = 7;

/// Prints all rules, a line each.
///
/// # Errors
/// What writing says.
pub(crate) fn print(palette: &Palette, out: &mut dyn Write) -> io::Result<()> {
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
pub(crate) fn print_one(rule: &Rule, palette: &Palette, width: usize, out: &mut dyn Write) -> io::Result<()> {
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
