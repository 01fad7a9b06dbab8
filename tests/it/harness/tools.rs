//! Which tools are here. A test without its tool is named as skipped, or fails where `CUDA_RUNPATH_REQUIRE_TOOLS=1` says that
//! nothing may be skipped.

use std::path::Path;
use std::sync::OnceLock;

use super::command;

/// Whether `tool`, a name or a path, is there.
pub(crate) fn found(tool: &str) -> bool {
    if tool.contains('/') {
        return Path::new(tool).exists();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(tool).is_file())
}

/// Whether `tool` is there; if not, the test is named as skipped.
pub(crate) fn require(tool: &str, test: &str) -> bool {
    if found(tool) {
        return true;
    }
    skip(test, &format!("{tool} is not installed"));
    false
}

/// Names a test as skipped; where nothing may be skipped it fails.
pub(crate) fn skip(test: &str, reason: &str) {
    let strict = std::env::var_os("CUDA_RUNPATH_REQUIRE_TOOLS").is_some_and(|value| value == "1");
    assert!(!strict, "SKIP {test}: {reason}, and CUDA_RUNPATH_REQUIRE_TOOLS=1 forbids skips");
    eprintln!("SKIP {test}: {reason}");
}

/// Whether strace is here and may trace.
pub(crate) fn can_trace(test: &str) -> bool {
    static ALLOWED: OnceLock<bool> = OnceLock::new();
    if !require("strace", test) {
        return false;
    }
    let allowed = *ALLOWED.get_or_init(|| {
        let traced = command("strace").args(["-f", "-o", "/dev/null", "true"]).output();
        traced.is_ok_and(|output| output.status.success())
    });
    if !allowed {
        skip(test, "strace may not trace here");
    }
    allowed
}

/// Whether every combination is wanted (`tests/run --long`), not the choice of them that fits a commit.
pub(crate) fn long() -> bool {
    std::env::var_os("CUDA_RUNPATH_LONG").is_some_and(|value| value == "1")
}
