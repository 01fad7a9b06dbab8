//! The versioned JSON document of `explain`.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::words::{libc_name, outcome_word, source_word};
use crate::check::{Explained, Explanation, Verdict};
use crate::loader::{End, Outcome, Source, Step};
use crate::report::document::{SCHEMA, print as print_document, put, put_bytes, put_path};

/// Prints the searches as JSON.
///
/// # Errors
/// What writing says.
pub fn print(path: &Path, explanation: &Explanation, out: &mut dyn Write) -> io::Result<()> {
    let mut document = Map::new();
    put(&mut document, "schema", SCHEMA);
    put(&mut document, "command", "explain");
    put_path(&mut document, "path", path);
    put_bytes(&mut document, "interpreter", &explanation.interpreter);
    put(&mut document, "libc", libc_name(explanation.libc));
    let searches = explanation.searches.iter().map(search);
    document.insert("searches".to_owned(), searches.collect());
    print_document(&Value::Object(document), out)
}

fn search(explained: &Explained) -> Value {
    let mut value = Map::new();
    put_bytes(&mut value, "by", &explained.by);
    put_bytes(&mut value, "name", &explained.search.name);
    if explained.search.expanded != explained.search.name {
        put_bytes(&mut value, "expanded", &explained.search.expanded);
    }
    if let Some(kind) = explained.kind {
        put(&mut value, "kind", kind.name());
    }
    let steps = explained.search.steps.iter().zip(&explained.classes).map(|(step, class)| {
        let mut value = step_object(step);
        put(&mut value, "class", class.name());
        Value::Object(value)
    });
    value.insert("steps".to_owned(), steps.collect());
    value.insert("behind".to_owned(), explained.behind.iter().map(|step| Value::Object(step_object(step))).collect());
    put(&mut value, "answer", explained.answer.name());
    if let Some(place) = explained.answer.place() {
        put_bytes(&mut value, "place", place);
    }
    if let End::Found(_, opened) = &explained.search.end {
        put_bytes(&mut value, "found", opened);
    }
    if let Some(verdict) = explained.verdict.map(Verdict::name) {
        put(&mut value, "verdict", verdict);
    }
    let findings = explained.findings.iter().map(
        |finding| json!({"code": finding.rule.code, "severity": finding.severity.name(), "message": finding.message}),
    );
    value.insert("findings".to_owned(), findings.collect());
    Value::Object(value)
}

fn step_object(step: &Step) -> Map<String, Value> {
    let mut value = Map::new();
    put(&mut value, "source", &source_word(&step.source).to_ascii_lowercase());
    if let Source::Rpath(of) | Source::Runpath(of) = &step.source {
        put_bytes(&mut value, "of", of);
    }
    put_bytes(&mut value, "written", &step.written);
    put_bytes(&mut value, "place", &step.place);
    put(&mut value, "outcome", &outcome_word(&step.outcome).to_ascii_lowercase());
    match &step.outcome {
        Outcome::Fatal(reason) => put(&mut value, "reason", reason),
        Outcome::Broken(reason) => put(&mut value, "reason", reason),
        _ => {}
    }
    value
}
