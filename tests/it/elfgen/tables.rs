//! What lies in the read-only sections: strings, symbols, hash tables, versions, notes.

use super::bytes::Bytes;
use super::choices::{Class, Kind, Tag};
use super::code;
use super::machine::Machine;
use super::spec::{Note, Spec};
use super::strings::Strings;

pub(crate) const STT_OBJECT: u8 = 1;
pub(crate) const STT_FUNC: u8 = 2;
pub(crate) const STT_SECTION: u8 = 3;
pub(crate) const STT_TLS: u8 = 6;

#[derive(Clone, Debug)]
pub(crate) struct Symbol {
    pub(crate) name: Vec<u8>,
    pub(crate) name_offset: u64,
    /// Binding and type as in `st_info`.
    pub(crate) info: u8,
    /// Empty for an undefined symbol.
    pub(crate) section: &'static str,
    /// Distance from the start of its section.
    pub(crate) value: u64,
    pub(crate) size: u64,
    pub(crate) version: u16,
}

/// The tables of one image, complete but for addresses.
#[derive(Clone, Debug)]
pub(crate) struct Tables {
    pub(crate) strings: Strings,
    pub(crate) symbols: Vec<Symbol>,
    pub(crate) needed: Vec<u64>,
    pub(crate) soname: Option<u64>,
    pub(crate) paths: Vec<(Tag, u64)>,
    pub(crate) string_tags: Vec<(u64, u64)>,
    pub(crate) hash: Vec<u8>,
    pub(crate) gnu_hash: Vec<u8>,
    pub(crate) versym: Vec<u8>,
    pub(crate) verneed: Vec<u8>,
    pub(crate) verdef: Vec<u8>,
}

impl Tables {
    pub(crate) fn new(spec: &Spec) -> Self {
        let mut strings = Strings::new(spec.merge_tails);
        let half = spec.dead.len() / 2;
        // The path first, so that a later name can be its tail; it never reuses other bytes itself.
        let paths = spec.paths.iter().map(|(tag, path)| (*tag, path_offset(&mut strings, path))).collect();
        strings.dead(&spec.dead[..half]);
        let needed = spec.needed.iter().map(|name| strings.add(name.as_bytes())).collect();
        let soname = spec.soname.as_ref().map(|name| strings.add(name.as_bytes()));
        let string_tags = spec.string_tags.iter().map(|(tag, text)| (*tag, strings.add(text.as_bytes()))).collect();
        let mut symbols = symbols(spec);
        let buckets = buckets(&symbols);
        let first_defined = symbols.iter().position(|symbol| !symbol.section.is_empty()).unwrap_or(symbols.len());
        symbols[first_defined..].sort_by_key(|symbol| gnu_hash_of(&symbol.name) % buckets);
        for symbol in &mut symbols {
            symbol.name_offset = strings.add(&symbol.name);
        }
        let verneed = verneed(spec, &mut strings);
        let verdef = verdef(spec, &mut strings);
        strings.dead(&spec.dead[half..]);
        let versym = versym(spec, &symbols);
        let hash = if spec.hash { sysv_hash(spec, &symbols) } else { Vec::new() };
        let gnu_hash = if spec.gnu_hash { gnu_hash(spec, &symbols, first_defined, buckets) } else { Vec::new() };
        Self { strings, symbols, needed, soname, paths, string_tags, hash, gnu_hash, versym, verneed, verdef }
    }
}

/// An empty path is the empty string at 0, as linkers write it.
fn path_offset(strings: &mut Strings, path: &[u8]) -> u64 {
    if path.is_empty() { 0 } else { strings.append(path) }
}

fn symbols(spec: &Spec) -> Vec<Symbol> {
    let needs_version = u16::from(!spec.verneed.is_empty()) * (spec.verdef.len() as u16 + 1) + 1;
    let defined_version = if spec.verdef.is_empty() { 1 } else { 2 };
    let mut list =
        vec![Symbol { name: Vec::new(), name_offset: 0, info: 0, section: "", value: 0, size: 0, version: 0 }];
    let mut push = |name: &str, kind: u8, section: &'static str, value: u64, size: u64, version: u16| {
        let name = name.as_bytes().to_vec();
        list.push(Symbol { name, name_offset: 0, info: 0x10 | kind, section, value, size, version });
    };
    for name in &spec.imports {
        push(name, STT_FUNC, "", 0, 0, needs_version);
    }
    push("probe", STT_FUNC, ".text", code::PROBE, code::PROBE_SIZE, defined_version);
    push("answer_data", STT_OBJECT, ".data", 0, 4, defined_version);
    if spec.answer.is_some() {
        push("which", STT_FUNC, ".text", code::WHICH, code::WHICH_SIZE, defined_version);
    }
    if spec.tls {
        push("tls_value", STT_TLS, ".tdata", 0, 4, defined_version);
    }
    for (at, name, code) in code::functions(spec) {
        push(name, STT_FUNC, ".text", at, code.len() as u64, defined_version);
    }
    for name in &spec.exports {
        push(name, STT_OBJECT, ".data", 0, 4, defined_version);
    }
    list
}

