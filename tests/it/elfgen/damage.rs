//! Finds the fields of an image, so that a test can put anything into one of them.

use super::choices::{Class, Order};
use super::read::{Image, PT_DYNAMIC};

/// An image to be spoiled. Positions are those of the image as it was built.
#[derive(Clone, Debug)]
pub(crate) struct Damage {
    pub(crate) image: Image,
    pub(crate) bytes: Vec<u8>,
}

/// Offset and size of a field in the file.
pub(crate) type Field = (u64, u64);

impl Damage {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let image = Image::parse(bytes).expect("a sound image");
        Self { image, bytes: bytes.to_vec() }
    }

    /// Of a file.
    pub(crate) fn of(file: &std::path::Path) -> Self {
        let image = Image::read(file);
        Self { bytes: image.data.clone(), image }
    }

    pub(crate) fn word(&self) -> u64 {
        if self.image.class == Class::Elf64 { 8 } else { 4 }
    }

    pub(crate) fn put(mut self, field: Field, value: u64) -> Self {
        self.write(field, value);
        self
    }

    pub(crate) fn write(&mut self, (at, size): Field, value: u64) {
        let little = value.to_le_bytes();
        let target = &mut self.bytes[at as usize..][..size as usize];
        target.copy_from_slice(&little[..size as usize]);
        if self.image.order == Order::Big {
            target.reverse();
        }
    }

    pub(crate) fn get(&self, (at, size): Field) -> u64 {
        let mut bytes = self.bytes[at as usize..][..size as usize].to_vec();
        if self.image.order == Order::Little {
            bytes.reverse();
        }
        bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }

    /// A field of the ELF header, by its gABI name.
    pub(crate) fn header(&self, name: &str) -> Field {
        let word = self.word();
        let halves = 24 + 3 * word + 4;
        match name {
            "e_type" => (16, 2),
            "e_machine" => (18, 2),
            "e_version" => (20, 4),
            "e_entry" => (24, word),
            "e_phoff" => (24 + word, word),
            "e_shoff" => (24 + 2 * word, word),
            "e_ehsize" => (halves, 2),
            "e_phentsize" => (halves + 2, 2),
            "e_phnum" => (halves + 4, 2),
            "e_shentsize" => (halves + 6, 2),
            "e_shnum" => (halves + 8, 2),
            "e_shstrndx" => (halves + 10, 2),
            _ => panic!("no field {name}"),
        }
    }

    /// A field of program header `index`.
    pub(crate) fn segment(&self, index: usize, name: &str) -> Field {
        let wide = self.word() == 8;
        let start = self.image.table + index as u64 * self.image.entry_size();
        let (at, size) = match (name, wide) {
            ("p_type", _) => (0, 4),
            ("p_flags", true) => (4, 4),
            ("p_flags", false) => (24, 4),
            ("p_offset", true) => (8, 8),
            ("p_offset", false) => (4, 4),
            ("p_vaddr", true) => (16, 8),
            ("p_vaddr", false) => (8, 4),
            ("p_filesz", true) => (32, 8),
            ("p_filesz", false) => (16, 4),
            ("p_memsz", true) => (40, 8),
            ("p_memsz", false) => (20, 4),
            ("p_align", true) => (48, 8),
            ("p_align", false) => (28, 4),
            _ => panic!("no field {name}"),
        };
        (start + at, size)
    }

    /// The index of the `nth` program header of a type.
    pub(crate) fn segment_index(&self, kind: u32, nth: usize) -> usize {
        let mut found = self.image.segments.iter().enumerate().filter(|(_, segment)| segment.kind == kind);
        found.nth(nth).unwrap_or_else(|| panic!("no program header {kind:#x} {nth}")).0
    }

    /// A field of section header `index`.
    pub(crate) fn section(&self, index: usize, name: &str) -> Field {
        let word = self.word();
        let start = self.image.section_table + index as u64 * (16 + 6 * word);
        let (at, size) = match name {
            "sh_name" => (0, 4),
            "sh_type" => (4, 4),
            "sh_flags" => (8, word),
            "sh_addr" => (8 + word, word),
            "sh_offset" => (8 + 2 * word, word),
            "sh_size" => (8 + 3 * word, word),
            "sh_link" => (8 + 4 * word, 4),
            "sh_info" => (12 + 4 * word, 4),
            "sh_addralign" => (16 + 4 * word, word),
            "sh_entsize" => (16 + 5 * word, word),
            _ => panic!("no field {name}"),
        };
        (start + at, size)
    }

    pub(crate) fn section_index(&self, name: &str) -> Option<usize> {
        let wanted = self.image.section(name)?;
        self.image.sections.iter().position(|section| section == wanted)
    }

    /// Tag and value of the dynamic entry at `index`, those behind the terminator included.
    pub(crate) fn dynamic(&self, index: usize) -> (Field, Field) {
        let word = self.word();
        let range = self.image.segments[self.segment_index(PT_DYNAMIC, 0)];
        let at = range.offset + index as u64 * 2 * word;
        assert!(at + 2 * word <= range.offset + range.file_size, "no dynamic entry {index}");
        ((at, word), (at + word, word))
    }

    /// Where the value of the first entry with `tag` lies.
    pub(crate) fn value_of(&self, tag: u64) -> Option<Field> {
        let index = self.image.dynamic.iter().position(|(known, _)| *known == tag)?;
        Some(self.dynamic(index).1)
    }

    /// File offset of what a dynamic tag points to.
    pub(crate) fn target_of(&self, tag: u64) -> Option<u64> {
        self.image.offset_of(self.image.tag(tag)?)
    }

    /// Half of the address space: where signed and unsigned readings part.
    pub(crate) fn half(&self) -> u64 {
        1 << (self.word() * 8 - 1)
    }

    pub(crate) fn max(&self) -> u64 {
        if self.word() == 8 { u64::MAX } else { u64::from(u32::MAX) }
    }
}
