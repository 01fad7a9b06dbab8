//! What `check` prints: one file for each format, all over the same run.

mod github;
pub(in crate::report) mod groups;
pub(crate) mod html;
pub(crate) mod human;
pub(crate) mod json;
mod junit;
pub(crate) mod markdown;
mod packages;
mod run;
pub(crate) mod runtime_list;
mod sarif;
pub(crate) mod saved;

pub(crate) use groups::GroupBy;
pub(crate) use run::CheckRun;

use std::io::{self, Write};

/// A format that `check` alone has.
#[derive(Debug)]
pub(crate) struct CheckFormat {
    /// As `--format` takes it.
    pub(crate) name: &'static str,
    /// Prints a run.
    pub(crate) print: fn(&CheckRun, &mut dyn Write) -> io::Result<()>,
}

/// All of them, in the order of `--help`.
pub(crate) static FORMATS: [CheckFormat; 3] = [
    CheckFormat { name: "sarif", print: sarif::print },
    CheckFormat { name: "junit", print: junit::print },
    CheckFormat { name: "github", print: github::print },
];
