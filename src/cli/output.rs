//! Standard output and error, and how a person wants to see them.

use std::io::{self, BufWriter, IsTerminal, Write};

use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};

use super::args::{Global, When};
use crate::report::{Detail, Escape, Human, Palette};

/// Standard output, buffered: a report can have as many lines as a tree has files. Every byte goes out as it is.
pub(super) fn stdout() -> impl Write {
    BufWriter::new(io::stdout())
}

/// The styles of a stream.
pub(super) fn palette(global: &Global, stream: &impl RawStream) -> Palette {
    let coloured = match global.color {
        When::Auto => AutoStream::choice(stream) != ColorChoice::Never,
        When::Always => true,
        When::Never => false,
    };
    if coloured { Palette::coloured() } else { Palette::default() }
}

/// A closed pipe is the reader's decision, not a failure.
pub(super) fn ignore_closed_pipe(error: anyhow::Error) -> anyhow::Result<()> {
    match error.downcast_ref::<io::Error>() {
        Some(cause) if cause.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(error),
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
    let escape = |is_terminal| if is_terminal { Escape::Terminal } else { Escape::Never };
    let (escape_out, escape_err) = (escape(io::stdout().is_terminal()), escape(io::stderr().is_terminal()));
    Human { detail, escape_out, escape_err, out: palette(global, &io::stdout()), err: palette(global, &io::stderr()) }
}
