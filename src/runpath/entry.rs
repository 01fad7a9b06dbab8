//! One component of a search path: what it is called and which role its name gives it.

use std::borrow::Borrow;
use std::fmt;

use bstr::{BStr, BString, ByteSlice};

use crate::nix;

/// A directory that the policy may write into a search path.
///
/// Absolute or starting with `$ORIGIN`, without `:` and NUL, without trailing slashes: anything else would be read by
/// the loader as another entry, as a shorter string or as a path relative to the current directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Directory(BString);

/// Why a name cannot be a search path entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// An empty entry makes the loader search the current directory (`glibc elf/dl-load.c`).
    #[error("an empty directory would make the loader search the current directory")]
    Empty,
    /// `:` separates entries and NUL ends the string; neither can be quoted.
    #[error("directory {name:?} contains {found:?}, which a search path cannot hold")]
    Separator {
        /// The name as given.
        name: BString,
        /// The byte that cannot be part of an entry.
        found: char,
    },
    /// A relative entry is resolved against the current directory of the process that starts the program.
    #[error("directory {0:?} is neither absolute nor does it start with $ORIGIN")]
    Relative(BString),
}

impl Directory {
    /// Checks a name and brings it to its canonical spelling (no trailing slash).
    ///
    /// # Errors
    /// [`DirectoryError`] when the loader would not read the name as one fixed directory.
    pub fn new(name: impl Into<BString>) -> Result<Self, DirectoryError> {
        let name = name.into();
        if name.is_empty() {
            return Err(DirectoryError::Empty);
        }
        for (byte, found) in [(b':', ':'), (b'\0', '\0')] {
            if name.contains(&byte) {
                return Err(DirectoryError::Separator { name, found });
            }
        }
        if !name.starts_with(b"/") && !starts_with_origin(name.as_bstr()) {
            return Err(DirectoryError::Relative(name));
        }
        Ok(Self(BString::from(without_trailing_slashes(name.as_bstr()))))
    }

    /// The canonical spelling.
    #[must_use]
    pub(crate) fn as_bstr(&self) -> &BStr {
        self.0.as_bstr()
    }

    /// Whether an entry names this directory; a trailing slash does not make another one.
    #[must_use]
    pub(crate) fn is_named_by(&self, entry: &BStr) -> bool {
        without_trailing_slashes(entry) == self.0
    }
}

/// Directories are compared as they are spelled.
impl Borrow<[u8]> for Directory {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The role that an entry's name gives it, for people and for `show`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum EntryClass {
    /// A `cuda_compat` directory, given or recognised.
    Compat,
    /// The driver directory of this object's ELF class.
    Driver,
    /// A link-time directory whose libcuda only returns error 34.
    Stub,
    /// Another directory in a Nix store.
    Store,
    /// Starts with `$ORIGIN`.
    Origin,
    /// A directory of the Filesystem Hierarchy Standard or the stock CUDA toolkit.
    Fhs,
    /// Any other absolute directory.
    Absolute,
    /// Neither absolute nor `$ORIGIN`: depends on the current directory.
    Relative,
    /// The current directory.
    Empty,
}

impl EntryClass {
    /// The word used in every output format.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }

    /// Classifies an entry by its name alone; given directories are the policy's business and come first there.
    #[must_use]
    pub(crate) fn by_name(entry: &BStr) -> Self {
        if entry.is_empty() {
            Self::Empty
        } else if is_recognised_compat(entry) {
            Self::Compat
        } else if is_stub_directory(entry) {
            Self::Stub
        } else if starts_with_origin(entry) {
            Self::Origin
        } else if !entry.starts_with(b"/") {
            Self::Relative
        } else if nix::store_component(entry).is_some() {
            Self::Store
        } else if is_fhs(entry) {
            Self::Fhs
        } else {
            Self::Absolute
        }
    }
}

