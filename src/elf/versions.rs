//! Symbol versions: what an object needs of others, and what it defines (gABI extension "Symbol Versioning",
//! `glibc elf/dl-version.c`).
//!
//! Both are chains of records with chains of names. The loader follows them to their ends, whatever the counts say.

use bstr::BString;

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

/// A version that an object needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NeededVersion {
    /// `vna_name`
    pub(crate) name: BString,
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
    pub(crate) file: BString,
    /// The versions, in the order of the table.
    pub(crate) versions: Vec<NeededVersion>,
}

/// A version that an object defines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DefinedVersion {
    /// `vda_name`
    pub(crate) name: BString,
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
    /// DT_VERNEED
    pub(crate) needs: Vec<VersionNeed>,
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
        let mut names = Names { view, named: 0, count: 0 };
        let needs = match view.dynamic.value(dt::DT_VERNEED) {
            Some(address) => needs(Chain::at(view, "DT_VERNEED", address)?, &mut names)?,
            None => Vec::new(),
        };
        let definitions = match view.dynamic.value(dt::DT_VERDEF) {
            Some(address) => Some(definitions(Chain::at(view, "DT_VERDEF", address)?, &mut names)?),
            None => None,
        };
        Ok(Self { needs, definitions })
    }

    /// Whether a version is defined, or everything is (`glibc elf/dl-version.c`, `match_symbol`).
    #[must_use]
    pub(crate) fn meets(&self, version: &NeededVersion) -> bool {
        self.definitions.as_ref().is_none_or(|definitions| {
            definitions.iter().any(|defined| defined.hash == version.hash && defined.name == version.name)
        })
    }
}

fn needs(chain: Chain<'_>, names: &mut Names<'_, '_>) -> Result<Vec<VersionNeed>, ParseError> {
    let mut needs = Vec::new();
    let mut at = 0_usize;
    loop {
        chain.expect_one(at, "vn_version")?;
        let mut need = VersionNeed { file: names.get("vn_file", chain.word(at, 4)?)?, versions: Vec::new() };
        let mut aux = chain.step(at, chain.word(at, 8)?)?;
        loop {
            let other = chain.half(aux, 6)?;
            need.versions.push(NeededVersion {
                hash: chain.word(aux, 0)?,
                is_weak: chain.half(aux, 4)? & WEAK != 0,
                index: other & !HIDDEN,
                is_hidden: other & HIDDEN != 0,
                name: names.get("vna_name", chain.word(aux, 8)?)?,
            });
            match chain.word(aux, 12)? {
                0 => break,
                next => aux = chain.step(aux, next)?,
            }
        }
        needs.push(need);
        match chain.word(at, 12)? {
            0 => return Ok(needs),
            next => at = chain.step(at, next)?,
        }
    }
}

fn definitions(chain: Chain<'_>, names: &mut Names<'_, '_>) -> Result<Vec<DefinedVersion>, ParseError> {
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
            name: names.get("vda_name", chain.word(aux, 0)?)?,
        });
        match chain.word(at, 16)? {
            0 => return Ok(definitions),
            next => at = chain.step(at, next)?,
        }
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
    named: u64,
    count: usize,
}

impl Names<'_, '_> {
    fn get(&mut self, field: &'static str, offset: u32) -> Result<BString, ParseError> {
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
        self.named = self.named.saturating_add(length);
        let bound = strings.size().saturating_mul(8).saturating_add(1 << 16);
        if self.named > bound {
            let relation = "names together with the other versions more bytes than";
            return Err(ParseError::Contradiction { field, value: u64::from(offset), relation, bound });
        }
        Ok(name.to_owned())
    }
}
