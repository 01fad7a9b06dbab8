//! The versioned JSON document of `show`.

use std::io::{self, Write};

use serde::Serialize;

use crate::report::document::{self, Bytes, Failed, SCHEMA, Skipped};
use crate::tree::{self, ShowReport};

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    command: &'static str,
    files: Vec<File<'a>>,
}

#[derive(Serialize)]
struct File<'a> {
    path: Bytes<'a>,
    #[serde(flatten)]
    became: Became<'a>,
}

#[derive(Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
enum Became<'a> {
    Shown(Box<Facts<'a>>),
    Skipped(Skipped<'a>),
    Failed(Failed),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Facts<'a> {
    class: u8,
    machine: &'static str,
    endian: &'static str,
    r#type: &'static str,
    interpreter: Option<Bytes<'a>>,
    soname: Option<Bytes<'a>>,
    tag: &'static str,
    search_path: Option<Bytes<'a>>,
    entries: Vec<Entry<'a>>,
    needed: Vec<Needed<'a>>,
    driver_libraries: Vec<DriverLibrary<'a>>,
    resolution_cache: bool,
    room: Room<'a>,
}

#[derive(Serialize)]
struct Entry<'a> {
    entry: Bytes<'a>,
    class: &'static str,
}

#[derive(Serialize)]
struct Needed<'a> {
    name: Bytes<'a>,
}

#[derive(Serialize)]
struct DriverLibrary<'a> {
    soname: &'a str,
    kind: &'static str,
}

/// Where a longer path would go.
#[derive(Serialize)]
#[serde(untagged)]
enum Room<'a> {
    Found { strategy: &'static str, slot: &'static str, growth: u64, written: u64 },
    Nowhere { error: &'a str },
}

/// Prints what `show` found. Files that are not ELF are listed only with `all`.
///
/// # Errors
/// What writing says.
pub(crate) fn print(reports: &[ShowReport], all: bool, out: &mut dyn Write) -> io::Result<()> {
    let is_listed = |report: &&ShowReport| all || !matches!(&report.facts, Ok(Err(skip)) if skip.is_not_elf());
    let files = reports.iter().filter(is_listed).map(File::new).collect();
    document::print(&Document { schema: SCHEMA, command: "show", files }, out)
}

impl<'a> File<'a> {
    fn new(report: &'a ShowReport) -> Self {
        let became = match &report.facts {
            Ok(Ok(facts)) => Became::Shown(Box::new(Facts::new(facts))),
            Ok(Err(skip)) => Became::Skipped(Skipped::new(skip)),
            Err(error) => Became::Failed(Failed::new(error)),
        };
        Self { path: Bytes::of_path(&report.path), became }
    }
}

impl<'a> Facts<'a> {
    fn new(facts: &'a tree::ShownObject) -> Self {
        let entries = facts.entries.iter();
        let needed = facts.needed.iter();
        let requests = facts.requests.iter();
        Self {
            class: facts.object.class.bits(),
            machine: facts.object.machine.name,
            endian: if facts.is_big_endian { "big" } else { "little" },
            r#type: facts.kind,
            interpreter: facts.interpreter.as_ref().map(Bytes::new),
            soname: facts.soname.as_ref().map(Bytes::new),
            tag: facts.tag.name(),
            search_path: facts.path.as_ref().map(Bytes::new),
            entries: entries.map(|e| Entry { entry: Bytes::new(&e.entry), class: e.class.name() }).collect(),
            needed: needed.map(|name| Needed { name: Bytes::new(name) }).collect(),
            driver_libraries: requests.map(|r| DriverLibrary { soname: &r.soname, kind: r.kind.name() }).collect(),
            resolution_cache: facts.has_cache_note,
            room: match &facts.room {
                Ok(room) => Room::Found {
                    strategy: room.strategy.name(),
                    slot: room.slot.name(),
                    growth: room.growth,
                    written: room.written,
                },
                Err(error) => Room::Nowhere { error },
            },
        }
    }
}
