//! The versioned JSON document of `show`.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use crate::report::document::{
    SCHEMA, print as print_document, put, put_bytes, put_failure, put_optional, put_path, put_skip,
};
use crate::tree::{Facts, ShowReport};

/// Prints what `show` found. Files that are not ELF are listed only with `all`.
///
/// # Errors
/// What writing says.
pub fn print(reports: &[ShowReport], all: bool, out: &mut dyn Write) -> io::Result<()> {
    let is_listed = |report: &&ShowReport| all || !matches!(&report.facts, Ok(Err(skip)) if skip.is_not_elf());
    let files: Vec<Value> = reports.iter().filter(is_listed).map(show_file).collect();
    print_document(&json!({"schema": SCHEMA, "command": "show", "files": files}), out)
}

fn show_file(report: &ShowReport) -> Value {
    let mut file = Map::new();
    put_path(&mut file, "path", &report.path);
    match &report.facts {
        Ok(Ok(facts)) => put_facts(&mut file, facts),
        Ok(Err(skip)) => put_skip(&mut file, skip),
        Err(error) => put_failure(&mut file, error),
    }
    file.into()
}

fn put_facts(file: &mut Map<String, Value>, facts: &Facts) {
    put(file, "outcome", "shown");
    file.insert("class".to_owned(), facts.object.class.into());
    put(file, "machine", facts.object.machine);
    put(file, "endian", if facts.is_big_endian { "big" } else { "little" });
    put(file, "type", facts.kind);
    put_optional(file, "interpreter", facts.interpreter.as_ref().map(|name| name.as_slice()));
    put_optional(file, "soname", facts.soname.as_ref().map(|name| name.as_slice()));
    put(file, "tag", facts.tag);
    put_optional(file, "searchPath", facts.path.as_ref().map(|path| path.as_slice()));
    let entries = facts.entries.iter().map(|shown| {
        let mut entry = Map::new();
        put_bytes(&mut entry, "entry", &shown.entry);
        put(&mut entry, "class", shown.class.name());
        Value::from(entry)
    });
    file.insert("entries".to_owned(), entries.collect());
    let needed = facts.needed.iter().map(|name| {
        let mut needed = Map::new();
        put_bytes(&mut needed, "name", name);
        Value::from(needed)
    });
    file.insert("needed".to_owned(), needed.collect());
    let requests = facts.requests.iter();
    let requests = requests.map(|request| json!({"soname": request.soname, "kind": request.kind.name()}));
    file.insert("driverLibraries".to_owned(), requests.collect());
    file.insert("resolutionCache".to_owned(), facts.has_cache_note.into());
    let room = match &facts.room {
        Ok(room) => json!({
            "strategy": room.strategy.name(),
            "slot": room.slot.name(),
            "growth": room.growth,
            "written": room.written,
        }),
        Err(error) => json!({ "error": error }),
    };
    file.insert("room".to_owned(), room);
}
