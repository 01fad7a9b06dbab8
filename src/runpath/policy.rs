//! The policy itself: which list an object should have, given the one it has.

use std::collections::BTreeSet;

use bstr::{BStr, BString, ByteSlice};

use super::entry::{
    Directory, EntryClass, is_build_directory, is_host_compiler, is_recognised_compat, without_trailing_slashes,
};
use super::list::SearchPath;

/// Which actions are composed into one decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actions {
    /// Any subset of *compat*, *driver* and *stubs*.
    Compose {
        /// Put the compat directories in front.
        compat: bool,
        /// Put the driver directories behind compat and in front of the rest; drops stub entries.
        driver: bool,
        /// Replace the first stub entry by the driver directories, drop later ones.
        stubs: bool,
    },
    /// Add no driver: move compat directly before the first driver entry; stub entries become the driver.
    OrderOnly,
}

/// Why a list of action words is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActionsError {
    /// A word that is no action.
    #[error("unknown action {0:?}; the actions are compat, driver and stubs (in any combination), or order-only")]
    Unknown(String),
    /// `order-only` says what happens to every entry; combined with another action it would say two things.
    #[error("order-only cannot be combined with other actions")]
    OrderOnlyAlone,
}

impl std::str::FromStr for Actions {
    type Err = ActionsError;

    fn from_str(words: &str) -> Result<Self, Self::Err> {
        let (mut compat, mut driver, mut stubs, mut order_only) = (false, false, false, false);
        for word in words.split(',').map(str::trim) {
            match word {
                "compat" => compat = true,
                "driver" => driver = true,
                "stubs" => stubs = true,
                "order-only" => order_only = true,
                other => return Err(ActionsError::Unknown(other.to_owned())),
            }
        }
        match (order_only, compat || driver || stubs) {
            (true, true) => Err(ActionsError::OrderOnlyAlone),
            (true, false) => Ok(Self::OrderOnly),
            (false, _) => Ok(Self::Compose { compat, driver, stubs }),
        }
    }
}

/// Which dynamic tag holds the path afterwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TagPolicy {
    /// DT_RUNPATH, but DT_RPATH where something finds libraries only because that is inherited.
    #[default]
    Auto,
    /// DT_RUNPATH, whatever was there.
    Runpath,
    /// The tag that the loader honours now; DT_RUNPATH where there is none.
    Keep,
    /// DT_RPATH, which dependencies inherit.
    Rpath,
}

/// Everything that [`decide`] needs to know beside the old path.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Directories with cuda_compat's `libcuda.so.1`, in order.
    pub compat: Vec<Directory>,
    /// Driver directories for the object's ELF class, in order.
    pub driver: Vec<Directory>,
    /// Stub directories beside those that are known by name.
    pub stubs: BTreeSet<Directory>,
    /// What to do.
    pub actions: Actions,
    /// What goes, beside empty entries and later copies of managed ones.
    pub hygiene: Hygiene,
}

/// Entries that go on request.
#[derive(Clone, Debug, Default)]
pub struct Hygiene {
    /// Later copies of every entry.
    pub(crate) repeated: bool,
    /// Compat directories, given and recognised.
    pub(crate) compat: bool,
    /// Entries that depend on the current directory, on the machine that built them or on the host's own libraries:
    /// relative ones, directories of builds, of the Filesystem Hierarchy Standard and of compilers.
    pub(crate) strays: bool,
    /// Directories of this build, beside the usual ones.
    pub(crate) build_directories: Vec<BString>,
    /// Strays and stub directories to keep: they have a needed library that no other entry has.
    pub(crate) kept: BTreeSet<BString>,
}

/// Where the object lies, as far as the policy cares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Setting {
    /// Anywhere.
    #[default]
    Ordinary,
    /// Inside a compat directory: compat is never added to itself, the driver directory is.
    InsideCompat,
}

/// What should happen to an object's search path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The path is what it should be.
    Conforms,
    /// The path should become this one, which has at least one entry and no empty ones.
    Set(SearchPath),
    /// Nothing is left to search: the tag should go.
    Remove,
}

/// Decides what an object's search path should be; `old` is `None` without a tag.
///
/// Pure and idempotent: deciding about the result of a decision gives [`Decision::Conforms`].
#[must_use]
pub fn decide(old: Option<&BStr>, policy: &Policy, setting: Setting) -> Decision {
    let old_path = old.map(SearchPath::parse).unwrap_or_default();
    let entries: Vec<&BStr> = old_path.entries().filter(|entry| !entry.is_empty() && !policy.drops(entry)).collect();
    let mut wanted = match policy.actions {
        Actions::OrderOnly => order_only(&entries, policy, setting),
        Actions::Compose { compat, driver, stubs } => compose(&entries, policy, setting, compat, driver, stubs),
    };
    if policy.hygiene.repeated {
        keep_first_of_each(&mut wanted);
    }
    match old {
        None if wanted.is_empty() => Decision::Conforms,
        Some(_) if wanted.is_empty() => Decision::Remove,
        Some(_) if wanted.iter().eq(old_path.entries()) => Decision::Conforms,
        _ => Decision::Set(wanted.into_iter().collect()),
    }
}

impl Policy {
    /// The role of an entry under this policy: given directories first, then what the name says.
    #[must_use]
    pub(crate) fn classify(&self, entry: &BStr) -> EntryClass {
        if self.compat.iter().any(|given| given.is_named_by(entry)) {
            EntryClass::Compat
        } else if self.driver.iter().any(|given| given.is_named_by(entry)) {
            EntryClass::Driver
        } else if self.stubs.contains(without_trailing_slashes(entry)) {
            EntryClass::Stub
        } else {
            EntryClass::by_name(entry)
        }
    }

