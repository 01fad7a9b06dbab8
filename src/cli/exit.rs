//! The one place where an outcome becomes an exit code.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use super::args::Global;
use super::output;
use crate::report::for_terminal;
use crate::tree::{FileReport, Outcome};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Done, or nothing to do.
    Clean,
    /// Findings; or `--check` would change something.
    Findings,
    /// Usage, unreadable input, or a refused or failed edit.
    Failed,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        match status {
            Status::Clean => Self::from(0),
            Status::Findings => Self::from(1),
            Status::Failed => Self::from(2),
        }
    }
}

impl Status {
    /// The status of a list of files.
    pub(super) fn of_files(files: &[FileReport]) -> Self {
        let failed = files.iter().any(|report| matches!(report.outcome, Outcome::Failed(_)));
        if failed { Self::Failed } else { Self::Clean }
    }
}

/// Prints an error that ended the run before there was a report. A closed pipe is the reader's decision, not an error.
pub(super) fn report(error: &anyhow::Error, global: &Global) -> Status {
    let closed = error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
    if !closed {
        // No stream is left to tell it on when standard error is gone too.
        let label = output::palette(global, &io::stderr()).error_label();
        let text = format!("{error:#}");
        let text = if io::stderr().is_terminal() { for_terminal(&text) } else { text };
        let _ = writeln!(io::stderr(), "{label} {text}");
    }
    Status::Failed
}
