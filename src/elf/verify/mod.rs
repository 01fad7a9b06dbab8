//! Is the edited object the old one with another path, and nothing else?
//!
//! Reads both with the *other* parser (`object`) and compares them by the invariants that the documentation numbers.
//! Cost follows the plan, not the file: bytes that no write touched are the same bytes.

mod dynamic;
mod sections;
mod segments;
mod shape;

use bstr::{BString, ByteSlice};

use self::dynamic::{dynamic, names, symbols, text};
use self::sections::{payload, sections};
use self::segments::{dynamic_segment, loads, memory, other_segments};
use self::shape::Shape;
use super::image::Image;
use super::plan::{Change, PathTag};
use super::units::FileRange;

const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;

/// What is wrong with an edited object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The edited object cannot be parsed.
    #[error("the edited file cannot be read back: {0}")]
    Unreadable(&'static str),
    /// A range of the edited object lies outside it.
    #[error("the edited file is too short: {len:#x} bytes at {offset:#x}")]
    PastEnd {
        /// Where.
        offset: u64,
        /// How many bytes.
        len: u64,
    },
    /// An invariant does not hold.
    #[error("invariant {number} does not hold at {at:#x}: {what}")]
    Broken {
        /// Its number in docs/editing.md.
        number: u8,
        /// What should have been the case.
        what: &'static str,
        /// A file offset, an address or an index, whichever names the place.
        at: u64,
    },
    /// The path is not the one that was wanted.
    #[error("invariant 8 does not hold: the search path is {found:?}, wanted {wanted:?}")]
    WrongPath {
        /// What the loader would use.
        found: Option<BString>,
        /// What it should use.
        wanted: Option<BString>,
    },
}

fn broken(number: u8, what: &'static str, at: u64) -> VerifyError {
    VerifyError::Broken { number, what, at }
}

/// Compares an object before and after an edit. `note` is where the resolution cache note was before.
///
/// # Errors
/// [`VerifyError`] names the first invariant that does not hold.
pub fn verify(
    before: &Image<'_>,
    after: &Image<'_>,
    change: &Change,
    note: Option<FileRange>,
) -> Result<(), VerifyError> {
    let old = Shape::parse(before)?;
    let new = Shape::parse(after)?;
    let changed: Vec<FileRange> = before.changed().chain(after.changed()).collect();
    header(&old, &new)?;
    loads(&old, &new)?;
    memory(&old, &new, &changed, note)?;
    dynamic_segment(&old, &new)?;
    other_segments(&old, &new, note)?;
    let old_strings = old.strings()?;
    let new_strings = new.strings()?;
    dynamic(&old, &new, &old_strings, &new_strings)?;
    symbols(&old, &new, &changed)?;
    names(&old, &old_strings, &new_strings, &changed)?;
    sections(&old, &new, &changed, note)?;
    payload(&old, &new, &changed)?;
    path(&new, &new_strings, change)
}

/// Invariant 1: the ELF header is the same but for `e_phnum`, `e_shoff` and `e_phoff`.
fn header(old: &Shape<'_, '_>, new: &Shape<'_, '_>) -> Result<(), VerifyError> {
    if old.constant_header == new.constant_header { Ok(()) } else { Err(broken(1, "the ELF header is the same", 0)) }
}

/// Invariant 8: the loader uses the wanted path, and no other path string is left.
fn path(new: &Shape<'_, '_>, new_strings: &[u8], change: &Change) -> Result<(), VerifyError> {
    let wanted = match change {
        Change::Set { tag: PathTag::Runpath, path } => Some((DT_RUNPATH, path.as_bstr())),
        Change::Set { tag: PathTag::Rpath, path } => Some((DT_RPATH, path.as_bstr())),
        Change::Remove => None,
    };
    let tags = new.dynamic.iter().filter(|(tag, _)| matches!(*tag, DT_RPATH | DT_RUNPATH));
    let count = tags.clone().count();
    let mut found = tags.map(|(tag, offset)| (*tag, text(new_strings, *offset)));
    let is_right = match wanted {
        Some((tag, path)) => count > 0 && found.clone().all(|one| one == (tag, Some(path))),
        None => count == 0,
    };
    if is_right {
        return Ok(());
    }
    Err(VerifyError::WrongPath {
        found: found.next_back().and_then(|(_, text)| text.map(ToOwned::to_owned)),
        wanted: wanted.map(|(_, path)| path.to_owned()),
    })
}
