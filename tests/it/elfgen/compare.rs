//! What an edit of the search path may change, and that it changed nothing else.

use super::choices::Class;
use super::read::{DT_RPATH, DT_RUNPATH, Image, PT_DYNAMIC, PT_NOTE, PT_PHDR, Section, Segment};

const PT_INTERP: u32 = 3;
const PT_TLS: u32 = 7;
const PT_STACK: u32 = 0x6474_e551;
const PT_RELRO: u32 = 0x6474_e552;
const PT_PROPERTY: u32 = 0x6474_e553;
const DT_NULL: u64 = 0;
const DT_HASH: u64 = 4;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_STRSZ: u64 = 10;
const DT_DEBUG: u64 = 21;
const DT_GNU_HASH: u64 = 0x6fff_fef5;
const DT_VERSYM: u64 = 0x6fff_fff0;
const DT_RELACOUNT: u64 = 0x6fff_fff9;
const DT_RELCOUNT: u64 = 0x6fff_fffa;
const DT_RLD_MAP_REL: u64 = 0x7000_0035;

/// Every way in which `after` is not `before` with `wanted` as its search path. An empty list is a faithful edit.
pub(crate) fn differences(before: &Image, after: &Image, wanted: &[u8], overlay: &[u8]) -> Vec<String> {
    let mut list = Vec::new();
    let path = after.runpath();
    if path.as_deref() != Some(wanted) {
        list.push(format!("the path is {:?}", path.map(|path| String::from_utf8_lossy(&path).into_owned())));
    }
    list.extend(side_effects(before, after, overlay));
    list
}

/// Every way in which `after` differs from `before` beside its search path.
pub(crate) fn side_effects(before: &Image, after: &Image, overlay: &[u8]) -> Vec<String> {
    let mut list = Vec::new();
    let mut check = |fine: bool, what: &str| {
        if !fine {
            list.push(what.to_owned());
        }
    };
    let paths: Vec<u64> =
        after.dynamic.iter().filter(|(tag, _)| matches!(*tag, DT_RPATH | DT_RUNPATH)).map(|entry| entry.1).collect();
    check(paths.iter().all(|offset| *offset == paths[0]), "two different path strings stay behind");
    check(before.strings().is_some() && before.strings() == after.strings(), "a string changed");
    let same_identity =
        before.data[..16] == after.data[..16] && (before.kind, before.machine) == (after.kind, after.machine);
    check(same_identity, "the ELF header changed");
    check(after.data.ends_with(overlay), "the payload is no longer at the end");
    list.extend(sections(before, after));
    list.extend(loaded(before, after));
    list
}

/// What the dynamic loader and the kernel would see change, were the file as it is now; section headers are none of their business.
pub(crate) fn loaded(before: &Image, after: &Image) -> Vec<String> {
    let mut list = segments(before, after);
    list.extend(memory(before, after));
    list.extend(dynamic(before, after));
    list
}

