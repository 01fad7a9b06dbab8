//! An ELF object as the loader sees it, checked once: everything after this may rely on what is said here.
//!
//! The program headers decide; section headers only say what bytes mean.

use goblin::elf::{Elf, ProgramHeader, SectionHeader, header};

use super::data::{self, DataMap};
use super::dynamic::{Dynamic, PathTags};
use super::error::{Field, ParseError};
use super::load_map;
use super::machine::{Machine, is_device, other_processor};
use super::record::{Encoding, Section, Segment, dt, pt, sht};
use super::strings::{DT_AUXILIARY, DT_FILTER, StringTable};
use super::units::{Address, FileOffset, FileRange, StringOffset, len64};
use bstr::{BStr, ByteSlice};

/// What the bytes of a file turn out to be.
#[derive(Debug)]
pub enum Subject<'a> {
    /// An object whose search path can be read and edited.
    Object(Box<ElfView<'a>>),
    /// A file that has no search path, or must not have one.
    NotApplicable(NotApplicable),
}

/// Why a file is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum NotApplicable {
    /// No ELF magic.
    NotElf,
    /// ET_REL: an object file or kernel module.
    Relocatable,
    /// ET_CORE.
    Core,
    /// Another `e_type` than ET_EXEC and ET_DYN.
    OtherType,
    /// Device code, which no loader of the host reads.
    GpuCode,
    /// For a signal processor or a virtual machine, which has a loader of its own.
    OtherProcessor(&'static str),
    /// No PT_DYNAMIC: statically linked.
    Static,
    /// Position-independent and static: its start-up code asserts that it has no DT_RUNPATH (`glibc csu/static-reloc`).
    StaticPie,
    /// A separate debug file: the dynamic section has no contents.
    DebugFile,
    /// The dynamic loader itself, which makes the same assertion (`glibc elf/rtld.c`).
    Loader,
    /// No DT_STRTAB, so there is no name to look up.
    NoStringTable,
}

impl NotApplicable {
    /// The reason as a person reads it.
    #[must_use]
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::NotElf => "not an ELF file",
            Self::Relocatable => "an object file (ET_REL)",
            Self::Core => "a core dump",
            Self::OtherType => "neither an executable nor a shared object",
            Self::GpuCode => "GPU code, which no loader of the host reads",
            Self::OtherProcessor(what) => what,
            Self::Static => "statically linked (no PT_DYNAMIC)",
            Self::StaticPie => "a static-pie program, which asserts at start that it has no RUNPATH",
            Self::DebugFile => "a separate debug file",
            Self::Loader => "the dynamic loader, which asserts at start that it has no RUNPATH",
            Self::NoStringTable => "has no DT_STRTAB",
        }
    }
}

/// A checked object; every range in it lies inside the file.
#[derive(Debug)]
pub struct ElfView<'a> {
    /// The whole file.
    pub(crate) bytes: &'a [u8],
    /// Class and byte order.
    pub(crate) encoding: Encoding,
    /// The ELF header.
    pub(crate) header: header::Header,
    /// The program header table, in table order.
    pub(crate) segments: Vec<Segment>,
    /// The section header table, in table order; empty without one.
    pub(crate) sections: Vec<Section>,
    /// The dynamic section.
    pub dynamic: Dynamic,
    /// The dynamic string table.
    pub(crate) strings: StringTable<'a>,
    /// Where the file has data.
    pub(crate) data: &'a DataMap,
}

/// No linker writes more than a few dozen.
const MOST_SEGMENTS: usize = 1 << 12;

/// How often the headers of one table may name a byte of the file on average.
const MOST_TIMES: u64 = 8;

/// Bytes of a section's name that are looked at; names of functions can be longer, those that are asked for are not.
const LONGEST_NAME: usize = 256;

/// Whether the first bytes of a file say that it is an ELF file.
#[must_use]
pub(crate) fn has_magic(start: &[u8]) -> bool {
    start.starts_with(header::ELFMAG)
}

