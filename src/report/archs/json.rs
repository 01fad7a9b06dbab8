//! The versioned JSON document of `archs`.

use std::io::{self, Write};

use bstr::BString;
use serde_json::{Map, Value, json};

use super::run::ArchsRun;
use crate::cuda::{GpuCode, Runs, Tallies, bytes_of};
use crate::report::document::{SCHEMA, print as print_document, put, put_bytes, put_path};
use crate::report::text::with_sources;
use crate::tree::ArchsReport;

/// Prints the versioned JSON document: files with GPU code, with `all` the others too, and their sum. Without files there are
/// still those with which something is wrong.
///
/// # Errors
/// What writing says.
pub fn print(run: &ArchsRun, all: bool, out: &mut dyn Write) -> io::Result<()> {
    let is_listed = |report: &&ArchsReport| match &report.code {
        Err(_) => true,
        Ok(code) if run.sum_only => problems(code) > 0,
        Ok(code) => all || !code.places.is_empty(),
    };
    let sum: Vec<Value> = run.sum().iter().flat_map(|(name, tallies)| entries(name, tallies)).collect();
    let every = run.together();
    let mut summary = Map::new();
    summary.insert("files".to_owned(), run.files.len().into());
    summary.insert("withGpuCode".to_owned(), run.with_code().into());
    summary.insert("failed".to_owned(), run.files.iter().filter(|report| report.code.is_err()).count().into());
    summary.insert("problems".to_owned(), problems(&every).into());
    put_sums(&mut summary, run, &every);
    let files: Vec<Value> = run.files.iter().filter(is_listed).map(|report| file_value(run, report)).collect();
    let mut document = Map::new();
    document.insert("schema".to_owned(), json!(SCHEMA));
    document.insert("command".to_owned(), json!("archs"));
    if !run.sum_only || !files.is_empty() {
        document.insert("files".to_owned(), files.into());
    }
    document.insert("sum".to_owned(), sum.into());
    document.insert("summary".to_owned(), summary.into());
    print_document(&Value::Object(document), out)
}

fn put_sums(value: &mut Map<String, Value>, run: &ArchsRun, code: &GpuCode) {
    let containers: u64 = code.places.iter().map(|place| place.containers).sum();
    let empty: u64 = code.places.iter().map(|place| place.empty).sum();
    value.insert("containers".to_owned(), containers.into());
    value.insert("empty".to_owned(), empty.into());
    value.insert("bytes".to_owned(), bytes_of(&code.total()).into());
    if run.gpus.is_empty() {
        return;
    }
    value.insert("unusedBytes".to_owned(), bytes_of(&code.unused(&run.gpus)).into());
    let targets = run.gpus.iter().map(|gpu| {
        let (all, good) = code.containers_for(*gpu);
        let (runs, through) = match code.runs_on(*gpu) {
            Runs::Exactly(found) => ("exactly", Some(found)),
            Runs::Family(found) => ("family", Some(found)),
            Runs::Jit(found) => ("jit", Some(found)),
            Runs::Not => ("missing", None),
        };
        json!({
            "capability": gpu.to_string(),
            "runs": runs,
            "through": through.map(|found| found.to_string()),
            "containers": all,
            "containersFor": good,
        })
    });
    value.insert("targets".to_owned(), targets.collect());
}

/// All of them, the ones that are only counted as well.
fn problems(code: &GpuCode) -> u64 {
    code.places.iter().fold(0, |sum, place| sum.saturating_add(place.problem_count()))
}

fn file_value(run: &ArchsRun, report: &ArchsReport) -> Value {
    let mut value = Map::new();
    put_path(&mut value, "path", &report.path);
    match &report.code {
        Err(error) => put(&mut value, "error", &with_sources(error)),
        Ok(code) => {
            put_sums(&mut value, run, code);
            let rows = code.places.iter().flat_map(|place| entries(&place.name, &place.code));
            value.insert("code".to_owned(), rows.collect());
            let problems = code.places.iter().flat_map(|place| place.problems.iter().map(ToString::to_string));
            value.insert("problems".to_owned(), problems.collect());
            let more: u64 = code.places.iter().map(|place| place.more_problems).sum();
            value.insert("moreProblems".to_owned(), more.into());
        }
    }
    Value::Object(value)
}

fn entries(name: &BString, tallies: &Tallies) -> Vec<Value> {
    let rows = tallies.iter().map(|(code, tally)| {
        let mut value = Map::new();
        put_bytes(&mut value, "section", name);
        put(&mut value, "architecture", &code.architecture());
        put(&mut value, "capability", &code.capability.to_string());
        put(&mut value, "kind", code.kind.name());
        value.insert("count".to_owned(), tally.count.into());
        value.insert("withoutKernels".to_owned(), tally.hollow.into());
        value.insert("bytes".to_owned(), tally.bytes.into());
        value.insert("unpacked".to_owned(), tally.unpacked.into());
        Value::Object(value)
    });
    rows.collect()
}
