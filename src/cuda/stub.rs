//! Link-time stubs of driver libraries, known by what they do, not by where they lie or what text they carry.

use bstr::ByteSlice;

use super::hollow::is_hollow;
use super::libraries::{DriverLibrary, Role, of_file_name};
use crate::elf::load_map;
use crate::elf::symbols::{defines, exported_functions, imported_names};
use crate::elf::view::ElfView;

/// Machine code of `return 34` (CUDA_ERROR_STUB_LIBRARY), by `e_machine`.
const RETURN_34: [(u16, &[u8]); 2] = [
    // x86-64: mov $34, %eax; ret
    (62, &[0xb8, 0x22, 0, 0, 0, 0xc3]),
    // aarch64: mov w0, #34; ret
    (183, &[0x40, 0x04, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6]),
];

/// What a compiler may put in front for branch protection: endbr64, bti c, paciasp would be code already.
const LANDING_PADS: [(u16, &[u8]); 2] = [(62, &[0xf3, 0x0f, 0x1e, 0xfa]), (183, &[0x5f, 0x24, 0x03, 0xd5])];

/// The real libcuda has tens of megabytes, its stub some ten kilobytes.
const LARGEST_STUB: usize = 1 << 20;

/// Of a hundred functions, as many must be stubs.
const NEARLY_ALL: usize = 90;

/// What the NVML stub says when it is called; the real library says nothing of the kind.
const NVML_TEXT: &str = "stub library";

/// Whether an object only stands in for a driver library while linking.
///
/// libcuda's exports nothing but functions that return 34. The real libcuda carries the text "CUDA driver is a stub
/// library" for that very error, so no text tells them apart; for NVML it does.
#[must_use]
pub fn is_stub(view: &ElfView<'_>) -> bool {
    let Some(library) = imitated(view) else { return false };
    if library.soname.starts_with("libnvidia-ml.") {
        return view.bytes.contains_str(NVML_TEXT);
    }
    let machine = view.header.e_machine;
    let of_machine = |table: [(u16, &'static [u8]); 2]| table.into_iter().find(|(known, _)| *known == machine);
    let (Some((_, code)), Some((_, pad))) = (of_machine(RETURN_34), of_machine(LANDING_PADS)) else { return false };
    let returns_34 = |bytes: &[u8]| bytes.strip_prefix(pad).unwrap_or(bytes).starts_with(code);
    let (all, stubs) = count(view, returns_34);
    library.role == Role::Cuda && all > 0 && is_nearly_all(stubs, all)
}

/// What ends a process, or throws.
const ENDING: [&str; 13] = [
    "abort",
    "exit",
    "_exit",
    "_Exit",
    "quick_exit",
    "raise",
    "__assert_fail",
    "err",
    "errx",
    "verr",
    "verrx",
    "_ZSt9terminatev",
    "__cxa_throw",
];

/// What says something.
const SAYING: [&str; 20] = [
    "printf",
    "fprintf",
    "vfprintf",
    "dprintf",
    "puts",
    "putchar",
    "fputs",
    "fputc",
    "putc",
    "fwrite",
    "perror",
    "write",
    "syslog",
    "__printf_chk",
    "__fprintf_chk",
    "__vfprintf_chk",
    "__dprintf_chk",
    "__syslog_chk",
    "_ZSt4cerr",
    "_ZSt4cout",
];

/// What goes with either; and, by how they begin, what a compiler adds.
const NEUTRAL: [&str; 9] =
    ["stderr", "stdout", "fflush", "strerror", "strlen", "snprintf", "__snprintf_chk", "__errno_location", "memcpy"];
const OF_COMPILER: [&str; 9] =
    ["__gmon_start__", "_ITM_", "__cxa_", "__gxx_", "_Unwind_", "__stack_chk_", "_ZNSt", "_ZNKSt", "_ZT"];

/// Whether an object can do nothing but say something and end the process: it imports functions for that, and none that
/// reaches a device or another library.
fn only_complains(view: &ElfView<'_>) -> bool {
    let mut complains = false;
    for name in imported_names(view) {
        let is_one_of = |names: &[&str]| names.iter().any(|known| known.as_bytes() == name);
        let is_complaint = is_one_of(&ENDING) || is_one_of(&SAYING);
        let is_of_compiler = || OF_COMPILER.iter().any(|start| name.starts_with(start.as_bytes()));
        let is_of_streams = || name.starts_with(b"_ZSt");
        if !is_complaint && !is_one_of(&NEUTRAL) && !is_of_compiler() && !is_of_streams() {
            return false;
        }
        complains |= is_complaint;
    }
    complains
}

/// Whether an object is called as a driver library and does nothing: its functions return a constant or trap, or it has
/// none, or they only complain. Home-made stubs do that, whatever the constant.
#[must_use]
pub(crate) fn does_nothing(view: &ElfView<'_>) -> bool {
    if imitated(view).is_none() {
        return false;
    }
    if only_complains(view) {
        return true;
    }
    let (all, hollow) = count(view, |code| is_hollow(code, view.header.e_machine));
    is_nearly_all(hollow, all)
}

/// The library that a small object is called as.
fn imitated(view: &ElfView<'_>) -> Option<&'static DriverLibrary> {
    let library = match view.soname() {
        _ if view.bytes.len() > LARGEST_STUB => None,
        Some(soname) => of_file_name(soname),
        // A home-made one may lack a SONAME.
        None if defines(view, &["cuInit"]) => of_file_name("libcuda.so.1".into()),
        None => None,
    };
    library.filter(|library| matches!(library.role, Role::Cuda | Role::KernelModule))
}

/// How many functions it exports, and how many of them are such.
fn count(view: &ElfView<'_>, is_such: impl Fn(&[u8]) -> bool) -> (usize, usize) {
    let (mut all, mut such) = (0_usize, 0_usize);
    for function in exported_functions(view) {
        all = all.saturating_add(1);
        let code = load_map::file_range_from(&view.segments, function).and_then(|range| range.of(view.bytes));
        if is_such(code.unwrap_or_default()) {
            such = such.saturating_add(1);
        }
    }
    (all, such)
}

fn is_nearly_all(part: usize, all: usize) -> bool {
    part.saturating_mul(100) >= all.saturating_mul(NEARLY_ALL)
}
