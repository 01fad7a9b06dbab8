//! What every test stands on, each thing once.
//!
//! [`tree`] holds temporary trees and [`snapshot`] compares them; [`run`] runs the program and everything else, with exit
//! code, both streams and JSON; [`tools`] says what is here and names what is skipped; [`system`] has other users and mounts;
//! [`build`] keeps what several tests build. [`fixtures`] links the sources of `fixtures/` for the machines of [`targets`],
//! [`images`] runs what the generator makes, [`editors`] are those of other projects. [`case`] takes a linked file through all of it,
//! with the table of [`outcomes`]. [`rungs`] is the ladder as the tests know it.

pub(crate) mod build;
pub(crate) mod case;
pub(crate) mod editors;
pub(crate) mod fixtures;
pub(crate) mod images;
pub(crate) mod outcomes;
pub(crate) mod run;
mod rungs;
mod snapshot;
mod system;
pub(crate) mod targets;
mod tools;
mod tree;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) use fixtures::{Link, NEW, OLD, OldPath, PROGRAMS, Shape, deps, fix, linkers, run_file, start};
pub(crate) use run::{Run, Waiting, binary, command, copy_program, expect, invoke, program, run, run_bounded};
pub(crate) use rungs::{Show, rung_of, rungs};
pub(crate) use snapshot::{Contents, Snapshot, listing};
pub(crate) use system::{NOBODY, as_nobody, give_to_nobody, is_root, mounting_shell, result};
pub(crate) use targets::NATIVE;
pub(crate) use tools::{can_trace, found, long, require, skip};
pub(crate) use tree::{Tree, age, long_ago, make_writable, names, set_mode};

/// The options of the two write modes.
pub(crate) const MODES: [&[&str]; 2] = [REPLACE, IN_PLACE];
pub(crate) const REPLACE: &[&str] = &[];
pub(crate) const IN_PLACE: &[&str] = &["--in-place"];

/// A condition as a result, for work in which one failure must not hide the others.
pub(crate) fn ensure(condition: bool, failure: &str) -> Result<(), String> {
    if condition { Ok(()) } else { Err(failure.to_owned()) }
}

/// Runs `work` on every item in a few threads and gives the failures' texts.
pub(crate) fn for_all<T: Sync>(items: &[T], work: impl Fn(&T) -> Result<(), String> + Sync) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(2, usize::from).min(8);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(failure) = work(item) {
                        failures.lock().unwrap().push(failure);
                    }
                }
            });
        }
    });
    failures.into_inner().unwrap()
}
