//! Which driver libraries an object asks for, by DT_NEEDED, by a name that it can hand to dlopen, or by saying so.

use aho_corasick::AhoCorasick;
use bstr::ByteSlice;

use crate::elf::record::sht;
use crate::elf::units::FileRange;
use crate::elf::view::ElfView;

/// The libraries that come with the driver (and on a Jetson with its board support), not with the toolkit.
pub const DRIVER_LIBRARIES: [&str; 18] = [
    "libcuda.so.1",
    "libcuda.so",
    "libnvidia-ml.so.1",
    "libnvcuvid.so.1",
    "libnvidia-encode.so.1",
    "libnvidia-opticalflow.so.1",
    "libnvoptix.so.1",
    "libcudadebugger.so.1",
    "libnvidia-ptxjitcompiler.so.1",
    "libnvidia-nvvm.so.4",
    "libnvidia-fbc.so.1",
    "libEGL_nvidia.so.0",
    "libGLX_nvidia.so.0",
    "libnvrm_gpu.so",
    "libnvrm_mem.so",
    "libnvdla_runtime.so",
    "libnvcudla.so",
    "libnvbufsurface.so",
];

/// Sections with nothing but device code: large, and no host string is in them.
const DEVICE_CODE: [&[u8]; 3] = [b".nv_fatbin", b"__nv_relfatbin", b".cask_resource"];

/// How an object asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequestKind {
    /// DT_NEEDED: the loader resolves it.
    Needed,
    /// `.note.dlopen` says so (owner FDO, type 0x407c0c0a).
    Note,
    /// The name stands in its data, NUL-terminated.
    String,
}

impl RequestKind {
    /// The word used in every output format.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Needed => "needed",
            Self::Note => "note",
            Self::String => "string",
        }
    }
}

/// One driver library that an object asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// The name asked for.
    pub soname: &'static str,
    /// How; the most certain way when there are several.
    pub kind: RequestKind,
}

/// Everything that an object asks of the driver, in the order of [`DRIVER_LIBRARIES`].
///
/// Reads the object's data, so it costs as much as searching it for a string.
#[must_use]
pub fn requests(view: &ElfView<'_>) -> Vec<Request> {
    let mut found: [Option<RequestKind>; DRIVER_LIBRARIES.len()] = [None; DRIVER_LIBRARIES.len()];
    for name in view.needed() {
        note(&mut found, DRIVER_LIBRARIES.iter().position(|known| name == known.as_bytes()), RequestKind::Needed);
    }
    let notes = view.sections.iter().filter(|section| section.kind == sht::SHT_NOTE);
    search(
        view,
        notes.filter_map(|s| s.file_range()),
        |name| format!("\"{name}\"").into_bytes(),
        RequestKind::Note,
        &mut found,
    );
    search(
        view,
        data_ranges(view).into_iter(),
        |name| format!("{name}\0").into_bytes(),
        RequestKind::String,
        &mut found,
    );
    let requests = DRIVER_LIBRARIES.into_iter().zip(found);
    requests.filter_map(|(soname, kind)| Some(Request { soname, kind: kind? })).collect()
}

/// The most certain kind wins.
fn note(found: &mut [Option<RequestKind>], index: Option<usize>, kind: RequestKind) {
    if let Some(slot) = index.and_then(|index| found.get_mut(index)) {
        *slot = Some(slot.map_or(kind, |known| known.min(kind)));
    }
}

fn search(
    view: &ElfView<'_>,
    ranges: impl Iterator<Item = FileRange>,
    pattern: impl Fn(&str) -> Vec<u8>,
    kind: RequestKind,
    found: &mut [Option<RequestKind>],
) {
    let Ok(finder) = AhoCorasick::new(DRIVER_LIBRARIES.iter().map(|name| pattern(name))) else { return };
    for bytes in ranges.filter_map(|range| range.of(view.bytes)) {
        // A name may be the tail of a longer string: only its end is anchored.
        for hit in finder.find_overlapping_iter(bytes) {
            note(found, Some(hit.pattern().as_usize()), kind);
        }
    }
}

/// Where constants and variables are: data sections, or every PT_LOAD when there are no sections (a linker that does not
/// separate code puts constants beside it).
fn data_ranges(view: &ElfView<'_>) -> Vec<FileRange> {
    if view.sections.is_empty() {
        let loads = view.segments.iter().filter(|segment| segment.is_load());
        return loads.filter_map(|load| load.file_range()).collect();
    }
    let executable = u64::from(sht::SHF_EXECINSTR);
    let is_data = |section: &&crate::elf::record::Section| {
        section.is_alloc() && section.kind == sht::SHT_PROGBITS && section.flags & executable == 0
    };
    let sections = view.sections.iter().filter(is_data);
    let host = sections
        .filter(|section| view.section_name(section).is_none_or(|name| !DEVICE_CODE.contains(&name.as_bytes())));
    host.filter_map(|section| section.file_range()).collect()
}
