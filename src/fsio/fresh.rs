//! Files whose every byte a plan sets: written from the first to the last, what is zero left out.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::contents::copy_part;
use super::edit::EditError;
use super::error::FileError;
use super::map::Opened;
use crate::elf::plan::{Content, Patch};
use crate::elf::slim::SlimPlan;
use crate::elf::units::len64;

/// As many bytes are gathered for one write: containers can be many and small.
const GATHERED: usize = 1 << 18;

/// Longer copies are made by the kernel.
const LONG: u64 = 1 << 17;

/// Shorter zeros are written like other bytes: no file system has smaller holes.
const SHORT_HOLE: u64 = 4096;

/// Bytes in a row that are not written yet.
struct Gathering<'t> {
    target: &'t File,
    at: u64,
    bytes: Vec<u8>,
}

impl Gathering<'_> {
    fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.bytes.len().saturating_add(bytes.len()) > GATHERED {
            self.write()?;
        }
        if bytes.len() > GATHERED {
            self.target.write_all_at(bytes, self.at)?;
            self.at = self.at.saturating_add(len64(bytes));
            return Ok(());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn zeros(&mut self, len: u64) -> io::Result<()> {
        const ZEROS: [u8; 4096] = [0; 4096];
        if len < SHORT_HOLE {
            return self.add(ZEROS.get(..usize::try_from(len).unwrap_or(0)).unwrap_or_default());
        }
        self.write()?;
        self.at = self.at.saturating_add(len);
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        self.target.write_all_at(&self.bytes, self.at)?;
        self.at = self.at.saturating_add(len64(&self.bytes));
        self.bytes.clear();
        Ok(())
    }
}

/// Fills an empty file with what a plan makes of another one, and reads back what the plan itself brings.
pub(super) fn write_all(path: &Path, source: &Opened, plan: &SlimPlan, target: &File) -> Result<(), EditError> {
    let failed = |action| move |error: io::Error| FileError::new(path, action, error);
    target.set_len(plan.new_len).map_err(failed("set its copy's size"))?;
    let mut gathering = Gathering { target, at: 0, bytes: Vec::with_capacity(GATHERED) };
    for patch in &plan.patches {
        put(source, patch, &mut gathering).map_err(failed("write its copy"))?;
    }
    gathering.write().map_err(failed("write its copy"))?;
    if gathering.at != plan.new_len {
        return Err(EditError::ChangedMeanwhile);
    }
    let mut found = Vec::new();
    for patch in &plan.patches {
        if let Content::Bytes(wanted) = &patch.content {
            super::writes::expect(path, "read it back", target, (patch.offset, wanted), &mut found)?;
        }
    }
    Ok(source.check_whole()?)
}

fn put(source: &Opened, patch: &Patch, gathering: &mut Gathering<'_>) -> io::Result<()> {
    let cut = || io::Error::from(io::ErrorKind::UnexpectedEof);
    match &patch.content {
        Content::Bytes(bytes) => gathering.add(bytes),
        Content::Zero(len) => gathering.zeros(*len),
        Content::CopyOf(range) if range.len() < LONG => gathering.add(range.of(source.bytes()).ok_or_else(cut)?),
        Content::CopyOf(range) => {
            gathering.write()?;
            copy_part(&source.file, range.start().get(), gathering.target, gathering.at, range.len())?;
            gathering.at = gathering.at.saturating_add(range.len());
            Ok(())
        }
    }
}
