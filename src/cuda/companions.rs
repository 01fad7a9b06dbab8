//! The libraries that libcuda opens for itself, by the names in its data.
//!
//! libcuda of 580.159 names libnvidia-ptxjitcompiler.so.1, libnvidia-nvvm.so.4, libnvidia-gpucomp.so.VERSION,
//! libnvidia-pkcs11-openssl3.so.VERSION and libcudadebugger.so.1, and libnvidia-nvvm70.so.4, which no driver's folder has.
//! Measured on an H100: without the first one, a module of PTX ends with error 221, and without any of the others it loads.

use bstr::ByteSlice;
use memchr::memmem;

use super::requests;
use crate::elf::view::ElfView;

/// What it costs when libcuda does not find one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Effect {
    /// What fails.
    pub(crate) fails: &'static str,
    /// It is the first PTX, not something that few programs do.
    pub(crate) is_usual: bool,
}

/// A library that libcuda names, and what fails without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Companion {
    /// The name that it hands to dlopen.
    pub(crate) name: String,
    /// What fails.
    pub(crate) effect: Effect,
}

/// Those without which something fails, by the start of their names. Cards and debuggers have libraries of their own,
/// which most machines lack.
const KNOWN: [(&str, Effect); 4] = [
    (
        "libnvidia-ptxjitcompiler.so.",
        Effect { fails: "the first PTX ends with error 221, CUDA_ERROR_JIT_COMPILER_NOT_FOUND", is_usual: true },
    ),
    ("libnvidia-nvvm.so.", Effect { fails: "LTO-IR and NVVM IR are not compiled", is_usual: false }),
    ("libnvidia-gpucomp.so.", Effect { fails: "what the driver compiles with it fails", is_usual: false }),
    ("libnvidia-tileiras.so.", Effect { fails: "Tile IR is not compiled", is_usual: false }),
];

/// The longest real one has 40 bytes.
const LONGEST: usize = 64;

/// As many are kept; libcuda names one of each.
const MOST: usize = 16;

/// Whether a library is of the C library, which fits the loader of its own build only. No driver has one.
#[must_use]
pub(crate) fn is_of_libc(name: &[u8]) -> bool {
    const OTHERS: [&[u8]; 8] = [
        b"libm.so.6",
        b"libmvec.so.1",
        b"libpthread.so.0",
        b"libdl.so.2",
        b"librt.so.1",
        b"libutil.so.1",
        b"libresolv.so.2",
        b"libanl.so.1",
    ];
    let is_loader = name.starts_with(b"ld-linux") || name.starts_with(b"ld-musl-") || name == b"ld64.so.2";
    is_loader || name == b"libc.so.6" || name == b"libc.so" || name.starts_with(b"libc.musl-") || OTHERS.contains(&name)
}

/// Whether a library is of the C library or of the compiler: what nearly every program has of its own.
#[must_use]
pub(crate) fn is_of_toolchain(name: &[u8]) -> bool {
    const COMPILER: [&[u8]; 3] = [b"libstdc++.so.6", b"libgcc_s.so.1", b"libgomp.so.1"];
    is_of_libc(name) || COMPILER.contains(&name)
}

/// What a libcuda names, in the table's order; nothing for another library. Costs one search over its data.
#[must_use]
pub(crate) fn companions_of(view: &ElfView<'_>) -> Vec<Companion> {
    if view.soname().is_none_or(|name| name != "libcuda.so.1") {
        return Vec::new();
    }
    let finder = memmem::Finder::new("libnvidia-");
    let mut found: Vec<Companion> = Vec::new();
    for bytes in requests::data_of(view) {
        for at in finder.find_iter(bytes) {
            let is_whole = at.checked_sub(1).and_then(|before| bytes.get(before)).is_none_or(|byte| *byte == 0);
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(end) = rest.iter().take(LONGEST).position(|byte| *byte == 0).filter(|_| is_whole) else {
                continue;
            };
            let Some(name) = rest.get(..end).and_then(|name| name.to_str().ok()) else { continue };
            let Some((_, effect)) = KNOWN.iter().find(|(start, _)| is_release(name, start)) else { continue };
            if found.len() < MOST && !found.iter().any(|known| known.name == name) {
                found.push(Companion { name: name.to_owned(), effect: *effect });
            }
        }
    }
    found.sort_by_key(|companion| KNOWN.iter().position(|(start, _)| companion.name.starts_with(start)));
    found
}

/// Numbers and dots behind the start of a name: no format such as `%s`.
fn is_release(name: &str, start: &str) -> bool {
    let rest = name.strip_prefix(start).unwrap_or_default();
    !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}
