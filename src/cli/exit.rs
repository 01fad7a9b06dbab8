//! The one place where an outcome becomes an exit code.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use super::args::Global;
use super::output;
use crate::report::{Conclusion, for_terminal};
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
        Self::from(status.code())
    }
}

impl Status {
    /// The status of a list of files.
    pub(super) fn of_files(files: &[FileReport]) -> Self {
        let failed = files.iter().any(|report| matches!(report.outcome, Outcome::Failed(_)));
        if failed { Self::Failed } else { Self::Clean }
    }
}

impl Status {
    /// The same for a report, with what it means there.
    pub(super) fn conclusion(self, meaning: &'static str) -> Conclusion {
        Conclusion { code: self.code(), meaning }
    }

    fn code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Findings => 1,
            Self::Failed => 2,
        }
    }
}

/// Prints an error that ended the run before there was a report.
pub(super) fn report(error: &anyhow::Error, global: &Global) -> Status {
    // No stream is left to tell it on when standard error is gone too.
    let label = output::palette(global, &io::stderr()).error_label();
    let text = format!("{error:#}");
    let text = if io::stderr().is_terminal() { for_terminal(&text) } else { text };
    let _ = writeln!(io::stderr(), "{label} {text}");
    Status::Failed
}

/// Prints what clap says of the arguments: help and version, which are no errors, or what is wrong. It quotes arguments,
/// and those can be names of a stranger's files.
pub(super) fn usage(error: &clap::Error) -> Status {
    let status = if error.use_stderr() { Status::Failed } else { Status::Clean };
    let plain = error.to_string();
    let safe = for_terminal(&plain);
    let is_safe = !io::stderr().is_terminal() || safe == plain.trim_end_matches('\n');
    let printed = if is_safe { error.print() } else { writeln!(io::stderr(), "{safe}") };
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Status::Failed,
        _ => status,
    }
}
