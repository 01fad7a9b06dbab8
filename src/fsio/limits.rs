//! Limits of this process that a write must not meet half-way.

use std::sync::OnceLock;

/// `RLIMIT_FSIZE` in bytes; `None` without one.
#[must_use]
pub(crate) fn size_limit() -> Option<u64> {
    static LIMIT: OnceLock<Option<u64>> = OnceLock::new();
    *LIMIT.get_or_init(|| rustix::process::getrlimit(rustix::process::Resource::Fsize).current)
}

/// How many files can be worked on at once with the descriptors that this process may still open; one at least.
#[must_use]
pub(crate) fn most_at_once() -> usize {
    /// A file, its copy, one that is looked at meanwhile, and a directory.
    const FOR_EACH: u64 = 5;
    /// A receipt, and two that tell of signals.
    const BESIDE: u64 = 4;
    let Some(limit) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current else { return usize::MAX };
    let open = std::fs::read_dir("/proc/self/fd").map_or(3, Iterator::count);
    let left = limit.saturating_sub(BESIDE).saturating_sub(u64::try_from(open).unwrap_or(u64::MAX));
    usize::try_from(left / FOR_EACH).unwrap_or(usize::MAX).max(1)
}
