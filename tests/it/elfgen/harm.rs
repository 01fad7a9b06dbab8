//! What an edit of a damaged image did to it.

use super::choices::Class;
use super::compare::side_effects;
use super::read::{Image, PT_DYNAMIC, PT_LOAD, PT_NOTE, PT_PHDR, Section, Segment};

const PT_NULL: u32 = 0;
const PT_TLS: u32 = 7;
const PT_RELRO: u32 = 0x6474_e552;
const SHT_NULL: u32 = 0;
const SHT_SYMTAB: u32 = 2;
const SHT_NOBITS: u32 = 8;
const STB_LOCAL: u8 = 0;
const DT_STRTAB: u64 = 5;
const DT_STRSZ: u64 = 10;

/// A range of the file or of memory: start and end.
type Range = (u64, u64);

/// Every way in which an edited image is worse than the damaged one that it was made from. Where the reader finds nothing wrong in the
/// file itself, it may find nothing wrong in the edited one; and no string changes, whatever is wrong.
pub(crate) fn harm(before: &[u8], after: &[u8], is_wanted: &dyn Fn(&[u8]) -> bool, overlay: &[u8]) -> Vec<String> {
    let Some(new) = Image::parse(after) else { return vec!["cannot be read any more".into()] };
    let Some(old) = Image::parse(before) else { return vec!["was edited, but could not be read before".into()] };
    let mut list = Vec::new();
    let path = new.runpath().unwrap_or_default();
    if !is_wanted(&path) {
        list.push(format!("the path is {:?}", String::from_utf8_lossy(&path)));
    }
    if is_plain(&old) && side_effects(&old, &old, overlay).is_empty() {
        list.extend(side_effects(&old, &new, overlay));
        return list;
    }
    match (old.strings(), new.strings()) {
        // Who reads which string cannot be told: then the table may be copied, but no byte of it reused.
        (None, _) => match (old.string_table(), new.string_table()) {
            (Some(was), Some(is)) if is.starts_with(&was) => {}
            _ => list.push("bytes of a string table with unknown readers changed".into()),
        },
        (Some(was), now) if now.as_ref() != Some(&was) => {
            let now = now.unwrap_or_default();
            list.push(format!("a string changed: {:?}", was.iter().zip(&now).find(|(one, other)| one != other)));
        }
        _ => {}
    }
    list
}

/// Whether no byte of the file is two things at once, and address and offset lead to the same one: then what an edit may write is
/// nothing else's.
fn is_plain(image: &Image) -> bool {
    let (header, section_entry) = if image.class == Class::Elf64 { (64, 64) } else { (52, 40) };
    let header = (0, header);
    let table = range(image.table, image.segments.len() as u64 * image.entry_size());
    let sections = image.sections.iter().filter(|section| !matches!(section.kind, SHT_NULL | SHT_NOBITS));
    let mut things: Vec<Range> = sections.map(|section| range(section.offset, section.size)).collect();
    things.extend([header, table, range(image.section_table, image.sections.len() as u64 * section_entry)]);
    things.retain(|(start, end)| start < end);
    things.sort_unstable();
    let is_one_thing = |segment: &Segment| {
        let place = range(segment.offset, segment.file_size);
        image.offset_of(segment.address) == Some(segment.offset) && apart(&place, &header) && apart(&place, &table)
    };
    things.windows(2).all(|pair| apart(&pair[0], &pair[1]))
        && image.sections.iter().all(|section| section.kind != SHT_SYMTAB || counts_its_locals(image, section))
        && named(image).all(is_one_thing)
        && named(image).filter(|segment| !may_be_written(image, segment)).all(|segment| {
            let place = range(segment.address, segment.file_size);
            written(image).iter().all(|written| apart(&place, written))
        })
}

/// Whether `sh_info` is the number of local symbols: those of sections are looked for among them.
fn counts_its_locals(image: &Image, table: &Section) -> bool {
    let (size, info_at) = if image.class == Class::Elf64 { (24, 4) } else { (16, 12) };
    let bytes = image.data.get(table.offset as usize..).and_then(|rest| rest.get(..table.size as usize));
    let is_local = |symbol: &&[u8]| symbol[info_at] >> 4 == STB_LOCAL;
    bytes.is_some_and(|bytes| bytes.chunks_exact(size).take_while(is_local).count() == table.info as usize)
}

/// The program headers that name something of their own.
fn named(image: &Image) -> impl Iterator<Item = &Segment> {
    let kinds = [PT_NULL, PT_LOAD, PT_PHDR];
    image.segments.iter().filter(move |segment| !kinds.contains(&segment.kind) && segment.file_size > 0)
}

/// The dynamic section, what may contain it, and the resolution cache.
fn may_be_written(image: &Image, segment: &Segment) -> bool {
    matches!(segment.kind, PT_DYNAMIC | PT_TLS | PT_RELRO) || is_cache(image, segment)
}

fn is_cache(image: &Image, segment: &Segment) -> bool {
    let bytes = || image.memory(segment.address, segment.file_size).unwrap_or_default();
    segment.kind == PT_NOTE && bytes().windows(6).any(|part| part == b"NixOS\0")
}

/// The memory that an edit may write to.
fn written(image: &Image) -> Vec<Range> {
    let segments = image.segments.iter().filter(|segment| segment.kind == PT_DYNAMIC || is_cache(image, segment));
    let mut list: Vec<Range> = segments.map(|segment| range(segment.address, segment.file_size)).collect();
    list.extend(image.tag(DT_STRTAB).zip(image.tag(DT_STRSZ)).map(|(start, size)| range(start, size)));
    list
}

fn range(start: u64, size: u64) -> Range {
    (start, start.saturating_add(size))
}

fn apart(one: &Range, other: &Range) -> bool {
    one.1 <= other.0 || other.1 <= one.0
}
