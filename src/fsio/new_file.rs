//! Files that the person named for a run to write: a receipt, a list.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::dir::Spot;
use super::error::FileError;
use super::limits::size_limit;
use super::map::{self, Opened};
use super::store::{Store, StoreRefusal};
use super::sysroot::{ImagePath, Sysroot};
use super::temporary::Temporary;
use crate::elf::units::len64;

/// Why a file could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NewFileError {
    /// What the system says.
    #[error(transparent)]
    System(#[from] io::Error),
    /// It would be in the Nix store.
    #[error(transparent)]
    Store(#[from] StoreRefusal),
}

/// A new file for writing; one that is there stays.
///
/// # Errors
/// [`NewFileError`] when its directory is not there or must not be written to.
pub(crate) fn create_new(path: &Path, store: &Store) -> Result<File, NewFileError> {
    let spot = spot_of(path, store)?;
    Ok(spot.open(OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, RIGHTS).map_err(io::Error::from)?)
}

/// A file with these contents: what was there under the name goes, and other names of it keep what they had. A pipe or a
/// device gets the contents.
///
/// # Errors
/// [`NewFileError`], and what writing says.
pub(crate) fn put(path: &Path, contents: &[u8], store: &Store) -> Result<(), NewFileError> {
    if std::fs::metadata(path).is_ok_and(|meta| !meta.is_file() && !meta.is_dir()) {
        let mut stream = File::options().write(true).open(path)?;
        if stream.metadata()?.is_file() {
            return Err(io::Error::from(Errno::AGAIN).into());
        }
        return Ok(stream.write_all(contents)?);
    }
    let spot = match Sysroot::host().hold(&ImagePath::new(path)) {
        Ok((_, anchor)) => anchor.spot(b"").ok_or(Errno::NODEV).map_err(io::Error::from)??,
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => spot_of(path, store)?,
        Err(error) => return Err(error.into()),
    };
    store.check(&spot, None)?;
    // A write past the limit would end the process with SIGXFSZ.
    if size_limit().is_some_and(|limit| len64(contents) > limit) {
        return Err(io::Error::from(Errno::FBIG).into());
    }
    let mut temporary = Temporary::with_mode(&spot, path, RIGHTS)?;
    temporary.file.write_all(contents)?;
    Ok(temporary.rename(&spot)?)
}

/// Opens a file of this machine by a path whose links were followed when it was written down: one that is there by now leads
/// elsewhere.
///
/// # Errors
/// [`FileError`] when it is not there any more, or not by this name.
pub(crate) fn open_canonical(path: &Path) -> Result<Opened, FileError> {
    let failed = |error| FileError::new(path, "open it", error);
    let (real, anchor) = Sysroot::host().hold(&ImagePath::new(path)).map_err(failed)?;
    match anchor.spot(b"") {
        Some(spot) if real.as_path() == path => map::open(spot.map_err(failed)?, path),
        Some(_) => Err(failed(Errno::LOOP.into())),
        None => Err(failed(io::Error::other("not a regular file"))),
    }
}

/// As every program makes files: the umask cuts them down.
const RIGHTS: Mode = Mode::from_raw_mode(0o666);

/// A name that something may be made under.
fn spot_of(path: &Path, store: &Store) -> Result<Spot, NewFileError> {
    let name = path.file_name().ok_or(Errno::ISDIR).map_err(io::Error::from)?;
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (directory, _) = Sysroot::host().reach_directory(above)?;
    let spot = Spot::new(Arc::clone(&directory), name);
    store.check(&spot, None)?;
    Ok(spot)
}
