//! What is not understood in a fat binary.

use crate::elf::error::ParseError;

/// Something in a container that is not understood: then nothing is known to be complete.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FatbinProblem {
    /// A container of another layout.
    #[error("the container at {at:#x} has version {version} and header_size {header_size}, not 1 and 16")]
    Container {
        /// File offset.
        at: u64,
        /// The value.
        version: u16,
        /// The value.
        header_size: u16,
    },
    /// An entry of another layout.
    #[error("the entry at {at:#x} has version {version:#x}, not 0x101")]
    Version {
        /// File offset.
        at: u64,
        /// The value.
        version: u16,
    },
    /// A kind that is not known.
    #[error("the entry at {at:#x} has kind {kind:#x}, not 1 (PTX), 2 (cubin), 8 (LTO-IR) or 0x100 (several)")]
    Kind {
        /// File offset.
        at: u64,
        /// The value.
        kind: u16,
    },
    /// A number that cannot be an architecture.
    #[error("the entry at {at:#x} has architecture {number}, not one such as 87")]
    Architecture {
        /// File offset.
        at: u64,
        /// The value.
        number: u32,
    },
    /// Something reaches past what holds it.
    #[error("{field} at {at:#x} is {value:#x}, outside of {least:#x} to {most:#x}")]
    Bounds {
        /// What.
        field: &'static str,
        /// File offset of the container or entry.
        at: u64,
        /// The value.
        value: u64,
        /// The least that it can be.
        least: u64,
        /// The most that it can be.
        most: u64,
    },
    /// Something else than zeros between containers, in a section that holds nothing else.
    #[error("the bytes at {at:#x} are in no container, and are not zeros")]
    Between {
        /// File offset.
        at: u64,
    },
    /// Made to be looked at again and again.
    #[error("from {at:#x} on there are too many false containers to look at")]
    FalseContainers {
        /// File offset.
        at: u64,
    },
    /// The ELF file contradicts itself.
    #[error(transparent)]
    Elf(#[from] ParseError),
    /// Records of containers, and none to be found.
    #[error(".nvFatBinSegment has {0} records, but there is no container")]
    NoContainer(usize),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cuda::code::CodeKind;

    #[test]
    fn the_message_about_a_kind_has_all_that_are_known() {
        let message = FatbinProblem::Kind { at: 0, kind: 3 }.to_string();
        for kind in CodeKind::ALL {
            assert!(message.contains(&format!(" {} (", kind.number())), "{message}: {}", kind.name());
        }
    }
}
