//! What glibc knows of a machine's hardware: folders that it searches before a directory, `$PLATFORM`, cache entries.

use bstr::BString;

use super::object::Abi;
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
    /// AT_PLATFORM, which glibc overrides for Intel's CPUs with AVX2 (`glibc sysdeps/x86/cpu-features.c`): on others
    /// it is `x86_64`. `None` where the kernel has none, or one for each CPU.
    pub(super) platform: Option<&'static str>,
    /// AT_PLATFORM where glibc does not override it: what may be there is looked for under either name.
    pub(super) other_platform: Option<&'static str>,
    /// The values of EI_ABIVERSION that objects may have, from 0 up to before these: with ELFOSABI_SYSV, and with
    /// ELFOSABI_GNU (LIBC_ABI_MAX, `glibc sysdeps/*/libc-abis`). Measured with glibc 2.36 of each machine.
    pub(super) versions: (u8, u8),
    /// A value of EI_OSABI beside those two.
    pub(super) own_system: Option<u8>,
    /// The ABI's bits in a cache entry's flags (`glibc sysdeps/generic/ldconfig.h`).
    abi: u32,
}

const UNKNOWN: Glibc = Glibc {
    machine: "",
    hwcaps: &[],
    words: &["tls"],
    bits: 0,
    platform: None,
    other_platform: None,
    versions: (1, 4),
    own_system: None,
    abi: 0,
};

/// ELFOSABI_ARM_AEABI
const ARM: u8 = 64;

const GLIBC: [Glibc; 14] = [
    Glibc {
        machine: "x86_64",
        hwcaps: &["x86-64-v4", "x86-64-v3", "x86-64-v2"],
        words: &["tls", "haswell", "avx512_1", "x86_64"],
        bits: (1 << 50) | (1 << 2) | (1 << 1) | (1 << 0),
        platform: Some("haswell"),
        other_platform: Some("x86_64"),
        abi: 0x0300,
        ..UNKNOWN
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
        versions: (1, 3),
        abi: 0x0a00,
        ..UNKNOWN
    },
    Glibc {
        machine: "armv7l",
        words: &["tls", "v7l", "neon", "vfp"],
        bits: (1 << 12) | (1 << 6),
        platform: Some("v7l"),
        versions: (1, 3),
        own_system: Some(ARM),
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
    Glibc { machine: "s390x", hwcaps: &["z16", "z15", "z14", "z13"], versions: (1, 3), abi: 0x0400, ..UNKNOWN },
    Glibc { machine: "riscv64", abi: 0x1000, ..UNKNOWN },
    Glibc { machine: "loongarch64", abi: 0x1200, ..UNKNOWN },
    Glibc { machine: "mips", versions: (6, 6), ..UNKNOWN },
    Glibc { machine: "mipsel", versions: (6, 6), ..UNKNOWN },
    Glibc { machine: "mips64", versions: (6, 6), ..UNKNOWN },
    Glibc { machine: "mips64el", versions: (6, 6), ..UNKNOWN },
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
    pub(super) fn legacy_subdirectories(&self, platform: Option<&str>) -> Vec<BString> {
        let mut combinations: Vec<Vec<&str>> = vec![Vec::new()];
        let own = |word: &&'static str| if Some(*word) == self.platform { platform.unwrap_or(word) } else { word };
        for word in self.words.iter().map(own) {
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

    /// Why an object is not for this system; `None` where it is (`glibc sysdeps/gnu/ldsodefs.h`, VALID_ELF_OSABI and
    /// VALID_ELF_ABIVERSION).
    pub(super) fn refuses(&self, abi: Abi) -> Option<&'static str> {
        const SYSV: u8 = 0;
        const GNU: u8 = 3;
        let below = match abi.os {
            SYSV => self.versions.0,
            GNU => self.versions.1,
            other if Some(other) == self.own_system => 1,
            _ => return Some("ELF file OS ABI invalid"),
        };
        if abi.version >= below {
            return Some("ELF file ABI version invalid");
        }
        abi.is_padded.then_some("nonzero padding in e_ident")
    }

    /// The flags of cache entries that a loader accepts.
    pub(super) fn cache_flags(&self) -> u32 {
        ELF_LIBC6 | self.abi
    }
}

/// The kind of a machine's objects, as entries of a cache have it.
#[must_use]
pub(crate) fn cache_flags(machine: &Machine) -> u32 {
    Glibc::of(machine).cache_flags()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_folders_are_in_the_order_that_ld_so_prints() {
        let found = |machine| {
            let glibc = Glibc::of(Machine::named(machine).unwrap());
            glibc.legacy_subdirectories(None).iter().map(ToString::to_string).collect::<Vec<_>>().join(":")
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
