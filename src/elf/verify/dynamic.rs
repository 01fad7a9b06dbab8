//! Invariant 5: every other dynamic entry, symbol and name is the same.

use bstr::{BStr, ByteSlice};
use object::elf;

use super::error::{DT_RPATH, DT_RUNPATH, VerifyError, broken};
use super::shape::{Shape, read};
use crate::elf::ranges::RangeSet;
use crate::elf::runs::agreeing;
use crate::elf::units::{FileOffset, FileRange};

const DT_MIPS_RLD_MAP_REL: u64 = 0x7000_0035;

/// Tags whose value names a string (gABI 5.4): DT_NEEDED, DT_SONAME, the paths, and what glibc and Sun added.
fn is_string_tag(tag: u64) -> bool {
    matches!(tag, 1 | 14 | DT_RPATH | DT_RUNPATH | 0x6fff_fefa..=0x6fff_fefc | 0x7fff_fffd | 0x7fff_ffff)
}

/// Invariant 5, tags: every other entry keeps its place and value; names resolve to the same text.
pub(super) fn dynamic(
    old: &Shape<'_, '_>,
    new: &Shape<'_, '_>,
    old_strings: &[u8],
    new_strings: &[u8],
) -> Result<(), VerifyError> {
    let has_interpreter = old.segments.iter().any(|segment| segment.kind == elf::PT_INTERP.0);
    // DT_RELACOUNT, DT_RELCOUNT and a library's DT_DEBUG may make place for the path; nothing else may.
    let replaceable = |tag: u64| matches!(tag, 0x6fff_fff9 | 0x6fff_fffa) || (tag == 21 && !has_interpreter);
    let is_path = |tag: u64| matches!(tag, DT_RPATH | DT_RUNPATH);
    // One entry, and only when there was no path tag to take.
    let mut may_replace = !old.dynamic.iter().any(|(tag, _)| is_path(*tag));
    let mut now = new.dynamic.iter().filter(|(tag, _)| !is_path(*tag)).peekable();
    for (index, (tag, value)) in (0_u64..).zip(old.dynamic.iter().filter(|(tag, _)| !is_path(*tag))) {
        match now.peek() {
            Some((new_tag, new_value)) if new_tag == tag => {
                same_value(old, new, *tag, *value, *new_value, old_strings, new_strings, index)?;
                now.next();
            }
            _ if replaceable(*tag) && std::mem::take(&mut may_replace) => {}
            _ => return Err(broken(5, "every other dynamic entry is the same", index)),
        }
    }
    match now.next() {
        Some((tag, _)) => Err(broken(5, "no new dynamic tag", *tag)),
        None => Ok(()),
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "two sides of three things and a position; a struct would only rename them"
)]
fn same_value(
    old: &Shape<'_, '_>,
    new: &Shape<'_, '_>,
    tag: u64,
    old_value: u64,
    new_value: u64,
    old_strings: &[u8],
    new_strings: &[u8],
    index: u64,
) -> Result<(), VerifyError> {
    let same = match tag {
        // DT_STRTAB, DT_STRSZ: the table moved; its contents are compared elsewhere.
        5 | 10 => true,
        tag if is_string_tag(tag) => {
            text(old_strings, old_value).is_some_and(|t| text(new_strings, new_value) == Some(t))
        }
        // DT_HASH, DT_SYMTAB, DT_GNU_HASH, DT_VERSYM may move as whole sections.
        4 | 6 | 0x6fff_fef5 | 0x6fff_fff0 if old_value != new_value => same_table(old, new, old_value, new_value),
        // DT_MIPS_RLD_MAP_REL counts from its own entry.
        DT_MIPS_RLD_MAP_REL if old.machine() == 8 => rld_map(old, old_value) == rld_map(new, new_value),
        _ => old_value == new_value,
    };
    if same { Ok(()) } else { Err(broken(5, "every other dynamic entry has the same value", index)) }
}

/// The address that DT_MIPS_RLD_MAP_REL stands for.
fn rld_map(shape: &Shape<'_, '_>, value: u64) -> Option<u64> {
    let index = shape.dynamic.iter().position(|(tag, _)| *tag == DT_MIPS_RLD_MAP_REL)?;
    let entry = u64::try_from(index).ok()?.checked_mul(if shape.symbol_size == 24 { 16 } else { 8 })?;
    let highest = if shape.symbol_size == 24 { u64::MAX } else { u64::from(u32::MAX) };
    Some(shape.dynamic_segment.address.wrapping_add(entry).wrapping_add(value) & highest)
}

