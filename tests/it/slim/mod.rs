//! `slim`: what stays and what goes, written down a second time; files before and after through the tests' own readers,
//! through real loaders, and after other editors.

mod alone;
mod keeps;
mod layouts;
mod loads;
mod modes;
mod told;

use std::path::Path;

use crate::elfgen::read::{Image, PT_LOAD};
use crate::fatgen::{Entry, container, filler};
use crate::harness::{Run, Tree, invoke};

/// A container before and after, of the same length: what does not stay becomes zeros at its end.
pub(crate) struct Pair {
    pub(crate) before: Vec<u8>,
    pub(crate) after: Vec<u8>,
}

/// A container of entries, each of which stays or goes.
pub(crate) fn pair(entries: &[(Entry, bool)]) -> Pair {
    let before = container(entries.iter().map(|(entry, _)| entry.clone())).build();
    let mut after = container(entries.iter().filter(|(_, stays)| *stays).map(|(entry, _)| entry.clone())).build();
    after.resize(before.len(), 0);
    Pair { before, after }
}

/// Machine code with so many bytes, all of them different from those of other architectures.
pub(crate) fn code(architecture: u32, bytes: usize) -> Entry {
    let mut stored = filler(bytes);
    stored.iter_mut().step_by(7).for_each(|byte| *byte = architecture as u8);
    Entry::cubin(architecture).raw(&stored)
}

/// Containers as a section of theirs: with gaps, each before and after.
pub(crate) fn row(pairs: &[Pair], gap: usize) -> Pair {
    let join = |of: fn(&Pair) -> &Vec<u8>| {
        let all: Vec<Vec<u8>> = pairs.iter().map(|pair| of(pair).clone()).collect();
        all.join(&vec![0; gap][..])
    };
    Pair { before: join(|pair| &pair.before), after: join(|pair| &pair.after) }
}

/// Three containers of which 9.0 needs the smaller part, with runs of whole pages of 64 KiB among what goes.
pub(crate) fn usual() -> Pair {
    let first = [
        (code(75, 70_000), false),
        (code(80, 90_000), false),
        (code(90, 30_000), true),
        (code(100, 200_000), false),
        (Entry::ptx(90), false),
    ];
    let second =
        [(code(90, 1000), true), (code(120, 150_000), false), (code(90, 5000), true), (code(80, 140_000), false)];
    let third =
        [(code(75, 3000), false), (code(80, 300_000), false), (Entry::ptx(80), true), (code(100, 170_000), false)];
    row(&[pair(&first), pair(&second), pair(&third)], 24)
}

/// Runs `slim` for 9.0 and wants this exit code.
pub(crate) fn slim(file: &Path, options: &[&str], code: i32) -> Run {
    let ended = invoke([&["slim", "--arch", "9.0", "--json", "-v"], options, &[file.to_str().unwrap()]].concat());
    ended.assert_code(code, "slim");
    ended
}

/// What becomes of the bytes of a file.
pub(crate) fn slimmed(bytes: &[u8], options: &[&str]) -> Vec<u8> {
    let tree = Tree::in_memory();
    let file = tree.file("file", bytes);
    slim(&file, options, 0);
    std::fs::read(&file).unwrap()
}

/// What a loader makes of an image: each address with a byte, and what may be done there.
pub(crate) fn memory(image: &Image) -> Vec<(u64, u32, Vec<u8>)> {
    let mut found: Vec<(u64, u32, Vec<u8>)> = Vec::new();
    for load in image.segments.iter().filter(|segment| segment.kind == PT_LOAD) {
        let mut bytes = image.data[load.offset as usize..][..load.file_size as usize].to_vec();
        bytes.resize(load.memory_size as usize, 0);
        match found.last_mut() {
            // Parts of one adjoin.
            Some((address, flags, last)) if *address + last.len() as u64 == load.address && *flags == load.flags => {
                last.extend(bytes);
            }
            _ => found.push((load.address, load.flags, bytes)),
        }
    }
    found
}

/// The same with one row of bytes in the place of another one, which is there once.
pub(crate) fn with_other(memory: &mut [(u64, u32, Vec<u8>)], old: &[u8], new: &[u8]) {
    let mut places = 0;
    for (_, _, bytes) in memory {
        if let Some(at) = bstr::ByteSlice::find(&bytes[..], old) {
            bytes[at..at + new.len()].copy_from_slice(new);
            places += 1;
        }
    }
    assert_eq!(places, 1, "the containers are in memory once");
}

/// Whether two images are the same in memory; said by the first address that differs.
pub(crate) fn first_difference(wanted: &[(u64, u32, Vec<u8>)], found: &[(u64, u32, Vec<u8>)]) -> Option<String> {
    if wanted.len() != found.len() {
        return Some(format!("{} pieces of memory, not {}", found.len(), wanted.len()));
    }
    for ((address, flags, bytes), (now_address, now_flags, now)) in wanted.iter().zip(found) {
        if (address, flags, bytes.len()) != (now_address, now_flags, now.len()) {
            return Some(format!("memory at {address:#x}, not {now_address:#x}"));
        }
        if let Some(at) = bytes.iter().zip(now).position(|(a, b)| a != b) {
            return Some(format!("other bytes from {:#x} on", address + at as u64));
        }
    }
    None
}
