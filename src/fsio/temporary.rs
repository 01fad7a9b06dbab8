//! The temporary files of this run: each is known as long as it has a name, so that a run that is told to end can take
//! them away.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

/// What this program's temporary files are called, in front of six letters and digits.
const PREFIX: &str = ".cuda-runpath-";

/// Whether a name is that of a temporary file: of a run that is at work, or of one that was killed.
#[must_use]
pub(crate) fn is_temporary(name: &OsStr) -> bool {
    let random = name.as_bytes().strip_prefix(PREFIX.as_bytes());
    random.is_some_and(|random| random.len() == 6 && random.iter().all(u8::is_ascii_alphanumeric))
}

/// Held for reading by what must not be cut off in the middle, for writing by the end of the run.
static RUN: RwLock<()> = RwLock::new(());

static NAMES: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Lets no signal that is waited for end the run until the guard goes. It cannot be held twice.
pub(super) fn hold() -> RwLockReadGuard<'static, ()> {
    RUN.read().unwrap_or_else(PoisonError::into_inner)
}

/// Removes every temporary file for a run that ends now; no other one is made. Returns those that could not be removed.
#[must_use]
pub(crate) fn remove_temporary_files() -> Vec<PathBuf> {
    let end = RUN.write().unwrap_or_else(PoisonError::into_inner);
    std::mem::forget(end);
    let names = std::mem::take(&mut *NAMES.lock().unwrap_or_else(PoisonError::into_inner));
    names.into_iter().filter(|name| !is_gone(name)).collect()
}

fn is_gone(name: &Path) -> bool {
    std::fs::remove_file(name).map_or_else(|error| error.kind() == io::ErrorKind::NotFound, |()| true)
}

/// A temporary file, which goes with the value.
pub(super) struct Temporary {
    file: File,
    name: PathBuf,
    has_name: bool,
}

impl Temporary {
    /// Makes an empty one in a directory.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn in_directory(directory: &Path) -> io::Result<Self> {
        let _held = hold();
        let made = tempfile::Builder::new().prefix(PREFIX).rand_bytes(6).tempfile_in(directory)?;
        let (file, name) = made.keep().map_err(|failed| failed.error)?;
        NAMES.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
        Ok(Self { file, name, has_name: true })
    }

    /// The open file.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Its name.
    pub(super) fn name(&self) -> &Path {
        &self.name
    }

    /// Leaves what has the name now alone: it is another process's.
    pub(super) fn forget_name(&mut self) {
        self.has_name = false;
        NAMES.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }

    /// Removes what has the name now. Returns the name when that could not be done.
    pub(super) fn remove(&mut self) -> Option<PathBuf> {
        let is_left = self.has_name && !is_gone(&self.name);
        self.forget_name();
        is_left.then(|| self.name.clone())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Where this failed it was told before.
        self.remove();
    }
}
