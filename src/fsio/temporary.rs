//! The temporary files of this run: each is known as long as it has a name, so that a run that is told to end can take
//! them away.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
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

/// Held for reading by what must not be cut off in the middle, for writing by the end of the run.
static RUN: RwLock<()> = RwLock::new(());

/// Where each one is, by its number in this run, and its path for reports.
static NAMES: Mutex<BTreeMap<u64, (Spot, PathBuf)>> = Mutex::new(BTreeMap::new());

fn names() -> MutexGuard<'static, BTreeMap<u64, (Spot, PathBuf)>> {
    NAMES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// No signal that is waited for ends the run as long as there is one. A thread has one at most: who waits to end the run
/// would keep the second from it.
#[derive(Debug)]
pub(super) struct Uninterrupted {
    _run: RwLockReadGuard<'static, ()>,
}

impl Uninterrupted {
    pub(super) fn begin() -> Self {
        Self { _run: RUN.read().unwrap_or_else(PoisonError::into_inner) }
    }
}

/// Removes every temporary file for a run that ends now; no other one is made. Returns those that could not be removed.
#[must_use]
pub(crate) fn remove_temporary_files() -> Vec<PathBuf> {
    let end = RUN.write().unwrap_or_else(PoisonError::into_inner);
    std::mem::forget(end);
    let left = std::mem::take(&mut *names());
    left.into_values().filter(|(spot, _)| !is_gone(spot)).map(|(_, path)| path).collect()
}

fn is_gone(spot: &Spot) -> bool {
    matches!(spot.remove(), Ok(()) | Err(Errno::NOENT))
}

/// An open file under a temporary name, or without one yet. The name goes with the value.
#[derive(Debug)]
pub(super) struct Temporary {
    /// For reading and writing.
    pub(super) file: File,
    number: u64,
    /// While it has one.
    spot: Option<Spot>,
}

impl Temporary {
    /// A new one in the directory of a name, for its owner alone. The path of that name is for reports.
    pub(super) fn beside(spot: &Spot, path: &Path) -> io::Result<Self> {
        Self::with_mode(spot, path, Mode::RUSR | Mode::WUSR)
    }

    /// The same with rights that the process's umask cuts down.
    pub(super) fn with_mode(spot: &Spot, path: &Path, mode: Mode) -> io::Result<Self> {
        let uninterrupted = Uninterrupted::begin();
        let make = |spot: &Spot| spot.open(OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, mode);
        let (spot, file) = under_free_name(spot, make)?;
        let mut made = Self::unnamed(file);
        made.named(spot, path, &uninterrupted);
        Ok(made)
    }

    /// One without a name: no other process opens it before [`Self::name`].
    pub(super) fn unnamed_beside(spot: &Spot) -> rustix::io::Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(spot.directory(), c".", flags, Mode::RUSR | Mode::WUSR)?);
        Ok(Self::unnamed(file))
    }

    fn unnamed(file: File) -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        Self { file, number: MADE.fetch_add(1, Ordering::Relaxed), spot: None }
    }

    /// Gives one that has no name a temporary one.
    pub(super) fn name(&mut self, beside: &Spot, path: &Path, uninterrupted: &Uninterrupted) -> io::Result<()> {
        if self.spot.is_some() {
            return Ok(());
        }
        let link = |spot: &Spot| {
            // Without /proc where the kernel allows it.
            let (directory, name) = (spot.directory(), spot.name());
            rustix::fs::linkat(&self.file, "", directory, name, AtFlags::EMPTY_PATH).or_else(|error| match error {
                Errno::NOENT => {
                    let link = format!("/proc/self/fd/{}", self.file.as_raw_fd());
                    rustix::fs::linkat(CWD, link, directory, name, AtFlags::SYMLINK_FOLLOW)
                }
                error => Err(error),
            })
        };
        let (spot, ()) = under_free_name(beside, link)?;
        self.named(spot, path, uninterrupted);
        Ok(())
    }

    fn named(&mut self, spot: Spot, path: &Path, _: &Uninterrupted) {
        let path = path.with_file_name(spot.name());
        names().insert(self.number, (spot.clone(), path));
        self.spot = Some(spot);
    }

    /// Where it is, while it has a name.
    pub(super) fn spot(&self) -> io::Result<&Spot> {
        self.spot.as_ref().ok_or_else(|| Errno::NOENT.into())
    }

    /// Gives it a name for good.
    pub(super) fn rename(&mut self, to: &Spot) -> io::Result<()> {
        self.spot()?.rename(to)?;
        self.keep();
        Ok(())
    }

    /// Takes what stands under its name away. Returns the name when that could not be done.
    pub(super) fn remove(&mut self) -> Option<OsString> {
        let spot = self.keep()?;
        (!is_gone(&spot)).then(|| spot.name().to_owned())
    }

    /// Leaves what stands under its name alone: it is another process's by now, or there for good.
    pub(super) fn keep(&mut self) -> Option<Spot> {
        names().remove(&self.number);
        self.spot.take()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Where this failed it was told before.
        self.remove();
    }
}

fn under_free_name<T>(beside: &Spot, make: impl Fn(&Spot) -> rustix::io::Result<T>) -> io::Result<(Spot, T)> {
    for _ in 0..MOST_NAMES {
        let spot = beside.beside(random_name()?);
        match make(&spot) {
            Ok(made) => return Ok((spot, made)),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Errno::EXIST.into())
}

fn random_name() -> io::Result<OsString> {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut random = [0_u8; RANDOM];
    getrandom(&mut random, GetRandomFlags::empty())?;
    let digits = random.iter().filter_map(|byte| DIGITS.get(usize::from(*byte) % DIGITS.len()));
    Ok(OsString::from_vec(PREFIX.iter().chain(digits).copied().collect()))
}
