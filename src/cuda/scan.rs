//! Where GPU code stands among other data: fat binaries, cubins, Zstandard frames with a cubin, PTX. One pass over what has
//! no code, which ends at the first sign of some; what it turns out to be says where the next pass begins.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};
use bstr::ByteSlice;

use super::code::{Code, Form, GpuCode, Place, Tally};
use super::cubin;
use super::effort::Effort;
use super::empty::Packing;
use super::fatbin::{self, ENTRY, Magic, is_for_containers};
use super::field::len;
use super::frame::{self, Framed, Unpacker};
use super::kernels::Counter;
use super::problem::CodeProblem;
use super::ptx;
use super::remains::is_remains;
use super::spans::FatBinary;
use crate::elf::contents::{Contents, Part};

/// A host's record of a container (`__fatBinC_Wrapper_t` in CUDA's `fatbinary_section.h`), bytes.
pub(super) const WRAPPER: usize = 24;
pub(super) const WRAPPER_MAGIC: [u8; 4] = 0x4662_43b1_u32.to_le_bytes();
pub(super) const WRAPPER_SECTION: &str = ".nvFatBinSegment";

/// Four bytes or more that may begin GPU code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Container,
    Cubin,
    Frame,
    Ptx,
}

const SIGNS: [(Sign, &[u8]); 4] = [
    (Sign::Container, fatbin::MAGIC),
    (Sign::Cubin, cubin::MAGIC),
    (Sign::Frame, frame::MAGIC),
    (Sign::Ptx, ptx::MAGIC),
];

static ALL_SIGNS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let builder = AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(SIGNS.map(|(_, magic)| magic));
    builder.ok()
});

/// The first sign in some bytes, and its index.
fn first_sign(bytes: &[u8]) -> Option<(Sign, usize)> {
    let Some(search) = &*ALL_SIGNS else { return slowly(bytes) };
    let found = search.find(bytes)?;
    SIGNS.get(found.pattern().as_usize()).map(|(sign, _)| (*sign, found.start()))
}

/// The same where the search cannot be made, which takes no more memory than its four words.
fn slowly(bytes: &[u8]) -> Option<(Sign, usize)> {
    let all = SIGNS.iter().filter_map(|(sign, magic)| Some((*sign, bytes.find(magic)?)));
    all.min_by_key(|(_, at)| *at)
}

/// Reads the GPU code in the allocated contents of an ELF file. Of what it finds it touches headers only; what lies between
/// them is skipped, not searched.
#[must_use]
pub fn of_contents(contents: &Contents<'_>) -> GpuCode {
    let bytes = contents.parts.iter().fold(0, |sum: u64, part| sum.saturating_add(len(part.bytes.len())));
    Scanner::of(bytes, Counting::Off).contents(contents)
}

/// Whether kernels are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Counting {
    /// No more is read than tells what code is for.
    #[default]
    Off,
    /// All code is unpacked.
    Kernels,
}

/// Looks for GPU code in the parts of one file.
pub(super) struct Scanner {
    effort: Effort,
    counter: Option<Counter>,
    unpacker: Unpacker,
    /// Where each container lies, if that is asked for.
    located: Option<Vec<FatBinary>>,
    /// Where the file that is looked at begins in the one that it is a member of.
    base: u64,
    /// Only containers are looked for any more.
    is_exhausted: bool,
}

/// By so many bytes a sign is told from others that begin so (`e_ident` and the rest of the ELF header).
const LONGEST_HEADER: usize = 64;

/// What was found in one part, by form.
struct Sighted {
    containers: Place,
    frames: Place,
    raw: Place,
}

impl Sighted {
    fn problem_count(&self) -> u64 {
        [&self.containers, &self.frames, &self.raw].iter().map(|place| place.problem_count()).sum()
    }
}

impl Scanner {
    /// For a file of so many bytes.
    pub(super) fn of(bytes: u64, counting: Counting) -> Self {
        let counter = (counting == Counting::Kernels).then(|| Counter::of(bytes));
        let (effort, unpacker) = (Effort::of(bytes), Unpacker::default());
        Self { effort, counter, unpacker, located: None, base: 0, is_exhausted: false }
    }

    /// The same, which also remembers where each container lies.
    pub(super) fn locating(bytes: u64) -> Self {
        Self { located: Some(Vec::new()), ..Self::of(bytes, Counting::Off) }
    }

    /// Goes on with a member that begins here.
    pub(super) fn enter(&mut self, base: u64) {
        self.base = base;
    }

