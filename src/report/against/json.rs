//! The versioned JSON document of a comparison; `against.schema.json` describes it.

use std::io::{self, Write};

#[cfg(test)]
use schemars::JsonSchema;
use serde::Serialize;
#[cfg(test)]
use strum::VariantNames as _;

use super::ComparedRun;
#[cfg(test)]
use crate::check::ContentsChange;
use crate::check::{
    FileChange, RequestChange, Severity, SnapshotFile, SnapshotFinding, SnapshotRequest, Totals, Verdict,
};
use crate::cuda::{Code, bytes_of};
use crate::report::check::json::{CheckAllowed, CheckFinding};
use crate::report::document::{self, SCHEMA, Text};

/// The document's JSON Schema.
pub(crate) const SCHEMA_FILE: &str = include_str!("against.schema.json");

/// What one release changed in another. Bytes that are not UTF-8 are escaped as \xNN, with a sibling whose name ends in Hex that
/// holds them exactly. New fields may come; none goes or changes its meaning while schema is cuda-runpath/1.
#[derive(Serialize)]
#[cfg_attr(test, derive(JsonSchema), schemars(title = "cuda-runpath check --against OLD --json"))]
struct AgainstDocument<'a> {
    #[cfg_attr(test, schemars(extend("const" = SCHEMA)))]
    schema: &'static str,
    #[cfg_attr(test, schemars(extend("const" = "against")))]
    command: &'static str,
    /// There is an error among the findings.
    worse: bool,
    /// What is new or worse, and what could not be compared.
    findings: Vec<CheckFinding<'a>>,
    /// The same, excused by an allowlist or a baseline.
    allowed: Vec<CheckAllowed<'a>>,
    /// What both releases have, as it is in the new one.
    still: Vec<CheckFinding<'a>>,
    /// What only the old release has.
    gone: Vec<AgainstFinding<'a>>,
    /// Files that are new, gone or other.
    files: Vec<AgainstFile<'a>>,
    summary: AgainstSummary<'a>,
}

/// A finding of the old release.
#[derive(Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
struct AgainstFinding<'a> {
    code: &'a str,
    slug: &'a str,
    #[cfg_attr(test, schemars(extend("enum" = Severity::VARIANTS)))]
    severity: &'static str,
    path: Text<'a>,
    about: Text<'a>,
    message: &'a str,
}

/// A file of either release.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(JsonSchema))]
struct AgainstFile<'a> {
    /// In the new release, where it has the file.
    path: Text<'a>,
    #[cfg_attr(test, schemars(extend("enum" = ["new", "gone", "changed"])))]
    change: &'static str,
    /// A finding says what is worse in it.
    worse: bool,
    /// In the old release, where it has another name beside its store hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Text"))]
    old_path: Option<Text<'a>>,
    #[cfg_attr(test, schemars(extend("enum" = ContentsChange::VARIANTS)))]
    contents: &'static str,
    length: AgainstNumbers,
    gpu_bytes: AgainstNumbers,
    /// GPU code that there was none for.
    gained: Vec<AgainstCode>,
    /// GPU code that there is none for any more.
    lost: Vec<AgainstCode>,
    verdict: AgainstVerdicts,
    requests: Vec<AgainstRequest<'a>>,
}

/// A number in both releases, null where it is not known or the file is not there.
#[derive(Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
struct AgainstNumbers {
    old: Option<u64>,
    new: Option<u64>,
}

/// The worst verdict in both releases, null where nothing is asked for.
#[derive(Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
struct AgainstVerdicts {
    old: Option<&'static str>,
    new: Option<&'static str>,
}

/// What GPU code is for.
#[derive(Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
struct AgainstCode {
    architecture: String,
    kind: &'static str,
}

/// A library that an object asks for, where what it gets differs.
#[derive(Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
struct AgainstRequest<'a> {
    soname: &'a str,
    old: Option<AgainstAnswer<'a>>,
    new: Option<AgainstAnswer<'a>>,
}

/// What a request comes to.
#[derive(Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
struct AgainstAnswer<'a> {
    #[cfg_attr(test, schemars(extend("enum" = Verdict::VARIANTS)))]
    verdict: &'static str,
    #[cfg_attr(test, schemars(extend("enum" = crate::check::Answer::VARIANTS)))]
    answer: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Text"))]
    place: Option<Text<'a>>,
}

/// How many there are of each.
#[derive(Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
struct AgainstSummary<'a> {
    new: usize,
    gone: usize,
    changed: usize,
    same: usize,
    releases: AgainstReleases<'a>,
}

/// Both releases in numbers.
#[derive(Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
struct AgainstReleases<'a> {
    old: AgainstTotals<'a>,
    new: AgainstTotals<'a>,
}

