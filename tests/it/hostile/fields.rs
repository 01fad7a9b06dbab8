//! The ways to spoil an image: one field after the other, one byte after the other.

use super::{Case, Expect, victim};
use crate::elfgen::Class;
use crate::elfgen::damage::{Damage, Field};
use crate::elfgen::read::{Image, PT_DYNAMIC};

/// Damage to one named field, and the words that the message must have.
pub(super) fn named_damage(spec_name: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let original = Damage::new(&victim(spec_name));
    let image = original.image.clone();
    let headers = !image.sections.is_empty();
    let length = original.bytes.len() as u64;
    let mut push = |name: &str, damage: Damage, words: &'static [&'static str]| {
        let expect = if words.is_empty() { Expect::Orderly } else { Expect::Refused(words) };
        cases.push(Case { name: format!("{spec_name}-{name}"), bytes: damage.bytes, expect });
    };
    let d = || original.clone();

    for value in [0, 1, image.entry_size() - 1, image.entry_size() + 1, 0xffff] {
        push(&format!("e_phentsize-{value}"), d().put(d().header("e_phentsize"), value), &["e_phentsize"]);
    }
    for value in [0, 0xffff] {
        push(&format!("e_phnum-{value}"), d().put(d().header("e_phnum"), value), &["e_phnum"]);
    }
    for value in [1, length - 1, length, length + 1, d().half(), d().max(), d().max() - 8] {
        push(&format!("e_phoff-{value:x}"), d().put(d().header("e_phoff"), value), &[]);
    }
    for value in [length, d().half(), d().max(), d().max() - 8] {
        push(
            &format!("e_phoff-beyond-{value:x}"),
            d().put(d().header("e_phoff"), value),
            &["e_phoff", "program header"],
        );
    }
    if headers {
        for value in [1, 63, 0xffff] {
            push(&format!("e_shentsize-{value}"), d().put(d().header("e_shentsize"), value), &["e_shentsize"]);
        }
        push("e_shnum-0", d().put(d().header("e_shnum"), 0), &["e_shnum"]);
        push("e_shnum-ffff", d().put(d().header("e_shnum"), 0xffff), &["e_shnum", "e_shoff", "section header"]);
        for value in [length - 1, length, d().half(), d().max(), d().max() - 8] {
            push(&format!("e_shoff-{value:x}"), d().put(d().header("e_shoff"), value), &["e_shoff", "section header"]);
        }
        for value in [0xff00, 0xffff, 99] {
            push(&format!("e_shstrndx-{value:x}"), d().put(d().header("e_shstrndx"), value), &[]);
        }
        let strings = d().section_index(".dynstr").expect(".dynstr");
        let dynstr = &["dynstr", "DT_STRTAB", "string table", "section header"];
        push("dynstr-is-progbits", d().put(d().section(strings, "sh_type"), 1), dynstr);
        push(
            "dynstr-elsewhere",
            d().put(d().section(strings, "sh_offset"), image.sections[strings].offset + 8),
            dynstr,
        );
        push("dynstr-address", d().put(d().section(strings, "sh_addr"), image.sections[strings].address + 8), dynstr);
        let symbols = d().section_index(".dynsym").expect(".dynsym");
        push(
            "dynsym-huge",
            d().put(d().section(symbols, "sh_size"), d().max()),
            &["dynsym", "sh_size", "symbol", "section"],
        );
        push("dynsym-entsize-0", d().put(d().section(symbols, "sh_entsize"), 0), &[]);
        push("dynsym-entsize-1", d().put(d().section(symbols, "sh_entsize"), 1), &[]);
    }
    named_segments(&original, &mut push);
    named_dynamic(&original, &mut push);
    cases
}

