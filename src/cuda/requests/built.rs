//! Names that are put together at run time: cudarc tries thirty, made of `lib`, `cuda`, `.so` and versions. No name stands
//! in the file, but the functions do that it looks up.

use bstr::ByteSlice;
use memchr::memmem;

use super::literals::Literals;
use super::places::HostPlace;
use super::search::Hit;
use crate::elf::symbols::has_name;
use crate::elf::view::ElfView;

/// A driver library, and functions of it.
struct Interface {
    soname: &'static str,
    /// What the names of the function begin with that must be called before any other.
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
pub(super) fn sonames(view: &ElfView<'_>, data: &[HostPlace<'_>], code: &[HostPlace<'_>]) -> Vec<&'static str> {
    let imports = |names: [&str; 2]| names.iter().any(|name| has_name(view, name));
    let can_ask = imports(["dlsym", "dlvsym"]) && imports(["dlopen", "dlmopen"]);
    if !can_ask || view.strings.bytes.contains_str(THROUGH_RUNTIME) {
        return Vec::new();
    }
    let interfaces = INTERFACES.iter().filter(|interface| interface.is_used(view, data, code));
    interfaces.map(|interface| interface.soname).collect()
}

impl Interface {
    fn is_used(&self, view: &ElfView<'_>, data: &[HostPlace<'_>], code: &[HostPlace<'_>]) -> bool {
        // Most objects end here, after one pass.
        if !data.iter().any(|place| place.bytes.contains_str(self.stem)) {
            return false;
        }
        let (mut first, mut other) = (Named::default(), Named::default());
        self.first.iter().for_each(|name| first.look(name, view, data));
        self.others.iter().for_each(|name| other.look(name, view, data));
        let through_runtime = || data.iter().any(|place| place.bytes.contains_str(THROUGH_RUNTIME));
        first.may_be()
            && other.may_be()
            && !through_runtime()
            && first.is(view, data, code)
            && other.is(view, data, code)
    }
}

/// What is known of some functions' names.
#[derive(Default)]
struct Named {
    /// One of them is a string.
    is_certain: bool,
    /// They stand among other constants, or in a text.
    literals: Literals,
}

impl Named {
    fn look(&mut self, name: &str, view: &ElfView<'_>, data: &[HostPlace<'_>]) {
        for (index, place) in data.iter().enumerate() {
            for start in memmem::find_iter(place.bytes, name) {
                let hit = Hit { name: 0, start, end: start.saturating_add(name.len()) };
                let front = start.checked_sub(1).and_then(|front| place.bytes.get(front));
                let begins = front.is_none_or(|byte| !byte.is_ascii() || byte.is_ascii_control());
                if is_symbol(view, place, start) {
                } else if begins && place.bytes.get(hit.end) == Some(&0) {
                    self.is_certain = true;
                    return;
                } else {
                    self.literals.consider(place, index, hit);
                }
            }
        }
    }

    fn may_be(&self) -> bool {
        self.is_certain || !self.literals.is_empty()
    }

    fn is(self, view: &ElfView<'_>, data: &[HostPlace<'_>], code: &[HostPlace<'_>]) -> bool {
        self.is_certain || !self.literals.confirmed(view, &[], data, code).is_empty()
    }
}

/// Without sections the names of symbols are among the data: they are not looked up, but bound.
fn is_symbol(view: &ElfView<'_>, place: &HostPlace<'_>, at: usize) -> bool {
    let within = place.address_of(at).and_then(|address| address.checked_sub(view.strings.address.get()));
    within.is_some_and(|within| within < view.strings.size())
}
