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

/// The first eight bytes of names without `lib`, which a program puts in front by itself.
const BARE: [&[u8]; 2] = [b"cuda.so.", b"nvidia-m"];

/// aarch64 `movz x, #"li"`, without the byte that names the register: the low 16 bits always come first.
const MOVZ_LI: &[u8] = &[0x2d, 0x8d, 0xd2];

/// How far apart the pieces may lie, in bytes: compilers move other instructions between them.
const NEAR: usize = 256;

/// A program names a few libraries a few times; a file with more of these immediates is made to cost time.
const MOST_LOOKS: usize = 4096;

/// The searches in machine code, prepared.
#[derive(Clone, Debug)]
pub(in crate::cuda) struct Immediates {
    stem: Finder<'static>,
    bare: [Finder<'static>; 2],
    movz: Finder<'static>,
}

impl Immediates {
    pub(in crate::cuda) fn new() -> Self {
        Self { stem: Finder::new(STEM), bare: BARE.map(Finder::new), movz: Finder::new(MOVZ_LI) }
    }

    /// Hands over the place of each name in the list that x86-64 code puts together.
    pub(super) fn x86_64(&self, code: &[u8], names: &[String], mut found: impl FnMut(usize)) {
        let mut looks = 0_usize;
        for at in self.stem.find_iter(code) {
            let end = at.saturating_add(FIRST);
            let (Some(before), Some(first)) = (code.get(..at), code.get(at..end)) else { continue };
            // REX.W or REX.WB, then b8 and a register: mov r64, imm64.
            let &[.., rex @ (0x48 | 0x49), opcode @ 0xb8..=0xbf] = before else { continue };
            let Some(longest) = names_from(names, first) else { continue };
            looks = looks.saturating_add(1);
            if looks > MOST_LOOKS {
                return;
            }
            let behind = code.get(end..).unwrap_or_default();
            let before = before.get(before.len().saturating_sub(NEAR)..).unwrap_or_default();
            let behind = behind.get(..NEAR).unwrap_or(behind);
            if !is_stored_x86_64(behind, (rex & 1) << 3 | opcode & 7) {
                continue;
            }
            let is_here = |name: &[u8]| is_whole(behind, name, FIRST) || is_whole(before, name, FIRST);
            longest.into_iter().find(|(_, name)| is_here(name)).into_iter().for_each(|(index, _)| found(index));
        }
    }

    /// Hands over the place of each name that x86-64 code puts together without its `lib`: `strcat(name, "cuda.so.1")`.
    pub(super) fn bare_x86_64(&self, code: &[u8], names: &[String], mut found: impl FnMut(usize)) {
        for (finder, first) in self.bare.iter().zip(BARE) {
            for at in finder.find_iter(code).take(MOST_LOOKS) {
                let end = at.saturating_add(first.len());
                let (Some(&[.., rex @ (0x48 | 0x49), opcode @ 0xb8..=0xbf]), Some(behind)) =
                    (code.get(..at), code.get(end..))
                else {
                    continue;
                };
                let behind = behind.get(..NEAR).unwrap_or(behind);
                if !is_stored_x86_64(behind, (rex & 1) << 3 | opcode & 7) {
                    continue;
                }
                let bare =
                    names.iter().enumerate().filter_map(|(index, name)| Some((index, name.strip_prefix("lib")?)));
                let begins = |name: &str| name.as_bytes().starts_with(first) && name.len() > first.len();
                let mut whole: Vec<_> =
                    bare.filter(|(_, name)| begins(name) && is_whole(behind, name.as_bytes(), first.len())).collect();
                whole.sort_by_key(|(_, name)| std::cmp::Reverse(name.len()));
                whole.first().into_iter().for_each(|(index, _)| found(*index));
            }
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
            let Some(first) = register else { continue };
            let Some(longest) = names_from(names, &first) else { continue };
            let is_here = |name: &[u8]| is_whole(&constants, name, FIRST);
            longest.into_iter().find(|(_, name)| is_here(name)).into_iter().for_each(|(index, _)| found(index));
        }
    }
}

/// The names that begin with these bytes and go on, longest first; and one that is all of them, with zeros behind it.
fn names_from<'n>(names: &'n [String], first: &[u8]) -> Option<Vec<(usize, &'n [u8])>> {
    let names = names.iter().map(String::as_bytes).enumerate();
    let is_all = |name: &[u8]| first.strip_prefix(name).is_some_and(|rest| rest.iter().all(|byte| *byte == 0));
    let begins = |name: &[u8]| if name.len() > FIRST { name.starts_with(first) } else { is_all(name) };
    let mut longest: Vec<_> = names.filter(|(_, name)| begins(name)).collect();
    longest.sort_by_key(|(_, name)| std::cmp::Reverse(name.len()));
    (!longest.is_empty()).then_some(longest)
}

