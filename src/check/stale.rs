//! Whether a resolution cache note (`.note.nixos.ldcache`) still says what a search path says.

use std::collections::HashSet;

use bstr::{BStr, BString, ByteSlice};

use crate::elf::ldcache::NotedPath;
use crate::loader::CacheHint;
use crate::runpath::{EntryClass, Policy, SearchPath};

/// The libraries about which a resolution cache note disagrees with the path or with DT_NEEDED, and how.
pub(crate) fn stale_hints<'h>(
    hints: &'h [CacheHint],
    needed: impl Iterator<Item = &'h BString>,
    path: &'h SearchPath,
    policy: &'h Policy,
) -> impl Iterator<Item = (&'h BStr, String)> {
    let is_managed = |entry: &BStr| matches!(policy.classify(entry), EntryClass::Compat | EntryClass::Driver);
    let noted = NotedPath::of(path, &is_managed);
    let needed: HashSet<&BString> = needed.collect();
    hints.iter().filter_map(move |hint| {
        let why = if needed.contains(&hint.soname) {
            noted.disagreement(&hint.answers)?
        } else {
            "DT_NEEDED does not name it".to_owned()
        };
        Some((hint.soname.as_bstr(), why))
    })
}
