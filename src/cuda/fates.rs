//! What becomes of all containers of a file: what is in each of them, and who leads into it.

use std::collections::BTreeSet;

use bstr::ByteSlice;

use super::field::u64_at;
use super::scan::{WRAPPER, WRAPPER_MAGIC, WRAPPER_SECTION};
use super::slim::{Fate, Reason, Targets};
use super::spans::FatBinary;
use crate::elf::archive;
use crate::elf::contents::Contents;
use crate::elf::inward::{Inward, address_of, inward};
use crate::elf::record::ET_EXEC;
use crate::elf::units::{FileOffset, FileRange, len64};
use crate::elf::view::{has_magic, parse_header, parse_segments};

/// Each container with its fate.
pub(crate) type Fates<'b> = Vec<(&'b FatBinary, Fate)>;

impl Targets {
    /// Decides about all containers of a file.
    #[must_use]
    pub(crate) fn fates<'b>(&self, file: &[u8], binaries: &'b [FatBinary]) -> Fates<'b> {
        let mut fates: Fates<'b> = binaries.iter().map(|binary| (binary, self.fate(binary))).collect();
        for unit in units(file) {
            let Some(bytes) = unit.of(file).filter(|bytes| has_magic(bytes)) else { continue };
            let is_asked = |(binary, fate): &(&FatBinary, Fate)| {
                matches!(fate, Fate::Rewritten(_)) && binary.unit == unit.start().get()
            };
            let within = |range: FileRange| {
                let start = range.start().since(unit.start())?;
                FileRange::new(FileOffset::new(start), range.len())
            };
            let asked = fates.iter().filter(|of| is_asked(of)).map(|(binary, _)| within(binary.range));
            let nothing = FileRange::new(FileOffset::new(u64::MAX), 0);
            let ranges: Vec<FileRange> = asked.filter_map(|range| range.or(nothing)).collect();
            if ranges.is_empty() {
                continue;
            }
            let named = named(bytes, &ranges);
            let mut answers = inward(bytes, &ranges).into_iter().zip(named);
            for (_, fate) in fates.iter_mut().filter(|of| is_asked(of)) {
                let reason = match answers.next() {
                    Some((Inward::Alone, true)) => continue,
                    Some((Inward::Alone, false)) => Reason::NotNamed,
                    Some((Inward::Entered, _)) => Reason::ReferredTo,
                    Some((Inward::NotMapped, _)) => Reason::NotMapped,
                    Some((Inward::Twice, _)) => Reason::Overlapping,
                    Some((Inward::Unreadable, _)) | None => Reason::RelocationsUnreadable,
                };
                *fate = Fate::LeftAlone(reason);
            }
        }
        fates
    }
}

/// The file, or the members of an archive.
fn units(file: &[u8]) -> Vec<FileRange> {
    if !file.starts_with(archive::MAGIC) {
        return FileRange::between(0, len64(file)).into_iter().collect();
    }
    let members = archive::members(file).filter_map(Result::ok);
    members.filter_map(|(_, start, body)| FileRange::new(FileOffset::new(start), len64(body))).collect()
}

/// In a program at fixed addresses pointers are plain words, which are not told from numbers: there a container must be
/// named by the record that the compiler makes of it, and none may lead elsewhere into one.
fn named(bytes: &[u8], ranges: &[FileRange]) -> Vec<bool> {
    let is_fixed = parse_header(bytes).is_ok_and(|(_, header)| header.e_type == ET_EXEC);
    if !is_fixed {
        return vec![true; ranges.len()];
    }
    let none = || vec![false; ranges.len()];
    let Ok((encoding, header)) = parse_header(bytes) else { return none() };
    let Ok(segments) = parse_segments(bytes, encoding, &header) else { return none() };
    let Ok(contents) = Contents::parse(bytes) else { return none() };
    let records = contents.parts.iter().filter(|part| part.name == WRAPPER_SECTION);
    let records = records.flat_map(|part| part.bytes.chunks_exact(WRAPPER));
    let records = records.filter(|record| record.starts_with_str(WRAPPER_MAGIC));
    let named: BTreeSet<u64> = records.map(|record| u64_at(record, 8)).collect();
    let is_named = |range: &FileRange| {
        let Some(start) = address_of(&segments, *range) else { return false };
        let end = start.saturating_add(range.len());
        named.range(start..end).copied().eq([start])
    };
    ranges.iter().map(is_named).collect()
}