fn buckets(symbols: &[Symbol]) -> u32 {
    (symbols.len() as u32 / 2).max(1)
}

fn sysv_hash_of(name: &[u8]) -> u32 {
    name.iter().fold(0u32, |sum, &byte| {
        let sum = (sum << 4).wrapping_add(u32::from(byte));
        let high = sum & 0xf000_0000;
        (sum ^ (high >> 24)) & !high
    })
}

fn gnu_hash_of(name: &[u8]) -> u32 {
    name.iter().fold(5381u32, |sum, &byte| sum.wrapping_mul(33).wrapping_add(u32::from(byte)))
}

fn sysv_hash(spec: &Spec, symbols: &[Symbol]) -> Vec<u8> {
    let count = buckets(symbols) as usize;
    let mut heads = vec![0u64; count];
    let mut chains = vec![0u64; symbols.len()];
    for (index, symbol) in symbols.iter().enumerate().skip(1) {
        let bucket = sysv_hash_of(&symbol.name) as usize % count;
        chains[index] = std::mem::replace(&mut heads[bucket], index as u64);
    }
    let mut out = Bytes::new(spec.class, spec.order);
    for value in [count as u64, symbols.len() as u64].into_iter().chain(heads).chain(chains) {
        if spec.machine.wide_hash() && spec.class == Class::Elf64 {
            out.u64(value);
        } else {
            out.u32(value as u32);
        }
    }
    out.data
}

fn gnu_hash(spec: &Spec, symbols: &[Symbol], first: usize, buckets: u32) -> Vec<u8> {
    const SHIFT: u32 = 6;
    let bits = if spec.class == Class::Elf64 { 64 } else { 32 };
    let hashes: Vec<u32> = symbols[first..].iter().map(|symbol| gnu_hash_of(&symbol.name)).collect();
    let bloom = hashes.iter().fold(0u64, |word, &hash| word | 1 << (hash % bits) | 1 << ((hash >> SHIFT) % bits));
    let mut out = Bytes::new(spec.class, spec.order);
    out.u32(buckets).u32(first as u32).u32(1).u32(SHIFT).word(bloom);
    for bucket in 0..buckets {
        let head = hashes.iter().position(|hash| hash % buckets == bucket);
        out.u32(head.map_or(0, |index| (index + first) as u32));
    }
    for (index, hash) in hashes.iter().enumerate() {
        let last = hashes.get(index + 1).is_none_or(|next| next % buckets != hash % buckets);
        out.u32(hash & !1 | u32::from(last));
    }
    out.data
}

fn versym(spec: &Spec, symbols: &[Symbol]) -> Vec<u8> {
    if spec.verneed.is_empty() && spec.verdef.is_empty() {
        return Vec::new();
    }
    let mut out = Bytes::new(spec.class, spec.order);
    for symbol in symbols {
        out.u16(symbol.version);
    }
    out.data
}

fn verneed(spec: &Spec, strings: &mut Strings) -> Vec<u8> {
    let mut files: Vec<&str> = Vec::new();
    for (file, _) in &spec.verneed {
        if !files.contains(&file.as_str()) {
            files.push(file);
        }
    }
    let mut out = Bytes::new(spec.class, spec.order);
    // 0 is local, 1 is global, then the definitions, then these.
    let mut index = spec.verdef.len() as u16 + 2;
    for (number, file) in files.iter().enumerate() {
        let versions: Vec<_> = spec.verneed.iter().filter(|(of, _)| of == file).collect();
        let last = number + 1 == files.len();
        let next = if last { 0 } else { 16 + 16 * versions.len() as u32 };
        out.u16(1).u16(versions.len() as u16).u32(strings.add(file.as_bytes()) as u32).u32(16).u32(next);
        for (number, (_, version)) in versions.iter().enumerate() {
            let next = if number + 1 == versions.len() { 0 } else { 16 };
            let name = strings.add(version.as_bytes()) as u32;
            out.u32(sysv_hash_of(version.as_bytes())).u16(0).u16(index).u32(name).u32(next);
            index += 1;
        }
    }
    out.data
}

pub(crate) fn verneed_files(spec: &Spec) -> u32 {
    let mut files: Vec<&str> = spec.verneed.iter().map(|(file, _)| file.as_str()).collect();
    files.sort_unstable();
    files.dedup();
    files.len() as u32
}

