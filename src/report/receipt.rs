//! What `fix --receipt` writes and `fix --revert` reads: how to take each edit back.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::elf::image::Saved;
use crate::elf::units::FileOffset;
use crate::fsio::Undo;
use crate::tree::{FileReport, Outcome};

const SCHEMA: &str = "cuda-runpath-receipt/1";

/// A receipt.
#[derive(Debug, Serialize, Deserialize)]
pub struct Receipt {
    schema: String,
    files: Vec<FileReceipt>,
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
pub enum ReceiptError {
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
pub struct Reverted {
    /// The canonical path.
    pub path: PathBuf,
    /// How to take the edit back.
    pub undo: Undo,
}

impl Receipt {
    /// The receipt of a run, for files that were written.
    #[must_use]
    pub fn of(files: &[FileReport]) -> Self {
        let written = files.iter().filter_map(|report| match &report.outcome {
            Outcome::Changed(change) => change.undo.as_ref().map(|undo| (&change.real, undo)),
            _ => None,
        });
        let files = written.map(|(real, undo)| FileReceipt {
            path: super::text::escaped(real.as_os_str().as_bytes()),
            path_hex: hex(real.as_os_str().as_bytes()),
            old_length: undo.old_len,
            new_length: undo.new_len,
            modified: undo.modified,
            before: undo.before.iter().map(saved_hex).collect(),
            after: undo.after.iter().map(saved_hex).collect(),
        });
        Self { schema: SCHEMA.to_owned(), files: files.collect() }
    }

    /// The text to store.
    ///
    /// # Errors
    /// [`ReceiptError::Json`], which no receipt that this program makes gives.
    pub fn to_text(&self) -> Result<String, ReceiptError> {
        Ok(serde_json::to_string_pretty(self)?)
    }

    /// Reads a stored text.
    ///
    /// # Errors
    /// [`ReceiptError`] when it is none.
    pub fn parse(text: &[u8]) -> Result<Vec<Reverted>, ReceiptError> {
        let receipt: Self = serde_json::from_slice(text)?;
        if receipt.schema != SCHEMA {
            return Err(ReceiptError::Schema(receipt.schema));
        }
        let revert = |file: FileReceipt| {
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
        };
        receipt.files.into_iter().map(revert).collect()
    }
}

fn saved_hex(saved: &Saved) -> SavedHex {
    SavedHex { offset: saved.offset.get(), hex: hex(&saved.bytes) }
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?, 16).ok())
        .collect()
}