impl<'a> Subject<'a> {
    /// Reads a file's bytes.
    ///
    /// # Errors
    /// [`ParseError`] for an ELF file that contradicts itself or reaches past its end: nothing about it can be relied on.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        Self::parse_sparse(bytes, &data::EVERYWHERE)
    }

    /// The same for a file whose holes are known.
    ///
    /// # Errors
    /// As [`Subject::parse`].
    pub(crate) fn parse_sparse(bytes: &'a [u8], data: &'a DataMap) -> Result<Self, ParseError> {
        let subject = Self::parse_any(bytes, data)?;
        if let Self::Object(view) = &subject
            && let Some(reason) = view.must_not_have_a_path()
        {
            return Ok(Self::NotApplicable(reason));
        }
        Ok(subject)
    }

    /// The same, with objects that must not have a search path among them.
    fn parse_any(bytes: &'a [u8], data: &'a DataMap) -> Result<Self, ParseError> {
        if !has_magic(bytes) {
            return Ok(Self::NotApplicable(NotApplicable::NotElf));
        }
        let (encoding, header) = parse_header(bytes)?;
        if let Some(reason) = by_type(&header) {
            return Ok(Self::NotApplicable(reason));
        }
        let segments = parse_segments(bytes, encoding, &header)?;
        let Some((index, dynamic_segment)) = find_dynamic(&segments)? else {
            return Ok(Self::NotApplicable(NotApplicable::Static));
        };
        if dynamic_segment.file_size == 0 {
            return Ok(Self::NotApplicable(NotApplicable::DebugFile));
        }
        let sections = parse_sections(bytes, encoding, &header)?;
        if dynamic_is_stripped(&sections, dynamic_segment) {
            return Ok(Self::NotApplicable(NotApplicable::DebugFile));
        }
        check_section_ranges(&sections, len64(bytes))?;
        load_map::check(&segments, encoding, len64(bytes))?;
        check_described_once(&segments, &sections, len64(bytes))?;
        check_mapped(&segments, index, dynamic_segment)?;
        let dynamic = Dynamic::parse(bytes, encoding, index, dynamic_segment)?;
        if dynamic.value(dt::DT_STRTAB).is_none() {
            return Ok(Self::NotApplicable(NotApplicable::NoStringTable));
        }
        let strings = StringTable::parse(bytes, &segments, &sections, &dynamic)?;
        Ok(Self::Object(Box::new(ElfView { bytes, encoding, header, segments, sections, dynamic, strings, data })))
    }
}

/// Any object, the dynamic loader included; `None` for what is none.
#[must_use]
pub(crate) fn object_or_loader(bytes: &[u8]) -> Option<Box<ElfView<'_>>> {
    match Subject::parse_any(bytes, &data::EVERYWHERE) {
        Ok(Subject::Object(view)) => Some(view),
        Ok(Subject::NotApplicable(_)) | Err(_) => None,
    }
}

impl<'a> ElfView<'a> {
    /// Which path tags there are.
    #[must_use]
    pub(crate) fn path_tags(&self) -> PathTags {
        self.dynamic.path_tags()
    }

