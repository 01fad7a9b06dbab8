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

/// The human printer for these options.
pub(super) fn human(global: &Global) -> Human {
    let detail = match (global.quiet, global.verbose) {
        (true, _) => Detail::Quiet,
        (false, 0) => Detail::Normal,
        (false, 1) => Detail::Verbose,
        (false, _) => Detail::All,
    };
    let escape = if io::stdout().is_terminal() { Escape::Terminal } else { Escape::Never };
    Human { detail, escape, out: palette(global, &io::stdout()), err: palette(global, &io::stderr()) }
}
