//! Link-time stubs of driver libraries, known by what they do, not by where they lie or what text they carry.

use bstr::ByteSlice;

use super::hollow::is_hollow;
use super::libraries::{Role, of_file_name};
use crate::elf::load_map;
use crate::elf::symbols::{exported_functions, has_name};
use crate::elf::view::ElfView;

/// The real libcuda has tens of megabytes, its stub some ten kilobytes.
const LARGEST_STUB: usize = 1 << 20;

/// Of a hundred functions, as many must do nothing.
const NEARLY_ALL: usize = 90;

/// What the NVML stub says when it is called; the real library says nothing of the kind.
const NVML_TEXT: &str = "stub library";

/// Whether an object only stands in for a driver library while linking.
///
/// Its functions do nothing: NVIDIA's return 34, home-made ones 0, 999 or nothing, or trap; or it has none. The real
/// libcuda carries the text "CUDA driver is a stub library" for the error that 34 is, so no text tells them apart; for NVML
/// it does.
#[must_use]
pub fn is_stub(view: &ElfView<'_>) -> bool {
    if view.bytes.len() > LARGEST_STUB {
        return false;
    }
    let library = match view.soname() {
        Some(soname) => of_file_name(soname),
        // A home-made one may lack a SONAME.
        None if has_name(view, "cuInit") => of_file_name("libcuda.so.1".into()),
        None => None,
    };
    let Some(library) = library.filter(|library| matches!(library.role, Role::Cuda | Role::KernelModule)) else {
        return false;
    };
    does_nothing(view) || (library.soname.starts_with("libnvidia-ml.") && view.bytes.contains_str(NVML_TEXT))
}

fn does_nothing(view: &ElfView<'_>) -> bool {
    let (mut all, mut hollow) = (0_usize, 0_usize);
    for function in exported_functions(view) {
        all = all.saturating_add(1);
        let code = load_map::file_range_from(&view.segments, function).and_then(|range| range.of(view.bytes));
        if is_hollow(code.unwrap_or_default(), view.header.e_machine) {
            hollow = hollow.saturating_add(1);
        }
    }
    hollow.saturating_mul(100) >= all.saturating_mul(NEARLY_ALL)
}
