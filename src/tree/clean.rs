//! What `fix --clean` has to look up: which entries are stub directories by content, and which strays are still needed.

use std::cell::Cell;
use std::collections::{HashSet, VecDeque};
use std::path::Path;
use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};

use super::surroundings::directory_of;
use super::world::SourceWorld;
use crate::check::{TargetWorld, World};
use crate::cuda::{LibraryNames, driver_library, stub_names};
use crate::elf::dynamic::PathTags;
use crate::elf::view::ElfView;
use crate::loader::{FileSystem, Look, MOST_PLACES, Object};
use crate::runpath::{Directory, EntryClass, Policy, SearchPath};

/// A stray entry that stays, and the library that it stays for.
pub(super) struct Kept {
    pub(super) entry: BString,
    pub(super) library: BString,
}

/// Why nothing can be said about strays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("needs so many libraries and lists so many directories that --clean would look more than {MOST_PLACES} times")]
pub struct CleanError;

/// What an object's policy becomes, and which entries stay.
type Cleaned = Result<(Policy, Vec<Kept>), CleanError>;

/// The policy for one object: knows its stub directories, and the strays that it cannot do without.
///
/// `real` is where the object is, or will be, as a loader there sees it; `lent` are libraries that others get through its path.
pub(super) fn for_object(
    policy: &Policy,
    view: &ElfView<'_>,
    real: &Path,
    world: &SourceWorld,
    lent: &[BString],
) -> Cleaned {
    let mut policy = policy.clone();
    let path = view.search_path().map(SearchPath::parse).unwrap_or_default();
    let origin =
        real.parent().map(|parent| std::os::unix::ffi::OsStrExt::as_bytes(parent.as_os_str())).unwrap_or_default();
    let places: Vec<(&BStr, Option<BString>)> =
        path.entries().map(|entry| (entry, directory_of(entry, origin.as_bstr()))).collect();
    for (entry, place) in &places {
        let Some(place) = place else { continue };
        let is_managed = matches!(policy.classify(entry), EntryClass::Compat | EntryClass::Driver | EntryClass::Stub);
        if !is_managed
            && has_stub(world, place.as_bstr())
            && let Ok(stub) = Directory::new((*entry).to_owned())
        {
            policy.stubs.insert(stub);
        }
    }
    let lookups = Cell::new(0_usize);
    let has = |place: &Option<BString>, name: &BStr| -> Option<Arc<Object>> {
        lookups.set(lookups.get().saturating_add(1));
        let Look::Object(object) = world.look(place.as_ref()?.as_bstr(), name) else { return None };
        let is_ours = (object.class, object.code) == (view.encoding.class(), view.header.e_machine);
        is_ours.then_some(object)
    };
    let mut kept = Vec::new();
    let mut names: VecDeque<BString> = view.needed().chain(view.filters()).map(ToOwned::to_owned).collect();
    names.extend(lent.iter().cloned());
    // A name that it hands to dlopen is as good, but for the driver's: that stands in front.
    for place in places.iter().filter(|(entry, _)| is_in_danger(&policy, entry)).filter_map(|(_, place)| place.as_ref())
    {
        let files = world.names(place.as_bstr()).unwrap_or_default();
        lookups.set(lookups.get().saturating_add(files.len()));
        let opened = LibraryNames::of_files(files.iter()).opened_by(view);
        names.extend(opened.into_iter().filter(|name| driver_library(name).is_none()));
    }
    let mut known: HashSet<BString> = HashSet::new();
    names.retain(|name| known.insert(name.clone()));
    let is_lent = is_lent(view);
    while let Some(name) = names.pop_front() {
        if lookups.get() > MOST_PLACES {
            return Err(CleanError);
        }
        let name = name.as_bstr();
        let stays = |entry: &BStr| !policy.is_stray(entry) && policy.classify(entry) != EntryClass::Stub;
        let mut holders = places.iter().filter_map(|(entry, place)| Some((*entry, has(place, name)?)));
        let Some((first, object)) = holders.next() else { continue };
        if is_lent {
            let more = object.dependencies.iter().map(|(_, name)| name).filter(|name| known.insert((*name).clone()));
            names.extend(more.cloned().collect::<Vec<_>>());
        }
        // Only an entry that means the same everywhere is worth keeping, and no stub for the sake of the stub.
        let is_stub = policy.classify(first) == EntryClass::Stub;
        let goes = (is_stub && driver_library(name).is_none()) || (first.starts_with(b"/") && policy.is_stray(first));
        let is_elsewhere = stays(first) || holders.any(|(entry, _)| stays(entry));
        if goes && !is_elsewhere && policy.hygiene.kept.insert(first.to_owned()) {
            kept.push(Kept { entry: first.to_owned(), library: name.to_owned() });
        }
    }
    Ok((policy, kept))
}

/// Whether an entry goes unless something is needed from it, and may stay: it means the same everywhere.
fn is_in_danger(policy: &Policy, entry: &BStr) -> bool {
    policy.classify(entry) == EntryClass::Stub || (entry.starts_with(b"/") && policy.is_stray(entry))
}

/// Whether what the object loads searches its path as well: by DT_RPATH, or with musl.
fn is_lent(view: &ElfView<'_>) -> bool {
    let is_of_musl = view.needed().any(|name| name == "libc.so" || name.starts_with(b"libc.musl-"));
    is_of_musl || matches!(view.path_tags(), PathTags::Rpath(_))
}

fn has_stub(world: &SourceWorld, place: &BStr) -> bool {
    stub_names().any(|name| match world.look(place, name) {
        Look::Object(object) => world.facts(&object).is_some_and(|facts| facts.stands_in(EntryClass::Stub)),
        Look::Missing | Look::Forbidden | Look::NotLoadable(..) | Look::Broken(_) => false,
    })
}
