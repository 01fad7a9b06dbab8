//! Whether a resolution cache note (`.note.nixos.ldcache`) still says what a search path says.

use bstr::{BStr, BString, ByteSlice};

use crate::elf::ldcache;
use crate::loader::CacheHint;
use crate::runpath::{EntryClass, Policy, SearchPath};

/// The libraries about which a resolution cache note disagrees with the path or with DT_NEEDED, and how.
pub(crate) fn stale_hints<'h>(
    hints: &'h [CacheHint],
    needed: &'h [BString],
    path: &'h SearchPath,
    policy: &'h Policy,
) -> impl Iterator<Item = (&'h BStr, String)> {
    let is_managed = |entry: &BStr| matches!(policy.classify(entry), EntryClass::Compat | EntryClass::Driver);
    hints.iter().filter_map(move |hint| {
        let why = if needed.contains(&hint.soname) {
            ldcache::disagreement(&hint.answers, path, &is_managed)?
        } else {
            "DT_NEEDED does not name it".to_owned()
        };
        Some((hint.soname.as_bstr(), why))
    })
}
