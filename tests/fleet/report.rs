//! What became of a tree.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(crate) struct Report {
    tree: PathBuf,
    pub(crate) files: usize,
    pub(crate) elf: usize,
    pub(crate) edited: usize,
    strategies: BTreeMap<String, usize>,
    conforming: usize,
    left_alone: BTreeMap<String, usize>,
    pub(crate) refused: Vec<String>,
    pub(crate) checked: BTreeMap<&'static str, usize>,
    pub(crate) not_checked: Vec<&'static str>,
    pub(crate) broken: Vec<String>,
}

impl Report {
    pub(super) fn new(tree: &Path) -> Self {
        Self {
            tree: tree.to_owned(),
            files: 0,
            elf: 0,
            edited: 0,
            strategies: BTreeMap::new(),
            conforming: 0,
            left_alone: BTreeMap::new(),
            refused: Vec::new(),
            checked: BTreeMap::new(),
            not_checked: Vec::new(),
            broken: Vec::new(),
        }
    }

    pub(super) fn count(&mut self, file: &Path, outcome: &str, why: &str, strategy: &str) {
        match outcome {
            "fixed" => {
                self.edited += 1;
                *self.strategies.entry(strategy.to_owned()).or_default() += 1;
            }
            "conforms" => self.conforming += 1,
            "skipped" => *self.left_alone.entry(why.to_owned()).or_default() += 1,
            "failed" | "left-alone" => self.refused.push(format!("{}: {why}", file.display())),
            _ => self.broken.push(format!("{}: an unknown outcome {outcome}", file.display())),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn listed<K: fmt::Display>(counts: &BTreeMap<K, usize>) -> String {
            counts.iter().map(|(what, count)| format!("{what} {count}")).collect::<Vec<_>>().join(", ")
        }
        writeln!(f, "{}: {} files, {} ELF", self.tree.display(), self.files, self.elf)?;
        writeln!(f, "  edited         {:6}  {}", self.edited, listed(&self.strategies))?;
        writeln!(f, "  already right  {:6}", self.conforming)?;
        writeln!(f, "  left alone     {:6}  {}", self.left_alone.values().sum::<usize>(), listed(&self.left_alone))?;
        writeln!(f, "  refused        {:6}", self.refused.len())?;
        for file in &self.refused {
            writeln!(f, "    {file}")?;
        }
        writeln!(f, "  broken         {:6}", self.broken.len())?;
        for file in &self.broken {
            writeln!(f, "    {file}")?;
        }
        writeln!(f, "  checked twice  {}", listed(&self.checked))?;
        if !self.not_checked.is_empty() {
            writeln!(f, "  NOT CHECKED    {}", self.not_checked.join(", "))?;
        }
        Ok(())
    }
}
