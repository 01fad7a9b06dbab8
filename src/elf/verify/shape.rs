//! An object as the *other* parser reads it: `object`'s raw types, through an [`Image`].
//!
//! Shares nothing with [`super::super::view`], so that a mistake there cannot confirm itself.

use std::borrow::Cow;

use object::elf::{self, FileHeader32, FileHeader64};
use object::endian::Endianness;
use object::pod;
use object::read::elf::{Dyn, FileHeader, ProgramHeader, SectionHeader, Sym};

use super::error::VerifyError;
use crate::elf::image::Image;
use crate::elf::units::{FileOffset, FileRange, len64};

/// A program header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RawSegment {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) offset: u64,
    pub(crate) address: u64,
    pub(crate) file_size: u64,
    pub(crate) memory_size: u64,
    pub(crate) align: u64,
}

impl RawSegment {
    pub(super) fn is_load(&self) -> bool {
        self.kind == elf::PT_LOAD.0
    }

    pub(super) fn file_end(&self) -> u64 {
        self.offset.saturating_add(self.file_size)
    }

    pub(super) fn memory_end(&self) -> u64 {
        self.address.saturating_add(self.memory_size)
    }
}

/// What the version needs and definitions say, in table order.
#[derive(Debug, Default)]
pub(super) struct Versions {
    /// Offsets of names in the string table.
    pub(crate) names: Vec<u32>,
    /// The bytes of every record.
    pub(crate) records: Vec<FileRange>,
}

impl Versions {
    /// Notes a record of type `T`, so many bytes behind the start of its table.
    fn read<T>(&mut self, table: u64, at: usize) -> Option<()> {
        let offset = table.checked_add(u64::try_from(at).ok()?)?;
        self.records.push(FileRange::new(FileOffset::new(offset), size_of_64::<T>())?);
        Some(())
    }
}

/// A section header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RawSection {
    pub(crate) name: u32,
    pub(crate) kind: u32,
    pub(crate) flags: u64,
    pub(crate) address: u64,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) link: u32,
    pub(crate) info: u32,
    pub(crate) align: u64,
    pub(crate) entry_size: u64,
}

impl RawSection {
    pub(super) fn is_alloc(&self) -> bool {
        self.flags & elf::SHF_ALLOC.0 != 0
    }

    pub(super) fn has_bytes(&self) -> bool {
        self.kind != elf::SHT_NOBITS.0 && self.kind != elf::SHT_NULL.0 && self.size > 0
    }
}

/// The parts of an object that an edit may touch, and what names them.
#[derive(Debug)]
pub(super) struct Shape<'i, 'a> {
    pub(crate) image: &'i Image<'a>,
    /// e_ident, e_type, e_machine, e_version, e_entry, e_flags, e_ehsize, e_phentsize, e_shentsize, e_shnum, e_shstrndx.
    pub(crate) constant_header: ([u8; 16], [u64; 10]),
    pub(crate) header_size: u64,
    pub(crate) table_offset: u64,
    pub(crate) table_size: u64,
    pub(crate) section_table_offset: u64,
    pub(crate) section_table_size: u64,
    pub(crate) segments: Vec<RawSegment>,
    pub(crate) sections: Vec<RawSection>,
    /// (tag, value) up to DT_NULL.
    pub(crate) dynamic: Vec<(u64, u64)>,
    pub(crate) dynamic_segment: RawSegment,
    pub(crate) dynamic_offset: u64,
    /// The whole of PT_DYNAMIC in the file.
    pub(crate) dynamic_size: u64,
    pub(crate) symbol_size: u64,
    is_64: bool,
    endian: Endianness,
}

impl<'i, 'a> Shape<'i, 'a> {
    pub(super) fn parse(image: &'i Image<'a>) -> Result<Self, VerifyError> {
        let ident = read(image, 0, 16)?;
        match ident.get(4) {
            Some(2) => Self::parse_class::<FileHeader64<Endianness>>(image),
            Some(1) => Self::parse_class::<FileHeader32<Endianness>>(image),
            _ => Err(VerifyError::Unreadable("EI_CLASS")),
        }
    }

