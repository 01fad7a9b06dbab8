//! Where the loader looks for symbols: the objects of a process in load order (`glibc elf/dl-lookup.c`, `musl
//! ldso/dynlink.c`).

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};

use super::libc::Libc;
use super::process::Process;
use super::search::{End, Search};
use super::system::System;
use crate::elf::imports::{Binding, Import, Imports};
use crate::elf::symbol_tables::{Definition, LookedUp, Steps, SymbolTables, Wanted, WantedVersion};

/// Tables of an object, or why they cannot be read.
pub(crate) type ReadTables = Result<Arc<SymbolTables>, Arc<str>>;

/// What a look-up asks of the world: the symbols of an object, by its canonical path.
pub(crate) trait SymbolFiles: Sync {
    /// The tables by which others find them.
    fn tables(&self, path: &BStr) -> ReadTables;
    /// What the object itself asks for.
    ///
    /// # Errors
    /// Why that cannot be read.
    fn imports(&self, path: &BStr) -> Result<Imports, Arc<str>>;
}

/// The objects that the needs of an object's versions name, by the indices of the versions.
pub(crate) struct NamedFiles(Vec<(u16, usize)>);

impl NamedFiles {
    /// The one for a reference, if it is there.
    #[must_use]
    pub(crate) fn of(&self, import: &Import) -> Option<usize> {
        let at = self.0.binary_search_by_key(&import.version, |(version, _)| *version).ok()?;
        self.0.get(at).map(|(_, index)| *index)
    }
}

/// One object of a scope.
struct ScopeMember<'p> {
    /// Its canonical path.
    path: &'p BStr,
    /// The path that it was opened under.
    opened: &'p BStr,
    is_program: bool,
    tables: OnceCell<Option<Arc<SymbolTables>>>,
}

/// Where symbols of a process are looked for.
pub(crate) struct SymbolScope<'p> {
    files: &'p dyn SymbolFiles,
    process: &'p Process,
    system: &'p System,
    members: Vec<ScopeMember<'p>>,
    /// The loader's own place in it.
    interpreter: Option<usize>,
    steps: RefCell<Steps>,
    problems: RefCell<BTreeMap<BString, Arc<str>>>,
}

/// Where a reference is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// To the object at this index of the scope.
    To(usize, Definition),
    /// The object that the version names is the first that has the symbol and has no versions at all: glibc stops with an
    /// assertion.
    Unversioned(usize),
    /// To nothing. Whether something has the name under another version.
    Nothing(Option<usize>),
}

