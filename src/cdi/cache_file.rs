//! A cache as ldconfig writes it (`glibc sysdeps/generic/dl-cache.h`, format `glibc-ld.so.cache1.1`), so that whatever reads
//! caches reads this one, too.

use std::collections::BTreeMap;

use bstr::BString;

use super::ldconfig::CachedName;
use crate::elf::library_cache::{ENTRY, EXTENSION_HWCAPS, EXTENSION_MAGIC, HEADER, HWCAPS_EXTENSION, MAGIC};

/// The values are little-endian.
const LITTLE_ENDIAN: u8 = 2;

/// The bytes of a cache; of one that would need more than 4 GiB, an empty one's.
pub(super) fn of(entries: &[CachedName]) -> Vec<u8> {
    build(entries).or_else(|| build(&[])).unwrap_or_default()
}

fn build(entries: &[CachedName]) -> Option<Vec<u8>> {
    let start = HEADER.checked_add(entries.len().checked_mul(ENTRY)?)?;
    let mut strings = StringPool { start, bytes: Vec::new(), known: BTreeMap::new() };
    let mut folders: Vec<&BString> = entries.iter().filter_map(|entry| entry.hwcaps.as_ref()).collect();
    folders.sort();
    folders.dedup();
    let mut records = Vec::new();
    for entry in entries {
        let hwcap = match &entry.hwcaps {
            None => 0,
            Some(folder) => {
                HWCAPS_EXTENSION | u64::try_from(folders.iter().position(|known| *known == folder)?).ok()?
            }
        };
        records.extend(entry.flags.to_le_bytes());
        records.extend(strings.add(&entry.name)?.to_le_bytes());
        records.extend(strings.add(&entry.path)?.to_le_bytes());
        records.extend(0_u32.to_le_bytes());
        records.extend(hwcap.to_le_bytes());
    }
    let folders: Vec<u32> = folders.into_iter().map(|folder| strings.add(folder)).collect::<Option<_>>()?;
    let length = u32::try_from(strings.bytes.len()).ok()?;
    let mut extension = 0;
    let mut behind = Vec::new();
    if !folders.is_empty() {
        let end = start.checked_add(strings.bytes.len())?;
        let at = end.checked_next_multiple_of(4)?;
        behind.resize(at.checked_sub(end)?, 0);
        extension = u32::try_from(at).ok()?;
        // Magic and number of sections, then one section, then what it holds.
        let list = extension.checked_add(8 + 16)?;
        let size = u32::try_from(folders.len()).ok()?.checked_mul(4)?;
        for word in [EXTENSION_MAGIC, 1, EXTENSION_HWCAPS, 0, list, size].into_iter().chain(folders) {
            behind.extend(word.to_le_bytes());
        }
    }
    let mut bytes = MAGIC.to_vec();
    bytes.extend(u32::try_from(entries.len()).ok()?.to_le_bytes());
    bytes.extend(length.to_le_bytes());
    bytes.extend([LITTLE_ENDIAN, 0, 0, 0]);
    bytes.extend(extension.to_le_bytes());
    bytes.resize(HEADER, 0);
    bytes.extend(records);
    bytes.extend(strings.bytes);
    bytes.extend(behind);
    Some(bytes)
}

/// NUL-terminated strings, each once, and where they stand in the file.
struct StringPool<'s> {
    start: usize,
    bytes: Vec<u8>,
    known: BTreeMap<&'s BString, u32>,
}

impl<'s> StringPool<'s> {
    fn add(&mut self, text: &'s BString) -> Option<u32> {
        if let Some(known) = self.known.get(text) {
            return Some(*known);
        }
        let at = u32::try_from(self.start.checked_add(self.bytes.len())?).ok()?;
        self.bytes.extend(text.iter());
        self.bytes.push(0);
        self.known.insert(text, at);
        Some(at)
    }
}
