//! Which of glibc's levels this machine's CPU has, and what its loader calls it (x86-64 psABI, "Micro-Architecture Levels").

use crate::loader::Cpu;

/// This machine's CPU; `None` where its levels are not known here.
#[cfg(target_arch = "x86_64")]
pub(super) fn detect() -> Option<Cpu> {
    use std::arch::is_x86_feature_detected as has;

    use crate::elf::machine::Machine;

    let v2 = has!("cmpxchg16b") && has!("popcnt") && has!("sse3") && has!("sse4.1") && has!("sse4.2") && has!("ssse3");
    let has_avx = has!("avx") && has!("avx2") && has!("fma") && has!("f16c");
    let v3 = v2 && has_avx && has!("bmi1") && has!("bmi2") && has!("lzcnt") && has!("movbe");
    let has_avx512 = has!("avx512f") && has!("avx512bw") && has!("avx512cd") && has!("avx512dq") && has!("avx512vl");
    let levels = [(v3 && has_avx512, "x86-64-v4"), (v3, "x86-64-v3"), (v2, "x86-64-v2")];
    let hwcaps = levels.into_iter().filter(|(has, _)| *has).map(|(_, name)| name.into());
    let platform = if is_intel() && has_avx && has!("bmi1") && has!("bmi2") && has!("lzcnt") && has!("movbe") {
        "haswell"
    } else {
        "x86_64"
    };
    Some(Cpu { machine: Machine::named("x86_64")?, hwcaps: hwcaps.collect(), platform })
}

/// Whether the CPU is Intel's: for others glibc's loader keeps the kernel's word (`glibc sysdeps/x86/cpu-features.c`).
#[cfg(target_arch = "x86_64")]
fn is_intel() -> bool {
    let told = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    told.lines().find(|line| line.starts_with("vendor_id")).is_some_and(|line| line.ends_with("GenuineIntel"))
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn detect() -> Option<Cpu> {
    None
}
