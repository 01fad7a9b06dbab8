//! The names of the libraries that come with the driver: one table, and one search for all of them.

use aho_corasick::AhoCorasick;
use bstr::{BStr, ByteSlice};

use super::requests::Searches;
use super::requests::release::{is_release, is_version};

/// What a library of the driver is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    /// The driver's interface itself, libcuda.
    Cuda,
    /// Speaks to the kernel module, and fits that of its own release only.
    KernelModule,
    /// What libcuda loads for itself, of its own release.
    Companion,
    /// What else the driver brings: displays, ray tracing, motion estimation.
    Other,
    /// A Jetson's board support, packages of their own; compat's libcuda finds it through the driver directory.
    Board,
    /// The same, and nothing of compat needs it.
    BoardExtra,
    /// Comes by itself, with a kernel module of its own.
    Separate,
}

/// A library that comes with the driver (and on a Jetson with its board support), not with the toolkit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DriverLibrary {
    /// The name that is asked for.
    pub(crate) soname: &'static str,
    /// What it is for.
    pub(crate) role: Role,
    /// An object works without it.
    pub(crate) is_optional: bool,
    /// The names under which link-time stubs of it lie; most stub directories have the unversioned one only.
    pub(crate) stub_names: &'static [&'static str],
}

const fn library(soname: &'static str, role: Role) -> DriverLibrary {
    DriverLibrary { soname, role, is_optional: false, stub_names: &[] }
}

const fn optional(soname: &'static str) -> DriverLibrary {
    DriverLibrary { is_optional: true, ..library(soname, Role::Other) }
}

/// All of them, in the order of reports.
pub(crate) const DRIVER_LIBRARIES: [DriverLibrary; 40] = [
    DriverLibrary { stub_names: &["libcuda.so.1", "libcuda.so"], ..library("libcuda.so.1", Role::Cuda) },
    library("libcuda.so", Role::Cuda),
    DriverLibrary {
        stub_names: &["libnvidia-ml.so.1", "libnvidia-ml.so"],
        ..library("libnvidia-ml.so.1", Role::KernelModule)
    },
    // Not installed since 560.
    library("libnvidia-ml.so", Role::KernelModule),
    library("libnvcuvid.so.1", Role::KernelModule),
    library("libnvcuvid.so", Role::KernelModule),
    library("libnvidia-encode.so.1", Role::KernelModule),
    library("libnvidia-encode.so", Role::KernelModule),
    library("libnvidia-opticalflow.so.1", Role::Other),
    library("libnvoptix.so.1", Role::Other),
    library("libnvoptix.so", Role::Other),
    library("libcudadebugger.so.1", Role::KernelModule),
    library("libnvidia-ptxjitcompiler.so.1", Role::Companion),
    library("libnvidia-nvvm.so.4", Role::Companion),
    library("libnvidia-nvvm70.so.4", Role::Other),
    library("libnvidia-tileiras.so.1", Role::Other),
    // Reached through libOpenCL.so.1 and its list of vendors.
    optional("libnvidia-opencl.so.1"),
    optional("libnvidia-opencl.so"),
    library("libnvidia-cfg.so.1", Role::Other),
    // In the drivers for vehicles only.
    optional("libnvidia-vksc-core.so.1"),
    library("libnvidia-fbc.so.1", Role::Other),
    library("libnvidia-allocator.so.1", Role::Other),
    library("libnvidia-ngx.so.1", Role::Other),
    library("libnvidia-sandboxutils.so.1", Role::Other),
    library("libnvidia-api.so.1", Role::Other),
    optional("libnvidia-egl-gbm.so.1"),
    optional("libvdpau_nvidia.so"),
    // For switches between GPUs, and packages of their own.
    DriverLibrary { is_optional: true, ..library("libnvidia-nscq.so.2", Role::Separate) },
    DriverLibrary { is_optional: true, ..library("libnvsdm.so.1", Role::Separate) },
    library("libEGL_nvidia.so.0", Role::Other),
    library("libGLX_nvidia.so.0", Role::Other),
    library("libnvrm_gpu.so", Role::Board),
    library("libnvrm_mem.so", Role::Board),
    library("libnvdla_runtime.so", Role::Board),
    library("libnvcudla.so", Role::BoardExtra),
    library("libcudla.so.1", Role::BoardExtra),
    library("libcudla.so", Role::BoardExtra),
    library("libnvbufsurface.so", Role::BoardExtra),
    DriverLibrary { is_optional: true, ..library("libgdrapi.so.2", Role::Separate) },
    DriverLibrary { is_optional: true, ..library("libgdrapi.so", Role::Separate) },
];

/// What is known of a name.
#[must_use]
pub(crate) fn driver_library(soname: &[u8]) -> Option<&'static DriverLibrary> {
    DRIVER_LIBRARIES.iter().find(|library| library.soname.as_bytes() == soname)
}

