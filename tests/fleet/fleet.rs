//! One tree: copied, checked, edited in both write modes, checked again.

mod checks;
mod copy;
mod report;

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

pub(crate) use self::report::Report;
use crate::complaints::new_complaints;
use crate::elfgen::compare::{differences, side_effects};
use crate::elfgen::read::Image;
use checks::{Checks, Seen};

const NOBITS: u32 = 8;

/// What the program says about one file.
struct Said {
    outcome: String,
    /// The reason to leave it alone or to refuse it.
    why: String,
    strategy: String,
    /// The path that it has now.
    path: Option<String>,
}

/// Edits a copy of every ELF file of `tree` with `program`.
pub(crate) fn run(program: &Path, tree: &Path) -> Report {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    // What is replaced and what is written to; both begin as the same files at the same places of their trees.
    let (replaced, in_place) = (scratch.path().join("replaced"), scratch.path().join("in-place"));
    let mut report = Report::new(tree);
    let copied = copy::elf_files(tree, &replaced);
    copy::elf_files(tree, &in_place);
    (report.files, report.elf) = (copied.seen, copied.elf.len());
    for unreadable in copied.unreadable {
        report.broken.push(format!("{}: cannot be copied", unreadable.display()));
    }

    let checks = Checks::new(scratch.path());
    report.not_checked = checks.missing();
    let before = each(&copied.elf, |file| checks.see(&replaced.join(file)));

    let said = fix(program, &replaced, &[], &mut report.broken);
    fix(program, &in_place, &["--in-place"], &mut report.broken);
    let files: Vec<_> = copied.elf.iter().zip(&before).collect();
    let judged =
        each(&files, |(file, before)| judge(&checks, tree, [&replaced, &in_place], file, before, said.get(*file)));
    for (file, problems) in copied.elf.iter().zip(judged) {
        report.broken.extend(problems.into_iter().map(|problem| format!("{}: {problem}", file.display())));
    }
    for file in &copied.elf {
        match said.get(file) {
            None => report.broken.push(format!("{}: the program says nothing about it", file.display())),
            Some(said) => report.count(file, &said.outcome, &said.why, &said.strategy),
        }
    }
    report.checked = checks.counts();

    let state = |file: &PathBuf| {
        std::fs::symlink_metadata(replaced.join(file)).ok().map(|meta| (meta.ino(), meta.mtime(), meta.mtime_nsec()))
    };
    let first: Vec<_> = copied.elf.iter().map(state).collect();
    for (file, said) in fix(program, &replaced, &[], &mut report.broken) {
        if said.outcome == "fixed" {
            report.broken.push(format!("{}: edited again in the second run", file.display()));
        }
    }
    for (file, first) in copied.elf.iter().zip(first) {
        if state(file) != first {
            report.broken.push(format!("{}: written in the second run", file.display()));
        }
    }
    report
}

/// Runs the program on a folder and gives back what it says, by the path below the folder.
fn fix(program: &Path, folder: &Path, options: &[&str], broken: &mut Vec<String>) -> BTreeMap<PathBuf, Said> {
    let output = Command::new(program).args(["fix", "--json", "-v"]).args(options).arg(folder).output();
    let output = output.expect("the program starts");
    let Ok(document) = serde_json::from_slice::<Value>(&output.stdout) else {
        broken.push(format!("fix {options:?} ends with {} and says no JSON", output.status));
        return BTreeMap::new();
    };
    let mut list = BTreeMap::new();
    let text = |file: &Value, key: &str| file[key].as_str().unwrap_or_default().to_owned();
    for file in document["files"].as_array().into_iter().flatten() {
        let path = PathBuf::from(text(file, "path"));
        let why = if file["error"].is_string() { text(file, "error") } else { text(file, "reason") };
        let said = Said {
            outcome: text(file, "outcome"),
            why,
            strategy: text(file, "strategy"),
            path: file["after"].as_str().map(str::to_owned),
        };
        if let Ok(below) = path.strip_prefix(folder) {
            list.insert(below.to_owned(), said);
        }
    }
    let failed = list.values().any(|said| said.outcome == "failed");
    if output.status.code() != Some(if failed { 2 } else { 0 }) {
        broken.push(format!("fix {options:?} ends with {}", output.status));
    }
    list
}

/// What is wrong with a file now.
fn judge(
    checks: &Checks,
    tree: &Path,
    [replaced, in_place]: [&Path; 2],
    file: &Path,
    before: &Seen,
    said: Option<&Said>,
) -> Vec<String> {
    let mut problems = Vec::new();
    let read = |folder: &Path| std::fs::read(folder.join(file)).expect("the file is still there");
    let (old, new) = (read(tree), read(replaced));
    if new != read(in_place) {
        problems.push("the two write modes differ".to_owned());
    }
    let kind = |folder: &Path| std::fs::symlink_metadata(folder.join(file)).map(|meta| meta.mode()).ok();
    if kind(tree) != kind(replaced) || kind(tree) != kind(in_place) {
        problems.push("its mode changed".to_owned());
    }
    let edited = said.is_some_and(|said| said.outcome == "fixed");
    if !edited {
        let is_name_of_edited = said.is_some_and(|said| said.why == "same-file");
        if old != new && !is_name_of_edited {
            problems.push("left alone, and yet written".to_owned());
        }
    } else if let Some(Said { path: Some(path), .. }) = said {
        checks.count("bytes");
        problems.extend(compared(&old, &new, path));
    }
    drop((old, new));
    let after = checks.see(&replaced.join(file));
    problems.extend(before.changes(&after));
    if edited {
        let strategy = said.map_or("", |said| &said.strategy);
        problems.extend(new_complaints(&before.complaints, after.complaints, strategy));
    }
    problems
}

/// By a reader that shares no code with the program: what it minds in the file itself it may mind in the edited one.
fn compared(old: &[u8], new: &[u8], path: &str) -> Vec<String> {
    let Some(before) = Image::parse(old) else { return vec!["was edited, but cannot be read".to_owned()] };
    let Some(after) = Image::parse(new) else { return vec!["cannot be read any more".to_owned()] };
    let payload = payload(&before);
    let known = side_effects(&before, &before, payload);
    differences(&before, &after, path.as_bytes(), payload).into_iter().filter(|found| !known.contains(found)).collect()
}

/// What lies behind everything that a header describes.
fn payload(image: &Image) -> &[u8] {
    let section_header = if image.entry_size() == 56 { 64 } else { 40 };
    let segments = image.segments.iter().map(|segment| segment.offset.saturating_add(segment.file_size));
    let sections = image.sections.iter().filter(|section| section.kind != NOBITS);
    let ends = segments.chain(sections.map(|section| section.offset.saturating_add(section.size)));
    let table_end = image.section_table.saturating_add(image.sections.len() as u64 * section_header);
    image.data.get(ends.fold(table_end, u64::max) as usize..).unwrap_or_default()
}

/// Every item in order, on all processors.
fn each<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, Into::into);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((index, item)) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    items.get(index).map(|item| (index, item))
                } {
                    let result = work(item);
                    done.lock().unwrap().push((index, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}