impl<'p> SymbolScope<'p> {
    /// Of a process that is loaded as these searches say.
    pub(crate) fn of(
        files: &'p dyn SymbolFiles,
        (process, searches): (&'p Process, &[(usize, Search)]),
        system: &'p System,
    ) -> Self {
        let mut members: Vec<ScopeMember<'p>> = (process.maps.iter().enumerate())
            .map(|(index, map)| ScopeMember {
                path: map.object.path.as_bstr(),
                opened: map.opened.as_bstr(),
                is_program: index == 0 && process.has_program,
                tables: OnceCell::new(),
            })
            .collect();
        // musl's loader is its libc, which is in every process; glibc's is where something needs it: libc does.
        let asks = searches.iter().any(|(_, search)| search.end == End::Interpreter);
        let interpreter = (asks || system.libc == Libc::Musl).then_some(members.len());
        if interpreter.is_some() {
            let path = system.interpreter.as_bstr();
            let (path, opened) = (path, path);
            members.push(ScopeMember { path, opened, is_program: false, tables: OnceCell::new() });
        }
        let (steps, problems) = (RefCell::new(Steps::new()), RefCell::default());
        Self { files, process, system, members, interpreter, steps, problems }
    }

    /// The path that an object was opened under.
    #[must_use]
    pub(crate) fn opened(&self, index: usize) -> &BStr {
        self.members.get(index).map(|member| member.opened).unwrap_or_default()
    }

    /// The canonical path of an object.
    #[must_use]
    pub(crate) fn path(&self, index: usize) -> &BStr {
        self.members.get(index).map(|member| member.path).unwrap_or_default()
    }

    /// The name of the version that a definition has.
    #[must_use]
    pub(crate) fn version_of(&self, index: usize, definition: Definition) -> Option<BString> {
        self.tables(index)?.version_name(definition).map(BStr::to_owned)
    }

    /// The objects that the needs of an object name, as far as they are there.
    #[must_use]
    pub(crate) fn named_files(&self, imports: &Imports) -> NamedFiles {
        let files = imports.versions().filter_map(|(version, wanted)| {
            let file = wanted.file.as_ref()?.as_bstr();
            let loaded = self.process.asked_for_as(file);
            Some((version, loaded.or_else(|| self.interpreter.filter(|_| self.system.is_itself(file)))?))
        });
        NamedFiles(files.collect())
    }

    /// When a reference is looked for.
    #[must_use]
    pub(crate) fn binding(&self, imports: &Imports, import: &Import) -> Binding {
        if imports.binds_now || self.system.libc == Libc::Musl { Binding::AtLoad } else { import.binding }
    }

    /// Whether anything defines it, and what: asks the object first that its version names, where it nearly always is.
    #[must_use]
    pub(crate) fn has(&self, (imports, files): (&Imports, &NamedFiles), import: &Import) -> Bound {
        let wanted = self.wanted(imports, import);
        if let Some(index) = files.of(import)
            && let bound @ Bound::To(..) = self.ask(index, &wanted, import, true)
        {
            return bound;
        }
        self.bind((imports, files), import)
    }

    /// Where it is bound: asks each object in order.
    #[must_use]
    pub(crate) fn bind(&self, (imports, files): (&Imports, &NamedFiles), import: &Import) -> Bound {
        let wanted = self.wanted(imports, import);
        let named = files.of(import);
        let mut other = None;
        for index in 0..self.members.len() {
            match self.ask(index, &wanted, import, named == Some(index)) {
                Bound::Nothing(None) => {}
                Bound::Nothing(Some(index)) => other = other.or(Some(index)),
                bound => return bound,
            }
        }
        Bound::Nothing(other)
    }

    /// Whether the tables of one file have what a reference asks for, wherever it is.
    #[must_use]
    pub(crate) fn would_have(&self, path: &BStr, imports: &Imports, import: &Import) -> bool {
        let Ok(tables) = self.files.tables(path) else { return false };
        let found = tables.look_up(&self.wanted(imports, import), &mut self.steps.borrow_mut());
        matches!(found, Ok(LookedUp::Found(_)))
    }

    /// Whose rules apply.
    #[must_use]
    pub(crate) fn libc(&self) -> Libc {
        self.system.libc
    }

    /// Whether the symbols of an object can be read.
    #[must_use]
    pub(crate) fn can_read(&self, index: usize) -> bool {
        self.tables(index).is_some()
    }

    /// Whether the loader itself, which has symbols too, is at hand or not asked.
    #[must_use]
    pub(crate) fn has_loader(&self) -> bool {
        self.interpreter.is_none_or(|index| self.can_read(index))
    }

    /// Whether something was not looked at.
    #[must_use]
    pub(crate) fn is_cut(&self) -> bool {
        self.steps.borrow().are_over()
    }

    /// Objects whose tables could not be read, and why.
    #[must_use]
    pub(crate) fn problems(&self) -> Vec<(BString, Arc<str>)> {
        self.problems.borrow().iter().map(|(path, reason)| (path.clone(), Arc::clone(reason))).collect()
    }

    fn wanted<'a>(&self, imports: &'a Imports, import: &Import) -> Wanted<'a> {
        let version = match (self.system.libc, imports.version(import)) {
            (Libc::Musl, _) => WantedVersion::Any,
            (Libc::Glibc, None) => WantedVersion::None,
            (Libc::Glibc, Some(version)) => WantedVersion::Exactly(version),
        };
        let takes_jumps = !import.is_call;
        Wanted { name: imports.name(import), gnu_hash: import.gnu_hash, version, takes_jumps }
    }

    fn ask(&self, index: usize, wanted: &Wanted<'_>, import: &Import, is_named: bool) -> Bound {
        let nothing = Bound::Nothing(None);
        let is_skipped = import.is_copy && self.members.get(index).is_some_and(|member| member.is_program);
        if is_skipped || self.is_cut() {
            return nothing;
        }
        let Some(tables) = self.tables(index) else { return nothing };
        match tables.look_up(wanted, &mut self.steps.borrow_mut()) {
            Ok(LookedUp::Found(_))
                if is_named && !tables.has_versions() && matches!(wanted.version, WantedVersion::Exactly(_)) =>
            {
                Bound::Unversioned(index)
            }
            Ok(LookedUp::Found(definition)) => Bound::To(index, definition),
            Ok(LookedUp::OtherVersion) => Bound::Nothing(Some(index)),
            Ok(LookedUp::Nothing) => nothing,
            Err(error) => {
                self.note(index, error.to_string().into());
                nothing
            }
        }
    }

    fn tables(&self, index: usize) -> Option<Arc<SymbolTables>> {
        let member = self.members.get(index)?;
        let tables = member.tables.get_or_init(|| match self.files.tables(member.path) {
            Ok(tables) => Some(tables),
            Err(reason) => {
                self.note(index, reason);
                None
            }
        });
        tables.clone()
    }

    /// That a loader is not at hand is no fault of anything that is.
    fn note(&self, index: usize, reason: Arc<str>) {
        if self.interpreter == Some(index) {
            return;
        }
        self.problems.borrow_mut().entry(self.path(index).to_owned()).or_insert(reason);
    }
}
