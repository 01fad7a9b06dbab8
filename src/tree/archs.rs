//! Which GPU code the files of a tree have.

use std::path::PathBuf;

use super::discover::Found;
use super::outcome::FixError;
use super::run::Workers;
use super::source::Source;
use crate::cuda::{self, GpuCode};
use crate::elf::contents::Contents;
use crate::elf::view::has_magic;

/// One file's GPU code.
#[derive(Debug)]
pub struct ArchsReport {
    /// The path below the argument as given.
    pub(crate) path: PathBuf,
    /// The code, empty for a file without; or what is wrong with the file.
    pub code: Result<GpuCode, FixError>,
}

/// Reads every file of a list: ELF files of every kind, and fat binaries by themselves.
#[must_use]
pub fn archs(source: &dyn Source, files: Vec<Found>, workers: &Workers) -> Vec<ArchsReport> {
    workers.run(files, |found| {
        let code = code_of(source, &found);
        ArchsReport { path: found.shown.into_path(), code }
    })
}

fn code_of(source: &dyn Source, found: &Found) -> Result<GpuCode, FixError> {
    let is_wanted = |start: &[u8]| has_magic(start) || cuda::is_fatbin(start);
    let Some(file) = source.open(found.site(), &is_wanted)? else { return Ok(GpuCode::default()) };
    let code = if cuda::is_fatbin(file.bytes()) {
        Ok(cuda::of_fatbin(file.bytes()))
    } else {
        Contents::parse_sparse(file.bytes(), &file.data).map(|contents| cuda::of_contents(&contents))
    };
    file.check_whole()?;
    Ok(code?)
}
