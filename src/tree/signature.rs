//! What verifies the bytes of a file: itself, another program, or the kernel. After an edit that refuses the file.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use bstr::ByteSlice;

use super::discover::{Found, Listing};
use crate::elf::sealed::{Seal, seal_of};
use crate::elf::view::ElfView;
use crate::fsio::{self, Appraisal, FileError, Opened};

/// What every signature of NSS begins with (`nss lib/freebl/shsign.h`, NSS_SIGN_CHK_MAGIC1 and 2).
const NSS_MAGIC: [u8; 2] = [0xf1, 0xc5];

/// Either kind is a few hundred bytes.
const LARGEST: u64 = 1 << 16;

/// Folders of signatures, whose files may belong to programs of other folders: `/usr/lib64/hmaccalc/sha512hmac.hmac` is that of
/// `/usr/bin/sha512hmac`.
const FOLDERS: [&str; 2] = ["fipscheck", "hmaccalc"];

/// What verifies a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signature {
    /// A signature in a file of its own.
    File(PathBuf),
    /// An extended attribute of this name.
    Attribute(&'static str),
    /// fs-verity.
    Verity,
    /// Something in the file itself.
    Seal(Seal),
}

impl Signature {
    /// What an edit breaks, in one word: a path, or the name of an attribute or a section.
    #[must_use]
    pub(crate) fn name(&self) -> &[u8] {
        match self {
            Self::File(path) => path.as_os_str().as_bytes(),
            Self::Attribute(name) => name.as_bytes(),
            Self::Verity => b"fs-verity",
            Self::Seal(Seal::Section(name)) => name,
            Self::Seal(Seal::Appended) => b"appended",
            Self::Seal(Seal::OpensslFips) => b"fipsmodule.cnf",
            Self::Seal(Seal::Integrity) => b".note.fdo.integrity",
            Self::Seal(Seal::SymCrypt) => b"SymCrypt",
        }
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "an edit would break its signature {}", path.display()),
            Self::Attribute(name) => write!(f, "an edit would break its signature in the attribute {name}"),
            Self::Verity => f.write_str("an edit would lose its fs-verity seal"),
            Self::Seal(Seal::Section(name)) => write!(f, "an edit would break the signature in its section {name}"),
            Self::Seal(Seal::Appended) => f.write_str("an edit would break the signature at its end"),
            Self::Seal(Seal::OpensslFips) => {
                f.write_str("it is OpenSSL's FIPS provider, whose MAC fipsmodule.cnf has: an edit would break that")
            }
            Self::Seal(Seal::Integrity) => f.write_str("an edit would break the HMAC in its .note.fdo.integrity"),
            Self::Seal(Seal::SymCrypt) => f.write_str("it is SymCrypt, which verifies its own bytes as it is loaded"),
        }
    }
}

/// What the walk of a tree told of signatures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signatures {
    /// There is none beside any file below the arguments. Otherwise each file's directory is asked.
    is_none_below: bool,
    /// Those of folders for them, by the name of what they are for.
    elsewhere: BTreeMap<OsString, Vec<PathBuf>>,
}

impl Signatures {
    /// What a listing tells, which costs less than to list each directory once more.
    #[must_use]
    pub(crate) fn among(listing: &Listing) -> Self {
        let all = || listing.files.iter().filter(|found| is_name(found.name().as_bytes()));
        let mut elsewhere: BTreeMap<OsString, Vec<PathBuf>> = BTreeMap::new();
        for found in all() {
            let path = found.shown.as_path();
            let folder = path.parent().and_then(Path::file_name).unwrap_or_default();
            let Some(of) = found.name().as_bytes().strip_suffix(b".hmac") else { continue };
            let reads =
                || found.open_with(fsio::open).is_ok_and(|file| file.identity.len <= LARGEST && is_hmac(file.bytes()));
            if FOLDERS.iter().any(|known| folder == *known) && reads() {
                elsewhere.entry(OsString::from_vec(of.to_vec())).or_default().push(path.to_owned());
            }
        }
        Self { is_none_below: listing.is_whole && all().next().is_none(), elsewhere }
    }

    /// What verifies a file that was found.
    ///
    /// # Errors
    /// [`FileError`] when that cannot be told.
    pub(super) fn of(&self, found: &Found, file: &Opened, view: &ElfView<'_>) -> Result<Option<Signature>, FileError> {
        let inside = inside(file, Some(view))?;
        if inside.is_some() || (self.is_none_below && found.is_below()) {
            return Ok(inside);
        }
        Ok(beside(file).or_else(|| self.elsewhere(file)).map(Signature::File))
    }

    /// A digest elsewhere is only of the file of that name that it is the digest of: no other could be verified by it.
    fn elsewhere(&self, file: &Opened) -> Option<PathBuf> {
        let mut found = self.elsewhere.get(file.path.file_name()?)?.iter();
        // `lib64/hmaccalc` serves what lies anywhere below the folder that `lib64` is in.
        let serves = |path: &&PathBuf| path.ancestors().nth(3).is_some_and(|prefix| file.path.starts_with(prefix));
        found.find(serves).cloned()
    }
}

/// Whether it is the name of a signature.
fn is_name(name: &[u8]) -> bool {
    [&b".chk"[..], b".hmac"].iter().any(|end| name.ends_with(end))
}

/// What verifies a file, where its directory was not listed; of what is no object its own bytes are not asked.
///
/// # Errors
/// [`FileError`] when that cannot be told.
pub(super) fn signature_of(file: &Opened, view: Option<&ElfView<'_>>) -> Result<Option<Signature>, FileError> {
    Ok(inside(file, view)?.or_else(|| beside(file).map(Signature::File)))
}

/// What the kernel or the file itself says.
fn inside(file: &Opened, view: Option<&ElfView<'_>>) -> Result<Option<Signature>, FileError> {
    let appraisal = file.appraisal()?.map(|appraisal| match appraisal {
        Appraisal::Attribute(name) => Signature::Attribute(name),
        Appraisal::Verity => Signature::Verity,
    });
    Ok(appraisal.or_else(|| seal_of(view?).map(Signature::Seal)))
}

/// The name of a file's signature beside it, where there is one: `libsoftokn3.chk` of NSS, which it verifies at every start
/// in FIPS mode, and `.libgnutls.so.30.hmac` as Fedora has them, also in folders for them.
fn beside(file: &Opened) -> Option<PathBuf> {
    if !is_any_beside(file) {
        return None;
    }
    let name = file.path.file_name()?.as_bytes();
    let nss = name.strip_suffix(b".so").map(|stem| [stem, b".chk"].concat());
    let nss = nss.filter(|beside| reads(file, beside, |bytes| bytes.starts_with(&NSS_MAGIC)));
    let in_folder = |folder: &str| [folder.as_bytes(), b"/", name, b".hmac"].concat();
    let hmacs = FOLDERS.iter().map(|folder| in_folder(folder));
    let mut hmacs = std::iter::once([b".", name, b".hmac"].concat()).chain(hmacs);
    let found = nss.or_else(|| hmacs.find(|beside| reads(file, beside, is_hmac)))?;
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
            let is_folder = |name: &[u8]| FOLDERS.iter().any(|known| name == known.as_bytes());
            let told = file.lies_beside(|name| is_folder(name) || is_name(name));
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