fn segments(before: &Image, after: &Image) -> Vec<String> {
    let mut list = Vec::new();
    let loads: Vec<&Segment> = after.loads().collect();
    for load in &loads {
        let inside = load.offset.checked_add(load.file_size).is_some_and(|end| end <= after.data.len() as u64);
        // Or as the linker left it: kernels map pages, whatever p_align says.
        let stays = |old: &Segment| (old.address, old.offset, old.align) == (load.address, load.offset, load.align);
        let congruent = load.align <= 1
            || load.offset % load.align == load.address % load.align
            || (load.offset % 0x1000 == load.address % 0x1000 && before.loads().any(stays));
        if !(inside
            && congruent
            && load.file_size <= load.memory_size
            && (load.align <= 1 || load.align.is_power_of_two()))
        {
            list.push(format!("unsound {load:x?}"));
        }
        // GNU ld may leave an empty one, which overlaps nothing.
        let old = before.loads().find(|old| overlaps(old, load) || old == load);
        match old {
            Some(old) if old.flags != load.flags => list.push(format!("other permissions: {load:x?}")),
            None if load.flags & 1 != 0 => list.push(format!("an executable segment is new: {load:x?}")),
            None => {
                let page = |address: u64| address / 4096;
                let shared = |other: &&&Segment| {
                    page(load.address) <= page(last_address(other)) && page(other.address) <= page(last_address(load))
                };
                if loads.iter().filter(|other| **other != *load).any(|other| shared(&other)) {
                    list.push(format!("the new segment shares a page: {load:x?}"));
                }
            }
            Some(_) => {}
        }
    }
    if !loads.windows(2).all(|pair| memory_end(pair[0]) <= pair[1].address) {
        list.push("PT_LOADs do not ascend".into());
    }
    if let Some(table) = after.segments.iter().find(|segment| segment.kind == PT_PHDR) {
        let size = after.segments.len() as u64 * after.entry_size();
        let right = table.offset == after.table && table.file_size == size && table.memory_size == size;
        if !right || after.offset_of(table.address) != Some(table.offset) {
            list.push(format!("PT_PHDR does not describe the table: {table:x?}"));
        }
    }
    let program = before.segments.iter().any(|segment| segment.kind == PT_INTERP);
    if program
        && before.segments.iter().any(|segment| segment.kind == PT_PHDR)
        && !after.segments.iter().any(|segment| segment.kind == PT_PHDR)
    {
        list.push("a program lost its PT_PHDR".into());
    }
    for kind in [PT_TLS, PT_STACK, PT_RELRO] {
        let of = |image: &Image| -> Vec<_> {
            let found = image.segments.iter().filter(|segment| segment.kind == kind);
            found
                .map(|segment| (segment.flags, segment.address, segment.file_size, segment.memory_size, segment.align))
                .collect()
        };
        if of(before) != of(after) {
            list.push(format!("program header {kind:#x} changed"));
        }
    }
    for kind in [PT_INTERP, PT_PROPERTY, PT_NOTE] {
        let (old, new) = (contents(before, kind), contents(after, kind));
        if kind == PT_NOTE {
            // A duplicate of PT_GNU_PROPERTY and an empty one may go; the rest stays.
            let property = contents(before, PT_PROPERTY);
            let lost = old.iter().any(|note| !note.is_empty() && !property.contains(note) && !new.contains(note));
            if lost && !has_ldcache(before) {
                list.push("a note is lost or changed".into());
            }
        } else if old != new {
            list.push(format!("what program header {kind:#x} points to changed"));
        }
    }
    list
}

/// By its owner: a section may have lost its name.
fn is_ldcache(note: &[u8]) -> bool {
    note.windows(6).any(|part| part == b"NixOS\0")
}

fn contents(image: &Image, kind: u32) -> Vec<Vec<u8>> {
    let bytes = |segment: &Segment| image.memory(segment.address, segment.file_size).unwrap_or_default();
    image.segments.iter().filter(|segment| segment.kind == kind).map(bytes).collect()
}

fn has_ldcache(image: &Image) -> bool {
    contents(image, PT_NOTE).iter().any(|note| is_ldcache(note))
}

fn overlaps(one: &Segment, other: &Segment) -> bool {
    one.address < memory_end(other) && other.address < memory_end(one)
}

// A damaged image may say anything: sums stop at 2^64.
fn memory_end(segment: &Segment) -> u64 {
    segment.address.saturating_add(segment.memory_size)
}

fn last_address(segment: &Segment) -> u64 {
    segment.address.saturating_add(segment.memory_size.max(1) - 1)
}

/// Old addresses hold what they held, outside the header, the table and one more entry, the dynamic entries, the old string table, mapped section
/// headers and the loader's cache note.
fn memory(before: &Image, after: &Image) -> Vec<String> {
    let mut allowed: Vec<(u64, u64)> = Vec::new();
    let mut allow_file = |offset: u64, size: u64| {
        // A damaged image may map them twice.
        for load in before.loads().filter(|load| offset >= load.offset && offset - load.offset < load.file_size) {
            let address = (offset - load.offset).saturating_add(load.address);
            allowed.push((address, address.saturating_add(size)));
        }
    };
    allow_file(0, if before.class == Class::Elf64 { 64 } else { 52 });
    allow_file(before.table, (before.segments.len() as u64 + 1) * before.entry_size());
    let section_entry = if before.class == Class::Elf64 { 64 } else { 40 };
    allow_file(before.section_table, before.sections.len() as u64 * section_entry);
    for segment in &before.segments {
        let note = segment.kind == PT_NOTE
            && has_ldcache(before)
            && contents(before, PT_NOTE).iter().any(|bytes| {
                is_ldcache(bytes) && before.memory(segment.address, segment.file_size).as_ref() == Some(bytes)
            });
        if segment.kind == PT_DYNAMIC || note {
            allow_file(segment.offset, segment.file_size);
        }
    }
    if let (Some(table), Some(size)) = (before.tag(DT_STRTAB), before.tag(DT_STRSZ)) {
        allowed.push((table, table.saturating_add(size)));
    }
    let mut list = Vec::new();
    for load in before.loads() {
        let new = after.memory(load.address, load.file_size);
        let (Some(old), Some(new)) = (before.memory(load.address, load.file_size), new) else {
            list.push(format!("{load:x?} is no longer mapped"));
            continue;
        };
        let free = |address: u64| allowed.iter().any(|(start, end)| address >= *start && address < *end);
        if let Some(at) =
            (0..load.file_size).find(|&at| old[at as usize] != new[at as usize] && !free(load.address + at))
        {
            list.push(format!("the byte at address {:#x} changed", load.address + at));
        }
        if !zero(after, load.address.saturating_add(load.file_size), memory_end(load)) {
            list.push(format!("zero-initialised memory of {load:x?} is not zero"));
        }
    }
    list
}