/// Whether an entry's store name says that it belongs to `cuda_compat`.
///
/// Recognised even when it was not given, so that the actions commute: running *driver* after *compat* never puts the
/// driver in front.
#[must_use]
pub(crate) fn is_recognised_compat(entry: &BStr) -> bool {
    nix::store_component(entry).is_some_and(|name| contains(name, b"cuda_compat"))
}

/// Whether an entry's name is that of a link-time stub directory.
///
/// `*-cuda*/stubs`, `*-cuda*-stubs/lib*`, `*/lib/stubs`, `*/lib64/stubs` and `*/targets/*/lib/stubs`.
#[must_use]
pub(crate) fn is_stub_directory(entry: &BStr) -> bool {
    let mut from_the_end = components(entry).rev();
    let (Some(last), Some(parent)) = (from_the_end.next(), from_the_end.next()) else { return false };
    let names_cuda = |component: &[u8]| contains(component, b"-cuda");
    if last == b"stubs" {
        return matches!(parent, b"lib" | b"lib64") || names_cuda(parent) || from_the_end.any(names_cuda);
    }
    last.starts_with(b"lib") && parent.ends_with(b"-stubs") && names_cuda(parent)
}

fn is_fhs(entry: &BStr) -> bool {
    let mut rest = components(entry);
    match (rest.next(), rest.next(), rest.next()) {
        (Some(b"usr"), Some(b"local"), Some(third)) => third.starts_with(b"lib") || third.starts_with(b"cuda"),
        (Some(b"usr"), Some(second), _) => second.starts_with(b"lib"),
        (Some(first), _, _) => matches!(first, b"lib" | b"lib32" | b"lib64" | b"libx32"),
        _ => false,
    }
}

/// Directories that exist while something is built and not where it runs.
const BUILD_DIRECTORIES: [&str; 9] =
    ["/build", "/builds", "/tmp", "/var/tmp", "/private/tmp", "/data/tmp", "/home", "/root", "/Users"];

/// Whether an entry lies in a directory of a build; `more` are those of this one. A store path does not, wherever the store
/// is: a user's own one lies below /home.
#[must_use]
pub(crate) fn is_build_directory(entry: &BStr, more: &[BString]) -> bool {
    if nix::store_component(entry).is_some_and(nix::has_store_hash) {
        return false;
    }
    let usual = BUILD_DIRECTORIES.iter().map(|known| known.as_bytes());
    usual.chain(more.iter().map(|known| known.as_slice())).any(|known| {
        let known = without_trailing_slashes(known.as_bstr());
        known != b"/" && entry.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    })
}

/// For texts of a line: a searcher that is prepared for long ones costs more than it saves.
fn contains<const LEN: usize>(text: &[u8], wanted: &[u8; LEN]) -> bool {
    text.windows(LEN).any(|window| window == wanted)
}

/// Whether an entry is the library directory of a compiler's own store path (`…-gcc-13.3.0/lib`), not of its run-time
/// libraries (`…-gcc-13.3.0-lib/lib`).
#[must_use]
pub(crate) fn is_host_compiler(entry: &BStr) -> bool {
    let Some(name) = nix::store_component(entry) else { return false };
    let Some((_, package)) = name.split_once_str("-") else { return false };
    ["gcc-", "gcc-wrapper-", "clang-", "clang-wrapper-"].iter().any(|compiler| {
        let version = package.strip_prefix(compiler.as_bytes());
        version.is_some_and(|version| {
            !version.is_empty() && version.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
        })
    })
}

