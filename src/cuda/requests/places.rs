//! Where an object's own constants, variables and machine code lie: never device code, which is gigabytes without a name.

use bstr::ByteSlice;

use crate::elf::record::{Section, sht};
use crate::elf::units::{FileOffset, FileRange};
use crate::elf::view::ElfView;

/// Sections with nothing but device code: large, and no host string is in them.
const DEVICE_CODE: [&[u8]; 3] = [b".nv_fatbin", b"__nv_relfatbin", b".cask_resource"];

/// Bytes of the file, and where they are in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct HostPlace<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) address: u64,
}

impl HostPlace<'_> {
    /// The address of a byte in it.
    pub(super) fn address_of(&self, at: usize) -> Option<u64> {
        self.address.checked_add(u64::try_from(at).ok()?)
    }
}

/// Where constants and variables are: data sections, or every PT_LOAD when there are no sections (a linker that does not
/// separate code puts constants beside it).
pub(super) fn of_data<'a>(view: &ElfView<'a>) -> Vec<HostPlace<'a>> {
    if view.sections.is_empty() {
        return loads(view, |_| true);
    }
    sections(view, |section| !is_executable(section))
}

/// Where machine code is.
pub(super) fn of_code<'a>(view: &ElfView<'a>) -> Vec<HostPlace<'a>> {
    if view.sections.is_empty() {
        return loads(view, |is_executable| is_executable);
    }
    sections(view, is_executable)
}

fn loads<'a>(view: &ElfView<'a>, wanted: impl Fn(bool) -> bool) -> Vec<HostPlace<'a>> {
    let loads = view.segments.iter().filter(|segment| segment.is_load() && wanted(segment.is_executable()));
    apart(view, loads.filter_map(|load| Some((load.file_range()?, load.address.get()))))
}

fn sections<'a>(view: &ElfView<'a>, wanted: impl Fn(&Section) -> bool) -> Vec<HostPlace<'a>> {
    let loaded = |section: &&Section| section.is_alloc() && section.kind == sht::SHT_PROGBITS && wanted(section);
    let is_host =
        |section: &&Section| view.section_name(section).is_none_or(|name| !DEVICE_CODE.contains(&name.as_bytes()));
    let host = view.sections.iter().filter(loaded).filter(is_host);
    apart(view, host.filter_map(|section| Some((section.file_range()?, section.address.get()))))
}

/// In file order, each byte once: a table of sections could name the same gigabyte ten thousand times.
fn apart<'a>(view: &ElfView<'a>, ranges: impl Iterator<Item = (FileRange, u64)>) -> Vec<HostPlace<'a>> {
    let mut ranges: Vec<(FileRange, u64)> = ranges.collect();
    ranges.sort_unstable_by_key(|(range, address)| (range.start(), range.end(), *address));
    let mut places = Vec::with_capacity(ranges.len());
    let mut covered = FileOffset::new(0);
    for (range, address) in ranges {
        let start = range.start().max(covered);
        let rest = range.end().since(start).and_then(|len| FileRange::new(start, len)).filter(|rest| !rest.is_empty());
        let Some(rest) = rest else { continue };
        covered = range.end();
        // Holes of a sparse file hold no name.
        for part in view.data.within(rest) {
            let place = || {
                let address = address.checked_add(part.start().since(range.start())?)?;
                Some(HostPlace { bytes: part.of(view.bytes)?, address })
            };
            places.extend(place().filter(|place| !place.bytes.is_empty()));
        }
    }
    places
}

fn is_executable(section: &Section) -> bool {
    section.flags & u64::from(sht::SHF_EXECINSTR) != 0
}
