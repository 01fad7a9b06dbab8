//! The table of findings as a page of Markdown: a list of all, then a section for each.

use std::io::{self, Write};

use crate::check::{RULES, Rule};
use crate::report::markdown::words;

const HEAD: &str = "\
# Findings of check

`cuda-runpath rules` lists them, `cuda-runpath rules CODE` explains one. A code never changes its meaning. **E** is an
error, **W** a warning, **N** a note: the worst that the finding can be. **F** marks what `fix` repairs, with the options
that the remedy names.

| code | finding | | when |
|---|---|---|---|
";

/// Prints the page.
///
/// # Errors
/// What writing says.
pub(crate) fn print(out: &mut dyn Write) -> io::Result<()> {
    out.write_all(HEAD.as_bytes())?;
    for rule in RULES {
        let severity = rule.severity.name().get(..1).unwrap_or_default().to_ascii_uppercase();
        let fix = if rule.fixable { " F" } else { "" };
        let (code, slug, condition) = (rule.code, rule.slug, words(rule.condition));
        writeln!(out, "| [{code}](#{}) | {slug} | {severity}{fix} | {condition} |", anchor(rule))?;
    }
    for rule in RULES {
        writeln!(out)?;
        print_section(rule, out)?;
    }
    out.flush()
}

/// Prints the section of one rule.
///
/// # Errors
/// What writing says.
pub(crate) fn print_one(rule: &Rule, out: &mut dyn Write) -> io::Result<()> {
    print_section(rule, out)?;
    out.flush()
}

fn print_section(rule: &Rule, out: &mut dyn Write) -> io::Result<()> {
    let fix = if rule.fixable { ", repaired by fix" } else { "" };
    writeln!(out, "## {} {}\n\n*{}{fix}*", rule.code, rule.slug, rule.severity.name())?;
    for (title, text) in
        [("When", rule.condition), ("Why", rule.cause), ("Remedy", rule.remedy), ("Example", rule.example)]
    {
        writeln!(out, "\n**{title}:** {}", words(text))?;
    }
    Ok(())
}

/// What GitHub and others make of the heading: lower case, and hyphens in place of spaces.
fn anchor(rule: &Rule) -> String {
    format!("{}-{}", rule.code.to_ascii_lowercase(), rule.slug)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finding_has_a_row_that_leads_to_its_section() {
        let mut page = Vec::new();
        print(&mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        let headings: Vec<String> = page
            .lines()
            .filter_map(|line| line.strip_prefix("## "))
            .map(|heading| heading.to_lowercase().replace(' ', "-"))
            .collect();
        let rows = page.lines().filter(|line| line.starts_with("| [CRP"));
        let links: Vec<&str> = rows.map(|row| row.split(['#', ')']).nth(1).unwrap()).collect();
        assert_eq!(links, headings);
        assert_eq!(links.len(), RULES.len());
        for title in ["When", "Why", "Remedy", "Example"] {
            assert_eq!(page.matches(&format!("**{title}:** ")).count(), RULES.len(), "{title}");
        }
    }
}
