//! Puts cuda_compat's directory and `/run/opengl-driver/lib` in front of the DT_RUNPATH of every ELF object in a tree,
//! in the right order, without ever breaking a file.
//!
//! Imports go one way, from the outside in:
//!
//! - [`cli`]: arguments and environment in, exit code out
//! - [`report`]: printers, a folder for each command, a file for each format
//! - [`tree`]: where files come from, walks, one look at one file, a file for each command
//! - [`fsio`]: the only place that opens, maps and writes files
//! - [`oci`]: images of containers as a tree of files; pure
//! - [`check`]: facts in, findings and verdicts out; pure
//! - [`loader`]: the dynamic loader's search as a value; pure
//! - [`cuda`]: driver libraries, who asks for them, GPU code; pure
//! - [`elf`]: reading, planning and verifying edits; pure
//! - [`runpath`]: what a search path is and should be; pure
//! - [`nix`]: store paths as text; pure
//!
//! Public is what the program, the tests and the fuzz targets use. ARCHITECTURE.md has the map and a glossary.

pub mod cdi;
pub mod check;
pub mod cli;
pub mod cuda;
pub mod elf;
pub mod fsio;
pub mod loader;
pub(crate) mod nix;
pub mod oci;
pub(crate) mod report;
pub mod runpath;
pub mod tree;
