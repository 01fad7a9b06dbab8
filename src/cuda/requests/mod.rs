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
mod python_text;
pub(super) mod release;
mod search;
mod wide;

use bstr::BString;

use self::immediates::Immediates;
use self::literals::{Literals, SIXTEEN};
use self::release::{is_release, is_version};
use self::search::{Hit, NameSearch};
use self::wide::WideNames;
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
    /// Of the names behind those, which are the beginning of one in the list up to its `.so`, the place of that one.
    stems: Vec<usize>,
    /// Of the names behind those, which are all of one in the list but its `lib`, the place of that one.
    bare: Vec<usize>,
    immediates: Immediates,
    wide: WideNames,
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
        let mut stems = Vec::new();
        for (index, name) in names.iter().enumerate() {
            if let Some((stem, rest)) = name.split_once(".so")
                && is_version(rest.as_bytes())
            {
                all.push(format!("{stem}.so"));
                stems.push(index);
            }
        }
        let mut bare = Vec::new();
        for (index, name) in names.iter().enumerate() {
            if let Some(rest) = name.strip_prefix("lib").filter(|rest| BARE.iter().any(|start| rest.starts_with(start)))
            {
                all.push(rest.to_owned());
                bare.push(index);
            }
        }
        let search = NameSearch::new(&all);
        Self { search, sixteen, stems, bare, immediates: Immediates::new(), wide: WideNames::new() }
    }

    /// The library of the list that is meant by a hit that is no whole name of it, but the beginning of one.
    fn part(&self, names: &[String], hit: Hit) -> Option<NamePart> {
        let behind = hit.name.checked_sub(names.len())?;
        let Some(behind) = behind.checked_sub(self.sixteen.len()) else {
            return self.sixteen.get(behind).copied().map(NamePart::Sixteen);
        };
        match behind.checked_sub(self.stems.len()) {
            None => self.stems.get(behind).copied().map(NamePart::Stem),
            Some(bare) => self.bare.get(bare).copied().map(NamePart::Bare),
        }
    }
}

/// The beginning of a name.
#[derive(Clone, Copy, Debug)]
enum NamePart {
    /// Sixteen bytes.
    Sixteen(usize),
    /// Up to `.so`.
    Stem(usize),
    /// All but its `lib`.
    Bare(usize),
}

/// Of these libraries the name without `lib` counts: a program puts that in front, or a directory and that.
const BARE: [&str; 2] = ["cuda.so", "nvidia-ml.so"];

/// How much stands behind the `.so` of a whole name with a driver's release at most.
const LONGEST_RELEASE: usize = 16;

/// Whether a whole name stands at a hit for its stem: a driver's release follows, and a NUL.
fn is_of_release(bytes: &[u8], hit: Hit) -> bool {
    let behind = bytes.get(hit.end..).unwrap_or_default();
    let behind = behind.get(..LONGEST_RELEASE).unwrap_or(behind);
    let end = behind.iter().position(|byte| *byte == 0);
    end.and_then(|end| behind.get(..end)).is_some_and(is_release)
}

/// Whether a text goes on up to a name: what stands in front of it is no path and no other constant's end.
fn is_tail_of_text(bytes: &[u8], hit: Hit) -> bool {
    let front = hit.start.checked_sub(1).and_then(|front| bytes.get(front));
    front.is_some_and(|byte| *byte != b'/' && (byte.is_ascii_graphic() || *byte == b' '))
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
                let part = searches.part(names, hit);
                if let Some(NamePart::Stem(library)) = part {
                    if is_of_release(bytes, hit) {
                        self.note(Some(library), RequestKind::String);
                    }
                } else if let Some(NamePart::Bare(library)) = part {
                    let front = hit.start.checked_sub(1).and_then(|front| bytes.get(front));
                    if can_open && front.is_none_or(|byte| *byte == 0) && bytes.get(hit.end) == Some(&0) {
                        self.note(Some(library), RequestKind::Built);
                    }
                } else if is_name && bytes.get(hit.end) == Some(&0) && is_tail_of_text(bytes, hit) {
                    // Linkers keep a name in the tail of a text that ends in it, and a text may end in a name by itself.
                    literals.consider_tail(place, index, hit);
                } else if is_name && bytes.get(hit.end) == Some(&0) {
                    self.note(Some(hit.name), RequestKind::String);
                    let is_room = self.hardcoded.len() < MOST_PATHS;
                    self.hardcoded.extend(is_room.then(|| absolute_path(bytes, hit)).flatten());
                } else if !can_open {
                    // Without a NUL a name can be handed to no other object's dlopen: it is a list's (this program's own).
                } else if is_name {
                    literals.consider(place, index, hit);
                } else if let Some(NamePart::Sixteen(whole)) = part {
                    literals.consider_sixteen(place, index, Hit { name: whole, ..hit }, names);
                }
            });
        }
        let code = places::of_code(view);
        literals.forget(|name| self.kinds.get(name).is_some_and(Option::is_some));
        for literal in literals.confirmed(view, names, &data, &code) {
            let bytes = data.get(literal.place).map(|place| place.bytes).unwrap_or_default();
            let text = bytes.get(literal.start..literal.end);
            let is_path = text.is_some_and(|text| text.starts_with(b"/"));
            self.hardcoded.extend(text.filter(|_| is_path).map(BString::from));
            let kind = match bytes.get(literal.end) {
                _ if literal.is_completed_by_code => RequestKind::Code,
                Some(0) => RequestKind::String,
                _ => RequestKind::Literal,
            };
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
        // What is rare costs a pass of its own: only an object that names nothing else is looked through for it.
        let names_nothing = |found: &Self| found.kinds.iter().all(Option::is_none);
        if can_open && names_nothing(self) {
            for place in &data {
                searches.wide.each(place.bytes, names, |name| self.note(Some(name), RequestKind::String));
            }
            for place in code.iter().filter(|_| view.header.e_machine == literals::X86_64) {
                searches.immediates.bare_x86_64(place.bytes, names, |name| self.note(Some(name), RequestKind::Built));
            }
        }
        if names_nothing(self) {
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
