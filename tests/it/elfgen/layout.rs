//! Sections in segments, and where each of them lies.

use super::bytes::round_up;
use super::choices::{Class, Headers, Kind, Packing, Segments, StringsAt};
use super::code;
use super::spec::Spec;
use super::tables::{self, Tables};

pub(crate) const PROGBITS: u32 = 1;
pub(crate) const SYMTAB: u32 = 2;
pub(crate) const STRTAB: u32 = 3;
pub(crate) const RELA: u32 = 4;
pub(crate) const HASH: u32 = 5;
pub(crate) const DYNAMIC: u32 = 6;
pub(crate) const NOTE: u32 = 7;
pub(crate) const NOBITS: u32 = 8;
pub(crate) const REL: u32 = 9;
pub(crate) const DYNSYM: u32 = 11;
pub(crate) const GNU_HASH: u32 = 0x6fff_fff6;
pub(crate) const LIBLIST: u32 = 0x6fff_fff7;
pub(crate) const VERDEF: u32 = 0x6fff_fffd;
pub(crate) const VERNEED: u32 = 0x6fff_fffe;
pub(crate) const VERSYM: u32 = 0x6fff_ffff;

pub(crate) const WRITE: u64 = 1;
pub(crate) const ALLOC: u64 = 2;
pub(crate) const EXEC: u64 = 4;
pub(crate) const TLS: u64 = 0x400;

/// One section. `bytes` is filled in once every address is known.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) kind: u32,
    pub(crate) flags: u64,
    pub(crate) align: u64,
    pub(crate) entry: u64,
    pub(crate) size: u64,
    pub(crate) link: &'static str,
    pub(crate) info: u32,
    pub(crate) offset: u64,
    pub(crate) address: u64,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Clone, Debug)]
pub(crate) struct Segment {
    /// `PF_*`.
    pub(crate) flags: u32,
    pub(crate) align: u64,
    pub(crate) sections: Vec<Section>,
    /// Behind the section headers instead of before them.
    pub(crate) trailing: bool,
    pub(crate) offset: u64,
    pub(crate) address: u64,
    pub(crate) file_size: u64,
    pub(crate) memory_size: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) segments: Vec<Segment>,
    /// Sections that are not loaded.
    pub(crate) loose: Vec<Section>,
    pub(crate) table_end: u64,
    pub(crate) headers_at: u64,
}

pub(crate) fn section(name: &'static str, kind: u32, flags: u64, align: u64, entry: u64, size: u64) -> Section {
    Section { name, kind, flags, align, entry, size, link: "", info: 0, offset: 0, address: 0, bytes: Vec::new() }
}

impl Section {
    fn link(mut self, name: &'static str, info: u32) -> Self {
        (self.link, self.info) = (name, info);
        self
    }

    fn with(mut self, bytes: Vec<u8>) -> Self {
        self.size = bytes.len() as u64;
        self.bytes = bytes;
        self
    }
}

