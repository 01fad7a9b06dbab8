//! Two names of one file: the path that a program in an image sees, and the one to give to the kernel of this machine.

use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;

/// A path to give to the kernel of this machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct HostPath(PathBuf);

/// A path as a loader sees it in what is looked at: an image, a closure, this machine. Relative only where that is this
/// machine, and then to the working directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImagePath(PathBuf);

macro_rules! path_type {
    ($name:ident, $vis:vis) => {
        impl $name {
            /// Takes a path to be one of these.
            $vis fn new(path: impl Into<PathBuf>) -> Self {
                Self(path.into())
            }

            /// The path alone: for printing, and for what joins and compares.
            #[must_use]
            $vis fn as_path(&self) -> &Path {
                &self.0
            }

            /// The same, owned.
            #[must_use]
            $vis fn into_path(self) -> PathBuf {
                self.0
            }
        }
    };
}

path_type!(HostPath, pub(crate));
path_type!(ImagePath, pub);

/// As many links as Linux follows in one path (`Linux include/linux/namei.h`, MAXSYMLINKS).
const MOST_LINKS: usize = 40;

/// The directory of this machine that `/` stands for: an image's, or none where it is `/` itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sysroot(Option<PathBuf>);

impl Sysroot {
    /// This machine.
    #[must_use]
    pub(crate) fn host() -> Self {
        Self(None)
    }

    /// The image below a canonical directory.
    #[must_use]
    pub(crate) fn image(root: HostPath) -> Self {
        Self(Some(root.into_path()))
    }

    /// Whether it is another root than this machine's.
    #[must_use]
    pub(crate) fn is_image(&self) -> bool {
        self.0.is_some()
    }

    /// Where a path lies on this machine.
    #[must_use]
    pub(crate) fn to_host(&self, path: &ImagePath) -> HostPath {
        match &self.0 {
            None => HostPath(path.0.clone()),
            Some(root) => HostPath(root.join(path.0.strip_prefix("/").unwrap_or(&path.0))),
        }
    }

    /// The image's name for a canonical path of this machine; a path outside of the image stays as it is.
    #[must_use]
    pub(crate) fn to_image(&self, path: &HostPath) -> ImagePath {
        self.to_image_if_below(path).unwrap_or_else(|| ImagePath(path.0.clone()))
    }

    /// The same for a path that may be another's: `None` where it does not lie in an image.
    #[must_use]
    pub(crate) fn to_image_if_below(&self, path: &HostPath) -> Option<ImagePath> {
        let below = path.0.strip_prefix(self.0.as_ref()?).ok()?;
        Some(ImagePath(Path::new("/").join(below)))
    }

    /// An absolute path with its symbolic links followed, those of an image as if its root were `/`.
    ///
    /// # Errors
    /// What the system says: it does not exist, a directory may not be searched, links lead in a circle.
    pub(crate) fn resolve(&self, path: &ImagePath) -> io::Result<ImagePath> {
        if self.0.is_none() {
            return path.0.canonicalize().map(ImagePath);
        }
        let mut left: Vec<OsString> = reversed(&path.0);
        let mut done = PathBuf::from("/");
        let mut is_directory = true;
        let mut links = 0_usize;
        while let Some(next) = left.pop() {
            if !is_directory {
                return Err(Errno::NOTDIR.into());
            }
            if next == ".." {
                done.pop();
                continue;
            }
            let candidate = ImagePath(done.join(&next));
            let host = self.to_host(&candidate);
            let meta = std::fs::symlink_metadata(&host.0)?;
            if !meta.file_type().is_symlink() {
                is_directory = meta.is_dir();
                done = candidate.0;
                continue;
            }
            links += 1;
            if links > MOST_LINKS {
                return Err(Errno::LOOP.into());
            }
            let target = std::fs::read_link(&host.0)?;
            if target.is_absolute() {
                done = PathBuf::from("/");
            }
            left.extend(reversed(&target));
        }
        Ok(ImagePath(done))
    }
}

fn reversed(path: &Path) -> Vec<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    let mut names: Vec<OsString> = names.collect();
    names.reverse();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_of_an_image_stay_in_it() {
        let image = tempfile::tempdir().unwrap();
        let root = image.path();
        std::fs::create_dir_all(root.join("usr/lib")).unwrap();
        std::fs::write(root.join("usr/lib/libx.so.1.0"), "x").unwrap();
        symlink("usr/lib", root.join("lib")).unwrap();
        symlink("/lib/libx.so.1.0", root.join("usr/lib/libx.so.1")).unwrap();
        symlink("../../../../../lib/libx.so.1", root.join("usr/lib/libx.so")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let sysroot = Sysroot::image(HostPath::new(root));
        let resolved = |path: &str| {
            let found = sysroot.resolve(&ImagePath::new(path));
            found.map(ImagePath::into_path).map_err(|error| error.kind())
        };
        assert_eq!(resolved("/lib/libx.so"), Ok("/usr/lib/libx.so.1.0".into()));
        assert_eq!(resolved("/loop").unwrap_err(), Errno::LOOP.kind());
        assert_eq!(resolved("/etc"), Err(io::ErrorKind::NotFound));
        assert_eq!(resolved("/lib/libx.so/../libx.so"), Err(io::ErrorKind::NotADirectory));
    }

    #[test]
    fn an_image_path_leads_out_and_back() {
        let sysroot = Sysroot::image(HostPath::new("/srv/image"));
        let host = sysroot.to_host(&ImagePath::new("/lib/libx.so"));
        assert_eq!(host.as_path(), Path::new("/srv/image/lib/libx.so"));
        assert_eq!(sysroot.to_image(&host), ImagePath::new("/lib/libx.so"));
        assert_eq!(Sysroot::host().to_host(&ImagePath::new("a/b")), HostPath::new("a/b"));
    }
}
