//! GPU code that no target runs leaves files: one file from its first bytes to its result, and a tree of them.

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;

use super::discover::Found;
use super::first_names::FirstNames;
use super::fix::Writing;
use super::outcome::{FixError, Skip};
use super::run::Workers;
use super::signature::signature_of;
use super::slimming::{SlimFacts, SlimOutcome, SlimReport, SlimWritten};
use crate::cuda::{self, SlimDraft, SlimWish, Targets, driver_of};
use crate::elf::journal_mark::carries_journal;
use crate::elf::plan::has_payload;
use crate::elf::slim::{SlimPlan, SlimShape};
use crate::elf::verify::{ProvenSlim, verify_slim};
use crate::elf::view::{Subject, has_magic};
use crate::fsio::{self, Later, Opened, Secret, Store};

/// Everything that decides about a file, beside the file.
#[derive(Debug)]
pub(crate) struct SlimSettings {
    /// What must still run.
    pub(crate) targets: Targets,
    /// Whether pages of zeros leave the file.
    pub(crate) compacts: bool,
    /// Whether the files themselves are to be written, in steps.
    pub(crate) in_place: bool,
    /// Whether to write, and how.
    pub(crate) writing: Writing,
    /// What may not be written.
    pub(crate) store: Store,
    /// What tells the journals of this user's runs from others.
    pub(crate) secret: Secret,
}

/// What the first look at a file gives: a result, or another name of an inode that may be in the list twice.
enum FirstSight {
    Done(SlimReport),
    Linked(Found, (u64, u64)),
}

/// Does every file of a list; the reports are in its order. `done` hears of each as soon as it is finished.
pub(crate) fn slim(
    files: Vec<Found>,
    settings: &SlimSettings,
    workers: &Workers,
    done: &(dyn Fn(&SlimReport) + Sync),
) -> Vec<SlimReport> {
    let sights = workers.run(files, |found| {
        let sight = first_sight(found, settings);
        if let FirstSight::Done(report) = &sight {
            done(report);
        }
        sight
    });
    let mut first_names = FirstNames::default();
    let finish = |sight| match sight {
        FirstSight::Done(report) => report,
        FirstSight::Linked(found, inode) => {
            if let Some(first) = first_names.of(inode) {
                let path = found.shown.into_path();
                return SlimReport { path, outcome: SlimOutcome::Skipped(Skip::SameFile(first.to_owned())) };
            }
            let outcome = found.open_with(fsio::open).map_err(FixError::from);
            let outcome = outcome.and_then(|opened| slim_opened(opened, settings)).unwrap_or_else(failed);
            first_names.note(&found, inode);
            let report = SlimReport { path: found.shown.into_path(), outcome };
            done(&report);
            report
        }
    };
    sights.into_iter().map(finish).collect()
}

fn first_sight(found: Found, settings: &SlimSettings) -> FirstSight {
    let done = |found: Found, outcome| FirstSight::Done(SlimReport { path: found.shown.into_path(), outcome });
    if found.is_temporary() {
        return done(found, SlimOutcome::Skipped(Skip::Temporary));
    }
    match found.open_with(|spot, path| fsio::sniff_for(spot, path, cuda::may_have_code)) {
        Err(error) => done(found, failed(error)),
        Ok(None) => done(found, SlimOutcome::NoCode),
        Ok(Some(opened)) if opened.identity.links > 1 => {
            let inode = opened.identity.inode;
            FirstSight::Linked(found, inode)
        }
        Ok(Some(opened)) => {
            let outcome = slim_opened(opened, settings);
            done(found, outcome.unwrap_or_else(failed))
        }
    }
}

/// What became of the files of a copy that were left for later.
#[derive(Debug, Default)]
pub(crate) struct SlimCopies {
    /// By the path of the copy.
    outcomes: HashMap<PathBuf, SlimOutcome>,
    /// Those with more names, by device and inode.
    linked: HashMap<(u64, u64), PathBuf>,
}

impl SlimCopies {
    /// What became of a file of the copy.
    #[must_use]
    pub(crate) fn report(&mut self, found: Found) -> SlimReport {
        let first = |found: &Found| {
            if self.linked.is_empty() {
                return None;
            }
            let inode = found.open_with(|spot, path| fsio::inode_of(&spot, path)).ok()?;
            self.linked.get(&inode).cloned()
        };
        let outcome = match self.outcomes.remove(found.shown.as_path()) {
            Some(outcome) => outcome,
            None => first(&found).map_or(SlimOutcome::NoCode, |first| SlimOutcome::Skipped(Skip::SameFile(first))),
        };
        SlimReport { path: found.shown.into_path(), outcome }
    }
}

/// Fills the files of a copy that were left for later.
pub(crate) fn slim_copies(
    later: Vec<Later>,
    settings: &SlimSettings,
    workers: &Workers,
    done: &(dyn Fn(&SlimReport) + Sync),
) -> SlimCopies {
    use std::os::unix::fs::MetadataExt;
    let filled = workers.run(later, |later| {
        let path = later.copy().to_owned();
        let mut inode = None;
        let filled = later.fill(|source, target| {
            let outcome = fill(source, target, settings)?;
            let linked = target.metadata().ok().filter(|meta| meta.nlink() > 1);
            inode = linked.filter(|_| !matches!(outcome, SlimOutcome::NoCode)).map(|meta| (meta.dev(), meta.ino()));
            Ok::<_, FixError>(outcome)
        });
        let report = SlimReport { path, outcome: filled.unwrap_or_else(failed) };
        done(&report);
        (report, inode)
    });
    let mut copies = SlimCopies::default();
    for (report, inode) in filled {
        copies.linked.extend(inode.map(|inode| (inode, report.path.clone())));
        copies.outcomes.insert(report.path, report.outcome);
    }
    copies
}

