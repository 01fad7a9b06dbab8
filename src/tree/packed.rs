//! Arguments that only hold what is asked about: an image as it was saved, whose files are looked at in it, or an archive of
//! another kind. Nothing in such a one is looked at, so it must not pass for a tree without objects.

use super::discover::Root;
use super::source::{EntryKind, Source};
use crate::cuda::{self, Counting};
use crate::fsio::{ImagePath, Site};

/// What an argument holds its contents in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packed {
    /// Perhaps an image.
    Image(&'static str),
    /// Something that must be unpacked before anything in it can be looked at.
    Other(&'static str),
}

/// What an image may be saved as: a name, where its magic stands, the magic.
const OF_IMAGES: [(&str, usize, &[u8]); 3] =
    [("a tar archive", 257, b"ustar"), ("a gzip file", 0, b"\x1f\x8b"), (ZSTD, 0, b"\x28\xb5\x2f\xfd")];
const ZSTD: &str = "a Zstandard file";
/// The same of other archives.
const OTHERS: [(&str, usize, &[u8]); 9] = [
    ("a bzip2 file", 0, b"BZh"),
    ("an xz file", 0, b"\xfd7zXZ\0"),
    ("a zip archive", 0, b"PK\x03\x04"),
    ("a 7z archive", 0, b"7z\xbc\xaf\x27\x1c"),
    ("a Debian package", 0, b"!<arch>\ndebian-binary"),
    ("an RPM package", 0, b"\xed\xab\xee\xdb"),
    ("a squashfs image", 0, b"hsqs"),
    ("a Nix archive", 0, b"\x0d\0\0\0\0\0\0\0nix-archive-1"),
    ("a cpio archive", 0, b"07070"),
];
/// What says that a directory is an image layout (OCI Image Layout Specification), and that one is skopeo's `dir:`
/// (containers/image, directory/directory_dest.go).
const LAYOUT: &str = "oci-layout";
const VERSION: (&str, &[u8]) = ("version", b"Directory Transport Version");
const LARGEST_LAYOUT: u64 = 1 << 16;

/// What an argument is, where its files are in it and not below it.
#[must_use]
pub(crate) fn packed(source: &dyn Source, root: &Root) -> Option<Packed> {
    match source.kind(&root.real).ok()? {
        EntryKind::Directory => {
            let read = |name: &str| source.read(&ImagePath::new(root.real.as_path().join(name)), LARGEST_LAYOUT);
            if read(LAYOUT).is_some() {
                return Some(Packed::Image("an OCI image layout"));
            }
            let version = read(VERSION.0).filter(|text| text.starts_with(VERSION.1));
            version.map(|_| Packed::Image("an image in a directory"))
        }
        EntryKind::File => {
            let file = source.open(Site::of(&root.anchor, &root.real), &|_| true).ok()??;
            let bytes = file.bytes();
            let is =
                |(_, at, magic): &&(&str, usize, &[u8])| bytes.get(*at..).is_some_and(|rest| rest.starts_with(magic));
            // A frame that is skipped may stand first (RFC 8878, 3.1.2).
            let is_skipped = matches!(bytes, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]).then_some(Packed::Image(ZSTD));
            let found = OF_IMAGES.iter().find(is).map(|(name, ..)| Packed::Image(name)).or(is_skipped);
            let found = found.or_else(|| OTHERS.iter().find(is).map(|(name, ..)| Packed::Other(name)));
            // A single frame may hold a cubin.
            let is_code = || {
                cuda::may_have_code(bytes)
                    && cuda::of_file(bytes, &file.data, Counting::Off).is_ok_and(|code| code.is_some())
            };
            found.filter(|found| match found {
                Packed::Image(name) | Packed::Other(name) => name.contains("package") || !is_code(),
            })
        }
        EntryKind::Other => None,
    }
}
