//! Limits of this process that a write must not meet half-way.

use std::sync::OnceLock;

/// `RLIMIT_FSIZE` in bytes; `None` without one.
#[must_use]
pub(crate) fn size_limit() -> Option<u64> {
    static LIMIT: OnceLock<Option<u64>> = OnceLock::new();
    *LIMIT.get_or_init(|| rustix::process::getrlimit(rustix::process::Resource::Fsize).current)
}

/// How many files can be worked on at once with as many descriptors as this process may have; one at least.
#[must_use]
pub(crate) fn most_at_once() -> usize {
    /// A file, its copy, one that is looked at meanwhile, and a directory.
    const FOR_EACH: u64 = 5;
    /// Standard streams, a receipt, two that tell of signals, and what was inherited.
    const BESIDE: u64 = 8;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let most = limit.map(|limit| limit.saturating_sub(BESIDE) / FOR_EACH);
    most.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX).max(1))
}
