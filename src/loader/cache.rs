//! `ld.so.cache`: which path ldconfig noted for a soname (`glibc sysdeps/generic/dl-cache.h`, format `glibc-ld.so.cache1.1`).
//!
//! Values are in the byte order of the machine that made it, which the magic's flags tell since glibc 2.33. Nothing is
//! copied out of the file: what is kept is its bytes and an offset for each entry that is there, whatever its counts say.
#![deny(clippy::arithmetic_side_effects)]

use bstr::{BStr, BString, ByteSlice};

use crate::elf::record::Encoding;

const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const OLD_MAGIC: &[u8] = b"ld.so-1.7.0";
/// Magic, number of libraries, size of the strings, flags, extension offset, three unused words.
const HEADER: usize = 48;
/// Flags, key, value, kernel version, hardware capabilities.
const ENTRY: usize = 24;
/// Entries from a `glibc-hwcaps` folder carry this bit, and the index of the folder's name in the low half.
const HWCAPS_EXTENSION: u64 = 1 << 62;
const EXTENSION_MAGIC: u32 = 0xeaa4_2174;
const EXTENSION_HWCAPS: u32 = 1;
/// A file's name is no longer (NAME_MAX), nor is a path (PATH_MAX), their NULs included.
const LONGEST_NAME: usize = 256;
const LONGEST_PATH: usize = 4096;

/// A name stands in a cache once for each kind of object and each folder for better hardware.
const MOST_VARIANTS: usize = 64;

/// Which entries a loader takes.
#[derive(Clone, Debug, Default)]
pub(super) struct AcceptedEntries {
    /// The kind of object.
    pub(super) flags: u32,
    /// `glibc-hwcaps` folders, best first.
    pub(super) hwcaps: Vec<BString>,
    /// Bits of the older folders; none where they are not searched.
    pub(super) legacy: u64,
}

/// What a cache file notes, by soname.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    table: Table,
    /// Offsets of entries, by name; those of one name in the order of the file.
    entries: Vec<usize>,
}

impl Cache {
    /// Reads the table; older files have another one in front of it. `None` for anything else.
    pub(super) fn parse(mut bytes: Vec<u8>, is_big_endian: bool) -> Option<Self> {
        if bytes.starts_with(OLD_MAGIC) {
            // The magic is aligned as the old table's records end; looking for it needs none of its fields.
            let start = bytes.find(MAGIC)?;
            bytes.drain(..start);
        } else if !bytes.starts_with(MAGIC) {
            return None;
        }
        let mut table = Table { bytes, encoding: Encoding { is_64: true, is_big_endian }, folders: None };
        table.folders = table.find_folders();
        let mut entries = Vec::new();
        for index in 0..table.usize_at(MAGIC.len())? {
            // A count that the file's size does not justify ends at the first record that is not there.
            let Some(at) = table.entry(index) else { break };
            entries.push(at);
        }
        entries.sort_by(|a, b| table.name(*a).cmp(&table.name(*b)));
        Some(Self { table, entries })
    }

    /// The path noted for a name: from the best of the named folders, else the first that is usable.
    pub(super) fn lookup(&self, name: &BStr, wanted: &AcceptedEntries) -> Option<&BStr> {
        let table = &self.table;
        let first = self.entries.partition_point(|at| table.name(*at) < Some(name));
        let noted = self.entries.iter().skip(first).take_while(|at| table.name(**at) == Some(name));
        let ranked = noted.take(MOST_VARIANTS).filter_map(|at| Some((table.rank(*at, wanted)?, table.path(*at)?)));
        ranked.min_by_key(|(rank, _)| *rank).map(|(_, path)| path)
    }
}

#[derive(Clone, Debug)]
struct Table {
    bytes: Vec<u8>,
    encoding: Encoding,
    /// Where the offsets of the `glibc-hwcaps` folders' names stand.
    folders: Option<usize>,
}

impl Table {
    /// The offset of an entry that is there.
    fn entry(&self, index: usize) -> Option<usize> {
        let at = index.checked_mul(ENTRY)?.checked_add(HEADER)?;
        self.bytes.get(at..at.checked_add(ENTRY)?).map(|_| at)
    }

    fn name(&self, entry: usize) -> Option<&BStr> {
        self.string(entry.checked_add(4)?, LONGEST_NAME)
    }

    fn path(&self, entry: usize) -> Option<&BStr> {
        self.string(entry.checked_add(8)?, LONGEST_PATH)
    }

    /// How good an entry is for a loader, 0 being best; `None` when it is not for it.
    fn rank(&self, entry: usize, wanted: &AcceptedEntries) -> Option<usize> {
        if self.encoding.u32_at(&self.bytes, entry)? != wanted.flags {
            return None;
        }
        let bits = self.encoding.word_at(&self.bytes, entry.checked_add(16)?)?;
        if bits & HWCAPS_EXTENSION == 0 {
            return (bits & !wanted.legacy == 0).then_some(wanted.hwcaps.len());
        }
        let index = usize::try_from(bits & u64::from(u32::MAX)).ok()?;
        let folder = self.string(self.folders?.checked_add(index.checked_mul(4)?)?, LONGEST_NAME)?;
        wanted.hwcaps.iter().position(|known| known == folder)
    }

    fn find_folders(&self) -> Option<usize> {
        let start = self.usize_at(32)?;
        if self.encoding.u32_at(&self.bytes, start)? != EXTENSION_MAGIC {
            return None;
        }
        for section in 0..self.usize_at(start.checked_add(4)?)? {
            // Tag, flags, offset, size.
            let at = section.checked_mul(16)?.checked_add(start)?.checked_add(8)?;
            if self.encoding.u32_at(&self.bytes, at)? == EXTENSION_HWCAPS {
                return self.usize_at(at.checked_add(8)?);
            }
        }
        None
    }

    fn usize_at(&self, at: usize) -> Option<usize> {
        usize::try_from(self.encoding.u32_at(&self.bytes, at)?).ok()
    }

    /// The string whose offset stands at `at`, of at most so many bytes with its NUL.
    fn string(&self, at: usize, longest: usize) -> Option<&BStr> {
        let rest = self.bytes.get(self.usize_at(at)?..)?;
        let rest = rest.get(..longest).unwrap_or(rest);
        rest.get(..rest.find_byte(0)?).map(ByteSlice::as_bstr)
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