    fn parse_class<Elf: FileHeader<Endian = Endianness>>(image: &'i Image<'a>) -> Result<Self, VerifyError> {
        let header_size = size_of_64::<Elf>();
        let bytes = read(image, 0, header_size)?;
        let header = record::<Elf>(&bytes)?;
        let endian = header.endian().map_err(|_| VerifyError::Unreadable("EI_DATA"))?;
        let table_offset: u64 = header.e_phoff(endian).into();
        let section_table_offset: u64 = header.e_shoff(endian).into();
        let segment_count = u64::from(header.e_phnum(endian));
        let segments = records(image, table_offset, segment_count, |s: &Elf::ProgramHeader| parse_segment(s, endian))?;
        let section_count = if section_table_offset == 0 { 0 } else { u64::from(header.e_shnum(endian)) };
        let sections =
            records(image, section_table_offset, section_count, |s: &Elf::SectionHeader| parse_section(s, endian))?;
        let highest = if size_of_64::<Elf::Sym>() == 24 { u64::MAX } else { u64::from(u32::MAX) };
        let Some(dynamic_segment) = segments.iter().find(|segment| segment.kind == elf::PT_DYNAMIC.0).cloned() else {
            return Err(VerifyError::Unreadable("PT_DYNAMIC"));
        };
        let count = dynamic_segment.file_size.checked_div(size_of_64::<Elf::Dyn>()).unwrap_or(0);
        let mut dynamic: Vec<(u64, u64)> = records(image, dynamic_segment.offset, count, |entry: &Elf::Dyn| {
            let value: u64 = entry.d_val(endian).into();
            (entry.d_tag(endian).0.cast_unsigned() & highest, value)
        })?;
        let end = dynamic.iter().position(|(tag, _)| *tag == 0).ok_or(VerifyError::Unreadable("DT_NULL"))?;
        dynamic.truncate(end);
        let entry: u64 = header.e_entry(endian).into();
        Ok(Self {
            image,
            constant_header: (
                bytes.first_chunk().copied().unwrap_or_default(),
                [
                    u64::from(header.e_type(endian).0),
                    u64::from(header.e_machine(endian).0),
                    u64::from(header.e_version(endian)),
                    entry,
                    u64::from(header.e_flags(endian).0),
                    u64::from(header.e_ehsize(endian)),
                    u64::from(header.e_phentsize(endian)),
                    u64::from(header.e_shentsize(endian)),
                    u64::from(header.e_shnum(endian)),
                    u64::from(header.e_shstrndx(endian).0),
                ],
            ),
            header_size,
            table_offset,
            table_size: size_of_64::<Elf::ProgramHeader>().saturating_mul(u64::from(header.e_phnum(endian))),
            section_table_offset,
            section_table_size: size_of_64::<Elf::SectionHeader>().saturating_mul(section_count),
            segments,
            sections,
            dynamic,
            dynamic_offset: dynamic_segment.offset,
            dynamic_size: dynamic_segment.file_size,
            dynamic_segment,
            symbol_size: size_of_64::<Elf::Sym>(),
            is_64: size_of_64::<Elf::Sym>() == 24,
            endian,
        })
    }

    /// The value of a tag; the last one counts.
    pub(super) fn value(&self, tag: u64) -> Option<u64> {
        self.dynamic.iter().rev().find(|(found, _)| *found == tag).map(|(_, value)| *value)
    }

    /// The PT_LOAD whose file part holds an address range.
    pub(super) fn load_at(&self, address: u64, len: u64) -> Option<&RawSegment> {
        self.segments.iter().filter(|segment| segment.is_load()).find(|load| {
            let within = address.checked_sub(load.address);
            within.and_then(|within| within.checked_add(len)).is_some_and(|end| end <= load.file_size)
        })
    }

