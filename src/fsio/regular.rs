//! Only regular files are opened: what stands at a name is looked at first, and what was looked at is what is opened.
//!
//! To open a FIFO waits for its other end; to open a device can rewind a tape or start a watchdog. A name comes from a
//! stranger's file or image, so neither may happen. `O_PATH` gives hold of a file without opening it; what a listing of its
//! directory called a regular file needs no second look.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::dir::Spot;
use super::identity::Identity;

/// A regular file that was looked at before it was opened.
pub(super) struct Regular<'s> {
    spot: &'s Spot,
    node: File,
    /// Where a listing of the directory told what it is, that was the look.
    is_open: bool,
    pub(super) identity: Identity,
}

impl<'s> Regular<'s> {
    /// Looks at what has a name; a symbolic link is not followed.
    ///
    /// # Errors
    /// What the system says, and for anything but a regular file that it is none.
    pub(super) fn at(spot: &'s Spot) -> io::Result<Self> {
        let is_open = spot.is_listed();
        let node = spot.open(if is_open { OFlags::RDONLY } else { OFlags::PATH }, Mode::empty())?;
        let identity = regular(&node)?;
        Ok(Self { spot, node, is_open, identity })
    }

    /// Opens it for reading.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn read(self) -> io::Result<File> {
        if self.is_open { Ok(self.node) } else { again(&self.node, &self.identity, self.spot, OFlags::RDONLY) }
    }
}

/// The state of a regular file that is held.
///
/// # Errors
/// What the system says, and for anything else that it is none.
pub(super) fn regular(held: &File) -> io::Result<Identity> {
    let identity = Identity::of(held)?;
    match FileType::from_raw_mode(identity.mode) {
        FileType::RegularFile => Ok(identity),
        FileType::Symlink => Err(Errno::LOOP.into()),
        FileType::Directory => Err(Errno::ISDIR.into()),
        _ => Err(io::Error::other("not a regular file")),
    }
}

/// Opens a file that is held once more, in another way.
///
/// # Errors
/// What the system says; that another file took its place where only the name leads to it.
pub(super) fn again(held: &File, identity: &Identity, spot: &Spot, access: OFlags) -> io::Result<File> {
    // The way through /proc takes twice as long, which only a file that no listing showed is worth. On overlayfs the same
    // file is another inode when it is opened for writing.
    if spot.is_listed() && !spot.directory().is_overlay() {
        return by_name(identity, spot, access);
    }
    let flags = access | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let same = format!("/proc/self/fd/{}", held.as_raw_fd());
    match rustix::fs::open(same, flags, Mode::empty()) {
        // There is no /proc, or it is closed to this process.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => by_name(identity, spot, access),
        opened => Ok(File::from(opened?)),
    }
}

/// Opens what has the name by now, which must be the same file.
fn by_name(identity: &Identity, spot: &Spot, access: OFlags) -> io::Result<File> {
    let file = spot.open(access, Mode::empty())?;
    let is_same = Identity::of(&file)?.inode == identity.inode;
    if is_same { Ok(file) } else { Err(io::Error::other("another file took its place")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::unix::net::UnixListener;
    use std::path::Path;
    use std::sync::Arc;

    use crate::fsio::dir::Dir;

    fn spot(path: &Path) -> Spot {
        Spot::new(Arc::new(Dir::follow(path.parent().unwrap()).unwrap()), path.file_name().unwrap())
    }

    fn refusal(path: &Path) -> String {
        Regular::at(&spot(path)).map(|_| ()).unwrap_err().to_string()
    }

    /// To open the FIFO would wait for ever, the socket cannot be opened at all.
    #[test]
    fn what_is_no_file_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        let fifo = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, place("fifo"), FileType::Fifo, fifo, 0).unwrap();
        let _socket = UnixListener::bind(place("socket")).unwrap();
        std::os::unix::fs::symlink("/dev/null", place("link")).unwrap();
        for path in [&place("fifo"), &place("socket"), Path::new("/dev/null")] {
            assert_eq!(refusal(path), "not a regular file", "{}", path.display());
        }
        assert!(refusal(&place("link")).contains("symbolic links"));
        assert!(refusal(folder.path()).contains("Is a directory"));
    }

    /// Between the look and the opening the name goes to another file.
    #[test]
    fn what_was_looked_at_is_what_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "first").unwrap();
        let spot = spot(&path);
        let node = Regular::at(&spot).unwrap();
        std::fs::remove_file(&path).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let mut text = String::new();
        node.read().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "first");
    }
}
