//! One search: every place in order, with what was found there.

use std::cell::Cell;
use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};

use super::ask::Ask;
use super::object::Object;
use crate::elf::machine::Machine;
use crate::runpath::{Directory, is_recognised_compat};

/// What a CPU can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cpu {
    /// The machine that it is of.
    pub(crate) machine: &'static Machine,
    /// Names of `glibc-hwcaps` folders that it can use, best first.
    pub(crate) hwcaps: Vec<BString>,
    /// What glibc's loader calls it, which is `$PLATFORM`.
    pub(crate) platform: &'static str,
}

/// What a person may want to be different.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// LD_LIBRARY_PATH.
    pub(crate) library_path: Option<BString>,
    /// LD_PRELOAD.
    pub(crate) preload: Option<BString>,
    /// Where the program is started; relative entries are not followed without one.
    pub(crate) working_directory: Option<BString>,
    /// The CPU; one that has everything where none is meant.
    pub(crate) cpu: Option<Cpu>,
    /// Directories to search as if they did not exist.
    pub(crate) without: Vec<Directory>,
    /// The same for every recognised cuda_compat directory.
    pub(crate) without_compat: bool,
}

impl Environment {
    pub(super) fn ignores(&self, directory: &BStr) -> bool {
        (self.without_compat && is_recognised_compat(directory))
            || self.without.iter().any(|d| d.is_named_by(directory))
    }
}

/// Why a place is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StepSource {
    /// It is in the process already.
    Loaded,
    /// The name has a slash: nothing is searched.
    Path,
    /// DT_RPATH of the object at this path, which may be one that loaded the asking one.
    Rpath(BString),
    /// LD_LIBRARY_PATH.
    LibraryPath,
    /// DT_RUNPATH of the object at this path: the asking one, or with musl one that loaded it.
    Runpath(BString),
    /// `ld.so.cache`.
    Cache,
    /// Built into the loader, or for musl in its `.path` file.
    Default,
}

/// What came of a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StepOutcome {
    /// The search ends here, with this object.
    Hit,
    /// No such file.
    Miss,
    /// No such directory.
    NoDirectory,
    /// A relative directory, and it is not known where the program is started.
    Relative,
    /// Left out on request.
    Ignored,
    /// It is in a default directory, and the object has DF_1_NODEFLIB: the search goes on.
    Refused,
    /// It may not be opened: the search goes on.
    Forbidden,
    /// Opening it fails for another reason. glibc's search leaves the list of directories, musl's ends.
    Broken(&'static str),
    /// An object of the other ELF class: the search goes on.
    OtherClass,
    /// An object of another machine: the search goes on.
    OtherMachine(&'static Machine),
    /// No object that can be loaded: the search ends with an error.
    Fatal(Arc<str>),
    /// A token that has no value here or is not allowed: glibc ignores the entry, musl the whole path.
    UnknownToken,
}

/// One place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Why it is looked at.
    pub(crate) source: StepSource,
    /// The entry as it is written; empty where there is none.
    pub(crate) written: BString,
    /// The directory or file that it stands for.
    pub(crate) place: BString,
    /// What came of it.
    pub(crate) outcome: StepOutcome,
}

/// Bytes of a place that count as one more.
const LONG: usize = 256;

impl Step {
    /// What it takes to look at it and to keep it, in places.
    pub(super) fn cost(&self) -> usize {
        let bytes = self.written.len().saturating_add(self.place.len());
        bytes.checked_div(LONG).unwrap_or(0).saturating_add(1)
    }

    /// The directory that is looked at.
    #[must_use]
    pub(crate) fn directory(&self) -> &BStr {
        match self.outcome {
            StepOutcome::NoDirectory | StepOutcome::Relative | StepOutcome::Ignored | StepOutcome::UnknownToken => {
                self.place.as_bstr()
            }
            _ => self.place.rsplit_once_str("/").map_or(self.place.as_bstr(), |(directory, _)| directory.as_bstr()),
        }
    }
}

/// How a search ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With this object, opened under this path.
    Found(Arc<Object>, BString),
    /// With an object that is in the process already, by its index.
    Loaded(usize),
    /// With the loader itself, which every process has.
    Interpreter,
    /// With nothing.
    NotFound,
    /// With an error before the list was over.
    Fatal,
}

/// A whole search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// The name asked for.
    pub name: BString,
    /// How.
    pub(crate) ask: Ask,
    /// The same with its tokens expanded, where the loader does that.
    pub(crate) expanded: BString,
    /// Every place in order.
    pub(crate) steps: Vec<Step>,
    /// What came of it.
    pub(crate) end: End,
}

impl Search {
    /// The place that wins.
    #[must_use]
    pub(crate) fn hit(&self) -> Option<&Step> {
        self.steps.last().filter(|step| step.outcome == StepOutcome::Hit)
    }

    /// What it took of [`MOST_PLACES`]; even a name that is known at once is one.
    pub(super) fn cost(&self) -> usize {
        self.steps.iter().map(Step::cost).fold(0, usize::saturating_add).max(1)
    }
}

/// How many places may still be looked at: all searches for one process together draw on it.
#[derive(Debug)]
pub(crate) struct Patience(Cell<usize>);

impl Patience {
    /// For so many places.
    #[must_use]
    pub(crate) fn of(places: usize) -> Self {
        Self(Cell::new(places))
    }

    /// How many are left.
    pub(super) fn left(&self) -> usize {
        self.0.get()
    }

    pub(super) fn spend(&self, places: usize) {
        self.0.set(self.left().saturating_sub(places));
    }

    /// Whether something was not looked at.
    pub(crate) fn is_over(&self) -> bool {
        self.left() == 0
    }
}

/// As many places are looked at for all that is loaded together. No real program needs a hundredth of them;
/// a file of a few kilobytes can ask for billions.
pub(crate) const MOST_PLACES: usize = 1 << 18;

/// A directory as both sides of a comparison write it; `/` stays.
pub(super) fn without_slashes(directory: &BStr) -> &BStr {
    let mut trimmed = directory.as_bytes();
    while let Some(rest) = trimmed.strip_suffix(b"/") {
        trimmed = rest;
    }
    if trimmed.is_empty() && !directory.is_empty() { "/".into() } else { trimmed.into() }
}
