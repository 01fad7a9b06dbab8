//! Bad input: each damaged image is refused by name and left as it was, or, where it is still sound, edited faithfully.

mod fields;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::elfgen::damage::Damage;
use crate::elfgen::harm::harm;
use crate::elfgen::read::Image;
use crate::elfgen::{Spec, preset};
use crate::harness::{
    IN_PLACE, MODES, REPLACE, Run, Snapshot, Tree, as_nobody, copy_program, give_to_nobody, is_root, names, program,
    require, run, run_bounded, set_mode,
};

const DRIVER: &str = "/run/some-driver/lib";

/// Layouts that between them have every table: both classes, both orders, with and without section headers, both hashes, versions, TLS.
const VICTIMS: [&str; 8] = [
    "rung-h-reimage-bss-tls",
    "rung-f-property-note",
    "versions-tight",
    "hash-both-no-headers",
    "rung-i-make-room-be",
    "rung-c-dead-32",
    "rung-f-null-slot-mips",
    "rung-d-grow-own-be",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// Refused; the message has one of these words.
    Refused(&'static [&'static str]),
    /// Nothing that a loader reads, or no ELF file at all.
    Untouched,
    /// Refused, left alone, or edited faithfully: the damage may be to something that no program reads.
    Orderly,
}

struct Case {
    name: String,
    bytes: Vec<u8>,
    expect: Expect,
}

fn victim(name: &str) -> Vec<u8> {
    preset(name).build()
}

/// The messages on stderr, by path.
fn errors(result: &Run) -> BTreeMap<PathBuf, String> {
    let mut list = BTreeMap::new();
    for line in result.stderr.lines() {
        if let Some((path, message)) = line.strip_prefix("error: ").and_then(|rest| rest.split_once(": ")) {
            list.insert(PathBuf::from(path), message.to_owned());
        }
    }
    list
}

/// Gives all cases of each list to one run in each write mode, between two good files, and fails with what is wrong.
fn judge(test: &str, lists: impl IntoIterator<Item = Vec<Case>>) {
    let mut failures: Vec<String> = Vec::new();
    for cases in lists {
        for mode in MODES {
            failures.extend(judge_in(test, &cases, mode));
        }
    }
    let shown = failures.iter().take(80).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} failures:\n{shown}", failures.len());
}

fn judge_in(test: &str, cases: &[Case], mode: &[&str]) -> Vec<String> {
    let tree = Tree::in_memory();
    let good = victim("rung-e-slack");
    let goods = [tree.file("0-good", &good), tree.file("z-good", &good)];
    let before: Vec<(PathBuf, Snapshot)> = cases
        .iter()
        .map(|case| {
            let path = tree.file(format!("cases/{}", case.name), &case.bytes);
            let snapshot = Snapshot::of(&path);
            (path, snapshot)
        })
        .collect();
    let arguments = [&["fix", "-j", "2", "--driver", DRIVER], mode, &[tree.path().to_str().expect("a plain path")]];
    let result = run_bounded(test, arguments.concat());
    result.assert_orderly(test);
    let errors = errors(&result);
    let mut failures = Vec::new();
    for path in &goods {
        let path_now = Image::parse(&std::fs::read(path).unwrap()).and_then(|image| image.runpath());
        if path_now != Some(format!("{DRIVER}:$ORIGIN/old").into_bytes()) {
            failures.push(format!("{}: a good file among bad ones is not fixed: {path_now:?}", path.display()));
        }
    }
    for (case, (path, old)) in cases.iter().zip(&before) {
        let now = Snapshot::of(path);
        let same = now == *old;
        let verdict = match (errors.get(path), case.expect) {
            (Some(_), Expect::Untouched) => Some("is an error".to_owned()),
            (Some(_), _) if !same => Some("refused, and yet written".to_owned()),
            (Some(message), Expect::Refused(words)) if !words.iter().any(|word| message.contains(word)) => {
                Some(format!("the message names none of {words:?}"))
            }
            (Some(message), _) if message.len() < 12 => Some("the message says too little".to_owned()),
            (Some(_), _) => None,
            (None, Expect::Refused(_)) => {
                Some(format!("is not refused, {}", if same { "untouched" } else { "edited" }))
            }
            (None, Expect::Untouched) if !same => Some("is written".to_owned()),
            (None, _) if same => None,
            (None, _) => faults(&case.bytes, &std::fs::read(path).unwrap()),
        };
        if let Some(verdict) = verdict {
            failures.push(format!("{} {mode:?}: {verdict} {:?}", case.name, errors.get(path)));
        }
    }
    let known: BTreeSet<&PathBuf> = before.iter().map(|(path, _)| path).chain(&goods).collect();
    failures.extend(
        errors.keys().filter(|path| !known.contains(path)).map(|path| format!("an error about {}", path.display())),
    );
    if result.code != if errors.is_empty() { 0 } else { 2 } {
        failures.push(format!("{mode:?}: exit {:?} with {} errors", result.code, errors.len()));
    }
    let listed = names(&tree.join("cases")).len();
    if listed != cases.len() {
        failures.push(format!("{mode:?}: {listed} files instead of {}: a temporary file stays behind", cases.len()));
    }
    failures
}

