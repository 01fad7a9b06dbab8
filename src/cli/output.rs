//! Standard output and error, with colours where they are wanted.

use std::io::{self, BufWriter, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};

use super::args::{Global, When};
use crate::report::{Detail, Escape, Human};

/// Standard output, buffered: a report can have as many lines as a tree has files.
pub(super) fn stdout(global: &Global) -> impl Write {
    BufWriter::new(AutoStream::new(io::stdout(), choice(global, &io::stdout())))
}

/// Standard output for programs: every byte as it is, where the coloured stream drops control characters.
pub(super) fn raw_stdout() -> impl Write {
    BufWriter::new(io::stdout())
}

/// Standard error.
pub(super) fn stderr(global: &Global) -> impl Write {
    AutoStream::new(io::stderr(), choice(global, &io::stderr()))
}

fn choice(global: &Global, stream: &impl anstream::stream::RawStream) -> ColorChoice {
    match global.color {
        When::Auto => AutoStream::choice(stream),
        When::Always => ColorChoice::AlwaysAnsi,
        When::Never => ColorChoice::Never,
    }
}

/// The human printer for these options.
pub(super) fn human(global: &Global) -> Human {
    let detail = match (global.quiet, global.verbose) {
        (true, _) => Detail::Quiet,
        (false, 0) => Detail::Normal,
        (false, 1) => Detail::Verbose,
        (false, _) => Detail::All,
    };
    let escape = if io::stdout().is_terminal() { Escape::Terminal } else { Escape::Never };
    Human { detail, escape }
}
