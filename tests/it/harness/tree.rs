//! Temporary trees.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::is_root;

/// A temporary folder with files in it, open to every user.
pub(crate) struct Tree(tempfile::TempDir);

impl Tree {
    pub(crate) fn new() -> Self {
        Self::open(tempfile::Builder::new().prefix("crp-").tempdir().expect("a temporary folder"))
    }

    /// The same in memory where there is such a file system: the default write mode waits for the disk after every file, and
    /// tests with thousands of files have nothing to learn from that.
    pub(crate) fn in_memory() -> Self {
        tempfile::tempdir_in("/dev/shm").map_or_else(|_| Self::new(), Self::open)
    }

    fn open(folder: tempfile::TempDir) -> Self {
        set_mode(folder.path(), 0o755);
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path().join(name)
    }

    /// A folder, with those above it.
    pub(crate) fn folder(&self, name: impl AsRef<Path>) -> PathBuf {
        let path = self.join(name);
        std::fs::create_dir_all(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// A place for a file, in a folder that is there.
    pub(crate) fn place(&self, name: impl AsRef<Path>) -> PathBuf {
        let path = self.join(name);
        self.folder(path.parent().expect("inside the tree"));
        path
    }

    /// Writes a file with an old time stamp, so that a write within the clock's granularity is seen.
    pub(crate) fn file(&self, name: impl AsRef<Path>, bytes: &[u8]) -> PathBuf {
        let path = self.place(name);
        std::fs::write(&path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        age(&path);
        path
    }

    /// The same, executable.
    pub(crate) fn executable(&self, name: impl AsRef<Path>, bytes: &[u8]) -> PathBuf {
        let path = self.file(name, bytes);
        set_mode(&path, 0o755);
        path
    }

    /// A copy of a file.
    pub(crate) fn copy(&self, from: &Path, name: impl AsRef<Path>) -> PathBuf {
        let to = self.place(name);
        std::fs::copy(from, &to).unwrap_or_else(|error| panic!("{}: {error}", to.display()));
        to
    }

    /// A symbolic link.
    pub(crate) fn symlink(&self, target: impl AsRef<Path>, name: impl AsRef<Path>) -> PathBuf {
        let link = self.place(name);
        std::os::unix::fs::symlink(target, &link).unwrap_or_else(|error| panic!("{}: {error}", link.display()));
        link
    }

    /// Leaves the tree for a look at it.
    pub(crate) fn keep(mut self) -> PathBuf {
        self.0.disable_cleanup(true);
        self.path().to_owned()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // A folder that a test made read-only would stay behind.
        if !is_root() {
            make_writable(self.path());
        }
    }
}

/// Opens every folder of a tree to its owner.
pub(crate) fn make_writable(folder: &Path) {
    if folder.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
        let _ = std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755));
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            make_writable(&entry.path());
        }
    }
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    let permissions = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(path, permissions).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// The names in a folder.
pub(crate) fn names(folder: &Path) -> BTreeSet<OsString> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
}

/// The time stamp of a fresh file.
pub(crate) fn long_ago() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)
}

/// Sets the modification time to a day long ago.
pub(crate) fn age(path: &Path) {
    let file = std::fs::File::options().write(true).open(path);
    file.and_then(|file| file.set_modified(long_ago())).expect("an old time stamp");
}
