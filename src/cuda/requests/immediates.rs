//! Names that stand in machine code: compilers copy a short constant with a few stores of immediates, and then it is
//! nowhere in the data.
//!
//! gcc does it for `char name[] = "libcuda.so.1"` at every -O and for `std::string` at -O1 to -O3, clang and Zig from -O1
//! on, rustc for `String`s. The first eight bytes are one immediate (x86-64 `movabs`, aarch64 `movz` and three `movk`),
//! which tells enough: in 3,700 programs and libraries of two distributions none has such an immediate by chance. The rest
//! stands nearby, in larger or smaller pieces.

use memchr::memmem::Finder;

use super::pieces::is_whole;

/// What one immediate holds.
const FIRST: usize = 8;

/// How all names of the driver's libraries begin.
const STEM: &[u8] = b"lib";

/// aarch64 `movz x, #"li"`, without the byte that names the register: the low 16 bits always come first.
const MOVZ_LI: &[u8] = &[0x2d, 0x8d, 0xd2];

/// How far apart the pieces may lie, in bytes: compilers move other instructions between them.
const NEAR: usize = 128;

/// A program names a few libraries a few times; a file with more of these immediates is made to cost time.
const MOST_LOOKS: usize = 4096;

/// The searches in machine code, prepared.
#[derive(Clone, Debug)]
pub(in crate::cuda) struct Immediates {
    stem: Finder<'static>,
    movz: Finder<'static>,
}

impl Immediates {
    pub(in crate::cuda) fn new() -> Self {
        Self { stem: Finder::new(STEM), movz: Finder::new(MOVZ_LI) }
    }

    /// Hands over the place of each name in the list that x86-64 code puts together.
    pub(super) fn x86_64(&self, code: &[u8], names: &[String], mut found: impl FnMut(usize)) {
        let mut looks = 0_usize;
        for at in self.stem.find_iter(code) {
            let end = at.saturating_add(FIRST);
            let (Some(before), Some(first)) = (code.get(..at), code.get(at..end)) else { continue };
            // REX.W or REX.WB, then b8 and a register: mov r64, imm64.
            let is_mov = matches!(before, [.., 0x48 | 0x49, opcode] if opcode & 0xf8 == 0xb8);
            if !is_mov || is_compared(code.get(end..).unwrap_or_default()) {
                continue;
            }
            let Some(longest) = names_from(names, first) else { continue };
            looks = looks.saturating_add(1);
            if looks > MOST_LOOKS {
                return;
            }
            let behind = code.get(end..).unwrap_or_default();
            let before = before.get(before.len().saturating_sub(NEAR)..).unwrap_or_default();
            let behind = behind.get(..NEAR).unwrap_or(behind);
            let is_here = |name: &[u8]| is_whole(behind, name, FIRST) || is_whole(before, name, FIRST);
            longest.into_iter().find(|(_, name)| is_here(name)).into_iter().for_each(|(index, _)| found(index));
        }
    }

    /// The same for aarch64 code.
    pub(super) fn aarch64(&self, code: &[u8], names: &[String], mut found: impl FnMut(usize)) {
        let mut looks = 0_usize;
        for at in self.movz.find_iter(code) {
            let Some(instruction) = at.checked_sub(1).filter(|at| at % 4 == 0) else { continue };
            looks = looks.saturating_add(1);
            if looks > MOST_LOOKS {
                return;
            }
            let start = instruction.saturating_sub(NEAR);
            let (around, _) = code.get(start..).unwrap_or_default().as_chunks::<4>();
            let around = around.get(..NEAR / 2).unwrap_or(around);
            let (constants, register) = constants(around, instruction.saturating_sub(start) / 4);
            let Some((first, is_compared)) = register else { continue };
            if is_compared {
                continue;
            }
            let Some(longest) = names_from(names, &first) else { continue };
            let is_here = |name: &[u8]| is_whole(&constants, name, FIRST);
            longest.into_iter().find(|(_, name)| is_here(name)).into_iter().for_each(|(index, _)| found(index));
        }
    }
}

/// The names that begin with these bytes and go on, longest first.
fn names_from<'n>(names: &'n [String], first: &[u8]) -> Option<Vec<(usize, &'n [u8])>> {
    let names = names.iter().map(String::as_bytes).enumerate();
    let mut longest: Vec<_> = names.filter(|(_, name)| name.len() > FIRST && name.starts_with(first)).collect();
    longest.sort_by_key(|(_, name)| std::cmp::Reverse(name.len()));
    (!longest.is_empty()).then_some(longest)
}

/// An inlined `strcmp` or `memcmp` has the immediate too, and asks for nothing. What follows at once is `cmp`, `xor` or
/// `sub` of 64 bits then; a copy goes on with a store, or with anything else.
fn is_compared(behind: &[u8]) -> bool {
    matches!(behind, [rex, 0x29 | 0x2b | 0x31 | 0x33 | 0x39 | 0x3b, ..] if rex & 0xf8 == 0x48)
}

/// What a stretch of aarch64 code puts into registers, eight bytes each, and what it puts into the register that the
/// instruction at `wanted` begins to fill: the value, and whether the next use of it is a comparison.
fn constants(code: &[[u8; 4]], wanted: usize) -> (Vec<u8>, Option<([u8; 8], bool)>) {
    let mut registers = [0_u64; 32];
    let mut constants = Vec::with_capacity(code.len().saturating_mul(8));
    let mut own: Option<(usize, u64)> = None;
    let mut compared: Option<bool> = None;
    for (at, bytes) in code.iter().enumerate() {
        let instruction = u32::from_le_bytes(*bytes);
        let number = usize::try_from(instruction & 0x1f).unwrap_or(0);
        let Some(register) = registers.get_mut(number) else { continue };
        let shift = (instruction >> 21 & 3).saturating_mul(16);
        let half = u64::from(instruction >> 5 & 0xffff).checked_shl(shift).unwrap_or(0);
        // movz and movk, of 64 or 32 bits.
        match instruction & 0x7f80_0000 {
            0x5280_0000 => *register = half,
            0x7280_0000 => *register = *register & !0xffff_u64.checked_shl(shift).unwrap_or(0) | half,
            _ => {
                if compared.is_none() && own.is_some_and(|(own, _)| uses(instruction, own)) {
                    compared = Some(compares(instruction));
                }
                continue;
            }
        }
        constants.extend_from_slice(&register.to_le_bytes());
        if at == wanted {
            own = Some((number, *register));
        }
        match &mut own {
            Some((own, value)) if *own == number && at >= wanted && compared.is_none() => *value = *register,
            _ => {}
        }
    }
    (constants, own.map(|(_, value)| (value.to_le_bytes(), compared.unwrap_or(false))))
}

/// Whether the register is one of those that an instruction works on, whichever it is.
fn uses(instruction: u32, register: usize) -> bool {
    [0, 5, 16].iter().any(|at| usize::try_from(instruction >> at & 0x1f) == Ok(register))
}

/// `subs` (which is `cmp`), `eor` and `ccmp` of two registers.
fn compares(instruction: u32) -> bool {
    matches!(instruction & 0x7f20_0000, 0x6b00_0000 | 0x4a00_0000) || instruction & 0x7fe0_0c00 == 0x7a40_0000
}
