//! Text for people: changed and failing files, then one summary line; more with `-v`.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anstyle::{AnsiColor, Style};
use bstr::{BString, ByteSlice};

use super::summary::{FixRun, Mode, RevertReport, Summary};
use super::text::{self, Escape};
use crate::check::{Severity, Verdict};
use crate::elf::dynamic::TagSet;
use crate::tree::{FileReport, FixError, Outcome, PathChange, ShowReport, ShownObject, Skip};

/// The styles of one stream: none where nobody sees colours, so that a pipe gets every byte as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Palette {
    good: Style,
    bad: Style,
    warning: Style,
    quiet: Style,
    title: Style,
}

impl Palette {
    /// The styles of a terminal.
    #[must_use]
    pub fn coloured() -> Self {
        Self {
            good: AnsiColor::Green.on_default(),
            bad: AnsiColor::Red.on_default().bold(),
            warning: AnsiColor::Yellow.on_default(),
            quiet: Style::new().dimmed(),
            title: Style::new().bold(),
        }
    }

    /// What matters less.
    pub(super) fn quiet_style(&self) -> Style {
        self.quiet
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
    pub fn error_label(&self) -> String {
        format!("{}error:{:#}", self.bad, self.bad)
    }
}

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
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
pub struct Human {
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
    /// Prints a run of `fix`: results to `out`, failures to `err`.
    ///
    /// # Errors
    /// What writing says.
    pub fn print_fix(&self, run: &FixRun, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
        for report in &run.files {
            self.file(report, run.mode, out, err)?;
        }
        if let Some(copy) = run.copy.as_ref().filter(|_| self.detail >= Detail::Normal) {
            let original = copy.original.display();
            let (entries, files) = (copy.entries, copy.files.len());
            writeln!(out, "{entries} search path entries and {files} files of the copy still refer to {original}")?;
            for path in &copy.files {
                write!(out, "  ")?;
                self.path(out, path)?;
                writeln!(out)?;
            }
        }
        if self.detail >= Detail::Normal {
            let summary = Summary::of(&run.files);
            let changed = if run.mode.writes() { "fixed" } else { "to fix" };
            let files = if summary.files == 1 { "file" } else { "files" };
            write!(out, "{} {files}, {} ELF: {} {changed}, ", summary.files, summary.elf, summary.changed)?;
            write!(out, "{} already right, ", summary.conforming)?;
            if summary.skipped > 0 {
                write!(out, "{} skipped, ", summary.skipped)?;
            }
            writeln!(out, "{} failed", summary.failed)?;
        }
        if run.no_consumer {
            writeln!(err, "{} no object asks for a driver library (--require-consumer)", self.err.error_label())?;
        }
        out.flush()?;
        err.flush()
    }

    fn file(&self, report: &FileReport, mode: Mode, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
        match &report.outcome {
            Outcome::Changed(change) if self.detail >= Detail::Normal => self.change(&report.path, change, mode, out),
            Outcome::Conforms { path, .. } if self.detail >= Detail::Verbose => {
                let quiet = self.out.quiet;
                write!(out, "{quiet}already right{quiet:#} ")?;
                self.path(out, &report.path)?;
                write!(out, ": ")?;
                self.search_path(out, path.as_ref())?;
                writeln!(out)
            }
            Outcome::Skipped(skip) => self.skip(&report.path, skip, out),
            Outcome::Failed(error) => self.failure(&report.path, error, err),
            Outcome::Changed(_) | Outcome::Conforms { .. } => Ok(()),
        }
    }

