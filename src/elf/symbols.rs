//! The dynamic symbols' values: which functions an object exports (gABI 4 "Symbol Table").

use bstr::ByteSlice;

use super::record::Encoding;
use super::references::{Symbols, dynamic_symbols};
use super::units::Address;
use super::view::ElfView;

const STT_FUNC: u8 = 2;
const STB_LOCAL: u8 = 0;
const SHN_UNDEF: u16 = 0;

/// The addresses of the functions that others can call; none where the length of the table is not known.
pub(crate) fn exported_functions<'a>(view: &'a ElfView<'a>) -> impl Iterator<Item = Address> + 'a {
    let table = match dynamic_symbols(view) {
        Symbols::Table(range) => range.of(view.bytes).unwrap_or_default(),
        Symbols::None | Symbols::UnknownLength | Symbols::Unreadable => &[],
    };
    let size = usize::try_from(view.encoding.symbol_size()).unwrap_or(usize::MAX);
    table.chunks_exact(size).filter_map(|symbol| exported_function(symbol, view.encoding))
}

/// Whether a dynamic symbol has this name. Linkers let a name be the tail of another one (cgo's `_cgo_…_Cfunc_dlopen`).
#[must_use]
pub(crate) fn has_name(view: &ElfView<'_>, name: &str) -> bool {
    let strings = view.strings.bytes;
    let ends = |at: &usize| strings.get(at.saturating_add(name.len())) == Some(&0);
    let is_whole = |at: usize| at.checked_sub(1).is_some_and(|front| strings.get(front) == Some(&0));
    let places: Vec<usize> = strings.find_iter(name).filter(ends).collect();
    if places.is_empty() || places.iter().any(|at| is_whole(*at)) {
        return !places.is_empty();
    }
    let Symbols::Table(range) = dynamic_symbols(view) else { return true };
    let size = usize::try_from(view.encoding.symbol_size()).unwrap_or(usize::MAX);
    let mut symbols = range.of(view.bytes).unwrap_or_default().chunks_exact(size);
    symbols.any(|symbol| {
        let at = view.encoding.u32_at(symbol, 0).and_then(|at| usize::try_from(at).ok());
        at.is_some_and(|at| places.binary_search(&at).is_ok())
    })
}

/// Whether an object defines symbols of all these names for others.
#[must_use]
pub(crate) fn defines(view: &ElfView<'_>, names: &[&str]) -> bool {
    // Nearly every object lacks the first, and the string table tells.
    if !names.iter().all(|name| view.strings.bytes.find(name).is_some()) {
        return false;
    }
    let Symbols::Table(range) = dynamic_symbols(view) else { return false };
    let size = usize::try_from(view.encoding.symbol_size()).unwrap_or(usize::MAX);
    let mut missing: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
    for symbol in range.of(view.bytes).unwrap_or_default().chunks_exact(size) {
        if exported_function(symbol, view.encoding).is_none() {
            continue;
        }
        let at = view.encoding.u32_at(symbol, 0).and_then(|at| usize::try_from(at).ok());
        let rest = at.and_then(|at| view.strings.bytes.get(at..)).unwrap_or_default();
        let is = |name: &&[u8]| rest.strip_prefix(*name).is_some_and(|behind| behind.first() == Some(&0));
        missing.retain(|name| !is(name));
        if missing.is_empty() {
            return true;
        }
    }
    false
}

/// The names of the symbols that an object has from others; none where the length of the table is not known.
pub(crate) fn imported_names<'a>(view: &'a ElfView<'a>) -> impl Iterator<Item = &'a [u8]> + 'a {
    let table = match dynamic_symbols(view) {
        Symbols::Table(range) => range.of(view.bytes).unwrap_or_default(),
        Symbols::None | Symbols::UnknownLength | Symbols::Unreadable => &[],
    };
    let size = usize::try_from(view.encoding.symbol_size()).unwrap_or(usize::MAX);
    let section = if view.encoding.is_64 { 6 } else { 14 };
    table.chunks_exact(size).filter_map(move |symbol| {
        let is_undefined = view.encoding.u16_at(symbol, section)? == SHN_UNDEF;
        let at = view.encoding.u32_at(symbol, 0).filter(|at| is_undefined && *at != 0)?;
        view.strings.bytes.get(usize::try_from(at).ok()?..)?.split(|byte| *byte == 0).next()
    })
}

fn exported_function(symbol: &[u8], encoding: Encoding) -> Option<Address> {
    // st_info, st_shndx and st_value: the 32-bit record has them in another order.
    let (info, section, value) = if encoding.is_64 { (4, 6, 8) } else { (12, 14, 4) };
    let info = symbol.get(info).copied()?;
    let is_function = info & 0xf == STT_FUNC && info >> 4 != STB_LOCAL;
    let is_defined = encoding.u16_at(symbol, section)? != SHN_UNDEF;
    (is_function && is_defined).then(|| encoding.word_at(symbol, value).map(Address::new))?
}
