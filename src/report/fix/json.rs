//! The versioned JSON documents of `fix` and `fix --revert`.

use std::io::{self, Write};

use serde::Serialize;

use super::run::{CopyNotes, FixRun, RevertReport};
use super::summary::Summary;
use crate::elf::plan::Stage;
use crate::report::document::{self, Bytes, Failed, PathItem, SCHEMA, Skipped};
use crate::tree::{self, FileReport, Outcome};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    schema: &'static str,
    command: &'static str,
    mode: &'static str,
    files: Vec<File<'a>>,
    summary: Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    references: Option<References<'a>>,
    /// Only there when it is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    no_consumer: Option<bool>,
}

#[derive(Serialize)]
struct File<'a> {
    path: Bytes<'a>,
    #[serde(flatten)]
    object: Option<Object>,
    #[serde(flatten)]
    became: Became<'a>,
}

#[derive(Serialize)]
struct Object {
    class: u8,
    machine: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumer: Option<bool>,
}

#[derive(Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
enum Became<'a> {
    Fixed(Change<'a>),
    WouldFix(Change<'a>),
    Conforms(Paths<'a>),
    Skipped(Skipped<'a>),
    Failed(Failed),
}

/// The search path before and after.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Paths<'a> {
    tag_before: &'static str,
    tag_after: &'static str,
    before: Option<Bytes<'a>>,
    after: Option<Bytes<'a>>,
}

#[derive(Serialize)]
struct Change<'a> {
    #[serde(flatten)]
    paths: Paths<'a>,
    strategy: &'static str,
    slot: &'static str,
    written: u64,
    growth: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    write: Option<&'static str>,
    patches: Vec<Patch>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    notes: &'a [String],
}

#[derive(Serialize)]
struct Patch {
    stage: &'static str,
    offset: u64,
    length: u64,
}

/// What in a patched copy still points to the original.
#[derive(Serialize)]
struct References<'a> {
    original: Bytes<'a>,
    entries: usize,
    files: Vec<PathItem<'a>>,
}

/// Prints a run of `fix`. Files that are not ELF are listed only with `all`.
///
/// # Errors
/// What writing says.
pub(crate) fn print(run: &FixRun, all: bool, out: &mut dyn Write) -> io::Result<()> {
    let is_listed = |report: &&FileReport| all || !matches!(&report.outcome, Outcome::Skipped(s) if s.is_not_elf());
    let document = Document {
        schema: SCHEMA,
        command: "fix",
        mode: run.mode.name(),
        files: run.files.iter().filter(is_listed).map(File::new).collect(),
        summary: Summary::of(&run.files),
        references: run.copy.as_ref().map(References::new),
        no_consumer: run.no_consumer.then_some(true),
    };
    document::print(&document, out)
}

impl<'a> File<'a> {
    fn new(report: &'a FileReport) -> Self {
        let object = |object: tree::ObjectBrief| Object {
            class: object.class.bits(),
            machine: object.machine.name,
            consumer: object.is_consumer,
        };
        let became = match &report.outcome {
            Outcome::Changed(change) if change.how.is_some() => Became::Fixed(Change::new(change)),
            Outcome::Changed(change) => Became::WouldFix(Change::new(change)),
            Outcome::Conforms { path, tag } => {
                let path = path.as_ref().map(Bytes::new);
                Became::Conforms(Paths { tag_before: tag.name(), tag_after: tag.name(), before: path, after: path })
            }
            Outcome::Skipped(skip) => Became::Skipped(Skipped::new(skip)),
            Outcome::Failed(error) => Became::Failed(Failed::new(error)),
        };
        Self { path: Bytes::of_path(&report.path), object: report.object.map(object), became }
    }
}

impl<'a> Change<'a> {
    fn new(change: &'a tree::PathChange) -> Self {
        let patch = |(stage, offset, length): &(Stage, u64, u64)| Patch {
            stage: stage.name(),
            offset: *offset,
            length: *length,
        };
        Self {
            paths: Paths {
                tag_before: change.tag_before.name(),
                tag_after: change.tag_after.name(),
                before: change.before.as_ref().map(Bytes::new),
                after: change.after.as_ref().map(Bytes::new),
            },
            strategy: change.strategy.name(),
            slot: change.slot.name(),
            written: change.written,
            growth: change.growth,
            write: change.how.map(|how| how.name()),
            patches: change.patches.iter().map(patch).collect(),
            notes: &change.notes,
        }
    }
}

impl<'a> References<'a> {
    fn new(copy: &'a CopyNotes) -> Self {
        Self {
            original: Bytes::of_path(&copy.original),
            entries: copy.entries,
            files: copy.files.iter().map(|path| PathItem::new(path)).collect(),
        }
    }
}

#[derive(Serialize)]
struct RevertDocument<'a> {
    schema: &'static str,
    command: &'static str,
    mode: &'static str,
    files: Vec<RevertFile<'a>>,
    summary: RevertSummary,
}

#[derive(Serialize)]
struct RevertFile<'a> {
    path: Bytes<'a>,
    #[serde(flatten)]
    became: RevertBecame,
}

#[derive(Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
enum RevertBecame {
    Reverted,
    Failed(Failed),
}

#[derive(Serialize)]
struct RevertSummary {
    reverted: usize,
    failed: usize,
}

/// Prints what became of a receipt's files.
///
/// # Errors
/// What writing says.
pub(crate) fn print_revert(reports: &[RevertReport], out: &mut dyn Write) -> io::Result<()> {
    let failed = reports.iter().filter(|report| report.result.is_err()).count();
    let document = RevertDocument {
        schema: SCHEMA,
        command: "fix",
        mode: "revert",
        files: reports.iter().map(RevertFile::new).collect(),
        summary: RevertSummary { reverted: reports.len().saturating_sub(failed), failed },
    };
    document::print(&document, out)
}

impl<'a> RevertFile<'a> {
    fn new(report: &'a RevertReport) -> Self {
        let became = match &report.result {
            Ok(()) => RevertBecame::Reverted,
            Err(error) => RevertBecame::Failed(Failed::new(error)),
        };
        Self { path: Bytes::of_path(&report.path), became }
    }
}
