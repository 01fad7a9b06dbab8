//! `.note.nixos.ldcache`: the resolution cache that patchelf 0.19 `--build-resolution-cache` writes.
//!
//! Owner `NixOS`, type `0x63a86cb6`; the descriptor holds pairs of NUL-terminated strings, a soname and a
//! colon-separated list of `=absolute path` and `?directory to search`; an empty soname ends it. A patched loader asks
//! it instead of the RUNPATH, so a RUNPATH edit that leaves it alone would change nothing.

use std::collections::{HashMap, HashSet};

use bstr::{BStr, BString, ByteSlice};

use super::notes;
use super::units::FileRange;
use super::view::ElfView;
use crate::runpath::SearchPath;

const OWNER: &str = "NixOS";
const KIND: u32 = 0x63a8_6cb6;

/// Where the note lies in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LdCacheNote {
    /// Its header, owner and descriptor with their padding.
    pub range: FileRange,
    /// The descriptor alone.
    pub(crate) descriptor: FileRange,
}

/// Finds the note through PT_NOTE. A note that reaches past its segment is not one.
#[must_use]
pub fn find(view: &ElfView<'_>) -> Option<LdCacheNote> {
    let is_cache = |note: &notes::Note<'_>| note.kind == KIND && note.owner == OWNER && !note.is_cut;
    let note = notes::of_segments(view).find(is_cache)?;
    Some(LdCacheNote { range: note.range, descriptor: note.descriptor })
}

/// The note's bytes for a new search path, as long as the old ones.
///
/// Directories that are new or in front become `?directory` hints before what the note found itself; what it found
/// through directories that are gone is dropped. When that does not fit, or would disagree with the path, the type is
/// cleared and everything behind the owner is zeroed, so that the loader searches and no store path is kept alive.
#[must_use]
pub fn rewrite(view: &ElfView<'_>, note: LdCacheNote, old: Option<&BStr>, new: Option<&BStr>) -> Option<Vec<u8>> {
    let mut bytes = note.range.of(view.bytes)?.to_vec();
    let descriptor_at = usize::try_from(note.descriptor.start().since(note.range.start())?).ok()?;
    let descriptor_len = usize::try_from(note.descriptor.len()).ok()?;
    let old_path = old.map(SearchPath::parse).unwrap_or_default();
    let new_path = new.map(SearchPath::parse).unwrap_or_default();
    // The same path again means that what the note says of it is wrong.
    let answers = if old == new { None } else { new_answers(note.descriptor.of(view.bytes)?, &old_path, &new_path) };
    // A note that was wrong before would be told and dropped next time: one edit is enough.
    let needed: HashSet<&BStr> = view.needed().collect();
    let noted = NotedPath::of(&new_path, &|_| true);
    let agrees = |(soname, found): &Answers| needed.contains(soname.as_bstr()) && noted.disagreement(found).is_none();
    let wanted = answers.filter(|answers| answers.iter().all(agrees)).map(|answers| descriptor(&answers));
    let target = bytes.get_mut(descriptor_at..descriptor_at.checked_add(descriptor_len)?)?;
    target.fill(0);
    match wanted {
        Some(wanted) if wanted.len() <= descriptor_len => {
            target.get_mut(..wanted.len())?.copy_from_slice(&wanted);
        }
        _ => bytes.get_mut(8..12)?.fill(0),
    }
    Some(bytes)
}

/// A soname, and what the note answers for it.
type Answers = (BString, Vec<BString>);

/// `None` when the descriptor is not in the known form.
fn new_answers(old: &[u8], old_path: &SearchPath, new_path: &SearchPath) -> Option<Vec<Answers>> {
    let listed: HashSet<&BStr> = old_path.entries().collect();
    let kept: Vec<&BStr> = new_path.entries().filter(|entry| listed.contains(entry)).collect();
    let stays: HashSet<&BStr> = kept.iter().copied().collect();
    // Only what stands in front of the first entry that the note already knows needs a hint.
    let hints: Vec<&BStr> = new_path.entries().take_while(|entry| Some(*entry) != kept.first().copied()).collect();
    let reordered = !old_path.entries().filter(|entry| stays.contains(entry)).eq(kept.iter().copied());
    if reordered || new_path.entries().filter(|entry| !stays.contains(entry)).count() != hints.len() {
        return None;
    }
    let mut strings = old.split(|byte| *byte == 0);
    let mut answers = Vec::new();
    loop {
        let soname = strings.next()?;
        if soname.is_empty() {
            return Some(answers);
        }
        let found = strings.next()?.as_bstr();
        let hints = hints.iter().map(|hint| BString::from([b"?", hint.as_bytes()].concat()));
        let found = found.split_str(":").filter(|item| survives(item, &stays, &listed)).map(BString::from);
        answers.push((soname.into(), hints.chain(found).collect()));
    }
}

