//! The edit of a whole file: its containers written anew, and what that makes zero left out.

use super::fates::Fates;
use super::files::located;
use super::gpu::Gpu;
use super::rewrite::all_anew;
use super::slim::Targets;
use super::spans::FatBinary;
use crate::elf::data::DataMap;
use crate::elf::image::Image;
use crate::elf::plan::Patch;
use crate::elf::slim::{NotCompacted, SlimPlan, compact, in_place, new_file, zero_ranges};
use crate::elf::units::{FileOffset, FileRange, len64};
use crate::elf::verify::{VerifyError, verify_slim};
use crate::elf::view::{ElfView, Subject, has_magic};

/// How a file is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlimWish {
    /// The file itself, in steps.
    pub(crate) in_place: bool,
    /// Pages of zeros leave it, where it is not.
    pub(crate) compacts: bool,
}

/// What can be done of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SlimDraft {
    /// The edit; `None` where nothing is to be written.
    pub(crate) plan: Option<SlimPlan>,
    /// Bytes that stay although no target needs them, because the file itself is written.
    pub(crate) unmoved: u64,
    /// Why it stays as long as it is, where that was not wanted.
    pub(crate) not_compacted: Option<NotCompacted>,
}

impl SlimWish {
    /// Plans an edit; the view is that of an object. `None` where containers contradict each other.
    #[must_use]
    pub(crate) fn plan(self, file: &[u8], view: Option<&ElfView<'_>>, fates: &Fates<'_>) -> Option<SlimDraft> {
        let len = len64(file);
        if self.in_place {
            let (rewrites, unmoved) = Targets::all_in_place(file, fates)?;
            let not_compacted = (self.compacts && !rewrites.is_empty()).then_some(NotCompacted::InPlace);
            let plan = Some(in_place(len, rewrites)?).filter(|plan| !plan.patches.is_empty());
            return Some(SlimDraft { plan, unmoved, not_compacted });
        }
        let rewrites = all_anew(fates)?;
        let is_changed = !rewrites.is_empty();
        let plan = new_file(len, rewrites)?;
        let shorter = match (self.compacts, view) {
            (false, _) => Ok(None),
            (true, None) => Err(NotCompacted::NotLoaded),
            (true, Some(view)) => compact(view, &plan, &zero_ranges(file, &plan.patches, &gaps(view, fates))),
        };
        let not_compacted = shorter.as_ref().err().copied().filter(|_| is_changed);
        let plan = shorter.ok().flatten().or_else(|| is_changed.then_some(plan));
        Some(SlimDraft { plan, unmoved: 0, not_compacted })
    }
}

/// What stands between a container and the next one of its section, or the section's end: zeros that an earlier run left,
/// for one.
fn gaps(view: &ElfView<'_>, fates: &Fates<'_>) -> Vec<FileRange> {
    let mut sections: Vec<FileRange> = view.sections.iter().filter_map(|section| section.file_range()).collect();
    sections.sort_unstable();
    let mut containers: Vec<&FatBinary> = fates.iter().map(|(binary, _)| *binary).collect();
    containers.sort_by_key(|binary| binary.range);
    let next = containers.iter().skip(1).map(|next| next.range.start().get()).chain([u64::MAX]);
    let gap = |(binary, next): (&&FatBinary, u64)| {
        let end = binary.range.end().get();
        let behind = sections.partition_point(|section| section.start() <= binary.range.start());
        let section = sections.get(behind.checked_sub(1)?)?;
        FileRange::between(end, section.end().get().min(next))
    };
    containers.iter().zip(next).filter_map(gap).collect()
}

/// What slimming makes of a file's bytes, for tests and fuzz targets: writers go patch by patch. `None` where it stays as it
/// is.
///
/// # Errors
/// [`VerifyError`] when the plan is not one that can be proven, which is a defect.
pub fn slim_bytes(file: &[u8], gpus: &[Gpu], compacts: bool, in_place: bool) -> Result<Option<Vec<u8>>, VerifyError> {
    slim_bytes_otherwise(file, gpus, (compacts, in_place), &|_| {})
}

/// The same with something done to the plan before it is proven.
///
/// # Errors
/// [`VerifyError`] when what is done to it is wrong.
pub fn slim_bytes_otherwise(
    file: &[u8],
    gpus: &[Gpu],
    (compacts, in_place): (bool, bool),
    change: &dyn Fn(&mut Vec<Patch>),
) -> Result<Option<Vec<u8>>, VerifyError> {
    let targets = Targets { gpus: gpus.to_vec(), keeps_ptx: false };
    let draft = || -> Option<SlimPlan> {
        let (_, binaries) = located(file, &DataMap::default()).ok()??;
        let view = match has_magic(file).then(|| Subject::parse(file)) {
            Some(Ok(Subject::Object(view))) => Some(view),
            Some(Ok(Subject::NotApplicable(_))) | None => None,
            Some(Err(_)) => return None,
        };
        let fates = targets.fates(file, &binaries);
        SlimWish { in_place, compacts }.plan(file, view.as_deref(), &fates)?.plan
    };
    let Some(mut plan) = draft() else { return Ok(None) };
    change(&mut plan.patches);
    let proven = verify_slim(file, plan, &targets)?;
    let (patches, len) = (&proven.plan().patches, proven.plan().new_len);
    let image = Image::patched(file, patches, len);
    let all = FileRange::new(FileOffset::new(0), len);
    Ok(image.zip(all).and_then(|(image, all)| image.read(all).map(std::borrow::Cow::into_owned)))
}
