//! Where each symbol that an object asks for is bound, and who would have had one that is missing.

use bstr::{BStr, BString, ByteSlice};

use super::context::Context;
use crate::elf::imports::{Binding, Import, Imports};
use crate::loader::{
    Bound, Libc, Look, NamedFiles, Process, Search, Step, StepOutcome, StepSource, SymbolScope, System,
};

/// What became of a symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SymbolEnd {
    /// It is bound to the object at this path, which has it in this version.
    Bound(BString, Option<BString>),
    /// The object at this path is the one that should have the version, and has no versions: glibc stops with an assertion.
    Unversioned(BString),
    /// Nothing has it; the object at this path has the name in another version, or hides it.
    OtherVersion(BString),
    /// Nothing has it.
    Nothing,
}

/// A library that has a missing symbol and comes too late.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rival {
    /// Where it lies.
    pub(crate) place: BString,
    /// In which part of the search.
    pub(crate) source: StepSource,
    /// What comes before it.
    pub(crate) behind: BString,
}

/// A symbol that an object asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExplainedSymbol {
    /// Who asks.
    pub(crate) by: BString,
    /// Its name.
    pub(crate) name: BString,
    /// The version that is asked for.
    pub(crate) version: Option<BString>,
    /// The file that should have that, as the need names it.
    pub(crate) file: Option<BString>,
    /// When the loader looks for it.
    pub(crate) binding: Binding,
    /// It may stay undefined.
    pub(crate) is_weak: bool,
    /// What became of it.
    pub(crate) end: SymbolEnd,
    /// Who would have had it.
    pub(crate) rivals: Vec<Rival>,
}

/// All symbols of some objects of a process.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExplainedSymbols {
    /// In load order of those who ask.
    pub(crate) symbols: Vec<ExplainedSymbol>,
    /// What could not be read or looked for, and why.
    pub(crate) problems: Vec<(BString, String)>,
    /// The process has all that it will ever have: what is missing now is missing.
    pub(crate) is_whole: bool,
}

/// The search for a file and the places behind its hit.
pub(super) type Behind<'e> = (&'e Search, &'e [Step]);

impl Context<'_> {
    /// Explains what the objects at some places of a process ask for; `behind` has their searches.
    pub(super) fn explain_symbols(
        &self,
        (process, searches): (&Process, &[(usize, Search)]),
        system: &System,
        asking: &[usize],
        behind: &[Behind<'_>],
    ) -> ExplainedSymbols {
        let scope = SymbolScope::of(self.world, (process, searches), system);
        let mut explained = ExplainedSymbols::default();
        for map in asking.iter().filter_map(|index| process.maps.get(*index)) {
            let path = &map.object.path;
            let imports = match self.world.imports(path.as_bstr()) {
                Ok(imports) => imports,
                Err(reason) => {
                    explained.problems.push((path.clone(), reason.to_string()));
                    continue;
                }
            };
            let files = scope.named_files(&imports);
            for import in &imports.list {
                let (end, is_missing) = end_of(&scope, (&imports, &files), import);
                let version = imports.version(import).filter(|_| system.libc == Libc::Glibc);
                let file = version.and_then(|version| version.file.clone());
                let rivals = if is_missing && !import.is_weak {
                    self.rivals(&scope, (&imports, import), file.as_ref(), behind)
                } else {
                    Vec::new()
                };
                explained.symbols.push(ExplainedSymbol {
                    by: path.clone(),
                    name: imports.name(import).to_owned(),
                    version: version.map(|version| version.name.clone()),
                    file,
                    binding: scope.binding(&imports, import),
                    is_weak: import.is_weak,
                    end,
                    rivals,
                });
            }
        }
        let problems = scope.problems().into_iter().map(|(path, reason)| (path, reason.to_string()));
        explained.problems.extend(problems);
        if scope.is_cut() {
            let reason = "asks for more symbols than are looked for".to_owned();
            explained.problems.extend(process.maps.first().map(|map| (map.object.path.clone(), reason)));
        }
        explained.is_whole = process.has_program && scope.has_loader() && explained.problems.is_empty();
        explained
    }

    /// Libraries behind the one that was found, or anywhere in the searches where it is not known which should have it.
    fn rivals(
        &self,
        scope: &SymbolScope<'_>,
        (imports, import): (&Imports, &Import),
        file: Option<&BString>,
        behind: &[Behind<'_>],
    ) -> Vec<Rival> {
        let mut rivals: Vec<Rival> = Vec::new();
        for (search, steps) in behind.iter().filter(|(search, _)| file.is_none_or(|file| search.name == *file)) {
            let Some(first) = search.steps.last() else { continue };
            for step in steps.iter().filter(|step| step.outcome == StepOutcome::Hit) {
                let Look::Object(found) = self.world.look(step.directory(), file_name(&step.place)) else { continue };
                let is_known = rivals.iter().any(|rival| rival.place == step.place);
                if !is_known && scope.would_have(found.path.as_bstr(), imports, import) {
                    let (place, source, behind) = (step.place.clone(), step.source.clone(), first.place.clone());
                    rivals.push(Rival { place, source, behind });
                }
            }
        }
        rivals
    }
}

fn end_of(scope: &SymbolScope<'_>, asked: (&Imports, &NamedFiles), import: &Import) -> (SymbolEnd, bool) {
    match scope.bind(asked, import) {
        Bound::To(index, definition) => {
            let version = scope.version_of(index, definition);
            (SymbolEnd::Bound(scope.opened(index).to_owned(), version), false)
        }
        Bound::Unversioned(index) => (SymbolEnd::Unversioned(scope.opened(index).to_owned()), true),
        Bound::Nothing(Some(index)) => (SymbolEnd::OtherVersion(scope.opened(index).to_owned()), true),
        Bound::Nothing(None) => (SymbolEnd::Nothing, true),
    }
}

fn file_name(path: &BString) -> &BStr {
    path.rsplit_once_str("/").map_or(path.as_bstr(), |(_, name)| name.as_bstr())
}
