//! What became of a file: a change, a skip and a failure are three things.

use std::io;
use std::path::PathBuf;

use bstr::BString;

use super::clean::CleanError;
use super::scripts::Scripts;
use super::signature::Signature;
use crate::elf::class::Class;
use crate::elf::dynamic::TagSet;
use crate::elf::error::ParseError;
use crate::elf::machine::Machine;
use crate::elf::plan::{DynamicSlot, PlanError, Stage, Strategy};
use crate::elf::verify::VerifyError;
use crate::elf::view::NotApplicable;
use crate::fsio::{EditError, FileError, How, StoreRefusal, Undo};

/// One file's result.
#[derive(Debug)]
pub(crate) struct FileReport {
    /// The path below the argument as given.
    pub(crate) path: PathBuf,
    /// What kind of object it is, as far as that was read.
    pub(crate) object: Option<ObjectBrief>,
    /// What became of it.
    pub(crate) outcome: Outcome,
}

impl FileReport {
    /// Whether the file may be missed after all: a script could ask for the driver through it.
    #[must_use]
    pub(crate) fn may_be_asked_through(&self) -> bool {
        matches!(self.outcome, Outcome::LeftAlone(_)) && Scripts::may_ask_through(&self.path)
    }

    /// The report with what scripts say: a file that one asks for the driver through is missed.
    #[must_use]
    pub(crate) fn told_by(mut self, scripts: &Scripts) -> Self {
        if scripts.asked_through(&self.path).is_some() {
            self.outcome = match self.outcome {
                Outcome::LeftAlone(error) => Outcome::Failed(error),
                other => other,
            };
        }
        self
    }

    /// Lets go of what takes the edit back, once that is told: of each of many files it would be a kilobyte.
    pub(super) fn forget_undo(&mut self) {
        if let Outcome::Changed(change) = &mut self.outcome {
            change.undo = None;
        }
    }
}

/// What an object is, before anything else about it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ObjectBrief {
    /// EI_CLASS
    pub(crate) class: Class,
    /// The machine that it is for.
    pub(crate) machine: &'static Machine,
    /// Whether it asks for a driver library; unknown where no option needs it.
    pub(crate) is_consumer: Option<bool>,
}

/// What became of a file.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Its path was changed, or would be.
    Changed(Box<PathChange>),
    /// Its path is what it should be.
    Conforms {
        /// The path; `None` without a tag.
        path: Option<BString>,
        /// The path tags that it has.
        tag: TagSet,
    },
    /// It is not for this program.
    Skipped(Skip),
    /// It cannot be edited, and asks for no driver library: it is as it was, and nothing is missed.
    LeftAlone(Box<FixError>),
    /// Something is wrong with it or with writing it; it is as it was.
    Failed(Box<FixError>),
}

/// A changed path.
#[derive(Debug)]
pub(crate) struct PathChange {
    /// The canonical path of the file.
    pub(crate) real: PathBuf,
    /// The path before; `None` without a tag.
    pub(crate) before: Option<BString>,
    /// The path after; `None` when the tag went.
    pub(crate) after: Option<BString>,
    /// The path tags before.
    pub(crate) tag_before: TagSet,
    /// The path tag after.
    pub(crate) tag_after: TagSet,
    /// Where the string went.
    pub(crate) strategy: Strategy,
    /// Which dynamic entry holds it.
    pub(crate) slot: DynamicSlot,
    /// The writes: stage, file offset and bytes.
    pub(crate) patches: Vec<(Stage, u64, u64)>,
    /// Bytes written.
    pub(crate) written: u64,
    /// Bytes that the file grew by.
    pub(crate) growth: u64,
    /// How it was written; `None` when it only would be.
    pub(crate) how: Option<How>,
    /// What a person should know.
    pub(crate) notes: Vec<String>,
    /// How to take it back; `None` when nothing was written, or no receipt is written.
    pub(crate) undo: Option<Undo>,
}

/// Why a file was left alone.
#[derive(Clone, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Skip {
    /// It has no search path, or must not have one.
    #[strum(transparent)]
    NotApplicable(NotApplicable),
    /// Another machine or class than the wanted one.
    OtherMachine,
    /// It asks for no driver library and only those that do were wanted.
    NoConsumer,
    /// Another name of a file that was already done.
    SameFile(PathBuf),
    /// A library of the driver itself: its own search is the driver's business, and compat's that of compat's package.
    DriverLibrary,
    /// It verifies itself, or something does: an edit would make it fail.
    Signed(Signature),
    /// Something stands behind the object that may belong to its bytes as they are.
    Payload,
    /// A temporary file of this program: of a run that is at work, or of one that was killed.
    Temporary,
}

impl Skip {
    /// The word used in every output format.
    #[must_use]
    pub(crate) fn name(&self) -> &'static str {
        self.into()
    }

    /// Whether the file is not even ELF: then it is counted, not listed.
    #[must_use]
    pub(crate) fn is_not_elf(&self) -> bool {
        *self == Self::NotApplicable(NotApplicable::NotElf)
    }
}

/// Why a file could not be done.
#[derive(Debug, thiserror::Error)]
pub enum FixError {
    /// It could not be walked.
    #[error("cannot read it")]
    Walk(#[source] io::Error),
    /// It could not be opened, read or mapped.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is ELF and contradicts itself.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// There is no safe place for the path.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// It asks for a driver library, and what verifies it would refuse it after an edit.
    #[error("it asks for a driver library, and {0}; --only NAME edits it all the same")]
    Signed(Signature),
    /// `--clean` cannot tell what may go.
    #[error(transparent)]
    Clean(#[from] CleanError),
    /// The plan would not make the object that was wanted.
    #[error("refused, because the planned edit is wrong")]
    Verify(#[from] VerifyError),
    /// The edit failed and was taken back.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// Its containers contradict each other.
    #[error("the containers of its GPU code share bytes, or are longer than they are")]
    Containers,
    /// It is in the Nix store.
    #[error(transparent)]
    Store(#[from] StoreRefusal),
}

impl FixError {
    /// What each rung of the ladder has against the file, where none takes it.
    #[must_use]
    pub(crate) fn attempts(&self) -> &[(Strategy, &'static str)] {
        if let Self::Plan(error) = self { error.attempts() } else { &[] }
    }
}
