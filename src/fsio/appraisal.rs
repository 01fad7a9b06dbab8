//! What the kernel verifies the bytes of a file by: an edit would make it refuse the file.

use std::fs::File;
use std::io;

use rustix::io::Errno;

use super::identity::Identity;

/// How the kernel verifies a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Appraisal {
    /// A signature or hash in this extended attribute (`Linux security/integrity/ima/ima_appraise.c`, `evm/evm_main.c`).
    Attribute(&'static str),
    /// fs-verity: a tree of hashes, with which the file cannot be written and without which it is another one
    /// (`Linux Documentation/filesystems/fsverity.rst`).
    Verity,
}

const ATTRIBUTES: [&str; 2] = ["security.ima", "security.evm"];

/// Names of attributes of nearly every file: none, or SELinux' alone.
const USUAL: usize = 1024;

impl Appraisal {
    /// Asks an open file.
    ///
    /// # Errors
    /// What listing its attributes says, but that the file system has none.
    pub(super) fn of(file: &File, identity: &Identity) -> io::Result<Option<Self>> {
        if identity.is_sealed {
            return Ok(Some(Self::Verity));
        }
        let mut names = [0_u8; USUAL];
        let has: Box<dyn Fn(&str) -> bool> = match rustix::fs::flistxattr(file, &mut names[..]) {
            Ok(len) => {
                let names = names.get(..len).unwrap_or_default();
                Box::new(move |name| names.split(|byte| *byte == 0).any(|one| one == name.as_bytes()))
            }
            Err(Errno::RANGE) => Box::new(|name| rustix::fs::fgetxattr(file, name, &mut [0_u8; 0][..]).is_ok()),
            Err(Errno::NOTSUP | Errno::NOSYS) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(ATTRIBUTES.into_iter().find(|name| has(name)).map(Self::Attribute))
    }
}
