//! From spec to bytes: contents once the addresses are known, then the headers.

use super::bytes::Bytes;
use super::choices::{Class, Headers, Kind, Tag};
use super::code::{self, Places};
use super::layout::{self, ALLOC, Layout, NOBITS, Section, Segment, section};
use super::records::{ProgramHeader, header, put_program_header, put_symbol, section_headers, unloaded};
use super::spec::Spec;
use super::strings::Strings;
use super::tables::{self, STT_SECTION, Tables};

/// One entry of the program header table.
#[derive(Clone, Copy, Debug)]
enum Entry {
    Phdr,
    Interp,
    Load(usize),
    Dynamic,
    Note(&'static str),
    Property,
    Tls,
    Stack,
    Relro,
    EmptyNote,
    Null,
}

pub(crate) fn image(spec: &Spec) -> Vec<u8> {
    match spec.kind {
        Kind::Relocatable => return unloaded(spec, 1),
        Kind::Core => return unloaded(spec, 4),
        _ => {}
    }
    let tables = Tables::new(spec);
    let relative = u64::from(spec.kind != Kind::Exec && spec.kind != Kind::Static);
    let relocations = if spec.machine.relocations().is_some() { relative + spec.imports.len() as u64 } else { 0 };
    let dynamic_entries = dynamic(spec, &tables, None, relative).len() as u64;
    let segments = Layout::group(spec, &tables, dynamic_entries, relocations);
    let entries = entries(spec, &segments);
    let loose = loose(spec, &tables, &segments);
    let mut layout = Layout::place(spec, segments, entries.len() as u64, loose);
    fill(spec, &tables, &mut layout, relative);
    write(spec, &layout, &entries)
}

fn entries(spec: &Spec, segments: &[Segment]) -> Vec<Entry> {
    let mut list = Vec::new();
    let mut push = |wanted: bool, entry: Entry| {
        if wanted {
            list.push(entry);
        }
    };
    push(spec.phdr, Entry::Phdr);
    push(spec.has_interpreter(), Entry::Interp);
    (0..segments.len()).for_each(|index| push(true, Entry::Load(index)));
    push(spec.is_dynamic(), Entry::Dynamic);
    push(spec.property, Entry::Note(".note.gnu.property"));
    push(spec.build_id, Entry::Note(".note.gnu.build-id"));
    push(spec.tls, Entry::Tls);
    push(spec.property, Entry::Property);
    push(spec.gnu_stack, Entry::Stack);
    push(spec.relro, Entry::Relro);
    push(spec.ldcache.is_some(), Entry::Note(".note.nixos.ldcache"));
    spec.notes.iter().for_each(|note| push(true, Entry::Note(note.section)));
    push(spec.empty_note, Entry::EmptyNote);
    push(spec.null_slot, Entry::Null);
    list
}

/// Sections that are not loaded; their contents follow in [`fill`].
fn loose(spec: &Spec, tables: &Tables, segments: &[Segment]) -> Vec<Section> {
    if spec.headers == Headers::None {
        return Vec::new();
    }
    let (word, symbol) = if spec.class == Class::Elf64 { (8, 24) } else { (4, 16) };
    let alloc: Vec<&Section> = segments.iter().flat_map(|segment| &segment.sections).collect();
    let locals = 1 + alloc.len() as u64;
    let count = locals + tables.symbols.iter().filter(|symbol| !symbol.section.is_empty()).count() as u64;
    let mut symtab = section(".symtab", layout::SYMTAB, 0, word, symbol, symbol * count);
    (symtab.link, symtab.info) = (".strtab", locals as u32);
    let mut list = vec![
        section(".comment", layout::PROGBITS, 0x30, 1, 1, COMMENT.len() as u64),
        symtab,
        section(".strtab", layout::STRTAB, 0, 1, 0, symbol_names(tables).0.data.len() as u64),
    ];
    let mut names = Strings::new(false);
    for section in alloc.into_iter().chain(&list) {
        names.add(section.name.as_bytes());
    }
    names.add(b".shstrtab");
    list.push(section(".shstrtab", layout::STRTAB, 0, 1, 0, names.data.len() as u64));
    list
}

const COMMENT: &[u8] = b"generated\0";

fn symbol_names(tables: &Tables) -> (Strings, Vec<u64>) {
    let mut strings = Strings::new(false);
    let offsets = tables.symbols.iter().map(|symbol| strings.add(&symbol.name)).collect();
    (strings, offsets)
}

/// The dynamic entries; without a layout only their number counts.
fn dynamic(spec: &Spec, tables: &Tables, layout: Option<&Layout>, relative: u64) -> Vec<(u64, u64)> {
    if !spec.is_dynamic() {
        return Vec::new();
    }
    let address = |name: &str| layout.map_or(0, |layout| layout.address(name));
    let size = |name: &str| layout.map_or(0, |layout| layout.size(name));
    let (word, symbol) = if spec.class == Class::Elf64 { (8, 24) } else { (4, 16) };
    let mut list: Vec<(u64, u64)> = tables.needed.iter().map(|&name| (1, name)).collect();
    list.extend(tables.soname.map(|name| (14, name)));
    list.extend(tables.paths.iter().map(|&(tag, path)| (if tag == Tag::Runpath { 29 } else { 15 }, path)));
    list.extend(&tables.string_tags);
    let mut push = |wanted: bool, tag: u64, value: u64| {
        if wanted {
            list.push((tag, value));
        }
    };
    push(spec.hash, 4, address(".hash"));
    push(spec.gnu_hash, 0x6fff_fef5, address(".gnu.hash"));
    push(true, 5, address(".dynstr"));
    push(true, 6, address(".dynsym"));
    push(true, 10, size(".dynstr"));
    push(true, 11, symbol);
    push(spec.debug_tag, 21, 0);
    if let Some(kinds) = spec.machine.relocations()
        && relative + spec.imports.len() as u64 > 0
    {
        let (name, tags, entry) =
            if kinds.addend { (".rela.dyn", [7, 8, 9], 3 * word) } else { (".rel.dyn", [17, 18, 19], 2 * word) };
        push(true, tags[0], address(name));
        push(true, tags[1], size(name));
        push(true, tags[2], entry);
        push(spec.relacount, if kinds.addend { 0x6fff_fff9 } else { 0x6fff_fffa }, relative);
    }
    push(matches!(spec.kind, Kind::Pie | Kind::StaticPie), 0x6fff_fffb, 0x0800_0000);
    if spec.rld_map {
        // DT_MIPS_RLD_MAP_REL counts from its own entry.
        let index = list.len() as u64;
        list.push((0x7000_0035, address(".rld_map").wrapping_sub(address(".dynamic") + index * 2 * word)));
    }
    if !tables.verdef.is_empty() {
        list.extend([(0x6fff_fffc, address(".gnu.version_d")), (0x6fff_fffd, spec.verdef.len() as u64 + 1)]);
    }
    if !tables.verneed.is_empty() {
        list.extend([(0x6fff_fffe, address(".gnu.version_r")), (0x6fff_ffff, u64::from(tables::verneed_files(spec)))]);
    }
    if !tables.versym.is_empty() {
        list.push((0x6fff_fff0, address(".gnu.version")));
    }
    list.extend(std::iter::repeat_n((0, 0), spec.spare + 1));
    list
}

fn fill(spec: &Spec, tables: &Tables, layout: &mut Layout, relative: u64) {
    let word = if spec.class == Class::Elf64 { 8 } else { 4 };
    let fresh = || Bytes::new(spec.class, spec.order);
    let (got, data) = (layout.address(".got"), layout.address(".data"));
    let zero = if spec.bss > 0 { layout.address(".bss") + layout.size(".bss") - 4 } else { data + 4 };
    let import = (!spec.imports.is_empty()).then_some(got + word);
    let places = Places { text: layout.address(".text"), pointer: got, zero, import };
    layout.fill(".text", code::text(spec, places));

    let mut out = fresh();
    let value = |symbol: &tables::Symbol| match symbol.section {
        "" => 0,
        // A thread's variable is counted from the start of its block.
        ".tdata" => symbol.value,
        name => layout.address(name) + symbol.value,
    };
    for symbol in &tables.symbols {
        put_symbol(
            &mut out,
            spec,
            symbol.name_offset,
            symbol.info,
            layout.index(symbol.section),
            value(symbol),
            symbol.size,
        );
    }
    let dynsym = out.data;

    let (strings, offsets) = symbol_names(tables);
    let mut out = fresh();
    put_symbol(&mut out, spec, 0, 0, 0, 0, 0);
    for (index, section) in layout.sections().enumerate().filter(|(_, section)| section.flags & ALLOC != 0) {
        put_symbol(&mut out, spec, 0, STT_SECTION, index as u32 + 1, section.address, 0);
    }
    for (symbol, &name) in tables.symbols.iter().zip(&offsets).filter(|(symbol, _)| !symbol.section.is_empty()) {
        put_symbol(&mut out, spec, name, symbol.info, layout.index(symbol.section), value(symbol), symbol.size);
    }
    let symtab = out.data;

    let mut out = fresh();
    // The pointer: relocated by the loader, or final in a program with fixed addresses.
    let in_place = spec.kind == Kind::Exec
        || spec.kind == Kind::Static
        || spec.machine.relocations().is_none_or(|kinds| !kinds.addend);
    out.word(if in_place { data } else { 0 });
    for _ in &spec.imports {
        out.word(0);
    }
    let got_bytes = out.data;

    let mut out = fresh();
    for (tag, value) in dynamic(spec, tables, Some(layout), relative) {
        // A negative distance (DT_MIPS_RLD_MAP_REL) wraps within the word.
        out.word(tag).word(if word == 4 { value & 0xffff_ffff } else { value });
    }
    let dynamic_bytes = out.data;

    let mut out = fresh();
    if let Some(kinds) = spec.machine.relocations() {
        let shift = if word == 8 { 32 } else { 8 };
        let mut put = |offset: u64, symbol: u64, kind: u32, addend: u64| {
            out.word(offset).word(symbol << shift | u64::from(kind));
            if kinds.addend {
                out.word(addend);
            }
        };
        if relative > 0 {
            put(got, 0, kinds.relative, data);
        }
        for index in 0..spec.imports.len() as u64 {
            put(got + word * (index + 1), index + 1, kinds.symbol, 0);
        }
    }
    let relocations = out.data;

    let mut numbers = fresh();
    numbers.u32(code::BASE_ANSWER).u32(0);
    let mut data_bytes = numbers.data;
    let size = layout.size(".data");
    data_bytes.extend((data_bytes.len() as u64..size).map(|index| (index as u8) | 0x21));
    let mut tdata = fresh();
    tdata.u32(0x7157).u32(0x7258);
    let mut names = Strings::new(false);
    for section in layout.sections() {
        names.add(section.name.as_bytes());
    }
    let relocation_section = if layout.find(".rela.dyn").is_some() { ".rela.dyn" } else { ".rel.dyn" };
    for (name, bytes) in [
        (".dynsym", dynsym),
        (".symtab", symtab),
        (".strtab", strings.data),
        (".shstrtab", names.data),
        (".comment", COMMENT.to_vec()),
        (".got", got_bytes),
        (".dynamic", dynamic_bytes),
        (relocation_section, relocations),
        (".data", data_bytes),
        (".tdata", tdata.data),
        (".rld_map", vec![0; word as usize]),
    ] {
        layout.fill(name, bytes);
    }
    if matches!(spec.kind, Kind::DebugFile | Kind::DebugFileKeepingSizes) {
        for section in
            layout.sections_mut().filter(|section| section.flags & ALLOC != 0 && section.kind != layout::NOTE)
        {
            section.kind = NOBITS;
        }
    }
}

fn program_header(spec: &Spec, layout: &Layout, entry: Entry) -> ProgramHeader {
    let word = if spec.class == Class::Elf64 { 8 } else { 4 };
    let zero = ProgramHeader { kind: 0, flags: 0, offset: 0, address: 0, file_size: 0, memory_size: 0, align: 0 };
    let over = |kind: u32, flags: u32, name: &str| {
        let section = layout.find(name).expect("the spec asked for this section");
        ProgramHeader {
            kind,
            flags,
            offset: section.offset,
            address: section.address,
            file_size: section.size,
            memory_size: section.size,
            align: section.align,
        }
    };
    match entry {
        Entry::Phdr => {
            let start = if word == 8 { 64 } else { 52 };
            let size = layout.table_end - start;
            ProgramHeader {
                kind: 6,
                flags: 4,
                offset: start,
                address: spec.base + start,
                file_size: size,
                memory_size: size,
                align: word,
            }
        }
        Entry::Interp => over(3, 4, ".interp"),
        Entry::Load(index) => {
            let segment = &layout.segments[index];
            ProgramHeader {
                kind: 1,
                flags: segment.flags,
                offset: segment.offset,
                address: segment.address,
                file_size: segment.file_size,
                memory_size: segment.memory_size,
                align: segment.align,
            }
        }
        Entry::Dynamic => over(2, 6, ".dynamic"),
        Entry::Note(name) => over(4, 4, name),
        Entry::Property => over(0x6474_e553, 4, ".note.gnu.property"),
        Entry::Tls => {
            let tls = over(7, 4, ".tdata");
            // `.tbss` follows `.tdata` in the thread's block.
            let end = layout.find(".tbss").map_or(0, |section| section.address + section.size);
            ProgramHeader { memory_size: end - tls.address, ..tls }
        }
        Entry::Stack => ProgramHeader { kind: 0x6474_e551, flags: 6, align: 16, ..zero },
        Entry::Relro => {
            let writable = layout.segments.iter().find(|segment| segment.flags & 2 != 0).expect("there is data");
            let got = layout.find(".got").expect("there is a GOT");
            let size = got.address + got.size - writable.address;
            let (offset, address) = (writable.offset, writable.address);
            ProgramHeader { kind: 0x6474_e552, flags: 4, offset, address, file_size: size, memory_size: size, align: 1 }
        }
        Entry::EmptyNote => ProgramHeader { kind: 4, flags: 4, align: 4, ..zero },
        Entry::Null => zero,
    }
}

fn write(spec: &Spec, layout: &Layout, entries: &[Entry]) -> Vec<u8> {
    // Slack behind whatever comes last would be a payload.
    let mut end = layout.segments.iter().map(|segment| segment.offset + segment.file_size).max().unwrap_or(0);
    if spec.headers != Headers::None {
        let table = if spec.class == Class::Elf64 { 64 } else { 40 } * (layout.sections().count() as u64 + 1);
        end = layout
            .loose
            .iter()
            .map(|section| section.offset + section.size)
            .fold(end.max(layout.headers_at + table), u64::max);
    }
    let mut file = vec![0u8; end as usize];
    let mut put = |at: u64, bytes: &[u8]| file[at as usize..][..bytes.len()].copy_from_slice(bytes);
    put(layout.table_end, &vec![spec.gap.1; spec.gap.0 as usize]);
    let entry_point = layout.address(".text") + code::START;
    let counts = (entries.len() as u16, layout.sections().count() as u16 + 1, layout.index(".shstrtab") as u16);
    let elf_type = if matches!(spec.kind, Kind::Exec | Kind::Static) { 2 } else { 3 };
    let table = if spec.class == Class::Elf64 { 64 } else { 52 };
    let entry_point = if spec.kind == Kind::Library { 0 } else { entry_point };
    let mut head = header(spec, elf_type, entry_point, table, layout.headers_at, counts);
    for &entry in entries {
        put_program_header(&mut head, spec, &program_header(spec, layout, entry));
    }
    put(0, &head.data);
    for section in layout.sections().filter(|section| section.kind != NOBITS) {
        put(section.offset, &section.bytes);
    }
    if spec.headers != Headers::None {
        put(layout.headers_at, &section_headers(spec, layout));
    }
    file.extend_from_slice(&spec.overlay);
    file
}
