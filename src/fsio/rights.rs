//! Rights that a file gives to those who start it: set-user-ID, set-group-ID and capabilities. The kernel takes them from
//! a file when it is written to, so that they are never those of contents which their giver did not see. What brings them
//! back must not undo that.

use std::fs::File;

use rustix::thread::CapabilitySet;

use super::identity::Identity;

/// Set-user-ID and set-group-ID.
pub(super) const SET_ID: u32 = 0o6000;

/// The attribute that holds capabilities.
pub(super) const CAPABILITY: &std::ffi::CStr = c"security.capability";

/// What a file gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rights {
    /// Bits of the mode.
    pub(crate) set_id: u32,
    /// The attribute's value.
    pub(crate) capability: Option<Vec<u8>>,
}

/// What becomes of them when this process writes to the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterWriting {
    /// There are none, or they stay.
    Kept,
    /// The bits go, and this process may set them again: no other user could write to the file meanwhile.
    SetAgain,
    /// The bits go for good.
    SetIdLost,
    /// Capabilities go, whichever process writes.
    CapabilityLost,
}

impl Rights {
    /// Reads an open file's.
    pub(super) fn of(file: &File, identity: &Identity) -> Self {
        let mut value = [0; 64];
        let len = rustix::fs::fgetxattr(file, CAPABILITY, &mut value[..]).ok();
        let capability = len.and_then(|len| value.get(..len)).map(<[u8]>::to_vec);
        Self { set_id: identity.mode & SET_ID, capability }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.set_id == 0 && self.capability.is_none()
    }

    /// What writing to the file itself would do to them, and to bits that an edit took before.
    pub(super) fn after_writing(&self, file: &Identity, taken: u32) -> AfterWriting {
        let keeps = || {
            let own = rustix::thread::capabilities(None);
            taken & !file.mode == 0 && own.is_ok_and(|own| own.effective.contains(CapabilitySet::FSETID))
        };
        match self {
            Self { capability: Some(_), .. } => AfterWriting::CapabilityLost,
            Self { set_id, .. } if set_id | taken == 0 || keeps() => AfterWriting::Kept,
            _ if is_exclusive(file) => AfterWriting::SetAgain,
            _ => AfterWriting::SetIdLost,
        }
    }
}

/// Whether an open file has capabilities.
#[must_use]
pub(crate) fn has_capabilities(file: &File) -> bool {
    rustix::fs::fgetxattr(file, CAPABILITY, &mut [0_u8; 64][..]).is_ok()
}

/// Whether the running user alone may write to a file. Where an ACL lets another one, the mode's group bits say so.
pub(super) fn is_exclusive(file: &Identity) -> bool {
    file.owner.0 == rustix::process::geteuid().as_raw() && file.mode & 0o022 == 0
}