/// A moved table has the same bytes as its section had.
fn same_table(old: &Shape<'_, '_>, new: &Shape<'_, '_>, old_address: u64, new_address: u64) -> bool {
    let section = old.sections.iter().find(|s| s.is_alloc() && s.has_bytes() && s.address == old_address);
    section.is_some_and(|section| {
        let before = read(old.image, section.offset, section.size);
        let offset = new.offset_of(new_address, section.size);
        let after = offset.and_then(|offset| read(new.image, offset, section.size).ok());
        before.is_ok_and(|before| after.is_some_and(|after| before == after))
    })
}

pub(super) fn text(strings: &[u8], offset: u64) -> Option<&BStr> {
    let rest = strings.get(usize::try_from(offset).ok()?..)?;
    Some(rest.get(..rest.find_byte(0)?)?.as_bstr())
}

/// Invariant 5, symbols: the records are the same; only looked at where something was written.
pub(super) fn symbols(old: &Shape<'_, '_>, new: &Shape<'_, '_>, changed: &RangeSet) -> Result<(), VerifyError> {
    let Some((offset, size)) = old.symbol_table() else { return Ok(()) };
    let now = new.symbol_table();
    let Some((new_offset, _)) = now.filter(|(_, new_size)| *new_size == size) else {
        return Err(broken(5, "there are as many symbols", offset));
    };
    let range = FileRange::new(FileOffset::new(offset), size);
    let touched = range.is_some_and(|range| changed.intersects(range));
    if (touched || offset != new_offset) && read(old.image, offset, size)? != read(new.image, new_offset, size)? {
        return Err(broken(5, "every symbol is the same", offset));
    }
    Ok(())
}

/// Invariant 5, names: every symbol and version name resolves to the same text. No rung moves or writes the records of
/// versions, wherever the file says that they are.
pub(super) fn names(
    old: &Shape<'_, '_>,
    old_strings: &[u8],
    new_strings: &[u8],
    changed: &RangeSet,
) -> Result<(), VerifyError> {
    let versions = old.versions();
    for record in versions.records {
        if changed.intersects(record) {
            return Err(broken(5, "every version record is the same", record.start().get()));
        }
    }
    if new_strings.starts_with(old_strings) {
        return Ok(());
    }
    if old.value(6).is_some() && old.symbol_table().is_none() {
        // No table tells which names the symbols have: then every byte of the string table has to stay.
        return Err(broken(5, "a string table with unknown readers is kept whole", 0));
    }
    let differing = differing(old_strings, new_strings);
    let is_same = |offset: u32| {
        let text = |strings| text(strings, u64::from(offset));
        !differing.has(u64::from(offset)) || text(old_strings).is_some_and(|old| text(new_strings) == Some(old))
    };
    if old.all_symbol_names(is_same)? && versions.names.into_iter().all(is_same) {
        return Ok(());
    }
    Err(broken(5, "every symbol and version name is the same", 0))
}

/// Where a string starts that reaches into a run of bytes in which two tables differ.
fn differing(old: &[u8], new: &[u8]) -> RangeSet {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    let mut at = 0_usize;
    // Searched for the last NUL already, which keeps the whole linear.
    let (mut searched, mut reached_from) = (0_usize, 0_usize);
    while at < old.len() {
        let same = match (old.get(at..), new.get(at..)) {
            (Some(old), Some(new)) => agreeing(old, new),
            _ => 0,
        };
        let start = at.saturating_add(same);
        if start >= old.len() {
            break;
        }
        let old_rest = old.get(start..).unwrap_or_default();
        let new_rest = new.get(start..).unwrap_or_default();
        let common = old_rest.iter().zip(new_rest).take_while(|(a, b)| a != b).count();
        let len = if new_rest.is_empty() || common == 0 { old_rest.len() } else { common };
        let end = start.saturating_add(len);
        // A name that starts further left reaches the run unless a NUL of the old table lies between.
        let unsearched = old.get(searched..start).unwrap_or_default();
        if let Some(found) = unsearched.iter().rposition(|byte| *byte == 0) {
            reached_from = searched.saturating_add(found).saturating_add(1);
        }
        searched = start;
        runs.extend(u64::try_from(reached_from).ok().zip(u64::try_from(end).ok()));
        at = end;
    }
    runs.into_iter().collect()
}
