//! One file from its first bytes to its result, and a tree of them.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use bstr::{BStr, BString, ByteSlice};

use super::clean;
use super::discover::Found;
use super::first_names::FirstNames;
use super::lent::{Loans, Tie, Ties, leads_anywhere};
use super::outcome::{FileReport, FixError, ObjectBrief, Outcome, PathChange, Skip};
use super::run::Workers;
use super::scripts::Scripts;
use super::signature::Signatures;
use super::surroundings::Surroundings;
use crate::check::stale_hints;
use crate::cuda::{Consumer, DriverLibraries, driver_of};
use crate::elf::class::ByClass;
use crate::elf::data::DataMap;
use crate::elf::dynamic::PathTags;
use crate::elf::journal_mark::carries_journal;
use crate::elf::ldcache;
use crate::elf::machine::Machine;
use crate::elf::plan::{self, Atomicity, PathTag, Plan, PlanError};
use crate::elf::verify::verify;
use crate::elf::view::{ElfView, NotApplicable, Subject};
use crate::fsio::{self, ImagePath, Opened, Secret, Store, WriteMode};
use crate::loader;
use crate::runpath::{
    Actions, Decision, Directory, Policy, SearchPath, Setting, TagPolicy, decide, is_recognised_compat,
};

/// Whether files are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writing {
    /// Only say what would be done.
    Nothing,
    /// Do it.
    Files(WriteMode),
}

/// Everything that decides about a file, beside the file.
#[derive(Debug)]
pub(crate) struct FixSettings {
    /// The policy for objects of each class.
    pub(crate) policy: ByClass<Policy>,
    /// Which tag holds the path.
    pub(crate) tag: TagPolicy,
    /// Only objects that ask for a driver library.
    pub(crate) only_consumers: bool,
    /// Find out who asks for a driver library, without skipping the others.
    pub(crate) count_consumers: bool,
    /// What the scripts among the files ask for, where one of the two needs it.
    pub(crate) scripts: Scripts,
    /// What the walk told of signatures.
    pub(crate) signatures: Signatures,
    /// Where things are looked up.
    pub(crate) surroundings: Surroundings,
    /// Look up which entries can go.
    pub(crate) is_cleaning: bool,
    /// The names that make an object one of them.
    pub(crate) libraries: DriverLibraries,
    /// Only objects of these machines; of all when there is none.
    pub(crate) machines: Vec<&'static Machine>,
    /// Whether to write, and how.
    pub(crate) writing: Writing,
    /// How each edit is taken back is told.
    pub(crate) has_receipt: bool,
    /// What has a signature was named, and is edited all the same.
    pub(crate) edits_signed: bool,
    /// What cannot be edited is a failure, whether it asks for the driver or not.
    pub(crate) is_strict: bool,
    /// What may not be written.
    pub(crate) store: Store,
    /// Of a copy, device and inode of what was made: another user can have put other files there.
    pub(crate) only_made: Option<HashSet<(u64, u64)>>,
    /// What tells the journals of this user's runs from others.
    pub(crate) secret: Secret,
}

/// What the first look at a file gives.
enum FirstLook {
    Done(FileReport),
    /// It has no DT_RUNPATH: the others decide about its tag. The report is right where they have no DT_RPATH.
    Waits(Found, Tie, Option<FileReport>),
    /// Another name of an inode that may be in the list twice.
    Linked(Found, (u64, u64), Option<Tie>),
}

/// What is left when the others have decided.
enum SecondLook {
    Done(FileReport),
    Linked(Found, (u64, u64)),
}

