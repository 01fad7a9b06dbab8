//! A few x86-64 instructions, so that a generated image really runs; other machines get filler of the same shape.

use super::bytes::round_up;
use super::machine::Machine;
use super::spec::Spec;

/// Offsets inside `.text`. `probe` comes first: with the code directly behind the program header table, a table that grew over it crashes.
pub(crate) const PROBE: u64 = 0;
pub(crate) const PROBE_SIZE: u64 = 30;
pub(crate) const START: u64 = 48;
pub(crate) const WHICH: u64 = 64;
pub(crate) const WHICH_SIZE: u64 = 6;
pub(crate) const MINIMUM: u64 = 96;

/// What `probe` starts from; the answer of `which` is added.
pub(crate) const BASE_ANSWER: u32 = 40;

/// Where the code finds its data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    pub(crate) text: u64,
    /// A word that holds the address of the number [`BASE_ANSWER`].
    pub(crate) pointer: u64,
    /// Four bytes that must be zero: the end of bss where there is one.
    pub(crate) zero: u64,
    /// The GOT word of the first import.
    pub(crate) import: Option<u64>,
}

/// Where the functions that a spec gives begin, each at a multiple of 16.
pub(crate) fn functions(spec: &Spec) -> impl Iterator<Item = (u64, &str, &[u8])> {
    let mut next = MINIMUM;
    spec.functions.iter().map(move |(name, code)| {
        let at = next;
        next = round_up(at + code.len() as u64, 16);
        (at, name.as_str(), code.as_slice())
    })
}

/// The size of `.text`.
pub(crate) fn size(spec: &Spec) -> u64 {
    let end = functions(spec).map(|(at, _, code)| at + code.len() as u64).max().unwrap_or(MINIMUM);
    spec.text.max(end)
}

pub(crate) fn text(spec: &Spec, places: Places) -> Vec<u8> {
    let mut out = frame(spec, places);
    for (at, _, code) in functions(spec) {
        out[at as usize..][..code.len()].copy_from_slice(code);
    }
    out
}

/// Everything but the functions that the spec gives.
fn frame(spec: &Spec, places: Places) -> Vec<u8> {
    let size = size(spec) as usize;
    if spec.machine != Machine::X86_64 {
        // Never zero: a cave or a gap must not be seen here.
        return (0..size).map(|index| (index as u8) | 0x41).collect();
    }
    let mut out = vec![0xcc; size];
    let relative = |target: u64, next: u64| (target.wrapping_sub(places.text + next) as u32).to_le_bytes();
    let mut put = |at: u64, bytes: &[u8]| out[at as usize..][..bytes.len()].copy_from_slice(bytes);
    put(PROBE, &[0x53, 0x48, 0x8b, 0x05]); // push %rbx; mov pointer(%rip),%rax
    put(PROBE + 4, &relative(places.pointer, PROBE + 8));
    put(PROBE + 8, &[0x8b, 0x18, 0x03, 0x1d]); // mov (%rax),%ebx; add zero(%rip),%ebx
    put(PROBE + 12, &relative(places.zero, PROBE + 16));
    match places.import {
        Some(slot) => {
            put(PROBE + 16, &[0xff, 0x15]); // call *which@GOT(%rip)
            put(PROBE + 18, &relative(slot, PROBE + 22));
        }
        None => put(PROBE + 16, &[0x31, 0xc0, 0x0f, 0x1f, 0x40, 0x00]), // xor %eax,%eax; nop
    }
    put(PROBE + 22, &[0x01, 0xd8, 0x5b, 0xc3]); // add %ebx,%eax; pop %rbx; ret
    put(START, &[0xe8]); // call probe
    put(START + 1, &relative(places.text + PROBE, START + 5));
    put(START + 5, &[0x89, 0xc7, 0xb8, 0x3c, 0, 0, 0, 0x0f, 0x05]); // exit(probe())
    put(WHICH, &[0xb8]); // mov $answer,%eax
    put(WHICH + 1, &spec.answer.unwrap_or(0).to_le_bytes());
    put(WHICH + 5, &[0xc3]);
    out
}
