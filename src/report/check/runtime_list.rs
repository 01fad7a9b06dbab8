//! What only the target can tell, written by `check --runtime-list` and closed there by `doctor --runtime-list`.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::run::CheckRun;
use crate::check::{Answer, Verdict};
use crate::report::document::{SCHEMA, print as print_document, put, put_path};

/// A library that an object will look for in the driver directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeEntry {
    /// The object that asks.
    pub path: String,
    /// 32 or 64.
    pub class: u8,
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
pub struct RuntimeListError(&'static str);

/// Prints everything that is left to the driver directory of the target, libcuda included.
///
/// # Errors
/// What writing says.
pub fn print(run: &CheckRun, out: &mut dyn Write) -> io::Result<()> {
    let mut entries = Vec::new();
    for object in &run.report.objects {
        let left = |request: &&crate::check::RequestReport| {
            request.verdict == Verdict::Runtime || matches!(request.answer, Answer::DriverAtRuntime(_))
        };
        for request in object.requests.iter().filter(left) {
            let mut entry = Map::new();
            put_path(&mut entry, "path", &object.facts.shown);
            entry.insert("class".to_owned(), object.facts.object.class().into());
            put(&mut entry, "machine", object.facts.object.machine_name);
            put(&mut entry, "soname", &request.soname);
            put(&mut entry, "kind", request.kind.name());
            entries.push(Value::Object(entry));
        }
    }
    print_document(&json!({"schema": SCHEMA, "command": "runtime-list", "requests": entries}), out)
}

/// Reads such a list.
///
/// # Errors
/// [`RuntimeListError`] for anything else.
pub fn read(text: &[u8]) -> Result<Vec<RuntimeEntry>, RuntimeListError> {
    let document: Value = serde_json::from_slice(text).map_err(|_| RuntimeListError("not JSON"))?;
    if document.get("command").and_then(Value::as_str) != Some("runtime-list") {
        return Err(RuntimeListError("\"command\" is not \"runtime-list\""));
    }
    let requests = document.get("requests").and_then(Value::as_array).ok_or(RuntimeListError("no \"requests\""))?;
    let entry = |request: &Value| {
        let text = |key: &str| request.get(key).and_then(Value::as_str).map(str::to_owned);
        Some(RuntimeEntry {
            path: text("path")?,
            class: u8::try_from(request.get("class")?.as_u64()?).ok()?,
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
