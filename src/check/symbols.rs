//! Whether symbols that are asked for are there: in a library's own tree, and in the process of a program.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bstr::{BStr, BString};

use super::context::Context;
use super::misfits::{Misfits, MissingSymbol, Settled, SymbolFamily};
use crate::elf::imports::{Import, Imports};
use crate::loader::{
    Bound, Depth, Libc, Loader, MOST_PLACES, NamedFiles, Object, Patience, Process, Search, StartUp, SymbolScope,
    System, start,
};

/// A process as far as it is loaded.
type Loaded<'p> = (&'p Process, &'p [(usize, Search)]);

impl Context<'_> {
    /// Adds what symbols say to what versions said, where symbols are wanted. Of a library it knows more than what it is
    /// given of it, if that is not enough.
    pub(super) fn add_symbols(&self, loader: &Loader<'_>, loaded: Loaded<'_>, misfits: &mut Misfits) {
        let Some(map) = loaded.0.maps.first().filter(|_| self.policy.symbols) else { return };
        if loaded.0.has_program {
            self.in_program(loader.system, loaded, misfits);
            return;
        }
        let settled = self.settled(&map.object, |context| context.settle(loader, Some(loaded), &map.object));
        misfits.symbols.clone_from(&settled.misfits.symbols);
        misfits.unreadable.extend(settled.misfits.unreadable.iter().cloned());
        misfits.is_cut |= settled.misfits.is_cut;
    }

    /// What a library by itself leaves open.
    fn library(&self, object: &Arc<Object>) -> Arc<Settled> {
        self.settled(object, |context| {
            let Some(facts) = context.world.facts(object) else { return Settled::default() };
            let Some(system) = context.system_of(&facts) else { return Settled::default() };
            let (environment, patience) = (context.environment_of(&facts), Patience::of(MOST_PLACES));
            let loader = Loader { files: context.world, system, environment: &environment, patience: &patience };
            context.settle(&loader, None, object)
        })
    }

    fn settle(&self, loader: &Loader<'_>, loaded: Option<Loaded<'_>>, object: &Arc<Object>) -> Settled {
        let mut settled = Settled::default();
        let imports = match self.world.imports(object.path.as_ref()) {
            Ok(imports) => imports,
            Err(reason) => {
                settled.misfits.unreadable.push((object.path.clone(), reason));
                return settled;
            }
        };
        let mut left: Vec<usize> = (0..imports.list.len()).collect();
        let own: StartUp;
        let loaded = match loaded {
            Some(loaded) => loaded,
            None => {
                own = start(loader, Process::of(Arc::clone(object)), Depth::Own);
                (&own.process, own.searches.as_slice())
            }
        };
        let mut providers = HashSet::new();
        let scope = SymbolScope::of(self.world, loaded, loader.system);
        let files = scope.named_files(&imports);
        left.retain(|place| is_open(&scope, loaded.0, (&imports, &files), *place, &mut providers));
        settled.misfits.take_from(&scope);
        drop(scope);
        if !left.is_empty() {
            // What its libraries load may have the rest.
            let StartUp { process, searches } = start(loader, Process::of(Arc::clone(object)), Depth::Everything);
            let loaded = (&process, searches.as_slice());
            let scope = SymbolScope::of(self.world, loaded, loader.system);
            let files = scope.named_files(&imports);
            left.retain(|place| is_open(&scope, &process, (&imports, &files), *place, &mut providers));
            let open = left.iter().filter_map(|place| imports.list.get(*place));
            let mut missing: Vec<MissingSymbol> =
                open.filter_map(|import| missing_symbol(&scope, object, (&imports, &files), import)).collect();
            find_families(&scope, &process, (&imports, &files), &mut missing);
            settled.misfits.symbols.extend(missing.into_iter().filter(|missing| missing.is_certain));
            settled.misfits.take_from(&scope);
        }
        settled.open = imports.only(&left);
        settled.providers = providers.into_iter().collect();
        settled
    }

    fn in_program(&self, system: &System, loaded: Loaded<'_>, misfits: &mut Misfits) {
        let (process, _) = loaded;
        let scope = SymbolScope::of(self.world, loaded, system);
        let files: HashSet<(u64, u64)> = process.maps.iter().map(|map| map.object.identity).collect();
        let mut all = Vec::new();
        for (index, map) in process.maps.iter().enumerate() {
            let object = &map.object;
            let settled = (index > 0).then(|| self.library(object));
            let same = settled.filter(|settled| {
                settled.misfits.unreadable.is_empty() && settled.providers.iter().all(|file| files.contains(file))
            });
            let read;
            let imports = match &same {
                Some(settled) => &settled.open,
                None => match self.world.imports(object.path.as_ref()) {
                    Ok(imports) => {
                        read = imports;
                        &read
                    }
                    Err(reason) => {
                        misfits.unreadable.push((object.path.clone(), reason));
                        continue;
                    }
                },
            };
            let files = scope.named_files(imports);
            let open = imports.list.iter().filter(|import| !import.is_weak || stops(&scope, (imports, &files), import));
            all.extend(open.filter_map(|import| missing_symbol(&scope, object, (imports, &files), import)));
        }
        misfits.take_from(&scope);
        // What something else that is not here could have is not missing.
        let is_whole = misfits.is_whole && scope.has_loader();
        misfits.symbols = all.into_iter().filter(|missing| is_whole || missing.is_certain).collect();
    }
}