    /// The containers, in the order in which they were found.
    pub(super) fn into_located(self) -> Vec<FatBinary> {
        self.located.unwrap_or_default()
    }

    /// Reads the allocated contents of an ELF file.
    pub(super) fn contents(&mut self, contents: &Contents<'_>) -> GpuCode {
        let mut found = GpuCode::default();
        let mut wrappers = 0_usize;
        let mut last = None;
        for part in &contents.parts {
            let is_continued = last.replace(part.name) == Some(part.name);
            if part.name == WRAPPER_SECTION {
                let records = part.bytes.chunks_exact(WRAPPER).filter(|record| record.starts_with(&WRAPPER_MAGIC));
                wrappers = wrappers.saturating_add(records.count());
            }
            for place in self.scan(part) {
                // A section in parts (`slim` makes them) is one.
                let is_it = |known: &&mut Place| (&known.name, known.form) == (&place.name, place.form);
                match found.places.iter_mut().rev().find(|known| is_continued && is_it(known)) {
                    Some(known) => known.join(place),
                    None => found.places.push(place),
                }
            }
        }
        if wrappers > 0 && found.places.iter().all(|place| place.form != Form::Container) {
            let mut place = Place::new(WRAPPER_SECTION.into(), Form::Container);
            place.note(CodeProblem::NoContainer(wrappers));
            found.places.push(place);
        }
        found
    }

    /// The code of a section or segment, a place for each form.
    pub(super) fn scan(&mut self, part: &Part<'_>) -> impl Iterator<Item = Place> + use<> {
        let place = |form| Place::new(part.name, form);
        let mut sighted =
            Sighted { containers: place(Form::Container), frames: place(Form::Frame), raw: place(Form::Raw) };
        self.fill(part, &mut sighted);
        let Sighted { containers, frames, raw } = sighted;
        [containers, frames, raw].into_iter().filter(Place::is_told)
    }

    fn fill(&mut self, part: &Part<'_>, sighted: &mut Sighted) {
        let mut at = 0_usize;
        // Behind a container whose end is not known, anything may follow.
        let mut is_end_known = true;
        // What stands behind a container that is not understood may be a part of it.
        let mut is_doubtful = false;
        // So may what lies in one that is taken for other data.
        let mut claimed_up_to = 0_usize;
        // Entries behind false magics, which can all lead to the same ones: without a bound the time would be the square
        // of the size.
        let mut patience = part.bytes.len().checked_div(ENTRY).unwrap_or(0);
        loop {
            let next = self.next(part, at);
            let end = next.map_or(part.bytes.len(), |(_, next)| next);
            if is_end_known
                && is_for_containers(part)
                && let Some(index) = next_byte(part, at, end)
                && !(at > 0 && part.bytes.get(index..end).is_some_and(is_remains))
            {
                sighted.containers.note(CodeProblem::Between { at: part.offset.saturating_add(len(index)) });
            }
            let Some((sign, next)) = next else { return };
            is_end_known = true;
            let place = part.offset.saturating_add(len(next));
            if sign != Sign::Container {
                let told = sighted.problem_count();
                let size = self.other(sign, part.bytes.get(next..).unwrap_or_default(), place, sighted);
                at = next.saturating_add(size.unwrap_or(1));
                // What it turned out to be may rest upon the bytes of a container behind it.
                is_doubtful |= sighted.problem_count() > told || (size.is_none() && sign == Sign::Frame);
                if size.is_none() {
                    claimed_up_to = claimed_up_to.max(next.saturating_add(LONGEST_HEADER));
                }
                continue;
            }
            at = match fatbin::container(part, next) {
                Magic::Container { mut entries, spans, end, noted } => {
                    let containers = &mut sighted.containers;
                    let is_empty = entries.is_empty() && noted.problem_count() == 0;
                    containers.empty = containers.empty.saturating_add(u64::from(is_empty));
                    fatbin::add(containers, &mut entries, self.counter.as_mut());
                    if let Some(located) = &mut self.located {
                        let at = self.base.saturating_add(place);
                        let is_in_place = place.is_multiple_of(fatbin::ALIGNMENT) && next >= claimed_up_to;
                        let is_understood = !is_doubtful && is_in_place && noted.problem_count() == 0;
                        located.extend(FatBinary::new(self.base, at, &spans, &entries, len(end), is_understood, part));
                    }
                    containers.join(noted);
                    end
                }
                Magic::Broken(problem) => {
                    is_end_known = false;
                    is_doubtful = true;
                    sighted.containers.note(problem);
                    next.saturating_add(fatbin::CONTAINER)
                }
                Magic::ByChance { entries, claimed } => {
                    claimed_up_to = claimed_up_to.max(claimed);
                    let Some(rest) = patience.checked_sub(entries) else {
                        sighted.containers.note(CodeProblem::FalseContainers { at: place });
                        return;
                    };
                    patience = rest;
                    next.saturating_add(1)
                }
            };
        }
    }

