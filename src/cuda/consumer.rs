//! Which driver libraries an object asks for, by DT_NEEDED, by a name that it can hand to dlopen, or by saying so.

use bstr::{BString, ByteSlice};
use serde_json::value::RawValue;

use super::libraries::DriverLibraries;
use super::requests::{self, FoundNames, RequestKind};
use crate::elf::notes;
use crate::elf::symbols;
use crate::elf::view::ElfView;

/// `.note.dlopen` (systemd's ELF dlopen metadata): the libraries that a program may load, as JSON.
const DLOPEN_OWNER: &str = "FDO";
const DLOPEN_KIND: u32 = 0x407c_0c0a;

/// One driver library that an object asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The name asked for.
    pub soname: String,
    /// How; the most certain way when there are several.
    pub kind: RequestKind,
}

/// Everything that an object says about driver libraries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consumer {
    /// What it asks for, in the table's order.
    pub requests: Vec<Request>,
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
        let mut found = FoundNames { kinds: vec![None; libraries.names().len()], hardcoded: Vec::new() };
        for name in view.needed().chain(view.filters()) {
            found.note(libraries.asked_for_as(name), RequestKind::Needed);
        }
        // The loader needs no sections, and a tool that strips their headers leaves the segment.
        let notes = notes::of_sections(view).chain(notes::of_segments(view));
        for dlopen in notes.filter(|note| note.kind == DLOPEN_KIND && note.owner == DLOPEN_OWNER) {
            let json = dlopen.descriptor.of(view.bytes).unwrap_or_default();
            for hit in libraries.in_json.find_overlapping_iter(json) {
                found.note(Some(hit.pattern().as_usize()), RequestKind::Note);
            }
            let is_json = serde_json::from_slice::<&RawValue>(json.trim_end_with(|c| c == '\0')).is_ok();
            consumer.has_bad_note |= dlopen.is_cut || !is_json;
        }
        found.look(view, libraries.names(), &libraries.searches, consumer.imports_dlopen);
        consumer.hardcoded = found.hardcoded;
        consumer.hardcoded.sort();
        consumer.hardcoded.dedup();
        let requests = libraries.names().iter().zip(found.kinds);
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

/// Names of any libraries, prepared to find out which of them objects open.
#[derive(Debug, Default)]
pub(crate) struct LibraryNames(Option<DriverLibraries>);

impl LibraryNames {
    /// Of the files in some directories, those that are called as libraries are.
    #[must_use]
    pub(crate) fn of_files<'n>(files: impl Iterator<Item = &'n BString>) -> Self {
        let libraries = files.filter(|name| name.contains_str(".so")).filter_map(|name| name.to_str().ok());
        let mut names: Vec<String> = libraries.map(str::to_owned).collect();
        names.sort_unstable();
        names.dedup();
        Self(DriverLibraries::only(names).ok().filter(|libraries| !libraries.names().is_empty()))
    }

    /// Those that an object hands to dlopen, however it says so, in their order; none where it cannot call that.
    #[must_use]
    pub(crate) fn opened_by(&self, view: &ElfView<'_>) -> Vec<BString> {
        let Some(libraries) = self.0.as_ref().filter(|_| imports_dlopen(view)) else { return Vec::new() };
        let requests = Consumer::of(view, libraries).requests.into_iter();
        let opened = requests.filter(|request| request.kind != RequestKind::Needed);
        opened.map(|request| BString::from(request.soname)).collect()
    }
}

/// Driver libraries that are named in any bytes, for files that have no dynamic section to say more.
#[must_use]
pub(crate) fn names_in<'b>(parts: impl Iterator<Item = &'b [u8]>, libraries: &DriverLibraries) -> Vec<String> {
    requests::names_in(parts, libraries.names(), &libraries.searches)
}

/// Whether `dlopen` or `dlmopen` is among the names of its dynamic symbols. A name is enough: an object that defines it can
/// call it as well.
fn imports_dlopen(view: &ElfView<'_>) -> bool {
    ["dlopen", "dlmopen"].iter().any(|name| symbols::has_name(view, name))
}
