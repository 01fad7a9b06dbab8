//! Signatures of whole files that stand beside them: what verifies one refuses the file after an edit.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use bstr::ByteSlice;

use crate::fsio;

/// What every signature of NSS begins with (`nss lib/freebl/shsign.h`, NSS_SIGN_CHK_MAGIC1 and 2).
const NSS_MAGIC: [u8; 2] = [0xf1, 0xc5];

/// Either kind is a few hundred bytes.
const LARGEST: u64 = 1 << 16;

/// The signature of a file, where there is one: `libsoftokn3.chk` of NSS, which it verifies at every start in FIPS mode, and
/// `.libgnutls.so.30.hmac` as Fedora has them, also in `fipscheck`.
pub(super) fn signature_of(file: &Path) -> Option<PathBuf> {
    let name = file.file_name()?.as_bytes();
    if let Some(stem) = name.strip_suffix(b".so") {
        let beside = file.with_file_name(OsStr::from_bytes(&[stem, b".chk"].concat()));
        if fsio::read_small(&beside, LARGEST).is_some_and(|bytes| bytes.starts_with(&NSS_MAGIC)) {
            return Some(beside);
        }
    }
    let hidden = OsString::from_vec([b".", name, b".hmac"].concat());
    let plain = OsString::from_vec([name, b".hmac"].concat());
    let folder = file.with_file_name("fipscheck");
    let places = [file.with_file_name(hidden), folder.join(plain)];
    places.into_iter().find(|place| fsio::read_small(place, LARGEST).is_some_and(|bytes| is_hmac(&bytes)))
}

/// Hexadecimal digits and a line's end, or GnuTLS' list of them.
fn is_hmac(bytes: &[u8]) -> bool {
    let digits = bytes.trim_ascii();
    let is_list = bytes.lines().any(|line| line.trim_ascii_start().starts_with(b"hmac"));
    is_list || (digits.len() >= 40 && digits.iter().all(u8::is_ascii_hexdigit))
}
