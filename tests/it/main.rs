//! The one integration binary: it drives the program from outside.
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

mod afterwards;
mod archs;
mod case;
mod check;
mod classes;
mod complaints;
mod crashes;
mod editors;
mod elfgen;
mod fatgen;
mod files;
mod fixtures;
mod fleet;
mod generated;
mod goldens;
mod hostile;
mod layering;
mod linkers;
mod loader;
mod machines;
mod outcomes;
mod prefixes;
mod readme;
mod regressions;
mod repeated;
mod replay;
mod support;
mod targets;
mod tasks;
mod toolchains;
mod verifier;
