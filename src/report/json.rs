//! One versioned JSON document on standard output, and nothing else there.
//!
//! Bytes that are not UTF-8 are escaped as `\xNN`, with a sibling `…Hex` that holds them exactly.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::summary::{FixRun, RevertReport, Summary};
use super::text::{escaped, with_sources};
use crate::tree::{FileReport, FixError, Outcome, ShowReport, ShownObject, Skip};

/// Rises when a field goes or changes its meaning; new fields do not change it.
pub(super) const SCHEMA: &str = "cuda-runpath/1";

#[derive(Serialize)]
struct SummaryDocument {
    files: usize,
    elf: usize,
    fixed: usize,
    conforming: usize,
    skipped: usize,
    failed: usize,
    written: u64,
    growth: u64,
    strategies: BTreeMap<&'static str, usize>,
}

/// Prints a run of `fix`. Files that are not ELF are listed only with `all`.
///
/// # Errors
/// What writing says.
pub fn print_fix(run: &FixRun, all: bool, out: &mut dyn Write) -> io::Result<()> {
    let listed = run.files.iter().filter(|report| all || !is_not_elf(&report.outcome));
    let files: Vec<Value> = listed.map(fix_file).collect();
    let summary = Summary::of(&run.files);
    let mut document = json!({
        "schema": SCHEMA,
        "command": "fix",
        "mode": run.mode.name(),
        "files": files,
        "summary": SummaryDocument {
            files: summary.files,
            elf: summary.elf,
            fixed: summary.changed,
            conforming: summary.conforming,
            skipped: summary.skipped,
            failed: summary.failed,
            written: summary.written,
            growth: summary.growth,
            strategies: summary.strategies,
        },
    });
    if let (Some(copy), Some(object)) = (&run.copy, document.as_object_mut()) {
        let mut references = Map::new();
        put_path(&mut references, "original", &copy.original);
        references.insert("entries".to_owned(), copy.entries.into());
        let files: Vec<Value> = copy.files.iter().map(|path| path_object(path)).collect();
        references.insert("files".to_owned(), files.into());
        object.insert("references".to_owned(), references.into());
    }
    if let (true, Some(object)) = (run.no_consumer, document.as_object_mut()) {
        object.insert("noConsumer".to_owned(), true.into());
    }
    print(&document, out)
}

/// Prints what became of a receipt's files.
///
/// # Errors
/// What writing says.
pub fn print_revert(reports: &[RevertReport], out: &mut dyn Write) -> io::Result<()> {
    let files = reports.iter().map(|report| {
        let mut file = Map::new();
        put_path(&mut file, "path", &report.path);
        match &report.result {
            Ok(()) => put(&mut file, "outcome", "reverted"),
            Err(error) => put_failure(&mut file, error),
        }
        Value::from(file)
    });
    let files: Vec<Value> = files.collect();
    let failed = reports.iter().filter(|report| report.result.is_err()).count();
    let summary = json!({"reverted": files.len().saturating_sub(failed), "failed": failed});
    print(&json!({"schema": SCHEMA, "command": "fix", "mode": "revert", "files": files, "summary": summary}), out)
}

fn is_not_elf(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Skipped(skip) if skip.is_not_elf())
}