    fn change(&self, path: &Path, change: &PathChange, mode: Mode, out: &mut dyn Write) -> io::Result<()> {
        if mode == Mode::Diff {
            return self.difference(path, change, out);
        }
        let verb = if change.how.is_some() { "fixed" } else { "would fix" };
        let Palette { good, quiet, .. } = self.out;
        write!(out, "{good}{verb}{good:#} ")?;
        self.path(out, path)?;
        let (before, after) = (change.tag_before, change.tag_after);
        let first = if matches!(before, TagSet::None | TagSet::Both) { after } else { before };
        write!(out, ": {} ", first.name().to_uppercase())?;
        self.search_path(out, change.before.as_ref())?;
        write!(out, " -> ")?;
        if first != after && after != TagSet::None {
            write!(out, "{} ", after.name().to_uppercase())?;
        }
        self.search_path(out, change.after.as_ref())?;
        writeln!(out)?;
        for note in &change.notes {
            writeln!(out, "  {quiet}note: {note}{quiet:#}")?;
        }
        if self.detail >= Detail::Verbose {
            let (strategy, slot) = (change.strategy.name(), change.slot.name());
            write!(out, "  {quiet}strategy {strategy}, entry {slot}, {} bytes written", change.written)?;
            write!(out, ", file grows by {}", change.growth)?;
            writeln!(out, "{}{quiet:#}", change.how.map_or(String::new(), |how| format!(", {}", how.name())))?;
            for (stage, offset, len) in &change.patches {
                writeln!(out, "    {quiet}{:<8} {offset:#x} +{len}{quiet:#}", stage.name())?;
            }
        }
        Ok(())
    }

    /// One line for each tag, as `diff -u` would show a listing of the tags.
    fn difference(&self, path: &Path, change: &PathChange, out: &mut dyn Write) -> io::Result<()> {
        let Palette { good, bad, title, .. } = self.out;
        for (mark, style) in [("---", title), ("+++", title)] {
            write!(out, "{style}{mark} ")?;
            self.path(out, path)?;
            writeln!(out, "{style:#}")?;
        }
        for (mark, style, tag, path) in
            [("-", bad, change.tag_before, &change.before), ("+", good, change.tag_after, &change.after)]
        {
            if let Some(path) = path {
                write!(out, "{style}{mark}{} ", tag.name().to_uppercase())?;
                text::name(out, path, self.escape_out)?;
                writeln!(out, "{style:#}")?;
            }
        }
        Ok(())
    }