fn descriptor(answers: &[Answers]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (soname, found) in answers {
        bytes.extend_from_slice(soname);
        bytes.push(0);
        bytes.extend_from_slice(&bstr::join(":", found));
        bytes.push(0);
    }
    bytes.push(0);
    bytes
}

/// A search path as the answers of a note are compared with it, of which there can be as many as the path has entries.
pub(crate) struct NotedPath<'p> {
    /// Where an entry stands first.
    first_at: HashMap<&'p BStr, usize>,
    has_tokens: bool,
    /// The first managed entry, and where it stands.
    managed: Option<(usize, &'p BStr)>,
}

impl<'p> NotedPath<'p> {
    /// Of a path; the caller knows which entries are managed.
    #[must_use]
    pub(crate) fn of(path: &'p SearchPath, is_managed: &dyn Fn(&BStr) -> bool) -> Self {
        let mut first_at = HashMap::new();
        for (index, entry) in path.entries().enumerate() {
            first_at.entry(entry).or_insert(index);
        }
        Self {
            first_at,
            has_tokens: path.entries().any(|entry| entry.contains(&b'$')),
            managed: path.entries().enumerate().find(|(_, entry)| is_managed(entry)),
        }
    }

    /// In which way the note's answers for a library cannot come from a search of this path; `None` when they can.
    ///
    /// An answer from a directory that the path does not have is left over from an earlier path. A managed directory that
    /// the path has in front and the answers do not know was added without telling the note. Where the path has tokens,
    /// what they stand for is not known here, and only the second is looked at.
    #[must_use]
    pub(crate) fn disagreement(&self, answers: &[BString]) -> Option<String> {
        let known = || answers.iter().filter_map(|answer| directory_of(answer));
        let left_over = known().find(|directory| !self.first_at.contains_key(directory));
        if let Some(directory) = left_over.filter(|_| !self.has_tokens) {
            return Some(format!("it knows {directory}, which the search path does not have"));
        }
        let first_known = known().filter_map(|directory| self.first_at.get(directory).copied()).min();
        let (_, entry) = self.managed.filter(|(index, _)| first_known.is_none_or(|known| *index < known))?;
        Some(format!("it does not know {entry}, which the search path has in front"))
    }
}

/// The directory of an answer: `=directory/file` or `?directory`.
fn directory_of(answer: &[u8]) -> Option<&BStr> {
    match answer.split_first()? {
        (b'?', directory) => Some(directory.as_bstr()),
        (b'=', path) => Some(path.rsplit_once_str("/").map_or(path, |(directory, _)| directory).as_bstr()),
        _ => None,
    }
}

/// Whether what the note found does not come from a directory that the path no longer has.
fn survives(item: &[u8], stays: &HashSet<&BStr>, listed: &HashSet<&BStr>) -> bool {
    directory_of(item).is_some_and(|directory| !listed.contains(directory) || stays.contains(directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(old_path: &str, new_path: &str, descriptor: &str) -> Option<String> {
        let path = |text: &str| SearchPath::parse(text.into());
        let answers = new_answers(descriptor.as_bytes(), &path(old_path), &path(new_path))?;
        Some(String::from_utf8(super::descriptor(&answers)).unwrap())
    }

    #[test]
    fn new_directories_in_front_become_hints() {
        assert_eq!(
            rewritten("/l:/m", "/c:/d:/l:/m", "liba.so\0=/l/liba.so\0libb.so\0?/m:=/m/libb.so\0\0").unwrap(),
            "liba.so\0?/c:?/d:=/l/liba.so\0libb.so\0?/c:?/d:?/m:=/m/libb.so\0\0"
        );
    }

    #[test]
    fn what_was_found_through_a_dropped_directory_goes() {
        assert_eq!(
            rewritten("/stubs:/l", "/d:/l", "libcuda.so.1\0=/stubs/libcuda.so.1\0liba.so\0=/l/liba.so\0\0").unwrap(),
            "libcuda.so.1\0?/d\0liba.so\0?/d:=/l/liba.so\0\0"
        );
    }

    #[test]
    fn what_cannot_be_expressed_is_dropped() {
        // A new directory behind an old one, a changed order, a descriptor without its end.
        assert_eq!(rewritten("/l", "/l:/d", "liba.so\0=/l/liba.so\0\0"), None);
        assert_eq!(rewritten("/l:/m", "/m:/l", "liba.so\0=/l/liba.so\0\0"), None);
        assert_eq!(rewritten("/l", "/d:/l", "liba.so"), None);
    }
}
