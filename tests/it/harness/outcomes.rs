//! What became of the files: layout by machine, as a table.

use std::collections::BTreeMap;
use std::path::Path;

/// What became of one file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Outcome {
    /// It has the new path and runs as before.
    Edited,
    /// It has the old path, and the program said why.
    Refused,
    /// It has no search path and got none.
    LeftAlone,
    /// Anything else.
    Broken,
}

/// Counts of outcomes in rows and columns, in the order in which they came.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<String>,
    columns: Vec<String>,
    cells: BTreeMap<(usize, usize), BTreeMap<Outcome, usize>>,
}

impl Table {
    pub(crate) fn add(&mut self, row: &str, column: &str, outcome: Outcome) {
        let key = (position(&mut self.rows, row), position(&mut self.columns, column));
        *self.cells.entry(key).or_default().entry(outcome).or_insert(0) += 1;
    }

    /// Prints the table and leaves it beside the other tests' tables, where `tests/run --long` finds it.
    pub(crate) fn show(&self, name: &str) {
        let text = self.text(name);
        print!("{text}");
        let file = format!("table-{}.txt", name.replace("::", "-"));
        std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join(file), text).unwrap();
    }

    fn text(&self, name: &str) -> String {
        let mut total = BTreeMap::new();
        for (outcome, count) in self.cells.values().flatten() {
            *total.entry(*outcome).or_insert(0) += count;
        }
        let of = |outcome| total.get(&outcome).copied().unwrap_or(0);
        let mut text = format!(
            "{name}: {} edited and run, {} refused by name (r), {} left alone (a), {} broken (!)\n",
            of(Outcome::Edited),
            of(Outcome::Refused),
            of(Outcome::LeftAlone),
            of(Outcome::Broken)
        );
        let first = self.rows.iter().map(String::len).max().unwrap_or(0);
        let mut line = |head: &str, cells: &mut dyn Iterator<Item = String>| {
            text.push_str(&format!("{head:first$}"));
            for (cell, column) in cells.zip(&self.columns) {
                text.push_str(&format!("  {cell:>width$}", width = column.len().max(4)));
            }
            text.push('\n');
        };
        line("", &mut self.columns.iter().cloned());
        for (row, head) in self.rows.iter().enumerate() {
            let cell = |column| self.cells.get(&(row, column)).map_or("-".to_owned(), words);
            line(head, &mut (0..self.columns.len()).map(cell));
        }
        text
    }
}

fn position(names: &mut Vec<String>, name: &str) -> usize {
    names.iter().position(|known| known == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    })
}

/// `5`, `4r1`, `a1`, `!2`: how many of each.
fn words(counts: &BTreeMap<Outcome, usize>) -> String {
    let word = |(outcome, count): (&Outcome, &usize)| match outcome {
        Outcome::Edited => count.to_string(),
        Outcome::Refused => format!("r{count}"),
        Outcome::LeftAlone => format!("a{count}"),
        Outcome::Broken => format!("!{count}"),
    };
    counts.iter().map(word).collect()
}
