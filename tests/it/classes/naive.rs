//! Editors that do what seems enough, each in a few lines: a layout counts only when one of them, or a real one, breaks
//! it.

use super::layouts::{Edit, answer_after};
use crate::elfgen::damage::Damage;
use crate::elfgen::read::Image;
use crate::elfgen::{Machine, Order, Packing, Spec};

const DT_NULL: u64 = 0;
const DT_STRTAB: u64 = 5;
const DT_STRSZ: u64 = 10;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;
const PT_LOAD: u64 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_PHDR: u32 = 6;
pub(super) const READ: u64 = 4;
pub(super) const WRITE: u64 = 2;
/// The smallest of any machine, and the largest, both of which some take for all.
const SMALL_PAGE: u64 = 0x1000;
const LARGE_PAGE: u64 = 0x1_0000;

/// Where the one program header goes for which the table has no room.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    /// Over whatever lies behind the table.
    Grows,
    /// With all others to the end of the file.
    Moves,
}

/// Which address a new segment gets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Behind {
    /// The page behind the highest address.
    Memory,
    /// The page, taken to be a small one, behind the last byte that comes from the file: what is zero-initialised is
    /// not seen.
    FileBytes,
}

/// A file while it is edited: fields are found in the image as it was, and written to the bytes.
struct Draft(Damage);

impl Draft {
    fn new(bytes: &[u8]) -> Self {
        Self(Damage::new(bytes))
    }

    fn image(&self) -> &Image {
        &self.0.image
    }

    fn put(&mut self, field: (u64, u64), value: u64) {
        self.0.write(field, value);
    }

    /// Writes the value of the first entry with `tag`, where there is one.
    fn set(&mut self, tag: u64, value: u64) {
        if let Some(field) = self.0.value_of(tag) {
            self.put(field, value);
        }
    }

    /// The dynamic string table with one more string, and that string's offset.
    fn strings_with(&self, path: &str) -> (Vec<u8>, u64) {
        let mut strings = self.image().string_table().expect("a string table");
        let at = strings.len() as u64;
        strings.extend_from_slice(path.as_bytes());
        strings.push(0);
        (strings, at)
    }

    /// Appends bytes in a new PT_LOAD and gives their file offset and address.
    fn append(&mut self, content: &[u8], flags: u64, table: Table, behind: Behind) -> (u64, u64) {
        let entry = self.image().entry_size();
        let old_table: Vec<u8> = {
            let (start, len) = (self.image().table as usize, self.image().segments.len() * entry as usize);
            self.0.bytes[start..start + len].to_vec()
        };
        let count = self.image().segments.len();
        let reserved = if table == Table::Moves { old_table.len() as u64 + entry } else { 0 };
        let aligned = self.0.bytes.len().next_multiple_of(16);
        self.0.bytes.resize(aligned, 0);
        let offset = self.0.bytes.len() as u64;
        let (ends, page): (Vec<u64>, u64) = match behind {
            Behind::Memory => (self.image().loads().map(|load| load.address + load.memory_size).collect(), LARGE_PAGE),
            Behind::FileBytes => (self.image().loads().map(|load| load.address + load.file_size).collect(), SMALL_PAGE),
        };
        let address = ends.into_iter().max().expect("a PT_LOAD").next_multiple_of(page) + offset % page;
        self.0.bytes.resize((offset + reserved) as usize, 0);
        self.0.bytes.extend_from_slice(content);
        if table == Table::Moves {
            self.0.bytes[offset as usize..][..old_table.len()].copy_from_slice(&old_table);
            self.put(self.0.header("e_phoff"), offset);
            self.0.image.table = offset;
            if let Some(own) = self.image().segments.iter().position(|segment| segment.kind == PT_PHDR) {
                let fields =
                    [("p_offset", offset), ("p_vaddr", address), ("p_filesz", reserved), ("p_memsz", reserved)];
                fields.into_iter().for_each(|(name, value)| self.put(self.0.segment(own, name), value));
            }
        }
        let size = reserved + content.len() as u64;
        for (name, value) in [
            ("p_type", PT_LOAD),
            ("p_flags", flags),
            ("p_offset", offset),
            ("p_vaddr", address),
            ("p_filesz", size),
            ("p_memsz", size),
            ("p_align", page),
        ] {
            self.put(self.0.segment(count, name), value);
        }
        self.put(self.0.header("e_phnum"), count as u64 + 1);
        (offset + reserved, address + reserved)
    }

