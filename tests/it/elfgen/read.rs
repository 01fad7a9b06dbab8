//! A small reader of its own, for asserting on results: it believes the program headers, as a loader does.
//!
//! Everything is checked and nothing panics: a damaged image is `None`, never a failed index.

use super::choices::{Class, Order};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) offset: u64,
    pub(crate) address: u64,
    pub(crate) file_size: u64,
    pub(crate) memory_size: u64,
    pub(crate) align: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) name: u32,
    pub(crate) kind: u32,
    pub(crate) flags: u64,
    pub(crate) address: u64,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) link: u32,
    pub(crate) info: u32,
    pub(crate) align: u64,
    pub(crate) entry: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) data: Vec<u8>,
    pub(crate) class: Class,
    pub(crate) order: Order,
    pub(crate) kind: u16,
    pub(crate) machine: u16,
    pub(crate) table: u64,
    pub(crate) section_table: u64,
    pub(crate) segments: Vec<Segment>,
    pub(crate) sections: Vec<Section>,
    /// Up to the first `DT_NULL`; empty without `PT_DYNAMIC`.
    pub(crate) dynamic: Vec<(u64, u64)>,
    /// `DT_NULL` entries behind the first one, up to the end of `PT_DYNAMIC`.
    pub(crate) spare: usize,
}

pub(crate) const PT_LOAD: u32 = 1;
pub(crate) const PT_DYNAMIC: u32 = 2;
pub(crate) const PT_NOTE: u32 = 4;
pub(crate) const PT_PHDR: u32 = 6;
pub(crate) const DT_RPATH: u64 = 15;
pub(crate) const DT_RUNPATH: u64 = 29;

/// Numbers at offsets, in one class and byte order.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    data: &'a [u8],
    class: Class,
    order: Order,
}

impl<'a> Cursor<'a> {
    fn slice(&self, at: u64, size: u64) -> Option<&'a [u8]> {
        let start = usize::try_from(at).ok()?;
        self.data.get(start..start.checked_add(usize::try_from(size).ok()?)?)
    }

    fn number(&self, at: u64, size: u64) -> Option<u64> {
        let bytes = self.slice(at, size)?;
        let join = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Some(match self.order {
            Order::Big => bytes.iter().fold(0, join),
            Order::Little => bytes.iter().rev().fold(0, join),
        })
    }

    fn u16(&self, at: u64) -> Option<u16> {
        self.number(at, 2).map(|value| value as u16)
    }

    fn u32(&self, at: u64) -> Option<u32> {
        self.number(at, 4).map(|value| value as u32)
    }

    fn word(&self, at: u64) -> Option<u64> {
        self.number(at, self.word_size())
    }

    fn word_size(&self) -> u64 {
        if self.class == Class::Elf64 { 8 } else { 4 }
    }
}

impl Image {
    /// Reads a file that must be sound.
    pub(crate) fn read(file: &std::path::Path) -> Self {
        let bytes = std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        Self::parse(&bytes).unwrap_or_else(|| panic!("{} cannot be read any more", file.display()))
    }

    pub(crate) fn parse(data: &[u8]) -> Option<Self> {
        if data.get(..4)? != b"\x7fELF" {
            return None;
        }
        let class = [Class::Elf32, Class::Elf64].get(usize::from(data.get(4)?.checked_sub(1)?)).copied()?;
        let order = [Order::Little, Order::Big].get(usize::from(data.get(5)?.checked_sub(1)?)).copied()?;
        let at = Cursor { data, class, order };
        let word = at.word_size();
        // e_entry, e_phoff, e_shoff are words from byte 24 on; e_flags and the half words follow.
        let (table, section_table) = (at.word(24 + word)?, at.word(24 + 2 * word)?);
        let halves = 24 + 3 * word + 4;
        let (table_entry, count) = (at.u16(halves + 2)?, at.u16(halves + 4)?);
        let (section_entry, section_count) = (at.u16(halves + 6)?, at.u16(halves + 8)?);
        let segments = (0..u64::from(count))
            .map(|index| segment(&at, table.checked_add(index * u64::from(table_entry))?))
            .collect::<Option<Vec<_>>>()?;
        let sections = (0..u64::from(section_count))
            .map(|index| section(&at, section_table.checked_add(index * u64::from(section_entry))?))
            .collect::<Option<Vec<_>>>()?;
        let mut image = Self {
            kind: at.u16(16)?,
            machine: at.u16(18)?,
            data: data.to_vec(),
            class,
            order,
            table,
            section_table,
            segments,
            sections,
            dynamic: Vec::new(),
            spare: 0,
        };
        if let Some(range) =
            image.segments.iter().find(|segment| segment.kind == PT_DYNAMIC).filter(|range| range.file_size > 0)
        {
            let entry = 2 * word;
            let mut all = Vec::new();
            for index in 0..range.file_size / entry {
                let offset = range.offset.checked_add(index * entry)?;
                all.push((at.word(offset)?, at.word(offset + word)?));
            }
            let end = all.iter().position(|(tag, _)| *tag == 0)?;
            image.spare = all[end..].iter().take_while(|entry| **entry == (0, 0)).count().saturating_sub(1);
            all.truncate(end);
            image.dynamic = all;
        }
        Some(image)
    }