fn is_open(
    scope: &SymbolScope<'_>,
    process: &Process,
    (imports, files): (&Imports, &NamedFiles),
    place: usize,
    providers: &mut HashSet<(u64, u64)>,
) -> bool {
    let Some(import) = imports.list.get(place) else { return false };
    if import.is_weak {
        return stops(scope, (imports, files), import);
    }
    let Bound::To(index, _) = scope.has((imports, files), import) else { return true };
    providers.extend(process.maps.get(index).map(|map| map.object.identity));
    false
}

/// Whether a reference that may stay undefined ends the process all the same: glibc stops at a library without any version
/// that should define one.
fn stops(scope: &SymbolScope<'_>, (imports, files): (&Imports, &NamedFiles), import: &Import) -> bool {
    files.of(import).is_some() && matches!(scope.has((imports, files), import), Bound::Unversioned(_))
}

/// What is said of a symbol that nothing in a scope has; `None` for one that something has.
fn missing_symbol(
    scope: &SymbolScope<'_>,
    object: &Arc<Object>,
    (imports, files): (&Imports, &NamedFiles),
    import: &Import,
) -> Option<MissingSymbol> {
    let bound = scope.has((imports, files), import);
    let is_unversioned = match bound {
        Bound::To(..) => return None,
        Bound::Unversioned(_) => true,
        Bound::Nothing(_) => false,
    };
    let named = files.of(import);
    let version = imports.version(import).filter(|_| scope.libc() == Libc::Glibc);
    Some(MissingSymbol {
        by: object.path.clone(),
        name: imports.name(import).to_owned(),
        version: version.map(|version| version.name.clone()),
        file: version.and_then(|version| version.file.clone()),
        place: named.filter(|index| scope.can_read(*index)).map(|index| scope.opened(index).to_owned()),
        binding: scope.binding(imports, import),
        is_unversioned,
        is_certain: version.is_some() && named.is_some_and(|index| scope.can_read(index)),
        family: None,
    })
}

/// So many symbols of one library that begin alike are its own kind, not chance.
const FAMILY: usize = 8;

/// Most libraries give their symbols no version, and begin their names alike (`ncclCommInitRank`). Of a symbol that nothing
/// has and that begins as many do which all come from one library, that library is of another release.
fn find_families(
    scope: &SymbolScope<'_>,
    process: &Process,
    (imports, files): (&Imports, &NamedFiles),
    missing: &mut [MissingSymbol],
) {
    let is_alike = |missing: &MissingSymbol| !missing.is_certain && missing.version.is_none();
    let wanted: HashSet<BString> =
        missing.iter().filter(|one| is_alike(one)).filter_map(|one| word(&one.name)).map(BString::from).collect();
    if wanted.is_empty() {
        return;
    }
    // By word: the library, and how many; none where they come from several.
    let mut families: HashMap<&BStr, Option<(usize, usize)>> = HashMap::new();
    for import in &imports.list {
        let Some(word) = word(imports.name(import)).map(BStr::new).filter(|word| wanted.contains(*word)) else {
            continue;
        };
        if let Bound::To(index, _) = scope.has((imports, files), import) {
            let family = families.entry(word).or_insert(Some((index, 0)));
            *family =
                family.filter(|(of, _)| *of == index && index > 0).map(|(of, count)| (of, count.saturating_add(1)));
        }
    }
    for one in missing.iter_mut().filter(|one| is_alike(one)) {
        let Some(word) = word(&one.name) else { continue };
        let family = families.get(BStr::new(word)).copied().flatten().filter(|(_, bound)| *bound >= FAMILY);
        let Some((index, bound)) = family.filter(|(index, _)| scope.can_read(*index)) else { continue };
        let Some(map) = process.maps.get(index) else { continue };
        one.file = Some(map.object.soname.clone().unwrap_or_else(|| map.object.file_name().to_owned()));
        one.place = Some(scope.opened(index).to_owned());
        one.is_certain = true;
        one.family = Some(SymbolFamily { word: word.into(), bound });
    }
}

/// How a C library's names begin: small letters in front of a capital or `_`. Names of C++ and of Python's API have none.
fn word(name: &[u8]) -> Option<&[u8]> {
    let front = name.iter().take_while(|byte| **byte == b'_').count();
    let letters = name.get(front..)?.iter().take_while(|byte| byte.is_ascii_lowercase()).count();
    let end = front.checked_add(letters)?;
    let is_word = letters >= 3 && name.get(end).is_some_and(|next| next.is_ascii_uppercase() || *next == b'_');
    name.get(..end).filter(|_| is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_c_libraries_begin_with() {
        let found = |name: &str| word(name.as_bytes()).map(|word| String::from_utf8(word.to_vec()).unwrap());
        assert_eq!(found("ncclCommResume").unwrap(), "nccl");
        assert_eq!(found("__cudaRegisterFatBinary").unwrap(), "__cuda");
        assert_eq!(found("cudnn_ops_infer").unwrap(), "cudnn");
        for none in ["PyObject_New", "_ZN3c104coreEv", "cuInit", "malloc", "nccl", "_", ""] {
            assert_eq!(found(none), None, "{none}");
        }
    }
}
