//! Which symbols an object's relocations ask for, and when the loader looks for them (gABI 5.2 "Relocation").

use bstr::{BStr, ByteSlice};
use goblin::elf::header;

use super::error::{Field, ParseError};
use super::load_map;
use super::record::dt;
use super::references::{Symbols, dynamic_symbols};
use super::symbol_tables::{IndexedVersion, SymbolRecord, VersionIndex, gnu_hash};
use super::units::{Address, FileRange, StringOffset, len64};
use super::versions::{HIDDEN, SymbolVersions};
use super::view::ElfView;

/// When a symbol is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Binding {
    /// When the object is loaded.
    AtLoad,
    /// At the first call.
    Lazy,
}

/// A symbol that an object asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Import {
    start: usize,
    len: usize,
    /// By which DT_VERSYM names the version.
    pub(crate) version: u16,
    /// Of the name.
    pub(crate) gnu_hash: u32,
    /// When, unless the whole object binds at once.
    pub(crate) binding: Binding,
    /// It may stay undefined.
    pub(crate) is_weak: bool,
    /// A program takes the library's data into its own: the program itself is not asked.
    pub(crate) is_copy: bool,
    /// Only calls and thread-local data: the address of another object's jump is not good enough.
    pub(crate) is_call: bool,
}

/// All of an object.
#[derive(Clone, Debug, Default)]
pub(crate) struct Imports {
    names: Vec<u8>,
    /// In the order of the symbol table.
    pub(crate) list: Vec<Import>,
    versions: VersionIndex,
    /// DF_BIND_NOW or DF_1_NOW: all at load.
    pub(crate) binds_now: bool,
}

const DT_BIND_NOW: u64 = 24;
const DF_BIND_NOW: u64 = 8;
const DF_1_NOW: u64 = 1;
/// No linker writes a table of this size.
const LARGEST: u64 = 1 << 32;

const AT_LOAD: u8 = 1;
const LAZY: u8 = 2;
const COPY: u8 = 4;
const ADDRESS: u8 = 8;

impl Imports {
    /// Reads the relocations that name symbols.
    ///
    /// # Errors
    /// [`ParseError`] for tables that are not in the file, and for symbols, names or versions that are none.
    pub(crate) fn of(view: &ElfView<'_>) -> Result<Self, ParseError> {
        let versions = VersionIndex::of(&SymbolVersions::parse(view)?);
        let flags = |tag| view.dynamic.value(tag).unwrap_or(0);
        let binds_now = view.dynamic.value(DT_BIND_NOW).is_some()
            || flags(dt::DT_FLAGS) & DF_BIND_NOW != 0
            || flags(dt::DT_FLAGS_1) & DF_1_NOW != 0;
        let mut imports = Self { versions, binds_now, ..Self::default() };
        let Some(table) = symbol_table(view)? else { return Ok(imports) };
        let size = usize::try_from(view.encoding.symbol_size()).unwrap_or(24);
        let mut marks = Marks::of(view, table.len().checked_div(size).unwrap_or(0));
        if view.header.e_machine == header::EM_MIPS {
            // Its loader takes them from the global offset table, without relocations.
            marks.all.fill(LAZY);
        } else {
            marks.tables()?;
        }
        imports.take(view, table, &marks.all)?;
        Ok(imports)
    }

    /// Some of them, by their places in the list.
    #[must_use]
    pub(crate) fn only(&self, places: &[usize]) -> Self {
        let mut some = Self { binds_now: self.binds_now, ..Self::default() };
        if places.is_empty() {
            return some;
        }
        some.versions = self.versions.clone();
        for import in places.iter().filter_map(|place| self.list.get(*place)) {
            let start = some.names.len();
            some.names.extend_from_slice(self.name(import));
            some.list.push(Import { start, ..*import });
        }
        some
    }

    /// The name of one of them.
    #[must_use]
    pub(crate) fn name(&self, import: &Import) -> &BStr {
        let end = import.start.saturating_add(import.len);
        self.names.get(import.start..end).unwrap_or_default().as_bstr()
    }

    /// The versions that they can want, in the order of their indices.
    pub(crate) fn versions(&self) -> impl Iterator<Item = (u16, &IndexedVersion)> {
        self.versions.iter()
    }

    /// The version that it wants.
    #[must_use]
    pub(crate) fn version(&self, import: &Import) -> Option<&IndexedVersion> {
        self.versions.get(import.version)
    }

