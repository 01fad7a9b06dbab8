//! Symbol versions: what an object needs of others, and what it defines (gABI extension "Symbol Versioning",
//! `glibc elf/dl-version.c`).
//!
//! Both are chains of records with chains of names. The loader follows them to their ends, whatever the counts say.

use bstr::{BStr, ByteSlice};

use super::error::{Field, ParseError};
use super::load_map;
use super::record::dt;
use super::units::{Address, StringOffset, len64};
use super::view::ElfView;

/// VER_FLG_BASE: the name is the library's own, and no version.
const BASE: u16 = 1;
/// VER_FLG_WEAK: it may be missing.
const WEAK: u16 = 2;
/// The bit of an index that hides it from references without a version.
pub(super) const HIDDEN: u16 = 0x8000;

/// Where a name stands among all of an object: twenty thousand objects have a few each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VersionName {
    start: usize,
    end: usize,
}

/// A version that an object needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NeededVersion {
    /// `vna_name`
    pub(crate) name: VersionName,
    /// `vna_hash`, by which the loader looks for it.
    pub(crate) hash: u32,
    /// VER_FLG_WEAK
    pub(crate) is_weak: bool,
    /// By which DT_VERSYM names it.
    pub(crate) index: u16,
    /// References with it match only what has exactly this version.
    pub(crate) is_hidden: bool,
}

/// What an object needs of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VersionNeed {
    /// `vn_file`
    pub(crate) file: VersionName,
    first: usize,
    count: usize,
}

/// A version that an object defines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DefinedVersion {
    /// `vda_name`
    pub(crate) name: VersionName,
    /// `vd_hash`
    pub(crate) hash: u32,
    /// By which DT_VERSYM names it.
    pub(crate) index: u16,
    /// VER_FLG_BASE
    pub(crate) is_base: bool,
}

/// All that an object says about versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SymbolVersions {
    text: Vec<u8>,
    /// DT_VERNEED
    pub(crate) needs: Vec<VersionNeed>,
    needed: Vec<NeededVersion>,
    /// DT_VERDEF; `None` without one: glibc takes such a library for any version.
    pub(crate) definitions: Option<Vec<DefinedVersion>>,
}

/// SymbolVersions of one object: an index has 15 bits.
const MOST_VERSIONS: usize = 0x7fff;

/// Bytes of a file's name or of a version: no longer path can be opened (PATH_MAX).
const LONGEST_NAME: u64 = 4096;

impl SymbolVersions {
    /// Reads both tables.
    ///
    /// # Errors
    /// [`ParseError`] for a chain that leaves the file, a record of another layout, a name that is none.
    pub(crate) fn parse(view: &ElfView<'_>) -> Result<Self, ParseError> {
        let mut versions = Self::default();
        let mut names = Names { view, count: 0 };
        if let Some(address) = view.dynamic.value(dt::DT_VERNEED) {
            versions.read_needs(Chain::at(view, "DT_VERNEED", address)?, &mut names)?;
        }
        if let Some(address) = view.dynamic.value(dt::DT_VERDEF) {
            versions.read_definitions(Chain::at(view, "DT_VERDEF", address)?, &mut names)?;
        }
        Ok(versions)
    }

    /// A name.
    #[must_use]
    pub(crate) fn name(&self, name: VersionName) -> &BStr {
        self.text.get(name.start..name.end).unwrap_or_default().as_bstr()
    }

    /// The versions of a need, in the order of the table.
    #[must_use]
    pub(crate) fn of_need(&self, need: &VersionNeed) -> &[NeededVersion] {
        self.needed.get(need.first..need.first.saturating_add(need.count)).unwrap_or_default()
    }

    /// Whether a version that another object needs is defined, or everything is (`glibc elf/dl-version.c`,
    /// `match_symbol`).
    #[must_use]
    pub(crate) fn meets(&self, other: &Self, version: &NeededVersion) -> bool {
        self.definitions.as_ref().is_none_or(|definitions| {
            let name = other.name(version.name);
            definitions.iter().any(|defined| defined.hash == version.hash && self.name(defined.name) == name)
        })
    }

    fn read_needs(&mut self, chain: Chain<'_>, names: &mut Names<'_, '_>) -> Result<(), ParseError> {
        let mut at = 0_usize;
        loop {
            chain.expect_one(at, "vn_version")?;
            let file = names.take("vn_file", chain.word(at, 4)?, &mut self.text)?;
            let first = self.needed.len();
            let mut aux = chain.step(at, chain.word(at, 8)?)?;
            loop {
                let other = chain.half(aux, 6)?;
                self.needed.push(NeededVersion {
                    hash: chain.word(aux, 0)?,
                    is_weak: chain.half(aux, 4)? & WEAK != 0,
                    index: other & !HIDDEN,
                    is_hidden: other & HIDDEN != 0,
                    name: names.take("vna_name", chain.word(aux, 8)?, &mut self.text)?,
                });
                match chain.word(aux, 12)? {
                    0 => break,
                    next => aux = chain.step(aux, next)?,
                }
            }
            self.needs.push(VersionNeed { file, first, count: self.needed.len().saturating_sub(first) });
            match chain.word(at, 12)? {
                0 => return Ok(()),
                next => at = chain.step(at, next)?,
            }
        }
    }

