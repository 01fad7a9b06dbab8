//! What a file holds: copied by sharing or skipping what can be, reflinks and holes.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::elf::data::DataMap;
use crate::elf::units::FileRange;

/// Copies a file's contents into an empty one: shared blocks where the file system can, holes as holes.
pub(super) fn copy_contents(source: &File, target: &File, len: u64) -> io::Result<()> {
    if rustix::fs::ioctl_ficlone(target, source).is_ok() {
        return Ok(());
    }
    target.set_len(len)?;
    let is_believed = tells_holes(source);
    let mut at = 0_u64;
    while at < len {
        let start = match rustix::fs::seek(source, SeekFrom::Data(at)) {
            Ok(start) => start.min(len),
            Err(Errno::NXIO) => len,
            Err(_) => at,
        };
        if !is_believed && !is_zero(source, at, start)? {
            copy_part(source, at, target, at, start.saturating_sub(at))?;
        }
        let end = rustix::fs::seek(source, SeekFrom::Hole(start)).unwrap_or(len).min(len);
        if start < end {
            copy_part(source, start, target, start, end.saturating_sub(start))?;
        }
        at = end.max(start);
    }
    Ok(())
}

/// Whether a hole is one. Some file systems call data a hole as long as it is not on the disk yet; elsewhere reading
/// the gigabytes of a hole is all that an edit costs.
fn tells_holes(source: &File) -> bool {
    // ext4 (and its elders), XFS, tmpfs: Linux include/uapi/linux/magic.h.
    const KNOWN: [u64; 3] = [0xef53, 0x5846_5342, 0x0102_1994];
    let kind = rustix::fs::fstatfs(source).ok().and_then(|stat| u64::try_from(stat.f_type).ok());
    kind.is_some_and(|kind| KNOWN.contains(&kind))
}

/// Where a file has data, as far as that can be believed; everywhere in one that takes the room that it says.
pub(super) fn data_of(file: &File, len: u64) -> DataMap {
    /// Bytes of a block of `st_blocks`.
    const BLOCK: u64 = 512;
    /// A smaller hole is searched sooner than it is asked for. What ends a name may be the first zero of one.
    const SMALL: u64 = 1 << 20;
    let is_sparse = file.metadata().is_ok_and(|meta| meta.blocks().saturating_mul(BLOCK) < len >> 1);
    if !is_sparse || !tells_holes(file) {
        return DataMap::default();
    }
    let mut found: Vec<FileRange> = Vec::new();
    let mut at = 0_u64;
    while at < len {
        let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(start) => start.min(len),
            Err(Errno::NXIO) => break,
            Err(_) => return DataMap::default(),
        };
        let Ok(end) = rustix::fs::seek(file, SeekFrom::Hole(start)) else { return DataMap::default() };
        let around = [start.saturating_sub(SMALL), end.max(start.saturating_add(1)).saturating_add(SMALL).min(len)];
        match found.last_mut() {
            Some(last) if last.end().get() >= around[0] => {
                *last = FileRange::between(last.start().get(), around[1]).unwrap_or(*last);
            }
            _ => found.extend(FileRange::between(around[0], around[1])),
        }
        at = end.max(start.saturating_add(1));
    }
    DataMap::of(found)
}

fn is_zero(source: &File, start: u64, end: u64) -> io::Result<bool> {
    let mut buffer = vec![0_u8; if start < end { 1 << 16 } else { 0 }];
    let mut at = start;
    while at < end {
        let len = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX).min(buffer.len());
        let piece = buffer.get_mut(..len).unwrap_or_default();
        source.read_exact_at(piece, at)?;
        if piece.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        at = at.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
    }
    Ok(true)
}

/// Copies a part of a file to a place in another one.
pub(super) fn copy_part(source: &File, start: u64, target: &File, to: u64, len: u64) -> io::Result<()> {
    let (mut from, mut to, end) = (start, to, start.saturating_add(len));
    while from < end {
        let len = usize::try_from(end.saturating_sub(from)).unwrap_or(usize::MAX).min(1 << 30);
        match rustix::fs::copy_file_range(source, Some(&mut from), target, Some(&mut to), len) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => {
                return copy_by_hand(source, from, target, to, end);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn copy_by_hand(source: &File, start: u64, target: &File, to: u64, end: u64) -> io::Result<()> {
    let mut buffer = vec![0_u8; 1 << 16];
    let (mut at, mut to) = (start, to);
    while at < end {
        let len = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX).min(buffer.len());
        let read = source.read_at(buffer.get_mut(..len).unwrap_or_default(), at)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        target.write_all_at(buffer.get(..read).unwrap_or_default(), to)?;
        at = at.saturating_add(u64::try_from(read).unwrap_or(0));
        to = to.saturating_add(u64::try_from(read).unwrap_or(0));
    }
    Ok(())
}
