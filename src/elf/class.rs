//! 32 or 64 bits: what an ELF class is called, and things of which there is one for each.

use std::fmt;

/// EI_CLASS (gABI "ELF Identification").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Class {
    /// ELFCLASS32
    Elf32,
    /// ELFCLASS64
    Elf64,
}

impl Class {
    /// 32 or 64.
    #[must_use]
    pub(crate) fn bits(self) -> u8 {
        match self {
            Self::Elf32 => 32,
            Self::Elf64 => 64,
        }
    }

    /// The class of so many bits.
    #[must_use]
    pub(crate) fn of_bits(bits: u8) -> Option<Self> {
        match bits {
            32 => Some(Self::Elf32),
            64 => Some(Self::Elf64),
            _ => None,
        }
    }

    /// The value of EI_CLASS.
    #[must_use]
    pub(crate) fn ident(self) -> u8 {
        match self {
            Self::Elf32 => 1,
            Self::Elf64 => 2,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.bits())
    }
}

/// One for objects of each class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ByClass<T> {
    /// For 64-bit objects.
    pub elf64: T,
    /// For 32-bit objects.
    pub elf32: T,
}

impl<T> ByClass<T> {
    /// That of a class.
    #[must_use]
    pub(crate) fn get(&self, class: Class) -> &T {
        match class {
            Class::Elf64 => &self.elf64,
            Class::Elf32 => &self.elf32,
        }
    }

    /// Something else for each.
    pub(crate) fn map<U>(&self, of: impl Fn(&T) -> U) -> ByClass<U> {
        ByClass { elf64: of(&self.elf64), elf32: of(&self.elf32) }
    }
}
