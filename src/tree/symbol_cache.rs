//! Symbol tables that were read already, as many as fit: a few libraries are asked by nearly all objects, most by none.

use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, PoisonError};

use bstr::{BStr, BString};

use crate::loader::ReadTables;

/// Bytes of tables that are kept in each of two generations.
const MOST_KEPT: usize = 32 << 20;

/// What a table costs beside its bytes: a mapping, a few allocations.
const OVERHEAD: usize = 1 << 12;

/// The tables of the last libraries that were asked.
#[derive(Debug, Default)]
pub(super) struct SymbolCache(Mutex<Generations>);

/// What was not asked for a whole generation is forgotten.
#[derive(Default)]
struct Generations {
    young: HashMap<BString, (ReadTables, usize)>,
    kept: usize,
    old: HashMap<BString, (ReadTables, usize)>,
}

impl std::fmt::Debug for Generations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generations").field("kept", &self.kept).finish_non_exhaustive()
    }
}

impl SymbolCache {
    /// The tables of a path: known ones, or those that `read` makes, with the bytes that they keep.
    pub(super) fn get(&self, path: &BStr, read: impl FnOnce() -> (ReadTables, usize)) -> ReadTables {
        if let Some(known) = self.0.lock().unwrap_or_else(PoisonError::into_inner).find(path) {
            return known;
        }
        // Another thread may read the same one meanwhile: no look-up waits for a disk.
        let (tables, kept) = read();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(path.to_owned(), tables.clone(), kept);
        tables
    }
}

impl Generations {
    fn find(&mut self, path: &BStr) -> Option<ReadTables> {
        if let Some((tables, _)) = self.young.get(path) {
            return Some(tables.clone());
        }
        let (path, (tables, kept)) = self.old.remove_entry(path)?;
        self.put(path, tables.clone(), kept);
        Some(tables)
    }

    fn put(&mut self, path: BString, tables: ReadTables, kept: usize) {
        self.kept = self.kept.saturating_add(kept).saturating_add(OVERHEAD);
        self.young.insert(path, (tables, kept));
        if self.kept > MOST_KEPT {
            self.old = mem::take(&mut self.young);
            self.kept = 0;
        }
    }
}
