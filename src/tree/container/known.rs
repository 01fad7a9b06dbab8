//! What is known of an image's files already, for all containers that are made of it: in a packed layer every file that is
//! asked for again may be a long way back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bstr::{BStr, BString};

use crate::cdi::CacheableLibrary;
use crate::check::Facts;
use crate::cuda::CompatNote;

/// Bytes of a file that is kept: lists of directories, loaders.
const LARGEST_KEPT: usize = 1 << 20;
/// Files that are kept.
const MOST_KEPT: usize = 256;

/// What is read of a library for a cache and of a compat libcuda.
#[derive(Clone, Debug)]
pub(super) struct LibraryFacts {
    pub(super) library: CacheableLibrary,
    pub(super) note: Option<CompatNote>,
}

/// One image's files.
#[derive(Debug, Default)]
pub(crate) struct KnownFiles {
    /// Objects that were looked at, by path.
    objects: HashMap<BString, Arc<Facts>>,
    contents: Mutex<HashMap<BString, Option<Arc<[u8]>>>>,
    libraries: Mutex<HashMap<BString, Option<LibraryFacts>>>,
}

impl KnownFiles {
    /// With objects that were looked at.
    pub(crate) fn of<'f>(objects: impl Iterator<Item = &'f Arc<Facts>>) -> Self {
        let objects = objects.map(|facts| (facts.object.path.clone(), Arc::clone(facts))).collect();
        Self { objects, ..Self::default() }
    }

    pub(super) fn object(&self, path: &BStr) -> Option<&Arc<Facts>> {
        self.objects.get(path)
    }

    /// The contents of a file, which is read where it is not known.
    pub(super) fn contents(&self, path: &BStr, read: impl FnOnce() -> Option<Vec<u8>>) -> Option<Vec<u8>> {
        if let Some(known) = self.contents.lock().unwrap_or_else(PoisonError::into_inner).get(path) {
            return known.as_ref().map(|bytes| bytes.to_vec());
        }
        let found = read();
        let mut kept = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < MOST_KEPT && found.as_ref().is_none_or(|bytes| bytes.len() <= LARGEST_KEPT) {
            kept.insert(path.to_owned(), found.as_deref().map(Arc::from));
        }
        found
    }

    /// What is read of a library, which is looked at where it is not known.
    pub(super) fn library(&self, path: &BStr, look: impl FnOnce() -> Option<LibraryFacts>) -> Option<LibraryFacts> {
        if let Some(known) = self.libraries.lock().unwrap_or_else(PoisonError::into_inner).get(path) {
            return known.clone();
        }
        let found = look();
        let mut known = self.libraries.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(path.to_owned(), found.clone());
        found
    }
}