    /// Appends the string table with the path; the path's offset in it.
    fn append_strings(&mut self, path: &str, table: Table, behind: Behind) -> u64 {
        let (strings, at) = self.strings_with(path);
        let (_, address) = self.append(&strings, READ, table, behind);
        self.set(DT_STRTAB, address);
        self.set(DT_STRSZ, strings.len() as u64);
        at
    }

    fn bytes(self) -> Vec<u8> {
        self.0.bytes
    }
}

/// A copy of the string table in a new PT_LOAD at the end of the file.
pub(super) fn append(bytes: &[u8], path: &str, table: Table, behind: Behind) -> Vec<u8> {
    let mut edit = Draft::new(bytes);
    let at = edit.append_strings(path, table, behind);
    edit.set(DT_RUNPATH, at);
    edit.bytes()
}

/// [`append`] over whatever lies behind the program header table.
pub(super) fn grows(bytes: &[u8], path: &str) -> Vec<u8> {
    append(bytes, path, Table::Grows, Behind::Memory)
}

/// [`append`] with the program header table at the end of the file.
pub(super) fn moves(bytes: &[u8], path: &str) -> Vec<u8> {
    append(bytes, path, Table::Moves, Behind::Memory)
}

/// As [`append`], where only a path of one tag is looked for and the other tag is not known.
pub(super) fn set_rpath_only(bytes: &[u8], path: &str) -> Vec<u8> {
    let mut edit = Draft::new(bytes);
    let at = edit.append_strings(path, Table::Moves, Behind::Memory);
    edit.set(DT_RPATH, at);
    edit.bytes()
}

/// The new path over the old one, where it is no longer than that.
pub(super) fn overwrite(bytes: &[u8], path: &str) -> Vec<u8> {
    let image = Image::parse(bytes).expect("a sound image");
    let old = image.runpath().expect("a path");
    assert!(path.len() <= old.len(), "{path} is longer than the old path");
    let string = image.tag(DT_RUNPATH).or(image.tag(DT_RPATH)).expect("a path");
    let start = image.offset_of(image.tag(DT_STRTAB).expect("a table") + string).expect("a mapped string") as usize;
    let mut edited = bytes.to_vec();
    edited[start..start + old.len()].fill(0);
    edited[start..start + path.len()].copy_from_slice(path.as_bytes());
    edited
}

/// A path for an object without one: the dynamic section moves into a new segment, with one more entry.
pub(super) fn move_dynamic(bytes: &[u8], path: &str, flags: u64, table: Table) -> Vec<u8> {
    let mut edit = Draft::new(bytes);
    let (mut content, at) = edit.strings_with(path);
    let strings = content.len() as u64;
    content.resize(content.len().next_multiple_of(16), 0);
    let dynamic_at = content.len() as u64;
    let entries = edit.image().dynamic.len();
    let word = edit.0.word();
    content.resize((dynamic_at + (entries as u64 + 2) * 2 * word) as usize, 0);
    let (offset, address) = edit.append(&content, flags, table, Behind::Memory);
    let mut list = edit.image().dynamic.clone();
    list.push((DT_RUNPATH, at));
    for (index, (tag, value)) in list.into_iter().enumerate() {
        let value = match tag {
            DT_STRTAB => address,
            DT_STRSZ => strings,
            _ => value,
        };
        let entry = offset + dynamic_at + index as u64 * 2 * word;
        edit.put((entry, word), tag);
        edit.put((entry + word, word), value);
    }
    let own = edit.0.segment_index(PT_DYNAMIC, 0);
    let size = (entries as u64 + 2) * 2 * word;
    let (at, to) = (offset + dynamic_at, address + dynamic_at);
    for (name, value) in [("p_offset", at), ("p_vaddr", to), ("p_filesz", size), ("p_memsz", size)] {
        edit.put(edit.0.segment(own, name), value);
    }
    edit.bytes()
}

