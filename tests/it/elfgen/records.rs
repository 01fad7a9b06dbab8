//! The fixed records of an ELF file, and the two kinds of files that consist of little else.

use super::bytes::{Bytes, round_up};
use super::choices::{Class, Headers, Kind, Order};
use super::layout::{self, ALLOC, Layout, section};
use super::spec::Spec;
use super::strings::Strings;
use super::tables;

pub(crate) struct ProgramHeader {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) offset: u64,
    pub(crate) address: u64,
    pub(crate) file_size: u64,
    pub(crate) memory_size: u64,
    pub(crate) align: u64,
}

pub(crate) fn header(
    spec: &Spec,
    elf_type: u16,
    entry: u64,
    table: u64,
    section_table: u64,
    counts: (u16, u16, u16),
) -> Bytes {
    let mut out = Bytes::new(spec.class, spec.order);
    let (class, sizes) = if spec.class == Class::Elf64 { (2, (64, 56, 64)) } else { (1, (52, 32, 40)) };
    let order = if spec.order == Order::Little { 1 } else { 2 };
    out.raw(b"\x7fELF").raw(&[class, order, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    out.u16(elf_type).u16(spec.machine.number()).u32(1).word(entry).word(table).word(section_table);
    out.u32(spec.machine.flags()).u16(sizes.0).u16(sizes.1).u16(counts.0).u16(sizes.2);
    match spec.headers {
        Headers::None => out.u16(0).u16(0),
        _ => out.u16(counts.1).u16(counts.2),
    };
    out
}

pub(crate) fn put_program_header(out: &mut Bytes, spec: &Spec, entry: &ProgramHeader) {
    let kept = !matches!(spec.kind, Kind::DebugFile) || entry.kind == 4;
    let file_size = if kept { entry.file_size } else { 0 };
    match spec.class {
        Class::Elf32 => {
            out.u32(entry.kind).word(entry.offset).word(entry.address).word(entry.address).word(file_size);
            out.word(entry.memory_size).u32(entry.flags).word(entry.align)
        }
        Class::Elf64 => {
            out.u32(entry.kind).u32(entry.flags).word(entry.offset).word(entry.address).word(entry.address);
            out.word(file_size).word(entry.memory_size).word(entry.align)
        }
    };
}

pub(crate) fn section_headers(spec: &Spec, layout: &Layout) -> Vec<u8> {
    let mut out = Bytes::new(spec.class, spec.order);
    let mut names = Strings::new(false);
    out.raw(&vec![0; if spec.class == Class::Elf64 { 64 } else { 40 }]);
    for section in layout.sections() {
        let name = names.add(section.name.as_bytes());
        out.u32(name as u32).u32(section.kind).word(section.flags).word(section.address).word(section.offset);
        out.word(section.size)
            .u32(layout.index(section.link))
            .u32(section.info)
            .word(section.align)
            .word(section.entry);
    }
    out.data
}

/// A file that no loader maps: an object file (`elf_type` 1) or a core file (4).
pub(crate) fn unloaded(spec: &Spec, elf_type: u16) -> Vec<u8> {
    let header_size = if spec.class == Class::Elf64 { 64 } else { 52 };
    if elf_type == 4 {
        let note = tables::core_note(spec);
        let mut spec = spec.clone();
        spec.headers = Headers::None;
        let table_size = if spec.class == Class::Elf64 { 56 } else { 32 };
        let mut out = header(&spec, elf_type, 0, header_size, 0, (1, 0, 0));
        let size = note.len() as u64;
        let offset = header_size + table_size;
        let entry = ProgramHeader { kind: 4, flags: 4, offset, address: 0, file_size: size, memory_size: 0, align: 4 };
        put_program_header(&mut out, &spec, &entry);
        return out.raw(&note).data.clone();
    }
    let mut text = section(".text", layout::PROGBITS, ALLOC | layout::EXEC, 1, 0, 16);
    text.bytes = vec![0xcc; 16];
    let mut loose = vec![text];
    for flags in [layout::EXEC, 0, layout::WRITE] {
        loose.extend(layout::gpu_code(spec, flags));
    }
    let mut names = Strings::new(false);
    for name in loose.iter().map(|section| section.name).chain([".shstrtab"]) {
        names.add(name.as_bytes());
    }
    let mut strings = section(".shstrtab", layout::STRTAB, 0, 1, 0, names.data.len() as u64);
    strings.bytes = names.data;
    loose.push(strings);
    let mut body = Bytes::new(spec.class, spec.order);
    for section in &mut loose {
        // The header's size is no multiple of 8 in a 32-bit file.
        section.offset = round_up(header_size + body.len(), section.align);
        body.data.resize((section.offset - header_size) as usize, 0);
        body.raw(&section.bytes);
    }
    body.pad_to(8, 0);
    let count = loose.len() as u16;
    let headers_at = header_size + body.len();
    let placed = Layout { segments: Vec::new(), loose, table_end: 0, headers_at };
    let mut out = header(spec, elf_type, 0, 0, placed.headers_at, (0, count + 1, count));
    out.raw(&body.data).raw(&section_headers(spec, &placed));
    // gABI: no program header table, no entry size.
    let at = if spec.class == Class::Elf64 { 54 } else { 42 };
    out.data[at..at + 2].fill(0);
    out.data
}

pub(crate) fn put_symbol(out: &mut Bytes, spec: &Spec, name: u64, info: u8, section: u32, value: u64, size: u64) {
    match spec.class {
        Class::Elf32 => out.u32(name as u32).word(value).word(size).u8(info).u8(0).u16(section as u16),
        Class::Elf64 => out.u32(name as u32).u8(info).u8(0).u16(section as u16).word(value).word(size),
    };
}
