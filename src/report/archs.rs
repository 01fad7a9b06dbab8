//! Which GPU code files have: a table for people, a document for programs.

use std::collections::BTreeMap;
use std::io::{self, Write};

use bstr::BString;
use serde_json::{Map, Value, json};

use super::human::{Detail, Human};
use super::json::{SCHEMA, print, put, put_bytes, put_path};
use super::text::with_sources;
use crate::cuda::{Capability, GpuCode, Runs, Tallies, add_up, bytes_of};
use crate::tree::ArchsReport;

/// What was found, and what of it is wanted.
#[derive(Debug)]
pub struct ArchsRun {
    /// Every file, in path order.
    pub files: Vec<ArchsReport>,
    /// Leave the files out.
    pub sum_only: bool,
    /// What no GPU of this list can use is told, if there is one in it.
    pub gpus: Vec<Capability>,
}

impl ArchsRun {
    fn codes(&self) -> impl Iterator<Item = &GpuCode> {
        self.files.iter().filter_map(|report| report.code.as_ref().ok())
    }

    /// All files as one.
    fn together(&self) -> GpuCode {
        GpuCode { places: self.codes().flat_map(|code| code.places.iter().cloned()).collect() }
    }

    fn with_code(&self) -> usize {
        self.codes().filter(|code| has_containers(code)).count()
    }

    /// The places of all files, those of one name together.
    fn sum(&self) -> BTreeMap<&BString, Tallies> {
        let mut sum: BTreeMap<&BString, Tallies> = BTreeMap::new();
        for place in self.codes().flat_map(|code| &code.places) {
            let of_name = sum.entry(&place.name).or_default();
            *of_name = add_up(of_name.iter().chain(&place.code));
        }
        sum
    }
}

fn has_containers(code: &GpuCode) -> bool {
    code.places.iter().any(|place| place.containers > 0)
}

/// Prints a table for each file with GPU code, or one for all; failures to `err`.
///
/// # Errors
/// What writing says.
pub fn print_archs(human: &Human, run: &ArchsRun, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<()> {
    for report in &run.files {
        match &report.code {
            Ok(code) if human.detail == Detail::Quiet || run.sum_only => warn(human, report, code, err)?,
            Ok(code) if code.places.is_empty() => {
                if human.detail >= Detail::Verbose {
                    human.path(out, &report.path)?;
                    writeln!(out, ": no GPU code")?;
                }
            }
            Ok(code) => {
                file(human, run, report, code, out)?;
                warn(human, report, code, err)?;
            }
            Err(error) => {
                write!(err, "{} ", human.err.error_label())?;
                super::text::name(err, report.path.as_os_str().as_encoded_bytes(), human.escape_err)?;
                writeln!(err, ": {}", with_sources(error))?;
            }
        }
    }
    if human.detail >= Detail::Normal {
        let all = run.together();
        if run.sum_only {
            writeln!(out, "{}", title(human, &all))?;
            for (name, tallies) in &run.sum() {
                rows(human, name, tallies, out)?;
            }
        }
        let (bytes, files) = (bytes_of(&all.total()), if run.files.len() == 1 { "file" } else { "files" });
        writeln!(out, "{} {files}, {} with GPU code: {bytes} bytes of it", run.files.len(), run.with_code())?;
        if !run.gpus.is_empty() {
            unused(run, &all, "", out)?;
        }
    }
    out.flush()?;
    err.flush()
}

fn title(human: &Human, code: &GpuCode) -> String {
    let containers: u64 = code.places.iter().map(|place| place.containers).sum();
    let containers = if containers == 1 { "1 fat binary".to_owned() } else { format!("{containers} fat binaries") };
    let style = human.out.quiet_style();
    format!(
        "{style}  {:<18} {:<13} {:<7} {:>9} {:>14}{style:#}  ({containers})",
        "SECTION", "ARCHITECTURE", "KIND", "COUNT", "BYTES"
    )
}

fn file(human: &Human, run: &ArchsRun, report: &ArchsReport, code: &GpuCode, out: &mut dyn Write) -> io::Result<()> {
    human.path(out, &report.path)?;
    writeln!(out)?;
    writeln!(out, "{}", title(human, code))?;
    for place in &code.places {
        rows(human, &place.name, &place.code, out)?;
        if place.empty > 0 {
            write!(out, "  ")?;
            human.name(out, &place.name)?;
            writeln!(out, ": {} empty", place.empty)?;
        }
    }
    if run.gpus.is_empty() {
        return Ok(());
    }
    if code.real().next().is_none() {
        return writeln!(out, "  no kernels");
    }
    for gpu in &run.gpus {
        let (all, good) = code.containers_for(*gpu);
        writeln!(out, "  {gpu}: {}; {good} of {all} fat binaries have code for it", how(code.runs_on(*gpu)))?;
    }
    unused(run, code, "  ", out)
}

fn rows(human: &Human, name: &BString, tallies: &Tallies, out: &mut dyn Write) -> io::Result<()> {
    for (code, tally) in tallies {
        write!(out, "  ")?;
        human.name(out, name)?;
        let padding = 18_usize.saturating_sub(name.len());
        let (architecture, kind) = (code.architecture(), code.kind.name());
        writeln!(out, "{:padding$} {architecture:<13} {kind:<7} {:>9} {:>14}", "", tally.count, tally.bytes)?;
    }
    Ok(())
}

fn unused(run: &ArchsRun, code: &GpuCode, indent: &str, out: &mut dyn Write) -> io::Result<()> {
    let (unused, all) = (bytes_of(&code.unused(&run.gpus)), bytes_of(&code.total()));
    writeln!(out, "{indent}{unused} of {all} bytes are for none of these")
}

fn how(runs: Runs) -> String {
    match runs {
        Runs::Exactly(found) => format!("runs {}", found.sm()),
        Runs::Family(found) => format!("runs through {}", found.sm()),
        Runs::Jit(found) => format!("JIT from {} PTX", found.compute()),
        Runs::Not => "missing".to_owned(),
    }
}

fn warn(human: &Human, report: &ArchsReport, code: &GpuCode, err: &mut dyn Write) -> io::Result<()> {
    for place in &code.places {
        for problem in &place.problems {
            write!(err, "{} ", human.err.warning_label())?;
            super::text::name(err, report.path.as_os_str().as_encoded_bytes(), human.escape_err)?;
            write!(err, ": ")?;
            super::text::name(err, &place.name, human.escape_err)?;
            writeln!(err, ": {problem}")?;
        }
        if place.more_problems > 0 {
            writeln!(err, "  and {} more", place.more_problems)?;
        }
    }
    Ok(())
}

/// Prints the versioned JSON document: files with GPU code, with `all` the others too, and their sum. Without files there are
/// still those with which something is wrong.
///
/// # Errors
/// What writing says.
pub fn print_archs_json(run: &ArchsRun, all: bool, out: &mut dyn Write) -> io::Result<()> {
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
    print(&Value::Object(document), out)
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
        value.insert("withoutKernels".to_owned(), tally.empty.into());
        value.insert("bytes".to_owned(), tally.bytes.into());
        value.insert("unpacked".to_owned(), tally.unpacked.into());
        Value::Object(value)
    });
    rows.collect()
}
