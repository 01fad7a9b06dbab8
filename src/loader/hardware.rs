//! What glibc knows of a machine's hardware: folders that it searches before a directory, `$PLATFORM`, cache entries.

use bstr::BString;

/// Before 2.37: words of which every combination is a folder, the leftmost first, and the bits of those in `ld.so.cache`.
///
/// Which of them a loader takes depends on the CPU (AT_HWCAP, AT_PLATFORM); here are those of one that has everything.
struct Legacy {
    machine: &'static str,
    words: &'static [&'static str],
    bits: u64,
}

/// `tls` in a cache entry's bits; it is in no table of a machine.
const TLS: u64 = 1 << 63;

/// From `ld.so --help` and `LD_DEBUG=libs` of glibc 2.36; the bits from `glibc sysdeps/*/dl-hwcap.h` and `dl-procinfo.h`.
const LEGACY: [Legacy; 5] = [
    Legacy {
        machine: "x86_64",
        words: &["tls", "haswell", "avx512_1", "x86_64"],
        bits: (1 << 50) | (1 << 2) | (1 << 1) | (1 << 0),
    },
    Legacy { machine: "i686", words: &["tls", "i686", "sse2"], bits: (1 << 49) | (1 << 0) },
    Legacy { machine: "aarch64", words: &["tls", "aarch64", "atomics"], bits: 1 << 8 },
    Legacy { machine: "armv7l", words: &["tls", "v7l", "neon", "vfp"], bits: (1 << 12) | (1 << 6) },
    Legacy { machine: "powerpc64le", words: &["tls", "altivec", "dfp"], bits: (1 << 28) | (1 << 10) },
];

/// Every `glibc-hwcaps` folder of a machine, best first (`glibc sysdeps/*/dl-hwcaps-subdirs.c`).
pub(super) fn hwcaps_of(machine: &str) -> Vec<BString> {
    let names: &[&str] = match machine {
        "x86_64" => &["x86-64-v4", "x86-64-v3", "x86-64-v2"],
        "powerpc64le" => &["power10", "power9"],
        "s390x" => &["z16", "z15", "z14", "z13"],
        _ => &[],
    };
    names.iter().map(|name| BString::from(*name)).collect()
}

/// Before glibc 2.37: every combination of `tls`, the platform and features, most of them first.
pub(super) fn legacy_subdirectories(machine: &str) -> Vec<BString> {
    let words = LEGACY.iter().find(|known| known.machine == machine).map_or(&["tls"][..], |known| known.words);
    let mut combinations: Vec<Vec<&str>> = vec![Vec::new()];
    for word in words {
        let with = combinations.iter().map(|front| [front.as_slice(), &[word]].concat());
        let without = combinations.iter().cloned();
        combinations = with.zip(without).flat_map(|(with, without)| [with, without]).collect();
    }
    combinations.retain(|words| !words.is_empty());
    combinations.into_iter().map(|words| BString::from(words.join("/"))).collect()
}

/// The bits of cache entries from such folders.
pub(super) fn legacy_bits(machine: &str) -> u64 {
    LEGACY.iter().find(|known| known.machine == machine).map_or(0, |known| known.bits) | TLS
}

/// AT_PLATFORM, which glibc overrides for Intel's CPUs with AVX2 (`glibc sysdeps/x86/cpu-features.c`). `None` where the
/// kernel has none, or one for each CPU.
pub(super) fn platform_of(machine: &str) -> Option<&'static str> {
    match machine {
        "x86_64" => Some("haswell"),
        "i686" => Some("i686"),
        "aarch64" => Some("aarch64"),
        "armv7l" => Some("v7l"),
        _ => None,
    }
}

/// The flags of cache entries that a loader of this machine accepts (`glibc sysdeps/generic/ldconfig.h`).
pub(super) fn cache_flags(machine: u16, is_64: bool) -> u32 {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_folders_are_in_the_order_that_ld_so_prints() {
        let found =
            |machine| legacy_subdirectories(machine).iter().map(ToString::to_string).collect::<Vec<_>>().join(":");
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
