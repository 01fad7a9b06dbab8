//! The dynamic string table, and which of its bytes a reference still names.

use bstr::{BStr, ByteSlice};

use super::dynamic::Dynamic;
use super::error::{Field, ParseError};
use super::load_map;
use super::record::{Section, Segment, dt, sht};
use super::units::{Address, FileRange, StringOffset, len64};

/// The table that DT_STRTAB names.
#[derive(Clone, Debug)]
pub(crate) struct StringTable<'a> {
    /// Its bytes, the last of which is NUL.
    pub(crate) bytes: &'a [u8],
    /// Where they lie in the file.
    pub(crate) range: FileRange,
    /// DT_STRTAB.
    pub(crate) address: Address,
    /// Index of its section header, where there are section headers.
    pub(crate) section: Option<usize>,
    /// DT_STRSZ and `sh_size` agree; where they do not, readers see different tables, so nothing in it is free.
    pub(crate) sizes_agree: bool,
}

/// The largest libraries have some fifty MiB of names. An edit has a bit for each byte of the table in memory, and where
/// it moves the table, its bytes.
const LARGEST: u64 = 512 << 20;

impl<'a> StringTable<'a> {
    pub(super) fn parse(
        bytes: &'a [u8],
        segments: &[Segment],
        sections: &[Section],
        dynamic: &Dynamic,
    ) -> Result<Self, ParseError> {
        let address = dynamic.value(dt::DT_STRTAB).unwrap_or(0);
        let address = Address::new(address);
        let Some(size) = dynamic.value(dt::DT_STRSZ) else {
            return Err(ParseError::Count {
                what: "DT_STRSZ",
                found: 0,
                expected: "one, because there is a DT_STRTAB",
            });
        };
        if size > LARGEST {
            return Err(ParseError::value("DT_STRSZ", size, "no more than 512 MiB"));
        }
        let outside = |size: u64| ParseError::Contradiction {
            field: Field::single("DT_STRTAB"),
            value: address.get(),
            relation: "is not in the file part of one PT_LOAD together with DT_STRSZ bytes,",
            bound: size,
        };
        let range = load_map::file_range(segments, address, size).ok_or_else(|| outside(size))?;
        let section = find_section(sections, address, range)?;
        let section_size = section.and_then(|index| sections.get(index)).map_or(size, |section| section.size);
        let longest = size.max(section_size);
        if longest > LARGEST {
            return Err(ParseError::value("sh_size of the string table", longest, "no more than 512 MiB"));
        }
        let range = load_map::file_range(segments, address, longest).ok_or_else(|| outside(longest))?;
        let table = range.of(bytes).ok_or_else(|| outside(longest))?;
        if table.last() != Some(&0) {
            let last = table.last().copied().map_or(0, u64::from);
            return Err(ParseError::value("the last byte of the string table (DT_STRTAB, DT_STRSZ)", last, "NUL"));
        }
        let strings = Self { bytes: table, range, address, section, sizes_agree: size == section_size };
        // Names share tails at most: together they are not longer than the table, or one is named again and again.
        let mut named = 0_u64;
        for entry in dynamic.entries.iter().filter(|entry| is_string_tag(entry.tag)) {
            let Some(text) = strings.get(StringOffset::new(entry.value)) else {
                return Err(strings.reference_error("d_val of a dynamic string tag", entry.value));
            };
            named = named.saturating_add(len64(text));
            if named > strings.size().saturating_mul(2).saturating_add(4096) {
                let relation = "together with the other dynamic string tags names more bytes than twice the table has,";
                let field = Field::single("d_val of a dynamic string tag");
                return Err(ParseError::Contradiction { field, value: entry.value, relation, bound: strings.size() });
            }
        }
        Ok(strings)
    }

    /// The string at an offset, without its NUL; `None` past the end of the table.
    #[must_use]
    pub(crate) fn get(&self, offset: StringOffset) -> Option<&'a BStr> {
        let rest = self.bytes.get(usize::try_from(offset.get()).ok()?..)?;
        let end = rest.find_byte(0)?;
        rest.get(..end).map(ByteSlice::as_bstr)
    }

    /// The table's size in bytes.
    #[must_use]
    pub(crate) fn size(&self) -> u64 {
        len64(self.bytes)
    }

    pub(super) fn reference_error(&self, name: &'static str, value: u64) -> ParseError {
        ParseError::Contradiction {
            field: Field::single(name),
            value,
            relation: "is not below the size of the string table,",
            bound: self.size(),
        }
    }
}

/// With section headers, exactly one of them must describe the table: another reader would find other strings.
fn find_section(sections: &[Section], address: Address, range: FileRange) -> Result<Option<usize>, ParseError> {
    if sections.len() <= 1 {
        return Ok(None);
    }
    let matches = |section: &Section| {
        section.kind == sht::SHT_STRTAB
            && section.is_alloc()
            && section.address == address
            && section.offset == range.start()
    };
    let mut found = sections.iter().enumerate().filter(|(_, section)| matches(section)).map(|(index, _)| index);
    match (found.next(), found.count()) {
        (Some(index), 0) => Ok(Some(index)),
        (first, more) => Err(ParseError::Count {
            what: "allocated SHT_STRTAB sections at DT_STRTAB's address and offset",
            found: more.saturating_add(usize::from(first.is_some())),
            expected: "exactly one",
        }),
    }
}

/// Sun's filters: libraries that stand in front of the object.
pub(crate) const DT_AUXILIARY: u64 = 0x7fff_fffd;
pub(crate) const DT_FILTER: u64 = 0x7fff_ffff;

/// Tags whose value is an offset into the string table (gABI 5.4; glibc elf/elf.h for the GNU and Sun ones).
#[must_use]
pub(crate) fn is_string_tag(tag: u64) -> bool {
    const DT_CONFIG: u64 = 0x6fff_fefa;
    const DT_DEPAUDIT: u64 = 0x6fff_fefb;
    const DT_AUDIT: u64 = 0x6fff_fefc;
    matches!(
        tag,
        dt::DT_NEEDED
            | dt::DT_SONAME
            | dt::DT_RPATH
            | dt::DT_RUNPATH
            | DT_CONFIG
            | DT_DEPAUDIT
            | DT_AUDIT
            | DT_AUXILIARY
            | DT_FILTER
    )
}