impl Layout {
    /// The sections grouped, none of them placed.
    pub(crate) fn group(spec: &Spec, tables: &Tables, dynamic_entries: u64, relocations: u64) -> Vec<Segment> {
        let (mut read_only, mut text, mut rodata, writable) = (
            if spec.is_dynamic() { read_only(spec, tables, relocations) } else { Vec::new() },
            vec![section(".text", PROGBITS, ALLOC | EXEC, text_align(spec), 0, code::size(spec))],
            vec![section(".rodata", PROGBITS, ALLOC, 8, 0, 0).with(tables::constants(spec))],
            writable(spec, dynamic_entries),
        );
        text.extend(gpu_code(spec, EXEC));
        rodata.extend(gpu_code(spec, 0));
        if !spec.is_dynamic() && spec.build_id {
            read_only.push(section(".note.gnu.build-id", NOTE, ALLOC, 4, 0, 0).with(tables::build_id(spec)));
        }
        let strings =
            read_only.iter().position(|section| section.name == ".dynstr").map(|index| read_only.remove(index));
        let mut trailing = None;
        if let Some(strings) = strings {
            match spec.strings_at {
                StringsAt::WithHeaders => {
                    let at =
                        read_only.iter().position(|section| section.name == ".dynsym").map_or(0, |index| index + 1);
                    read_only.insert(at, strings);
                }
                StringsAt::EndOfReadOnly => read_only.push(strings),
                StringsAt::TrailingReadOnly => trailing = Some((4, strings)),
                StringsAt::TrailingWritable => trailing = Some((6, strings)),
            }
        }
        let mut groups = match spec.segments {
            Segments::Separate => vec![(4, read_only), (5, text), (4, rodata), (6, writable)],
            Segments::CodeFirst => {
                // `.dynstr` stays last where the spec wants it so.
                read_only.splice(0..0, rodata);
                vec![(5, text), (4, read_only), (6, writable)]
            }
            Segments::Combined => {
                read_only.extend(text.into_iter().chain(rodata));
                vec![(5, read_only), (6, writable)]
            }
        };
        let count = groups.len();
        if let Some((flags, strings)) = trailing {
            groups.push((flags | 0x100, vec![strings]));
        }
        groups
            .into_iter()
            .enumerate()
            .map(|(index, (flags, sections))| Segment {
                flags: flags & 0xff,
                align: if index < count { align_of(spec, index) } else { spec.machine.page() },
                sections,
                trailing: flags & 0x100 != 0,
                offset: 0,
                address: 0,
                file_size: 0,
                memory_size: 0,
            })
            .collect()
    }

    /// Gives every section its offset and address.
    pub(crate) fn place(
        spec: &Spec,
        mut segments: Vec<Segment>,
        program_headers: u64,
        mut loose: Vec<Section>,
    ) -> Self {
        let (header, entry, section_entry) = match spec.class {
            Class::Elf32 => (52, 32, 40),
            Class::Elf64 => (64, 56, 64),
        };
        let table_end = header + entry * program_headers;
        let section_count =
            1 + loose.len() as u64 + segments.iter().map(|segment| segment.sections.len() as u64).sum::<u64>();
        let mut headers_at = 0;
        let mut cursor = table_end + spec.gap.0;
        if spec.headers == Headers::BehindTable {
            headers_at = round_up(cursor, 8);
            cursor = headers_at + section_entry * section_count;
        }
        let mut next_address = spec.base;
        let (front, back): (Vec<_>, Vec<_>) = (0..segments.len()).partition(|&index| !segments[index].trailing);
        for index in front {
            cursor = segments[index].place(spec, index, cursor, &mut next_address);
        }
        if spec.headers != Headers::None {
            for section in &mut loose {
                section.offset = round_up(cursor, section.align);
                cursor = section.offset + section.size;
            }
        }
        if spec.headers == Headers::End {
            headers_at = round_up(cursor, 8);
            cursor = headers_at + section_entry * section_count;
        }
        for index in back {
            cursor = segments[index].place(spec, index, cursor, &mut next_address);
        }
        Self { segments, loose, table_end, headers_at }
    }

    /// Every section in the order of the section header table, the null one left out.
    pub(crate) fn sections(&self) -> impl Iterator<Item = &Section> {
        self.segments.iter().flat_map(|segment| &segment.sections).chain(&self.loose)
    }

