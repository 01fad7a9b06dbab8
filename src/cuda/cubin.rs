//! Machine code of a GPU: an ELF file for a machine of its own, which says in its header for which architecture it is, and
//! in its notes for which variant. There is no public description: the fields were read from what ptxas of CUDA 11 to 13
//! writes.

use bstr::ByteSlice;

use super::attributes;
use super::capability::{Capability, Variant};
use super::code::{Code, CodeKind, Tally};
use super::empty::has_no_kernel;
use super::field::{len, u16_at, u32_at, u64_at};
use super::problem::CodeProblem;
use crate::elf::contents::Contents;
use crate::elf::record::sht;

/// What any ELF file begins with.
pub(super) const MAGIC: &[u8] = b"\x7fELF";
const EM_CUDA: u16 = 190;
/// Up to `e_machine`: fewer bytes do not tell a cubin from another ELF file.
const LEAST: usize = 20;
/// `Elf64_Ehdr`
const HEADER: usize = 64;
const SEGMENT: u64 = 56;
const SECTION: u64 = 64;
/// `e_flags` of EI_OSABI 0x33: code for exactly one architecture.
const IS_EXACT: u32 = 0x800;
/// From here on architectures have variants.
const FIRST_WITH_VARIANTS: u32 = 90;

const NOTES: &str = ".note.nv.tkinfo";
const ATTRIBUTES: &str = ".nv.compat";
/// A note's type and owner; in front of these stand the sizes of the owner and of the contents.
const NOTE: &[u8] = b"\xd0\x07\0\0NVIDIA Corp\0";
/// In the notes: how the assembler was called.
const OPTION: &[u8] = b"-arch sm_";

/// What the first bytes of a cubin say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CubinHeader {
    /// The number in `sm_87`.
    number: u32,
    /// What `e_flags` say of the variant; None where that stands in the notes.
    variant: Option<Variant>,
    /// The end of the tables of segments and sections.
    end: u64,
}

/// A file's first bytes are those of a cubin.
pub(super) fn is_cubin(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC) && bytes.len() >= LEAST && u16_at(bytes, 18) == EM_CUDA
}

impl CubinHeader {
    /// Reads the header of what [`is_cubin`] says; None for a header without contents, as a program that makes cubins has.
    ///
    /// # Errors
    /// [`CodeProblem`] when it is cut short or of a layout that is not known.
    pub(super) fn read(bytes: &[u8], at: u64) -> Result<Option<Self>, CodeProblem> {
        if bytes.len() < HEADER {
            let (field, value, least) = ("the length of the cubin's header", len(bytes.len()), len(HEADER));
            return Err(CodeProblem::Bounds { field, at, value, least, most: least });
        }
        let tables = [(32, 56, SEGMENT), (40, 60, SECTION)];
        let ends = tables.map(|(place, count, size)| {
            let count = u64::from(u16_at(bytes, count));
            u64_at(bytes, place).saturating_add(count.saturating_mul(size))
        });
        if ends == [0, 0] {
            return Ok(None);
        }
        let byte = |index: usize| bytes.get(index).copied().unwrap_or(0);
        let flags = u32_at(bytes, 48);
        let (class, os_abi, abi_version) = (byte(4), byte(7), byte(8));
        let (number, variant) = match (class, byte(5), os_abi, abi_version) {
            (2, 1, 0x33, 0..=7) => {
                (flags & 0xff, Some(if flags & IS_EXACT != 0 { Variant::Exact } else { Variant::Common }))
            }
            (2, 1, 0x41, 8) => ((flags >> 8) & 0xff, None),
            _ => return Err(CodeProblem::Cubin { at, class, os_abi, abi_version }),
        };
        if Capability::of_number(number, Variant::Common).is_none() {
            return Err(CodeProblem::Architecture { at, number });
        }
        // Before that the flag meant something else.
        let variant = if number < FIRST_WITH_VARIANTS { Some(Variant::Common) } else { variant };
        Ok(Some(Self { number, variant, end: ends.into_iter().max().unwrap_or(0) }))
    }

    /// Whether the notes must be looked at.
    pub(super) fn needs_notes(self) -> bool {
        self.variant.is_none()
    }

    /// The code, as header and notes say.
    pub(super) fn code(self, noted: Option<Variant>) -> Option<Code> {
        let variant = self.variant.or(noted).unwrap_or_default();
        Some(Code { kind: CodeKind::Cubin, capability: Capability::of_number(self.number, variant)? })
    }
}

/// How many sections of a cubin are looked at: a step of [`Effort`](super::effort::Effort) each.
pub(super) fn steps(rest: &[u8]) -> u64 {
    u64::from(u16_at(rest, 60))
}

/// Reads the cubin at the start of `rest`, as far as its headers and notes: its code, and how much of `rest` it is.
///
/// # Errors
/// [`CodeProblem`] when a header is not understood or something reaches past the end of `rest`.
pub(super) fn raw(rest: &[u8], at: u64) -> Result<Option<(Code, Tally)>, CodeProblem> {
    let Some(header) = CubinHeader::read(rest, at)? else { return Ok(None) };
    let sections = Contents::sections(rest)?;
    let is_stored = |kind: u32| kind != sht::SHT_NOBITS && kind != sht::SHT_NULL;
    let stored = sections.iter().filter(|(_, section)| is_stored(section.kind));
    let ends = stored.map(|(_, section)| section.offset.get().saturating_add(section.size));
    let size = ends.max().unwrap_or(0).max(header.end);
    let whole = usize::try_from(size).ok().and_then(|size| rest.get(..size));
    let bounds =
        || CodeProblem::Bounds { field: "the end of the cubin", at, value: size, least: 64, most: len(rest.len()) };
    let whole = whole.ok_or_else(bounds)?;
    let noted = header.needs_notes().then(|| {
        let variants = sections.iter().filter_map(|(name, section)| {
            let contents = || section.file_range()?.of(whole);
            match (*name == NOTES, *name == ATTRIBUTES) {
                (true, _) => variant_of_note(contents()?),
                (_, true) => attributes::is_exact(contents()?).filter(|is_exact| *is_exact).map(|_| Variant::Exact),
                _ => None,
            }
        });
        variants.max()
    });
    let Some(code) = header.code(noted.flatten()) else { return Ok(None) };
    let is_empty = has_no_kernel(&sections);
    Ok(Some((code, Tally::one(is_empty, size, size))))
}

/// What the notes among the first bytes of a cubin say; None where there are none, or none in full.
pub(super) fn variant_in(start: &[u8]) -> Option<Variant> {
    let places = start.find_iter(NOTE);
    let noted = places.filter_map(|at| {
        let size = usize::try_from(u32_at(start, at.checked_sub(4)?)).ok()?;
        let note = start.get(at.checked_add(NOTE.len())?..)?;
        variant_of_note(note.get(..size)?)
    });
    noted.max()
}

fn variant_of_note(note: &[u8]) -> Option<Variant> {
    let options = note.find_iter(OPTION).filter_map(|at| note.get(at.checked_add(OPTION.len())?..));
    let variants = options.map(|number| match number.iter().find(|byte| !byte.is_ascii_digit()) {
        Some(b'a') => Variant::Exact,
        Some(b'f') => Variant::Family,
        _ => Variant::Common,
    });
    variants.max()
}
