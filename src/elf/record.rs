//! ELF records in one shape for both classes and byte orders, with typed quantities.

use goblin::container::{Container, Ctx, Endian};
use goblin::elf::{dynamic, program_header, section_header};

use super::class::Class;
use super::units::{Address, Alignment, FileOffset, FileRange};

pub(crate) use goblin::elf::dynamic as dt;
pub(crate) use goblin::elf::header::ET_EXEC;
pub(crate) use goblin::elf::program_header as pt;
pub(crate) use goblin::elf::section_header as sht;

/// Class and byte order: everything that decides how a record is laid out (gABI 4 "Data Encoding").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Encoding {
    /// 64-bit class.
    pub(crate) is_64: bool,
    /// Most significant byte first.
    pub(crate) is_big_endian: bool,
}

impl Encoding {
    /// The class alone.
    #[must_use]
    pub(crate) fn class(self) -> Class {
        if self.is_64 { Class::Elf64 } else { Class::Elf32 }
    }

    /// Bytes of an ELF header.
    #[must_use]
    pub(crate) fn header_size(self) -> u64 {
        if self.is_64 { 64 } else { 52 }
    }

    /// Bytes of a program header.
    #[must_use]
    pub(crate) fn segment_size(self) -> u64 {
        if self.is_64 { 56 } else { 32 }
    }

    /// Bytes of a section header.
    #[must_use]
    pub(crate) fn section_size(self) -> u64 {
        if self.is_64 { 64 } else { 40 }
    }

    /// Bytes of an entry of the dynamic section.
    #[must_use]
    pub(crate) fn dynamic_size(self) -> u64 {
        self.word_size().wrapping_mul(2)
    }

    /// Bytes of a symbol.
    #[must_use]
    pub(crate) fn symbol_size(self) -> u64 {
        if self.is_64 { 24 } else { 16 }
    }

    /// Bytes of an address.
    #[must_use]
    pub(crate) fn word_size(self) -> u64 {
        if self.is_64 { 8 } else { 4 }
    }

    /// The largest address.
    #[must_use]
    pub(crate) fn highest(self) -> u64 {
        if self.is_64 { u64::MAX } else { u64::from(u32::MAX) }
    }

    /// What goblin calls the same thing.
    pub(crate) fn context(self) -> Ctx {
        let container = if self.is_64 { Container::Big } else { Container::Little };
        Ctx::new(container, if self.is_big_endian { Endian::Big } else { Endian::Little })
    }

    /// Reads a 16-bit value.
    #[must_use]
    pub(crate) fn u16_at(self, bytes: &[u8], at: usize) -> Option<u16> {
        let raw: [u8; 2] = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.is_big_endian { u16::from_be_bytes(raw) } else { u16::from_le_bytes(raw) })
    }

    /// Reads a 32-bit value.
    #[must_use]
    pub(crate) fn u32_at(self, bytes: &[u8], at: usize) -> Option<u32> {
        let raw: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.is_big_endian { u32::from_be_bytes(raw) } else { u32::from_le_bytes(raw) })
    }

    /// Reads an address-sized value.
    #[must_use]
    pub(crate) fn word_at(self, bytes: &[u8], at: usize) -> Option<u64> {
        if !self.is_64 {
            return self.u32_at(bytes, at).map(u64::from);
        }
        let raw: [u8; 8] = bytes.get(at..at.checked_add(8)?)?.try_into().ok()?;
        Some(if self.is_big_endian { u64::from_be_bytes(raw) } else { u64::from_le_bytes(raw) })
    }
}

/// A program header (gABI 5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// `p_type`
    pub(crate) kind: u32,
    /// `p_flags`
    pub(crate) flags: u32,
    /// `p_offset`
    pub(crate) offset: FileOffset,
    /// `p_vaddr`
    pub(crate) address: Address,
    /// `p_paddr`, kept as it is.
    pub(crate) physical: Address,
    /// `p_filesz`, bytes.
    pub(crate) file_size: u64,
    /// `p_memsz`, bytes.
    pub(crate) memory_size: u64,
    /// `p_align`, kept as it is; only a PT_LOAD's is checked.
    pub(crate) align: u64,
}