/// What is wrong with an edit of a damaged image; None for a faithful one.
fn faults(before: &[u8], after: &[u8]) -> Option<String> {
    let is_wanted = |path: &[u8]| path.split(|byte| *byte == b':').next() == Some(DRIVER.as_bytes());
    let found = harm(before, after, &is_wanted, &[]);
    (!found.is_empty()).then(|| format!("edited, and {}", found.join(", ")))
}

#[test]
fn truncated_at_every_length() {
    // Less than the magic number is no ELF file; from there on the cut is seen. A cut that takes only bytes behind the headers and
    // segments cannot happen: the section headers, or without them the last segment, end the file.
    let words: &[&str] = &["file", "header", "past", "end", "short", "trunc", "cut"];
    let cut = |name: &&str| {
        let whole = victim(name);
        let case = |length: usize| Case {
            name: format!("{name}-{length:05}"),
            bytes: whole[..length].to_vec(),
            expect: if length < 4 { Expect::Untouched } else { Expect::Refused(words) },
        };
        (0..whole.len()).map(case).collect()
    };
    judge(
        "truncated_at_every_length",
        ["rung-h-reimage-bss-tls", "rung-f-null-slot-mips", "hash-both-no-headers"].iter().map(cut),
    );
}

#[test]
fn tiny_files() {
    let case = |name: &str, bytes: &[u8], expect| Case { name: name.into(), bytes: bytes.to_vec(), expect };
    let short: &[&str] = &["header", "short", "trunc", "cut", "end", "bytes"];
    let cases = vec![
        case("empty", b"", Expect::Untouched),
        case("one-byte", b"\x7f", Expect::Untouched),
        case("almost-magic", b"\x7fEL", Expect::Untouched),
        case("script", b"#!/bin/sh\necho \x7fELF\n", Expect::Untouched),
        case("magic-only", b"\x7fELF", Expect::Refused(short)),
        case("magic-and-zeros", &[&b"\x7fELF"[..], &[0; 100]].concat(), Expect::Refused(&["class", "EI_CLASS"])),
        case("magic-and-ones", &[&b"\x7fELF"[..], &[0xff; 100]].concat(), Expect::Refused(&["class", "EI_CLASS"])),
        case("identification-only", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0", Expect::Refused(short)),
    ];
    judge("tiny_files", [cases]);
}

#[test]
fn damaged_fields_are_refused_by_name() {
    judge("damaged_fields_are_refused_by_name", VICTIMS.iter().map(|name| fields::named_damage(name)));
}

/// Half and all of the address space in every offset, address and size.
#[test]
fn extreme_values_in_every_offset_and_size() {
    judge("extreme_values_in_every_offset_and_size", VICTIMS.iter().map(|name| fields::extreme_values(name)));
}

/// Every byte of every header and of the tables that the loader walks.
#[test]
fn every_header_byte_set_to_extremes() {
    let names = ["rung-h-reimage-bss-tls", "versions-tight", "rung-i-make-room-be", "rung-f-null-slot-mips"];
    judge("every_header_byte_set_to_extremes", names.iter().map(|name| fields::every_byte(name)));
}

#[test]
fn arguments_that_do_not_exist_are_named() {
    let tree = Tree::new();
    let good = tree.file("good", &victim("rung-e-slack"));
    let missing = tree.join("no such file");
    let broken = tree.symlink("nowhere", "broken link");
    let looped = tree.symlink("loop", "loop");
    let through = good.join("below a file");
    for bad in [&missing, &broken, &looped, &through] {
        let before = Snapshot::of(&good);
        let result =
            run_bounded("arguments", [Path::new("fix"), Path::new("--dry-run"), bad, &good].map(Path::as_os_str));
        result.assert_code(2, &bad.display().to_string());
        assert!(result.stderr.contains(bad.to_str().unwrap()), "{} is not named: {}", bad.display(), result.stderr);
        assert_eq!(Snapshot::of(&good), before, "a dry run");
    }
    let arguments = [Path::new("fix"), Path::new("--driver"), Path::new(DRIVER), &missing, &good].map(Path::as_os_str);
    run_bounded("arguments", arguments).assert_code(2, "one missing, one good");
    assert_eq!(
        Image::read(&good).runpath(),
        Some(format!("{DRIVER}:$ORIGIN/old").into_bytes()),
        "the good file is still fixed"
    );
    // Met while walking, a broken link is none of our business.
    let result = run_bounded("arguments", [Path::new("fix"), tree.path()].map(Path::as_os_str));
    result.assert_code(0, "a tree with a broken link");
}

/// A folder and a file that cannot be read are failures with their names; what else is there is done.
#[test]
fn folders_and_files_without_permission_are_named() {
    let test = "folders_and_files_without_permission_are_named";
    if is_root() && !require("setpriv", test) {
        return;
    }
    let tree = Tree::new();
    let image = victim("rung-e-slack");
    let closed_folder = tree.join("tree/closed folder");
    let (inside, closed, good) = (
        tree.file("tree/closed folder/image", &image),
        tree.file("tree/closed file", &image),
        tree.file("tree/good", &image),
    );
    let copy = tree.join("cuda-runpath");
    copy_program(&program(), &copy);
    for path in [&tree.join("tree"), &closed_folder, &inside, &closed, &good] {
        give_to_nobody(path);
    }
    set_mode(&closed, 0o000);
    set_mode(&closed_folder, 0o000);
    for (mode, target) in
        [(IN_PLACE, tree.join("tree")), (REPLACE, tree.join("tree")), (IN_PLACE, closed_folder.clone())]
    {
        let result = run(as_nobody(&copy).args(["fix", "--driver", DRIVER]).args(mode).arg(&target));
        result.assert_code(2, &format!("{} {mode:?}", target.display()));
        let mut named = vec![&closed_folder];
        if target != closed_folder {
            named.push(&closed);
            assert_eq!(
                Image::read(&good).runpath(),
                Some(format!("{DRIVER}:$ORIGIN/old").into_bytes()),
                "the good file is still fixed: {}",
                result.stderr
            );
        }
        for path in named {
            assert!(
                result.stderr.contains(path.to_str().unwrap()),
                "{} is not named: {}",
                path.display(),
                result.stderr
            );
        }
    }
    set_mode(&closed_folder, 0o755);
    set_mode(&closed, 0o644);
    for path in [&inside, &closed] {
        assert!(std::fs::read(path).unwrap() == image, "{} was written", path.display());
    }
}

/// A program header table and a symbol table that claim to be huge cost nothing: the bound on memory is the test.
#[test]
fn claims_about_size_allocate_nothing() {
    let mut cases = Vec::new();
    for (name, spec) in [
        ("large", Spec::library(crate::elfgen::Machine::X86_64).runpath("/a").text(1 << 20)),
        ("small", Spec::library(crate::elfgen::Machine::Ppc64).runpath("/a")),
    ] {
        let original = Damage::new(&spec.build());
        let d = || original.clone();
        let symbols = d().section_index(".dynsym").unwrap();
        for size in [1u64 << 32, 1 << 40, 1 << 62] {
            let bytes = d().put(d().section(symbols, "sh_size"), size).bytes;
            cases.push(Case {
                name: format!("{name}-dynsym-{size:x}"),
                bytes,
                expect: Expect::Refused(&["dynsym", "sh_size", "symbol", "section"]),
            });
            let bytes = d().put(d().value_of(10).unwrap(), size).bytes;
            cases.push(Case {
                name: format!("{name}-strsz-{size:x}"),
                bytes,
                expect: Expect::Refused(&["DT_STRSZ", "DT_STRTAB", "string table", "dynstr"]),
            });
            let last = d().segment_index(1, original.image.loads().count() - 1);
            // Bss of a terabyte is legal; writing it out is not the answer.
            let bytes = d().put(d().segment(last, "p_memsz"), size).bytes;
            cases.push(Case { name: format!("{name}-bss-{size:x}"), bytes, expect: Expect::Orderly });
        }
    }
    judge("claims_about_size_allocate_nothing", [cases]);
}
