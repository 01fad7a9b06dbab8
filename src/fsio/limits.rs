//! Limits of this process that a write must not meet half-way.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many arguments are held open.
static HELD: AtomicU64 = AtomicU64::new(0);

/// Whether one more argument may be held open: all of them together have a quarter of the descriptors.
pub(super) fn may_hold_one_more() -> bool {
    const SHARE: u64 = 4;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let held = HELD.fetch_add(1, Ordering::Relaxed);
    let may = limit.is_none_or(|limit| held < limit / SHARE);
    if !may {
        HELD.fetch_sub(1, Ordering::Relaxed);
    }
    may
}

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
    let most = limit.map(|limit| limit.saturating_sub(BESIDE).saturating_sub(HELD.load(Ordering::Relaxed)) / FOR_EACH);
    most.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX).max(1))
}
