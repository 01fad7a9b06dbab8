//! What all tables in Markdown share: cells in which nothing is markup, whatever a file is called.
//!
//! Text that came from a file stands in a code span. There is no markup in one, no mention of a person, no number of an
//! issue, no formula and no link, which GitHub makes of other text after it was rendered.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::text::escaped;

/// As many rows has a table: a summary is for reading, and GitHub takes no more than 1 MiB of one.
pub(super) const MOST_ROWS: usize = 30;

/// As many characters of one cell are shown.
const MOST_OF_A_CELL: usize = 400;

/// Text from a file as a code span of a table's cell.
pub(super) fn code(bytes: impl AsRef<[u8]>) -> String {
    let text = shortened(&escaped(bytes.as_ref()));
    let mut longest = 0_usize;
    let mut run = 0_usize;
    for character in text.chars() {
        run = if character == '`' { run.saturating_add(1) } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat(longest.saturating_add(1));
    // One space at each end is taken off again, unless there is nothing else.
    let touches = text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']);
    let pad = if touches && !text.trim_matches(' ').is_empty() { " " } else { "" };
    if text.is_empty() {
        return "(empty)".to_owned();
    }
    // A table is taken apart at its bars before anything else is read, and loses one backslash in front of each.
    format!("{fence}{pad}{}{pad}{fence}", text.replace('|', "\\|"))
}

/// A path in the same way.
pub(super) fn path(path: &Path) -> String {
    code(path.as_os_str().as_bytes())
}

/// Our own words: an underscore inside of a word is one.
pub(super) fn words(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '\\' | '`' | '*' | '<' | '[' | '|' | '$') {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MOST_OF_A_CELL) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// How a column is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table with a line about the rows beyond the first [`MOST_ROWS`].
pub(super) fn table(
    out: &mut dyn Write,
    head: &[(&str, Column)],
    rows: impl ExactSizeIterator<Item = Vec<String>>,
) -> io::Result<()> {
    let all = rows.len();
    let titles: Vec<&str> = head.iter().map(|(title, _)| *title).collect();
    let rules: Vec<&str> =
        head.iter().map(|(_, column)| if *column == Column::Right { "---:" } else { "---" }).collect();
    writeln!(out, "\n| {} |\n|{}|", titles.join(" | "), rules.join("|"))?;
    for row in rows.take(MOST_ROWS) {
        writeln!(out, "| {} |", row.join(" | "))?;
    }
    match all.saturating_sub(MOST_ROWS) {
        0 => Ok(()),
        more => writeln!(out, "\nand {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_name_is_markup() {
        for (name, cell) in [
            ("a|b", "`a\\|b`"),
            ("<b>@me</b> #1", "`<b>@me</b> #1`"),
            ("a`b", "``a`b``"),
            ("`", "`` ` ``"),
            ("``x", "``` ``x ```"),
            (" a", "`  a `"),
            ("  ", "`  `"),
            ("", "(empty)"),
            ("a\nb\u{202e}", "`a\\nb\\u{202e}`"),
        ] {
            assert_eq!(code(name), cell, "{name:?}");
        }
        assert_eq!(code(b"\xff"), "`\\xff`");
        assert_eq!(code("x".repeat(1000)).chars().count(), MOST_OF_A_CELL + 3);
        assert_eq!(words("/lib*, $ORIGIN sm_87 a|b"), "/lib\\*, \\$ORIGIN sm_87 a\\|b");
    }

    #[test]
    fn a_long_table_says_how_much_is_left_out() {
        let table_of = |count: usize| {
            let mut out = Vec::new();
            let rows = (0..count).map(|row| vec![row.to_string()]).collect::<Vec<_>>();
            table(&mut out, &[("n", Column::Right)], rows.into_iter()).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(table_of(1), "\n| n |\n|---:|\n| 0 |\n");
        assert!(table_of(MOST_ROWS + 2).ends_with("| 29 |\n\nand 2 more\n"));
    }
}
