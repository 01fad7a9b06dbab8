//! Standard output and error, and how a person wants to see them.

use std::io::{self, BufWriter, IsTerminal, Write};

use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};

use super::args::{Format, Global, When};
use crate::report::{Detail, Escape, Human, Palette};

/// Standard output, buffered: a report can have as many lines as a tree has files. Every byte goes out as it is.
pub(super) fn stdout() -> impl Write {
    BufWriter::new(UntilClosed(io::stdout()))
}

/// Standard error.
pub(super) fn stderr() -> impl Write {
    UntilClosed(io::stderr())
}

/// A stream whose reader may leave: that is the reader's decision, not a failure, and what the command found stays what
/// it was.
struct UntilClosed<W>(W);

impl<W: Write> Write for UntilClosed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            flushed => flushed,
        }
    }
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
    let escape = |is_terminal| if is_terminal { Escape::Terminal } else { Escape::Never };
    let (escape_out, escape_err) = (
        escape(io::stdout().is_terminal()),
        // Who reads workflow commands from one stream reads them from the other, too.
        escape(
            io::stderr().is_terminal() || matches!(global.format, Format::OfCheck(format) if format.name == "github"),
        ),
    );
    Human { detail, escape_out, escape_err, out: palette(global, &io::stdout()), err: palette(global, &io::stderr()) }
}
