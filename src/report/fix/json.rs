//! The versioned JSON documents of `fix` and `fix --revert`.

use std::io::{self, Write};

use serde::Serialize;

use super::run::{CopyNotes, FixRun, RevertReport};
use super::summary::Summary;
use crate::elf::plan::Stage;
use crate::report::document::{self, Failed, PathItem, SCHEMA, Skipped, Text};
use crate::tree::{self, FileReport, Outcome};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FixDocument<'a> {
    schema: &'static str,
    command: &'static str,
    mode: &'static str,
    files: Vec<FixFile<'a>>,
    summary: Summary,
    #[serde(skip_serializing_if = "Option::is_none")]
    references: Option<FixReferences<'a>>,
    /// Only there when it is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    no_consumer: Option<bool>,
}

#[derive(Serialize)]
struct FixFile<'a> {
    path: Text<'a>,
    #[serde(flatten)]
    object: Option<FixObject>,
    #[serde(flatten)]
    outcome: FixOutcome<'a>,
}

#[derive(Serialize)]
struct FixObject {
    class: u8,
    machine: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    consumer: Option<bool>,
}

#[derive(Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
enum FixOutcome<'a> {
    Fixed(FixChange<'a>),
    WouldFix(FixChange<'a>),
    Conforms(FixPaths<'a>),
    Skipped(Skipped<'a>),
    LeftAlone(Failed),
    Failed(Failed),
}

/// The search path before and after.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FixPaths<'a> {
    tag_before: &'static str,
    tag_after: &'static str,
    before: Option<Text<'a>>,
    after: Option<Text<'a>>,
}

#[derive(Serialize)]
struct FixChange<'a> {
    #[serde(flatten)]
    paths: FixPaths<'a>,
    strategy: &'static str,
    slot: &'static str,
    written: u64,
    growth: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    write: Option<&'static str>,
    patches: Vec<FixPatch>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    notes: &'a [String],
}

#[derive(Serialize)]
struct FixPatch {
    stage: &'static str,
    offset: u64,
    length: u64,
}

/// What in a patched copy still points to the original.
#[derive(Serialize)]
struct FixReferences<'a> {
    original: Text<'a>,
    entries: usize,
    files: Vec<PathItem<'a>>,
}

/// Prints a run of `fix`. Files that are not ELF are listed only with `all`.
///
/// # Errors
/// What writing says.
pub(crate) fn print(run: &FixRun, all: bool, out: &mut dyn Write) -> io::Result<()> {
    let is_listed = |report: &&FileReport| all || !matches!(&report.outcome, Outcome::Skipped(s) if s.is_not_elf());
    let document = FixDocument {
        schema: SCHEMA,
        command: "fix",
        mode: run.mode.name(),
        files: run.files.iter().filter(is_listed).map(FixFile::new).collect(),
        summary: Summary::of(&run.files),
        references: run.copy.as_ref().map(FixReferences::new),
        no_consumer: run.no_consumer.then_some(true),
    };
    document::print(&document, out)
}

impl<'a> FixFile<'a> {
    fn new(report: &'a FileReport) -> Self {
        let object = |object: tree::ObjectBrief| FixObject {
            class: object.class.bits(),
            machine: object.machine.name,
            consumer: object.is_consumer,
        };
        let outcome = match &report.outcome {
            Outcome::Changed(change) if change.how.is_some() => FixOutcome::Fixed(FixChange::new(change)),
            Outcome::Changed(change) => FixOutcome::WouldFix(FixChange::new(change)),
            Outcome::Conforms { path, tag } => {
                let path = path.as_ref().map(Text::new);
                FixOutcome::Conforms(FixPaths {
                    tag_before: tag.name(),
                    tag_after: tag.name(),
                    before: path,
                    after: path,
                })
            }
            Outcome::Skipped(skip) => FixOutcome::Skipped(Skipped::new(skip)),
            Outcome::LeftAlone(error) => FixOutcome::LeftAlone(Failed::new(error)),
            Outcome::Failed(error) => FixOutcome::Failed(Failed::new(error)),
        };
        Self { path: Text::of_path(&report.path), object: report.object.map(object), outcome }
    }
}

impl<'a> FixChange<'a> {
    fn new(change: &'a tree::PathChange) -> Self {
        let patch = |(stage, offset, length): &(Stage, u64, u64)| FixPatch {
            stage: stage.name(),
            offset: *offset,
            length: *length,
        };
        Self {
            paths: FixPaths {
                tag_before: change.tag_before.name(),
                tag_after: change.tag_after.name(),
                before: change.before.as_ref().map(Text::new),
                after: change.after.as_ref().map(Text::new),
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

impl<'a> FixReferences<'a> {
    fn new(copy: &'a CopyNotes) -> Self {
        Self {
            original: Text::of_path(&copy.original),
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
    path: Text<'a>,
    #[serde(flatten)]
    outcome: RevertOutcome,
}

#[derive(Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
enum RevertOutcome {
    Reverted,
    Failed(Failed),
}

#[derive(Serialize)]
struct RevertSummary {
    reverted: usize,
    failed: usize,
}

/// Prints what outcome of a receipt's files.
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
        let outcome = match &report.result {
            Ok(()) => RevertOutcome::Reverted,
            Err(error) => RevertOutcome::Failed(Failed::new(error)),
        };
        Self { path: Text::of_path(&report.path), outcome }
    }
}
