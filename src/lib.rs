//! Puts cuda_compat's directory and `/run/opengl-driver/lib` in front of the DT_RUNPATH of every ELF object in a tree,
//! in the right order, without ever breaking a file.
//!
//! Imports go one way: [`cli`] → [`report`] → [`tree`] → [`fsio`] → [`check`] → [`loader`] →
//! [`cuda`] → [`elf`] → [`runpath`]; a test says so.

pub mod check;
pub mod cli;
pub mod cuda;
pub mod elf;
pub mod fsio;
pub mod loader;
pub mod nix;
pub mod report;
pub mod runpath;
pub mod tree;
