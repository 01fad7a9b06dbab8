//! Which GPU code the files of a tree have.

use std::path::PathBuf;

use super::discover::Found;
use super::outcome::FixError;
use super::run::Workers;
use crate::cuda::{self, GpuCode};
use crate::elf::contents::Contents;
use crate::elf::view::has_magic;
use crate::fsio::{self, Sniffed};

/// One file's GPU code.
#[derive(Debug)]
pub struct ArchsReport {
    /// The path below the argument as given.
    pub path: PathBuf,
    /// The code, empty for a file without; or what is wrong with the file.
    pub code: Result<GpuCode, FixError>,
}

/// Reads every file of a list: ELF files of every kind, and fat binaries by themselves.
#[must_use]
pub fn archs(files: Vec<Found>, workers: &Workers) -> Vec<ArchsReport> {
    workers.run(files, |found| {
        let code = code_of(&found);
        ArchsReport { path: found.shown, code }
    })
}

fn code_of(found: &Found) -> Result<GpuCode, FixError> {
    let is_wanted = |start: &[u8]| has_magic(start) || cuda::is_fatbin(start);
    match fsio::sniff_for(found.to_open(), is_wanted)? {
        Sniffed::NotElf => Ok(GpuCode::default()),
        Sniffed::Elf(opened) if cuda::is_fatbin(opened.bytes()) => Ok(cuda::of_fatbin(opened.bytes())),
        Sniffed::Elf(opened) => Ok(cuda::of_contents(&Contents::parse(opened.bytes())?)),
    }
}
