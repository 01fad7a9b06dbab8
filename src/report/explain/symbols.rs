//! `explain --symbols` for people: how many symbols each library gives, and every one that is missing.

use std::collections::BTreeMap;
use std::io::{self, Write};

use bstr::{BStr, ByteSlice};

use crate::check::{ExplainedSymbol, ExplainedSymbols, SymbolEnd};
use crate::report::human::{Detail, Human};
use crate::report::words::{binding_word, source_word};

/// Prints them; with `-v` where each is bound.
pub(super) fn print(human: &Human, explained: &ExplainedSymbols, out: &mut dyn Write) -> io::Result<()> {
    let mut rest = explained.symbols.as_slice();
    while let Some(first) = rest.first() {
        let count = rest.iter().take_while(|symbol| symbol.by == first.by).count();
        let (own, others) = rest.split_at_checked(count).unwrap_or((rest, &[]));
        rest = others;
        of_one(human, own, explained.is_whole, out)?;
    }
    for (path, reason) in &explained.problems {
        write!(out, "\ncannot tell all: ")?;
        human.name(out, path)?;
        write!(out, ": ")?;
        human.name(out, BStr::new(reason))?;
        writeln!(out)?;
    }
    Ok(())
}

fn of_one(human: &Human, symbols: &[ExplainedSymbol], is_whole: bool, out: &mut dyn Write) -> io::Result<()> {
    let Some(first) = symbols.first() else { return Ok(()) };
    writeln!(out)?;
    human.name(out, &first.by)?;
    writeln!(out, " asks for {}", counted(symbols.len()))?;
    let mut providers: BTreeMap<&BStr, usize> = BTreeMap::new();
    let mut weak = 0_usize;
    for symbol in symbols {
        match &symbol.end {
            SymbolEnd::Bound(place, _) => *providers.entry(place.as_bstr()).or_default() += 1,
            _ if symbol.is_weak => weak += 1,
            SymbolEnd::Unversioned(_) | SymbolEnd::OtherVersion(_) | SymbolEnd::Nothing => {}
        }
    }
    for (place, count) in providers {
        write!(out, "  {count:>6}  ")?;
        human.name(out, place)?;
        writeln!(out)?;
    }
    if weak > 0 {
        writeln!(out, "  {weak:>6}  weak, and nothing has them: they are zero")?;
    }
    for symbol in symbols {
        match &symbol.end {
            SymbolEnd::Bound(place, version) if human.detail >= Detail::Verbose => {
                name(human, "bound", symbol, out)?;
                write!(out, " => ")?;
                human.name(out, place)?;
                if let Some(version) = version.as_ref().filter(|version| Some(*version) != symbol.version.as_ref()) {
                    write!(out, ", version ")?;
                    human.name(out, version)?;
                }
                writeln!(out)?;
            }
            SymbolEnd::Bound(..) => {}
            _ if symbol.is_weak => {
                if human.detail >= Detail::Verbose {
                    name(human, "weak", symbol, out)?;
                    writeln!(out)?;
                }
            }
            end => missing(human, symbol, end, is_whole, out)?,
        }
    }
    Ok(())
}

fn missing(
    human: &Human,
    symbol: &ExplainedSymbol,
    end: &SymbolEnd,
    is_whole: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    name(human, "MISSING", symbol, out)?;
    write!(out, " ({})", binding_word(symbol.binding))?;
    match end {
        SymbolEnd::Unversioned(place) => {
            write!(out, ": ")?;
            human.name(out, place)?;
            writeln!(out, " has it, and no versions at all: the loader stops with an assertion")?;
        }
        SymbolEnd::OtherVersion(place) => {
            write!(out, ": ")?;
            human.name(out, place)?;
            writeln!(out, " has it in another version, or hidden")?;
        }
        SymbolEnd::Nothing | SymbolEnd::Bound(..) if is_whole || symbol.version.is_some() => {
            writeln!(out, ": nothing in the process has it")?;
        }
        SymbolEnd::Nothing | SymbolEnd::Bound(..) => writeln!(out, ": what loads this object may have it")?,
    }
    for rival in &symbol.rivals {
        write!(out, "           ")?;
        human.name(out, &rival.place)?;
        write!(out, " has it, but stands behind ")?;
        human.name(out, &rival.behind)?;
        writeln!(out, " in the search ({})", source_word(&rival.source))?;
    }
    Ok(())
}

fn name(human: &Human, word: &str, symbol: &ExplainedSymbol, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "  {word:<7}  ")?;
    human.name(out, &symbol.name)?;
    if let Some(version) = &symbol.version {
        write!(out, ", version ")?;
        human.name(out, version)?;
    }
    if let Some(file) = symbol.file.as_ref().filter(|_| symbol.version.is_some() && word == "MISSING") {
        write!(out, " of ")?;
        human.name(out, file)?;
    }
    Ok(())
}

fn counted(count: usize) -> String {
    if count == 1 { "1 symbol".to_owned() } else { format!("{count} symbols") }
}
