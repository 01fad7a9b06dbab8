//! A file under a temporary name, beside the one whose name it shall take.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use super::dir::Spot;

/// What this program's temporary files are called, in front of six letters and digits.
const PREFIX: &[u8] = b".cuda-runpath-";

/// Letters and digits behind [`PREFIX`].
const RANDOM: usize = 6;

/// Names that are tried: of each a billion others are free.
const MOST_NAMES: usize = 100;

/// Whether a name is that of a temporary file: of a run that is at work, or of one that was killed.
#[must_use]
pub(crate) fn is_temporary(name: &OsStr) -> bool {
    let random = name.as_bytes().strip_prefix(PREFIX);
    random.is_some_and(|random| random.len() == RANDOM && random.iter().all(u8::is_ascii_alphanumeric))
}

/// An open file under a temporary name, which goes with the value.
#[derive(Debug)]
pub(super) struct Temporary {
    /// Where it is.
    pub(super) spot: Spot,
    /// For reading and writing.
    pub(super) file: File,
    is_there: bool,
}

impl Temporary {
    /// A new one in the directory of a name, for its owner alone.
    pub(super) fn beside(spot: &Spot) -> io::Result<Self> {
        Self::with_mode(spot, Mode::RUSR | Mode::WUSR)
    }

    /// The same with rights that the process's umask cuts down.
    pub(super) fn with_mode(spot: &Spot, mode: Mode) -> io::Result<Self> {
        for _ in 0..MOST_NAMES {
            let spot = spot.beside(name()?);
            match spot.open(OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, mode) {
                Ok(file) => return Ok(Self { spot, file, is_there: true }),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Errno::EXIST.into())
    }

    /// Gives it a name for good.
    pub(super) fn rename(&mut self, to: &Spot) -> rustix::io::Result<()> {
        self.spot.rename(to)?;
        self.keep();
        Ok(())
    }

    /// Takes what stands under its name away, and says whether it went.
    pub(super) fn remove(&mut self) -> rustix::io::Result<()> {
        self.keep();
        self.spot.remove()
    }

    /// What stands under its name is another process's by now.
    pub(super) fn keep(&mut self) {
        self.is_there = false;
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.is_there {
            // What failed before says more.
            let _ = self.spot.remove();
        }
    }
}

fn name() -> io::Result<OsString> {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut random = [0_u8; RANDOM];
    getrandom(&mut random, GetRandomFlags::empty())?;
    let digits = random.iter().filter_map(|byte| DIGITS.get(usize::from(*byte) % DIGITS.len()));
    Ok(OsString::from_vec(PREFIX.iter().chain(digits).copied().collect()))
}
