//! One file from its first bytes to its result, and a tree of them.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use bstr::{BStr, BString, ByteSlice};

use super::clean::Clean;
use super::discover::Found;
use super::outcome::{FileReport, FixError, ObjectBrief, Outcome, PathChange, Skip};
use super::run::Workers;
use super::scripts::Scripts;
use super::signature::Signatures;
use crate::check::stale_hints;
use crate::cuda::{Consumer, DriverLibraries, driver_of};
use crate::elf::class::ByClass;
use crate::elf::data::DataMap;
use crate::elf::dynamic::PathTags;
use crate::elf::journal_mark::carries_journal;
use crate::elf::ldcache;
use crate::elf::machine::Machine;
use crate::elf::plan::{self, Atomicity, PathTag, Plan};
use crate::elf::verify::verify;
use crate::elf::view::{ElfView, NotApplicable, Subject};
use crate::fsio::{self, Opened, Secret, Store, WriteMode};
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
    /// Look up what `--clean` needs to know of the machine.
    pub(crate) clean: Option<Clean>,
    /// The names that make an object one of them.
    pub(crate) libraries: DriverLibraries,
    /// Only objects of these machines; of all when there is none.
    pub(crate) machines: Vec<&'static Machine>,
    /// Whether to write, and how.
    pub(crate) writing: Writing,
    /// How each edit is taken back is told.
    pub(crate) has_receipt: bool,
    /// What may not be written.
    pub(crate) store: Store,
    /// What tells the journals of this user's runs from others.
    pub(crate) secret: Secret,
}

/// What the first look at a file gives: a result, or another name of an inode that may be in the list twice.
enum FirstLook {
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
    // Names of one inode must be done one after the other: the first one in path order stands for all.
    let mut first_names: HashMap<(u64, u64), PathBuf> = HashMap::new();
    let finish = |step| match step {
        FirstLook::Done(report) => report,
        FirstLook::Linked(found, inode) => match first_names.get(&inode) {
            Some(first) => report(found.shown.into_path(), None, Outcome::Skipped(Skip::SameFile(first.clone()))),
            None => {
                let name = found.clone();
                let mut finished = match found.open_with(fsio::open) {
                    Ok(opened) => fix_opened(found, opened, settings),
                    Err(error) => report(found.shown.into_path(), None, failed(error)),
                };
                // On overlayfs a name leaves the others when the file is written to: they are still to be done.
                if name.open_with(|spot, path| fsio::inode_of(&spot, path)).is_ok_and(|now| now == inode) {
                    first_names.insert(inode, name.shown.into_path());
                }
                done(&finished);
                finished.forget_undo();
                finished
            }
        },
    };
    steps.into_iter().map(finish).collect()
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
        Ok(Some(opened)) if opened.identity.links > 1 => FirstLook::Linked(found, opened.identity.inode),
        Ok(Some(opened)) => FirstLook::Done(fix_opened(found, opened, settings)),
    }
}

fn report(path: PathBuf, object: Option<ObjectBrief>, outcome: Outcome) -> FileReport {
    FileReport { path, object, outcome }
}

fn failed(error: impl Into<FixError>) -> Outcome {
    Outcome::Failed(Box::new(error.into()))
}

fn fix_opened(found: Found, opened: Opened, settings: &FixSettings) -> FileReport {
    let mut object = None;
    let outcome = fix_object(&found, opened, settings, &mut object);
    report(found.shown.into_path(), object, outcome.unwrap_or_else(failed))
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
    object: &mut Option<ObjectBrief>,
) -> Result<Outcome, FixError> {
    let is_interrupted = opened.is_interrupted(&settings.secret);
    let opened = if is_interrupted { take_back(opened, settings)? } else { opened };
    let planned = plan_object(found, &opened, settings, object);
    opened.check_whole()?;
    let planned = match planned? {
        Ok(planned) => planned,
        Err(outcome) => return Ok(outcome),
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
            verified?;
        }
        Writing::Files(mode) => {
            let admitted = settings.store.admit(opened)?;
            let verified = verify(admitted.opened().bytes(), plan, &change)?;
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
    object: &mut Option<ObjectBrief>,
) -> Result<Result<Planned, Outcome>, FixError> {
    let data = if settings.only_consumers || settings.count_consumers { opened.data() } else { DataMap::default() };
    let view = match Subject::parse_sparse(opened.bytes(), &data)? {
        Subject::Object(view) => view,
        Subject::NotApplicable(reason) => return Ok(Err(Outcome::Skipped(Skip::NotApplicable(reason)))),
    };
    let seen = object.insert(ObjectBrief { class: view.encoding.class(), machine: view.machine(), is_consumer: None });
    if !settings.machines.is_empty() && !settings.machines.contains(&seen.machine) {
        return Ok(Err(Outcome::Skipped(Skip::OtherMachine)));
    }
    if settings.only_consumers || settings.count_consumers {
        let asks = settings.scripts.asked_through(found.shown.as_path()).is_some()
            || Consumer::of(&view, &settings.libraries).asks();
        seen.is_consumer = Some(asks);
        if settings.only_consumers && !asks {
            return Ok(Err(Outcome::Skipped(Skip::NoConsumer)));
        }
    }
    let usual = settings.policy.get(view.encoding.class());
    let clean = settings.clean.as_ref();
    let cleaned = clean.map(|clean| clean.for_object(usual, &view, &found.stands_for())).transpose()?;
    let policy = cleaned.as_ref().map_or(usual, |(policy, _)| policy);
    let setting = setting_of(found.stands_for().as_path(), policy);
    let change = decide_change(&view, policy, settings.tag, setting).or_else(|| renew_note(&view, policy));
    let Some(change) = change else {
        let path = view.search_path().map(ToOwned::to_owned);
        return Ok(Err(Outcome::Conforms { path, tag: view.path_tags().set() }));
    };
    // A Jetson's compat finds the board support through a path that its package gives to it.
    if setting == Setting::Ordinary && driver_of(&view).is_some() {
        return Ok(Err(Outcome::Skipped(Skip::DriverLibrary)));
    }
    if let Some(signature) = settings.signatures.of(found, opened) {
        return Ok(Err(Outcome::Skipped(Skip::Signed(signature))));
    }
    let atomicity = if opened.identity.links > 1 { Atomicity::Prefixes } else { Atomicity::Replace };
    let plan = plan::plan(&view, &change, atomicity)?;
    let mut report = describe(found.real().into_path(), &view, &change, &plan);
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
fn decide_change(view: &ElfView<'_>, policy: &Policy, tag: TagPolicy, setting: Setting) -> Option<plan::Change> {
    let tags = view.path_tags();
    let only_rpath = matches!(tags, PathTags::Rpath(_));
    let target = match tag {
        TagPolicy::Runpath => PathTag::Runpath,
        TagPolicy::Rpath => PathTag::Rpath,
        TagPolicy::Keep if only_rpath => PathTag::Rpath,
        TagPolicy::Keep => PathTag::Runpath,
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
