//! One versioned JSON document on standard output, and nothing else there.
//!
//! Bytes that are not UTF-8 are escaped as `\xNN`, with a sibling `…Hex` that holds them exactly.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde_json::{Map, Value};

use super::text::{escaped, hex, with_sources};
use crate::tree::{FixError, Skip};

/// Rises when a field goes or changes its meaning; new fields do not change it.
pub(super) const SCHEMA: &str = "cuda-runpath/1";

pub(super) fn print(document: &Value, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, document)?;
    out.write_all(b"\n")?;
    out.flush()
}

pub(super) fn put(object: &mut Map<String, Value>, key: &str, text: &str) {
    object.insert(key.to_owned(), text.into());
}

pub(super) fn put_path(object: &mut Map<String, Value>, key: &str, path: &Path) {
    put_bytes(object, key, path.as_os_str().as_bytes());
}

pub(super) fn path_object(path: &Path) -> Value {
    let mut object = Map::new();
    put_path(&mut object, "path", path);
    object.into()
}

pub(super) fn put_optional(object: &mut Map<String, Value>, key: &str, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => put_bytes(object, key, bytes),
        None => {
            object.insert(key.to_owned(), Value::Null);
        }
    }
}

pub(super) fn put_bytes(object: &mut Map<String, Value>, key: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => put(object, key, text),
        Err(_) => {
            put(object, key, &escaped(bytes));
            put(object, &format!("{key}Hex"), &hex(bytes));
        }
    }
}

pub(super) fn put_failure(file: &mut Map<String, Value>, error: &FixError) {
    put(file, "outcome", "failed");
    put(file, "error", &with_sources(error));
}

pub(super) fn put_skip(file: &mut Map<String, Value>, skip: &Skip) {
    put(file, "outcome", "skipped");
    put(file, "reason", skip.name());
    if let Skip::SameFile(first) = skip {
        put_path(file, "sameAs", first);
    }
}
