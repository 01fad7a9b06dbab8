//! The versioned JSON documents of `fix` and `fix --revert`.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::run::{FixRun, RevertReport};
use super::summary::Summary;
use crate::report::document::{
    SCHEMA, path_object, print as print_document, put, put_failure, put_optional, put_path, put_skip,
};
use crate::tree::{FileReport, Outcome};

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
pub fn print(run: &FixRun, all: bool, out: &mut dyn Write) -> io::Result<()> {
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
    print_document(&document, out)
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
    print_document(
        &json!({"schema": SCHEMA, "command": "fix", "mode": "revert", "files": files, "summary": summary}),
        out,
    )
}

fn is_not_elf(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Skipped(skip) if skip.is_not_elf())
}

fn fix_file(report: &FileReport) -> Value {
    let mut file = Map::new();
    put_path(&mut file, "path", &report.path);
    if let Some(object) = report.object {
        file.insert("class".to_owned(), object.class.into());
        file.insert("machine".to_owned(), object.machine.into());
        if let Some(consumer) = object.is_consumer {
            file.insert("consumer".to_owned(), consumer.into());
        }
    }
    match &report.outcome {
        Outcome::Changed(change) => {
            put(&mut file, "outcome", if change.how.is_some() { "fixed" } else { "would-fix" });
            put(&mut file, "tagBefore", change.tag_before);
            put(&mut file, "tagAfter", change.tag_after);
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
            put(&mut file, "tagBefore", tag);
            put(&mut file, "tagAfter", tag);
            for key in ["before", "after"] {
                put_optional(&mut file, key, path.as_ref().map(|path| path.as_slice()));
            }
        }
        Outcome::Skipped(skip) => put_skip(&mut file, skip),
        Outcome::Failed(error) => put_failure(&mut file, error),
    }
    file.into()
}
