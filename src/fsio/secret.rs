//! A secret of the running user: what is signed with it was written by a run of that user, not by a file's maker.
//!
//! Thirty-two random bytes, in a file that only the user can read, in a directory that only the user can write.

use std::fmt;
use std::fs::{DirBuilder, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::rand::{GetRandomFlags, getrandom};

use super::temporary::Uninterrupted;
use crate::elf::units::len64;

const NAME: &str = "key";
const LEN: usize = 32;

/// Bytes that a stranger does not know.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key([u8; LEN]);

impl Key {
    /// What only this key makes of these bytes.
    pub(super) fn sign(&self, bytes: &[u8]) -> blake3::Hash {
        blake3::keyed_hash(&self.0, bytes)
    }
}

/// Not to be printed.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// The keys of the running user, and where a new one may be kept.
#[derive(Debug)]
pub(crate) struct Secret {
    places: Vec<PathBuf>,
    known: Vec<Key>,
    /// See [`Self::key`].
    own: OnceLock<Option<Key>>,
}

impl Secret {
    /// Those that lie in directories of the user's, or in one of the user's in a directory that all users share; the
    /// first places are preferred, of those that `may_hold` lets through. Nothing is made.
    #[must_use]
    pub(crate) fn of(mut places: Vec<PathBuf>, shared: &Path, may_hold: &dyn Fn(&Path) -> bool) -> Self {
        places.push(shared.join(format!(".cuda-runpath-key-{}", rustix::process::geteuid().as_raw())));
        places.retain(|place| place.is_absolute() && may_hold(place));
        let known = places.iter().filter_map(|place| read(&open_directory(place)?)).collect();
        Self { places, known, own: OnceLock::new() }
    }

    /// The key to sign with: that of the first place which has one or in which one can be made; `None` where there is no
    /// such place.
    pub(super) fn key(&self) -> Option<Key> {
        let of = |place: &PathBuf| open_directory(place).and_then(|there| read(&there)).or_else(|| make(place));
        *self.own.get_or_init(|| self.places.iter().find_map(of))
    }

    /// Every key that the user may have signed with.
    pub(super) fn keys(&self) -> impl Iterator<Item = Key> {
        self.known.iter().copied().chain(self.own.get().copied().flatten())
    }
}

/// A directory that belongs to the running user and that no other user can write to.
fn open_directory(path: &Path) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(CWD, path, flags, Mode::empty()).ok()?;
    let stat = rustix::fs::fstat(&directory).ok()?;
    (stat.st_uid == rustix::process::geteuid().as_raw() && stat.st_mode & 0o022 == 0).then_some(directory)
}

fn read(directory: &OwnedFd) -> Option<Key> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(directory, NAME, flags, Mode::empty()).ok()?);
    let meta = file.metadata().ok()?;
    let is_own = meta.is_file() && meta.uid() == rustix::process::geteuid().as_raw() && meta.mode() & 0o077 == 0;
    let mut key = [0; LEN];
    file.read_exact_at(&mut key, 0).ok()?;
    (is_own && meta.len() == len64(&key)).then_some(Key(key))
}

/// A key has its name only once it is whole and on the disk. Of two runs that make one at once, the first one's is both's.
fn make(place: &Path) -> Option<Key> {
    // A signal leaves none that is half made.
    let _uninterrupted = Uninterrupted::begin();
    let _ = DirBuilder::new().recursive(true).mode(0o700).create(place);
    let directory = open_directory(place)?;
    let mut key = [0; LEN + 8];
    if getrandom(&mut key, GetRandomFlags::empty()).ok()? < key.len() {
        return None;
    }
    let (key, name) = key.split_first_chunk::<LEN>()?;
    let name = format!("new-{}", u64::from_le_bytes(name.try_into().ok()?));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(&directory, &name, flags, Mode::RUSR | Mode::WUSR).ok()?);
    if file.write_all_at(key, 0).and_then(|()| file.sync_all()).is_ok() {
        let _ = rustix::fs::linkat(&directory, &name, &directory, NAME, AtFlags::empty());
    }
    let _ = rustix::fs::unlinkat(&directory, &name, AtFlags::empty());
    let _ = rustix::fs::fsync(&directory);
    read(&directory)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_key_is_made_once_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let secret = || Secret::of(vec![folder.path().join("one")], folder.path(), &|_| true);
        let first = secret();
        assert_eq!(first.keys().count(), 0);
        assert!(!folder.path().join("one").exists(), "a look makes nothing");
        let key = first.key().unwrap();
        assert_eq!((first.key(), secret().key()), (Some(key), Some(key)));
        let path = folder.path().join("one/key");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path().join("one")).unwrap().count(), 1);
        assert_ne!(Secret::of(Vec::new(), folder.path(), &|_| true).key(), Some(key));
        assert_eq!(secret().keys().count(), 2, "each place's");
    }

    #[test]
    fn what_others_can_read_or_write_is_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("place");
        let secret = || Secret {
            places: vec![place.clone()],
            ..Secret::of(vec![place.clone()], Path::new("relative"), &|_| true)
        };
        secret().key().unwrap();
        let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let key = place.join("key");
        assert_eq!(secret().keys().count(), 1);
        mode(&key, 0o640);
        assert_eq!((secret().keys().count(), secret().key()), (0, None));
        mode(&key, 0o600);
        mode(&place, 0o770);
        assert_eq!((secret().keys().count(), secret().key()), (0, None));
        mode(&place, 0o700);
        fs::write(&key, [7; 31]).unwrap();
        assert_eq!(secret().key(), None);
        fs::write(&key, [7; 33]).unwrap();
        assert_eq!(secret().key(), None);
        fs::rename(&key, folder.path().join("elsewhere")).unwrap();
        fs::write(folder.path().join("elsewhere"), [7; 32]).unwrap();
        symlink(folder.path().join("elsewhere"), &key).unwrap();
        assert_eq!(secret().key(), None);
    }
}
