//! Which file it is, and in which state.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{Statx, makedev};

/// Which file, and in which state: enough to notice that another process changed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Device and inode.
    pub(crate) inode: (u64, u64),
    /// Size in bytes.
    pub(crate) len: u64,
    /// Last change of the contents, in seconds and nanoseconds.
    pub(crate) modified: (i64, i64),
    /// Last change of contents or attributes.
    pub(crate) changed: (i64, i64),
    /// Permissions and type.
    pub(crate) mode: u32,
    /// User and group.
    pub(crate) owner: (u32, u32),
    /// Names of the inode.
    pub(crate) links: u64,
}

impl Identity {
    /// Reads an open file's state.
    ///
    /// # Errors
    /// What `fstat` says.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        Ok(Self::from(file.metadata()?))
    }

    /// Whether the contents are those of another reading; names and attributes may have changed.
    #[must_use]
    pub(crate) fn same_contents(&self, other: &Self) -> bool {
        (self.inode, self.len, self.modified) == (other.inode, other.len, other.modified)
    }
}

impl From<Metadata> for Identity {
    fn from(meta: Metadata) -> Self {
        Self {
            inode: (meta.dev(), meta.ino()),
            len: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
            mode: meta.mode(),
            owner: (meta.uid(), meta.gid()),
            links: meta.nlink(),
        }
    }
}

impl From<Statx> for Identity {
    fn from(stat: Statx) -> Self {
        let time = |time: rustix::fs::StatxTimestamp| (time.tv_sec, i64::from(time.tv_nsec));
        Self {
            inode: (makedev(stat.stx_dev_major, stat.stx_dev_minor), stat.stx_ino),
            len: stat.stx_size,
            modified: time(stat.stx_mtime),
            changed: time(stat.stx_ctime),
            mode: u32::from(stat.stx_mode),
            owner: (stat.stx_uid, stat.stx_gid),
            links: u64::from(stat.stx_nlink),
        }
    }
}
