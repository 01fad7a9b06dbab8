//! The versioned JSON document of `slim`.

use std::io::{self, Write};

use serde::Serialize;

use super::run::{BeforeAfter, SlimRun, SlimSummary};
use crate::report::document::{self, Failed, SCHEMA, Skipped, Text};
use crate::tree::{SlimFacts, SlimOutcome, SlimReport, SlimWritten};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SlimDocument<'a> {
    schema: &'static str,
    command: &'static str,
    mode: &'static str,
    targets: Vec<String>,
    keep_ptx: bool,
    compact: bool,
    files: Vec<SlimFile<'a>>,
    summary: SlimSummary,
}

#[derive(Serialize)]
struct SlimFile<'a> {
    path: Text<'a>,
    #[serde(flatten)]
    outcome: SlimTold<'a>,
}

#[derive(Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
enum SlimTold<'a> {
    Slimmed(SlimChange<'a>),
    WouldSlim(SlimChange<'a>),
    Conforms(SlimState),
    WithoutCode(SlimWithout),
    NoCode,
    Skipped(Skipped<'a>),
    Failed(Failed),
}

/// What there is, and what goes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SlimState {
    code: BeforeAfter,
    length: BeforeAfter,
    containers: u64,
    rewritten: u64,
    removed: Vec<SlimRemoved>,
    /// Containers that stay as they are.
    left: Vec<SlimLeft>,
    /// Code for no target outside of containers, which stays.
    outside: Vec<SlimOutside>,
    /// Bytes for no target that cannot be left out in steps, in place.
    unmoved: u64,
    /// Runs of pages that left the file.
    runs: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_compacted: Option<&'static str>,
}

#[derive(Serialize)]
struct SlimRemoved {
    architecture: String,
    kind: &'static str,
    count: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct SlimLeft {
    reason: &'static str,
    containers: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct SlimOutside {
    form: &'static str,
    count: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct SlimChange<'a> {
    #[serde(flatten)]
    state: SlimState,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks: Option<BeforeAfter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    write: Option<&'static str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    notes: &'a [String],
}

#[derive(Serialize)]
struct SlimWithout {
    /// Which finding of `check` says the same.
    finding: &'static str,
    target: String,
    #[serde(flatten)]
    state: SlimState,
}

/// Prints a run of `slim`. Files without GPU code are listed only with `all`.
///
/// # Errors
/// What writing says.
pub(crate) fn print(run: &SlimRun, all: bool, out: &mut dyn Write) -> io::Result<()> {
    let is_listed = |report: &&SlimReport| all || !matches!(report.outcome, SlimOutcome::NoCode);
    let document = SlimDocument {
        schema: SCHEMA,
        command: "slim",
        mode: run.mode.name(),
        targets: run.targets.gpus.iter().map(ToString::to_string).collect(),
        keep_ptx: run.targets.keeps_ptx,
        compact: run.compacts,
        files: run.files.iter().filter(is_listed).map(SlimFile::new).collect(),
        summary: SlimSummary::of(&run.files),
    };
    document::print(&document, out)
}

impl<'a> SlimFile<'a> {
    fn new(report: &'a SlimReport) -> Self {
        let outcome = match &report.outcome {
            SlimOutcome::Slimmed(facts, written) if written.how.is_some() => {
                SlimTold::Slimmed(SlimChange::new(facts, written))
            }
            SlimOutcome::Slimmed(facts, written) => SlimTold::WouldSlim(SlimChange::new(facts, written)),
            SlimOutcome::Conforms(facts) => SlimTold::Conforms(SlimState::new(facts)),
            SlimOutcome::WithoutCode(facts, gpu) => SlimTold::WithoutCode(SlimWithout {
                finding: "CRP500",
                target: gpu.to_string(),
                state: SlimState::new(facts),
            }),
            SlimOutcome::NoCode => SlimTold::NoCode,
            SlimOutcome::Skipped(skip) => SlimTold::Skipped(Skipped::new(skip)),
            SlimOutcome::Failed(error) => SlimTold::Failed(Failed::new(error)),
        };
        Self { path: Text::of_path(&report.path), outcome }
    }
}

impl<'a> SlimChange<'a> {
    fn new(facts: &SlimFacts, written: &'a SlimWritten) -> Self {
        Self {
            state: SlimState::new(facts),
            blocks: written.blocks.map(|after| BeforeAfter::new((facts.blocks, after))),
            write: written.how.map(|how| how.name()),
            notes: &written.notes,
        }
    }
}

impl SlimState {
    fn new(facts: &SlimFacts) -> Self {
        let removed = facts.removed.iter().map(|(code, (count, bytes))| SlimRemoved {
            architecture: code.architecture(),
            kind: code.kind.name(),
            count: *count,
            bytes: *bytes,
        });
        let left = facts.left.iter().map(|(reason, (containers, bytes))| SlimLeft {
            reason: reason.name(),
            containers: *containers,
            bytes: *bytes,
        });
        let outside = facts.outside.iter();
        Self {
            code: BeforeAfter::new(facts.code),
            length: BeforeAfter::new(facts.length),
            containers: facts.containers.0,
            rewritten: facts.containers.1,
            removed: removed.collect(),
            left: left.collect(),
            outside: outside.map(|(form, (count, bytes))| SlimOutside { form, count: *count, bytes: *bytes }).collect(),
            unmoved: facts.unmoved,
            runs: facts.runs,
            not_compacted: facts.not_compacted.map(|why| why.name()),
        }
    }
}
