//! A search path: the bytes of a DT_RUNPATH or DT_RPATH string as a list of entries.

use std::fmt;

use bstr::{BStr, BString, ByteSlice};

/// The entries of a search path, each kept letter for letter, empty ones included.
///
/// An empty *string* has no entries (glibc and musl treat it as no path at all); an empty *entry* is the current
/// directory (`glibc elf/dl-load.c`, `decompose_rpath`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SearchPath(Vec<BString>);

impl SearchPath {
    /// Splits the bytes of a string table entry (without its NUL).
    #[must_use]
    pub fn parse(bytes: &BStr) -> Self {
        if bytes.is_empty() {
            return Self::default();
        }
        Self(bytes.split(|byte| *byte == b':').map(BString::from).collect())
    }

    /// The entries in the order in which they are searched.
    pub fn entries(&self) -> impl Iterator<Item = &BStr> {
        self.0.iter().map(|entry| entry.as_bstr())
    }

    /// The bytes to store, without the terminating NUL.
    #[must_use]
    pub fn to_bstring(&self) -> BString {
        BString::from(bstr::join(":", &self.0))
    }
}

impl<T: Into<BString>> FromIterator<T> for SearchPath {
    fn from_iter<I: IntoIterator<Item = T>>(entries: I) -> Self {
        Self(entries.into_iter().map(Into::into).collect())
    }
}

impl fmt::Display for SearchPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.to_bstring(), f)
    }
}