/// Whether the register with the first bytes is copied to memory or to a vector register. An inlined `strcmp` has the
/// immediate too, but what comes first is `cmp`, `xor` or `sub` with it then: such an object looks for a name.
fn is_stored_x86_64(behind: &[u8], register: u8) -> bool {
    let uses = behind.windows(3).find_map(|bytes| match *bytes {
        // push
        [rex, opcode @ 0x50..=0x57, _] if register >= 8 && rex == 0x41 && opcode & 7 == register & 7 => Some(true),
        [rex @ 0x48..=0x4f, 0x89, modrm] if modrm < 0xc0 => (reg(rex, modrm) == register).then_some(true),
        [rex @ 0x48..=0x4f, 0x29 | 0x2b | 0x31 | 0x33 | 0x39 | 0x3b, modrm] => {
            let is_other = modrm >= 0xc0 && ((rex & 1) << 3 | modrm & 7) == register;
            (reg(rex, modrm) == register || is_other).then_some(false)
        }
        // movq to a vector register, behind its prefix 66 REX.W.
        [0x0f, 0x6e, modrm] => (modrm >= 0xc0 && modrm & 7 == register & 7).then_some(true),
        _ => None,
    });
    uses.unwrap_or(false)
}

/// The register in the middle of a ModRM byte.
fn reg(rex: u8, modrm: u8) -> u8 {
    (rex & 4) << 1 | modrm >> 3 & 7
}

/// What a stretch of aarch64 code puts into registers, eight bytes each, and what it puts into the register that the
/// instruction at `wanted` begins to fill: the value, if that is stored before it is compared.
fn constants(code: &[[u8; 4]], wanted: usize) -> (Vec<u8>, Option<[u8; 8]>) {
    let mut registers = [0_u64; 32];
    let mut constants = Vec::with_capacity(code.len().saturating_mul(8));
    let mut own: Option<(u32, u64)> = None;
    let mut stored: Option<bool> = None;
    for (at, bytes) in code.iter().enumerate() {
        let instruction = u32::from_le_bytes(*bytes);
        let number = instruction & 0x1f;
        let Some(register) = usize::try_from(number).ok().and_then(|number| registers.get_mut(number)) else {
            continue;
        };
        let shift = (instruction >> 21 & 3).saturating_mul(16);
        let half = u64::from(instruction >> 5 & 0xffff) << shift;
        // movz and movk, of 64 or 32 bits.
        match instruction & 0x7f80_0000 {
            0x5280_0000 => *register = half,
            0x7280_0000 => *register = *register & !(0xffff << shift) | half,
            _ => {
                stored = stored.or_else(|| own.and_then(|(own, _)| is_stored_aarch64(instruction, own)));
                continue;
            }
        }
        constants.extend_from_slice(&register.to_le_bytes());
        if at == wanted {
            own = Some((number, *register));
        } else if let Some((own, value)) = &mut own
            && *own == number
            && stored.is_none()
        {
            *value = *register;
        }
    }
    (constants, own.filter(|_| stored == Some(true)).map(|(_, value)| value.to_le_bytes()))
}

/// Whether an instruction stores a register (`str`, `stur`, `stp`, `fmov` to a vector register), or compares it (`cmp`
/// and `subs`, `eor`, `ccmp`); `None` for any other.
fn is_stored_aarch64(instruction: u32, register: u32) -> Option<bool> {
    let field = |from: u32| instruction >> from & 0x1f;
    let is_first = field(0) == register;
    match instruction {
        _ if instruction & 0xffc0_0000 == 0xf900_0000 => is_first.then_some(true),
        _ if instruction & 0xffe0_0000 == 0xf800_0000 || instruction & 0xffe0_0c00 == 0xf820_0800 => {
            is_first.then_some(true)
        }
        _ if instruction & 0xfe40_0000 == 0xa800_0000 => (is_first || field(10) == register).then_some(true),
        _ if instruction & 0xffff_fc00 == 0x9e67_0000 => (field(5) == register).then_some(true),
        _ if matches!(instruction & 0x7f20_0000, 0x6b00_0000 | 0x4a00_0000)
            || instruction & 0x7fe0_0c00 == 0x7a40_0000 =>
        {
            (field(5) == register || field(16) == register).then_some(false)
        }
        _ => None,
    }
}
