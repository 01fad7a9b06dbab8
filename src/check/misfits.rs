//! What does not fit in one process: of a program with all that it loads, of a library by itself.

use std::sync::Arc;

use bstr::BString;

use crate::loader::{End, Process, Search, System, UnmetVersion, unmet_versions};

/// What does not fit in the process of one object.
#[derive(Clone, Debug, Default)]
pub(super) struct Misfits {
    /// SymbolVersions, in the order in which the loader would complain.
    pub(super) versions: Vec<UnmetVersion>,
    /// Objects whose tables cannot be read, and why.
    pub(super) unreadable: Vec<(BString, Arc<str>)>,
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
            unreadable: unreadable.collect(),
        }
    }
}
