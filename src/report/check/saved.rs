//! Reads the document of an earlier `check --format json` again. It comes from a stranger: every field has its kind and its
//! bounds, what is wrong is named, and no more is kept than the document has.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use bstr::BString;
use serde::Deserialize;

use crate::check::{
    Answer, CheckRoot, CheckSetting, ContentDigest, FileRecord, Lack, Severity, Snapshot, SnapshotFile,
    SnapshotFinding, SnapshotRequest, Verdict,
};
use crate::cuda::{Code, Form, GpuCode, Tally};
use crate::elf::class::Class;
use crate::report::document::SCHEMA;
use crate::report::text::unhex;

/// What the document says it is.
const COMMAND: &str = "check";

/// Why a document cannot be compared with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SavedError {
    /// No JSON, or a field of another kind.
    #[error("{0}")]
    Json(#[from] serde_path_to_error::Error<serde_json::Error>),
    /// Another version.
    #[error("schema is {0:?}, and this program reads {SCHEMA:?}: check the other release with this program")]
    Schema(String),
    /// Of another command, or a comparison.
    #[error("command is {0:?}, and only a document of check can be compared with")]
    Command(String),
    /// A field with a value that it cannot have.
    #[error("{field}: {value:?} {bound}")]
    Field {
        /// Where it stands.
        field: String,
        /// What stands there.
        value: String,
        /// What could.
        bound: String,
    },
}

#[derive(Deserialize)]
struct SavedHead {
    schema: String,
    command: String,
}

