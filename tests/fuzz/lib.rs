//! The bodies of the fuzz targets, and the generator of ELF images that one of them draws from.

#[path = "../it/elfgen/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with the integration tests, which use the rest")]
mod elfgen;
mod harness;
mod spec;

pub use harness::{fix, read, runpath_list};
pub use spec::spec;

/// Writes one image per interesting layout into the folder that `SEEDS` names, before the fuzzer looks there: those that a
/// mutation of a few bytes is not lost in.
pub fn write_seeds() {
    let Some(folder) = std::env::var_os("SEEDS") else { return };
    for (name, spec) in elfgen::presets() {
        let mut image = spec.build();
        if image.len() <= 16 << 10 {
            // Which edit.
            image.extend([0, 20]);
            std::fs::write(std::path::Path::new(&folder).join(name), image).expect("a writable folder");
        }
    }
}