/// Whether a file that begins with these four bytes is looked at for GPU code.
#[must_use]
pub(crate) fn may_be_slimmed(start: &[u8]) -> bool {
    cuda::may_have_code(start)
}

fn failed(error: impl Into<FixError>) -> SlimOutcome {
    SlimOutcome::Failed(Box::new(error.into()))
}

/// What is to be done with a file, and what is known of it.
enum Decided {
    Nothing(SlimOutcome),
    Planned(Box<SlimFacts>, SlimPlan),
}

fn slim_opened(opened: Opened, settings: &SlimSettings) -> Result<SlimOutcome, FixError> {
    if opened.is_interrupted(&settings.secret) {
        return Err(fsio::EditError::Interrupted.into());
    }
    let decided = decide(&opened, settings, settings.in_place || opened.identity.links > 1);
    opened.check_whole()?;
    let (mut facts, plan) = match decided? {
        Decided::Nothing(outcome) => return Ok(outcome),
        Decided::Planned(facts, plan) => (facts, plan),
    };
    let mut written = SlimWritten::default();
    match settings.writing {
        Writing::Nothing => {
            prove(&opened, plan, settings, &mut facts)?;
        }
        Writing::Files(mode) => {
            let admitted = settings.store.admit(opened)?;
            let proven = prove(admitted.opened(), plan, settings, &mut facts)?;
            let slimmed = fsio::commit_slim(admitted, &proven, mode)?;
            written.how = Some(slimmed.how);
            written.blocks = slimmed.blocks;
            written.notes.extend(slimmed.notes.iter().map(fsio::Remark::text));
        }
    }
    Ok(SlimOutcome::Slimmed(facts, written))
}

fn fill(source: &Opened, target: &File, settings: &SlimSettings) -> Result<SlimOutcome, FixError> {
    use std::os::unix::fs::MetadataExt;
    let decided = decide(source, settings, false);
    source.check_whole()?;
    let outcome = match decided {
        Ok(Decided::Planned(mut facts, plan)) => {
            let proven = prove(source, plan, settings, &mut facts)?;
            fsio::fill_slim(source, &proven, target)?;
            let blocks = target.metadata().ok().map(|meta| meta.blocks().saturating_mul(512));
            let written = SlimWritten { how: Some(fsio::How::Replaced), notes: Vec::new(), blocks };
            return Ok(SlimOutcome::Slimmed(facts, written));
        }
        Ok(Decided::Nothing(outcome)) => outcome,
        // The copy has it as it is, and the report says why.
        Err(error) => failed(error),
    };
    fsio::fill_whole(source, target)?;
    Ok(outcome)
}

fn prove(
    opened: &Opened,
    plan: SlimPlan,
    settings: &SlimSettings,
    facts: &mut SlimFacts,
) -> Result<ProvenSlim, FixError> {
    facts.length.1 = plan.new_len;
    if let SlimShape::Compacted { runs } = plan.shape {
        facts.runs = runs;
    }
    let proven = verify_slim(opened.bytes(), plan, &settings.targets);
    opened.check_whole()?;
    Ok(proven?)
}

/// Reads, decides and plans.
fn decide(opened: &Opened, settings: &SlimSettings, in_place: bool) -> Result<Decided, FixError> {
    let (file, data) = (opened.bytes(), opened.data());
    let nothing = |outcome| Ok(Decided::Nothing(outcome));
    let Some((code, binaries)) = cuda::located(file, &data)? else { return nothing(SlimOutcome::NoCode) };
    if code.places.is_empty() {
        return nothing(SlimOutcome::NoCode);
    }
    let view = match has_magic(file).then(|| Subject::parse_sparse(file, &data)) {
        Some(Ok(Subject::Object(view))) => Some(view),
        // An object file and the like has no search path, and may have code all the same.
        Some(Ok(Subject::NotApplicable(_))) | None => None,
        Some(Err(error)) => return Err(error.into()),
    };
    let fates = settings.targets.fates(file, &binaries);
    let lengths = (opened.identity.len, opened.identity.blocks);
    let mut facts = Box::new(SlimFacts::of(lengths, &code, &fates, &settings.targets));
    if let Some(gpu) = settings.targets.without_code(&code) {
        facts.keep_all();
        return nothing(SlimOutcome::WithoutCode(facts, gpu));
    }
    let wish = SlimWish { in_place, compacts: settings.compacts };
    let SlimDraft { plan, unmoved, not_compacted } =
        wish.plan(file, view.as_deref(), &fates).ok_or(FixError::Containers)?;
    facts.unmoved = unmoved;
    facts.code.1 = facts.code.1.saturating_add(unmoved);
    facts.not_compacted = not_compacted;
    let Some(plan) = plan else { return nothing(SlimOutcome::Conforms(facts)) };
    if view.as_ref().is_some_and(|view| driver_of(view).is_some()) {
        return nothing(SlimOutcome::Skipped(Skip::DriverLibrary));
    }
    if let Some(signature) = signature_of(opened, view.as_deref())? {
        return nothing(SlimOutcome::Skipped(Skip::Signed(signature)));
    }
    if carries_journal(file) || (view.is_some() && has_payload(file)) {
        return nothing(SlimOutcome::Skipped(Skip::Payload));
    }
    Ok(Decided::Planned(facts, plan))
}
