//! How many kernels there are in machine code and PTX. All of it is unpacked for that, so it is done for those who ask.

use bstr::ByteSlice;
use ruzstd::decoding::FrameDecoder;

use super::code::{CodeKind, Tally};
use super::empty::Packing;
use super::field::len;
use crate::elf::contents::Contents;
use crate::elf::record::sht;

/// What unpacks to more is not counted: cuBLASLt's largest cubin has 12 MiB.
const LARGEST: usize = 16 << 20;
/// So many times a file's size is unpacked for it at most, beside what any file may cost.
const TIMES: u64 = 256;
const LEAST: u64 = 1 << 30;

/// `Elf64_Sym`
const SYMBOL: usize = 24;
const STT_FUNC: u8 = 2;
/// `st_other`: a function that the host can start.
const IS_ENTRY: u8 = 0x10;

/// Counts kernels in one file.
pub(super) struct Counter {
    /// Bytes that may still be unpacked.
    left: u64,
    room: Vec<u8>,
}

impl Counter {
    /// For a file of so many bytes.
    pub(super) fn of(bytes: u64) -> Self {
        Self { left: bytes.saturating_mul(TIMES).saturating_add(LEAST), room: Vec::new() }
    }

    /// A tally of one piece with the number of its kernels. `unpacked` is the size that is said of it, where one is.
    pub(super) fn count(
        &mut self,
        tally: Tally,
        kind: CodeKind,
        stored: Option<(&[u8], Packing)>,
        unpacked: Option<u64>,
    ) -> Tally {
        match stored.and_then(|(stored, packing)| self.kernels(kind, stored, packing, unpacked)) {
            Some(kernels) => Tally { kernels, ..tally },
            None => Tally { uncounted: tally.count, ..tally },
        }
    }

    fn kernels(&mut self, kind: CodeKind, stored: &[u8], packing: Packing, unpacked: Option<u64>) -> Option<u64> {
        let kernels = match kind {
            CodeKind::Cubin => in_cubin,
            CodeKind::Ptx | CodeKind::RelocatablePtx => in_ptx,
            CodeKind::TileIr | CodeKind::LtoIr => return None,
        };
        if packing == Packing::Raw {
            return kernels(stored);
        }
        let size = unpacked.map_or(Some(LARGEST), |size| usize::try_from(size).ok()).filter(|size| *size <= LARGEST)?;
        self.left = self.left.checked_sub(len(size))?;
        if self.room.len() < size {
            self.room.resize(size, 0);
        }
        let room = self.room.get_mut(..size)?;
        let filled = match packing {
            Packing::Raw => return None,
            Packing::Lz4 => lz4_flex::block::decompress_into(stored, room).ok()?,
            Packing::Zstandard => {
                let mut decoder = FrameDecoder::new();
                decoder.set_max_window_size(len(LARGEST));
                decoder.decode_all(stored, room).ok()?
            }
        };
        kernels(room.get(..filled)?)
    }
}

fn in_cubin(bytes: &[u8]) -> Option<u64> {
    let sections = Contents::sections(bytes).ok()?;
    let tables = sections.iter().filter(|(_, section)| section.kind == sht::SHT_SYMTAB);
    let symbols =
        tables.filter_map(|(_, section)| section.file_range()?.of(bytes)).flat_map(|table| table.chunks_exact(SYMBOL));
    let byte = |symbol: &[u8], at: usize| symbol.get(at).copied().unwrap_or(0);
    let is_kernel = |symbol: &&[u8]| byte(symbol, 4) & 0xf == STT_FUNC && byte(symbol, 5) & IS_ENTRY != 0;
    Some(len(symbols.filter(is_kernel).count()))
}

fn in_ptx(text: &[u8]) -> Option<u64> {
    Some(len(text.find_iter(".entry").count()))
}
