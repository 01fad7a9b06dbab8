//! Limits of this process that a write must not meet half-way.

use std::sync::OnceLock;

/// `RLIMIT_FSIZE` in bytes; `None` without one.
#[must_use]
pub(crate) fn size_limit() -> Option<u64> {
    static LIMIT: OnceLock<Option<u64>> = OnceLock::new();
    *LIMIT.get_or_init(|| rustix::process::getrlimit(rustix::process::Resource::Fsize).current)
}
