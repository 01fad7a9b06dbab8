//! What glibc knows of a machine's hardware: folders that it searches before a directory, `$PLATFORM`, cache entries.

use bstr::BString;

use crate::elf::machine::Machine;

/// `tls` in a cache entry's bits; it is in no table of a machine.
const TLS: u64 = 1 << 63;

/// FLAG_ELF_LIBC6 (`glibc sysdeps/generic/ldconfig.h`).
const ELF_LIBC6: u32 = 3;

/// What glibc was taught of one machine.
///
/// The legacy folders, before 2.37: words of which every combination is a folder, the leftmost first, and the bits of
/// those in `ld.so.cache`. Which of them a loader takes depends on the CPU (AT_HWCAP, AT_PLATFORM); here are those of one
/// that has everything. From `ld.so --help` and `LD_DEBUG=libs` of glibc 2.36; the bits from `glibc sysdeps/*/dl-hwcap.h`
/// and `dl-procinfo.h`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Glibc {
    machine: &'static str,
    /// Folders below `glibc-hwcaps`, best first (`glibc sysdeps/*/dl-hwcaps-subdirs.c`).
    hwcaps: &'static [&'static str],
    words: &'static [&'static str],
    bits: u64,
    /// AT_PLATFORM, which glibc overrides for Intel's CPUs with AVX2 (`glibc sysdeps/x86/cpu-features.c`). `None` where
    /// the kernel has none, or one for each CPU.
    pub(super) platform: Option<&'static str>,
    /// The ABI's bits in a cache entry's flags (`glibc sysdeps/generic/ldconfig.h`).
    abi: u32,
}

const UNKNOWN: Glibc = Glibc { machine: "", hwcaps: &[], words: &["tls"], bits: 0, platform: None, abi: 0 };

const GLIBC: [Glibc; 10] = [
    Glibc {
        machine: "x86_64",
        hwcaps: &["x86-64-v4", "x86-64-v3", "x86-64-v2"],
        words: &["tls", "haswell", "avx512_1", "x86_64"],
        bits: (1 << 50) | (1 << 2) | (1 << 1) | (1 << 0),
        platform: Some("haswell"),
        abi: 0x0300,
    },
    Glibc { machine: "x32", abi: 0x0800, ..UNKNOWN },
    Glibc {
        machine: "i686",
        words: &["tls", "i686", "sse2"],
        bits: (1 << 49) | (1 << 0),
        platform: Some("i686"),
        ..UNKNOWN
    },
    Glibc {
        machine: "aarch64",
        words: &["tls", "aarch64", "atomics"],
        bits: 1 << 8,
        platform: Some("aarch64"),
        abi: 0x0a00,
        ..UNKNOWN
    },
    Glibc {
        machine: "armv7l",
        words: &["tls", "v7l", "neon", "vfp"],
        bits: (1 << 12) | (1 << 6),
        platform: Some("v7l"),
        abi: 0x0900,
        ..UNKNOWN
    },
    Glibc {
        machine: "powerpc64le",
        hwcaps: &["power10", "power9"],
        words: &["tls", "altivec", "dfp"],
        bits: (1 << 28) | (1 << 10),
        abi: 0x0500,
        ..UNKNOWN
    },
    Glibc { machine: "powerpc64", abi: 0x0500, ..UNKNOWN },
    Glibc { machine: "s390x", hwcaps: &["z16", "z15", "z14", "z13"], abi: 0x0400, ..UNKNOWN },
    Glibc { machine: "riscv64", abi: 0x1000, ..UNKNOWN },
    Glibc { machine: "loongarch64", abi: 0x1200, ..UNKNOWN },
];

impl Glibc {
    /// What there is of a machine.
    pub(super) fn of(machine: &Machine) -> Self {
        GLIBC.into_iter().find(|known| known.machine == machine.name).unwrap_or(UNKNOWN)
    }

    /// Every `glibc-hwcaps` folder, best first.
    pub(super) fn hwcaps(&self) -> Vec<BString> {
        self.hwcaps.iter().map(|name| BString::from(*name)).collect()
    }

    /// Before glibc 2.37: every combination of `tls`, the platform and features, most of them first.
    pub(super) fn legacy_subdirectories(&self) -> Vec<BString> {
        let mut combinations: Vec<Vec<&str>> = vec![Vec::new()];
        for word in self.words {
            let with = combinations.iter().map(|front| [front.as_slice(), &[word]].concat());
            let without = combinations.iter().cloned();
            combinations = with.zip(without).flat_map(|(with, without)| [with, without]).collect();
        }
        combinations.retain(|words| !words.is_empty());
        combinations.into_iter().map(|words| BString::from(words.join("/"))).collect()
    }

    /// The bits of cache entries from such folders.
    pub(super) fn legacy_bits(&self) -> u64 {
        self.bits | TLS
    }

    /// The flags of cache entries that a loader accepts.
    pub(super) fn cache_flags(&self) -> u32 {
        ELF_LIBC6 | self.abi
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_folders_are_in_the_order_that_ld_so_prints() {
        let found = |machine| {
            let glibc = Glibc::of(Machine::named(machine).unwrap());
            glibc.legacy_subdirectories().iter().map(ToString::to_string).collect::<Vec<_>>().join(":")
        };
        assert_eq!(
            found("x86_64"),
            "tls/haswell/avx512_1/x86_64:tls/haswell/avx512_1:tls/haswell/x86_64:tls/haswell:tls/avx512_1/x86_64:\
             tls/avx512_1:tls/x86_64:tls:haswell/avx512_1/x86_64:haswell/avx512_1:haswell/x86_64:haswell:\
             avx512_1/x86_64:avx512_1:x86_64"
        );
        assert_eq!(found("i686"), "tls/i686/sse2:tls/i686:tls/sse2:tls:i686/sse2:i686:sse2");
        assert_eq!(found("aarch64"), "tls/aarch64/atomics:tls/aarch64:tls/atomics:tls:aarch64/atomics:aarch64:atomics");
        assert_eq!(found("riscv64"), "tls");
    }
}