/// Does every file of a list; the reports are in its order. `done` hears of each as soon as it is finished.
pub(crate) fn fix(
    files: Vec<Found>,
    settings: &FixSettings,
    workers: &Workers,
    done: &(dyn Fn(&FileReport) + Sync),
) -> Vec<FileReport> {
    let steps = workers.run(files, |found| {
        let mut step = first_look(found, settings);
        if let FirstLook::Done(report) = &mut step {
            done(report);
            report.forget_undo();
        }
        step
    });
    let loans = loans(&steps, settings, workers);
    let steps = workers.run(steps, |step| match step {
        FirstLook::Done(report) => SecondLook::Done(report),
        FirstLook::Linked(found, inode, _) => SecondLook::Linked(found, inode),
        FirstLook::Waits(found, _, early) => {
            let early = early.filter(|_| loans.is_none());
            let mut report = early.unwrap_or_else(|| fix_found(found, settings, loans.as_ref()));
            done(&report);
            report.forget_undo();
            SecondLook::Done(report)
        }
    });
    let mut first_names = FirstNames::default();
    let finish = |step| match step {
        SecondLook::Done(report) => report,
        SecondLook::Linked(found, inode) => match first_names.of(inode) {
            Some(first) => report(found.shown.into_path(), None, Outcome::Skipped(Skip::SameFile(first.to_owned()))),
            None => {
                let name = found.clone();
                let mut finished = fix_found(found, settings, loans.as_ref());
                first_names.note(&name, inode);
                done(&finished);
                finished.forget_undo();
                finished
            }
        },
    };
    steps.into_iter().map(finish).collect()
}

/// What objects find through each other's DT_RPATH; `None` where none has one that leads anywhere.
fn loans(steps: &[FirstLook], settings: &FixSettings, workers: &Workers) -> Option<Loans> {
    let surroundings = &settings.surroundings;
    let tied = steps.iter().filter_map(|step| match step {
        FirstLook::Waits(found, tie, _) | FirstLook::Linked(found, _, Some(tie)) => Some((found, tie)),
        FirstLook::Linked(_, _, None) | FirstLook::Done(_) => None,
    });
    let path_of = |found: &Found| surroundings.path_of(&found.stands_for());
    let is_lender = |(found, tie): (&Found, &Tie)| {
        let Tie::Lender(path) = tie else { return false };
        let place = path_of(found);
        let origin = place.as_path().parent().map(|parent| parent.as_os_str().as_bytes()).unwrap_or_default();
        leads_anywhere(&surroundings.world, path.as_bstr(), origin.as_bstr())
    };
    if !tied.clone().any(is_lender) {
        return None;
    }
    let paths: Vec<ImagePath> = tied.map(|(found, _)| path_of(found)).collect();
    let gives_driver = matches!(settings.policy.elf64.actions, Actions::Compose { driver: true, .. });
    Some(Loans::find(&surroundings.world, &paths, gives_driver, workers))
}

/// Whether a file's tag depends on other files.
fn asks_others(settings: &FixSettings) -> bool {
    settings.tag != TagPolicy::Runpath
}

fn first_look(found: Found, settings: &FixSettings) -> FirstLook {
    if found.is_temporary() {
        return FirstLook::Done(report(found.shown.into_path(), None, Outcome::Skipped(Skip::Temporary)));
    }
    match found.open_with(fsio::sniff) {
        Err(error) => FirstLook::Done(report(found.shown.into_path(), None, failed(error))),
        Ok(None) => {
            let skip = Skip::NotApplicable(NotApplicable::NotElf);
            FirstLook::Done(report(found.shown.into_path(), None, Outcome::Skipped(skip)))
        }
        Ok(Some(opened)) if opened.identity.links > 1 => {
            let tie = asks_others(settings).then(|| tie_of(&opened)).flatten();
            FirstLook::Linked(found, opened.identity.inode, tie)
        }
        Ok(Some(opened)) => {
            let is_told_early = settings.writing == Writing::Nothing || !asks_others(settings);
            if !is_told_early && let Some(tie) = tie_of(&opened) {
                return FirstLook::Waits(found, tie, None);
            }
            let name = found.clone();
            let mut seen = SeenObject::default();
            let report = fix_opened(found, opened, settings, None, &mut seen);
            match seen.tie.filter(|_| is_told_early && asks_others(settings)) {
                None => FirstLook::Done(report),
                Some(tie) => FirstLook::Waits(name, tie, Some(report)),
            }
        }
    }
}

fn tie_of(opened: &Opened) -> Option<Tie> {
    match Subject::parse(opened.bytes()) {
        Ok(Subject::Object(view)) => Tie::of(&view),
        Ok(Subject::NotApplicable(_)) | Err(_) => None,
    }
}

