//! The Nix store is immutable: what may be written in it, and by whom.

use std::path::{Path, PathBuf};

/// Where the store is, and which of its paths the running build is making.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Store {
    /// `$NIX_STORE`, `/nix/store` by default.
    pub(crate) root: PathBuf,
    /// The outputs of the running build; empty outside one.
    pub(crate) outputs: Vec<PathBuf>,
}

/// Why a file in the store must not be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "is in the Nix store ({store}), which is immutable; write a patched copy with --output ./result-fixed, or add \
     cudaRunpathHook to nativeBuildInputs"
)]
pub struct StoreRefusal {
    /// The store that the file is in.
    pub(crate) store: String,
}

impl Store {
    /// Checks a canonical path; root and a writable mount change nothing.
    ///
    /// # Errors
    /// [`StoreRefusal`] when the path is in the store and not in an output of the running build.
    pub(crate) fn check(&self, canonical: &Path) -> Result<(), StoreRefusal> {
        let in_store = canonical.starts_with(&self.root);
        if !in_store || self.outputs.iter().any(|output| canonical.starts_with(output)) {
            return Ok(());
        }
        Err(StoreRefusal { store: self.root.display().to_string() })
    }

    /// The store path (`<store>/<hash>-<name>`) that a canonical path belongs to.
    #[must_use]
    pub(crate) fn path_of(&self, canonical: &Path) -> Option<PathBuf> {
        let name = canonical.strip_prefix(&self.root).ok()?.components().next()?;
        Some(self.root.join(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_outputs_of_the_running_build_may_be_written() {
        let store = Store { root: "/nix/store".into(), outputs: vec!["/nix/store/abc-app".into()] };
        assert!(store.check(Path::new("/home/me/result/bin/app")).is_ok());
        assert!(store.check(Path::new("/nix/storefront/x")).is_ok());
        assert!(store.check(Path::new("/nix/store/abc-app/bin/app")).is_ok());
        assert!(store.check(Path::new("/nix/store/abc-app-dev/bin/app")).is_err());
        assert!(store.check(Path::new("/nix/store")).is_err());
        assert_eq!(store.path_of(Path::new("/nix/store/abc-app/bin")), Some("/nix/store/abc-app".into()));
    }
}
