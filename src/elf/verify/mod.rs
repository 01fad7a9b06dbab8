//! Is the edited object the old one with another path, and nothing else?
//!
//! Reads both with the *other* parser (`object`) and compares them by the invariants that the documentation numbers.
//! Cost follows the plan, not the file: bytes that no write touched are the same bytes.

mod cache_note;
mod compacted;
mod dynamic;
mod error;
mod sections;
mod segments;
mod shape;
mod slimmed;

pub use self::error::VerifyError;
pub(crate) use self::slimmed::{Became, ProvenSlim, SecondReading, verify_slim};

use bstr::ByteSlice;

use self::cache_note::{cache, cache_notes};
use self::dynamic::{dynamic, names, symbols, text};
use self::error::{DT_RPATH, DT_RUNPATH, broken};
use self::sections::{payload, sections};
use self::segments::{dynamic_segment, loads, memory, other_segments, own_notes, readable};
use self::shape::Shape;
use super::image::Image;
use super::plan::{Change, PathTag, Plan};
use super::ranges::RangeSet;
use super::units::len64;

/// A plan that makes of a file what was wanted, and nothing else: only [`verify`] makes one, and the writer takes nothing
/// else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    plan: Plan,
}

impl Verified {
    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}

/// Compares the object in a file with what a plan makes of it.
///
/// # Errors
/// [`VerifyError`] names the first invariant that does not hold.
pub fn verify(file: &[u8], plan: Plan, change: &Change) -> Result<Verified, VerifyError> {
    let other = || VerifyError::OtherFile { planned: plan.old_len, found: len64(file) };
    compare(&Image::of(file), &Image::planned(file, &plan).ok_or_else(other)?, change)?;
    Ok(Verified { plan })
}

fn compare(before: &Image<'_>, after: &Image<'_>, change: &Change) -> Result<(), VerifyError> {
    let old = Shape::parse(before)?;
    let new = Shape::parse(after)?;
    let changed: RangeSet = before.changed().chain(after.changed()).collect();
    let notes = cache_notes(&old)?;
    header(&old, &new)?;
    loads(&old, &new)?;
    memory(&old, &new, &changed, &notes)?;
    dynamic_segment(&old, &new)?;
    other_segments(&old, &new, &notes)?;
    own_notes(&old, &new)?;
    let old_strings = old.strings()?;
    let new_strings = new.strings()?;
    readable(&old, &new)?;
    dynamic(&old, &new, &old_strings, &new_strings)?;
    symbols(&old, &new, &changed)?;
    names(&old, &old_strings, &new_strings, &changed)?;
    sections(&old, &new, &changed, &notes)?;
    payload(&old, &new, &changed)?;
    path(&new, &new_strings, change)?;
    cache(&old, &new, &notes, &new_strings, change)
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
