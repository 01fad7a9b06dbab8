//! Functions that do nothing: they return a constant or trap, as those of link-time stubs do.

/// As many instructions of a prologue and of stored arguments are looked at.
const MOST_INSTRUCTIONS: usize = 24;

/// What follows an instruction.
enum Instruction {
    /// The next one, so many bytes further.
    Over(usize),
    /// Nothing: the function returned, or trapped.
    End,
}

/// Whether the code at the start of a function does nothing but return a constant or trap; never for a machine that is not
/// known here.
#[must_use]
pub(super) fn is_hollow(code: &[u8], machine: u16) -> bool {
    let step = match machine {
        62 => x86_64,
        183 => aarch64,
        _ => return false,
    };
    let mut rest = code;
    for _ in 0..MOST_INSTRUCTIONS {
        match step(rest) {
            Some(Instruction::Over(bytes)) => rest = rest.get(bytes..).unwrap_or_default(),
            Some(Instruction::End) => return true,
            None => return false,
        }
    }
    false
}

fn x86_64(code: &[u8]) -> Option<Instruction> {
    match *code {
        // ret, bnd ret, rep ret, ret imm16; ud2, int3, hlt
        [0xc3, ..] | [0xf2 | 0xf3, 0xc3, ..] | [0xc2, ..] | [0x0f, 0x0b, ..] | [0xcc, ..] | [0xf4, ..] => {
            Some(Instruction::End)
        }
        // endbr64
        [0xf3, 0x0f, 0x1e, 0xfa, ..] => Some(Instruction::Over(4)),
        // push rbp, pop rbp, leave, nop
        [0x55 | 0x5d | 0xc9 | 0x90, ..] => Some(Instruction::Over(1)),
        // mov rbp, rsp
        [0x48, 0x89, 0xe5, ..] => Some(Instruction::Over(3)),
        // mov eax, imm32; mov rax, imm32; xor eax, eax; or eax, imm8
        [0xb8, ..] => Some(Instruction::Over(5)),
        [0x48, 0xc7, 0xc0, ..] => Some(Instruction::Over(7)),
        [0x31 | 0x33, 0xc0, ..] => Some(Instruction::Over(2)),
        [0x83, 0xc8, _, ..] => Some(Instruction::Over(3)),
        // mov [rbp + disp8], register; the same of SSE: arguments that are not read
        [0x89, to, _, ..] if to & 0xc7 == 0x45 => Some(Instruction::Over(3)),
        [0x40..=0x4f, 0x89, to, _, ..] if to & 0xc7 == 0x45 => Some(Instruction::Over(4)),
        [0xf2 | 0xf3, 0x0f, 0x11, to, _, ..] if to & 0xc7 == 0x45 => Some(Instruction::Over(5)),
        _ => None,
    }
}

fn aarch64(code: &[u8]) -> Option<Instruction> {
    let word = u32::from_le_bytes(*code.first_chunk()?);
    let is = |mask: u32, value: u32| word & mask == value;
    // ret; brk; udf
    if word == 0xd65f_03c0 || is(0xffe0_001f, 0xd420_0000) || is(0xffff_0000, 0) {
        return Some(Instruction::End);
    }
    // bti c, paciasp, autiasp, nop
    let is_landing_pad = matches!(word, 0xd503_245f | 0xd503_233f | 0xd503_23bf | 0xd503_201f);
    // sub sp, sp, imm; add sp, sp, imm
    let moves_stack = is(0xff80_03ff, 0xd100_03ff) || is(0xff80_03ff, 0x9100_03ff);
    // strb, strh, str w, str x to [sp, imm]
    let stores = [0x3900_03e0, 0x7900_03e0, 0xb900_03e0, 0xf900_03e0].iter().any(|store| is(0xffc0_03e0, *store));
    // movz w0, movz x0, movn w0
    let is_constant = [0x5280_0000, 0xd280_0000, 0x1280_0000].iter().any(|constant| is(0xff80_001f, *constant));
    (is_landing_pad || moves_stack || stores || is_constant).then_some(Instruction::Over(4))
}

#[cfg(test)]
mod tests {
    use super::*;

    const X86_64: u16 = 62;
    const AARCH64: u16 = 183;

    #[test]
    fn constants_and_traps_are_hollow_at_every_level_of_optimisation() {
        for code in [
            &[0xb8, 0x22, 0, 0, 0, 0xc3][..],
            &[0x31, 0xc0, 0xc3],
            &[0xf3, 0x0f, 0x1e, 0xfa, 0xb8, 0xe7, 3, 0, 0, 0xc3],
            // gcc -O0: int cuInit(unsigned f) { return 999; }
            &[0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0x48, 0x89, 0xe5, 0x89, 0x7d, 0xfc, 0xb8, 0xe7, 3, 0, 0, 0x5d, 0xc3],
            &[0x55, 0x48, 0x89, 0xe5, 0x48, 0x89, 0x7d, 0xf8, 0x0f, 0x0b],
            &[0x0f, 0x0b],
        ] {
            assert!(is_hollow(code, X86_64), "{code:x?}");
        }
        for words in [
            &[0x5280_0440_u32, 0xd65f_03c0][..],
            &[0xd503_245f, 0x5280_0000, 0xd65f_03c0],
            &[0xd100_43ff, 0xb900_0fe0, 0x5280_7ce0, 0x9100_43ff, 0xd65f_03c0],
            &[0xd420_7d00],
        ] {
            let code: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            assert!(is_hollow(&code, AARCH64), "{words:x?}");
            assert!(!is_hollow(&code, 21), "a machine that is not known");
        }
    }

    #[test]
    fn what_reads_its_arguments_or_calls_is_not() {
        for code in [&[0x89, 0xf8, 0xc3][..], &[0xe8, 0, 0, 0, 0, 0xc3], &[0x8b, 0x45, 0xfc, 0xc3], &[], &[0xb8, 1]] {
            assert!(!is_hollow(code, X86_64), "{code:x?}");
        }
        assert!(!is_hollow(&0x1400_0001_u32.to_le_bytes(), AARCH64) && !is_hollow(&[0xc0, 3], AARCH64));
    }
}
