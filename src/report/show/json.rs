//! The versioned JSON document of `show`.

use std::io::{self, Write};

use serde::Serialize;

use crate::report::document::{self, Failed, SCHEMA, Skipped, Text};
use crate::tree::{self, ShowReport};

#[derive(Serialize)]
struct ShowDocument<'a> {
    schema: &'static str,
    command: &'static str,
    files: Vec<ShowFile<'a>>,
}

#[derive(Serialize)]
struct ShowFile<'a> {
    path: Text<'a>,
    #[serde(flatten)]
    outcome: ShowOutcome<'a>,
}

#[derive(Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
enum ShowOutcome<'a> {
    Shown(Box<ShowFacts<'a>>),
    Skipped(Skipped<'a>),
    Failed(Failed),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShowFacts<'a> {
    class: u8,
    machine: &'static str,
    endian: &'static str,
    r#type: &'static str,
    interpreter: Option<Text<'a>>,
    soname: Option<Text<'a>>,
    tag: &'static str,
    search_path: Option<Text<'a>>,
    entries: Vec<ShowEntry<'a>>,
    needed: Vec<ShowNeeded<'a>>,
    driver_libraries: Vec<ShowDriverLibrary<'a>>,
    resolution_cache: bool,
    room: ShowRoom<'a>,
}

#[derive(Serialize)]
struct ShowEntry<'a> {
    entry: Text<'a>,
    class: &'static str,
}

#[derive(Serialize)]
struct ShowNeeded<'a> {
    name: Text<'a>,
}

#[derive(Serialize)]
struct ShowDriverLibrary<'a> {
    soname: &'a str,
    kind: &'static str,
}

/// Where a longer path would go.
#[derive(Serialize)]
#[serde(untagged)]
enum ShowRoom<'a> {
    Found { strategy: &'static str, slot: &'static str, growth: u64, written: u64 },
    Nowhere { error: &'a str },
}

/// Prints what `show` found. Files that are not ELF are listed only with `all`.
///
/// # Errors
/// What writing says.
pub(crate) fn print(reports: &[ShowReport], all: bool, out: &mut dyn Write) -> io::Result<()> {
    let is_listed = |report: &&ShowReport| all || !matches!(&report.facts, Ok(Err(skip)) if skip.is_not_elf());
    let files = reports.iter().filter(is_listed).map(ShowFile::new).collect();
    document::print(&ShowDocument { schema: SCHEMA, command: "show", files }, out)
}

impl<'a> ShowFile<'a> {
    fn new(report: &'a ShowReport) -> Self {
        let outcome = match &report.facts {
            Ok(Ok(facts)) => ShowOutcome::Shown(Box::new(ShowFacts::new(facts))),
            Ok(Err(skip)) => ShowOutcome::Skipped(Skipped::new(skip)),
            Err(error) => ShowOutcome::Failed(Failed::new(error)),
        };
        Self { path: Text::of_path(&report.path), outcome }
    }
}

impl<'a> ShowFacts<'a> {
    fn new(facts: &'a tree::ShownObject) -> Self {
        let entries = facts.entries.iter();
        let needed = facts.needed.iter();
        let requests = facts.requests.iter();
        Self {
            class: facts.object.class.bits(),
            machine: facts.object.machine.name,
            endian: if facts.is_big_endian { "big" } else { "little" },
            r#type: facts.kind,
            interpreter: facts.interpreter.as_ref().map(Text::new),
            soname: facts.soname.as_ref().map(Text::new),
            tag: facts.tag.name(),
            search_path: facts.path.as_ref().map(Text::new),
            entries: entries.map(|e| ShowEntry { entry: Text::new(&e.entry), class: e.class.name() }).collect(),
            needed: needed.map(|name| ShowNeeded { name: Text::new(name) }).collect(),
            driver_libraries: requests.map(|r| ShowDriverLibrary { soname: &r.soname, kind: r.kind.name() }).collect(),
            resolution_cache: facts.has_cache_note,
            room: match &facts.room {
                Ok(room) => ShowRoom::Found {
                    strategy: room.strategy.name(),
                    slot: room.slot.name(),
                    growth: room.growth,
                    written: room.written,
                },
                Err(error) => ShowRoom::Nowhere { error },
            },
        }
    }
}
