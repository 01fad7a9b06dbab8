//! Edits a copy of every ELF file of whole trees and compares what loaders and readers make of them before and after.
//!
//! Usage: `tests/fleet/run TREE...`. Exits with 0 when nothing is broken; what is refused is listed with its reason.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test: a panic here is a failed test"
)]

#[path = "../it/complaints.rs"]
mod complaints;
#[path = "../it/elfgen/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with the integration tests, which use the rest")]
mod elfgen;
#[path = "fleet.rs"]
mod fleet;

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let trees: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if trees.is_empty() {
        eprintln!("usage: tests/fleet/run TREE...");
        return ExitCode::from(2);
    }
    // Built beside it, one folder above the examples.
    let beside = std::env::current_exe().expect("this program's own path").with_file_name("../cuda-runpath");
    let program = std::env::var_os("CUDA_RUNPATH_BIN").map_or(beside, PathBuf::from);
    let mut broken = false;
    for tree in &trees {
        let report = fleet::run(&program, tree);
        print!("{report}");
        broken |= !report.broken.is_empty();
    }
    ExitCode::from(u8::from(broken))
}