    /// The search path that the loader uses, as it is written; `None` without a tag.
    #[must_use]
    pub fn search_path(&self) -> Option<&'a BStr> {
        self.path_tags().effective().and_then(|offset| self.strings.get(offset))
    }

    /// The names in DT_NEEDED, in order.
    pub fn needed(&self) -> impl Iterator<Item = &'a BStr> {
        self.dynamic.values(dt::DT_NEEDED).filter_map(|offset| self.strings.get(StringOffset::new(offset)))
    }

    /// The names in DT_FILTER and DT_AUXILIARY, which glibc loads in front of the object (`glibc elf/dl-deps.c`).
    pub(crate) fn filters(&self) -> impl Iterator<Item = &'a BStr> {
        let named = self.dynamic.entries.iter().filter(|entry| matches!(entry.tag, DT_FILTER | DT_AUXILIARY));
        named.filter_map(|entry| self.strings.get(StringOffset::new(entry.value)))
    }

    /// The name in DT_SONAME.
    #[must_use]
    pub fn soname(&self) -> Option<&'a BStr> {
        self.strings.get(StringOffset::new(self.dynamic.value(dt::DT_SONAME)?))
    }

    /// The program interpreter that PT_INTERP names.
    #[must_use]
    pub fn interpreter(&self) -> Option<&'a BStr> {
        let segment = self.segments.iter().find(|segment| segment.kind == pt::PT_INTERP)?;
        let bytes = segment.file_range()?.of(self.bytes)?;
        Some(bytes.split_str("\0").next().unwrap_or(bytes).as_bstr())
    }

    /// Whether PT_INTERP says that this is a program of a dynamic loader.
    #[must_use]
    pub(crate) fn has_interpreter(&self) -> bool {
        self.segments.iter().any(|segment| segment.kind == pt::PT_INTERP)
    }

    /// What people call such an object: `executable` (ET_EXEC), `pie` (ET_DYN with PT_INTERP) or `library`.
    #[must_use]
    pub(crate) fn kind(&self) -> &'static str {
        match (self.header.e_type == header::ET_EXEC, self.has_interpreter()) {
            (true, _) => "executable",
            (false, true) => "pie",
            (false, false) => "library",
        }
    }

    /// The file bytes of the program header table.
    #[must_use]
    pub(crate) fn table_range(&self) -> Option<FileRange> {
        let size = self.encoding.segment_size().checked_mul(u64::from(self.header.e_phnum))?;
        FileRange::new(FileOffset::new(self.header.e_phoff), size)
    }

    /// The file bytes of the section header table; empty without one.
    #[must_use]
    pub(crate) fn section_table_range(&self) -> Option<FileRange> {
        let count = u64::try_from(self.sections.len()).ok()?;
        FileRange::new(FileOffset::new(self.header.e_shoff), self.encoding.section_size().checked_mul(count)?)
    }

    /// A section's name in the section name table.
    #[must_use]
    pub(crate) fn section_name(&self, section: &Section) -> Option<&'a BStr> {
        let names = self.sections.get(usize::from(self.header.e_shstrndx))?.file_range()?.of(self.bytes)?;
        let rest = names.get(section.name..)?;
        let rest = rest.get(..LONGEST_NAME).unwrap_or(rest);
        rest.get(..rest.find_byte(0)?).map(ByteSlice::as_bstr)
    }

    /// The machine that it is for.
    #[must_use]
    pub(crate) fn machine(&self) -> &'static Machine {
        Machine::of(self.header.e_machine, self.encoding)
    }

    /// Static-pie programs and glibc's loader assert at start that they have no DT_RUNPATH.
    fn must_not_have_a_path(&self) -> Option<NotApplicable> {
        if self.has_interpreter() || self.dynamic.value(dt::DT_NEEDED).is_some() {
            return None;
        }
        if self.soname().is_some_and(is_loader_name) {
            return Some(NotApplicable::Loader);
        }
        let flags = self.dynamic.value(dt::DT_FLAGS_1).unwrap_or(0);
        let is_program = self.header.e_type == header::ET_EXEC || flags & dt::DF_1_PIE != 0;
        is_program.then_some(NotApplicable::StaticPie)
    }
}

/// `ld-linux*.so.*`, `ld-musl-*.so.*`, `ld-uClibc.so.*`, `ld64.so.*`, `ld.so.1`, and musl's libc, which is its loader.
fn is_loader_name(soname: &BStr) -> bool {
    let named = [b"ld-".as_slice(), b"ld.so", b"ld64.so", b"libc.musl-"].iter().any(|start| soname.starts_with(start));
    soname == "libc.so" || (named && soname.contains_str(".so"))
}

fn by_type(header: &header::Header) -> Option<NotApplicable> {
    match header.e_type {
        header::ET_REL => Some(NotApplicable::Relocatable),
        header::ET_CORE => Some(NotApplicable::Core),
        _ if is_device(header.e_machine) => Some(NotApplicable::GpuCode),
        header::ET_EXEC | header::ET_DYN => other_processor(header.e_machine).map(NotApplicable::OtherProcessor),
        _ => Some(NotApplicable::OtherType),
    }
}