    /// The file offset at which an address is mapped.
    pub(super) fn offset_of(&self, address: u64, len: u64) -> Option<u64> {
        let load = self.load_at(address, len)?;
        load.offset.checked_add(address.checked_sub(load.address)?)
    }

    /// `st_value`, `st_shndx` and everything else of a symbol record.
    pub(super) fn symbol_parts<'s>(&self, symbol: &'s [u8]) -> Option<SymbolParts<'s>> {
        let [value_at, width, section_at]: [usize; 3] = if self.is_64 { [8, 8, 6] } else { [4, 4, 14] };
        let value = symbol.get(value_at..value_at.checked_add(width)?)?;
        let section = symbol.get(section_at..section_at.checked_add(2)?)?.try_into().ok()?;
        let big = self.endian == Endianness::Big;
        let section = if big { u16::from_be_bytes(section) } else { u16::from_le_bytes(section) };
        let rest = (symbol.get(..value_at)?, symbol.get(value_at.checked_add(width)?..)?);
        let value = value.iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
        Some(SymbolParts {
            value: if big { value } else { value.swap_bytes() >> (64_usize.checked_sub(width.checked_mul(8)?)?) },
            section,
            rest,
        })
    }

    /// A 32-bit word at an offset of some bytes.
    pub(super) fn word(&self, bytes: &[u8], at: usize) -> Option<u32> {
        let word: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.endian == Endianness::Big { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) })
    }

    pub(super) fn machine(&self) -> u64 {
        self.constant_header.1.get(1).copied().unwrap_or(0)
    }

    /// The first bytes of a section's name.
    pub(super) fn section_name_start(&self, section: &RawSection, len: u64) -> Option<Cow<'a, [u8]>> {
        let index = usize::try_from(*self.constant_header.1.get(9)?).ok()?;
        let names = self.sections.get(index)?;
        let at = u64::from(section.name);
        at.checked_add(len).filter(|end| *end <= names.size)?;
        read(self.image, names.offset.checked_add(at)?, len).ok()
    }

    /// The bytes of the dynamic string table.
    pub(super) fn strings(&self) -> Result<Cow<'a, [u8]>, VerifyError> {
        let (address, size) = (self.value(u64::from(5_u8)), self.value(u64::from(10_u8)));
        let (Some(address), Some(size)) = (address, size) else { return Err(VerifyError::Unreadable("DT_STRTAB")) };
        let offset = self.offset_of(address, size).ok_or(VerifyError::Unreadable("DT_STRTAB"))?;
        read(self.image, offset, size)
    }

    /// Whether `st_name` of every dynamic symbol satisfies a predicate; true when no table tells how many there are.
    pub(super) fn all_symbol_names(&self, wanted: impl Fn(u32) -> bool) -> Result<bool, VerifyError> {
        let Some((offset, size)) = self.symbol_table() else { return Ok(true) };
        let bytes = read(self.image, offset, size)?;
        let unreadable = |()| VerifyError::Unreadable("DT_SYMTAB");
        if self.is_64 {
            let symbols = pod::slice_from_all_bytes::<elf::Sym64<Endianness>>(&bytes).map_err(unreadable)?;
            return Ok(symbols.iter().all(|symbol| wanted(symbol.st_name(self.endian))));
        }
        let symbols = pod::slice_from_all_bytes::<elf::Sym32<Endianness>>(&bytes).map_err(unreadable)?;
        Ok(symbols.iter().all(|symbol| wanted(symbol.st_name(self.endian))))
    }

    /// The file bytes of the dynamic symbol table; `None` when no table tells how long it is.
    pub(super) fn symbol_table(&self) -> Option<(u64, u64)> {
        let address = self.value(6)?;
        let section = self.sections.iter().find(|s| s.kind == elf::SHT_DYNSYM.0 && s.address == address);
        let count = match section {
            Some(section) => section.size.checked_div(self.symbol_size)?,
            None => self.hash_count()?,
        };
        let size = count.checked_mul(self.symbol_size)?;
        Some((self.offset_of(address, size)?, size))
    }

    fn hash_count(&self) -> Option<u64> {
        use object::read::elf::{GnuHashTable, HashTable};
        if let Some(bytes) = self.run_at(4) {
            // 64-bit s390 and Alpha have 64-bit hash words, which object does not read.
            if self.is_64 && matches!(self.machine(), 22 | 0x9026) {
                let count = bytes.get(8..16).and_then(|word| word.try_into().ok());
                let big = self.endian == Endianness::Big;
                return count.map(|word| if big { u64::from_be_bytes(word) } else { u64::from_le_bytes(word) });
            }
            let table = HashTable::<FileHeader64<Endianness>>::parse(self.endian, bytes).ok()?;
            return Some(u64::from(table.symbol_table_length()));
        }
        let bytes = self.run_at(0x6fff_fef5)?;
        if self.is_64 {
            let table = GnuHashTable::<FileHeader64<Endianness>>::parse(self.endian, bytes).ok()?;
            table.symbol_table_length(self.endian).map(u64::from)
        } else {
            let table = GnuHashTable::<FileHeader32<Endianness>>::parse(self.endian, bytes).ok()?;
            table.symbol_table_length(self.endian).map(u64::from)
        }
    }

    /// What a tag leads to, whose length it does not tell: up to the end of its PT_LOAD, or of what was written in one
    /// piece.
    fn run_at(&self, tag: u64) -> Option<&'a [u8]> {
        let (offset, len) = self.rest_at(self.value(tag)?)?;
        self.image.run(FileRange::new(FileOffset::new(offset), len)?)
    }

    /// The file offset of an address, and how many bytes its PT_LOAD has from there on.
    fn rest_at(&self, address: u64) -> Option<(u64, u64)> {
        let load = self.load_at(address, 1)?;
        let within = address.checked_sub(load.address)?;
        Some((load.offset.checked_add(within)?, load.file_size.checked_sub(within)?))
    }

    /// The version needs and definitions.
    pub(super) fn versions(&self) -> Versions {
        let mut versions = Versions::default();
        self.walk_versions(0x6fff_fffe, false, &mut versions);
        self.walk_versions(0x6fff_fffc, true, &mut versions);
        versions
    }

    /// Stops where a record is cut off: the planner refuses such tables where it matters.
    fn walk_versions(&self, tag: u64, definitions: bool, versions: &mut Versions) -> Option<()> {
        let (start, len) = self.rest_at(self.value(tag)?)?;
        let bytes = self.image.run(FileRange::new(FileOffset::new(start), len)?)?;
        let endian = self.endian;
        let mut at = 0_usize;
        for _ in 0..len64(bytes) >> 3 {
            let rest = bytes.get(at..)?;
            let (count, aux, next) = if definitions {
                let (record, _) = pod::from_bytes::<elf::Verdef<Endianness>>(rest).ok()?;
                versions.read::<elf::Verdef<Endianness>>(start, at)?;
                (record.vd_cnt.get(endian), record.vd_aux.get(endian), record.vd_next.get(endian))
            } else {
                let (record, _) = pod::from_bytes::<elf::Verneed<Endianness>>(rest).ok()?;
                versions.read::<elf::Verneed<Endianness>>(start, at)?;
                versions.names.push(record.vn_file.get(endian));
                (record.vn_cnt.get(endian), record.vn_aux.get(endian), record.vn_next.get(endian))
            };
            let mut aux_at = at.checked_add(usize::try_from(aux).ok()?)?;
            for _ in 0..count {
                let rest = bytes.get(aux_at..)?;
                let (name, aux_next) = if definitions {
                    let (record, _) = pod::from_bytes::<elf::Verdaux<Endianness>>(rest).ok()?;
                    versions.read::<elf::Verdaux<Endianness>>(start, aux_at)?;
                    (record.vda_name.get(endian), record.vda_next.get(endian))
                } else {
                    let (record, _) = pod::from_bytes::<elf::Vernaux<Endianness>>(rest).ok()?;
                    versions.read::<elf::Vernaux<Endianness>>(start, aux_at)?;
                    (record.vna_name.get(endian), record.vna_next.get(endian))
                };
                versions.names.push(name);
                aux_at = aux_at.checked_add(usize::try_from(aux_next).ok()?)?;
            }
            if next == 0 {
                return Some(());
            }
            at = at.checked_add(usize::try_from(next).ok()?)?;
        }
        None
    }

    /// The end of everything that a header describes.
    pub(super) fn content_end(&self) -> u64 {
        let tables = [
            self.header_size,
            self.table_offset.saturating_add(self.table_size),
            self.section_table_offset.saturating_add(self.section_table_size),
        ];
        let segments = self.segments.iter().map(RawSegment::file_end);
        let sections = self.sections.iter().filter(|s| s.has_bytes()).map(|s| s.offset.saturating_add(s.size));
        tables.into_iter().chain(segments).chain(sections).max().unwrap_or(0)
    }
}

