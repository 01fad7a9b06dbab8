//! What does not fit in one process: of a program with all that it loads, of a library by itself.

use std::sync::Arc;

use bstr::BString;

use crate::cdi::ContainerState;
use crate::elf::imports::{Binding, Imports};
use crate::loader::{End, Process, Search, SymbolScope, System, UnmetVersion, unmet_versions};

/// A symbol that an object asks for and that nothing in its process has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MissingSymbol {
    /// Who asks.
    pub(super) by: BString,
    /// Its name.
    pub(super) name: BString,
    /// The version that is asked for.
    pub(super) version: Option<BString>,
    /// The file that should have that, as the need names it.
    pub(super) file: Option<BString>,
    /// What that file is in the process.
    pub(super) place: Option<BString>,
    /// When the loader looks for it.
    pub(super) binding: Binding,
    /// That file has it, and no versions at all: glibc stops with an assertion.
    pub(super) is_unversioned: bool,
    /// Nothing else that may be in the process would have it: the file that should is there.
    pub(super) is_certain: bool,
    /// How that file is known where no version names it.
    pub(super) family: Option<SymbolFamily>,
}

/// Symbols that begin alike, all of which one library has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SymbolFamily {
    /// How they begin.
    pub(super) word: BString,
    /// How many of them the object gets from the library.
    pub(super) bound: usize,
}

/// What does not fit in the process of one object.
#[derive(Clone, Debug, Default)]
pub(super) struct Misfits {
    /// SymbolVersions, in the order in which the loader would complain.
    pub(super) versions: Vec<UnmetVersion>,
    /// Symbols, in the order in which the objects are loaded.
    pub(super) symbols: Vec<MissingSymbol>,
    /// Objects whose tables cannot be read, and why.
    pub(super) unreadable: Vec<(BString, Arc<str>)>,
    /// All that can be in the process is known: a program with everything that it loads.
    pub(super) is_whole: bool,
    /// Symbols that were not looked for: there are too many.
    pub(super) is_cut: bool,
}

impl Misfits {
    /// Of the program with all that it loads, or of a library by itself: what else will be in its process is not known.
    pub(super) fn of(process: &Process, searches: &[(usize, Search)], system: &System, is_cut: bool) -> Self {
        let is_lost = |(_, search): &(usize, Search)| matches!(search.end, End::NotFound | End::Fatal);
        let is_whole = process.has_program && !is_cut && !searches.iter().any(is_lost);
        let judged = if process.has_program { process.maps.len() } else { 1 };
        let unreadable = process.maps.iter().take(judged).filter_map(|map| {
            let reason = map.object.versions.as_ref().err()?;
            Some((map.object.path.clone(), Arc::clone(reason)))
        });
        Self {
            versions: (0..judged).flat_map(|index| unmet_versions(process, index, system, is_whole)).collect(),
            symbols: Vec::new(),
            unreadable: unreadable.collect(),
            is_whole,
            is_cut: false,
        }
    }

    /// What the host brings is not at hand: nothing is said of it, nor of symbols that it may have.
    pub(super) fn without_what_is_mounted(&mut self, container: &ContainerState, process: &Process) {
        let is_mounted = |path: &BString| container.is_mounted(path.as_ref());
        self.unreadable.retain(|(path, _)| !is_mounted(path));
        if process.maps.iter().any(|map| is_mounted(&map.object.path)) {
            self.symbols.clear();
        }
    }

    /// Takes in what a scope could not do.
    pub(super) fn take_from(&mut self, scope: &SymbolScope<'_>) {
        self.is_cut |= scope.is_cut();
        for (path, reason) in scope.problems() {
            if !self.unreadable.iter().any(|(known, _)| *known == path) {
                self.unreadable.push((path, reason));
            }
        }
    }
}

/// What a library asks for that its own tree does not have: whatever loads it may.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// What is left open.
    pub(super) open: Imports,
    /// The files that have the rest. Where a process has other ones, everything is asked again.
    pub(super) providers: Vec<(u64, u64)>,
    /// What is certain of the library by itself.
    pub(super) misfits: Misfits,
}
