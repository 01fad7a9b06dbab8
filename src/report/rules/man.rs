//! The table of findings as a section of a manual page (roff, man macros).

use std::io::{self, Write};

use crate::check::RULES;

/// Prints the section.
///
/// # Errors
/// What writing says.
pub(crate) fn print(out: &mut dyn Write) -> io::Result<()> {
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