#[derive(Deserialize)]
struct SavedCheck {
    #[serde(default)]
    scope: Option<String>,
    #[serde(default)]
    roots: Vec<SavedRoot>,
    #[serde(default)]
    asked: Option<BTreeMap<String, String>>,
    #[serde(default)]
    complete: bool,
    objects: Vec<SavedObject>,
    #[serde(default)]
    others: Vec<SavedOther>,
    findings: Vec<SavedFinding>,
    #[serde(default)]
    allowed: Vec<SavedFinding>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SavedRoot {
    path: String,
    path_hex: Option<String>,
    real: String,
    real_hex: Option<String>,
}

// Fields stand one by one, as a flattened struct would keep their names from errors.

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SavedObject {
    path: String,
    path_hex: Option<String>,
    class: u8,
    machine: String,
    requests: Vec<SavedRequest>,
    length: Option<u64>,
    contents: Option<String>,
    gpu_code: Option<Vec<SavedCode>>,
    #[serde(default)]
    gpu_problems: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SavedOther {
    path: String,
    path_hex: Option<String>,
    length: u64,
    contents: String,
    gpu_code: Vec<SavedCode>,
    #[serde(default)]
    gpu_problems: u64,
}

/// What both have.
struct SavedRecord {
    length: Option<u64>,
    contents: Option<String>,
    gpu_code: Option<Vec<SavedCode>>,
    gpu_problems: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SavedCode {
    form: String,
    architecture: String,
    kind: String,
    count: u64,
    without_kernels: u64,
    bytes: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SavedRequest {
    soname: String,
    verdict: String,
    answer: String,
    place: Option<String>,
    place_hex: Option<String>,
    #[serde(default)]
    hosts: Vec<SavedHost>,
}

/// What it gets there is told in words only: the verdict counts.
#[derive(Deserialize)]
struct SavedHost {
    host: String,
    verdict: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SavedFinding {
    code: String,
    slug: String,
    severity: String,
    path: String,
    path_hex: Option<String>,
    about: String,
    about_hex: Option<String>,
    message: String,
}

/// Reads a document.
///
/// # Errors
/// [`SavedError`] names the field.
pub(crate) fn read(text: &[u8]) -> Result<Snapshot, SavedError> {
    // Of another version nothing else need be as it is here.
    let head: SavedHead = parse(text)?;
    if head.schema != SCHEMA {
        return Err(SavedError::Schema(head.schema));
    }
    if head.command != COMMAND {
        return Err(SavedError::Command(head.command));
    }
    let saved: SavedCheck = parse(text)?;
    let scope = saved.scope.map(|scope| word("scope", &scope)).transpose()?;
    let roots = saved.roots.into_iter().enumerate();
    let roots = roots.map(|(index, root)| {
        let name = format!("roots[{index}]");
        let given = path(&name, "path", root.path, root.path_hex)?;
        Ok::<_, SavedError>(CheckRoot { given, real: path(&name, "real", root.real, root.real_hex)? })
    });
    let roots = roots.collect::<Result<_, _>>()?;
    let mut lacks = BTreeSet::new();
    if !saved.complete {
        lacks.insert(Lack::Idle);
    }
    if saved.asked.is_none() || scope.is_none() {
        lacks.insert(Lack::Options);
    }
    let objects = saved.objects.into_iter().enumerate();
    let objects = objects.map(|(index, object)| object.read(&format!("objects[{index}]")));
    let others = saved.others.into_iter().enumerate();
    let others = others.map(|(index, other)| other.read(&format!("others[{index}]")));
    let files: Vec<SnapshotFile> = objects.chain(others).collect::<Result<_, _>>()?;
    if files.iter().any(|file| file.record.is_none() || file.gpu_code.is_none()) {
        lacks.insert(Lack::Records);
    }
    let mut paths = HashSet::new();
    if let Some(twice) = files.iter().find(|file| !paths.insert(&file.path)) {
        return Err(field("objects", &twice.path.display().to_string(), "stands there twice"));
    }
    let findings = saved.findings.into_iter().enumerate();
    let findings = findings.map(|(index, finding)| finding.read(&format!("findings[{index}]")));
    let allowed = saved.allowed.into_iter().enumerate();
    let allowed = allowed.map(|(index, finding)| finding.read(&format!("allowed[{index}]")));
    let findings = findings.chain(allowed).collect::<Result<_, _>>()?;
    Ok(Snapshot { setting: CheckSetting { scope, roots, asked: saved.asked }, files, findings, lacks })
}

/// Whether a text is some document of this program, and no other JSON.
#[must_use]
pub(crate) fn says_what_it_is(text: &[u8]) -> bool {
    serde_json::from_slice::<SavedHead>(text).is_ok()
}

fn parse<'t, T: Deserialize<'t>>(text: &'t [u8]) -> Result<T, SavedError> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let read = serde_path_to_error::deserialize(&mut json)?;
    json.end().map_err(|error| field("document", &error.to_string(), "is something behind its end"))?;
    Ok(read)
}

fn field(field: &str, value: &str, bound: impl Into<String>) -> SavedError {
    SavedError::Field { field: field.to_owned(), value: value.to_owned(), bound: bound.into() }
}

/// One of the words of an enum.
fn word<T: std::str::FromStr + strum::VariantNames>(name: &str, text: &str) -> Result<T, SavedError> {
    text.parse().map_err(|_| field(name, text, format!("is none of {}", T::VARIANTS.join(", "))))
}

/// A text, or the exact bytes that stand beside it.
fn bytes(name: &str, text: String, hex: Option<String>) -> Result<Vec<u8>, SavedError> {
    match hex {
        None => Ok(text.into_bytes()),
        Some(hex) => {
            unhex(&hex).ok_or_else(|| field(&format!("{name}Hex"), &hex, "is no even number of hexadecimal digits"))
        }
    }
}

/// A path and its sibling.
fn path(name: &str, key: &str, text: String, hex: Option<String>) -> Result<PathBuf, SavedError> {
    Ok(OsString::from_vec(bytes(&format!("{name}.{key}"), text, hex)?).into())
}

impl SavedObject {
    fn read(self, name: &str) -> Result<SnapshotFile, SavedError> {
        let class = Class::of_bits(self.class);
        let class =
            class.ok_or_else(|| field(&format!("{name}.class"), &self.class.to_string(), "is neither 32 nor 64"))?;
        let requests = self.requests.into_iter().enumerate();
        let requests: Vec<SnapshotRequest> = requests
            .map(|(index, request)| request.read(&format!("{name}.requests[{index}]")))
            .collect::<Result<_, _>>()?;
        let mut names = HashSet::new();
        if let Some(twice) = requests.iter().find(|request| !names.insert(&request.soname)) {
            return Err(field(&format!("{name}.requests"), &twice.soname, "is asked for twice"));
        }
        let record = SavedRecord {
            length: self.length,
            contents: self.contents,
            gpu_code: self.gpu_code,
            gpu_problems: self.gpu_problems,
        };
        let (record, gpu_code) = record.read(name)?;
        Ok(SnapshotFile {
            path: path(name, "path", self.path, self.path_hex)?,
            kind: Some((self.machine, class.bits())),
            requests,
            record,
            gpu_code,
        })
    }
}

impl SavedOther {
    fn read(self, name: &str) -> Result<SnapshotFile, SavedError> {
        let record = SavedRecord {
            length: Some(self.length),
            contents: Some(self.contents),
            gpu_code: Some(self.gpu_code),
            gpu_problems: self.gpu_problems,
        };
        let (record, gpu_code) = record.read(name)?;
        Ok(SnapshotFile {
            path: path(name, "path", self.path, self.path_hex)?,
            kind: None,
            requests: Vec::new(),
            record,
            gpu_code,
        })
    }
}

impl SavedRecord {
    fn read(self, name: &str) -> Result<(Option<FileRecord>, Option<GpuCode>), SavedError> {
        let contents = self.contents.map(|text| {
            let digest: Result<ContentDigest, _> = text.parse();
            digest.map_err(|error| field(&format!("{name}.contents"), &text, error.to_string()))
        });
        let record = match (self.length, contents.transpose()?) {
            (Some(length), Some(contents)) => Some(FileRecord { length, contents }),
            (None, None) => None,
            (Some(length), None) => {
                return Err(field(&format!("{name}.length"), &length.to_string(), "stands there without contents"));
            }
            (None, Some(contents)) => {
                return Err(field(&format!("{name}.contents"), &contents.to_string(), "stands there without length"));
            }
        };
        let Some(rows) = self.gpu_code else { return Ok((record, None)) };
        let mut code = GpuCode::default();
        for (index, row) in rows.into_iter().enumerate() {
            let name = format!("{name}.gpuCode[{index}]");
            let form = Form::named(&row.form);
            let form = form.ok_or_else(|| field(&format!("{name}.form"), &row.form, "is no form of GPU code"))?;
            let found = Code::named(&row.architecture, &row.kind);
            let what = format!("{} {}", row.architecture, row.kind);
            let found = found.ok_or_else(|| field(&name, &what, "is no architecture and kind of GPU code"))?;
            if row.without_kernels > row.count {
                let bound = format!("is more than count, which is {}", row.count);
                return Err(field(&format!("{name}.withoutKernels"), &row.without_kernels.to_string(), bound));
            }
            let tally = Tally { count: row.count, empty: row.without_kernels, bytes: row.bytes, ..Tally::default() };
            if !code.put(form, found, tally) {
                return Err(field(&name, &what, "stands there twice"));
            }
        }
        if let Some(place) = code.places.first_mut() {
            place.more_problems = self.gpu_problems;
        } else if self.gpu_problems > 0 {
            code = GpuCode::not_understood(self.gpu_problems);
        }
        Ok((record, Some(code)))
    }
}

impl SavedRequest {
    fn read(self, name: &str) -> Result<SnapshotRequest, SavedError> {
        let mut on_hosts = BTreeMap::new();
        for (index, host) in self.hosts.into_iter().enumerate() {
            let verdict: Verdict = word(&format!("{name}.hosts[{index}].verdict"), &host.verdict)?;
            if on_hosts.insert(host.host.clone(), verdict).is_some() {
                return Err(field(&format!("{name}.hosts"), &host.host, "stands there twice"));
            }
        }
        let verdict = word(&format!("{name}.verdict"), &self.verdict)?;
        let place = self.place.map(|place| bytes(&format!("{name}.place"), place, self.place_hex)).transpose()?;
        let answer = Answer::named(&self.answer, place.map(BString::from)).ok_or_else(|| {
            let names = <Answer as strum::VariantNames>::VARIANTS.join(", ");
            let bound = format!("is none of {names}, or has no place where it needs one");
            field(&format!("{name}.answer"), &self.answer, bound)
        })?;
        Ok(SnapshotRequest { soname: self.soname, verdict, answer, on_hosts })
    }
}

impl SavedFinding {
    fn read(self, name: &str) -> Result<SnapshotFinding, SavedError> {
        let severity: Severity = word(&format!("{name}.severity"), &self.severity)?;
        Ok(SnapshotFinding {
            code: self.code,
            slug: self.slug,
            severity,
            path: path(name, "path", self.path, self.path_hex)?,
            about: bytes(&format!("{name}.about"), self.about, self.about_hex)?,
            message: self.message,
        })
    }
}