    fn cursor(&self) -> Cursor<'_> {
        Cursor { data: &self.data, class: self.class, order: self.order }
    }

    pub(crate) fn entry_size(&self) -> u64 {
        if self.class == Class::Elf64 { 56 } else { 32 }
    }

    pub(crate) fn loads(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(|segment| segment.kind == PT_LOAD)
    }

    /// The file offset behind an address, by the `PT_LOAD`s.
    pub(crate) fn offset_of(&self, address: u64) -> Option<u64> {
        let inside = |load: &&Segment| address.checked_sub(load.address).is_some_and(|at| at < load.file_size);
        let load = self.loads().find(inside)?;
        load.offset.checked_add(address - load.address)
    }

    /// `size` bytes of memory at `address`, zero-initialised parts included; None where a byte is not mapped.
    pub(crate) fn memory(&self, address: u64, size: u64) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let mut at = address;
        let end = address.checked_add(size)?;
        while at < end {
            let load = self.loads().find(|load| at >= load.address && at - load.address < load.memory_size)?;
            let inner = at - load.address;
            let (until, filled) =
                if inner < load.file_size { (load.file_size, true) } else { (load.memory_size, false) };
            let take = (until - inner).min(end - at);
            if filled {
                out.extend_from_slice(self.cursor().slice(load.offset.checked_add(inner)?, take)?);
            } else {
                out.resize(out.len() + usize::try_from(take).ok()?, 0);
            }
            at += take;
        }
        Some(out)
    }

    pub(crate) fn tag(&self, tag: u64) -> Option<u64> {
        // Loaders keep the last of several.
        self.dynamic.iter().rev().find(|(known, _)| *known == tag).map(|(_, value)| *value)
    }

    /// A string of the dynamic string table, found as the loader finds it.
    pub(crate) fn string(&self, offset: u64) -> Option<Vec<u8>> {
        let (table, size) = (self.tag(5)?, self.tag(10)?);
        if offset >= size {
            return None;
        }
        let start = self.offset_of(table.checked_add(offset)?)?;
        let bytes = self.cursor().slice(start, size - offset)?;
        Some(bytes[..bytes.iter().position(|byte| *byte == 0)?].to_vec())
    }

    /// The bytes of the dynamic string table.
    pub(crate) fn string_table(&self) -> Option<Vec<u8>> {
        self.cursor().slice(self.offset_of(self.tag(5)?)?, self.tag(10)?).map(<[u8]>::to_vec)
    }

    /// The path that a loader uses: the last `DT_RUNPATH`, else `DT_RPATH`.
    pub(crate) fn runpath(&self) -> Option<Vec<u8>> {
        self.string(self.tag(DT_RUNPATH).or_else(|| self.tag(DT_RPATH))?)
    }

    /// Number of dynamic symbols: by the section header that describes `DT_SYMTAB`, else by `DT_HASH`, else by `DT_GNU_HASH`.
    pub(crate) fn symbol_count(&self) -> Option<u64> {
        let at = self.cursor();
        let size = if self.class == Class::Elf64 { 24 } else { 16 };
        let table = self.tag(6)?;
        if let Some(section) = self.sections.iter().find(|section| section.kind == 11 && section.address == table) {
            return Some(section.size / size);
        }
        if let Some(hash) = self.tag(4) {
            // s390x and Alpha: 64-bit words.
            let size = if self.class == Class::Elf64 && matches!(self.machine, 22 | 0x9026) { 8 } else { 4 };
            return at.number(self.offset_of(hash)?.checked_add(size)?, size);
        }
        let start = self.offset_of(self.tag(0x6fff_fef5)?)?;
        let (buckets, first, bloom) = (at.u32(start)?, at.u32(start.checked_add(4)?)?, at.u32(start.checked_add(8)?)?);
        let heads = start.checked_add(16 + u64::from(bloom) * at.word_size())?;
        let chains = heads.checked_add(4 * u64::from(buckets))?;
        let mut last = None;
        for bucket in 0..u64::from(buckets) {
            last = last.max(Some(at.u32(heads.checked_add(4 * bucket)?)?));
        }
        let mut index = last?;
        if index < first {
            return Some(u64::from(first));
        }
        while at.u32(chains.checked_add(4 * u64::from(index - first))?)? & 1 == 0 {
            index = index.checked_add(1)?;
        }
        Some(u64::from(index) + 1)
    }

    /// Every string but the search paths, in order, each with where it was found.
    pub(crate) fn strings(&self) -> Option<Vec<(String, Vec<u8>)>> {
        let at = self.cursor();
        let mut list = Vec::new();
        for &(tag, value) in &self.dynamic {
            if matches!(tag, 1 | 14 | 0x7fff_fffd | 0x7fff_ffff | 0x6fff_fefa..=0x6fff_fefc) {
                list.push((format!("dynamic tag {tag:#x}"), self.string(value)?));
            }
        }
        if let Some(symbols) = self.tag(6) {
            let size = if self.class == Class::Elf64 { 24 } else { 16 };
            for index in 0..self.symbol_count()? {
                let start = self.offset_of(symbols.checked_add(index.checked_mul(size)?)?)?;
                list.push((format!("symbol {index}"), self.string(u64::from(at.u32(start)?))?));
            }
        }
        self.version_strings(&mut list)?;
        Some(list)
    }

    fn version_strings(&self, list: &mut Vec<(String, Vec<u8>)>) -> Option<()> {
        let at = self.cursor();
        // Needs: a file with versions; definitions: a version with names. Both are linked by distances.
        for (tag, count_tag, first_link, next_link) in
            [(0x6fff_fffe, 0x6fff_ffff, 8, 12), (0x6fff_fffc, 0x6fff_fffd, 12, 16)]
        {
            let (Some(table), Some(count)) = (self.tag(tag), self.tag(count_tag)) else { continue };
            let need = tag == 0x6fff_fffe;
            let mut record = self.offset_of(table)?;
            for index in 0..count {
                if need {
                    list.push((
                        format!("needed version file {index}"),
                        self.string(u64::from(at.u32(record.checked_add(4)?)?))?,
                    ));
                }
                let names = at.u16(record.checked_add(if need { 2 } else { 6 })?)?;
                let mut name = record.checked_add(u64::from(at.u32(record.checked_add(first_link)?)?))?;
                for number in 0..names {
                    let text = at.u32(name.checked_add(if need { 8 } else { 0 })?)?;
                    list.push((format!("version {tag:#x} {index}.{number}"), self.string(u64::from(text))?));
                    // Distance 0 ends a chain, whatever the count says.
                    match at.u32(name.checked_add(if need { 12 } else { 4 })?)? {
                        0 => break,
                        next => name = name.checked_add(u64::from(next))?,
                    }
                }
                match at.u32(record.checked_add(next_link)?)? {
                    0 => break,
                    next => record = record.checked_add(u64::from(next))?,
                }
            }
        }
        Some(())
    }

    /// The name of a section.
    pub(crate) fn section_name(&self, section: &Section) -> Option<Vec<u8>> {
        let halves = 24 + 3 * self.cursor().word_size() + 4;
        let names = self.sections.get(usize::from(self.cursor().u16(halves + 10)?))?;
        let bytes = self.cursor().slice(names.offset.checked_add(u64::from(section.name))?, 0).map(|_| names)?;
        let rest = self
            .cursor()
            .slice(bytes.offset + u64::from(section.name), bytes.size.checked_sub(u64::from(section.name))?)?;
        Some(rest[..rest.iter().position(|byte| *byte == 0)?].to_vec())
    }

    pub(crate) fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| self.section_name(section).as_deref() == Some(name.as_bytes()))
    }
}

