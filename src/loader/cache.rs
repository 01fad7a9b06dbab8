//! `ld.so.cache`: which path ldconfig noted for a soname (`glibc sysdeps/generic/dl-cache.h`, format `glibc-ld.so.cache1.1`).
//!
//! Values are in the byte order of the machine that made it, which the magic's flags tell since glibc 2.33.

use std::collections::HashMap;

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

/// What a cache file notes, by soname.
#[derive(Clone, Debug, Default)]
pub(super) struct Cache {
    noted: HashMap<BString, Vec<Noted>>,
}

#[derive(Clone, Debug)]
struct Noted {
    flags: u32,
    /// The `glibc-hwcaps` folder that it comes from.
    hwcaps: Option<BString>,
    path: BString,
}

impl Cache {
    /// Reads the table; older files have another one in front of it. `None` for anything else.
    pub(super) fn parse(bytes: &[u8], is_big_endian: bool) -> Option<Self> {
        // The magic is aligned as the old table's records end; looking for it needs none of its fields.
        let start = if bytes.starts_with(MAGIC) {
            0
        } else if bytes.starts_with(OLD_MAGIC) {
            bytes.find(MAGIC)?
        } else {
            return None;
        };
        let table = Table { bytes: bytes.get(start..)?, encoding: Encoding { is_64: true, is_big_endian } };
        let mut noted: HashMap<BString, Vec<Noted>> = HashMap::new();
        for index in 0..table.usize_at(MAGIC.len())? {
            // A count that the file's size does not justify ends at the first record that is not there.
            let Some((name, entry)) = table.entry(index) else { break };
            if let Some(entry) = entry {
                noted.entry(name.to_owned()).or_default().push(entry);
            }
        }
        Some(Self { noted })
    }

    /// The path noted for a name, of the objects with these flags; the first of the given `glibc-hwcaps` wins.
    pub(super) fn lookup(&self, name: &BStr, flags: u32, hwcaps: &[BString]) -> Option<&BStr> {
        let rank = |noted: &&Noted| match &noted.hwcaps {
            None => Some(hwcaps.len()),
            Some(named) => hwcaps.iter().position(|known| known == named),
        };
        let usable = self.noted.get(name)?.iter().filter(|noted| noted.flags == flags);
        let ranked = usable.filter_map(|noted| Some((rank(&noted)?, noted)));
        ranked.min_by_key(|(rank, _)| *rank).map(|(_, noted)| noted.path.as_bstr())
    }
}

struct Table<'a> {
    bytes: &'a [u8],
    encoding: Encoding,
}

impl<'a> Table<'a> {
    /// A record; without an entry when it is for a machine with legacy hardware capabilities.
    fn entry(&self, index: usize) -> Option<(&'a BStr, Option<Noted>)> {
        let at = index.checked_mul(ENTRY)?.checked_add(HEADER)?;
        let flags = self.encoding.u32_at(self.bytes, at)?;
        let name = self.string(at.checked_add(4)?)?;
        let path = self.string(at.checked_add(8)?)?.to_owned();
        let hwcaps = match self.encoding.word_at(self.bytes, at.checked_add(16)?)? {
            0 => Some(None),
            bits if bits & HWCAPS_EXTENSION != 0 => {
                let named = u32::try_from(bits & u64::from(u32::MAX)).ok().and_then(|index| self.hwcaps_name(index));
                named.map(|named| Some(named.to_owned()))
            }
            _ => None,
        };
        Some((name, hwcaps.map(|hwcaps| Noted { flags, hwcaps, path })))
    }

    fn hwcaps_name(&self, index: u32) -> Option<&'a BStr> {
        let start = self.usize_at(32)?;
        if self.encoding.u32_at(self.bytes, start)? != EXTENSION_MAGIC {
            return None;
        }
        for section in 0..self.usize_at(start.checked_add(4)?)? {
            // Tag, flags, offset, size.
            let at = section.checked_mul(16)?.checked_add(start)?.checked_add(8)?;
            if self.encoding.u32_at(self.bytes, at)? == EXTENSION_HWCAPS {
                let names = self.usize_at(at.checked_add(8)?)?;
                return self.string(usize::try_from(index).ok()?.checked_mul(4)?.checked_add(names)?);
            }
        }
        None
    }

    fn usize_at(&self, at: usize) -> Option<usize> {
        usize::try_from(self.encoding.u32_at(self.bytes, at)?).ok()
    }

    /// The string whose offset stands at `at`.
    fn string(&self, at: usize) -> Option<&'a BStr> {
        let rest = self.bytes.get(self.usize_at(at)?..)?;
        rest.get(..rest.find_byte(0)?).map(ByteSlice::as_bstr)
    }
}

/// The flags of entries that a loader of this machine accepts (`glibc sysdeps/generic/ldconfig.h`).
pub(super) fn flags(machine: u16, is_64: bool) -> u32 {
    const ELF_LIBC6: u32 = 3;
    let abi = match (machine, is_64) {
        (62, true) => 0x0300,
        (62, false) => 0x0800,
        (183, true) => 0x0a00,
        (40, false) => 0x0900,
        (22, true) => 0x0400,
        (21, true) => 0x0500,
        (243, true) => 0x1000,
        (258, true) => 0x1200,
        _ => 0,
    };
    ELF_LIBC6 | abi
}