    fn take(&mut self, view: &ElfView<'_>, table: &[u8], marks: &[u8]) -> Result<(), ParseError> {
        let encoding = view.encoding;
        let size = usize::try_from(encoding.symbol_size()).unwrap_or(24);
        let versym = view.dynamic.value(dt::DT_VERSYM).map(|address| {
            let bytes = load_map::file_range_from(&view.segments, Address::new(address));
            bytes.and_then(|range| range.of(view.bytes)).unwrap_or_default()
        });
        let bound = view.strings.size().saturating_mul(8).saturating_add(1 << 16);
        for (index, mark) in marks.iter().enumerate().filter(|(_, mark)| **mark != 0) {
            let at = index.saturating_mul(size);
            let Some(symbol) = table.get(at..).and_then(|rest| SymbolRecord::read(rest, encoding)) else { continue };
            let binding = symbol.info >> 4;
            let is_own = binding == 0 || matches!(symbol.other & 3, 1 | 2);
            let is_copy = mark & COPY != 0;
            if is_own || (symbol.section != 0 && !is_copy) {
                continue;
            }
            let Some(name) = view.strings.get(StringOffset::new(u64::from(symbol.name))) else {
                return Err(view.strings.reference_error("st_name of a dynamic symbol", u64::from(symbol.name)));
            };
            // Names share tails at most; a few kilobytes must not become gigabytes.
            if len64(&self.names).saturating_add(len64(name)) > bound {
                let field = Field::of("symbol", index, "st_name");
                let relation = "names together with the other symbols more bytes than";
                return Err(ParseError::Contradiction { field, value: u64::from(symbol.name), relation, bound });
            }
            let version = match versym {
                None => 0,
                Some(versym) => {
                    let Some(entry) = index.checked_mul(2).and_then(|at| encoding.u16_at(versym, at)) else {
                        return Err(ParseError::PastEnd {
                            field: Field::of("symbol", index, "DT_VERSYM"),
                            value: u64::try_from(index).unwrap_or(u64::MAX).saturating_mul(2),
                            bound: len64(versym),
                        });
                    };
                    self.versions.of_symbol(index, entry & !HIDDEN)?;
                    entry & !HIDDEN
                }
            };
            let start = self.names.len();
            self.names.extend_from_slice(name);
            self.list.push(Import {
                start,
                len: name.len(),
                version,
                gnu_hash: gnu_hash(name),
                binding: if mark & AT_LOAD != 0 { Binding::AtLoad } else { Binding::Lazy },
                is_weak: binding == 2,
                is_copy,
                is_call: mark & ADDRESS == 0,
            });
        }
        Ok(())
    }
}

fn symbol_table<'a>(view: &ElfView<'a>) -> Result<Option<&'a [u8]>, ParseError> {
    let unreadable = || {
        let address = view.dynamic.value(dt::DT_SYMTAB).unwrap_or(0);
        ParseError::value("DT_SYMTAB", address, "the address of a table in the file part of one PT_LOAD")
    };
    let range = match dynamic_symbols(view) {
        Symbols::None => return Ok(None),
        Symbols::Table(range) => Some(range),
        // What the relocations name is in the segment, or nowhere.
        Symbols::UnknownLength => {
            let address = Address::new(view.dynamic.value(dt::DT_SYMTAB).unwrap_or(0));
            load_map::file_range_from(&view.segments, address)
        }
        Symbols::Unreadable => None,
    };
    let range = range.filter(|range| range.len() <= LARGEST).ok_or_else(unreadable)?;
    range.of(view.bytes).map(Some).ok_or_else(unreadable)
}

/// The types of relocations that are not like the others.
struct Types {
    copy: u32,
    call: u32,
    /// Of thread-local data.
    tls: &'static [u32],
}

impl Types {
    fn of(machine: u16) -> Option<Self> {
        const EM_LOONGARCH: u16 = 258;
        let of = |copy, call, tls| Some(Self { copy, call, tls });
        match machine {
            header::EM_X86_64 => of(5, 7, &[16, 17, 18, 36]),
            header::EM_386 => of(5, 7, &[14, 35, 36, 37, 41]),
            header::EM_AARCH64 => of(1024, 1026, &[1028, 1029, 1030, 1031]),
            header::EM_ARM => of(20, 22, &[13, 17, 18, 19]),
            header::EM_PPC64 | header::EM_PPC => of(19, 21, &[68, 73, 78]),
            header::EM_RISCV | EM_LOONGARCH => of(4, 5, &[6, 7, 8, 9, 10, 11]),
            header::EM_S390 => of(9, 11, &[54, 55, 56]),
            header::EM_SPARCV9 => of(19, 21, &[74, 75, 76, 77, 78, 79]),
            _ => None,
        }
    }
}