fn segment(at: &Cursor<'_>, start: u64) -> Option<Segment> {
    let field = |index: u64| at.word(start.checked_add(index)?);
    Some(match at.class {
        Class::Elf64 => Segment {
            kind: at.u32(start)?,
            flags: at.u32(start.checked_add(4)?)?,
            offset: field(8)?,
            address: field(16)?,
            file_size: field(32)?,
            memory_size: field(40)?,
            align: field(48)?,
        },
        Class::Elf32 => Segment {
            kind: at.u32(start)?,
            flags: at.u32(start.checked_add(24)?)?,
            offset: field(4)?,
            address: field(8)?,
            file_size: field(16)?,
            memory_size: field(20)?,
            align: field(28)?,
        },
    })
}

fn section(at: &Cursor<'_>, start: u64) -> Option<Section> {
    let word = at.word_size();
    let field = |index: u64| at.word(start.checked_add(8 + index * word)?);
    let small = start.checked_add(8 + 4 * word)?;
    Some(Section {
        name: at.u32(start)?,
        kind: at.u32(start.checked_add(4)?)?,
        flags: field(0)?,
        address: field(1)?,
        offset: field(2)?,
        size: field(3)?,
        link: at.u32(small)?,
        info: at.u32(small.checked_add(4)?)?,
        align: at.word(small.checked_add(8)?)?,
        entry: at.word(small.checked_add(8 + word)?)?,
    })
}