/// Whether a range of memory is mapped and zero; the part that the file does not hold is not built up.
fn zero(image: &Image, mut start: u64, end: u64) -> bool {
    while start < end {
        let Some(load) = image.loads().find(|load| start >= load.address && start - load.address < load.memory_size)
        else {
            return false;
        };
        let inner = start - load.address;
        let filled = load.file_size.saturating_sub(inner).min(end - start);
        if filled > 0 && image.memory(start, filled).is_none_or(|bytes| bytes.iter().any(|byte| *byte != 0)) {
            return false;
        }
        start += if filled > 0 { filled } else { (load.memory_size - inner).min(end - start) };
    }
    true
}

fn dynamic(before: &Image, after: &Image) -> Vec<String> {
    // The path's own entries come and go; a hint or a library's DT_DEBUG may have made room for one.
    let slot = |tag: u64| matches!(tag, DT_NULL | DT_RPATH | DT_RUNPATH | DT_DEBUG | DT_RELACOUNT | DT_RELCOUNT);
    let kept =
        |image: &Image| -> Vec<(u64, u64)> { image.dynamic.iter().copied().filter(|(tag, _)| !slot(*tag)).collect() };
    let (old, new) = (kept(before), kept(after));
    let mut list = Vec::new();
    if old.iter().map(|entry| entry.0).ne(new.iter().map(|entry| entry.0)) {
        return vec![format!("other dynamic tags: {old:x?} became {new:x?}")];
    }
    for (&(tag, was), &(_, is)) in old.iter().zip(&new) {
        let may_move =
            matches!(tag, DT_STRTAB | DT_STRSZ | DT_HASH | DT_GNU_HASH | DT_SYMTAB | DT_VERSYM | DT_RLD_MAP_REL);
        // String offsets may change where the table is rebuilt; what they say is compared elsewhere.
        if was != is && !may_move && !matches!(tag, 1 | 14) {
            list.push(format!("dynamic tag {tag:#x} was {was:#x} and is {is:#x}"));
        }
    }
    if let (Some(was), Some(is)) = (rld_map(before), rld_map(after))
        && was != is
    {
        list.push(format!("DT_MIPS_RLD_MAP_REL led to {was:#x} and leads to {is:#x}"));
    }
    let had_interp = before.segments.iter().any(|segment| segment.kind == PT_INTERP);
    if had_interp && before.tag(DT_DEBUG).is_some() != after.tag(DT_DEBUG).is_some() {
        list.push("a program lost DT_DEBUG".into());
    }
    list
}

/// The address that `DT_MIPS_RLD_MAP_REL` leads to: it counts from its own entry.
fn rld_map(image: &Image) -> Option<u64> {
    let index = image.dynamic.iter().position(|(tag, _)| *tag == DT_RLD_MAP_REL)?;
    let table = image.segments.iter().find(|segment| segment.kind == PT_DYNAMIC)?;
    let (word, mask) = if image.class == Class::Elf64 { (8, u64::MAX) } else { (4, u64::from(u32::MAX)) };
    Some(table.address.wrapping_add(index as u64 * 2 * word).wrapping_add(image.dynamic[index].1) & mask)
}