fn fix_file(report: &FileReport) -> Value {
    let mut file = Map::new();
    put_path(&mut file, "path", &report.path);
    if let Some(object) = report.object {
        file.insert("class".to_owned(), object.class.bits().into());
        file.insert("machine".to_owned(), object.machine.name.into());
        if let Some(consumer) = object.is_consumer {
            file.insert("consumer".to_owned(), consumer.into());
        }
    }
    match &report.outcome {
        Outcome::Changed(change) => {
            put(&mut file, "outcome", if change.how.is_some() { "fixed" } else { "would-fix" });
            put(&mut file, "tagBefore", change.tag_before.name());
            put(&mut file, "tagAfter", change.tag_after.name());
            put_optional(&mut file, "before", change.before.as_ref().map(|path| path.as_slice()));
            put_optional(&mut file, "after", change.after.as_ref().map(|path| path.as_slice()));
            put(&mut file, "strategy", change.strategy.name());
            put(&mut file, "slot", change.slot.name());
            file.insert("written".to_owned(), change.written.into());
            file.insert("growth".to_owned(), change.growth.into());
            if let Some(how) = change.how {
                put(&mut file, "write", how.name());
            }
            let patches = change.patches.iter();
            let patches = patches.map(|(stage, at, len)| json!({"stage": stage.name(), "offset": at, "length": len}));
            file.insert("patches".to_owned(), patches.collect());
            if !change.notes.is_empty() {
                file.insert("notes".to_owned(), change.notes.clone().into());
            }
        }
        Outcome::Conforms { path, tag } => {
            put(&mut file, "outcome", "conforms");
            put(&mut file, "tagBefore", tag.name());
            put(&mut file, "tagAfter", tag.name());
            for key in ["before", "after"] {
                put_optional(&mut file, key, path.as_ref().map(|path| path.as_slice()));
            }
        }
        Outcome::Skipped(skip) => put_skip(&mut file, skip),
        Outcome::Failed(error) => put_failure(&mut file, error),
    }
    file.into()
}

fn put_failure(file: &mut Map<String, Value>, error: &FixError) {
    put(file, "outcome", "failed");
    put(file, "error", &with_sources(error));
}

fn put_skip(file: &mut Map<String, Value>, skip: &Skip) {
    put(file, "outcome", "skipped");
    put(file, "reason", skip.name());
    if let Skip::SameFile(first) = skip {
        put_path(file, "sameAs", first);
    }
}

/// Prints what `show` found. Files that are not ELF are listed only with `all`.
///
/// # Errors
/// What writing says.
pub fn print_show(reports: &[ShowReport], all: bool, out: &mut dyn Write) -> io::Result<()> {
    let is_listed = |report: &&ShowReport| all || !matches!(&report.facts, Ok(Err(skip)) if skip.is_not_elf());
    let files: Vec<Value> = reports.iter().filter(is_listed).map(show_file).collect();
    print(&json!({"schema": SCHEMA, "command": "show", "files": files}), out)
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

fn put_facts(file: &mut Map<String, Value>, facts: &ShownObject) {
    put(file, "outcome", "shown");
    file.insert("class".to_owned(), facts.object.class.bits().into());
    put(file, "machine", facts.object.machine.name);
    put(file, "endian", if facts.is_big_endian { "big" } else { "little" });
    put(file, "type", facts.kind);
    put_optional(file, "interpreter", facts.interpreter.as_ref().map(|name| name.as_slice()));
    put_optional(file, "soname", facts.soname.as_ref().map(|name| name.as_slice()));
    put(file, "tag", facts.tag.name());
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

pub(super) fn print(document: &Value, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, document)?;
    out.write_all(b"\n")?;
    out.flush()
}

pub(super) fn put(object: &mut Map<String, Value>, key: &str, text: &str) {
    object.insert(key.to_owned(), text.into());
}

pub(super) fn put_path(object: &mut Map<String, Value>, key: &str, path: &Path) {
    put_bytes(object, key, path.as_os_str().as_bytes());
}

fn path_object(path: &Path) -> Value {
    let mut object = Map::new();
    put_path(&mut object, "path", path);
    object.into()
}

fn put_optional(object: &mut Map<String, Value>, key: &str, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => put_bytes(object, key, bytes),
        None => {
            object.insert(key.to_owned(), Value::Null);
        }
    }
}

pub(super) fn put_bytes(object: &mut Map<String, Value>, key: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => put(object, key, text),
        Err(_) => {
            put(object, key, &escaped(bytes));
            put(object, &format!("{key}Hex"), &super::receipt::hex(bytes));
        }
    }
}
