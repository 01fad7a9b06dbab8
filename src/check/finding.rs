//! A finding: a rule, the file it is about, and the words for this case.

use std::fmt;
use std::path::PathBuf;

use bstr::{BString, ByteSlice};

use super::rule::{Rule, Severity};

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was found.
    pub rule: &'static Rule,
    /// How bad it is here: never worse than the rule says.
    pub severity: Severity,
    /// The file as it was given; empty for a finding about the whole closure.
    pub path: PathBuf,
    /// The case in one sentence, without the path.
    pub message: String,
    /// What the finding is about within the file: a library, an entry, a version. Two findings of one rule in one file
    /// differ in it.
    pub about: BString,
    /// `fix` repairs it here: not what LD_LIBRARY_PATH does, whatever the rule says.
    pub fixable: bool,
}

impl Finding {
    /// A finding as bad as its rule says.
    pub(super) fn new(
        rule: &'static Rule,
        path: &std::path::Path,
        about: impl Into<BString>,
        message: impl fmt::Display,
    ) -> Self {
        let (severity, fixable) = (rule.severity, rule.fixable);
        Self { rule, severity, path: path.to_owned(), message: message.to_string(), about: about.into(), fixable }
    }

    /// The same, but less bad.
    pub(super) fn no_worse_than(mut self, severity: Severity) -> Self {
        self.severity = self.severity.min(severity);
        self
    }

    /// What stays the same from build to build: the rule, the path without store hashes, and what it is about.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let path = std::os::unix::ffi::OsStrExt::as_bytes(self.path.as_os_str());
        let parts = [path, self.about.as_bytes()].map(without_hashes);
        format!("{}:{}:{}", self.rule.code, String::from_utf8_lossy(&parts[0]), String::from_utf8_lossy(&parts[1]))
    }
}

/// Length of a store path's hash (Nix's base 32 of 160 bits).
const HASH: usize = 32;

/// `/store/<hash>-name` becomes `/store/name`.
fn without_hashes(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once_str("/store/") {
        out.extend_from_slice(before);
        out.extend_from_slice(b"/store/");
        let hash = after.get(..HASH).filter(|hash| hash.iter().all(u8::is_ascii_alphanumeric));
        rest = match hash.and_then(|_| after.get(HASH..)?.strip_prefix(b"-")) {
            Some(name) => name,
            None => after,
        };
    }
    out.extend_from_slice(rest);
    out
}

/// What a request for a driver library comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The right directory comes first.
    Pass,
    /// Only the target can tell.
    Runtime,
    /// Something else comes first, or nothing does.
    Fail,
}

impl Verdict {
    /// The word used in every output format.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Runtime => "runtime",
            Self::Fail => "fail",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::rule::STUB_FIRST;

    #[test]
    fn fingerprints_survive_a_rebuild() {
        let finding = |hash: &str| {
            let path = format!("/nix/store/{hash}-app-1.0/bin/app");
            Finding::new(&STUB_FIRST, path.as_ref(), format!("/nix/store/{hash}-stubs/lib"), "x").fingerprint()
        };
        let (a, b) = ("a".repeat(32), "b".repeat(32));
        assert_eq!(finding(&a), finding(&b));
        assert_eq!(finding(&a), "CRP200:/nix/store/app-1.0/bin/app:/nix/store/stubs/lib");
        assert_ne!(finding("short"), finding(&a));
    }
}
