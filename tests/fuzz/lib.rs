//! The bodies of the fuzz targets, and the generators of ELF images and fat binaries that some of them draw from.

#[path = "../it/saved/build.rs"]
#[allow(dead_code, reason = "shared with the integration tests, which use the rest")]
mod build;
mod cdi;
#[path = "../it/elfgen/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with the integration tests, which use the rest")]
mod elfgen;
mod fatbin;
#[path = "../it/fatgen.rs"]
#[allow(dead_code, reason = "shared with the integration tests, which use the rest")]
mod fatgen;
mod harness;
mod image;
mod slim;
mod spec;

pub use cdi::{cdi, cdi_seeds};
pub use fatbin::fatbin;
pub use harness::{fix, read, runpath_list, symbols};
pub use image::{image, image_seeds};
pub use slim::slim;
pub use spec::spec;

/// Writes one image per interesting layout into the folder that `SEEDS` names, before the fuzzer looks there: those that a
/// mutation of a few bytes is not lost in.
pub fn write_seeds() {
    for (name, spec) in elfgen::presets() {
        let mut image = spec.build();
        if image.len() <= 16 << 10 {
            // Which edit.
            image.extend([0, 20]);
            write_seed(name, &image);
        }
    }
}

/// The same of fat binaries.
pub fn write_fatbins() {
    for (name, bytes) in fatgen::presets() {
        write_seed(name, &bytes);
    }
}

/// The same, each as a file and in a library.
pub fn write_slims() {
    for (name, mut bytes) in fatgen::presets() {
        bytes.extend([0, 0]);
        for how in [0, 2, 5, 6, 13] {
            let end = bytes.len() - 2;
            bytes[end] = how;
            write_seed(&format!("{name}-{how}"), &bytes);
        }
    }
}

/// The same of saved images.
pub fn write_images() {
    for (name, bytes) in image_seeds() {
        write_seed(&name, &bytes);
    }
}

/// The same of CDI specs.
pub fn write_specs() {
    for (name, bytes) in cdi_seeds() {
        write_seed(&name, &bytes);
    }
}

fn write_seed(name: &str, bytes: &[u8]) {
    if let Some(folder) = std::env::var_os("SEEDS") {
        std::fs::write(std::path::Path::new(&folder).join(name), bytes).expect("a writable folder");
    }
}