fn starts_with_origin(entry: &BStr) -> bool {
    [b"$ORIGIN".as_slice(), b"${ORIGIN}"]
        .into_iter()
        .any(|token| entry.strip_prefix(token).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/")))
}

fn components(entry: &BStr) -> impl DoubleEndedIterator<Item = &[u8]> {
    entry.split(|byte| *byte == b'/').filter(|component| !component.is_empty())
}

pub(super) fn without_trailing_slashes(entry: &BStr) -> &[u8] {
    let trimmed = entry.trim_end_with(|c| c == '/');
    // "/" itself is a directory, not an empty entry.
    if trimmed.is_empty() && !entry.is_empty() { b"/" } else { trimmed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stub_directories_are_known_by_name() {
        for stub in [
            "/nix/store/abc-cuda12.8-cuda_cudart-12.8.90/lib/stubs",
            "/nix/store/abc-cuda12.8-cuda_cudart-12.8.90/lib/stubs/",
            "/nix/store/abc-cuda12.8-cuda_cudart-12.8.90-stubs/lib",
            "/nix/store/abc-cuda12.8-cuda_cudart-12.8.90-stubs/lib64",
            "/nix/store/abc-cuda12.8/stubs",
            "/usr/local/cuda/lib64/stubs",
            "/opt/cuda/targets/x86_64-linux/lib/stubs",
        ] {
            assert!(is_stub_directory(stub.into()), "{stub}");
        }
        for other in
            ["", "stubs", "/opt/stubs", "/lib/stubs2", "/a-stubs/lib", "/nix/store/a-cudart-stubs/share", "$ORIGIN"]
        {
            assert!(!is_stub_directory(other.into()), "{other}");
        }
    }

    #[test]
    fn only_a_store_name_makes_a_recognised_compat() {
        assert!(is_recognised_compat("/nix/store/abc-cuda12.8-cuda_compat-12.8.39/compat".into()));
        assert!(is_recognised_compat("/private/nix/store/abc-cuda_compat-orin/compat_orin/".into()));
        for other in
            ["/opt/cuda_compat/lib", "/nix/store/abc-app/cuda_compat", "store/x-cuda_compat/compat", "/nix/store"]
        {
            assert!(!is_recognised_compat(other.into()), "{other}");
        }
    }

    #[test]
    fn directories_are_checked_and_canonical() {
        assert_eq!(Directory::new("/run/opengl-driver/lib//").unwrap().as_bstr(), "/run/opengl-driver/lib");
        assert_eq!(Directory::new("/").unwrap().as_bstr(), "/");
        assert!(Directory::new("$ORIGIN/../lib").is_ok());
        assert_eq!(Directory::new(""), Err(DirectoryError::Empty));
        assert!(matches!(Directory::new("/a:/b"), Err(DirectoryError::Separator { found: ':', .. })));
        assert!(matches!(Directory::new("/a\0"), Err(DirectoryError::Separator { found: '\0', .. })));
        assert!(matches!(Directory::new("lib"), Err(DirectoryError::Relative(_))));
        assert!(matches!(Directory::new("$ORIGINAL"), Err(DirectoryError::Relative(_))));
    }

    #[test]
    fn a_store_path_is_no_build_directory() {
        let is_build = |entry: &str| is_build_directory(entry.into(), &["/x/tmp".into()]);
        assert!(
            is_build("/build/source/lib") && is_build("/x/tmp/lib") && is_build("/home/me/lib") && is_build("/tmp")
        );
        assert!(is_build("/home/me/store/notes/lib"));
        assert!(!is_build("/home/me/nix/store/s1nsgrxs9ap0am9vbhizgy5iv4ghzv8a-app/lib"));
        assert!(!is_build("/opt/build") && !is_build("/buildings/lib") && !is_build("$ORIGIN"));
    }

    #[test]
    fn every_name_has_a_class() {
        for (entry, class) in [
            ("", EntryClass::Empty),
            ("lib", EntryClass::Relative),
            ("$ORIGIN/../lib", EntryClass::Origin),
            ("${ORIGIN}", EntryClass::Origin),
            ("/nix/store/abc-gcc/lib", EntryClass::Store),
            ("/usr/lib/x86_64-linux-gnu", EntryClass::Fhs),
            ("/usr/local/cuda-12.8/lib64", EntryClass::Fhs),
            ("/lib64", EntryClass::Fhs),
            ("/opt/x", EntryClass::Absolute),
        ] {
            assert_eq!(EntryClass::by_name(entry.into()), class, "{entry}");
        }
    }
}
