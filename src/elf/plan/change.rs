//! What an edit should achieve.

use bstr::{BStr, BString};

use crate::elf::dynamic::TagSet;

/// The tag that holds the search path afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathTag {
    /// DT_RUNPATH
    Runpath,
    /// DT_RPATH
    Rpath,
}

/// What an edit should achieve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The object has exactly this path under exactly this tag.
    Set {
        /// The tag; the other one goes.
        tag: PathTag,
        /// The path as it is stored, without NUL.
        path: BString,
    },
    /// The object has neither tag.
    Remove,
}

impl Change {
    /// The path that the loader uses afterwards.
    #[must_use]
    pub fn path(&self) -> Option<&BStr> {
        match self {
            Self::Set { path, .. } => Some(path.as_ref()),
            Self::Remove => None,
        }
    }

    /// The path tags that the object has afterwards.
    #[must_use]
    pub(crate) fn tags(&self) -> TagSet {
        match self {
            Self::Set { tag: PathTag::Runpath, .. } => TagSet::Runpath,
            Self::Set { tag: PathTag::Rpath, .. } => TagSet::Rpath,
            Self::Remove => TagSet::None,
        }
    }
}