pub(crate) fn parse_header(bytes: &[u8]) -> Result<(Encoding, header::Header), ParseError> {
    let past =
        |bound_field, value| ParseError::PastEnd { field: Field::single(bound_field), value, bound: len64(bytes) };
    let ident = |index: usize| bytes.get(index).copied().ok_or_else(|| past("e_ident", 16));
    let is_64 = match ident(header::EI_CLASS)? {
        header::ELFCLASS32 => false,
        header::ELFCLASS64 => true,
        other => return Err(ParseError::value("EI_CLASS", u64::from(other), "1 (32-bit) or 2 (64-bit)")),
    };
    let is_big_endian = match ident(header::EI_DATA)? {
        header::ELFDATA2LSB => false,
        header::ELFDATA2MSB => true,
        other => return Err(ParseError::value("EI_DATA", u64::from(other), "1 (little-endian) or 2 (big-endian)")),
    };
    let version = ident(header::EI_VERSION)?;
    if version != header::EV_CURRENT {
        return Err(ParseError::value("EI_VERSION", u64::from(version), "1"));
    }
    let encoding = Encoding { is_64, is_big_endian };
    let header = Elf::parse_header(bytes).map_err(|_| past("the ELF header", encoding.header_size()))?;
    Ok((encoding, header))
}

pub(crate) fn parse_segments(
    bytes: &[u8],
    encoding: Encoding,
    header: &header::Header,
) -> Result<Vec<Segment>, ParseError> {
    match header.e_phnum {
        0 => return Err(ParseError::value("e_phnum", 0, "at least one program header")),
        0xffff => return Err(ParseError::value("e_phnum", 0xffff, "no extended numbering")),
        _ => {}
    }
    if u64::from(header.e_phentsize) != encoding.segment_size() {
        let expected = if encoding.is_64 { "56" } else { "32" };
        return Err(ParseError::value("e_phentsize", u64::from(header.e_phentsize), expected));
    }
    let size = encoding.segment_size().saturating_mul(u64::from(header.e_phnum));
    let offset = table_offset(bytes, "e_phoff+e_phnum*e_phentsize", header.e_phoff, size)?;
    let records = ProgramHeader::parse(bytes, offset, usize::from(header.e_phnum), encoding.context());
    let records = records.map_err(|_| past_end(bytes, "e_phoff", header.e_phoff))?;
    Ok(records.into_iter().map(Segment::from).collect())
}

pub(super) fn parse_sections(
    bytes: &[u8],
    encoding: Encoding,
    header: &header::Header,
) -> Result<Vec<Section>, ParseError> {
    if header.e_shoff == 0 {
        return match header.e_shnum {
            0 => Ok(Vec::new()),
            count => Err(ParseError::value("e_shnum", u64::from(count), "0, because e_shoff is 0")),
        };
    }
    if header.e_shnum == 0 {
        return Err(ParseError::value("e_shnum", 0, "no extended numbering while e_shoff is set"));
    }
    if u64::from(header.e_shentsize) != encoding.section_size() {
        let expected = if encoding.is_64 { "64" } else { "40" };
        return Err(ParseError::value("e_shentsize", u64::from(header.e_shentsize), expected));
    }
    let size = encoding.section_size().saturating_mul(u64::from(header.e_shnum));
    let offset = table_offset(bytes, "e_shoff+e_shnum*e_shentsize", header.e_shoff, size)?;
    let records = SectionHeader::parse(bytes, offset, usize::from(header.e_shnum), encoding.context());
    let records = records.map_err(|_| past_end(bytes, "e_shoff", header.e_shoff))?;
    Ok(records.into_iter().map(Section::from).collect())
}

fn table_offset(bytes: &[u8], name: &'static str, offset: u64, size: u64) -> Result<usize, ParseError> {
    let end = offset.saturating_add(size);
    if end > len64(bytes) {
        return Err(past_end(bytes, name, end));
    }
    usize::try_from(offset).map_err(|_| past_end(bytes, name, end))
}

