//! What `ld.so.cache` is made of (`glibc sysdeps/generic/dl-cache.h`, format `glibc-ld.so.cache1.1`), for who reads one and who
//! writes one.

/// What it begins with.
pub(crate) const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
/// Magic, number of libraries, size of the strings, flags, extension offset, three unused words.
pub(crate) const HEADER: usize = 48;
/// Flags, key, value, kernel version, hardware capabilities.
pub(crate) const ENTRY: usize = 24;
/// Entries from a `glibc-hwcaps` folder carry this bit, and the index of the folder's name in the low half.
pub(crate) const HWCAPS_EXTENSION: u64 = 1 << 62;
/// What its extensions begin with.
pub(crate) const EXTENSION_MAGIC: u32 = 0xeaa4_2174;
/// The extension that names the folders.
pub(crate) const EXTENSION_HWCAPS: u32 = 1;
