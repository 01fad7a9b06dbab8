//! An object's own look-ups in itself: all that reading its symbols can do, for fuzz targets.

use super::error::ParseError;
use super::imports::Imports;
use super::symbol_tables::{LookedUp, MOST_STEPS, Steps, SymbolLayout, Wanted, WantedVersion};
use super::view::ElfView;

/// How many of the symbols that an object asks for it has itself, and in how many steps that is found.
///
/// # Errors
/// [`ParseError`] for tables that contradict themselves.
pub fn own_symbols(view: &ElfView<'_>) -> Result<(usize, u64), ParseError> {
    let imports = Imports::of(view)?;
    let mut layout = SymbolLayout::of(view)?;
    let size = layout.size();
    let tables = layout.copied(view.bytes);
    let mut steps = Steps::new();
    let mut found = 0_usize;
    for import in &imports.list {
        let exact = imports.version(import).map_or(WantedVersion::None, WantedVersion::Exactly);
        for version in [exact, WantedVersion::Any] {
            let (name, gnu_hash) = (imports.name(import), import.gnu_hash);
            let wanted = Wanted { name, gnu_hash, version, takes_jumps: !import.is_call };
            if let LookedUp::Found(definition) = tables.look_up(&wanted, &mut steps)? {
                found = found.saturating_add(1);
                let _ = tables.version_name(definition);
            }
        }
    }
    debug_assert!(size <= super::units::len64(view.bytes).saturating_mul(8), "tables overlap at most");
    Ok((found, MOST_STEPS.saturating_sub(steps.left())))
}
