//! What is not understood of the GPU code in a file.

use crate::elf::error::ParseError;

/// Something that is not understood: then nothing is known to be complete.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeProblem {
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
    #[error(
        "the entry at {at:#x} has kind {kind:#x}, not 0x1 (PTX), 0x2 (cubin), 0x8 (LTO-IR), 0x20 (index), \
         0x40 (relocatable PTX), 0x80 (Tile IR) or 0x100 (several)"
    )]
    Kind {
        /// File offset.
        at: u64,
        /// The value.
        kind: u16,
    },
    /// A number that cannot be an architecture.
    #[error("what is at {at:#x} has architecture {number}, not one such as 87")]
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
    /// A cubin of another layout.
    #[error(
        "the cubin at {at:#x} has EI_CLASS {class}, EI_OSABI {os_abi:#x} and EI_ABIVERSION {abi_version}, \
         not 2, 0x33 and up to 7, or 2, 0x41 and 8"
    )]
    Cubin {
        /// File offset.
        at: u64,
        /// The value.
        class: u8,
        /// The value.
        os_abi: u8,
        /// The value.
        abi_version: u8,
    },
    /// A frame with GPU code that does not end.
    #[error("the Zstandard frame at {at:#x} is cut short or damaged: there is no sound block behind {block:#x}")]
    Cut {
        /// File offset of the frame.
        at: u64,
        /// File offset up to which it is sound.
        block: u64,
    },
    /// A frame in which a fat binary was packed as a whole.
    #[error("the Zstandard frame at {at:#x} holds a fat binary, which is not unpacked")]
    Packed {
        /// File offset.
        at: u64,
    },
    /// A frame whose cubin has its notes too far behind its start.
    #[error(
        "the Zstandard frame at {at:#x} holds {architecture} code; its first 4 MiB do not tell which variant of it"
    )]
    Variant {
        /// File offset.
        at: u64,
        /// Without the variant.
        architecture: String,
    },
    /// An archive that is not whole.
    #[error("the archive: {0}")]
    Archive(String),
    /// Made to be looked at again and again.
    #[error("from {at:#x} on there is too much that looks like GPU code to look at")]
    Exhausted {
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
        let message = CodeProblem::Kind { at: 0, kind: 3 }.to_string();
        for kind in CodeKind::ALL {
            assert!(message.contains(&format!(" {:#x} (", kind.number())), "{message}: {}", kind.name());
        }
    }
}
