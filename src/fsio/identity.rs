//! Which file it is, and in which state.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::time::UNIX_EPOCH;

use rustix::fs::{AtFlags, Statx, StatxAttributes, StatxFlags, makedev};
use rustix::io::Errno;

/// Which file, and in which state: enough to notice that another process changed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Device and inode.
    pub(crate) inode: (u64, u64),
    /// When the inode was made, in seconds and nanoseconds; where the file system does not say, its device and more
    /// nanoseconds than there are.
    pub(crate) made: (u64, u64),
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
    /// Bytes that it takes on the disk.
    pub(crate) blocks: u64,
    /// Whether fs-verity holds its contents.
    pub(super) is_sealed: bool,
    /// What the kernel calls the mount that it was reached through; `None` before Linux 5.8.
    pub(super) mount: Option<u64>,
}

/// Bytes of a block, whatever the file system has.
const BLOCK: u64 = 512;

/// All of that.
const ASKED: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME).union(StatxFlags::MNT_ID);

impl Identity {
    /// Reads an open file's state.
    ///
    /// # Errors
    /// What `fstat` says.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        match rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, ASKED) {
            Ok(stat) => Ok(Self::from(stat)),
            // Before Linux 4.11, or where something filters calls.
            Err(Errno::NOSYS | Errno::PERM) => Ok(Self::from(file.metadata()?)),
            Err(error) => Err(error.into()),
        }
    }

    /// The state of what has a name in a directory; a symbolic link is not followed.
    ///
    /// # Errors
    /// What `statx` says.
    pub(super) fn at(directory: impl AsFd, name: &OsStr) -> io::Result<Self> {
        Ok(Self::from(rustix::fs::statx(directory, name, AtFlags::SYMLINK_NOFOLLOW, ASKED)?))
    }

    /// Whether contents and rights are those of another reading; names and other attributes may have changed.
    #[must_use]
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        let told = |of: &Self| (of.inode, of.len, of.modified, of.mode, of.owner);
        told(self) == told(other)
    }
}

impl From<Metadata> for Identity {
    fn from(meta: Metadata) -> Self {
        let made = meta.created().ok().and_then(|made| made.duration_since(UNIX_EPOCH).ok());
        Self {
            inode: (meta.dev(), meta.ino()),
            made: made.map_or((meta.dev(), u64::MAX), |made| (made.as_secs(), made.subsec_nanos().into())),
            len: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
            mode: meta.mode(),
            owner: (meta.uid(), meta.gid()),
            links: meta.nlink(),
            blocks: meta.blocks().saturating_mul(BLOCK),
            is_sealed: false,
            mount: None,
        }
    }
}

impl From<Statx> for Identity {
    fn from(stat: Statx) -> Self {
        let time = |time: rustix::fs::StatxTimestamp| (time.tv_sec, i64::from(time.tv_nsec));
        let device = makedev(stat.stx_dev_major, stat.stx_dev_minor);
        let tells = |what| StatxFlags::from_bits_retain(stat.stx_mask).contains(what);
        let made = u64::try_from(stat.stx_btime.tv_sec).ok().filter(|_| tells(StatxFlags::BTIME));
        Self {
            inode: (device, stat.stx_ino),
            made: made.map_or((device, u64::MAX), |seconds| (seconds, stat.stx_btime.tv_nsec.into())),
            len: stat.stx_size,
            modified: time(stat.stx_mtime),
            changed: time(stat.stx_ctime),
            mode: u32::from(stat.stx_mode),
            owner: (stat.stx_uid, stat.stx_gid),
            links: u64::from(stat.stx_nlink),
            blocks: stat.stx_blocks.saturating_mul(BLOCK),
            is_sealed: stat.stx_attributes.contains(StatxAttributes::VERITY),
            mount: tells(StatxFlags::MNT_ID).then_some(stat.stx_mnt_id),
        }
    }
}