/// A release in numbers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(JsonSchema))]
struct AgainstTotals<'a> {
    /// Objects, and other files with GPU code.
    files: usize,
    bytes: u64,
    gpu_bytes: u64,
    architectures: Vec<AgainstTally>,
    /// Objects that ask for the driver, by their verdict.
    verdicts: &'a std::collections::BTreeMap<&'static str, usize>,
    /// Requests for libcuda, by the kind of place that answers.
    libcuda: &'a std::collections::BTreeMap<&'static str, usize>,
}

/// The GPU code of a release for one architecture.
#[derive(Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
struct AgainstTally {
    architecture: String,
    kind: &'static str,
    bytes: u64,
}

/// Prints the document.
///
/// # Errors
/// What writing says.
pub(crate) fn print(run: &ComparedRun<'_>, out: &mut dyn Write) -> io::Result<()> {
    let (comparison, report) = (&run.comparison, &run.run.report);
    let count = |word: &str| comparison.files.iter().filter(|change| kind(change) == word).count();
    let (old, new) = &comparison.totals;
    let document = AgainstDocument {
        schema: SCHEMA,
        command: "against",
        worse: run.run.report.findings.iter().any(|finding| finding.severity == Severity::Error),
        findings: report.findings.iter().map(CheckFinding::new).collect(),
        allowed: run.run.allowed.iter().map(CheckAllowed::new).collect(),
        still: run.still.iter().map(CheckFinding::new).collect(),
        gone: comparison.gone.iter().map(|finding| AgainstFinding::new(finding)).collect(),
        files: comparison.files.iter().map(AgainstFile::new).collect(),
        summary: AgainstSummary {
            new: count("new"),
            gone: count("gone"),
            changed: count("changed"),
            same: comparison.same,
            releases: AgainstReleases { old: AgainstTotals::new(old), new: AgainstTotals::new(new) },
        },
    };
    document::print(&document, out)
}

fn kind(change: &FileChange<'_>) -> &'static str {
    match (change.old, change.new) {
        (Some(_), Some(_)) => "changed",
        (Some(_), None) => "gone",
        (None, _) => "new",
    }
}

impl<'a> AgainstFinding<'a> {
    fn new(finding: &'a SnapshotFinding) -> Self {
        Self {
            code: &finding.code,
            slug: &finding.slug,
            severity: finding.severity.name(),
            path: Text::of_path(&finding.path),
            about: Text::new(&finding.about),
            message: &finding.message,
        }
    }
}

impl<'a> AgainstFile<'a> {
    fn new(change: &'a FileChange<'a>) -> Self {
        let numbers = |(old, new)| AgainstNumbers { old, new };
        let verdict = |file: Option<&SnapshotFile>| file.and_then(SnapshotFile::verdict).map(Verdict::name);
        Self {
            path: Text::of_path(change.path()),
            change: kind(change),
            worse: change.is_worse,
            old_path: change.old.filter(|_| change.is_renamed).map(|old| Text::of_path(&old.path)),
            contents: change.contents.into(),
            length: numbers(change.lengths()),
            gpu_bytes: numbers(change.code_bytes()),
            gained: change.gained.iter().map(|code| AgainstCode::new(*code)).collect(),
            lost: change.lost.iter().map(|code| AgainstCode::new(*code)).collect(),
            verdict: AgainstVerdicts { old: verdict(change.old), new: verdict(change.new) },
            requests: change.requests.iter().map(AgainstRequest::new).collect(),
        }
    }
}

impl AgainstCode {
    fn new(code: Code) -> Self {
        Self { architecture: code.architecture(), kind: code.kind.name() }
    }
}

impl<'a> AgainstRequest<'a> {
    fn new(change: &'a RequestChange<'a>) -> Self {
        let answer = |request: &'a SnapshotRequest| AgainstAnswer {
            verdict: request.verdict.name(),
            answer: request.answer.name(),
            place: request.answer.place().map(Text::new),
        };
        Self { soname: change.soname, old: change.old.map(answer), new: change.new.map(answer) }
    }
}

impl<'a> AgainstTotals<'a> {
    fn new(totals: &'a Totals) -> Self {
        let architectures = totals.gpu_code.iter().map(|(code, tally)| AgainstTally {
            architecture: code.architecture(),
            kind: code.kind.name(),
            bytes: tally.bytes,
        });
        Self {
            files: totals.files,
            bytes: totals.bytes,
            gpu_bytes: bytes_of(&totals.gpu_code),
            architectures: architectures.collect(),
            verdicts: &totals.verdicts,
            libcuda: &totals.libcuda,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `SNAPSHOTS=overwrite cargo test schema` writes the committed file anew.
    #[test]
    fn the_schema_is_that_of_the_comparison() {
        snapbox::assert_data_eq!(
            crate::report::schema::of::<AgainstDocument>(),
            snapbox::file!["against.schema.json"].raw()
        );
    }
}