/// A table as the dynamic section tells it.
#[derive(Clone, Copy)]
struct RelocationTable {
    name: &'static str,
    address: u64,
    size: u64,
}

impl RelocationTable {
    fn end(self) -> Option<u64> {
        self.address.checked_add(self.size)
    }
}

/// For each symbol, what asks for it.
struct Marks<'v, 'a> {
    view: &'v ElfView<'a>,
    types: Option<Types>,
    all: Vec<u8>,
}

impl<'v, 'a> Marks<'v, 'a> {
    fn of(view: &'v ElfView<'a>, count: usize) -> Self {
        Self { view, types: Types::of(view.header.e_machine), all: vec![0; count] }
    }

    fn tables(&mut self) -> Result<(), ParseError> {
        let value = |tag| self.view.dynamic.value(tag);
        let table = |name, tag, size_tag| Some(RelocationTable { name, address: value(tag)?, size: value(size_tag)? });
        let jumps = table("DT_JMPREL", dt::DT_JMPREL, dt::DT_PLTRELSZ);
        let jumps_have_addends = value(dt::DT_PLTREL) == Some(dt::DT_RELA);
        for (name, tag, size_tag, count_tag, has_addends) in [
            ("DT_RELA", dt::DT_RELA, dt::DT_RELASZ, dt::DT_RELACOUNT, true),
            ("DT_REL", dt::DT_REL, dt::DT_RELSZ, dt::DT_RELCOUNT, false),
        ] {
            let Some(mut table) = table(name, tag, size_tag) else { continue };
            // Some linkers count the jumps at its end to it (glibc elf/dynamic-link.h).
            if let Some(jumps) = jumps.filter(|jumps| has_addends == jumps_have_addends && jumps.end() == table.end()) {
                table.size = table.size.saturating_sub(jumps.size);
            }
            self.table(table, has_addends, value(count_tag).unwrap_or(0), false)?;
        }
        jumps.map_or(Ok(()), |jumps| self.table(jumps, jumps_have_addends, 0, true))
    }

    fn table(
        &mut self,
        table: RelocationTable,
        has_addends: bool,
        skip: u64,
        is_of_jumps: bool,
    ) -> Result<(), ParseError> {
        let view = self.view;
        let RelocationTable { name, address, size } = table;
        if size == 0 {
            return Ok(());
        }
        let range = load_map::file_range(&view.segments, Address::new(address), size);
        let bytes = range.filter(|range| range.len() <= LARGEST).and_then(|range: FileRange| range.of(view.bytes));
        let Some(bytes) = bytes else {
            return Err(ParseError::Contradiction {
                field: Field::single(name),
                value: address,
                relation: "is not in the file part of one PT_LOAD together with so many bytes:",
                bound: size,
            });
        };
        let word = usize::try_from(view.encoding.word_size()).unwrap_or(8);
        let record = word.saturating_mul(if has_addends { 3 } else { 2 });
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        for entry in bytes.chunks_exact(record).skip(skip) {
            let Some(info) = view.encoding.word_at(entry, word) else { continue };
            let (symbol, kind) =
                if view.encoding.is_64 { (info >> 32, info & 0xffff_ffff) } else { (info >> 8, info & 0xff) };
            if symbol != 0 {
                self.mark(symbol, u32::try_from(kind).unwrap_or(0), is_of_jumps)?;
            }
        }
        Ok(())
    }

    fn mark(&mut self, symbol: u64, kind: u32, is_of_jumps: bool) -> Result<(), ParseError> {
        let mark = match &self.types {
            // R_*_NONE
            _ if kind == 0 => 0,
            Some(types) if kind == types.copy => AT_LOAD | COPY,
            // Outside of DT_JMPREL they are as any other.
            Some(types) if kind == types.call => {
                if is_of_jumps {
                    LAZY
                } else {
                    AT_LOAD
                }
            }
            Some(types) if types.tls.contains(&kind) => AT_LOAD,
            None if is_of_jumps => LAZY,
            Some(_) | None => AT_LOAD | ADDRESS,
        };
        let count = len64(&self.all);
        let Some(known) = usize::try_from(symbol).ok().and_then(|index| self.all.get_mut(index)) else {
            return Err(ParseError::Contradiction {
                field: Field::single("the symbol of a relocation"),
                value: symbol,
                relation: "is not below the number of dynamic symbols,",
                bound: count,
            });
        };
        *known |= mark;
        Ok(())
    }
}