fn named_segments(original: &Damage, push: &mut impl FnMut(&str, Damage, &'static [&'static str])) {
    let d = || original.clone();
    let image = &original.image;
    let length = original.bytes.len() as u64;
    let (first, second) = (d().segment_index(1, 0), d().segment_index(1, 1));
    let load = image.segments[second];
    let page = load.align;
    let words: &[&str] = &["PT_LOAD", "p_vaddr", "p_offset", "p_filesz", "p_memsz", "segment", "program header"];
    push(
        "overlapping",
        d().put(d().segment(second, "p_vaddr"), load.address - page).put(d().segment(first, "p_memsz"), 2 * page),
        words,
    );
    let high =
        image.segments[image.segments.len() - 1].address.max(image.loads().map(|load| load.address).max().unwrap());
    push("descending", d().put(d().segment(first, "p_vaddr"), (high + 16 * page) / page * page), words);
    push(
        "offset-beyond-end",
        d().put(d().segment(second, "p_offset"), load.offset + (length / page + 1) * page),
        words,
    );
    push("offset-half", d().put(d().segment(second, "p_offset"), d().half() + load.offset), words);
    push("filesz-over-memsz", d().put(d().segment(second, "p_memsz"), load.file_size - 1), words);
    push(
        "filesz-huge",
        d().put(d().segment(second, "p_filesz"), d().half()).put(d().segment(second, "p_memsz"), d().half()),
        words,
    );
    push(
        "filesz-max",
        d().put(d().segment(second, "p_filesz"), d().max()).put(d().segment(second, "p_memsz"), d().max()),
        words,
    );
    push("memsz-max", d().put(d().segment(second, "p_memsz"), d().max()), words);
    for align in [3, 0x1001, d().max()] {
        push(&format!("align-{align:x}"), d().put(d().segment(second, "p_align"), align), &["p_align"]);
    }
    let words: &[&str] = if load.offset == load.address { &[] } else { &["p_align", "p_vaddr"] };
    push("align-half", d().put(d().segment(second, "p_align"), d().half()), words);
    push(
        "vaddr-not-offset",
        d().put(d().segment(second, "p_vaddr"), load.address + 4),
        &["p_align", "p_vaddr", "p_offset"],
    );
    let dynamic = d().segment_index(2, 0);
    let range = image.segments[dynamic];
    let words: &[&str] = &["PT_DYNAMIC", "dynamic section", "program header"];
    push("dynamic-beyond-end", d().put(d().segment(dynamic, "p_offset"), length + 8), words);
    push("dynamic-half", d().put(d().segment(dynamic, "p_offset"), d().half()), words);
    push("dynamic-filesz-max", d().put(d().segment(dynamic, "p_filesz"), d().max()), words);
    push("dynamic-odd-size", d().put(d().segment(dynamic, "p_filesz"), range.file_size - 1), &[]);
    let other =
        image.segments.iter().position(|segment| !matches!(segment.kind, 1..=3 | 6)).expect("another program header");
    let mut twice = d().put(d().segment(other, "p_type"), 2);
    for name in ["p_offset", "p_vaddr", "p_filesz", "p_memsz"] {
        let value = twice.get(twice.segment(dynamic, name));
        let field = twice.segment(other, name);
        twice = twice.put(field, value);
    }
    push("two-dynamic", twice, words);
}

fn named_dynamic(original: &Damage, push: &mut impl FnMut(&str, Damage, &'static [&'static str])) {
    let d = || original.clone();
    let image = &original.image;
    let range = image.segments[d().segment_index(2, 0)];
    let entries = (range.file_size / (2 * d().word())) as usize;
    let mut endless = d();
    for index in image.dynamic.len()..entries {
        let field = endless.dynamic(index).0;
        // DT_FLAGS: known, and no string.
        endless = endless.put(field, 30);
    }
    push("no-terminator", endless, &["DT_NULL"]);

    let table: &[&str] = &["DT_STRTAB", "DT_STRSZ", "string table", "dynstr"];
    let strings = d().value_of(5).expect("DT_STRTAB");
    for value in [0x7000_0000, d().half(), d().max()] {
        push(&format!("strtab-{value:x}"), d().put(strings, value), table);
    }
    // One byte further is the tail of every string; only the section header knows better.
    let contradicted = if image.sections.is_empty() { &[] } else { table };
    push("strtab-next", d().put(strings, image.tag(5).unwrap() + 1), contradicted);
    let size = d().value_of(10).expect("DT_STRSZ");
    for value in [d().half(), d().max(), 0x100_0000] {
        push(&format!("strsz-{value:x}"), d().put(size, value), table);
    }
    let last = d().target_of(5).unwrap() + image.tag(10).unwrap() - 1;
    push("strtab-not-terminated", d().put((last, 1), u64::from(b'x')), &["NUL", "terminat", "DT_STRSZ"]);

    for (name, tag) in [("needed", 1), ("soname", 14), ("runpath", 29)] {
        let Some(field) = d().value_of(tag) else { continue };
        for value in [image.tag(10).unwrap(), d().half(), d().max()] {
            push(&format!("{name}-{value:x}"), d().put(field, value), &["DT_", "string", "DT_STRSZ"]);
        }
    }
    let word = d().word();
    let symbol = d().target_of(6).unwrap() + if word == 8 { 24 } else { 16 };
    for value in [image.tag(10).unwrap(), 0x8000_0000, 0xffff_ffff] {
        push(&format!("st_name-{value:x}"), d().put((symbol, 4), value), &["st_name", "symbol", "string"]);
    }
    for (name, tag, value) in
        [("symtab", 6, d().half()), ("symtab", 6, d().max()), ("syment", 11, 1), ("syment", 11, 0)]
    {
        // With section headers the symbols are known without these.
        push(&format!("{name}-{value:x}"), d().put(d().value_of(tag).unwrap(), value), &[]);
    }
    for (name, tag) in [("hash", 4), ("gnu-hash", 0x6fff_fef5)] {
        let (Some(field), Some(start)) = (d().value_of(tag), d().target_of(tag)) else { continue };
        push(&format!("{name}-address-half"), d().put(field, d().half()), &[]);
        push(&format!("{name}-address-max"), d().put(field, d().max()), &[]);
        for at in [0, 4, 8, 12, 16, 20, 24] {
            for value in [0, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff] {
                push(&format!("{name}-word-{at}-{value:x}"), d().put((start + at, 4), value), &[]);
            }
        }
    }
    if let Some(start) = d().target_of(0x6fff_fffe) {
        versions(original, "verneed", start, push);
        let words: &[&str] = &["DT_VERNEED", "verneed", "vn_", "vna_", "version", "string"];
        push("verneed-file-beyond", d().put((start + 4, 4), 0xffff_ffff), words);
        push("verneed-name-beyond", d().put((start + 16 + 8, 4), 0x8000_0000), words);
        push(
            "verneed-cyclic",
            d().put((start + 12, 4), 0xffff_fff0).put(d().value_of(0x6fff_ffff).unwrap(), d().max()),
            &[],
        );
        push("verneed-aux-cyclic", d().put((start + 2, 2), 0xffff).put((start + 28, 4), 0xffff_fff0), &[]);
        push("verneed-address-half", d().put(d().value_of(0x6fff_fffe).unwrap(), d().half()), &[]);
    }
    if let Some(start) = d().target_of(0x6fff_fffc) {
        versions(original, "verdef", start, push);
        let words: &[&str] = &["DT_VERDEF", "verdef", "vd_", "vda_", "version", "string"];
        push("verdef-name-beyond", d().put((start + 20, 4), 0xffff_ffff), words);
        push(
            "verdef-cyclic",
            d().put((start + 16, 4), 0xffff_ffe4).put(d().value_of(0x6fff_fffd).unwrap(), d().max()),
            &[],
        );
        push("verdef-address-half", d().put(d().value_of(0x6fff_fffc).unwrap(), d().half()), &[]);
    }
}