fn sections(before: &Image, after: &Image) -> Vec<String> {
    let mut list = Vec::new();
    if before.sections.len() != after.sections.len() {
        return vec!["the number of sections changed".into()];
    }
    let bytes = |image: &Image, section: &Section| -> Option<Vec<u8>> {
        image.data.get(section.offset as usize..)?.get(..section.size as usize).map(<[u8]>::to_vec)
    };
    for (old, new) in before.sections.iter().zip(&after.sections) {
        let name = String::from_utf8_lossy(&before.section_name(old).unwrap_or_default()).into_owned();
        let fixed = |section: &Section| (section.name, section.flags, section.link, section.info, section.entry);
        let became_bits = old.kind == 8 && new.kind == 1 && old.flags & 0x400 == 0;
        if fixed(old) != fixed(new) || (old.kind != new.kind && !became_bits) {
            list.push(format!("section header of {name} changed: {old:x?} {new:x?}"));
        }
        // Of an inactive header (SHT_NULL) nothing counts.
        if new.flags & 2 != 0 && !matches!(new.kind, 0 | 8) && new.size > 0 {
            let mapped = after.offset_of(new.address) == Some(new.offset)
                && after.offset_of(new.address.saturating_add(new.size - 1)) == new.offset.checked_add(new.size - 1);
            if !mapped {
                list.push(format!("section {name} does not lie where it says: {new:x?}"));
            }
        }
        let (was, is) = (bytes(before, old), bytes(after, new));
        let edited =
            string_table(before) == Some(old) || is_dynamic(before, old) || was.as_deref().is_some_and(is_ldcache);
        if old.flags & 2 != 0 && !matches!(old.kind, 0 | 8) && !edited && was != is {
            list.push(format!("the contents of {name} changed, perhaps on the way to a new place"));
        }
        // Damage can take SHF_ALLOC from what is edited.
        if old.flags & 2 == 0 && old.kind != 0 && !edited {
            let same = if old.kind == 2 { symbols(before, after, was, is) } else { was.is_some() && was == is };
            if !same {
                list.push(format!("the contents of {name} changed"));
            }
        }
    }
    if let (Some(was), Some(is)) = (string_table(before), string_table(after)) {
        let index = before.sections.iter().position(|section| section == was).unwrap_or_default() as u32;
        // No section, dynamic section, symbols, versions; anything else that refers to the table uses every byte of it.
        let known = [0, 6, 11, 0x6fff_fffd, 0x6fff_fffe];
        let foreign = before.sections.iter().any(|section| section.link == index && !known.contains(&section.kind));
        let (Some(was), Some(is)) = (bytes(before, was), bytes(after, is)) else { return list };
        if foreign && !is.starts_with(&was) {
            list.push("an unknown section refers to bytes of .dynstr that changed".into());
        }
    }
    if !before.sections.is_empty() && string_table(after).is_none_or(|table| Some(table.size) != after.tag(DT_STRSZ)) {
        list.push(format!("no section is DT_STRTAB and DT_STRSZ: {:x?}", string_table(after)));
    }
    list
}

fn is_dynamic(image: &Image, section: &Section) -> bool {
    image.segments.iter().any(|segment| segment.kind == PT_DYNAMIC && segment.address == section.address)
}

/// The section of the dynamic string table, whatever its name.
fn string_table(image: &Image) -> Option<&Section> {
    let table = image.tag(DT_STRTAB)?;
    image.sections.iter().find(|section| section.kind == 3 && section.address == table)
}

/// `st_info`: the symbol of a section.
const STT_SECTION: u8 = 3;
const STRTAB: u32 = 3;

/// `.symtab` follows sections that moved, and nothing else in it changes.
fn symbols(before: &Image, after: &Image, was: Option<Vec<u8>>, is: Option<Vec<u8>>) -> bool {
    let (Some(was), Some(is)) = (was, is) else { return false };
    let (entry, value_at, index_at, word) = if before.class == Class::Elf64 { (24, 8, 6, 8) } else { (16, 4, 14, 4) };
    let number = |bytes: &[u8]| -> u64 {
        let join = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        if before.order == super::Order::Big { bytes.iter().fold(0, join) } else { bytes.iter().rev().fold(0, join) }
    };
    was.len() == is.len()
        && was.len() % entry == 0
        && was.chunks(entry).zip(is.chunks(entry)).all(|(old, new)| {
            let section = number(&old[index_at..index_at + 2]) as usize;
            let moved = match (before.sections.get(section), after.sections.get(section)) {
                (Some(old), Some(new)) => new.address.wrapping_sub(old.address),
                _ => 0,
            };
            let (from, to) = (number(&old[value_at..value_at + word]), number(&new[value_at..value_at + word]));
            let mut rest = new.to_vec();
            rest[value_at..value_at + word].copy_from_slice(&old[value_at..value_at + word]);
            // Whatever else than the section's own symbol points into a string table finds the old one where it was.
            let info = old[if before.class == Class::Elf64 { 4 } else { 12 }];
            let is_string = info & 15 != STT_SECTION && before.sections.get(section).is_some_and(|s| s.kind == STRTAB);
            (from.wrapping_add(moved) == to || is_string && from == to) && rest == old
        })
}
