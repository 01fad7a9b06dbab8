//! `.note.cuda.fwd_compatibility`: what a compat libcuda says of itself (libcuda from 575 on).
//!
//! Owner "NVIDIA Corporation", type 0, JSON: `{"format":1,"CUDA version":"13.0","driver":[535,550,580],"device":[…]}`.
//! Orin's has no more than format and version, and an `n_descsz` that reaches past the section.

use serde_json::Value;

use super::version::Version;
use crate::elf::notes;
use crate::elf::view::ElfView;

const OWNER: &str = "NVIDIA Corporation";
const KIND: u32 = 0;

/// Real ones have a hundred bytes or a few hundred; what JSON becomes in memory is many times as large.
const LONGEST: usize = 1 << 16;

/// What the note says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompatNote {
    /// The CUDA release that this libcuda can run.
    pub(crate) cuda: Version,
    /// Branches of the kernel driver that it works with; empty when it does not say.
    pub(crate) driver_branches: Vec<u32>,
}

/// Why a note cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompatNoteError {
    /// Longer than any that says what it should.
    #[error(".note.cuda.fwd_compatibility has {0} bytes, more than {LONGEST}")]
    TooLong(usize),
    /// Not JSON.
    #[error(".note.cuda.fwd_compatibility is not JSON")]
    NotJson,
    /// A format that is not known.
    #[error(".note.cuda.fwd_compatibility has format {0}, not 1")]
    Format(u64),
    /// No version, or one that is not two numbers.
    #[error(".note.cuda.fwd_compatibility has no \"CUDA version\" such as \"13.0\"")]
    NoVersion,
}

impl CompatNote {
    /// Finds and reads the note; `None` without one.
    #[must_use]
    pub fn of(view: &ElfView<'_>) -> Option<Result<Self, CompatNoteError>> {
        let is_compat = |note: &notes::Note<'_>| note.kind == KIND && note.owner == OWNER;
        let in_sections = notes::of_sections(view).find(is_compat);
        let note = in_sections.or_else(|| notes::of_segments(view).find(is_compat))?;
        Some(Self::parse(note.descriptor.of(view.bytes).unwrap_or_default()))
    }

    /// Reads the descriptor, which may be padded with NUL bytes.
    fn parse(descriptor: &[u8]) -> Result<Self, CompatNoteError> {
        let text = descriptor.split(|byte| *byte == 0).next().unwrap_or_default().trim_ascii();
        if text.len() > LONGEST {
            return Err(CompatNoteError::TooLong(text.len()));
        }
        let json: Value = serde_json::from_slice(text).map_err(|_| CompatNoteError::NotJson)?;
        match json.get("format").map(Value::as_u64) {
            None | Some(Some(1)) => {}
            Some(other) => return Err(CompatNoteError::Format(other.unwrap_or(0))),
        }
        let cuda = json.get("CUDA version").and_then(Value::as_str).and_then(|text| text.parse().ok());
        let branches = json.get("driver").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let number = |branch: &Value| u32::try_from(branch.as_u64()?).ok();
        Ok(Self {
            cuda: cuda.ok_or(CompatNoteError::NoVersion)?,
            driver_branches: branches.iter().filter_map(number).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_read_and_bad_ones_named() {
        let full = CompatNote::parse(br#"{"format":1,"CUDA version":"13.0","driver":[535,550,580],"device":[1]}"#);
        let full = full.unwrap();
        assert_eq!((full.cuda, full.driver_branches.as_slice()), (Version(13, 0), [535, 550, 580].as_slice()));
        let orin = CompatNote::parse(b"{\"format\":1,\"CUDA version\":\"12.8\"}\0\0garbage").unwrap();
        assert_eq!((orin.cuda, orin.driver_branches.len()), (Version(12, 8), 0));
        assert_eq!(CompatNote::parse(b"{\"format\":1,\"CUDA ver"), Err(CompatNoteError::NotJson));
        assert_eq!(CompatNote::parse(b"{\"format\":2}"), Err(CompatNoteError::Format(2)));
        assert_eq!(CompatNote::parse(b"{\"format\":1}"), Err(CompatNoteError::NoVersion));
    }
}
