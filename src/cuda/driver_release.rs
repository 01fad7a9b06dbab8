//! Which CUDA release a kernel driver brings.

use super::version::Version;

/// The first branch of each release, newest first (CUDA Toolkit Release Notes, "CUDA Toolkit and Corresponding Driver
/// Versions"; Jetsons since L4T 38 have drivers of the same branches, before that of their own: 540 brings 12.2 or 12.6).
const RELEASES: [(u32, Version); 3] = [(595, Version(13, 2)), (590, Version(13, 1)), (580, Version(13, 0))];

/// The CUDA release of a driver's branch; of a branch that is newer than any here, that of the newest one, which is the
/// least that it brings. `None` for older branches.
#[must_use]
pub(crate) fn release_of_branch(branch: u32) -> Option<Version> {
    RELEASES.iter().find(|(first, _)| branch >= *first).map(|(_, release)| *release)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_bring_releases() {
        for (branch, release) in [
            (540, None),
            (575, None),
            (580, Some(Version(13, 0))),
            (590, Some(Version(13, 1))),
            (595, Some(Version(13, 2))),
            (610, Some(Version(13, 2))),
        ] {
            assert_eq!(release_of_branch(branch), release, "{branch}");
        }
    }
}