fn fix_found(found: Found, settings: &FixSettings, loans: Option<&Loans>) -> FileReport {
    match found.open_with(fsio::open) {
        Ok(opened) => fix_opened(found, opened, settings, loans, &mut SeenObject::default()),
        Err(error) => report(found.shown.into_path(), None, failed(error)),
    }
}

/// What becomes of an object that cannot be edited: to leave it alone costs nothing where it asks for no driver.
fn refuse(
    found: &Found,
    opened: &Opened,
    settings: &FixSettings,
    object: &mut Option<ObjectBrief>,
    error: FixError,
) -> Outcome {
    let is_refusal = matches!(error, FixError::Plan(PlanError::NoPlace(_)) | FixError::Verify(_));
    if !is_refusal || settings.is_strict || asks(found, opened, settings, object) {
        return failed(error);
    }
    Outcome::LeftAlone(Box::new(error))
}

/// Whether an object asks for a driver library. What cannot be told counts.
fn asks(found: &Found, opened: &Opened, settings: &FixSettings, object: &mut Option<ObjectBrief>) -> bool {
    let Some(seen) = object else { return true };
    *seen.is_consumer.get_or_insert_with(|| {
        let data = opened.data();
        let view = Subject::parse_sparse(opened.bytes(), &data);
        let Ok(Subject::Object(view)) = view else { return true };
        asks_of(found, &view, settings)
    })
}

fn asks_of(found: &Found, view: &ElfView<'_>, settings: &FixSettings) -> bool {
    settings.scripts.asked_through(found.shown.as_path()).is_some() || Consumer::of(view, &settings.libraries).asks()
}

fn report(path: PathBuf, object: Option<ObjectBrief>, outcome: Outcome) -> FileReport {
    FileReport { path, object, outcome }
}

fn failed(error: impl Into<FixError>) -> Outcome {
    Outcome::Failed(Box::new(error.into()))
}

/// What was seen of an object before its outcome was clear.
#[derive(Default)]
struct SeenObject {
    object: Option<ObjectBrief>,
    tie: Option<Tie>,
}

fn fix_opened(
    found: Found,
    opened: Opened,
    settings: &FixSettings,
    loans: Option<&Loans>,
    seen: &mut SeenObject,
) -> FileReport {
    let outcome = fix_object(&found, opened, settings, loans, seen);
    report(found.shown.into_path(), seen.object, outcome.unwrap_or_else(failed))
}

/// A change that is decided and planned, and no longer borrows the file.
struct Planned {
    change: plan::Change,
    plan: Plan,
    report: PathChange,
}

fn fix_object(
    found: &Found,
    opened: Opened,
    settings: &FixSettings,
    loans: Option<&Loans>,
    seen: &mut SeenObject,
) -> Result<Outcome, FixError> {
    if settings.only_made.as_ref().is_some_and(|made| !made.contains(&opened.identity.inode)) {
        return Err(fsio::EditError::ChangedMeanwhile.into());
    }
    let is_interrupted = opened.is_interrupted(&settings.secret);
    let opened = if is_interrupted { take_back(opened, settings)? } else { opened };
    let planned = plan_object(found, &opened, settings, loans, seen);
    opened.check_whole()?;
    let planned = match planned {
        Ok(Ok(planned)) => planned,
        Ok(Err(outcome)) => return Ok(outcome),
        Err(error) => return Ok(refuse(found, &opened, settings, &mut seen.object, error)),
    };
    let Planned { change, plan, mut report } = planned;
    if is_interrupted {
        report.notes.push(fsio::Remark::TakenBack.text());
    }
    if carries_journal(opened.bytes()) {
        report.notes.push(fsio::Remark::ForeignJournal.text());
    }
    match settings.writing {
        Writing::Nothing => {
            let verified = verify(opened.bytes(), plan, &change);
            opened.check_whole()?;
            if let Err(error) = verified {
                return Ok(refuse(found, &opened, settings, &mut seen.object, error.into()));
            }
        }
        Writing::Files(mode) => {
            let admitted = settings.store.admit(opened)?;
            let verified = match verify(admitted.opened().bytes(), plan, &change) {
                Ok(verified) => verified,
                Err(error) => return Ok(refuse(found, admitted.opened(), settings, &mut seen.object, error.into())),
            };
            let committed = fsio::commit(admitted, &verified, mode, &settings.secret)?;
            report.how = Some(committed.how);
            report.notes.extend(committed.notes.iter().map(fsio::Remark::text));
            report.undo = settings.has_receipt.then(|| committed.finished.undo());
        }
    }
    Ok(Outcome::Changed(Box::new(report)))
}

