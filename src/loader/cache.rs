//! `ld.so.cache`: which path ldconfig noted for a soname (`glibc sysdeps/generic/dl-cache.h`, format `glibc-ld.so.cache1.1`).
//!
//! Values are in the byte order of the machine that made it, which the magic's flags tell since glibc 2.33. What is
//! kept is the strings that its entries name, each byte once, and the entries that are there, whatever its counts say.
#![deny(clippy::arithmetic_side_effects)]

use bstr::{BStr, BString, ByteSlice};

use crate::elf::library_cache::{ENTRY, EXTENSION_HWCAPS, EXTENSION_MAGIC, HEADER, HWCAPS_EXTENSION, MAGIC};
use crate::elf::record::Encoding;

const OLD_MAGIC: &[u8] = b"ld.so-1.7.0";
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

/// What a cache file notes, by soname: as much as its names and paths are, however long and full of holes it is.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    strings: Strings,
    /// By name; those of one name in the order of the file.
    entries: Vec<Entry>,
}

/// Strings by where they begin.
#[derive(Clone, Copy, Debug)]
struct Entry {
    flags: u32,
    name: usize,
    path: usize,
    made_for: MadeFor,
}

/// Which hardware an entry is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MadeFor {
    /// That of a `glibc-hwcaps` folder, whose name begins there.
    Folder(usize),
    /// That which has all of these, in the way of the older folders; every one where there are none.
    Bits(u64),
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
        let mut indexes: Vec<u32> = Vec::new();
        for index in 0..table.u32_at(MAGIC.len())? {
            // A count that the file's size does not justify ends at the first record that is not there.
            let Some(at) = table.at(index) else { break };
            if table.name(at).is_some() {
                indexes.push(index);
            }
        }
        let name = |index: &u32| table.name(table.at(*index)?);
        indexes.sort_by(|a, b| name(a).cmp(&name(b)));
        // What says the same once more is never asked.
        indexes.dedup_by(|a, b| name(a) == name(b) && table.says(*a) == table.says(*b));
        let entries = indexes.into_iter().filter_map(|index| table.entry(index)).collect();
        Some(Self::of(entries, &table))
    }

    /// Keeps the strings that entries name, and nothing else of a file.
    fn of(mut entries: Vec<Entry>, table: &Table) -> Self {
        let mut used: Vec<(usize, usize)> = Vec::new();
        for entry in &entries {
            let folder = match entry.made_for {
                MadeFor::Folder(at) => Some((at, LONGEST_NAME)),
                MadeFor::Bits(_) => None,
            };
            for (at, longest) in [(entry.name, LONGEST_NAME), (entry.path, LONGEST_PATH)].into_iter().chain(folder) {
                let len = table.string_at(at, longest).map_or(0, |text| text.len().saturating_add(1));
                used.push((at, at.saturating_add(len)));
            }
        }
        let strings = Strings::of(used, &table.bytes);
        for entry in &mut entries {
            entry.name = strings.moved(entry.name);
            entry.path = strings.moved(entry.path);
            if let MadeFor::Folder(at) = &mut entry.made_for {
                *at = strings.moved(*at);
            }
        }
        Self { strings: Strings { moves: Vec::new(), ..strings }, entries }
    }

    /// The path noted for a name: from the best of the named folders, else the first that is usable.
    pub(super) fn lookup(&self, name: &BStr, wanted: &AcceptedEntries) -> Option<&BStr> {
        let first = self.entries.partition_point(|entry| self.strings.at(entry.name) < Some(name));
        let noted = self.entries.iter().skip(first).take_while(|entry| self.strings.at(entry.name) == Some(name));
        let ranked = noted.take(MOST_VARIANTS).filter_map(|entry| Some((self.rank(entry, wanted)?, entry.path)));
        self.strings.at(ranked.min_by_key(|(rank, _)| *rank)?.1)
    }

    /// How good an entry is for a loader, 0 being best; `None` when it is not for it.
    fn rank(&self, entry: &Entry, wanted: &AcceptedEntries) -> Option<usize> {
        if entry.flags != wanted.flags {
            return None;
        }
        match entry.made_for {
            MadeFor::Bits(bits) => (bits & !wanted.legacy == 0).then_some(wanted.hwcaps.len()),
            MadeFor::Folder(at) => {
                let folder = self.strings.at(at)?;
                wanted.hwcaps.iter().position(|known| known == folder)
            }
        }
    }
}

