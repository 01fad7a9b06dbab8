//! Where `fix` looks things up: on this machine, or in the image that the files belong to.

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};

use super::host::HostSource;
use super::world::SourceWorld;
use crate::fsio::{HostPath, ImagePath, Sysroot};
use crate::loader::FileSystem;
use crate::runpath::{Directory, EntryClass, Policy, SearchPath};

/// A root, and what is known of the files below it.
#[derive(Debug)]
pub(crate) struct Surroundings {
    sysroot: Sysroot,
    pub(super) world: SourceWorld,
}

impl Surroundings {
    /// This machine, or an image.
    #[must_use]
    pub(crate) fn new(sysroot: Sysroot) -> Self {
        let source = HostSource::new(sysroot.clone());
        Self { sysroot, world: SourceWorld::new(Arc::new(source), None) }
    }

    /// What a loader in it calls a canonical path of this machine.
    pub(super) fn path_of(&self, real: &ImagePath) -> ImagePath {
        self.sysroot.to_image(&HostPath::new(real.as_path()))
    }

    /// The policy for an object at a canonical path of this machine, with each managed directory spelled as in the object's own
    /// path, where an entry of that leads to the directory; `None` where the policy's spelling is right.
    pub(super) fn as_spelled(&self, policy: &Policy, path: Option<&BStr>, real: &ImagePath) -> Option<Policy> {
        let path = SearchPath::parse(path?);
        let is_text = |entry: &BStr| matches!(policy.classify(entry), EntryClass::Compat | EntryClass::Driver);
        let others: Vec<&BStr> = path.entries().filter(|entry| !entry.is_empty() && !is_text(entry)).collect();
        if others.is_empty() {
            return None;
        }
        let origin = self.path_of(real);
        let origin = origin.as_path().parent().map(|parent| parent.as_os_str().as_bytes()).unwrap_or_default();
        let leads: Vec<(&BStr, BString)> = others
            .into_iter()
            .filter_map(|entry| {
                let place = directory_of(entry, origin.as_bstr())?;
                Some((entry, self.world.leads_to(place.as_bstr())?))
            })
            .collect();
        let leading = |directory: &Directory| {
            if path.entries().any(|entry| directory.is_named_by(entry)) {
                return None;
            }
            let real = self.world.leads_to(directory_of(directory.as_bstr(), origin.as_bstr())?.as_bstr());
            let same = leads.iter().find(|(_, leads)| real.as_ref() == Some(leads));
            same.and_then(|(entry, _)| Directory::new((*entry).to_owned()).ok())
        };
        // Nearly every policy is right as it is, and needs no copy.
        policy.compat.iter().chain(&policy.driver).find_map(leading)?;
        let mut spelled = policy.clone();
        for directory in spelled.compat.iter_mut().chain(&mut spelled.driver) {
            if let Some(entry) = leading(directory) {
                *directory = entry;
            }
        }
        Some(spelled)
    }
}

/// The directory of an entry whose only token is `$ORIGIN`.
pub(super) fn directory_of(entry: &BStr, origin: &BStr) -> Option<BString> {
    let place = entry.replace("${ORIGIN}", origin).replace("$ORIGIN", origin);
    (place.starts_with(b"/") && !place.contains(&b'$')).then(|| place.into())
}
