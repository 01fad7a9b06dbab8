//! `explain` against the loaders themselves: glibc's tells what it does under LD_DEBUG, musl's by what it opens.

mod abi;
mod agreement;
mod compare;
mod filters;
mod folders;
mod hostile;
mod image;
mod machine;
mod musl;
mod names;
mod obstacles;
mod opens;
mod preload;
mod rules;
mod scene;
mod symbols;
mod tokens;
mod trace;

use std::path::PathBuf;

/// This machine's loader of 64-bit programs, and of 32-bit ones where it has one.
fn loaders() -> Vec<(u8, PathBuf)> {
    let known: &[(u8, &str)] = match std::env::consts::ARCH {
        "x86_64" => &[(64, "/lib64/ld-linux-x86-64.so.2"), (32, "/lib/ld-linux.so.2")],
        "aarch64" => &[(64, "/lib/ld-linux-aarch64.so.1")],
        _ => &[],
    };
    let known = known.iter().map(|(class, path)| (*class, PathBuf::from(path)));
    known.filter(|(_, path)| path.exists()).collect()
}
