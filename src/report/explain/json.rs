//! The versioned JSON document of `explain`.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use super::words::{libc_name, outcome_word, source_word};
use crate::check::{self, Explained, Explanation, Verdict};
use crate::loader::{self, End, StepOutcome, StepSource};
use crate::report::document::{self, Bytes, SCHEMA};
use crate::runpath::EntryClass;

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    command: &'static str,
    path: Bytes<'a>,
    interpreter: Bytes<'a>,
    libc: &'static str,
    searches: Vec<Search<'a>>,
}

#[derive(Serialize)]
struct Search<'a> {
    by: Bytes<'a>,
    name: Bytes<'a>,
    /// Only where it is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    expanded: Option<Bytes<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    steps: Vec<ReachedStep<'a>>,
    behind: Vec<Step<'a>>,
    answer: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<Bytes<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<Bytes<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<&'static str>,
    findings: Vec<Finding>,
}

#[derive(Serialize)]
struct ReachedStep<'a> {
    #[serde(flatten)]
    step: Step<'a>,
    class: &'static str,
}

#[derive(Serialize)]
struct Step<'a> {
    source: String,
    /// Whose path it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<Bytes<'a>>,
    written: Bytes<'a>,
    place: Bytes<'a>,
    outcome: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct Finding {
    code: &'static str,
    severity: &'static str,
    message: String,
}

/// Prints the document.
///
/// # Errors
/// What writing says.
pub(crate) fn print(path: &Path, explanation: &Explanation, out: &mut dyn Write) -> io::Result<()> {
    let document = Document {
        schema: SCHEMA,
        command: "explain",
        path: Bytes::of_path(path),
        interpreter: Bytes::new(&explanation.interpreter),
        libc: libc_name(explanation.libc),
        searches: explanation.searches.iter().map(Search::new).collect(),
    };
    document::print(&document, out)
}

impl<'a> Search<'a> {
    fn new(explained: &'a Explained) -> Self {
        let search = &explained.search;
        let steps = search.steps.iter().zip(&explained.classes);
        Self {
            by: Bytes::new(&explained.by),
            name: Bytes::new(&search.name),
            expanded: (search.expanded != search.name).then(|| Bytes::new(&search.expanded)),
            kind: explained.kind.map(|kind| kind.name()),
            steps: steps.map(|(step, class)| ReachedStep::new(step, *class)).collect(),
            behind: explained.behind.iter().map(Step::new).collect(),
            answer: explained.answer.name(),
            place: explained.answer.place().map(Bytes::new),
            found: match &search.end {
                End::Found(_, opened) => Some(Bytes::new(opened)),
                End::Loaded(_) | End::Interpreter | End::NotFound | End::Fatal => None,
            },
            verdict: explained.verdict.map(Verdict::name),
            findings: explained.findings.iter().map(Finding::new).collect(),
        }
    }
}

impl<'a> ReachedStep<'a> {
    fn new(step: &'a loader::Step, class: EntryClass) -> Self {
        Self { step: Step::new(step), class: class.name() }
    }
}

impl<'a> Step<'a> {
    fn new(step: &'a loader::Step) -> Self {
        Self {
            source: source_word(&step.source).to_ascii_lowercase(),
            of: match &step.source {
                StepSource::Rpath(of) | StepSource::Runpath(of) => Some(Bytes::new(of)),
                StepSource::Loaded
                | StepSource::Path
                | StepSource::LibraryPath
                | StepSource::Cache
                | StepSource::Default => None,
            },
            written: Bytes::new(&step.written),
            place: Bytes::new(&step.place),
            outcome: outcome_word(&step.outcome).to_ascii_lowercase(),
            reason: match &step.outcome {
                StepOutcome::Fatal(reason) => Some(reason),
                StepOutcome::Broken(reason) => Some(reason),
                _ => None,
            },
        }
    }
}

impl Finding {
    fn new(finding: &check::Finding) -> Self {
        Self { code: finding.rule.code, severity: finding.severity.name(), message: finding.message() }
    }
}