/// Those ranges of a file that hold strings, one behind the other. ldconfig lets a name be the end of a path, so a byte can
/// be of several strings.
#[derive(Clone, Debug, Default)]
struct Strings {
    bytes: Vec<u8>,
    /// Where each range began and where it begins now, in order.
    moves: Vec<(usize, usize)>,
}

impl Strings {
    fn of(mut used: Vec<(usize, usize)>, file: &[u8]) -> Self {
        used.sort_unstable();
        let mut strings = Self::default();
        let mut end = 0;
        for (from, to) in used {
            if strings.moves.is_empty() || from > end {
                strings.moves.push((from, strings.bytes.len()));
                end = from;
            }
            strings.bytes.extend_from_slice(file.get(end..to).unwrap_or_default());
            end = end.max(to);
        }
        strings.bytes.shrink_to_fit();
        strings
    }

    /// Where that which stood at an offset of the file stands now.
    fn moved(&self, at: usize) -> usize {
        let range = self.moves.partition_point(|(from, _)| *from <= at).checked_sub(1);
        let range = range.and_then(|range| self.moves.get(range));
        range.map_or(0, |(from, to)| to.saturating_add(at.saturating_sub(*from)))
    }

    fn at(&self, at: usize) -> Option<&BStr> {
        let rest = self.bytes.get(at..)?;
        rest.get(..rest.find_byte(0)?).map(ByteSlice::as_bstr)
    }
}

/// The file.
struct Table {
    bytes: Vec<u8>,
    encoding: Encoding,
    /// Where the offsets of the `glibc-hwcaps` folders' names stand.
    folders: Option<usize>,
}

impl Table {
    /// The offset of a record that is there.
    fn at(&self, index: u32) -> Option<usize> {
        let at = usize::try_from(index).ok()?.checked_mul(ENTRY)?.checked_add(HEADER)?;
        self.bytes.get(at..at.checked_add(ENTRY)?).map(|_| at)
    }

    fn name(&self, record: usize) -> Option<&BStr> {
        self.string_at(self.usize_at(record.checked_add(4)?)?, LONGEST_NAME)
    }

    /// For which objects and hardware a record is.
    fn says(&self, index: u32) -> Option<(u32, u64)> {
        let at = self.at(index)?;
        Some((self.u32_at(at)?, self.encoding.word_at(&self.bytes, at.checked_add(16)?)?))
    }

    /// A record whose strings are there.
    fn entry(&self, index: u32) -> Option<Entry> {
        let at = self.at(index)?;
        let (flags, bits) = self.says(index)?;
        let (name, path) = (self.usize_at(at.checked_add(4)?)?, self.usize_at(at.checked_add(8)?)?);
        self.string_at(name, LONGEST_NAME)?;
        self.string_at(path, LONGEST_PATH)?;
        if bits & HWCAPS_EXTENSION == 0 {
            return Some(Entry { flags, name, path, made_for: MadeFor::Bits(bits) });
        }
        let folder = usize::try_from(bits & u64::from(u32::MAX)).ok()?;
        let folder = self.usize_at(self.folders?.checked_add(folder.checked_mul(4)?)?)?;
        self.string_at(folder, LONGEST_NAME)?;
        Some(Entry { flags, name, path, made_for: MadeFor::Folder(folder) })
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

    fn u32_at(&self, at: usize) -> Option<u32> {
        self.encoding.u32_at(&self.bytes, at)
    }

    fn usize_at(&self, at: usize) -> Option<usize> {
        usize::try_from(self.u32_at(at)?).ok()
    }

    /// The string that begins at an offset, of at most so many bytes with its NUL.
    fn string_at(&self, at: usize, longest: usize) -> Option<&BStr> {
        let rest = self.bytes.get(at..)?;
        let rest = rest.get(..longest).unwrap_or(rest);
        rest.get(..rest.find_byte(0)?).map(ByteSlice::as_bstr)
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
