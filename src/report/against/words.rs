//! What differs between two releases, in words that all formats for people have.

use std::collections::BTreeSet;

use super::ComparedRun;
use crate::check::{ContentsChange, FileChange, RequestChange, SnapshotRequest, Totals, Verdict};
use crate::cuda::{Code, bytes_of};
use crate::report::size::exact;

/// What becomes of a file, the worst kind first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ChangeKind {
    Worse,
    Gone,
    New,
    Other,
}

/// Which kind a change is.
pub(super) fn kind_of(change: &FileChange<'_>) -> ChangeKind {
    match (change.old, change.new) {
        _ if change.is_worse => ChangeKind::Worse,
        (Some(_), None) => ChangeKind::Gone,
        (None, _) => ChangeKind::New,
        (Some(_), Some(_)) => ChangeKind::Other,
    }
}

impl ChangeKind {
    /// In a word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Worse => "worse",
            Self::Gone => "gone",
            Self::New => "new",
            Self::Other => "changed",
        }
    }
}

/// What became of a file's bytes and of its GPU code.
pub(super) fn contents_words(change: &FileChange<'_>) -> Vec<String> {
    let mut parts = Vec::new();
    parts.extend(from_to("", change.lengths()));
    if change.contents == ContentsChange::Other && change.lengths().0 == change.lengths().1 {
        parts.push("other contents".to_owned());
    }
    let code = from_to("GPU code ", change.code_bytes()).filter(|_| change.code_bytes() != (Some(0), Some(0)));
    let code = code.filter(|_| !matches!(change.code_bytes(), (None, Some(0)) | (Some(0), None)));
    parts.extend(code.map(|code| code + &names(", + ", &change.gained) + &names(", - ", &change.lost)));
    parts
}

/// All of a change in one line of bytes, for formats that escape it themselves.
pub(super) fn change_line(change: &FileChange<'_>) -> Vec<u8> {
    let contents = contents_words(change).into_iter().map(String::into_bytes);
    let requests = change.requests.iter().map(request_line);
    contents.chain(requests).collect::<Vec<_>>().join(&b"; "[..])
}

fn request_line(change: &RequestChange<'_>) -> Vec<u8> {
    let soname = change.soname.as_bytes();
    match (change.old, change.new) {
        (Some(old), Some(new)) => [soname, b": ", &answer(old), b" -> ", &answer(new)].concat(),
        (None, Some(new)) => [soname, b" is asked for now: ", &answer(new)].concat(),
        _ => [soname, b" is not asked for any more"].concat(),
    }
}

fn answer(request: &SnapshotRequest) -> Vec<u8> {
    let place = request.answer.place().map_or(&b"nowhere"[..], |place| place);
    [request.verdict.name().as_bytes(), b" from ", place].concat()
}

/// Both releases in numbers: what, before, now.
pub(super) fn totals(run: &ComparedRun<'_>) -> Vec<[String; 3]> {
    let (old, new) = &run.comparison.totals;
    let row = |what: &str, of: &dyn Fn(&Totals) -> u64| [what.to_owned(), exact(of(old)), exact(of(new))];
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let mut rows = vec![row("files", &|totals| count(totals.files)), row("bytes", &|totals| totals.bytes)];
    let codes: BTreeSet<Code> = old.gpu_code.keys().chain(new.gpu_code.keys()).copied().collect();
    if !codes.is_empty() {
        rows.push(row("bytes of GPU code", &|totals| bytes_of(&totals.gpu_code)));
    }
    for code in codes {
        let bytes = |totals: &Totals| totals.gpu_code.get(&code).map_or(0, |tally| tally.bytes);
        if bytes(old) != bytes(new) {
            rows.push(row(&format!("bytes for {}{}", code.kind.title(), code.architecture()), &bytes));
        }
    }
    for verdict in [Verdict::Pass, Verdict::Runtime, Verdict::Fail] {
        let of = |totals: &Totals| count(totals.verdicts.get(verdict.name()).copied().unwrap_or(0));
        rows.push(row(&format!("verdict {}", verdict.name()), &of));
    }
    let answers: BTreeSet<&str> = old.libcuda.keys().chain(new.libcuda.keys()).copied().collect();
    for answer in answers {
        let of = |totals: &Totals| count(totals.libcuda.get(answer).copied().unwrap_or(0));
        rows.push(row(&format!("libcuda from {answer}"), &of));
    }
    rows
}

/// Changed files, the worst kind first.
pub(super) fn worst_first<'r, 's>(run: &'r ComparedRun<'s>) -> Vec<(ChangeKind, &'r FileChange<'s>)> {
    let mut files: Vec<_> = run.comparison.files.iter().map(|change| (kind_of(change), change)).collect();
    files.sort_by_key(|(kind, _)| *kind);
    files
}

/// Architectures, with a sign in front of the first.
pub(super) fn names(sign: &str, codes: &[Code]) -> String {
    let names: Vec<String> = codes.iter().map(|code| format!("{}{}", code.kind.title(), code.architecture())).collect();
    if names.is_empty() { String::new() } else { format!("{sign}{}", names.join(", ")) }
}

/// `1 -> 2 bytes`, or what there is of it.
fn from_to(what: &str, pair: (Option<u64>, Option<u64>)) -> Option<String> {
    match pair {
        (Some(old), Some(new)) if old != new => Some(format!("{what}{old} -> {new} bytes")),
        (Some(one), _) | (None, Some(one)) => Some(format!("{what}{one} bytes")),
        (None, None) => None,
    }
}
