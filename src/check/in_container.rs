//! What a library of an image is, where the host brings the driver.

use super::facts::Facts;
use crate::cdi::{ContainerState, split};

/// Whether a library of the image is one of cuda_compat: it says so, or lies in a directory of that name.
pub(super) fn is_compat(container: &ContainerState, facts: &Facts) -> bool {
    let directory = facts.object.directory();
    let name = split(directory).map_or(directory, |(_, name)| name);
    facts.compat_note.is_some()
        || container.compat_roots.iter().any(|root| root == directory)
        || name.starts_with(b"compat")
        || name.starts_with(b"cuda-compat")
}