impl Segment {
    /// The type's name, for messages.
    #[must_use]
    pub(crate) fn kind_name(&self) -> &'static str {
        match self.kind {
            pt::PT_LOAD => "PT_LOAD",
            pt::PT_DYNAMIC => "PT_DYNAMIC",
            pt::PT_INTERP => "PT_INTERP",
            pt::PT_NOTE => "PT_NOTE",
            pt::PT_PHDR => "PT_PHDR",
            pt::PT_TLS => "PT_TLS",
            pt::PT_GNU_EH_FRAME => "PT_GNU_EH_FRAME",
            pt::PT_GNU_STACK => "PT_GNU_STACK",
            pt::PT_GNU_RELRO => "PT_GNU_RELRO",
            pt::PT_GNU_PROPERTY => "PT_GNU_PROPERTY",
            _ => "another type",
        }
    }

    /// Whether the loader maps it.
    #[must_use]
    pub(crate) fn is_load(&self) -> bool {
        self.kind == pt::PT_LOAD
    }

    /// Whether code can run from it.
    #[must_use]
    pub(crate) fn is_executable(&self) -> bool {
        self.flags & pt::PF_X != 0
    }

    /// Whether the program can write to it.
    #[must_use]
    pub(crate) fn is_writable(&self) -> bool {
        self.flags & pt::PF_W != 0
    }

    /// Its bytes in the file; checked to fit when the file was parsed.
    #[must_use]
    pub(crate) fn file_range(&self) -> Option<FileRange> {
        FileRange::new(self.offset, self.file_size)
    }

    /// The first address behind its memory.
    #[must_use]
    pub(crate) fn memory_end(&self) -> Option<u64> {
        self.address.get().checked_add(self.memory_size)
    }

    /// The alignment; [`Alignment::ONE`] where `p_align` is not a power of two.
    #[must_use]
    pub(crate) fn alignment(&self) -> Alignment {
        Alignment::new(self.align).unwrap_or(Alignment::ONE)
    }

    /// Whether an address range lies in the part that comes from the file.
    #[must_use]
    pub(crate) fn holds(&self, address: Address, len: u64) -> bool {
        let Some(within) = address.since(self.address) else { return false };
        within.checked_add(len).is_some_and(|end| end <= self.file_size)
    }

    pub(crate) fn to_record(&self) -> program_header::ProgramHeader {
        program_header::ProgramHeader {
            p_type: self.kind,
            p_flags: self.flags,
            p_offset: self.offset.get(),
            p_vaddr: self.address.get(),
            p_paddr: self.physical.get(),
            p_filesz: self.file_size,
            p_memsz: self.memory_size,
            p_align: self.align,
        }
    }
}

impl From<program_header::ProgramHeader> for Segment {
    fn from(record: program_header::ProgramHeader) -> Self {
        Self {
            kind: record.p_type,
            flags: record.p_flags,
            offset: FileOffset::new(record.p_offset),
            address: Address::new(record.p_vaddr),
            physical: Address::new(record.p_paddr),
            file_size: record.p_filesz,
            memory_size: record.p_memsz,
            align: record.p_align,
        }
    }
}

/// A section header (gABI 4 "Sections").
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    /// `sh_name`, an offset into the section name table.
    pub(crate) name: usize,
    /// `sh_type`
    pub(crate) kind: u32,
    /// `sh_flags`
    pub(crate) flags: u64,
    /// `sh_addr`
    pub(crate) address: Address,
    /// `sh_offset`
    pub(crate) offset: FileOffset,
    /// `sh_size`, bytes.
    pub(crate) size: u64,
    /// `sh_link`
    pub(crate) link: u32,
    /// `sh_info`
    pub(crate) info: u32,
    /// `sh_addralign`, kept as it is.
    pub(crate) align: u64,
    /// `sh_entsize`, kept as it is.
    pub(crate) entry_size: u64,
}

impl Section {
    /// Whether it takes part in the memory image.
    #[must_use]
    pub(crate) fn is_alloc(&self) -> bool {
        self.flags & u64::from(sht::SHF_ALLOC) != 0
    }

    /// Whether it is thread-local (`.tdata`, `.tbss`).
    #[must_use]
    pub(crate) fn is_tls(&self) -> bool {
        self.flags & u64::from(sht::SHF_TLS) != 0
    }

    /// Whether it is writable or executable.
    #[must_use]
    pub(crate) fn is_writable_or_executable(&self) -> bool {
        self.flags & u64::from(sht::SHF_WRITE | sht::SHF_EXECINSTR) != 0
    }

    /// Its bytes in the file; empty for SHT_NOBITS and the null section.
    #[must_use]
    pub(crate) fn file_range(&self) -> Option<FileRange> {
        let size = if matches!(self.kind, sht::SHT_NOBITS | sht::SHT_NULL) { 0 } else { self.size };
        FileRange::new(self.offset, size)
    }

    pub(crate) fn to_record(&self) -> section_header::SectionHeader {
        section_header::SectionHeader {
            sh_name: self.name,
            sh_type: self.kind,
            sh_flags: self.flags,
            sh_addr: self.address.get(),
            sh_offset: self.offset.get(),
            sh_size: self.size,
            sh_link: self.link,
            sh_info: self.info,
            sh_addralign: self.align,
            sh_entsize: self.entry_size,
        }
    }
}

impl From<section_header::SectionHeader> for Section {
    fn from(record: section_header::SectionHeader) -> Self {
        Self {
            name: record.sh_name,
            kind: record.sh_type,
            flags: record.sh_flags,
            address: Address::new(record.sh_addr),
            offset: FileOffset::new(record.sh_offset),
            size: record.sh_size,
            link: record.sh_link,
            info: record.sh_info,
            align: record.sh_addralign,
            entry_size: record.sh_entsize,
        }
    }
}

/// An entry of the dynamic section (gABI 5.4 "Dynamic Section").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DynamicEntry {
    /// `d_tag`, not sign-extended: 32-bit tags stay 32 bits wide.
    pub(crate) tag: u64,
    /// `d_un`
    pub value: u64,
}

impl DynamicEntry {
    pub(crate) fn to_record(self) -> dynamic::Dyn {
        dynamic::Dyn { d_tag: self.tag, d_val: self.value }
    }
}