/// A path for an object without one: the new entry goes where the terminator is, spare or not.
pub(super) fn add_entry(bytes: &[u8], path: &str) -> Vec<u8> {
    let mut edit = Draft::new(bytes);
    let at = edit.append_strings(path, Table::Moves, Behind::Memory);
    let (tag, value) = edit.0.dynamic(edit.image().dynamic.len());
    assert_eq!(edit.0.get(tag), DT_NULL);
    edit.put(tag, DT_RUNPATH);
    edit.put(value, at);
    edit.bytes()
}

/// As [`append`], on a machine of the other byte order, by an editor that writes numbers as this machine does.
pub(super) fn append_in_host_order(bytes: &[u8], path: &str) -> Vec<u8> {
    let mut edit = Draft::new(bytes);
    edit.0.image.order = Order::Little;
    let at = edit.append_strings(path, Table::Grows, Behind::Memory);
    edit.set(DT_RUNPATH, at);
    edit.bytes()
}

/// The string table built anew from what the editor knows: names of symbols, libraries and paths, but not of versions.
pub(super) fn rebuild_strings(bytes: &[u8], path: &str) -> Vec<u8> {
    let mut edit = Draft::new(bytes);
    let image = edit.image().clone();
    let mut strings = vec![0];
    let mut add = |text: &[u8]| {
        let at = strings.len() as u64;
        strings.extend_from_slice(text);
        strings.push(0);
        at
    };
    let symbol_size = if edit.0.word() == 8 { 24 } else { 16 };
    let symbols = image.offset_of(image.tag(6).expect("DT_SYMTAB")).expect("mapped symbols");
    for (place, text) in image.strings().expect("strings") {
        if let Some(index) = place.strip_prefix("symbol ") {
            let index: u64 = index.parse().expect("a number");
            let at = add(&text);
            edit.put((symbols + index * symbol_size, 4), at);
        }
    }
    for (index, (tag, value)) in image.dynamic.iter().enumerate() {
        let text = match *tag {
            1 | 14 => image.string(*value).expect("a name"),
            DT_RUNPATH => path.as_bytes().to_vec(),
            _ => continue,
        };
        let at = add(&text);
        edit.put(edit.0.dynamic(index).1, at);
    }
    let (_, address) = edit.append(&strings, READ, Table::Moves, Behind::Memory);
    edit.set(DT_STRTAB, address);
    edit.set(DT_STRSZ, strings.len() as u64);
    edit.bytes()
}

/// Where nothing is in its way each of them makes a file that works, so what it breaks elsewhere is the layout's doing.
#[test]
fn naive_editors_work_where_nothing_is_in_their_way() {
    let test = "naive_editors_work_where_nothing_is_in_their_way";
    let easy = Spec::library(Machine::X86_64).gap(64, 0).packing(Packing::Padded);
    let with_path = easy.clone().runpath("$ORIGIN/old").verdef("GEN_1.0");
    let program = Spec::pie(Machine::X86_64).gap(64, 0).runpath("$ORIGIN/old");
    let over_bss: Edit<'_> = &|bytes, path| append(bytes, path, Table::Grows, Behind::FileBytes);
    let dynamic: Edit<'_> = &|bytes, path| move_dynamic(bytes, path, READ | WRITE, Table::Grows);
    let longer = with_path.clone().runpath(format!("$ORIGIN/old:/{}", "x".repeat(300)));
    let cases: [(&str, Spec, Edit<'_>); 8] = [
        ("grows", with_path.clone(), &grows),
        ("grows, file bytes", with_path, over_bss),
        ("moves", program, &moves),
        ("overwrite", longer, &overwrite),
        ("move dynamic", easy.clone(), dynamic),
        ("add entry", easy.clone(), &add_entry),
        ("rebuild strings", easy.clone().runpath("$ORIGIN/old"), &rebuild_strings),
        ("rpath only", easy.rpath("$ORIGIN/old"), &set_rpath_only),
    ];
    for (name, spec, edit) in cases {
        if let Some(answer) = answer_after(&spec, edit, test) {
            assert_eq!(answer, Ok(42), "{name}");
        }
    }
}
