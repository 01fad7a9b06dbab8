//! Arguments that only hold what is asked about: an archive, an image as it was saved. Nothing in them is looked at, so they
//! must not pass for trees without objects.

use super::discover::Root;
use super::source::{EntryKind, Source};
use crate::cuda::{self, Counting};
use crate::fsio::{ImagePath, Site};

/// A name, where its magic stands, the magic.
const PACKED: [(&str, usize, &[u8]); 12] = [
    ("a tar archive", 257, b"ustar"),
    ("a gzip file", 0, b"\x1f\x8b"),
    ("a bzip2 file", 0, b"BZh"),
    ("an xz file", 0, b"\xfd7zXZ\0"),
    ("a Zstandard file", 0, b"\x28\xb5\x2f\xfd"),
    ("a zip archive", 0, b"PK\x03\x04"),
    ("a 7z archive", 0, b"7z\xbc\xaf\x27\x1c"),
    ("a Debian package", 0, b"!<arch>\ndebian-binary"),
    ("an RPM package", 0, b"\xed\xab\xee\xdb"),
    ("a squashfs image", 0, b"hsqs"),
    ("a Nix archive", 0, b"\x0d\0\0\0\0\0\0\0nix-archive-1"),
    ("a cpio archive", 0, b"07070"),
];
/// What says that a directory is an image layout (OCI Image Layout Specification).
const LAYOUT: &str = "oci-layout";
const LARGEST_LAYOUT: u64 = 1 << 16;

/// What an argument is, where it must be unpacked before anything in it can be looked at.
#[must_use]
pub(crate) fn packed(source: &dyn Source, root: &Root) -> Option<&'static str> {
    match source.kind(&root.real).ok()? {
        EntryKind::Directory => {
            let layout = ImagePath::new(root.real.as_path().join(LAYOUT));
            source.read(&layout, LARGEST_LAYOUT).map(|_| "an OCI image layout")
        }
        EntryKind::File => {
            let file = source.open(Site::of(&root.anchor, &root.real), &|_| true).ok()??;
            let bytes = file.bytes();
            let starts = |at: usize, magic: &[u8]| bytes.get(at..).is_some_and(|rest| rest.starts_with(magic));
            let (name, ..) = PACKED.iter().find(|(_, at, magic)| starts(*at, magic))?;
            // A single frame may hold a cubin.
            let is_code = cuda::may_have_code(bytes)
                && cuda::of_file(bytes, &file.data, Counting::Off).is_ok_and(|code| code.is_some());
            (!is_code || name.contains("package")).then_some(*name)
        }
        EntryKind::Other => None,
    }
}
