//! Who asks for a driver library: what an object's data and code say, beside its dynamic section and its notes.
//!
//! `search` finds names in any bytes, `literals` decides about those without a NUL, `immediates` and `pieces` find those
//! that are put together in code, `built` those that are nowhere. `python` reads scripts. Everything costs one fast pass
//! over data and one over code; more is read only of objects in which a name was found that needs it.

mod built;
mod immediates;
mod literals;
mod pieces;
mod places;
pub(crate) mod python;
mod search;

use bstr::BString;

use self::immediates::Immediates;
use self::literals::{Literals, SIXTEEN};
use self::search::{Hit, NameSearch};
use crate::elf::view::ElfView;

/// No file name is longer on Linux (`PATH_MAX`).
const LONGEST_PATH: usize = 4096;

/// A program opens a handful by their paths.
const MOST_PATHS: usize = 4096;

/// How an object asks; the more certain first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub enum RequestKind {
    /// DT_NEEDED: the loader resolves it.
    Needed,
    /// `.note.dlopen` says so (owner FDO, type 0x407c0c0a).
    Note,
    /// The name stands in its data, NUL-terminated.
    String,
    /// The name stands in its data without a NUL, and something refers to its first byte.
    Literal,
    /// Its machine code puts the name together from immediates.
    Code,
    /// The name is made at run time: only the names of the library's functions stand in the file.
    Built,
}

impl RequestKind {
    /// The word used in every output format.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The searches for a list of names, prepared once.
#[derive(Clone, Debug)]
pub(super) struct Searches {
    search: NameSearch,
    /// Of the names behind the list, which are the first sixteen bytes of one in it, the place of that one.
    sixteen: Vec<usize>,
    immediates: Immediates,
}

impl Searches {
    pub(super) fn new(names: &[String]) -> Self {
        let mut all = names.to_vec();
        let mut sixteen = Vec::new();
        for (index, name) in names.iter().enumerate() {
            if let Some(first) = name.get(..SIXTEEN).filter(|first| name.len() > SIXTEEN && first.contains(".so")) {
                all.push(first.to_owned());
                sixteen.push(index);
            }
        }
        Self { search: NameSearch::new(&all), sixteen, immediates: Immediates::new() }
    }
}

/// What an object's data and code say.
#[derive(Clone, Debug, Default)]
pub(super) struct FoundNames {
    /// How each name of the list is asked for.
    pub(super) kinds: Vec<Option<RequestKind>>,
    /// Absolute paths of driver libraries.
    pub(super) hardcoded: Vec<BString>,
}

impl FoundNames {
    pub(super) fn note(&mut self, index: Option<usize>, kind: RequestKind) {
        if let Some(slot) = index.and_then(|index| self.kinds.get_mut(index)) {
            *slot = Some(slot.map_or(kind, |known| known.min(kind)));
        }
    }

    /// Adds what data and code of an object say of the names of the list for which the searches were made; `can_open`
    /// says whether it can call dlopen itself.
    pub(super) fn look(&mut self, view: &ElfView<'_>, names: &[String], searches: &Searches, can_open: bool) {
        let data = places::of_data(view);
        let mut literals = Literals::default();
        for (index, place) in data.iter().enumerate() {
            let bytes = place.bytes;
            searches.search.each(bytes, |hit| {
                let is_name = hit.name < names.len();
                if is_name && bytes.get(hit.end) == Some(&0) {
                    // A name may be the tail of a longer string: only its end is anchored.
                    self.note(Some(hit.name), RequestKind::String);
                    let is_room = self.hardcoded.len() < MOST_PATHS;
                    self.hardcoded.extend(is_room.then(|| absolute_path(bytes, hit)).flatten());
                } else if !can_open {
                    // Without a NUL a name can be handed to no other object's dlopen: it is a list's (this program's own).
                } else if is_name {
                    literals.consider(place, index, hit);
                } else if let Some(whole) = hit.name.checked_sub(names.len()).and_then(|at| searches.sixteen.get(at)) {
                    literals.consider_sixteen(place, index, Hit { name: *whole, ..hit }, names);
                }
            });
        }
        let code = places::of_code(view);
        literals.forget(|name| self.kinds.get(name).is_some_and(Option::is_some));
        for literal in literals.confirmed(view, names, &data, &code) {
            let text = data.get(literal.place).and_then(|place| place.bytes.get(literal.start..literal.end));
            let is_path = text.is_some_and(|text| text.starts_with(b"/"));
            self.hardcoded.extend(text.filter(|_| is_path).map(BString::from));
            let kind = if literal.is_completed_by_code { RequestKind::Code } else { RequestKind::Literal };
            self.note(Some(literal.name), kind);
        }
        for place in &code {
            let found = |name| self.note(Some(name), RequestKind::Code);
            match view.header.e_machine {
                literals::X86_64 => searches.immediates.x86_64(place.bytes, names, found),
                literals::AARCH64 => searches.immediates.aarch64(place.bytes, names, found),
                _ => {}
            }
        }
        if self.kinds.iter().all(Option::is_none) {
            for soname in built::sonames(view, &data, &code) {
                self.note(names.iter().position(|name| name == soname), RequestKind::Built);
            }
        }
    }
}

/// An object's constants and variables, without its code and its device code.
pub(super) fn data_of<'a>(view: &ElfView<'a>) -> impl Iterator<Item = &'a [u8]> {
    places::of_data(view).into_iter().map(|place| place.bytes)
}

/// Driver libraries that are named in any bytes, for files that have no dynamic section to say more.
pub(super) fn names_in<'b>(
    parts: impl Iterator<Item = &'b [u8]>,
    names: &[String],
    searches: &Searches,
) -> Vec<String> {
    let mut found = vec![false; names.len()];
    for bytes in parts {
        searches.search.each(bytes, |hit| {
            if let Some(seen) = found.get_mut(hit.name) {
                *seen |= bytes.get(hit.end) == Some(&0);
            }
        });
    }
    names.iter().zip(found).filter(|(_, seen)| *seen).map(|(name, _)| name.clone()).collect()
}

/// The whole string around a name, when it is an absolute path that ends in it.
fn absolute_path(data: &[u8], hit: Hit) -> Option<BString> {
    let before = data.get(hit.start.saturating_sub(LONGEST_PATH)..hit.start)?;
    let before = before.rsplit(|byte| *byte == 0).next()?;
    let first = hit.start.checked_sub(before.len())?;
    let is_path = before.starts_with(b"/") && before.ends_with(b"/") && before.iter().all(u8::is_ascii_graphic);
    let path = data.get(first..hit.end)?;
    is_path.then(|| path.into())
}
