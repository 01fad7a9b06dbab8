//! Names that are put together at run time: cudarc tries thirty, made of `lib`, `cuda`, `.so` and versions. No name stands
//! in the file, but the functions do that it looks up.

use bstr::ByteSlice;
use memchr::memmem;

use super::places::Place;
use crate::elf::view::ElfView;

/// A driver library, the function that must be called before any other under the names that it has, and others.
struct Interface {
    soname: &'static str,
    /// What the names of that function begin with: one search for all of them.
    stem: &'static str,
    first: &'static [&'static str],
    others: &'static [&'static str],
}

const INTERFACES: [Interface; 2] = [
    Interface {
        soname: "libcuda.so.1",
        stem: "cuInit",
        first: &["cuInit"],
        others: &[
            "cuGetProcAddress",
            "cuDriverGetVersion",
            "cuDeviceGet",
            "cuDeviceGetCount",
            "cuDeviceGetName",
            "cuDeviceGetAttribute",
            "cuDevicePrimaryCtxRetain",
            "cuCtxCreate",
            "cuCtxCreate_v2",
            "cuCtxSetCurrent",
            "cuMemAlloc_v2",
            "cuMemcpyHtoD_v2",
            "cuModuleLoadData",
            "cuModuleLoadDataEx",
            "cuModuleGetFunction",
            "cuLaunchKernel",
            "cuStreamCreate",
        ],
    },
    Interface {
        soname: "libnvidia-ml.so.1",
        stem: "nvmlInit",
        first: &["nvmlInit", "nvmlInit_v2", "nvmlInitWithFlags"],
        others: &[
            "nvmlShutdown",
            "nvmlDeviceGetCount",
            "nvmlDeviceGetCount_v2",
            "nvmlDeviceGetHandleByIndex",
            "nvmlDeviceGetHandleByIndex_v2",
            "nvmlDeviceGetName",
            "nvmlDeviceGetMemoryInfo",
            "nvmlDeviceGetUtilizationRates",
            "nvmlSystemGetDriverVersion",
        ],
    },
];

/// The runtime hands the driver's functions out by name: with it no driver library is opened.
const THROUGH_RUNTIME: &str = "cudaGetDriverEntryPoint";

/// The driver libraries that an object asks for with no more than their functions' names, given that it names none.
///
/// It must import `dlsym` and `dlopen`, and name the function that comes before all others together with another one.
/// `cuInit` alone is too weak ("accuInit"), and functions without it are those of a library that is given a handle
/// (NVSHMEM's transport for UCX).
pub(super) fn sonames(view: &ElfView<'_>, data: &[Place<'_>]) -> Vec<&'static str> {
    let strings = view.strings.bytes;
    let imports = |names: [&str; 2]| names.iter().any(|name| strings.contains_str(name));
    let can_ask = imports(["\0dlsym\0", "\0dlvsym\0"]) && imports(["\0dlopen\0", "\0dlmopen\0"]);
    if !can_ask || strings.contains_str(THROUGH_RUNTIME) {
        return Vec::new();
    }
    let asked = |interface: &&Interface| {
        let is_in = |stem: &str, name: &str| is_in(view, data, interface, stem, name);
        interface.first.iter().any(|name| is_in(interface.stem, name))
            && interface.others.iter().any(|name| is_in(name, name))
            && !data.iter().any(|place| place.bytes.contains_str(THROUGH_RUNTIME))
    };
    INTERFACES.iter().filter(asked).map(|interface| interface.soname).collect()
}

/// Whether a function's name, which begins with `stem`, stands in the data by itself: a string, or a constant between
/// others.
fn is_in(view: &ElfView<'_>, data: &[Place<'_>], interface: &Interface, stem: &str, name: &str) -> bool {
    data.iter().any(|place| {
        memmem::find_iter(place.bytes, stem).any(|at| {
            let (front, rest) = place.bytes.split_at_checked(at).unwrap_or_default();
            rest.strip_prefix(name.as_bytes()).is_some_and(|behind| {
                !is_symbol(view, place, at) && begins_word(front, interface) && ends_word(behind, interface)
            })
        })
    })
}

/// Without sections the names of symbols are among the data: they are not looked up, but bound.
fn is_symbol(view: &ElfView<'_>, place: &Place<'_>, at: usize) -> bool {
    let within = place.address_of(at).and_then(|address| address.checked_sub(view.strings.address.get()));
    within.is_some_and(|within| within < view.strings.size())
}

fn begins_word(front: &[u8], interface: &Interface) -> bool {
    let mut names = interface.first.iter().chain(interface.others);
    !front.last().is_some_and(is_word) || names.any(|name| front.ends_with(name.as_bytes()))
}

fn ends_word(behind: &[u8], interface: &Interface) -> bool {
    let mut names = interface.first.iter().chain(interface.others);
    !behind.first().is_some_and(is_word) || names.any(|name| behind.starts_with(name.as_bytes()))
}

fn is_word(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || *byte == b'_'
}
