//! The versioned JSON document of `archs`.

use std::io::{self, Write};

use bstr::BString;
use serde::Serialize;

use super::run::ArchsRun;
use crate::cuda::{Counting, Form, Gpu, GpuCode, Runs, Tallies, bytes_of};
use crate::report::document::{self, Failed, SCHEMA, Text};
use crate::tree::ArchsReport;

#[derive(Serialize)]
struct ArchsDocument<'a> {
    schema: &'static str,
    command: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<Vec<ArchsFile<'a>>>,
    /// The code of all files.
    sum: Vec<ArchsRow<'a>>,
    summary: ArchsSummary,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ArchsSummary {
    files: usize,
    with_gpu_code: usize,
    failed: usize,
    problems: u64,
    #[serde(flatten)]
    sums: ArchsSums,
}

#[derive(Serialize)]
struct ArchsFile<'a> {
    path: Text<'a>,
    #[serde(flatten)]
    found: ArchsFound<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ArchsFound<'a> {
    Code(ArchsCode<'a>),
    Failed(Failed),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ArchsCode<'a> {
    #[serde(flatten)]
    sums: ArchsSums,
    code: Vec<ArchsRow<'a>>,
    problems: Vec<String>,
    more_problems: u64,
}

/// What there is in a file, or in all of them, and of what use it is.
#[derive(Serialize)]
struct ArchsSums {
    containers: u64,
    empty: u64,
    bytes: u64,
    #[serde(flatten)]
    use_of_it: Option<ArchsUse>,
}

/// For the GPUs of `--unused-for`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ArchsUse {
    unused_bytes: u64,
    targets: Vec<ArchsTarget>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ArchsTarget {
    capability: String,
    runs: &'static str,
    through: Option<String>,
    containers: u64,
    containers_for: u64,
    others: u64,
    others_for: u64,
}

/// The code of one section for one architecture.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ArchsRow<'a> {
    section: Text<'a>,
    form: &'static str,
    architecture: String,
    capability: String,
    kind: &'static str,
    count: u64,
    without_kernels: u64,
    bytes: u64,
    unpacked: u64,
    #[serde(flatten)]
    kernels: Option<ArchsKernels>,
}

/// How many kernels there are in the pieces of a row but those that are not counted.
#[derive(Serialize)]
struct ArchsKernels {
    kernels: u64,
    uncounted: u64,
}

/// Prints the document: files with GPU code, with `all` the others too, and their sum. Without files there are still
/// those with which something is wrong.
///
/// # Errors
/// What writing says.
pub(crate) fn print(run: &ArchsRun, all: bool, out: &mut dyn Write) -> io::Result<()> {
    let is_listed = |report: &&ArchsReport| match &report.code {
        Err(_) => true,
        Ok(code) if run.sum_only => problems(code) > 0,
        Ok(code) => all || !code.places.is_empty(),
    };
    let files: Vec<ArchsFile> = run.files.iter().filter(is_listed).map(|report| ArchsFile::new(report, run)).collect();
    let (sum, every) = (run.sum(), run.together());
    let document = ArchsDocument {
        schema: SCHEMA,
        command: "archs",
        files: (!run.sum_only || !files.is_empty()).then_some(files),
        sum: sum.iter().flat_map(|(place, tallies)| rows(run.counting, *place, tallies)).collect(),
        summary: ArchsSummary {
            files: run.files.len(),
            with_gpu_code: run.with_code(),
            failed: run.files.iter().filter(|report| report.code.is_err()).count(),
            problems: problems(&every),
            sums: ArchsSums::new(&every, &run.gpus),
        },
    };
    document::print(&document, out)
}

impl<'a> ArchsFile<'a> {
    fn new(report: &'a ArchsReport, run: &ArchsRun) -> Self {
        let found = match &report.code {
            Ok(code) => ArchsFound::Code(ArchsCode::new(code, run)),
            Err(error) => ArchsFound::Failed(Failed::new(error)),
        };
        Self { path: Text::of_path(&report.path), found }
    }
}

impl<'a> ArchsCode<'a> {
    fn new(code: &'a GpuCode, run: &ArchsRun) -> Self {
        let places = || code.places.iter();
        Self {
            sums: ArchsSums::new(code, &run.gpus),
            code: places().flat_map(|place| rows(run.counting, (&place.name, place.form), &place.code)).collect(),
            problems: places().flat_map(|place| place.problems.iter().map(ToString::to_string)).collect(),
            more_problems: places().map(|place| place.more_problems).sum(),
        }
    }
}

impl ArchsSums {
    fn new(code: &GpuCode, gpus: &[Gpu]) -> Self {
        let use_of_it = || ArchsUse {
            unused_bytes: bytes_of(&code.unused(gpus)),
            targets: gpus.iter().map(|gpu| ArchsTarget::new(code, *gpu)).collect(),
        };
        Self {
            containers: code.places.iter().map(|place| place.containers).sum(),
            empty: code.places.iter().map(|place| place.empty).sum(),
            bytes: bytes_of(&code.total()),
            use_of_it: (!gpus.is_empty()).then(use_of_it),
        }
    }
}

impl ArchsTarget {
    fn new(code: &GpuCode, gpu: Gpu) -> Self {
        let (containers, containers_for) = code.containers_for(gpu);
        let (others, others_for) = code.others_for(gpu);
        let (runs, through) = match code.runs_on(gpu) {
            Runs::Exactly(found) => ("exactly", Some(found)),
            Runs::Family(found) => ("family", Some(found)),
            Runs::Jit(found) => ("jit", Some(found.capability)),
            Runs::Renamed(found) => ("renamed", Some(found)),
            Runs::Not => ("missing", None),
        };
        let through = through.map(|found| found.to_string());
        Self { capability: gpu.to_string(), runs, through, containers, containers_for, others, others_for }
    }
}

/// All of them, the ones that are only counted as well.
fn problems(code: &GpuCode) -> u64 {
    code.places.iter().fold(0, |sum, place| sum.saturating_add(place.problem_count()))
}

fn rows<'a>(
    counting: Counting,
    (name, form): (&'a BString, Form),
    tallies: &'a Tallies,
) -> impl Iterator<Item = ArchsRow<'a>> {
    tallies.iter().map(move |(code, tally)| ArchsRow {
        section: Text::new(name),
        form: form.name(),
        architecture: code.architecture(),
        capability: code.capability.to_string(),
        kind: code.kind.name(),
        count: tally.count,
        without_kernels: tally.empty,
        bytes: tally.bytes,
        unpacked: tally.unpacked,
        kernels: (counting == Counting::Kernels)
            .then_some(ArchsKernels { kernels: tally.kernels, uncounted: tally.uncounted }),
    })
}