/// A symbol record, with the one field apart that may follow a moved section.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SymbolParts<'s> {
    pub(crate) value: u64,
    pub(crate) section: u16,
    pub(crate) rest: (&'s [u8], &'s [u8]),
}

/// The bytes of a range of an image.
pub(super) fn read<'a>(image: &Image<'a>, offset: u64, len: u64) -> Result<Cow<'a, [u8]>, VerifyError> {
    let range = FileRange::new(FileOffset::new(offset), len);
    range.and_then(|range| image.read(range)).ok_or(VerifyError::PastEnd { offset, len })
}

fn size_of_64<T>() -> u64 {
    u64::try_from(std::mem::size_of::<T>()).unwrap_or(u64::MAX)
}

fn record<T: pod::Pod + Copy>(bytes: &[u8]) -> Result<T, VerifyError> {
    pod::from_bytes::<T>(bytes).map(|(record, _)| *record).map_err(|()| VerifyError::Unreadable("the ELF header"))
}

fn records<T: pod::Pod, R>(
    image: &Image<'_>,
    offset: u64,
    count: u64,
    parse: impl Fn(&T) -> R,
) -> Result<Vec<R>, VerifyError> {
    let bytes = read(image, offset, size_of_64::<T>().saturating_mul(count))?;
    let records = pod::slice_from_all_bytes::<T>(&bytes).map_err(|()| VerifyError::Unreadable("a table"))?;
    Ok(records.iter().map(parse).collect())
}

fn parse_segment<P: ProgramHeader<Endian = Endianness>>(segment: &P, endian: Endianness) -> RawSegment {
    RawSegment {
        kind: segment.p_type(endian).0,
        flags: segment.p_flags(endian).0,
        offset: segment.p_offset(endian).into(),
        address: segment.p_vaddr(endian).into(),
        file_size: segment.p_filesz(endian).into(),
        memory_size: segment.p_memsz(endian).into(),
        align: segment.p_align(endian).into(),
    }
}

fn parse_section<S: SectionHeader<Endian = Endianness>>(section: &S, endian: Endianness) -> RawSection {
    RawSection {
        name: section.sh_name(endian),
        kind: section.sh_type(endian).0,
        flags: section.sh_flags(endian).0,
        address: section.sh_addr(endian).into(),
        offset: section.sh_offset(endian).into(),
        size: section.sh_size(endian).into(),
        link: section.sh_link(endian),
        info: section.sh_info(endian),
        align: section.sh_addralign(endian).into(),
        entry_size: section.sh_entsize(endian).into(),
    }
}
