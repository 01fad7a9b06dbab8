//! Is the slimmed file the old one without what no target needs, and nothing else?
//!
//! What became of the parts that were rewritten is read a second time by [`SecondReading`], which shares nothing with who
//! planned it; everything else is compared here, of a file that became shorter through the *other* parser. Cost follows
//! the plan: what is copied is the same bytes in memory, and is not read.

use std::borrow::Cow;

use super::compacted::{Mapped, Places, compacted};
use super::error::{VerifyError, broken};
use crate::elf::image::Image;
use crate::elf::runs::all_zero;
use crate::elf::slim::{SlimPlan, SlimShape};
use crate::elf::units::{FileOffset, FileRange, len64};

/// Reads what became of the parts that a plan rewrites, and knows what should have.
pub(crate) trait SecondReading {
    /// Compares one part before and after.
    ///
    /// # Errors
    /// What should have been the case.
    fn read(&self, file: &[u8], range: FileRange, became: &Became<'_, '_>) -> Result<(), &'static str>;
}

/// A plan that was found to leave out what no target needs, and nothing else: only [`verify_slim`] makes one, and the writer
/// takes nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProvenSlim {
    plan: SlimPlan,
}

impl ProvenSlim {
    /// The plan.
    #[must_use]
    pub(crate) fn plan(&self) -> &SlimPlan {
        &self.plan
    }
}

/// Compares a file with what a plan makes of it.
///
/// # Errors
/// [`VerifyError`] names the first invariant that does not hold.
pub(crate) fn verify_slim(file: &[u8], plan: SlimPlan, second: &dyn SecondReading) -> Result<ProvenSlim, VerifyError> {
    let other = || VerifyError::OtherFile { planned: plan.old_len, found: len64(file) };
    let is_for_it = plan.old_len == len64(file);
    let image = is_for_it.then(|| Image::patched(file, &plan.patches, plan.new_len)).flatten().ok_or_else(other)?;
    if plan.shape != SlimShape::InPlace && !sets_everything(&plan) {
        return Err(broken(11, "the plan of a new file sets every byte of it once", 0));
    }
    let old = Image::of(file);
    let places = match plan.shape {
        SlimShape::InPlace | SlimShape::SameLayout if plan.old_len != plan.new_len => {
            return Err(broken(11, "the file keeps its length", plan.new_len));
        }
        SlimShape::InPlace | SlimShape::SameLayout => Places::Same,
        SlimShape::Compacted { .. } => compacted(&old, &image)?,
    };
    let became = Became { file, image: &image, places };
    let mut at = 0_u64;
    for range in &plan.rewritten {
        let kept = FileRange::between(at, range.start().get());
        let kept = kept.ok_or_else(|| broken(11, "rewritten parts are apart", range.start().get()))?;
        became.expect_same(kept)?;
        second.read(file, *range, &became).map_err(|what| broken(11, what, range.start().get()))?;
        at = range.end().get();
    }
    let rest = FileRange::between(at, plan.old_len).ok_or_else(|| broken(11, "rewritten parts lie in the file", at))?;
    became.expect_same(rest)?;
    Ok(ProvenSlim { plan })
}

/// Whether a list of patches sets every byte of a file, one behind the other.
fn sets_everything(plan: &SlimPlan) -> bool {
    let mut end = Some(0);
    for patch in &plan.patches {
        let range = patch.range().filter(|range| Some(range.start().get()) == end);
        end = range.map(|range| range.end().get());
    }
    end == Some(plan.new_len)
}

/// The new file, asked by the offsets of the old one.
pub(crate) struct Became<'i, 'a> {
    file: &'a [u8],
    image: &'i Image<'a>,
    places: Places,
}

