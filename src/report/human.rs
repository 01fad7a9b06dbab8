//! Text for people: how much is told, in which colours, and the lines that several commands print.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anstyle::{AnsiColor, Style};

use super::text::{self, Escape};
use crate::check::{Severity, Verdict};
use crate::tree::{FixError, Skip};

/// The styles of one stream: none where no colours are shown, so that a pipe gets every byte as it is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Palette {
    pub(super) good: Style,
    pub(super) bad: Style,
    pub(super) warning: Style,
    pub(super) quiet: Style,
    pub(super) title: Style,
}

impl Palette {
    /// The styles of a terminal.
    #[must_use]
    pub(crate) fn coloured() -> Self {
        Self {
            good: AnsiColor::Green.on_default(),
            bad: AnsiColor::Red.on_default().bold(),
            warning: AnsiColor::Yellow.on_default(),
            quiet: Style::new().dimmed(),
            title: Style::new().bold(),
        }
    }

    /// The word that starts every warning.
    pub(super) fn warning_label(&self) -> String {
        format!("{}warning:{:#}", self.warning, self.warning)
    }

    /// How bad a finding is, coloured.
    pub(super) fn severity_label(&self, severity: Severity) -> String {
        let style = match severity {
            Severity::Error => self.bad,
            Severity::Warning => self.warning,
            Severity::Note => self.quiet,
        };
        format!("{style}{}{style:#}", severity.name())
    }

    /// That nothing is wrong, coloured.
    pub(super) fn fine_label(&self) -> String {
        format!("{}ok{:#}", self.good, self.good)
    }

    /// A verdict, coloured.
    pub(super) fn verdict_label(&self, verdict: Verdict) -> String {
        let style = match verdict {
            Verdict::Pass => self.good,
            Verdict::Runtime => self.warning,
            Verdict::Fail => self.bad,
        };
        format!("{style}{}{style:#}", verdict.name())
    }

    /// The word that starts every failure.
    #[must_use]
    pub(crate) fn error_label(&self) -> String {
        format!("{}error:{:#}", self.bad, self.bad)
    }
}

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Detail {
    /// Failures only.
    Quiet,
    /// Changed and failing files, and a summary.
    Normal,
    /// Skips and conforming objects too, and how each change is made.
    Verbose,
    /// Every write, and files that are not ELF.
    All,
}

/// The human format.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Human {
    /// How much is told.
    pub detail: Detail,
    /// How names are written to standard output.
    pub escape_out: Escape,
    /// How names are written to standard error.
    pub escape_err: Escape,
    /// The styles of standard output.
    pub out: Palette,
    /// The styles of standard error.
    pub err: Palette,
}

impl Human {
    /// A path of a file, as the stream can take it.
    pub(super) fn path(&self, out: &mut dyn Write, path: &Path) -> io::Result<()> {
        self.name(out, path.as_os_str().as_bytes())
    }

    /// Text that came from a file, as the stream can take them.
    pub(super) fn name(&self, out: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
        text::name(out, bytes, self.escape_out)
    }

    /// Why a file was left alone, to those who want to know.
    pub(super) fn skip(&self, path: &Path, skip: &Skip, out: &mut dyn Write) -> io::Result<()> {
        let wanted = match skip {
            skip if skip.is_not_elf() => Detail::All,
            // The user named the machines: what that leaves out should not come as a surprise. A hidden file that a
            // killed run left would never be looked for.
            // What is left out for its own sake may have been meant.
            Skip::DriverLibrary | Skip::Signed(_) | Skip::Payload => Detail::Normal,
            Skip::OtherMachine | Skip::Temporary => Detail::Normal,
            _ => Detail::Verbose,
        };
        if self.detail < wanted {
            return Ok(());
        }
        let quiet = self.out.quiet;
        write!(out, "{quiet}skipped{quiet:#} ")?;
        self.path(out, path)?;
        write!(out, ": ")?;
        self.name(out, &text::skip_reason(skip))?;
        writeln!(out)
    }

    /// What is wrong with a file, or with writing it.
    pub(super) fn failure(&self, path: &Path, error: &FixError, err: &mut dyn Write) -> io::Result<()> {
        self.error(path, &text::with_sources(error), err)?;
        self.attempts(error, err)
    }

    /// Why a file that cannot be edited was left alone.
    pub(super) fn left_alone(&self, path: &Path, error: &FixError, err: &mut dyn Write) -> io::Result<()> {
        if self.detail < Detail::Normal {
            return Ok(());
        }
        let reason = format!("left alone, it asks for no driver library: {}", text::with_sources(error));
        self.told(&self.err.warning_label(), path, &reason, err)?;
        self.attempts(error, err)
    }

    /// What each rung has against a file, to those who want to know.
    fn attempts(&self, error: &FixError, err: &mut dyn Write) -> io::Result<()> {
        let quiet = self.err.quiet;
        for (strategy, why) in error.attempts().iter().filter(|_| self.detail >= Detail::Verbose) {
            writeln!(err, "  {quiet}{strategy}: {why}{quiet:#}")?;
        }
        Ok(())
    }

    /// The same in words. A reason can have names in it, too.
    pub(super) fn error(&self, path: &Path, reason: &str, err: &mut dyn Write) -> io::Result<()> {
        self.told(&self.err.error_label(), path, reason, err)
    }

    fn told(&self, label: &str, path: &Path, reason: &str, err: &mut dyn Write) -> io::Result<()> {
        write!(err, "{label} ")?;
        text::name(err, path.as_os_str().as_bytes(), self.escape_err)?;
        write!(err, ": ")?;
        text::name(err, reason.as_bytes(), self.escape_err)?;
        writeln!(err)
    }
}
