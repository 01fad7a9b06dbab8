//! What `fix --receipt` writes and `fix --revert` reads: how to take each edit back.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::elf::image::Saved;
use crate::elf::units::FileOffset;
use crate::fsio::Undo;
use crate::report::text::{escaped, hex};
use crate::tree::{FileReport, Outcome};

const SCHEMA: &str = "cuda-runpath-receipt/1";

/// The first line of a receipt; one line for each edited file follows, written as soon as the file is.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    schema: String,
}

/// What `fix --receipt` writes and `fix --revert` reads.
#[derive(Debug)]
pub(crate) struct Receipt {
    /// One for each edited file.
    pub files: Vec<Reverted>,
    /// Whether the last line has no end: the run was killed while it wrote it, and not all of that edit is known.
    pub is_cut: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileReceipt {
    /// Canonical, escaped for reading.
    path: String,
    /// The same, exactly.
    path_hex: String,
    old_length: u64,
    new_length: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    before: Vec<SavedHex>,
    after: Vec<SavedHex>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedHex {
    offset: u64,
    hex: String,
}

/// Why a text is no receipt.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiptError {
    /// Not the JSON that a receipt is.
    #[error("not a receipt")]
    Json(#[from] serde_json::Error),
    /// Of another version.
    #[error("the receipt has schema {0:?}, expected {SCHEMA:?}")]
    Schema(String),
    /// A field that should hold hexadecimal digits.
    #[error("the receipt's {0} is not hexadecimal")]
    Hex(&'static str),
}

/// One file of a receipt.
#[derive(Debug)]
pub(crate) struct Reverted {
    /// The canonical path.
    pub path: PathBuf,
    /// How to take the edit back.
    pub undo: Undo,
}

impl Receipt {
    /// The first line.
    ///
    /// # Errors
    /// [`ReceiptError::Json`], which no receipt that this program makes gives.
    pub(crate) fn head() -> Result<String, ReceiptError> {
        Ok(serde_json::to_string(&Head { schema: SCHEMA.to_owned() })? + "\n")
    }

    /// The line of a file; `None` when nothing was written to it.
    ///
    /// # Errors
    /// [`ReceiptError::Json`], which no receipt that this program makes gives.
    pub(crate) fn line(report: &FileReport) -> Result<Option<String>, ReceiptError> {
        let Outcome::Changed(change) = &report.outcome else { return Ok(None) };
        let Some(undo) = &change.undo else { return Ok(None) };
        let path = change.real.as_os_str().as_bytes();
        let file = FileReceipt {
            path: escaped(path),
            path_hex: hex(path),
            old_length: undo.old_len,
            new_length: undo.new_len,
            modified: undo.modified,
            before: undo.before.iter().map(saved_hex).collect(),
            after: undo.after.iter().map(saved_hex).collect(),
        };
        Ok(Some(serde_json::to_string(&file)? + "\n"))
    }

    /// Reads a stored text.
    ///
    /// # Errors
    /// [`ReceiptError`] when it is no receipt.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, ReceiptError> {
        let whole = text.rsplitn(2, |byte| *byte == b'\n').nth(1).unwrap_or(text);
        let mut lines = whole.split(|byte| *byte == b'\n');
        let head: Head = serde_json::from_slice(lines.next().unwrap_or_default())?;
        if head.schema != SCHEMA {
            return Err(ReceiptError::Schema(head.schema));
        }
        let files = lines.map(|line| revert(serde_json::from_slice(line)?)).collect::<Result<_, _>>()?;
        Ok(Self { files, is_cut: !text.ends_with(b"\n") })
    }
}

fn revert(file: FileReceipt) -> Result<Reverted, ReceiptError> {
    let path = unhex(&file.path_hex).ok_or(ReceiptError::Hex("pathHex"))?;
    let saved = |list: Vec<SavedHex>, name| {
        let parsed = list.into_iter().map(|saved| {
            let bytes = unhex(&saved.hex).ok_or(ReceiptError::Hex(name))?;
            Ok(Saved { offset: FileOffset::new(saved.offset), bytes })
        });
        parsed.collect::<Result<Vec<_>, ReceiptError>>()
    };
    let undo = Undo {
        old_len: file.old_length,
        new_len: file.new_length,
        before: saved(file.before, "before")?,
        after: saved(file.after, "after")?,
        modified: file.modified,
    };
    Ok(Reverted { path: PathBuf::from(OsString::from_vec(path)), undo })
}

fn saved_hex(saved: &Saved) -> SavedHex {
    SavedHex { offset: saved.offset.get(), hex: hex(&saved.bytes) }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?, 16).ok())
        .collect()
}