impl<'a> Became<'_, 'a> {
    /// Some bytes that stand now where these were.
    #[must_use]
    pub(crate) fn bytes(&self, at: FileOffset, len: u64) -> Option<Cow<'a, [u8]>> {
        let mut all = Vec::new();
        for place in self.places.of(FileRange::new(at, len)?) {
            match place.now {
                Some(offset) => {
                    let read = self.image.read(FileRange::new(FileOffset::new(offset), place.len)?)?;
                    if place.len == len {
                        return Some(read);
                    }
                    all.extend_from_slice(&read);
                }
                None => all.resize(all.len().checked_add(usize::try_from(place.len).ok()?)?, 0),
            }
        }
        (len64(&all) == len).then_some(Cow::Owned(all))
    }

    /// Whether what stands now where these were is some bytes of the old file.
    #[must_use]
    pub(crate) fn is_copy(&self, at: FileOffset, of: FileRange) -> bool {
        let Some(range) = FileRange::new(at, of.len()) else { return false };
        let Some(wanted) = of.of(self.file) else { return false };
        let other = self.first_other(range, |from, now| {
            let from = usize::try_from(from).unwrap_or(usize::MAX);
            wanted.get(from..).and_then(|rest| rest.get(..now.len())).is_some_and(|old| same(old, now))
        });
        self.has_all(range) && other.is_none()
    }

    /// Whether there is nothing but zeros now.
    #[must_use]
    pub(crate) fn is_zero(&self, range: FileRange) -> bool {
        self.has_all(range) && self.first_other(range, |_, now| all_zero(now)).is_none()
    }

    /// Invariant 11: what is not rewritten is the same. What is not in memory was compared with the headers.
    fn expect_same(&self, range: FileRange) -> Result<(), VerifyError> {
        let start = usize::try_from(range.start().get()).unwrap_or(usize::MAX);
        let other = self.first_other(range, |from, now| {
            let from = usize::try_from(from).ok().and_then(|from| start.checked_add(from));
            let old = from.and_then(|from| self.file.get(from..)).and_then(|rest| rest.get(..now.len()));
            old.is_some_and(|old| same(old, now))
        });
        match other {
            None => Ok(()),
            Some(at) => Err(broken(11, "every byte that is not rewritten is the same", at)),
        }
    }

    /// The first piece of which something does not hold; it is asked with its distance from the start of the range. What
    /// no PT_LOAD of a moved file maps is not asked.
    fn first_other(&self, range: FileRange, is_right: impl Fn(u64, &[u8]) -> bool) -> Option<u64> {
        let within = |at: u64| at.saturating_sub(range.start().get());
        for place in self.places.of(range) {
            let Some(offset) = place.now else {
                if let Some(at) = first_other_zero(&place, |at, zeros| is_right(within(at), zeros)) {
                    return Some(at);
                }
                continue;
            };
            let was = |now: u64| place.was.saturating_add(now.saturating_sub(offset));
            let mut end = offset;
            let all = FileRange::new(FileOffset::new(offset), place.len);
            for (at, run) in all.into_iter().flat_map(|all| self.image.runs(all)) {
                if !is_right(within(was(at)), run) {
                    return Some(was(at));
                }
                end = at.saturating_add(len64(run));
            }
            if end != offset.saturating_add(place.len) {
                return Some(was(end));
            }
        }
        None
    }

    /// Whether all of a range is somewhere now.
    fn has_all(&self, range: FileRange) -> bool {
        let places = self.places.of(range);
        places.iter().map(|place| place.len).fold(0, u64::saturating_add) == range.len()
    }
}

/// The same for zeros that no file has: as many as there are, a page at a time.
fn first_other_zero(place: &Mapped, is_right: impl Fn(u64, &[u8]) -> bool) -> Option<u64> {
    const ZEROS: [u8; 4096] = [0; 4096];
    let mut done = 0_u64;
    while done < place.len {
        let len = usize::try_from(place.len.saturating_sub(done)).unwrap_or(usize::MAX).min(ZEROS.len());
        let at = place.was.saturating_add(done);
        if !is_right(at, ZEROS.get(..len).unwrap_or_default()) {
            return Some(at);
        }
        done = done.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
    }
    None
}

/// Whether bytes are the same, which those of one place in memory are.
fn same(a: &[u8], b: &[u8]) -> bool {
    std::ptr::eq(a, b) || a == b
}
