//! For people: an object's header line, its search path entry by entry, and what it needs.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::elf::dynamic::TagSet;
use crate::report::human::{Detail, Human};
use crate::tree::{ShowReport, ShownObject};

/// Prints what `show` found: facts to `out`, failures to `err`.
///
/// # Errors
/// What writing says.
pub(crate) fn print(human: &Human, reports: &[ShowReport], out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
    for report in reports {
        match &report.facts {
            Ok(Ok(facts)) => print_facts(human, &report.path, facts, out)?,
            Ok(Err(skip)) => human.skip(&report.path, skip, out)?,
            Err(error) => human.failure(&report.path, error, err)?,
        }
    }
    out.flush()?;
    err.flush()
}

/// Prints the paths of objects, each ended with NUL, for `xargs -0` and `read -d ''`; failures to `err`.
///
/// # Errors
/// What writing says.
pub(crate) fn print_paths(
    human: &Human,
    reports: &[ShowReport],
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<()> {
    for report in reports {
        match &report.facts {
            Ok(Ok(_)) => {
                out.write_all(report.path.as_os_str().as_bytes())?;
                out.write_all(b"\0")?;
            }
            Ok(Err(_)) => {}
            Err(error) => human.failure(&report.path, error, err)?,
        }
    }
    out.flush()?;
    err.flush()
}

fn print_facts(human: &Human, path: &Path, facts: &ShownObject, out: &mut dyn Write) -> io::Result<()> {
    if human.detail == Detail::Quiet {
        return Ok(());
    }
    let title = human.out.title;
    write!(out, "{title}")?;
    human.path(out, path)?;
    let endian = if facts.is_big_endian { "big-endian " } else { "" };
    writeln!(out, "{title:#}: {}-bit {endian}{} {}", facts.object.class, facts.object.machine, facts.kind)?;
    for (label, value) in [("interpreter", &facts.interpreter), ("soname", &facts.soname)] {
        if let Some(value) = value {
            write!(out, "  {label:<12} ")?;
            human.name(out, value)?;
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
        human.name(out, &entry.entry)?;
        writeln!(out)?;
    }
    if !facts.needed.is_empty() {
        write!(out, "  {:<12} ", "needs")?;
        human.name(out, &bstr::join(" ", &facts.needed))?;
        writeln!(out)?;
    }
    if !facts.requests.is_empty() {
        let requests = facts.requests.iter().map(|request| format!("{} ({})", request.soname, request.kind.name()));
        write!(out, "  {:<12} ", "driver")?;
        human.name(out, requests.collect::<Vec<_>>().join(", ").as_bytes())?;
        writeln!(out)?;
    }
    if facts.has_cache_note {
        writeln!(out, "  {:<12} .note.nixos.ldcache answers for the search path", "cache")?;
    }
    match &facts.room {
        Ok(room) => {
            let (strategy, slot) = (room.strategy.name(), room.slot.name());
            writeln!(out, "  {:<12} {strategy} (entry {slot}, file grows by {})", "room", room.growth)
        }
        Err(error) => {
            write!(out, "  {:<12} ", "room")?;
            human.name(out, error.as_bytes())?;
            writeln!(out)
        }
    }
}
