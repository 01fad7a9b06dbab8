//! Where an object's own constants, variables and machine code lie: never device code, which is gigabytes without a name.

use bstr::ByteSlice;

use crate::elf::record::{Section, sht};
use crate::elf::units::FileRange;
use crate::elf::view::ElfView;

/// Sections with nothing but device code: large, and no host string is in them.
const DEVICE_CODE: [&[u8]; 3] = [b".nv_fatbin", b"__nv_relfatbin", b".cask_resource"];

/// Bytes of the file, and where they are in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) address: u64,
}

impl<'a> Place<'a> {
    fn of(view: &ElfView<'a>, range: Option<FileRange>, address: u64) -> Option<Self> {
        Some(Self { bytes: range?.of(view.bytes)?, address })
    }

    /// The address of a byte in it.
    pub(super) fn address_of(&self, at: usize) -> Option<u64> {
        self.address.checked_add(u64::try_from(at).ok()?)
    }
}

/// Where constants and variables are: data sections, or every PT_LOAD when there are no sections (a linker that does not
/// separate code puts constants beside it).
pub(super) fn of_data<'a>(view: &ElfView<'a>) -> Vec<Place<'a>> {
    if view.sections.is_empty() {
        return loads(view, |_| true);
    }
    sections(view, |section| !is_executable(section))
}

/// Where machine code is.
pub(super) fn of_code<'a>(view: &ElfView<'a>) -> Vec<Place<'a>> {
    if view.sections.is_empty() {
        return loads(view, |is_executable| is_executable);
    }
    sections(view, is_executable)
}

fn loads<'a>(view: &ElfView<'a>, wanted: impl Fn(bool) -> bool) -> Vec<Place<'a>> {
    let loads = view.segments.iter().filter(|segment| segment.is_load() && wanted(segment.is_executable()));
    loads.filter_map(|load| Place::of(view, load.file_range(), load.address.get())).collect()
}

fn sections<'a>(view: &ElfView<'a>, wanted: impl Fn(&Section) -> bool) -> Vec<Place<'a>> {
    let loaded = |section: &&Section| section.is_alloc() && section.kind == sht::SHT_PROGBITS && wanted(section);
    let is_host = |section: &&Section| view.section_name(section).is_none_or(|name| !DEVICE_CODE.contains(&name.as_bytes()));
    let host = view.sections.iter().filter(loaded).filter(is_host);
    host.filter_map(|section| Place::of(view, section.file_range(), section.address.get())).collect()
}

fn is_executable(section: &Section) -> bool {
    section.flags & u64::from(sht::SHF_EXECINSTR) != 0
}