    pub(crate) fn sections_mut(&mut self) -> impl Iterator<Item = &mut Section> {
        self.segments.iter_mut().flat_map(|segment| &mut segment.sections).chain(&mut self.loose)
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Section> {
        self.sections().find(|section| section.name == name)
    }

    pub(crate) fn address(&self, name: &str) -> u64 {
        self.find(name).map_or(0, |section| section.address)
    }

    pub(crate) fn size(&self, name: &str) -> u64 {
        self.find(name).map_or(0, |section| section.size)
    }

    /// Index in the section header table; 0 for an unknown name.
    pub(crate) fn index(&self, name: &str) -> u32 {
        self.sections().position(|section| section.name == name).map_or(0, |index| index as u32 + 1)
    }

    pub(crate) fn fill(&mut self, name: &str, bytes: Vec<u8>) {
        if let Some(section) = self.sections_mut().find(|section| section.name == name) {
            assert_eq!(section.size, bytes.len() as u64, "{name} was placed with another size");
            section.bytes = bytes;
        }
    }
}

impl Segment {
    fn place(&mut self, spec: &Spec, index: usize, cursor: u64, next_address: &mut u64) -> u64 {
        let first = index == 0;
        let page = spec.machine.page();
        self.offset = match spec.packing {
            _ if first => 0,
            _ if self.trailing => round_up(cursor, 16),
            Packing::Padded => round_up(cursor, page),
            Packing::Tight => round_up(cursor, 16),
        };
        // The same remainder as the offset, in a page of its own.
        self.address = if first {
            spec.base
        } else {
            round_up(*next_address, self.align.max(page)) + self.offset % self.align.max(page)
        };
        let mut offset = if first { cursor } else { self.offset };
        let mut bss = 0;
        for section in &mut self.sections {
            let delta = self.address.wrapping_sub(self.offset);
            let at = round_up(offset + bss, section.align);
            section.address = at.wrapping_add(delta);
            if section.kind != NOBITS {
                assert_eq!(bss, 0, "zero-initialised sections come last");
                section.offset = at;
                offset = at + section.size;
            } else {
                section.offset = offset;
                // `.tbss` takes no memory of the image: each thread has its own.
                if section.flags & TLS == 0 {
                    bss = at + section.size - offset;
                }
            }
        }
        self.file_size = offset - self.offset;
        self.memory_size = self.file_size + bss;
        let slack: u64 = spec.slack.iter().filter(|(load, _)| *load == index).map(|(_, bytes)| bytes).sum();
        *next_address = self.address + self.memory_size + slack;
        offset + slack
    }
}

fn align_of(spec: &Spec, index: usize) -> u64 {
    spec.aligns.get(index).or(spec.aligns.last()).copied().unwrap_or(spec.machine.page())
}

/// With code first it must follow the table without a hole.
fn text_align(spec: &Spec) -> u64 {
    match (spec.segments, spec.class) {
        (Segments::CodeFirst, Class::Elf32) => 4,
        (Segments::CodeFirst, Class::Elf64) => 8,
        _ => 16,
    }
}

fn read_only(spec: &Spec, tables: &Tables, relocations: u64) -> Vec<Section> {
    let wide = spec.class == Class::Elf64;
    let word = if wide { 8 } else { 4 };
    let mut list = Vec::new();
    if spec.has_interpreter() {
        let mut path = spec.interpreter_path().as_bytes().to_vec();
        path.push(0);
        list.push(section(".interp", PROGBITS, ALLOC, 1, 0, 0).with(path));
    }
    if spec.property {
        list.push(section(".note.gnu.property", NOTE, ALLOC, word, 0, 0).with(tables::property(spec)));
    }
    if spec.build_id {
        list.push(section(".note.gnu.build-id", NOTE, ALLOC, 4, 0, 0).with(tables::build_id(spec)));
    }
    if let Some(note) = tables::ldcache(spec) {
        list.push(section(".note.nixos.ldcache", NOTE, ALLOC, 4, 0, 0).with(note));
    }
    for note in &spec.notes {
        list.push(section(note.section, NOTE, ALLOC, 4, 0, 0).with(tables::other_note(spec, note)));
    }
    if spec.hash {
        let entry = if spec.machine.wide_hash() && wide { 8 } else { 4 };
        list.push(section(".hash", HASH, ALLOC, word, entry, 0).with(tables.hash.clone()).link(".dynsym", 0));
    }
    if spec.gnu_hash {
        // No entry size in 64-bit files, where the records have two sizes (binutils, `elflink.c`).
        let entry = if wide { 0 } else { 4 };
        list.push(
            section(".gnu.hash", GNU_HASH, ALLOC, word, entry, 0).with(tables.gnu_hash.clone()).link(".dynsym", 0),
        );
    }
    let symbol = if wide { 24 } else { 16 };
    let size = symbol * tables.symbols.len() as u64;
    list.push(section(".dynsym", DYNSYM, ALLOC, word, symbol, size).link(".dynstr", 1));
    list.push(section(".dynstr", STRTAB, ALLOC, 1, 0, 0).with(tables.strings.data.clone()));
    if !tables.versym.is_empty() {
        list.push(section(".gnu.version", VERSYM, ALLOC, 2, 2, 0).with(tables.versym.clone()).link(".dynsym", 0));
    }
    if !tables.verneed.is_empty() {
        let files = tables::verneed_files(spec);
        list.push(
            section(".gnu.version_r", VERNEED, ALLOC, word, 0, 0).with(tables.verneed.clone()).link(".dynstr", files),
        );
    }
    if !tables.verdef.is_empty() {
        let count = spec.verdef.len() as u32 + 1;
        list.push(
            section(".gnu.version_d", VERDEF, ALLOC, word, 0, 0).with(tables.verdef.clone()).link(".dynstr", count),
        );
    }
    if spec.foreign_user {
        let bytes = tables::library_list(spec, tables);
        list.push(section(".gnu.liblist", LIBLIST, ALLOC, 4, 20, 0).with(bytes).link(".dynstr", 0));
    }
    if let (Some(kinds), 1..) = (spec.machine.relocations(), relocations) {
        let (name, kind, entry) =
            if kinds.addend { (".rela.dyn", RELA, 3 * word) } else { (".rel.dyn", REL, 2 * word) };
        list.push(section(name, kind, ALLOC, word, entry, entry * relocations).link(".dynsym", 0));
    }
    list
}

fn writable(spec: &Spec, dynamic_entries: u64) -> Vec<Section> {
    let word = if spec.class == Class::Elf64 { 8 } else { 4 };
    let mut list = Vec::new();
    if spec.tls {
        list.push(section(".tdata", PROGBITS, ALLOC | WRITE | TLS, 8, 0, 8));
        list.push(section(".tbss", NOBITS, ALLOC | WRITE | TLS, 8, 0, 8));
    }
    if spec.is_dynamic() && spec.kind != Kind::Relocatable {
        list.push(
            section(".dynamic", DYNAMIC, ALLOC | WRITE, word, 2 * word, 2 * word * dynamic_entries).link(".dynstr", 0),
        );
    }
    list.push(section(".got", PROGBITS, ALLOC | WRITE, word, word, word * (1 + spec.imports.len() as u64)));
    list.push(section(".data", PROGBITS, ALLOC | WRITE, 8, 0, spec.data.max(8)));
    list.extend(gpu_code(spec, WRITE));
    if spec.rld_map {
        list.push(section(".rld_map", PROGBITS, ALLOC | WRITE, word, 0, word));
    }
    if spec.bss > 0 {
        list.push(section(".bss", NOBITS, ALLOC | WRITE, 8, 0, spec.bss.max(8)));
    }
    list
}

/// The sections of [`Spec::gpu_code`] with these flags beside `SHF_ALLOC`.
pub(crate) fn gpu_code(spec: &Spec, flags: u64) -> Vec<Section> {
    let flags_of = |name: &str| match name {
        _ if name.starts_with(".text") => EXEC,
        _ if name.starts_with(".data") || name == ".nvFatBinSegment" => WRITE,
        _ => 0,
    };
    let wanted = spec.gpu_code.iter().filter(|(name, _)| flags_of(name) == flags);
    wanted.map(|(name, bytes)| section(name, PROGBITS, ALLOC | flags, 8, 0, 0).with(bytes.clone())).collect()
}