/// A half-written file says nothing about what it should be: the old one decides.
fn take_back(opened: Opened, settings: &FixSettings) -> Result<Opened, FixError> {
    if settings.writing == Writing::Nothing {
        return Err(fsio::EditError::Interrupted.into());
    }
    Ok(fsio::take_back(settings.store.admit(opened)?, &settings.secret)?)
}

/// Reads, decides and plans; the inner error is an outcome that needs no plan.
fn plan_object(
    found: &Found,
    opened: &Opened,
    settings: &FixSettings,
    loans: Option<&Loans>,
    seen: &mut SeenObject,
) -> Result<Result<Planned, Outcome>, FixError> {
    // What looks through code for an address passes over holes.
    let is_sparse = opened.identity.blocks < opened.identity.len;
    let reads_data = settings.only_consumers || settings.count_consumers || settings.is_cleaning || is_sparse;
    let data = if reads_data { opened.data() } else { DataMap::default() };
    let view = match Subject::parse_sparse(opened.bytes(), &data)? {
        Subject::Object(view) => view,
        Subject::NotApplicable(reason) => return Ok(Err(Outcome::Skipped(Skip::NotApplicable(reason)))),
    };
    seen.tie = Tie::of(&view);
    let object =
        seen.object.insert(ObjectBrief { class: view.encoding.class(), machine: view.machine(), is_consumer: None });
    if !settings.machines.is_empty() && !settings.machines.contains(&object.machine) {
        return Ok(Err(Outcome::Skipped(Skip::OtherMachine)));
    }
    if settings.only_consumers || settings.count_consumers {
        let asks = asks_of(found, &view, settings);
        object.is_consumer = Some(asks);
        if settings.only_consumers && !asks {
            return Ok(Err(Outcome::Skipped(Skip::NoConsumer)));
        }
    }
    let (stands_for, surroundings) = (found.stands_for(), &settings.surroundings);
    let ties = Ties::of(loans, surroundings, &stands_for);
    let usual = settings.policy.get(view.encoding.class());
    let cleaned = if settings.is_cleaning {
        let place = surroundings.path_of(&stands_for);
        let lent: Vec<BString> = ties.lent.iter().map(|loan| loan.library.clone()).collect();
        Some(clean::for_object(usual, &view, place.as_path(), &surroundings.world, &lent)?)
    } else {
        None
    };
    let policy = cleaned.as_ref().map_or(usual, |(policy, _)| policy);
    let setting = setting_of(stands_for.as_path(), policy);
    let mut change = decide_change(&view, policy, settings.tag, &ties, setting);
    // A link to a managed directory is as good as its name.
    if change.is_some()
        && let Some(spelled) = surroundings.as_spelled(policy, view.search_path(), &stands_for)
    {
        change = decide_change(&view, &spelled, settings.tag, &ties, setting);
    }
    let change = change.or_else(|| renew_note(&view, policy));
    let Some(change) = change else {
        let path = view.search_path().map(ToOwned::to_owned);
        return Ok(Err(Outcome::Conforms { path, tag: view.path_tags().set() }));
    };
    // A Jetson's compat finds the board support through a path that its package gives to it.
    if setting == Setting::Ordinary && driver_of(&view).is_some() {
        return Ok(Err(Outcome::Skipped(Skip::DriverLibrary)));
    }
    let signature = settings.signatures.of(found, opened, &view)?;
    if let Some(signature) = signature.as_ref().filter(|_| !settings.edits_signed) {
        let asks = *object.is_consumer.get_or_insert_with(|| asks_of(found, &view, settings));
        if asks {
            return Err(FixError::Signed(signature.clone()));
        }
        return Ok(Err(Outcome::Skipped(Skip::Signed(signature.clone()))));
    }
    let atomicity = if opened.identity.links > 1 { Atomicity::Prefixes } else { Atomicity::Replace };
    let plan = plan::plan(&view, &change, atomicity)?;
    let mut report = describe(found.real().into_path(), &view, &change, &plan);
    report.notes.extend(signature.map(|signature| format!("{signature}; it has to be made anew")));
    report.notes.extend(ties.note(settings.tag, report.tag_after));
    let kept = cleaned.iter().flat_map(|(_, kept)| kept);
    report.notes.extend(kept.map(|kept| format!("keeps {}: no other entry has {}", kept.entry, kept.library)));
    Ok(Ok(Planned { change, plan, report }))
}