fn past_end(bytes: &[u8], name: &'static str, value: u64) -> ParseError {
    ParseError::PastEnd { field: Field::single(name), value, bound: len64(bytes) }
}

fn find_dynamic(segments: &[Segment]) -> Result<Option<(usize, &Segment)>, ParseError> {
    let mut found = segments.iter().enumerate().filter(|(_, segment)| segment.kind == pt::PT_DYNAMIC);
    let first = found.next();
    match found.count() {
        0 => Ok(first),
        more => Err(ParseError::Count { what: "PT_DYNAMIC", found: more.saturating_add(1), expected: "at most one" }),
    }
}

/// Debug files keep the section header of `.dynamic`, as SHT_NOBITS. `.tbss` takes no memory, so its address may be the
/// same in any object.
fn dynamic_is_stripped(sections: &[Section], segment: &Segment) -> bool {
    let at_dynamic = |s: &&Section| s.address == segment.address && s.size > 0 && s.is_alloc() && !s.is_tls();
    let mut here = sections.iter().filter(at_dynamic).peekable();
    here.peek().is_some() && here.all(|section| section.kind == sht::SHT_NOBITS)
}

fn check_section_ranges(sections: &[Section], file_len: u64) -> Result<(), ParseError> {
    for (index, section) in sections.iter().enumerate() {
        let end = section.file_range().map_or(u64::MAX, |range| range.end().get());
        let is_empty = section.file_range().is_some_and(FileRange::is_empty);
        if !is_empty && end > file_len {
            let field = Field::of("section header", index, "sh_offset+sh_size");
            return Err(ParseError::PastEnd { field, value: end, bound: file_len });
        }
    }
    Ok(())
}

/// Headers may name the same bytes more than once, as PT_GNU_RELRO and .rela.plt do, but not without end: what goes over
/// every section or segment would take the product of their number and the file's size.
fn check_described_once(segments: &[Segment], sections: &[Section], file_len: u64) -> Result<(), ParseError> {
    if segments.len() > MOST_SEGMENTS {
        return Err(ParseError::value("e_phnum", len64(segments), "no more than 4096 program headers"));
    }
    let in_segments = segments.iter().filter_map(Segment::file_range);
    let in_sections = sections.iter().filter_map(Section::file_range);
    let sum = |ranges: &mut dyn Iterator<Item = FileRange>| ranges.map(FileRange::len).fold(0, u64::saturating_add);
    let bound = file_len.saturating_mul(MOST_TIMES);
    for (name, size) in [("p_filesz", sum(&mut { in_segments })), ("sh_size", sum(&mut { in_sections }))] {
        if size > bound {
            let relation = "of all headers together is more than eight times the size of the file,";
            return Err(ParseError::Contradiction { field: Field::single(name), value: size, relation, bound });
        }
    }
    Ok(())
}

/// The loader finds the dynamic section by address, tools by offset: they must be the same bytes.
fn check_mapped(segments: &[Segment], index: usize, segment: &Segment) -> Result<(), ParseError> {
    let mapped = load_map::file_range(segments, segment.address, segment.file_size);
    match mapped {
        Some(range) if range.start() == segment.offset => Ok(()),
        Some(range) => Err(ParseError::Contradiction {
            field: Field::of("program header", index, "p_offset").of_kind("PT_DYNAMIC"),
            value: segment.offset.get(),
            relation: "differs from where its address is mapped,",
            bound: range.start().get(),
        }),
        None => Err(ParseError::Value {
            field: Field::of("program header", index, "p_vaddr").of_kind("PT_DYNAMIC"),
            value: segment.address.get(),
            expected: "an address in the file part of one PT_LOAD",
        }),
    }
}

/// The address of the first byte of the file, were all of it mapped like the first PT_LOAD.
#[must_use]
pub(crate) fn load_delta(segments: &[Segment]) -> Option<u64> {
    let first = segments.iter().find(|segment| segment.is_load())?;
    first.address.since(Address::new(first.offset.get()))
}
