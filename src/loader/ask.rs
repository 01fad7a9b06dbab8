//! How a library is asked for.

/// How an object asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// By DT_NEEDED.
    Needed,
    /// By DT_FILTER: as needed, and in front of the object itself (`glibc elf/dl-deps.c`).
    Filter,
    /// By DT_AUXILIARY: the same, and nothing is wrong without it.
    Auxiliary,
    /// By dlopen.
    Dlopen,
    /// By LD_PRELOAD or the loader's own list: before everything else, and nothing is wrong without it.
    Preload,
}

impl Ask {
    /// Whether no process starts where this finds nothing.
    #[must_use]
    pub(crate) fn must_find(self) -> bool {
        matches!(self, Self::Needed | Self::Filter)
    }
}
