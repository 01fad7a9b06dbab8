//! What only the target can tell, written by `check --runtime-list` and closed there by `doctor --runtime-list`.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;

use super::run::CheckRun;
use crate::check::{Answer, ObjectReport, RequestReport, Verdict};
use crate::elf::class::Class;
use crate::report::document::{self, SCHEMA, Text};

/// What the document says it is.
const COMMAND: &str = "runtime-list";

/// A library that an object will look for in the driver directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuntimeEntry {
    /// The object that asks.
    pub path: String,
    /// EI_CLASS of the object.
    pub class: Class,
    /// The machine that the object is for.
    pub machine: String,
    /// The library.
    pub soname: String,
    /// The program stops without it: it is in DT_NEEDED.
    pub is_needed: bool,
}

/// Why a file is no runtime list.
#[derive(Debug, thiserror::Error)]
#[error("is no runtime list (check --runtime-list FILE writes one): {0}")]
pub(crate) struct RuntimeListError(&'static str);

#[derive(Serialize)]
struct RuntimeListDocument<'a> {
    schema: &'static str,
    command: &'static str,
    requests: Vec<RuntimeListRequest<'a>>,
}

#[derive(Serialize)]
struct RuntimeListRequest<'a> {
    path: Text<'a>,
    class: u8,
    machine: &'static str,
    soname: &'a str,
    kind: &'static str,
}

/// Prints everything that is left to the driver directory of the target, libcuda included.
///
/// # Errors
/// What writing says.
pub(crate) fn print(run: &CheckRun, out: &mut dyn Write) -> io::Result<()> {
    let requests = run.report.objects.iter().flat_map(left_to_the_target).collect();
    document::print(&RuntimeListDocument { schema: SCHEMA, command: COMMAND, requests }, out)
}

fn left_to_the_target(object: &ObjectReport) -> impl Iterator<Item = RuntimeListRequest<'_>> {
    let facts = &object.facts;
    let is_left = |request: &&RequestReport| {
        request.verdict == Verdict::Runtime || matches!(request.answer, Answer::DriverAtRuntime(_))
    };
    object.requests.iter().filter(is_left).map(|request| RuntimeListRequest {
        path: Text::of_path(&facts.shown),
        class: facts.object.class.bits(),
        machine: facts.object.machine.name,
        soname: &request.soname,
        kind: request.kind.name(),
    })
}

/// Reads such a list.
///
/// # Errors
/// [`RuntimeListError`] for anything else.
pub(crate) fn read(text: &[u8]) -> Result<Vec<RuntimeEntry>, RuntimeListError> {
    let document: Value = serde_json::from_slice(text).map_err(|_| RuntimeListError("not JSON"))?;
    if document.get("command").and_then(Value::as_str) != Some(COMMAND) {
        return Err(RuntimeListError("\"command\" is not \"runtime-list\""));
    }
    let requests = document.get("requests").and_then(Value::as_array).ok_or(RuntimeListError("no \"requests\""))?;
    let entry = |request: &Value| {
        let text = |key: &str| request.get(key).and_then(Value::as_str).map(str::to_owned);
        Some(RuntimeEntry {
            path: text("path")?,
            class: Class::of_bits(u8::try_from(request.get("class")?.as_u64()?).ok()?)?,
            machine: text("machine")?,
            soname: text("soname")?,
            is_needed: text("kind")? == "needed",
        })
    };
    requests
        .iter()
        .map(entry)
        .collect::<Option<_>>()
        .ok_or(RuntimeListError("a request without path, class, machine, soname or kind"))
}
