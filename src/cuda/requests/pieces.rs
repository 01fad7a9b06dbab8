//! Names that a compiler took apart: whether the rest of a name stands among the constants around its first bytes.

use memchr::memmem;

/// Constants come in eight bytes, four, two or one; two and one say little, and are looked at with their instruction.
const LARGE: [usize; 2] = [8, 4];

/// An x86-64 instruction has its constant at its end, with as much between opcode and constant at most: ModRM, SIB and a
/// displacement of four bytes.
const FARTHEST_OPCODE: usize = 7;

/// Whether constants in `around` complete a name whose first `covered` bytes are known. They may overlap, and zeros may
/// stand behind the name.
pub(super) fn is_whole(around: &[u8], name: &[u8], covered: usize) -> bool {
    let mut covered = covered;
    while covered < name.len() {
        let Some(reached) = furthest(around, name, covered) else { return false };
        covered = reached;
    }
    true
}

/// How far the constant reaches that begins in the known part, or right behind it, and reaches furthest.
fn furthest(around: &[u8], name: &[u8], covered: usize) -> Option<usize> {
    for size in LARGE {
        // The later it begins, the further it reaches.
        for start in (covered.saturating_sub(size).saturating_add(1)..=covered).rev() {
            let mut constant = [0_u8; 8];
            let text = name.get(start..name.len().min(start.saturating_add(size)))?;
            constant.get_mut(..text.len())?.copy_from_slice(text);
            if memmem::find(around, constant.get(..size)?).is_some() {
                return start.checked_add(text.len());
            }
        }
    }
    [2_usize, 1].into_iter().find_map(|size| {
        let end = covered.checked_add(size)?;
        let is_last = end >= name.len();
        let mut constant = [0_u8; 2];
        let text = name.get(covered..name.len().min(end))?;
        constant.get_mut(..text.len())?.copy_from_slice(text);
        (is_last && is_stored(around, constant.get(..size)?)).then_some(name.len())
    })
}

/// Whether x86-64's `movw` or `movb` with this constant is there.
fn is_stored(code: &[u8], constant: &[u8]) -> bool {
    let before = |at: usize, back: usize| at.checked_sub(back).and_then(|at| code.get(at)).copied();
    memmem::find_iter(code, constant).any(|at| {
        (2..=FARTHEST_OPCODE).any(|back| match constant.len() {
            1 => before(at, back) == Some(0xc6),
            _ => {
                // A prefix for 16 bits, and one for the upper registers between it and the opcode.
                let prefix = before(at, back.saturating_add(1));
                let is_16 = prefix == Some(0x66)
                    || (prefix.is_some_and(|byte| byte & 0xf0 == 0x40)
                        && before(at, back.saturating_add(2)) == Some(0x66));
                before(at, back) == Some(0xc7) && is_16
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_whole_when_constants_cover_it() {
        let name = b"libcuda.so.1";
        assert!(is_whole(b"..so.1..", name, 8));
        assert!(is_whole(b"..da.so.1\0..", name, 8));
        assert!(!is_whole(b"..o.1\0..", name, 8));
        assert!(!is_whole(b"..so.2..", name, 8));
        assert!(is_whole(b"", name, 12));
    }

    #[test]
    fn short_ends_count_with_their_instruction() {
        let name = b"libcuda.so";
        assert!(is_whole(b"\xc7\x44\x24\x0c.so\0", name, 8));
        assert!(is_whole(b"\xb8so\0\0", name, 8));
        assert!(is_whole(b"\x66\xc7\x44\x24\x18so", name, 8));
        assert!(is_whole(b"\x66\x41\xc7\x45\x18so", name, 8));
        assert!(!is_whole(b"\x73\x6f\xc3", name, 8));
        // movabs $"a-ml.so."; movw $"1\0", -0x10(%rbp)
        assert!(is_whole(b"\x48\xbaa-ml.so.\x66\xc7\x45\xf01\0", b"libnvidia-ml.so.1", 8));
        assert!(is_whole(b"\x48\xbaa-ml.so.\xc6\x40\x101", b"libnvidia-ml.so.1", 8));
        assert!(!is_whole(b"\x48\xbaa-ml.so.", b"libnvidia-ml.so.1", 8));
    }
}
