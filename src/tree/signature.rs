//! Signatures of whole files that stand beside them: what verifies one refuses the file after an edit.

use std::cell::Cell;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use bstr::ByteSlice;

use super::discover::{Found, Listing};
use crate::fsio::Opened;

/// What every signature of NSS begins with (`nss lib/freebl/shsign.h`, NSS_SIGN_CHK_MAGIC1 and 2).
const NSS_MAGIC: [u8; 2] = [0xf1, 0xc5];

/// Either kind is a few hundred bytes.
const LARGEST: u64 = 1 << 16;

/// What the walk of a tree told of signatures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Signatures {
    /// Nothing: each file's directory is asked.
    #[default]
    Unknown,
    /// There is none below the arguments.
    NoneBelow,
}

impl Signatures {
    /// What a listing tells, which costs less than to list each directory once more.
    #[must_use]
    pub(crate) fn among(listing: &Listing) -> Self {
        let is_none = listing.is_whole && !listing.files.iter().any(|found| is_name(found.name().as_bytes()));
        if is_none { Self::NoneBelow } else { Self::Unknown }
    }

    /// The signature of a file that was found.
    pub(super) fn of(self, found: &Found, file: &Opened) -> Option<PathBuf> {
        if self == Self::NoneBelow && found.is_below() { None } else { signature_of(file) }
    }
}

/// Whether it is the name of a signature.
fn is_name(name: &[u8]) -> bool {
    [&b".chk"[..], b".hmac"].iter().any(|end| name.ends_with(end))
}

/// The name of a file's signature beside it, where there is one: `libsoftokn3.chk` of NSS, which it verifies at every start
/// in FIPS mode, and `.libgnutls.so.30.hmac` as Fedora has them, also in `fipscheck`.
pub(super) fn signature_of(file: &Opened) -> Option<PathBuf> {
    if !is_any_beside(file) {
        return None;
    }
    let name = file.path.file_name()?.as_bytes();
    let nss = name.strip_suffix(b".so").map(|stem| [stem, b".chk"].concat());
    let nss = nss.filter(|beside| reads(file, beside, |bytes| bytes.starts_with(&NSS_MAGIC)));
    let hmacs = [[b".", name, b".hmac"].concat(), [b"fipscheck/", name, b".hmac"].concat()];
    let found = nss.or_else(|| hmacs.into_iter().find(|beside| reads(file, beside, is_hmac)))?;
    Some(file.path.with_file_name(OsString::from_vec(found)))
}

/// Whether there are signatures in a file's directory. Files come in path order: one listing serves for all of a directory.
fn is_any_beside(file: &Opened) -> bool {
    thread_local! {
        static LAST: Cell<Option<((u64, u64), bool)>> = const { Cell::new(None) };
    }
    let directory = file.directory();
    match (directory, LAST.get()) {
        (Some(directory), Some((last, told))) if directory == last => told,
        _ => {
            let told = file.lies_beside(|name| name == b"fipscheck" || is_name(name));
            LAST.set(directory.map(|directory| (directory, told)));
            told
        }
    }
}

fn reads(file: &Opened, beside: &[u8], is_signature: impl Fn(&[u8]) -> bool) -> bool {
    file.read_beside(beside, LARGEST).is_some_and(|bytes| is_signature(&bytes))
}

/// Hexadecimal digits and a line's end, or GnuTLS' list of them.
fn is_hmac(bytes: &[u8]) -> bool {
    let digits = bytes.trim_ascii();
    let is_list = bytes.lines().any(|line| line.trim_ascii_start().starts_with(b"hmac"));
    is_list || (digits.len() >= 40 && digits.iter().all(u8::is_ascii_hexdigit))
}