    fn skip(&self, path: &Path, skip: &Skip, out: &mut dyn Write) -> io::Result<()> {
        let wanted = match skip {
            skip if skip.is_not_elf() => Detail::All,
            // Somebody named the machines: what that leaves out should not come as a surprise. Nobody looks for a
            // hidden file that a killed run left.
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
        self.reason(out, skip)?;
        writeln!(out)
    }

    fn reason(&self, out: &mut dyn Write, skip: &Skip) -> io::Result<()> {
        match skip {
            Skip::NotApplicable(reason) => out.write_all(reason.reason().as_bytes()),
            Skip::OtherMachine => out.write_all(b"for another machine"),
            Skip::NoConsumer => out.write_all(b"asks for no driver library"),
            Skip::Temporary => out.write_all(
                b"a temporary file of cuda-runpath; when no run is at work, one was killed and it can be removed",
            ),
            Skip::SameFile(first) => {
                out.write_all(b"another name of ")?;
                self.path(out, first)
            }
        }
    }

    /// Prints what became of a receipt's files: failures to `err`, one summary line to `out`.
    ///
    /// # Errors
    /// What writing says.
    pub fn print_revert(&self, reports: &[RevertReport], out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
        for report in reports {
            if let Err(error) = &report.result {
                self.failure(&report.path, error, err)?;
            }
        }
        if self.detail >= Detail::Normal {
            let failed = reports.iter().filter(|report| report.result.is_err()).count();
            writeln!(out, "{} files reverted, {failed} failed", reports.len().saturating_sub(failed))?;
        }
        out.flush()?;
        err.flush()
    }

    /// Prints what `show` found: facts to `out`, failures to `err`.
    ///
    /// # Errors
    /// What writing says.
    pub fn print_show(&self, reports: &[ShowReport], out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
        for report in reports {
            match &report.facts {
                Ok(Ok(facts)) => self.facts(&report.path, facts, out)?,
                Ok(Err(skip)) => self.skip(&report.path, skip, out)?,
                Err(error) => self.failure(&report.path, error, err)?,
            }
        }
        out.flush()?;
        err.flush()
    }

    /// Prints the paths of objects, each ended with NUL, for `xargs -0` and `read -d ''`; failures to `err`.
    ///
    /// # Errors
    /// What writing says.
    pub fn print_paths(&self, reports: &[ShowReport], out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
        for report in reports {
            match &report.facts {
                Ok(Ok(_)) => {
                    out.write_all(report.path.as_os_str().as_bytes())?;
                    out.write_all(b"\0")?;
                }
                Ok(Err(_)) => {}
                Err(error) => self.failure(&report.path, error, err)?,
            }
        }
        out.flush()?;
        err.flush()
    }

    fn failure(&self, path: &Path, error: &FixError, err: &mut dyn Write) -> io::Result<()> {
        write!(err, "{} ", self.err.error_label())?;
        text::name(err, path.as_os_str().as_bytes(), self.escape_err)?;
        writeln!(err, ": {}", text::with_sources(error))
    }

    fn facts(&self, path: &Path, facts: &ShownObject, out: &mut dyn Write) -> io::Result<()> {
        if self.detail == Detail::Quiet {
            return Ok(());
        }
        let title = self.out.title;
        write!(out, "{title}")?;
        self.path(out, path)?;
        let endian = if facts.is_big_endian { "big-endian " } else { "" };
        writeln!(out, "{title:#}: {}-bit {endian}{} {}", facts.object.class, facts.object.machine, facts.kind)?;
        for (label, value) in [("interpreter", &facts.interpreter), ("soname", &facts.soname)] {
            if let Some(value) = value {
                write!(out, "  {label:<12} ")?;
                text::name(out, value, self.escape_out)?;
                writeln!(out)?;
            }
        }
        let tag = match facts.tag {
            TagSet::None => "no search path".to_owned(),
            TagSet::Both => "RUNPATH (and DT_RPATH, which is ignored)".to_owned(),
            tag => tag.name().to_uppercase(),
        };
        writeln!(out, "  {tag}")?;
        for entry in &facts.entries {
            write!(out, "    {:<9} ", entry.class.name())?;
            text::name(out, &entry.entry, self.escape_out)?;
            writeln!(out)?;
        }
        for (label, names) in [("needs", &facts.needed)] {
            if !names.is_empty() {
                write!(out, "  {label:<12} ")?;
                text::name(out, &bstr::join(" ", names), self.escape_out)?;
                writeln!(out)?;
            }
        }
        if !facts.requests.is_empty() {
            let requests = facts.requests.iter().map(|request| format!("{} ({})", request.soname, request.kind.name()));
            writeln!(out, "  {:<12} {}", "driver", requests.collect::<Vec<_>>().join(", "))?;
        }
        if facts.has_cache_note {
            writeln!(out, "  {:<12} .note.nixos.ldcache answers for the search path", "cache")?;
        }
        match &facts.room {
            Ok(room) => {
                let (strategy, slot) = (room.strategy.name(), room.slot.name());
                writeln!(out, "  {:<12} {strategy} (entry {slot}, file grows by {})", "room", room.growth)
            }
            Err(error) => writeln!(out, "  {:<12} {error}", "room"),
        }
    }

    pub(super) fn path(&self, out: &mut dyn Write, path: &Path) -> io::Result<()> {
        self.name(out, path.as_os_str().as_bytes())
    }

    /// Bytes that came from a file, as the stream can take them.
    pub(super) fn name(&self, out: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
        text::name(out, bytes, self.escape_out)
    }

    fn search_path(&self, out: &mut dyn Write, path: Option<&BString>) -> io::Result<()> {
        match path {
            None => out.write_all(b"(none)"),
            Some(path) if path.is_empty() => out.write_all(b"(empty)"),
            Some(path) => text::name(out, path.as_bytes(), self.escape_out),
        }
    }
}
