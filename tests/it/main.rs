//! The one integration binary: it drives the program from outside, and the library only where a test needs its plans.
//!
//! - `harness` is what all tests stand on: trees, runs, snapshots, tools, fixtures, machines, the ladder's rungs.
//! - `elfgen` and `fatgen` generate ELF images and fat binaries, and read them by code of their own.
//! - `classes` is the catalogue of what breaks a file, each way with an editor that it breaks.
//! - `linkers`, `machines`, `toolchains`, `generated`, `repeated`: every layout is edited, run, and edited again;
//!   `afterwards`: strips, debuggers and other editors take what comes out.
//! - `prefixes` runs every prefix of a plan; `crashes` stops, starves and races the real writes; `verifier` spoils plans.
//! - `hostile`, `replay`, `regressions`: damaged input, the fuzzers' corpora, and what was wrong once.
//! - `inherited`: what a process finds before an edit it finds after it.
//! - `files`: names, modes, links, the Nix store; `fleet`: the tool for whole trees.
//! - `check`, `archs`, `loader`: a folder for each of these commands, `loader` beside the real loaders.
//! - `cost`: hostile input takes steps and memory by its size.
//! - `slim`: GPU code leaves files, which load and have what stays, byte for byte.
//! - `container`: images under specs, beside the real ldconfig and loaders.
//! - `saved`: images of containers in every form, layer by layer, damaged and hostile.
//! - `pages`: what a browser makes of pages, and readers of Markdown of tables.
//! - `memory`: a source without a disk, through every command that reads.
//! - `action`: the steps of action.yml, as a runner starts them.
//! - `goldens`, `readme`: what is printed; `layering`: the architecture, read by `imports`.
//!
//! A test names itself where a tool is missing (`SKIP name: reason`), which `tests/run` forbids. What a subject alone needs
//! stands in its folder's `mod.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests build their own input; a panic here is a failed test"
)]
#![allow(dead_code, reason = "helpers are shared by test files that do not all exist on every platform")]

mod action;
mod afterwards;
mod archs;
mod check;
mod classes;
mod complaints;
mod container;
mod cost;
mod crashes;
mod elfgen;
mod fatgen;
mod files;
mod fleet;
mod foreign;
mod generated;
mod goldens;
mod harness;
mod hostile;
mod imports;
mod inherited;
mod layering;
mod linkers;
mod loader;
mod machines;
mod memory;
mod pages;
mod prefixes;
mod readme;
mod refusals;
mod regressions;
mod repeated;
mod replay;
mod saved;
mod slim;
mod tasks;
mod toolchains;
mod verifier;
