//! The versioned JSON document of `explain`.

use std::io::{self, Write};
use std::path::Path;

use bstr::BString;
use serde::Serialize;

use crate::check::{self, Explained, Explanation, SymbolEnd, Verdict};
use crate::elf::imports::Binding;
use crate::loader::{self, End, StepOutcome, StepSource};
use crate::report::document::{self, SCHEMA, Text};
use crate::report::words::{kind_word, libc_name, outcome_word, source_word};
use crate::runpath::EntryClass;

#[derive(Serialize)]
struct ExplainDocument<'a> {
    schema: &'static str,
    command: &'static str,
    path: Text<'a>,
    interpreter: Text<'a>,
    libc: &'static str,
    /// The program that opens it with dlopen.
    #[serde(rename = "openedBy", skip_serializing_if = "Option::is_none")]
    opened_by: Option<Text<'a>>,
    searches: Vec<ExplainSearch<'a>>,
    /// With `--symbols`.
    #[serde(skip_serializing_if = "Option::is_none")]
    symbols: Option<Vec<ExplainSymbol<'a>>>,
    /// What could not be told of symbols.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<ExplainProblem<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExplainSymbol<'a> {
    by: Text<'a>,
    name: Text<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<Text<'a>>,
    binding: &'static str,
    weak: bool,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    found_version: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rivals: Vec<ExplainRival<'a>>,
}

#[derive(Serialize)]
struct ExplainRival<'a> {
    place: Text<'a>,
    source: String,
    behind: Text<'a>,
}

#[derive(Serialize)]
struct ExplainProblem<'a> {
    path: Text<'a>,
    reason: &'a str,
}

#[derive(Serialize)]
struct ExplainSearch<'a> {
    by: Text<'a>,
    name: Text<'a>,
    /// Only where it is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    expanded: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    steps: Vec<ExplainReachedStep<'a>>,
    behind: Vec<ExplainStep<'a>>,
    answer: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<Text<'a>>,
    /// In a container, the file that is found, links followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<Text<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<&'static str>,
    findings: Vec<ExplainFinding>,
}

#[derive(Serialize)]
struct ExplainReachedStep<'a> {
    #[serde(flatten)]
    step: ExplainStep<'a>,
    class: &'static str,
}

#[derive(Serialize)]
struct ExplainStep<'a> {
    source: String,
    /// Whose path it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<Text<'a>>,
    written: Text<'a>,
    place: Text<'a>,
    outcome: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct ExplainFinding {
    code: &'static str,
    severity: &'static str,
    message: String,
}

/// Prints the document.
///
/// # Errors
/// What writing says.
pub(crate) fn print(path: &Path, explanation: &Explanation, out: &mut dyn Write) -> io::Result<()> {
    let document = ExplainDocument {
        schema: SCHEMA,
        command: "explain",
        path: Text::of_path(path),
        interpreter: Text::new(&explanation.interpreter),
        libc: libc_name(explanation.libc),
        opened_by: explanation.opened_by.as_deref().map(Text::of_path),
        searches: explanation.searches.iter().map(ExplainSearch::new).collect(),
        symbols: explanation.symbols.as_ref().map(|all| all.symbols.iter().map(ExplainSymbol::new).collect()),
        problems: explanation.symbols.iter().flat_map(|all| &all.problems).map(ExplainProblem::new).collect(),
    };
    document::print(&document, out)
}

impl<'a> ExplainSymbol<'a> {
    fn new(symbol: &'a check::ExplainedSymbol) -> Self {
        let (outcome, place, found_version) = match &symbol.end {
            SymbolEnd::Bound(place, version) => ("bound", Some(place), version.as_ref()),
            SymbolEnd::Unversioned(place) => ("unversioned", Some(place), None),
            SymbolEnd::OtherVersion(place) => ("other-version", Some(place), None),
            SymbolEnd::Nothing => ("missing", None, None),
        };
        Self {
            by: Text::new(&symbol.by),
            name: Text::new(&symbol.name),
            version: symbol.version.as_ref().map(Text::new),
            file: symbol.file.as_ref().map(Text::new),
            binding: match symbol.binding {
                Binding::AtLoad => "at-load",
                Binding::Lazy => "lazy",
            },
            weak: symbol.is_weak,
            outcome,
            place: place.map(Text::new),
            found_version: found_version.map(Text::new),
            rivals: symbol.rivals.iter().map(ExplainRival::new).collect(),
        }
    }
}

impl<'a> ExplainRival<'a> {
    fn new(rival: &'a check::Rival) -> Self {
        let source = source_word(&rival.source).to_ascii_lowercase();
        Self { place: Text::new(&rival.place), source, behind: Text::new(&rival.behind) }
    }
}

impl<'a> ExplainProblem<'a> {
    fn new((path, reason): &'a (BString, String)) -> Self {
        Self { path: Text::new(path), reason }
    }
}

impl<'a> ExplainSearch<'a> {
    fn new(explained: &'a Explained) -> Self {
        let search = &explained.search;
        let steps = search.steps.iter().zip(&explained.classes);
        Self {
            by: Text::new(&explained.by),
            name: Text::new(&search.name),
            expanded: (search.expanded != search.name).then(|| Text::new(&search.expanded)),
            kind: kind_word(explained),
            steps: steps.map(|(step, class)| ExplainReachedStep::new(step, *class)).collect(),
            behind: explained.behind.iter().map(ExplainStep::new).collect(),
            answer: explained.answer.name(),
            place: explained.answer.place().map(Text::new),
            found: match &search.end {
                End::Found(_, opened) => Some(Text::new(opened)),
                End::Loaded(_) | End::Interpreter | End::NotFound | End::Fatal => None,
            },
            file: explained.file.as_ref().map(Text::new),
            verdict: explained.verdict.map(Verdict::name),
            findings: explained.findings.iter().map(ExplainFinding::new).collect(),
        }
    }
}

impl<'a> ExplainReachedStep<'a> {
    fn new(step: &'a loader::Step, class: EntryClass) -> Self {
        Self { step: ExplainStep::new(step), class: class.name() }
    }
}

impl<'a> ExplainStep<'a> {
    fn new(step: &'a loader::Step) -> Self {
        Self {
            source: source_word(&step.source).to_ascii_lowercase(),
            of: match &step.source {
                StepSource::Rpath(of) | StepSource::Runpath(of) => Some(Text::new(of)),
                StepSource::Loaded
                | StepSource::Path
                | StepSource::LibraryPath
                | StepSource::Cache
                | StepSource::Default => None,
            },
            written: Text::new(&step.written),
            place: Text::new(&step.place),
            outcome: outcome_word(&step.outcome).to_ascii_lowercase(),
            reason: match &step.outcome {
                StepOutcome::Fatal(reason) => Some(reason),
                StepOutcome::Broken(reason) => Some(reason),
                _ => None,
            },
        }
    }
}

impl ExplainFinding {
    fn new(finding: &check::Finding) -> Self {
        Self { code: finding.rule.code, severity: finding.severity.name(), message: finding.message() }
    }
}