    /// Whether an entry is a stray: [`Hygiene::strays`] would drop it.
    #[must_use]
    pub(crate) fn is_stray(&self, entry: &BStr) -> bool {
        match self.classify(entry) {
            EntryClass::Compat | EntryClass::Driver | EntryClass::Stub => false,
            EntryClass::Relative | EntryClass::Fhs => true,
            _ => is_build_directory(entry, &self.hygiene.build_directories) || is_host_compiler(entry),
        }
    }

    fn drops(&self, entry: &BStr) -> bool {
        (self.hygiene.compat && self.is_compat(entry))
            || (self.hygiene.strays && self.is_stray(entry) && !self.is_kept(entry))
    }

    fn is_kept(&self, entry: &BStr) -> bool {
        self.hygiene.kept.contains(entry)
    }

    fn is_driver(&self, entry: &BStr) -> bool {
        self.classify(entry) == EntryClass::Driver
    }

    fn is_compat(&self, entry: &BStr) -> bool {
        self.classify(entry) == EntryClass::Compat
    }

    fn is_stub(&self, entry: &BStr) -> bool {
        self.classify(entry) == EntryClass::Stub
    }

    /// Given compat directories, then the recognised ones of the old path in their order, each once.
    fn compats(&self, entries: &[&BStr], setting: Setting, add_given: bool) -> Vec<BString> {
        let mut found: Vec<BString> = Vec::new();
        if self.hygiene.compat {
            return found;
        }
        let given = self.compat.iter().filter(|given| {
            let listed = entries.iter().any(|entry| given.is_named_by(entry));
            match setting {
                Setting::Ordinary => add_given || listed,
                Setting::InsideCompat => listed,
            }
        });
        found.extend(given.map(|given| given.as_bstr().to_owned()));
        let recognised = entries.iter().filter(|entry| is_recognised_compat(entry));
        found.extend(recognised.map(|entry| BString::from(entry.trim_end_with(|c| c == '/'))));
        keep_first_of_each(&mut found);
        found
    }

    fn driver_entries(&self) -> impl Iterator<Item = BString> {
        self.driver.iter().map(|driver| driver.as_bstr().to_owned())
    }
}

fn compose(
    entries: &[&BStr],
    policy: &Policy,
    setting: Setting,
    compat: bool,
    driver: bool,
    stubs: bool,
) -> Vec<BString> {
    let replaced = if driver {
        // The driver stands in front already, so a stub entry could only be found by mistake.
        let goes = |entry: &BStr| policy.is_stub(entry) && !policy.is_kept(entry);
        entries.iter().filter(|entry| !goes(entry)).map(|entry| BString::from(entry.as_bytes())).collect()
    } else if stubs {
        replace_stubs(entries, policy)
    } else {
        entries.iter().map(|entry| BString::from(entry.as_bytes())).collect()
    };
    if !compat && !driver {
        return replaced;
    }
    let mut wanted = policy.compats(entries, setting, compat);
    let mut driver_seen = driver;
    if driver {
        wanted.extend(policy.driver_entries());
    }
    for entry in replaced {
        if policy.is_compat(entry.as_bstr()) {
            continue;
        }
        if policy.is_driver(entry.as_bstr()) {
            // Without the driver action the entry keeps its place, but only one block of it is searched.
            if !std::mem::replace(&mut driver_seen, true) {
                wanted.extend(policy.driver_entries());
            }
            continue;
        }
        wanted.push(entry);
    }
    wanted
}

/// The first stub entry becomes the driver unless the driver was seen before it; every other one is dropped.
fn replace_stubs(entries: &[&BStr], policy: &Policy) -> Vec<BString> {
    let mut wanted = Vec::new();
    let (mut driver_seen, mut replaced) = (false, false);
    for entry in entries {
        if policy.is_stub(entry) {
            if !driver_seen {
                wanted.extend(policy.driver_entries());
                (driver_seen, replaced) = (true, true);
            }
            wanted.extend(policy.is_kept(entry).then(|| BString::from(entry.as_bytes())));
        } else if policy.is_driver(entry) {
            // A driver entry behind its own replacement would be a copy that this decision made.
            if !replaced {
                wanted.push(BString::from(entry.as_bytes()));
            }
            driver_seen = true;
        } else {
            wanted.push(BString::from(entry.as_bytes()));
        }
    }
    wanted
}

fn order_only(entries: &[&BStr], policy: &Policy, setting: Setting) -> Vec<BString> {
    let replaced = replace_stubs(entries, policy);
    if !replaced.iter().any(|entry| policy.is_driver(entry.as_bstr())) {
        return replaced;
    }
    let compats = policy.compats(entries, setting, true);
    let mut wanted = Vec::new();
    let mut driver_seen = false;
    for entry in replaced {
        if policy.is_driver(entry.as_bstr()) {
            if !std::mem::replace(&mut driver_seen, true) {
                wanted.extend(compats.iter().cloned());
                wanted.extend(policy.driver_entries());
            }
        } else if !policy.is_compat(entry.as_bstr()) {
            wanted.push(entry);
        }
    }
    wanted
}

fn keep_first_of_each(entries: &mut Vec<BString>) {
    let mut seen = std::collections::HashSet::new();
    entries.retain(|entry| seen.insert(entry.clone()));
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
