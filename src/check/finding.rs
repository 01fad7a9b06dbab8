//! A finding: a rule, the file it is about, and the words for this case.

use std::fmt;
use std::path::PathBuf;

use bstr::{BString, ByteSlice};

use super::rule::{Rule, Severity};
use crate::nix;

/// When a finding is true, where it is not always.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Circumstance {
    /// LD_LIBRARY_PATH does it.
    ByLibraryPath,
    /// In the process of this program.
    In(PathBuf),
    /// When this program starts.
    WhenStarting(PathBuf),
    /// On hosts of these kinds, and not on others.
    OnHosts(Vec<String>),
}

impl fmt::Display for Circumstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByLibraryPath => f.write_str(" (by LD_LIBRARY_PATH)"),
            Self::In(program) => write!(f, ", in {}", program.display()),
            Self::OnHosts(hosts) => write!(f, ", on a host like {}", hosts.join(", ")),
            Self::WhenStarting(program) => write!(f, " when {} starts", program.display()),
        }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// What was found.
    pub(crate) rule: &'static Rule,
    /// How bad it is here.
    pub(crate) severity: Severity,
    /// The file as it was given; empty for a finding about the whole closure.
    pub(crate) path: PathBuf,
    /// The case in one sentence, without the path.
    pub(crate) case: String,
    /// What must hold beside it, each rendered behind the case.
    pub(crate) circumstances: Vec<Circumstance>,
    /// What the finding is about within the file: a library, an entry, a version. Two findings of one rule in one file
    /// differ in it.
    pub(crate) about: BString,
    /// `fix` repairs it here: not what LD_LIBRARY_PATH does, whatever the rule says.
    pub(crate) fixable: bool,
}

impl Finding {
    /// A finding as bad as its rule says.
    pub(super) fn new(
        rule: &'static Rule,
        path: &std::path::Path,
        about: impl Into<BString>,
        case: impl fmt::Display,
    ) -> Self {
        Self {
            rule,
            severity: rule.severity,
            path: path.to_owned(),
            case: case.to_string(),
            circumstances: Vec::new(),
            about: about.into(),
            fixable: rule.fixable,
        }
    }

    /// The same under a circumstance.
    pub(crate) fn only(mut self, circumstance: Circumstance) -> Self {
        self.circumstances.push(circumstance);
        self
    }

    /// The case with its circumstances: what every output format prints.
    #[must_use]
    pub(crate) fn message(&self) -> String {
        let circumstances: Vec<String> = self.circumstances.iter().map(ToString::to_string).collect();
        [self.case.as_str(), &circumstances.concat()].concat()
    }

    /// The same, but less bad.
    pub(super) fn no_worse_than(mut self, severity: Severity) -> Self {
        self.severity = self.severity.min(severity);
        self
    }

    /// The same, and at least as bad.
    pub(super) fn no_better_than(mut self, severity: Severity) -> Self {
        self.severity = self.severity.max(severity);
        self
    }

    /// What stays the same from build to build: the rule, the path without store hashes, and what it is about.
    #[must_use]
    pub(crate) fn fingerprint(&self) -> String {
        let path = std::os::unix::ffi::OsStrExt::as_bytes(self.path.as_os_str());
        let parts = [path, self.about.as_bytes()].map(nix::without_hashes);
        format!("{}:{}:{}", self.rule.code, String::from_utf8_lossy(&parts[0]), String::from_utf8_lossy(&parts[1]))
    }
}

/// What a request for a driver library comes to.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr, strum::EnumString, strum::VariantNames,
)]
#[strum(serialize_all = "kebab-case")]
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
    pub(crate) fn name(self) -> &'static str {
        self.into()
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
