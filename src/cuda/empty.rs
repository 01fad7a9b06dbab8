//! GPU code in which there is nothing to run. A source file without kernels still gets one for each
//! architecture, most often the compiler's oldest: taken for code, it would make a library look as if it ran there, or
//! as if it had to.

use bstr::{BStr, ByteSlice};

use super::code::CodeKind;
use crate::elf::contents::Contents;
use crate::elf::record::{Section, sht};

/// How the bytes of an entry are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Raw,
    /// An LZ4 block.
    Lz4,
    /// A Zstandard frame.
    Zstandard,
}

/// Larger ones are taken for code: the largest empty cubin that was seen, for debugging (`nvcc -G`), has 4.4 KB.
pub(super) const LARGEST: usize = 8192;

/// Whether there is neither a kernel nor a variable in an entry, of which `stored` are the bytes and `unpacked` the size
/// once they are unpacked. What cannot be unpacked is taken for code.
pub(super) fn is_empty(kind: CodeKind, stored: &[u8], packing: Packing, unpacked: u64) -> bool {
    let Some(len) = usize::try_from(unpacked).ok().filter(|len| *len <= LARGEST) else { return false };
    let mut room = [0_u8; LARGEST];
    let Some(room) = room.get_mut(..len) else { return false };
    let filled = match packing {
        Packing::Raw => return has_nothing(kind, stored),
        Packing::Lz4 => lz4_flex::block::decompress_into(stored, room).ok(),
        Packing::Zstandard => {
            let mut decoder = ruzstd::decoding::FrameDecoder::new();
            // Every frame, not only the first, says how much room it wants.
            decoder.set_max_window_size(unpacked);
            decoder.decode_all(stored, room).ok()
        }
    };
    filled.and_then(|filled| room.get(..filled)).is_some_and(|contents| has_nothing(kind, contents))
}

pub(super) fn has_nothing(kind: CodeKind, contents: &[u8]) -> bool {
    match kind {
        CodeKind::Cubin => Contents::sections(contents).is_ok_and(|sections| has_no_kernel(&sections)),
        CodeKind::Ptx | CodeKind::RelocatablePtx => is_empty_ptx(contents),
        CodeKind::LtoIr | CodeKind::TileIr => false,
    }
}

/// The same of a cubin's sections.
pub(super) fn has_no_kernel(sections: &[(&BStr, Section)]) -> bool {
    let is_data = |name: &[u8]| name.starts_with(b".nv.global") || name.starts_with(b".nv.constant");
    !sections.iter().any(|(name, section)| {
        let is_wanted = section.flags & u64::from(sht::SHF_EXECINSTR) != 0 || is_data(name);
        is_wanted && section.is_alloc() && section.size > 0
    })
}

/// The same of a PTX module (PTX ISA, "Kernel and Function Directives", "State Spaces").
pub(super) fn is_empty_ptx(text: &[u8]) -> bool {
    let words = [".entry", ".func", ".global", ".const", ".extern", ".texref", ".alias"];
    text.contains_str(".target") && !words.iter().any(|word| text.contains_str(word))
}
