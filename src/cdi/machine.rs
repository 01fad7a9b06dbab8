//! What depends on the machine of a container, and on the host's distribution.

use bstr::{BString, ByteSlice};

/// The machines that the toolkit is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContainerMachine {
    /// `linux/amd64`
    X86_64,
    /// `linux/arm64`
    Aarch64,
}

/// Which directories a host's ldconfig goes through without being told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OwnDirectories {
    /// Those of Debian and Ubuntu.
    Multiarch,
    /// `/lib`, `/lib64` and the like.
    Plain,
    /// Its own store path, which no image has.
    Store,
}

impl ContainerMachine {
    /// The machine's name in paths.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// The directories that the toolkit takes for those of the container's own loader.
    pub(super) fn system_directories(self, is_debian: bool) -> Vec<BString> {
        let multiarch = format!("{}-linux-gnu", self.name());
        let paths: Vec<String> = match (is_debian, self) {
            (true, _) => {
                vec![format!("/lib/{multiarch}"), format!("/usr/lib/{multiarch}"), "/lib".into(), "/usr/lib".into()]
            }
            (false, Self::X86_64) => {
                ["/lib", "/usr/lib", "/lib64", "/usr/lib64", "/libx32", "/usr/libx32"].map(str::to_owned).to_vec()
            }
            (false, Self::Aarch64) => ["/lib", "/usr/lib", "/lib64", "/usr/lib64"].map(str::to_owned).to_vec(),
        };
        paths.into_iter().map(BString::from).collect()
    }

    /// The directories that the host's ldconfig goes through at last, told from where the host keeps its driver.
    pub(super) fn own_directories_of_ldconfig(self, folders: &[BString]) -> Vec<BString> {
        let multiarch = format!("/{}-linux-gnu", self.name());
        let own = if folders.iter().any(|folder| folder.starts_with(b"/nix/store/")) {
            OwnDirectories::Store
        } else if folders.iter().any(|folder| folder.contains_str(&multiarch)) {
            OwnDirectories::Multiarch
        } else {
            OwnDirectories::Plain
        };
        match own {
            OwnDirectories::Multiarch => self.system_directories(true),
            OwnDirectories::Plain => self.system_directories(false),
            OwnDirectories::Store => Vec::new(),
        }
    }

    /// musl's list of directories.
    pub(super) fn path_file(self) -> String {
        format!("ld-musl-{}.path", self.name())
    }
}
