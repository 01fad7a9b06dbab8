//! The role of a directory by what it is: one directory has many spellings (`/lib` and `/usr/lib`, `/usr/local/cuda` and
//! `/usr/local/cuda-12.4`), and what an option says of one of them is true of all.

use std::collections::HashMap;

use bstr::{BStr, BString, ByteSlice};

use super::world::World;
use crate::elf::class::{ByClass, Class};
use crate::loader::{Memo, RealDirectory};
use crate::runpath::{EntryClass, Policy};

/// What options and names say of directories, whatever leads to those.
pub(crate) struct Roles<'a> {
    world: &'a dyn World,
    paths: &'a ByClass<Policy>,
    given: ByClass<Given>,
    /// Objects of a closure have the same entries, again and again.
    known: ByClass<Memo<BString, EntryClass>>,
}

/// The roles of given directories.
#[derive(Default)]
struct Given {
    by_path: HashMap<BString, EntryClass>,
    by_inode: HashMap<(u64, u64), EntryClass>,
}

impl Given {
    fn of(world: &dyn World, policy: &Policy) -> Self {
        let mut given = Self::default();
        for (directories, role) in [(&policy.compat, EntryClass::Compat), (&policy.driver, EntryClass::Driver)] {
            for place in directories.iter().filter_map(|directory| world.whereabouts(directory.as_bstr())) {
                given.by_path.entry(place.real).or_insert(role);
                if let Some(inode) = place.inode {
                    given.by_inode.entry(inode).or_insert(role);
                }
            }
        }
        given
    }

    fn role(&self, place: &RealDirectory) -> Option<EntryClass> {
        let by_inode = place.inode.and_then(|inode| self.by_inode.get(&inode));
        by_inode.or_else(|| self.by_path.get(&place.real)).copied()
    }
}

impl<'a> Roles<'a> {
    /// Looks up where the given directories are.
    #[must_use]
    pub(crate) fn of(world: &'a dyn World, paths: &'a ByClass<Policy>) -> Self {
        let given = paths.map(|policy| Given::of(world, policy));
        Self { world, paths, given, known: paths.map(|_| Memo::default()) }
    }

    /// The role of a directory for objects of a class: by its text first, for one that is not there has no more than that.
    #[must_use]
    pub(crate) fn role(&self, directory: &BStr, class: Class) -> EntryClass {
        let known = self.known.get(class);
        known.get(directory).unwrap_or_else(|| known.put(directory.to_owned(), self.find(directory, class)))
    }

    fn find(&self, directory: &BStr, class: Class) -> EntryClass {
        let policy = self.paths.get(class);
        let by_text = policy.classify(directory);
        if is_managed(by_text) || !directory.starts_with(b"/") {
            return by_text;
        }
        let by_place = match self.world.whereabouts(directory) {
            Some(place) => self.given.get(class).role(&place).unwrap_or_else(|| policy.classify(place.real.as_bstr())),
            // A link of an image to what only the target has.
            None => match self.world.leads_to(directory) {
                Some(real) => policy.classify(real.as_bstr()),
                None => return by_text,
            },
        };
        if is_managed(by_place) { by_place } else { by_text }
    }
}

/// Whether a role is one that decides, not only one that is told.
fn is_managed(role: EntryClass) -> bool {
    matches!(role, EntryClass::Compat | EntryClass::Driver | EntryClass::Stub)
}