/// Every 32-bit word of the first version records set to what breaks a naive walk.
fn versions(original: &Damage, name: &str, start: u64, push: &mut impl FnMut(&str, Damage, &'static [&'static str])) {
    for at in (0..48).step_by(2) {
        for value in [0, 1, 0x10, 0x7fff, 0xffff] {
            push(&format!("{name}-half-{at:02}-{value:x}"), original.clone().put((start + at, 2), value), &[]);
        }
    }
}

pub(super) fn extreme_values(name: &str) -> Vec<Case> {
    let original = Damage::new(&victim(name));
    let mut fields: Vec<(String, Field)> = Vec::new();
    for field in ["e_entry", "e_phoff", "e_shoff"] {
        fields.push((field.into(), original.header(field)));
    }
    for index in 0..original.image.segments.len() {
        for field in ["p_offset", "p_vaddr", "p_filesz", "p_memsz", "p_align"] {
            fields.push((format!("{index}-{field}"), original.segment(index, field)));
        }
    }
    for index in 0..original.image.sections.len() {
        for field in ["sh_name", "sh_addr", "sh_offset", "sh_size", "sh_link", "sh_info", "sh_addralign", "sh_entsize"]
        {
            fields.push((format!("{index}-{field}"), original.section(index, field)));
        }
    }
    for index in 0..=original.image.dynamic.len() {
        let (tag, value) = original.dynamic(index);
        fields.push((format!("dynamic-{index}-tag"), tag));
        fields.push((format!("dynamic-{index}-value"), value));
    }
    let mut cases = Vec::new();
    for (field, at) in fields {
        let top = 1u64 << (at.1 * 8 - 1);
        let all = top | (top - 1);
        let was = original.get(at);
        for value in [top, top | was, top - 1, all, all - 7, was.wrapping_sub(1) & all, was + 1] {
            let bytes = original.clone().put(at, value).bytes;
            cases.push(Case { name: format!("{name}-{field}-{value:x}"), bytes, expect: Expect::Orderly });
        }
    }
    cases.sort_by(|one, other| one.name.cmp(&other.name));
    cases.dedup_by(|one, other| one.name == other.name);
    cases
}

pub(super) fn every_byte(name: &str) -> Vec<Case> {
    let whole = victim(name);
    let image = Image::parse(&whole).expect("a sound image");
    let dynamic = image.segments.iter().find(|segment| segment.kind == PT_DYNAMIC).expect("PT_DYNAMIC");
    let section_entry = if image.class == Class::Elf64 { 64 } else { 40 };
    let mut ranges = vec![
        (0, image.table + image.segments.len() as u64 * image.entry_size()),
        (image.section_table, image.section_table + image.sections.len() as u64 * section_entry),
        (dynamic.offset, dynamic.offset + dynamic.file_size),
    ];
    for section in
        [".gnu.version_r", ".gnu.version_d", ".gnu.hash", ".hash", ".dynsym", ".dynstr", ".note.gnu.build-id"]
    {
        ranges.extend(image.section(section).map(|section| (section.offset, section.offset + section.size)));
    }
    let mut cases = Vec::new();
    for at in ranges.into_iter().flat_map(|(start, end)| start..end) {
        for value in [0x00, 0x7f, 0x80, 0xff] {
            if whole[at as usize] != value {
                let mut bytes = whole.clone();
                bytes[at as usize] = value;
                cases.push(Case { name: format!("{name}-{at:05}-{value:02x}"), bytes, expect: Expect::Orderly });
            }
        }
    }
    cases
}