fn verdef(spec: &Spec, strings: &mut Strings) -> Vec<u8> {
    if spec.verdef.is_empty() {
        return Vec::new();
    }
    let base = spec.soname.as_deref().unwrap_or("libgen.so.1");
    let mut out = Bytes::new(spec.class, spec.order);
    let names: Vec<&str> = std::iter::once(base).chain(spec.verdef.iter().map(String::as_str)).collect();
    for (number, name) in names.iter().enumerate() {
        let next = if number + 1 == names.len() { 0 } else { 28 };
        let flags = u16::from(number == 0);
        out.u16(1).u16(flags).u16(number as u16 + 1).u16(1).u32(sysv_hash_of(name.as_bytes())).u32(20).u32(next);
        out.u32(strings.add(name.as_bytes()) as u32).u32(0);
    }
    out.data
}

/// One note: header, owner, descriptor, each padded to `align`.
fn note(spec: &Spec, owner: &[u8], kind: u32, descriptor: &[u8], align: u64) -> Vec<u8> {
    let mut out = Bytes::new(spec.class, spec.order);
    out.u32(owner.len() as u32).u32(descriptor.len() as u32).u32(kind);
    out.raw(owner).pad_to(4, 0).raw(descriptor).pad_to(align, 0);
    out.data
}

pub(crate) fn build_id(spec: &Spec) -> Vec<u8> {
    let id: Vec<u8> = (0u8..20).map(|byte| byte.wrapping_mul(7).wrapping_add(1)).collect();
    note(spec, b"GNU\0", 3, &id, 4)
}

pub(crate) fn property(spec: &Spec) -> Vec<u8> {
    let mut descriptor = Bytes::new(spec.class, spec.order);
    match spec.machine {
        // IBT and SHSTK; BTI and PAC.
        Machine::X86_64 | Machine::I386 => descriptor.u32(0xc000_0002).u32(4).u32(3),
        Machine::Aarch64 | Machine::Aarch64Be => descriptor.u32(0xc000_0000).u32(4).u32(3),
        // GNU_PROPERTY_STACK_SIZE is the one property that every machine has.
        _ => descriptor.u32(1).u32(if spec.class == Class::Elf64 { 8 } else { 4 }).word(0x1_0000),
    };
    let align = if spec.class == Class::Elf64 { 8 } else { 4 };
    descriptor.pad_to(align, 0);
    note(spec, b"GNU\0", 5, &descriptor.data, align)
}

/// `.note.nixos.ldcache`: pairs of NUL-terminated strings, closed by one more NUL.
pub(crate) fn ldcache(spec: &Spec) -> Option<Vec<u8>> {
    let pairs = spec.ldcache.as_ref()?;
    let mut descriptor = Vec::new();
    for (soname, places) in pairs {
        for text in [soname, places] {
            descriptor.extend_from_slice(text.as_bytes());
            descriptor.push(0);
        }
    }
    descriptor.push(0);
    descriptor.resize(descriptor.len() + spec.ldcache_room, 0);
    Some(note(spec, b"NixOS\0", 0x63a8_6cb6, &descriptor, 4))
}

/// A note that a spec gives; what `n_descsz` claims too much is not there.
pub(crate) fn other_note(spec: &Spec, wanted: &Note) -> Vec<u8> {
    let owner = [wanted.owner.as_bytes(), b"\0"].concat();
    let mut bytes = note(spec, &owner, wanted.kind, &wanted.descriptor, 4);
    if wanted.overrun > 0 {
        let claimed =
            Bytes::new(spec.class, spec.order).u32(wanted.descriptor.len() as u32 + wanted.overrun).data.clone();
        bytes[4..8].copy_from_slice(&claimed);
    }
    bytes
}

/// `.rodata`: filler without a NUL, then the texts.
pub(crate) fn constants(spec: &Spec) -> Vec<u8> {
    let mut out: Vec<u8> = (0..spec.rodata).map(|index| (index as u8) | 0x11).collect();
    for text in &spec.texts {
        out.push(0);
        out.extend_from_slice(text);
        out.push(0);
    }
    out
}

/// The core file's only note, so that readers find what they expect.
pub(crate) fn core_note(spec: &Spec) -> Vec<u8> {
    assert_eq!(spec.kind, Kind::Core, "only a core file has it");
    note(spec, b"CORE\0", 6, &[0; 32], 4)
}

/// `.gnu.liblist` as prelink writes it: one record whose name is the path's string.
pub(crate) fn library_list(spec: &Spec, tables: &Tables) -> Vec<u8> {
    let mut out = Bytes::new(spec.class, spec.order);
    out.u32(tables.paths.first().map_or(0, |(_, offset)| *offset as u32)).u32(0).u32(0).u32(0).u32(0);
    out.data
}
