//! The names of the libraries that come with the driver: one table, and one search for all of them.

use aho_corasick::AhoCorasick;

use super::requests::Searches;

/// The libraries that come with the driver (and on a Jetson with its board support), not with the toolkit.
pub const DRIVER_LIBRARIES: [&str; 27] = [
    "libcuda.so.1",
    "libcuda.so",
    "libnvidia-ml.so.1",
    // Not installed since 560.
    "libnvidia-ml.so",
    "libnvcuvid.so.1",
    "libnvidia-encode.so.1",
    "libnvidia-opticalflow.so.1",
    "libnvoptix.so.1",
    "libnvoptix.so",
    "libcudadebugger.so.1",
    "libnvidia-ptxjitcompiler.so.1",
    "libnvidia-nvvm.so.4",
    "libnvidia-tileiras.so.1",
    "libnvidia-opencl.so.1",
    "libnvidia-opencl.so",
    "libnvidia-cfg.so.1",
    "libnvidia-vksc-core.so.1",
    "libnvidia-fbc.so.1",
    "libEGL_nvidia.so.0",
    "libGLX_nvidia.so.0",
    "libnvrm_gpu.so",
    "libnvrm_mem.so",
    "libnvdla_runtime.so",
    "libnvcudla.so",
    "libnvbufsurface.so",
    "libgdrapi.so.2",
    "libgdrapi.so",
];

/// What nothing fails without: libgdrapi needs a kernel module of its own, the OpenCL library is reached through
/// libOpenCL.so.1 and its list of vendors, Vulkan SC is in the drivers for vehicles only.
const OPTIONAL: [&str; 5] =
    ["libgdrapi.so.2", "libgdrapi.so", "libnvidia-opencl.so.1", "libnvidia-opencl.so", "libnvidia-vksc-core.so.1"];

/// Whether an object works without this library.
#[must_use]
pub fn is_optional(soname: &str) -> bool {
    OPTIONAL.contains(&soname)
}

/// The driver library itself, under either of its names.
#[must_use]
pub fn is_libcuda(soname: &str) -> bool {
    matches!(soname, "libcuda.so.1" | "libcuda.so")
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
        let mut names: Vec<String> = DRIVER_LIBRARIES.map(str::to_owned).to_vec();
        for name in more {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        let searches = Searches::new(&names);
        let in_json = AhoCorasick::new(names.iter().map(|name| format!("\"{name}\"")))?;
        Ok(Self { names, searches, in_json })
    }

    /// All names, in the table's order.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The name's place in the table.
    #[must_use]
    pub fn position(&self, name: &[u8]) -> Option<usize> {
        self.names.iter().position(|known| known.as_bytes() == name)
    }
}
