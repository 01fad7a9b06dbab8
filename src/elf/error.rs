//! Why a file cannot be read: always a field, its value and the bound that it breaks.

use std::fmt;

/// A field of an ELF record, as a message names it: `program header 3 (PT_LOAD) p_filesz`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    record: Option<(&'static str, usize)>,
    kind: &'static str,
    name: &'static str,
}

impl Field {
    /// A field that exists once, such as `e_phoff` or `DT_STRTAB`.
    #[must_use]
    pub(crate) const fn single(name: &'static str) -> Self {
        Self { record: None, kind: "", name }
    }

    /// A field of a table's entry.
    #[must_use]
    pub(crate) const fn of(record: &'static str, index: usize, name: &'static str) -> Self {
        Self { record: Some((record, index)), kind: "", name }
    }

    /// The same, with what kind of entry it is: `program header 3 (PT_DYNAMIC) p_filesz`.
    #[must_use]
    pub(crate) const fn of_kind(self, kind: &'static str) -> Self {
        Self { kind, ..self }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((record, index)) = self.record {
            write!(f, "{record} {index} ")?;
            if !self.kind.is_empty() {
                write!(f, "({}) ", self.kind)?;
            }
        }
        f.write_str(self.name)
    }
}

/// Why the bytes are not an ELF object that can be edited safely.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A range reaches past the end of the file (or 2^64).
    #[error("{field} {value:#x} is past the end of the file ({bound:#x})")]
    PastEnd {
        /// What reaches too far.
        field: Field,
        /// Where it ends, saturated at 2^64 - 1.
        value: u64,
        /// The file's size in bytes.
        bound: u64,
    },
    /// A value that the gABI or the loaders do not allow.
    #[error("{field} is {value:#x}, expected {expected}")]
    Value {
        /// The field.
        field: Field,
        /// Its value.
        value: u64,
        /// What would be right.
        expected: &'static str,
    },
    /// A value that contradicts another one.
    #[error("{field} is {value:#x}, which {relation} {bound:#x}")]
    Contradiction {
        /// The field.
        field: Field,
        /// Its value.
        value: u64,
        /// How it relates to the bound.
        relation: &'static str,
        /// The other value.
        bound: u64,
    },
    /// Something that must exist once exists several times or never.
    #[error("{what}: found {found}, expected {expected}")]
    Count {
        /// What was counted.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        expected: &'static str,
    },
}

impl ParseError {
    /// A single field with a wrong value.
    pub(crate) const fn value(name: &'static str, value: u64, expected: &'static str) -> Self {
        Self::Value { field: Field::single(name), value, expected }
    }
}
