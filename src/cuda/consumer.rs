//! Which driver libraries an object asks for, by DT_NEEDED, by a name that it can hand to dlopen, or by saying so.

use bstr::{BString, ByteSlice};

use super::libraries::DriverLibraries;
use crate::elf::notes;
use crate::elf::record::{Section, sht};
use crate::elf::units::FileRange;
use crate::elf::view::ElfView;

/// Sections with nothing but device code: large, and no host string is in them.
const DEVICE_CODE: [&[u8]; 3] = [b".nv_fatbin", b"__nv_relfatbin", b".cask_resource"];

/// `.note.dlopen` (systemd's ELF dlopen metadata): the libraries that a program may load, as JSON.
const DLOPEN_OWNER: &str = "FDO";
const DLOPEN_KIND: u32 = 0x407c_0c0a;

/// A note has a line for each library; what JSON becomes in memory is many times as large.
const LONGEST_NOTE: usize = 1 << 20;

/// No file name is longer on Linux (`PATH_MAX`).
const LONGEST_PATH: usize = 4096;

/// How an object asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RequestKind {
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
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Needed => "needed",
            Self::Note => "note",
            Self::String => "string",
        }
    }
}

/// One driver library that an object asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The name asked for.
    pub(crate) soname: String,
    /// How; the most certain way when there are several.
    pub(crate) kind: RequestKind,
}

/// Everything that an object says about driver libraries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consumer {
    /// What it asks for, in the table's order.
    pub(crate) requests: Vec<Request>,
    /// Absolute paths of driver libraries in its data: they are opened without any search.
    pub(crate) hardcoded: Vec<BString>,
    /// It imports `dlopen` or `dlmopen`: what it asks for by name it can load itself.
    pub(crate) imports_dlopen: bool,
    /// Its `.note.dlopen` is no JSON, or is cut.
    pub(crate) has_bad_note: bool,
}

impl Consumer {
    /// Reads the object's data, so it costs as much as searching it for a string.
    #[must_use]
    pub fn of(view: &ElfView<'_>, libraries: &DriverLibraries) -> Self {
        let mut consumer = Self { imports_dlopen: imports_dlopen(view), ..Self::default() };
        let mut found: Vec<Option<RequestKind>> = vec![None; libraries.names().len()];
        for name in view.needed() {
            note(&mut found, libraries.position(name), RequestKind::Needed);
        }
        // The loader needs no sections, and a tool that strips their headers leaves the segment.
        let notes = notes::of_sections(view).chain(notes::of_segments(view));
        for dlopen in notes.filter(|note| note.kind == DLOPEN_KIND && note.owner == DLOPEN_OWNER) {
            let json = dlopen.descriptor.of(view.bytes).unwrap_or_default();
            for hit in libraries.in_json.find_overlapping_iter(json) {
                note(&mut found, Some(hit.pattern().as_usize()), RequestKind::Note);
            }
            let is_json = json.len() <= LONGEST_NOTE
                && serde_json::from_slice::<serde_json::Value>(json.trim_end_with(|c| c == '\0')).is_ok();
            consumer.has_bad_note |= dlopen.is_cut || !is_json;
        }
        let ranges = data_ranges(view).into_iter().flat_map(|range| view.data.within(range));
        for data in ranges.filter_map(|range| range.of(view.bytes)) {
            // A name may be the tail of a longer string: only its end is anchored.
            for hit in libraries.in_data.find_overlapping_iter(data) {
                note(&mut found, Some(hit.pattern().as_usize()), RequestKind::String);
                consumer.hardcoded.extend(absolute_path(data, hit.start(), hit.end()));
            }
        }
        consumer.hardcoded.sort();
        consumer.hardcoded.dedup();
        let requests = libraries.names().iter().zip(found);
        consumer.requests =
            requests.filter_map(|(soname, kind)| Some(Request { soname: soname.clone(), kind: kind? })).collect();
        consumer
    }

    /// What needs no look at the data.
    #[must_use]
    pub(crate) fn without_data(view: &ElfView<'_>) -> Self {
        Self { imports_dlopen: imports_dlopen(view), ..Self::default() }
    }

    /// Whether it asks for anything.
    #[must_use]
    pub(crate) fn asks(&self) -> bool {
        !self.requests.is_empty()
    }
}

/// Driver libraries that are named in any bytes, for files that have no dynamic section to say more.
#[must_use]
pub(crate) fn names_in<'b>(parts: impl Iterator<Item = &'b [u8]>, libraries: &DriverLibraries) -> Vec<String> {
    let mut found = vec![false; libraries.names().len()];
    for hit in parts.flat_map(|part| libraries.in_data.find_overlapping_iter(part)) {
        if let Some(seen) = found.get_mut(hit.pattern().as_usize()) {
            *seen = true;
        }
    }
    libraries.names().iter().zip(found).filter(|(_, seen)| *seen).map(|(name, _)| name.clone()).collect()
}

/// The most certain kind wins.
fn note(found: &mut [Option<RequestKind>], index: Option<usize>, kind: RequestKind) {
    if let Some(slot) = index.and_then(|index| found.get_mut(index)) {
        *slot = Some(slot.map_or(kind, |known| known.min(kind)));
    }
}

/// The whole string around a name, when it is an absolute path that ends in it.
fn absolute_path(data: &[u8], start: usize, end: usize) -> Option<BString> {
    let before = data.get(start.saturating_sub(LONGEST_PATH)..start)?;
    let before = before.rsplit(|byte| *byte == 0).next()?;
    let first = start.checked_sub(before.len())?;
    let is_path = before.starts_with(b"/") && before.ends_with(b"/") && before.iter().all(u8::is_ascii_graphic);
    let path = data.get(first..end.checked_sub(1)?)?;
    is_path.then(|| path.into())
}

/// Whether `dlopen` or `dlmopen` is among the names of its dynamic symbols. A name is enough: an object that defines it can
/// call it as well.
fn imports_dlopen(view: &ElfView<'_>) -> bool {
    ["\0dlopen\0", "\0dlmopen\0"].iter().any(|name| view.strings.bytes.contains_str(name))
}

/// Where constants and variables are: data sections, or every PT_LOAD when there are no sections (a linker that does not
/// separate code puts constants beside it).
fn data_ranges(view: &ElfView<'_>) -> Vec<FileRange> {
    if view.sections.is_empty() {
        let loads = view.segments.iter().filter(|segment| segment.is_load());
        return loads.filter_map(|load| load.file_range()).collect();
    }
    let executable = u64::from(sht::SHF_EXECINSTR);
    let is_data =
        |section: &&Section| section.is_alloc() && section.kind == sht::SHT_PROGBITS && section.flags & executable == 0;
    let sections = view.sections.iter().filter(is_data);
    let host = sections
        .filter(|section| view.section_name(section).is_none_or(|name| !DEVICE_CODE.contains(&name.as_bytes())));
    host.filter_map(|section| section.file_range()).collect()
}
