//! Which part of which file system an open file is, whatever is mounted where: one file has one such place.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::dir::Whereabouts;

/// A place in a file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DevicePath {
    /// Major and minor number, as the system writes them.
    device: Vec<u8>,
    /// From the root of the file system.
    path: PathBuf,
}

impl DevicePath {
    /// What leads from another part to this one, if it lies below that.
    pub(super) fn below(&self, other: &Self) -> Option<&Path> {
        if self.device == other.device { self.path.strip_prefix(&other.path).ok() } else { None }
    }
}

/// Bytes of the system's table of mounts; a hundred thousand have fewer.
const LARGEST_TABLE: u64 = 64 << 20;

/// What the system calls an open file or directory.
pub(super) fn name_of(file: &impl AsFd) -> Option<PathBuf> {
    fs::read_link(format!("/proc/self/fd/{}", file.as_fd().as_raw_fd())).ok()
}

/// What the system tells of where an open file or directory lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ToldPlace {
    /// There.
    Part(DevicePath),
    /// Through a mount that no table has any more, or never had: one that was unmounted while a process was in it
    /// (`umount -l`), one that was never attached (`open_tree`). It shows a part of some file system, and nothing says which.
    Nowhere,
    /// The system does not tell: without `/proc`, before Linux 5.8.
    Untold,
}

impl ToldPlace {
    /// The part, where it is told.
    pub(super) fn part(self) -> Option<DevicePath> {
        match self {
            Self::Part(part) => Some(part),
            Self::Nowhere | Self::Untold => None,
        }
    }
}

/// The place of an open file or directory.
pub(super) fn place_of(file: impl AsFd) -> ToldPlace {
    let Ok(Whereabouts { mount: Some(mount), .. }) = Whereabouts::of(file.as_fd()) else { return ToldPlace::Untold };
    let own = Path::new("/proc/self");
    let (Some(name), true) = (name_of(&file), own.join("mountinfo").exists()) else { return ToldPlace::Untold };
    let line = line_in(own, mount).or_else(|| processes()?.find_map(|process| line_in(&process, mount)));
    let part = line.and_then(|line| {
        let below = name.strip_prefix(&line.point).ok()?;
        // A file that is a mount by itself has nothing below that.
        let path = if below.as_os_str().is_empty() { line.root } else { line.root.join(below) };
        Some(DevicePath { device: line.device, path })
    });
    match part {
        Some(part) => ToldPlace::Part(part),
        // The root of this process has none where that is no mount by itself (`chroot`): names lead there all the same.
        None if leads_to(&name, &file) => ToldPlace::Untold,
        None => ToldPlace::Nowhere,
    }
}

/// Whether a name of this process leads to an open file or directory, through the same mount.
fn leads_to(name: &Path, file: &impl AsFd) -> bool {
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let there = rustix::fs::open(name, flags, Mode::empty()).ok().and_then(|there| Whereabouts::of(there).ok());
    there.is_some() && there == Whereabouts::of(file.as_fd()).ok()
}

/// All processes: a mount of another namespace is in the tables of those that live there.
fn processes() -> Option<impl Iterator<Item = PathBuf>> {
    let is_number = |name: &OsStr| name.as_bytes().iter().all(u8::is_ascii_digit);
    let entries = fs::read_dir("/proc").ok()?.flatten();
    Some(entries.map(|entry| entry.path()).filter(move |path| path.file_name().is_some_and(is_number)))
}

fn line_in(process: &Path, mount: u64) -> Option<Line> {
    let mut table = Vec::new();
    File::open(process.join("mountinfo")).ok()?.take(LARGEST_TABLE).read_to_end(&mut table).ok()?;
    table.split(|byte| *byte == b'\n').find_map(|line| Line::of(line).filter(|line| line.mount == mount))
}

/// A line of the table (`Linux Documentation/filesystems/proc.rst`, 3.5).
struct Line {
    mount: u64,
    device: Vec<u8>,
    root: PathBuf,
    point: PathBuf,
}

impl Line {
    fn of(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b' ');
        let mount = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
        let device = fields.nth(1)?.to_vec();
        Some(Self { mount, device, root: plain(fields.next()?), point: plain(fields.next()?) })
    }
}

/// Spaces, tabs, line ends and backslashes are written as three octal digits.
fn plain(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read() {
        let line = Line::of(b"36 35 98:0 /mnt1\\040x /mnt\\0112 rw,noatime master:1 - ext3 /dev/root rw").unwrap();
        assert_eq!((line.mount, &line.device[..]), (36, &b"98:0"[..]));
        assert_eq!((line.root.as_path(), line.point.as_path()), (Path::new("/mnt1 x"), Path::new("/mnt\t2")));
    }

    #[test]
    fn a_part_lies_below_another_of_the_same_file_system() {
        let part = |device: &[u8], path: &str| DevicePath { device: device.to_vec(), path: path.into() };
        let store = part(b"8:1", "/nix/store");
        assert_eq!(part(b"8:1", "/nix/store/a/b").below(&store), Some(Path::new("a/b")));
        assert_eq!(part(b"8:2", "/nix/store/a/b").below(&store), None);
        assert_eq!(part(b"8:1", "/nix/storefront").below(&store), None);
    }
}
