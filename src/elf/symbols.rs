//! The dynamic symbols' values: which functions an object exports (gABI 4 "Symbol Table").

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

fn exported_function(symbol: &[u8], encoding: Encoding) -> Option<Address> {
    // st_info, st_shndx and st_value: the 32-bit record has them in another order.
    let (info, section, value) = if encoding.is_64 { (4, 6, 8) } else { (12, 14, 4) };
    let info = symbol.get(info).copied()?;
    let is_function = info & 0xf == STT_FUNC && info >> 4 != STB_LOCAL;
    let is_defined = encoding.u16_at(symbol, section)? != SHN_UNDEF;
    (is_function && is_defined).then(|| encoding.word_at(symbol, value).map(Address::new))?
}