/// Compat is never put into the path of a file that lies in a compat directory.
fn setting_of(real: &Path, policy: &Policy) -> Setting {
    let Some(parent) = real.parent() else { return Setting::Ordinary };
    let parent: &BStr = parent.as_os_str().as_bytes().as_bstr();
    let given = policy.compat.iter().any(|compat: &Directory| compat.is_named_by(parent));
    if given || is_recognised_compat(parent) { Setting::InsideCompat } else { Setting::Ordinary }
}

/// The policy's answer, with the tag that goes with it; `None` when everything is as it should be.
fn decide_change(
    view: &ElfView<'_>,
    policy: &Policy,
    tag: TagPolicy,
    ties: &Ties<'_>,
    setting: Setting,
) -> Option<plan::Change> {
    let tags = view.path_tags();
    let only_rpath = matches!(tags, PathTags::Rpath(_));
    let target = match tag {
        TagPolicy::Runpath => PathTag::Runpath,
        TagPolicy::Rpath => PathTag::Rpath,
        TagPolicy::Keep if only_rpath => PathTag::Rpath,
        TagPolicy::Auto | TagPolicy::Keep if ties.are_there() => PathTag::Rpath,
        TagPolicy::Auto | TagPolicy::Keep => PathTag::Runpath,
    };
    match decide(view.search_path(), policy, setting) {
        Decision::Set(path) => Some(plan::Change::Set { tag: target, path: path.to_bstring() }),
        Decision::Remove => Some(plan::Change::Remove),
        Decision::Conforms => {
            let current = if only_rpath { PathTag::Rpath } else { PathTag::Runpath };
            let path = view.search_path().filter(|_| current != target && renames_tags(policy, tag))?;
            Some(plan::Change::Set { tag: target, path: path.to_owned() })
        }
    }
}

/// A resolution cache note that disagrees with a path that is right: the same path again, which drops the note.
fn renew_note(view: &ElfView<'_>, policy: &Policy) -> Option<plan::Change> {
    let note = ldcache::find(view)?;
    let path = view.search_path()?;
    let hints = loader::hints(note.descriptor.of(view.bytes)?);
    let needed: Vec<BString> = view.needed().map(ToOwned::to_owned).collect();
    stale_hints(&hints, needed.iter(), &SearchPath::parse(path), policy).next()?;
    let is_rpath = matches!(view.path_tags(), PathTags::Rpath(_));
    let tag = if is_rpath { PathTag::Rpath } else { PathTag::Runpath };
    Some(plan::Change::Set { tag, path: path.to_owned() })
}

/// Actions that put something in front say what the path is, and with it the tag; the others only repair entries.
fn renames_tags(policy: &Policy, tag: TagPolicy) -> bool {
    tag == TagPolicy::Rpath || matches!(policy.actions, Actions::Compose { compat, driver, .. } if compat || driver)
}

fn describe(real: PathBuf, view: &ElfView<'_>, change: &plan::Change, plan: &Plan) -> PathChange {
    let range = |patch: &plan::Patch| patch.range().map(|range| (patch.stage, range.start().get(), range.len()));
    PathChange {
        real,
        before: view.search_path().map(ToOwned::to_owned),
        after: change.path().map(ToOwned::to_owned),
        tag_before: view.path_tags().set(),
        tag_after: change.tags(),
        strategy: plan.strategy,
        slot: plan.slot,
        patches: plan.patches.iter().filter_map(range).collect(),
        written: plan.written(),
        growth: plan.growth(),
        how: None,
        notes: plan.warnings.iter().map(|warning| warning.text().to_owned()).collect(),
        undo: None,
    }
}