    fn read_definitions(&mut self, chain: Chain<'_>, names: &mut Names<'_, '_>) -> Result<(), ParseError> {
        let mut definitions = Vec::new();
        let mut at = 0_usize;
        loop {
            chain.expect_one(at, "vd_version")?;
            // The first name is the version's; those behind it are what it inherits from, which no loader reads.
            let aux = chain.step(at, chain.word(at, 12)?)?;
            definitions.push(DefinedVersion {
                is_base: chain.half(at, 2)? & BASE != 0,
                index: chain.half(at, 4)? & !HIDDEN,
                hash: chain.word(at, 8)?,
                name: names.take("vda_name", chain.word(aux, 0)?, &mut self.text)?,
            });
            match chain.word(at, 16)? {
                0 => break,
                next => at = chain.step(at, next)?,
            }
        }
        self.definitions = Some(definitions);
        Ok(())
    }
}

/// The bytes from a table to the end of its segment.
#[derive(Clone, Copy)]
struct Chain<'v> {
    tag: &'static str,
    address: u64,
    view: &'v ElfView<'v>,
    bytes: &'v [u8],
}

impl<'v> Chain<'v> {
    fn at(view: &'v ElfView<'v>, tag: &'static str, address: u64) -> Result<Self, ParseError> {
        let range = load_map::file_range_from(&view.segments, Address::new(address));
        let bytes = range.and_then(|range| range.of(view.bytes));
        let bytes = bytes.ok_or_else(|| ParseError::value(tag, address, "an address in the file part of a PT_LOAD"))?;
        Ok(Self { tag, address, view, bytes })
    }

    fn outside(&self) -> ParseError {
        ParseError::Contradiction {
            field: Field::single(self.tag),
            value: self.address,
            relation: "leads to records outside of the PT_LOAD's file part, of which it has bytes:",
            bound: len64(self.bytes),
        }
    }

    fn half(&self, at: usize, within: usize) -> Result<u16, ParseError> {
        let value = at.checked_add(within).and_then(|at| self.view.encoding.u16_at(self.bytes, at));
        value.ok_or_else(|| self.outside())
    }

    fn word(&self, at: usize, within: usize) -> Result<u32, ParseError> {
        let value = at.checked_add(within).and_then(|at| self.view.encoding.u32_at(self.bytes, at));
        value.ok_or_else(|| self.outside())
    }

    /// Offsets only lead forward, so that no chain is a circle.
    fn step(&self, at: usize, by: u32) -> Result<usize, ParseError> {
        usize::try_from(by).ok().and_then(|by| at.checked_add(by)).ok_or_else(|| self.outside())
    }

    /// glibc refuses records of another layout.
    fn expect_one(&self, at: usize, field: &'static str) -> Result<(), ParseError> {
        match self.half(at, 0)? {
            1 => Ok(()),
            other => Err(ParseError::value(field, u64::from(other), "1")),
        }
    }
}

/// Names of one object, which together are not much longer than its string table.
struct Names<'v, 'a> {
    view: &'v ElfView<'a>,
    count: usize,
}

impl Names<'_, '_> {
    fn take(&mut self, field: &'static str, offset: u32, text: &mut Vec<u8>) -> Result<VersionName, ParseError> {
        let strings = &self.view.strings;
        let Some(name) = strings.get(StringOffset::new(u64::from(offset))) else {
            return Err(strings.reference_error(field, u64::from(offset)));
        };
        let length = len64(name);
        if length > LONGEST_NAME {
            let field = Field::single(match field {
                "vn_file" => "the length of vn_file's name",
                "vna_name" => "the length of vna_name's name",
                _ => "the length of vda_name's name",
            });
            let relation = "is larger than";
            return Err(ParseError::Contradiction { field, value: length, relation, bound: LONGEST_NAME });
        }
        let field = Field::single(field);
        self.count = self.count.saturating_add(1);
        if self.count > MOST_VERSIONS {
            let (found, expected) = (self.count, "no more than 32767");
            return Err(ParseError::Count { what: "names in DT_VERNEED and DT_VERDEF", found, expected });
        }
        // Many needs may share one name; a few kilobytes must not become gigabytes.
        let bound = strings.size().saturating_mul(8).saturating_add(1 << 16);
        if len64(text).saturating_add(length) > bound {
            let relation = "names together with the other versions more bytes than";
            return Err(ParseError::Contradiction { field, value: u64::from(offset), relation, bound });
        }
        let start = text.len();
        text.extend_from_slice(name);
        Ok(VersionName { start, end: text.len() })
    }
}
