//! Which GPU code the files of a tree have.

use std::path::PathBuf;

use super::discover::Found;
use super::in_order::run_in_order;
use super::outcome::FixError;
use super::run::Workers;
use super::source::Source;
use crate::cuda::{self, Counting, GpuCode};

/// One file's GPU code.
#[derive(Debug)]
pub struct ArchsReport {
    /// The path below the argument as given.
    pub(crate) path: PathBuf,
    /// The code, empty for a file without; or what is wrong with the file.
    pub code: Result<GpuCode, FixError>,
}

/// Reads every file of a list: ELF files of every kind, archives, and files of nothing but GPU code;
/// counts their kernels if that is asked for.
#[must_use]
pub fn archs(source: &dyn Source, files: Vec<Found>, counting: Counting, workers: &Workers) -> Vec<ArchsReport> {
    run_in_order(workers, source, files, |found| {
        let code = code_of(source, &found, counting);
        ArchsReport { path: found.shown.into_path(), code }
    })
}

fn code_of(source: &dyn Source, found: &Found, counting: Counting) -> Result<GpuCode, FixError> {
    let Some(file) = source.open(found.site(), &cuda::may_have_code)? else { return Ok(GpuCode::default()) };
    let code = cuda::of_file(file.bytes(), &file.data, counting);
    file.check_whole()?;
    Ok(code?.unwrap_or_default())
}
