//! The rungs of the ladder by name, and what one of them answers.

use std::fmt;

/// Where the new string goes, named as in the documentation; in the order in which they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub enum Strategy {
    /// Only dynamic tags change.
    TagOnly,
    /// The string is in the table already.
    Share,
    /// Over the old string.
    Overwrite,
    /// Into bytes of the table that no reference names.
    DeadBytes,
    /// At the end of a table that ends its PT_LOAD.
    Grow,
    /// A copy of the table in zero padding behind a PT_LOAD.
    Slack,
    /// A copy of the table in a new PT_LOAD that takes a dispensable program header's place.
    Slot,
    /// A copy of the table in a new PT_LOAD; its program header goes into the gap behind the table.
    Gap,
    /// The last PT_LOAD's bytes again at the end of the file, with the table behind them.
    Reimage,
    /// As [`Strategy::Gap`], after moving what lies behind the program header table.
    MakeRoom,
    /// The program header table itself moves: the last resort.
    MoveTable,
}

impl Strategy {
    /// Every one, in the order in which they are tried.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The word used in every output format.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which entry of the dynamic section holds the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum DynamicSlot {
    /// One that has the tag already.
    Existing,
    /// The other path tag's, renamed.
    Retagged,
    /// A spare DT_NULL.
    Spare,
    /// DT_DEBUG of a library, where no debugger looks.
    Debug,
    /// DT_RELACOUNT or DT_RELCOUNT: a hint, without which glibc processes relative relocations one by one.
    RelativeCount,
    /// A new one: the dynamic section moves.
    Moved,
    /// None: the tag goes.
    Dropped,
}

impl DynamicSlot {
    /// The word used in every output format.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }
}