    /// The next sign. Sections for containers have nothing else, and what was made to exhaust the scanner has too much.
    fn next(&self, part: &Part<'_>, from: usize) -> Option<(Sign, usize)> {
        let only_containers = self.is_exhausted || is_for_containers(part);
        let mut pieces = part.data_between(from, part.bytes.len());
        pieces.find_map(|(start, bytes)| {
            let found = match only_containers {
                true => bytes.find(fatbin::MAGIC).map(|at| (Sign::Container, at)),
                false => first_sign(bytes),
            };
            found.and_then(|(sign, at)| Some((sign, start.checked_add(at)?)))
        })
    }

    /// What is outside of containers, at the start of `rest`: how much of it was understood, if it is code.
    fn other(&mut self, sign: Sign, rest: &[u8], at: u64, sighted: &mut Sighted) -> Option<usize> {
        let known = match sign {
            Sign::Frame => self.frame(rest, at, &mut sighted.frames),
            Sign::Cubin if cubin::is_cubin(rest) => self.raw(rest, at, &mut sighted.raw),
            Sign::Ptx => ptx::module(rest).map(|(code, tally)| {
                self.add(&mut sighted.raw, (code, tally), rest);
                tally.bytes
            }),
            Sign::Cubin | Sign::Container => None,
        };
        known.and_then(|bytes| usize::try_from(bytes).ok()).map(|bytes| bytes.max(1))
    }

    /// A cubin as it is.
    pub(super) fn raw(&mut self, rest: &[u8], at: u64, place: &mut Place) -> Option<u64> {
        match self.effort.spend(cubin::steps(rest), at).and_then(|()| cubin::raw(rest, at)) {
            Ok(None) => None,
            Ok(Some((code, tally))) => {
                self.add(place, (code, tally), rest);
                Some(tally.bytes)
            }
            Err(problem) => self.note(problem, place),
        }
    }

    /// A frame.
    pub(super) fn frame(&mut self, rest: &[u8], at: u64, place: &mut Place) -> Option<u64> {
        match frame::framed(rest, at, &mut self.unpacker, &mut self.effort) {
            Ok(None) => None,
            Ok(Some(Framed { end, code, problem, said })) => {
                if let Some((code, tally)) = code {
                    let stored = rest.get(..end).map(|frame| (frame, Packing::Zstandard));
                    let counter = self.counter.as_mut();
                    place.add(code, counter.map_or(tally, |counter| counter.count(tally, code.kind, stored, said)));
                }
                if let Some(problem) = problem {
                    self.note(problem, place);
                }
                Some(len(end))
            }
            Err(problem) => self.note(problem, place),
        }
    }

    /// Adds code that stands as it is at the start of `rest`.
    pub(super) fn add(&mut self, place: &mut Place, (code, tally): (Code, Tally), rest: &[u8]) {
        let stored = usize::try_from(tally.bytes).ok().and_then(|bytes| rest.get(..bytes));
        let stored = stored.map(|stored| (stored, Packing::Raw));
        let counter = self.counter.as_mut();
        place.add(code, counter.map_or(tally, |counter| counter.count(tally, code.kind, stored, Some(tally.bytes))));
    }

    fn note(&mut self, problem: CodeProblem, place: &mut Place) -> Option<u64> {
        self.is_exhausted |= matches!(problem, CodeProblem::Exhausted { .. });
        place.note(problem);
        None
    }
}

/// The next byte that is no padding.
fn next_byte(part: &Part<'_>, from: usize, to: usize) -> Option<usize> {
    let mut pieces = part.data_between(from, to);
    pieces.find_map(|(at, bytes)| bytes.find_not_byteset(b"\0").and_then(|found| at.checked_add(found)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_searches_find_the_same() {
        for (sign, magic) in SIGNS {
            for at in [0, 1, 7, 100] {
                let bytes = [&vec![b'P'; at][..], &magic[..3], &magic[..1], magic, frame::MAGIC].concat();
                assert_eq!(first_sign(&bytes), Some((sign, at + 4)));
                assert_eq!(slowly(&bytes), first_sign(&bytes));
            }
        }
        assert_eq!((first_sign(b"PPP\x7fEL"), slowly(b"PPP\x7fEL")), (None, None));
    }
}
