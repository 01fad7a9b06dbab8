//! The driver's own libraries, known by what they are: whatever repaired a wheel may have renamed them.

use std::sync::LazyLock;

use bstr::ByteSlice;
use memchr::memmem::Finder;

use super::compat_note::CompatNote;
use super::libraries::{DriverLibrary, Role, driver_library, of_file_name};
use super::stub::{does_nothing, is_stub};
use crate::elf::symbols::{defines, has_name};
use crate::elf::view::ElfView;

/// Functions that a library exports, and no other does without asking for that one.
const EXPORTS: [(&str, &[&str]); 4] = [
    ("libcuda.so.1", &["cuInit", "cuDriverGetVersion", "cuDeviceGetCount"]),
    ("libnvidia-ml.so.1", &["nvmlInit_v2", "nvmlShutdown"]),
    ("libnvcuvid.so.1", &["cuvidCreateDecoder", "cuvidDecodePicture", "cuvidDestroyDecoder"]),
    ("libnvidia-encode.so.1", &["NvEncodeAPICreateInstance", "NvEncodeAPIGetMaxSupportedVersion"]),
];

/// The first function of each, which nearly every object lacks: to look for it must cost nothing.
static FIRST: LazyLock<Vec<Finder<'static>>> =
    LazyLock::new(|| EXPORTS.iter().filter_map(|(_, functions)| functions.first().map(Finder::new)).collect());

/// What a library that speaks to the kernel module opens, and one that stands before it does not.
const DEVICE: &str = "/dev/nvidiactl";

/// The real ones have less than half of it.
const LARGEST: usize = 256 << 20;

/// Which library of the driver an object is; `None` for stubs, and for what only stands before one and hands on.
///
/// By its SONAME, also by one with the hash in it that a wheel repair puts there (`libcuda-43c1b388.so.570.124.06`); under
/// any other name by its functions, when it speaks to the kernel module, says so in a compat note, or could not reach
/// another library that does.
#[must_use]
pub(crate) fn driver_of(view: &ElfView<'_>) -> Option<&'static DriverLibrary> {
    let by_name = view.soname().and_then(of_file_name).filter(|library| library.is_of_the_driver());
    by_name.or_else(|| by_content(view)).filter(|_| !is_stub(view) && !does_nothing(view))
}

fn by_content(view: &ElfView<'_>) -> Option<&'static DriverLibrary> {
    if view.bytes.len() > LARGEST {
        return None;
    }
    let has = |finder: &Finder<'_>| finder.find(view.strings.bytes).is_some();
    let mut named = EXPORTS.iter().zip(FIRST.iter()).filter(|(_, first)| has(first));
    let ((name, _), _) = named.find(|((_, functions), _)| defines(view, functions))?;
    let library = driver_library(name.as_bytes())?;
    let of_board = |name: &bstr::BStr| driver_library(name).is_some_and(|library| library.role == Role::Board);
    let speaks = || view.bytes.contains_str(DEVICE) || CompatNote::of(view).is_some() || view.needed().any(of_board);
    let could_ask = || {
        ["dlopen", "dlmopen", "dlsym", "dlvsym"].iter().any(|name| has_name(view, name))
            || view.needed().any(|name| of_file_name(name).is_some())
    };
    (speaks() || !could_ask()).then_some(library)
}