impl DriverLibrary {
    /// Whether it is of the driver itself, one release with its kernel module; a Jetson's board support and what needs
    /// modules of its own come as packages.
    #[must_use]
    pub(crate) fn is_of_the_driver(&self) -> bool {
        match self.role {
            Role::Cuda | Role::KernelModule | Role::Companion | Role::Other => true,
            Role::Board | Role::BoardExtra | Role::Separate => false,
        }
    }
}

/// What is known of a file's name: a SONAME, that with a whole version behind it, or with the hash that a wheel repair puts
/// into it (`libcuda-43c1b388.so.570.124.06`).
#[must_use]
pub(crate) fn of_file_name(name: &BStr) -> Option<&'static DriverLibrary> {
    if let Some(known) = driver_library(name) {
        return Some(known);
    }
    let at = name.find(".so")?;
    let (stem, version) = name.split_at_checked(at)?;
    let rest = version.strip_prefix(b".so")?;
    let is_version = rest.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    let stem = match stem.rsplit_once_str("-") {
        Some((stem, hash)) if is_hash(hash) => stem,
        _ => stem,
    };
    let of_stem =
        |library: &&DriverLibrary| library.soname.split_once(".so").is_some_and(|(known, _)| known.as_bytes() == stem);
    DRIVER_LIBRARIES.iter().find(of_stem).filter(|_| is_version)
}

/// The SONAME of a driver library by the name of its file, which has the driver's version behind it.
#[must_use]
pub(crate) fn soname_of_file(name: &BStr) -> Option<&'static str> {
    let stem = || name.split_at_checked(name.find(".so.")?).map(|(stem, _)| stem);
    let is_known = |library: &&DriverLibrary| {
        library.soname.split_once(".so").is_some_and(|(known, _)| Some(known.as_bytes()) == stem())
    };
    driver_library(name).or_else(|| DRIVER_LIBRARIES.iter().find(is_known)).map(|library| library.soname)
}

/// The first hexadecimal digits of a checksum, as auditwheel writes them.
fn is_hash(text: &[u8]) -> bool {
    text.len() >= 8 && text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The names of a role, in the table's order.
pub(crate) fn of_role(role: Role) -> impl Iterator<Item = &'static str> {
    DRIVER_LIBRARIES.iter().filter(move |library| library.role == role).map(|library| library.soname)
}

/// The names under which stubs lie in a stub directory.
pub(crate) fn stub_names() -> impl Iterator<Item = &'static BStr> {
    DRIVER_LIBRARIES.iter().flat_map(|library| library.stub_names).map(|name| BStr::new(*name))
}

/// Whether an object works without this library.
#[must_use]
pub(crate) fn is_optional(soname: &str) -> bool {
    driver_library(soname.as_bytes()).is_some_and(|library| library.is_optional)
}

/// The driver library itself, under either of its names.
#[must_use]
pub(crate) fn is_libcuda(soname: &str) -> bool {
    driver_library(soname.as_bytes()).is_some_and(|library| library.role == Role::Cuda)
}

/// Whether a library is of a Jetson's board support: its packages have more of these than an object ever asks for.
#[must_use]
pub(crate) fn is_board_support(soname: &str) -> bool {
    ["libnvrm_", "libnvdla_", "libnvcudla", "libcudla", "libnvbufsurface"].iter().any(|start| soname.starts_with(start))
}

/// The table, more names, and the searches that are made for all of them at once.
#[derive(Clone, Debug)]
pub struct DriverLibraries {
    names: Vec<String>,
    /// In data and code.
    pub(super) searches: Searches,
    /// Each name in quotes, as it stands in JSON.
    pub(super) in_json: AhoCorasick,
}

impl DriverLibraries {
    /// The table with more names behind it.
    ///
    /// # Errors
    /// What the search says of names that are too long for it.
    pub fn with(more: &[String]) -> Result<Self, aho_corasick::BuildError> {
        let mut names: Vec<String> = DRIVER_LIBRARIES.iter().map(|library| library.soname.to_owned()).collect();
        for name in more {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        Self::only(names)
    }

    /// Other names by themselves, to see who asks for these.
    ///
    /// # Errors
    /// As [`DriverLibraries::with`].
    pub(super) fn only(names: Vec<String>) -> Result<Self, aho_corasick::BuildError> {
        let searches = Searches::new(&names);
        let in_json = AhoCorasick::new(names.iter().map(|name| format!("\"{name}\"")))?;
        Ok(Self { names, searches, in_json })
    }

    /// All names, in the table's order.
    #[must_use]
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The place of the library that a name asks for: its own, or, with the release of a driver in it, that of the library.
    #[must_use]
    pub(crate) fn asked_for_as(&self, name: &[u8]) -> Option<usize> {
        let of_release = || {
            let stem = name.get(..name.find(".so")?.checked_add(3)?)?;
            let of_library = |known: &String| known.as_bytes().strip_prefix(stem).is_some_and(is_version);
            is_release(name.get(stem.len()..)?).then(|| self.names.iter().position(of_library))?
        };
        self.position(name).or_else(of_release)
    }

    /// The name's place in the table.
    #[must_use]
    pub(crate) fn position(&self, name: &[u8]) -> Option<usize> {
        self.names.iter().position(|known| known.as_bytes() == name)
    }
}
