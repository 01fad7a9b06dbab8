//! Whether an object's own code reads its notes at the address of its ELF header plus their file offset, as compiler-rt's
//! coverage run time does for the build id (`compiler-rt lib/profile/InstrProfilingPlatformLinux.c`): that is where they are
//! as long as they lie as far from their offset as the first PT_LOAD does.

use super::view::ElfView;

/// What every program of that run time has, whatever was stripped: its counters and names.
const COVERAGE: &[u8] = b"__llvm_prf_";

/// Whether it does.
#[must_use]
pub(super) fn reads_own_notes(view: &ElfView<'_>) -> bool {
    let mut sections = view.sections.iter().filter(|section| section.is_alloc());
    sections.any(|section| view.section_name(section).is_some_and(|name| name.starts_with(COVERAGE)))
}
