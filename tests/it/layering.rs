//! The architecture as a test: which layers may use which, no circle of files, and one home for each outside crate.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::imports::{House, circles};

/// Which layers a layer may use.
const MAY_USE: [(&str, &[&str]); 14] = [
    ("main", &["cli"]),
    ("lib", &[]),
    ("cli", &["report", "tree", "cdi", "oci", "fsio", "check", "loader", "cuda", "elf", "runpath"]),
    ("report", &["tree", "fsio", "check", "loader", "cuda", "elf", "runpath"]),
    ("tree", &["cdi", "oci", "fsio", "check", "loader", "cuda", "elf", "runpath"]),
    ("oci", &[]),
    ("cdi", &["cuda", "elf"]),
    ("fsio", &["elf"]),
    ("check", &["cdi", "loader", "cuda", "elf", "runpath", "nix"]),
    ("loader", &["elf", "runpath", "nix"]),
    ("cuda", &["elf"]),
    ("elf", &["runpath"]),
    ("runpath", &["nix"]),
    ("nix", &[]),
];

/// Crates that may be named only in certain layers.
const HOMES: [(&str, &[&str]); 27] = [
    ("foldhash", &["loader", "tree"]),
    ("toml", &["check"]),
    ("time", &["cli"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("anyhow", &["cli"]),
    ("indicatif", &["cli"]),
    ("signal_hook", &["cli"]),
    ("serde", &["report", "oci", "cdi"]),
    ("serde_saphyr", &["cdi"]),
    ("schemars", &["report"]),
    ("memmap2", &["fsio"]),
    ("libc", &["fsio"]),
    ("rustix", &["fsio"]),
    ("blake3", &["fsio"]),
    ("rayon", &["tree"]),
    ("goblin", &["elf"]),
    ("object", &["elf"]),
    ("memchr", &["cuda"]),
    ("lz4_flex", &["cuda"]),
    ("ruzstd", &["cuda", "oci"]),
    ("tar", &["oci"]),
    ("flate2", &["oci"]),
    ("sha2", &["oci", "report"]),
    ("maud", &["report"]),
    ("base64", &["report"]),
];

/// What a pure layer must not touch.
const IMPURE: [&str; 6] = ["std::fs", "std::env", "std::thread", "std::process", "std::net", "println!"];

fn sources() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut open = vec![root.clone()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let layer = path.strip_prefix(&root).unwrap().iter().next().unwrap().to_str().unwrap().to_owned();
                let text = fs::read_to_string(&path).unwrap();
                found.push((layer, path, text));
            }
        }
    }
    assert!(found.len() > 40, "found only {} sources", found.len());
    found
}

/// Lines of code, without comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

#[test]
fn layers_use_only_what_they_may() {
    let house = House::read();
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.into_iter().collect();
    for (from, to) in house.imports() {
        let (own, other) = (house.layer(from), house.layer(to));
        let may_use = allowed.get(own).unwrap_or_else(|| panic!("{own} is no known layer"));
        let names = house.names(from, to);
        assert!(own == other || may_use.contains(&other), "{from} must not use {to} ({names})");
    }
    for (layer, _) in MAY_USE {
        assert!(house.files().any(|file| house.layer(file) == layer), "there is no layer {layer} any more");
    }
}

#[test]
fn no_circle_of_files() {
    let house = House::read();
    let found = circles(&house.graph());
    let told: Vec<String> = found.iter().map(|circle| house.tell(circle)).collect();
    assert!(told.is_empty(), "{} circles:\n{}", told.len(), told.join("\n"));
}

/// A rule of the reader itself: braces, `self`, `super`, renames, re-exports and paths inside of macros all count.
#[test]
fn every_way_to_import_counts() {
    let house = House::of(&[
        ("src/lib.rs", "pub mod a; pub mod b;"),
        ("src/a/mod.rs", "mod one; mod two; pub use one::{One, inner as renamed}; pub use self::two::*;"),
        ("src/a/one.rs", "use super::two::Two; pub struct One; pub fn inner() {}"),
        ("src/a/two.rs", "pub struct Two; fn f() { println!(\"{}\", crate::b::deep::value()); }"),
        ("src/b/mod.rs", "pub mod deep; use crate::{a::{self, One}, b::deep::value}; fn g() { a::renamed() }"),
        ("src/b/deep.rs", "use super::super::a::One as Other; #[cfg(test)] mod tests { use crate::b::Nothing; }"),
    ]);
    let wanted: BTreeSet<(String, String)> = [
        ("src/a/one.rs", "src/a/two.rs"),
        ("src/a/two.rs", "src/b/deep.rs"),
        ("src/b/mod.rs", "src/a/one.rs"),
        ("src/b/mod.rs", "src/b/deep.rs"),
        ("src/b/deep.rs", "src/a/one.rs"),
    ]
    .map(|(from, to)| (from.to_owned(), to.to_owned()))
    .into();
    let found: BTreeSet<(String, String)> =
        house.imports().map(|(from, to)| (from.to_owned(), to.to_owned())).collect();
    assert_eq!(found, wanted);
    assert_eq!(
        circles(&house.graph()),
        [["src/a/one.rs", "src/a/two.rs", "src/b/deep.rs"].map(str::to_owned).to_vec()]
    );
}

/// One word, one meaning.
#[test]
fn no_type_name_stands_twice() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let house = House::read();
    for (name, file) in house.types() {
        places.entry(name).or_default().push(file);
    }
    let twice: Vec<String> = places
        .iter()
        .filter(|(_, files)| files.len() > 1)
        .map(|(name, files)| format!("{name}: {}", files.join(", ")))
        .collect();
    assert!(twice.is_empty(), "{}", twice.join("\n"));
}

/// From a code's number a newcomer knows the file.
#[test]
fn findings_are_raised_in_the_file_of_their_hundred() {
    const FILES: [(&str, &str); 9] = [
        ("CRP1", "requests"),
        ("CRP2", "stubs"),
        ("CRP3", "search_path"),
        ("CRP4", "compat"),
        ("CRP5", "gpu"),
        ("CRP6", "closure"),
        ("CRP7", "files"),
        ("CRP8", "image"),
        ("CRP9", "comparison"),
    ];
    let table = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/check/rule.rs")).unwrap();
    let codes: Vec<(&str, &str)> = table
        .lines()
        .filter_map(|line| line.trim().split_once(" = \"CRP"))
        .map(|(name, rest)| (name, rest.split('"').next().unwrap()))
        .collect();
    assert!(codes.len() > 40, "{codes:?}");
    let mut raised = BTreeSet::new();
    for (layer, path, text) in sources() {
        let path = path.to_str().unwrap();
        let Some((_, file)) = path.split_once("/check/rules/").filter(|_| layer == "check") else { continue };
        for (name, number) in &codes {
            if code(&text).any(|line| line.contains(&format!("rule::{name}"))) {
                raised.insert(*name);
                let code = format!("CRP{number}");
                let (_, home) = FILES.iter().find(|(start, _)| code.starts_with(start)).unwrap();
                assert_eq!(file, format!("{home}.rs"), "{code} {name} is raised in {path}");
            }
        }
    }
    let silent: Vec<&&str> = codes.iter().map(|(name, _)| name).filter(|name| !raised.contains(*name)).collect();
    assert!(silent.is_empty(), "raised nowhere in src/check/rules: {silent:?}");
}

/// Comments name the actor: the loader, the kernel, the planner, another process.
#[test]
fn comments_name_the_actor() {
    for (_, path, text) in sources() {
        for (number, line) in (1..).zip(text.lines()) {
            let Some((_, comment)) = line.split_once("//") else { continue };
            let words = comment.to_lowercase();
            for word in ["nobody", "somebody", "whoever", "anybody", "everybody"] {
                assert!(!words.contains(word), "{}:{number}: who is {word}? {}", path.display(), line.trim());
            }
        }
    }
}

#[test]
fn every_outside_crate_has_one_home() {
    for (layer, path, text) in sources() {
        for (name, homes) in HOMES {
            let is_own_module = path.with_file_name(format!("{name}.rs")).exists();
            if homes.contains(&layer.as_str()) || is_own_module {
                continue;
            }
            let named = |line: &&str| {
                // `super::object::` and `my_object::` are other things.
                let is_crate = |before: &str| !before.ends_with([':', '_']);
                line.split_once(&format!("{name}::")).is_some_and(|(before, _)| is_crate(before))
            };
            let line = code(&text).find(named);
            assert!(line.is_none(), "{}: only {homes:?} may use {name}: {}", path.display(), line.unwrap_or_default());
        }
    }
}

#[test]
fn pure_layers_do_no_input_or_output() {
    for (layer, path, text) in sources() {
        if !matches!(layer.as_str(), "runpath" | "elf" | "cuda" | "loader" | "check") {
            continue;
        }
        for word in IMPURE {
            let line = code(&text).find(|line| line.contains(word));
            assert!(line.is_none(), "{}: {layer} is pure, but uses {word}", path.display());
        }
    }
}

#[test]
fn only_the_command_line_reads_the_environment() {
    for (layer, path, text) in sources() {
        let line = code(&text).find(|line| line.contains("env::var"));
        assert!(layer == "cli" || line.is_none(), "{}: {}", path.display(), line.unwrap_or_default());
    }
}

/// The verifier must not share a parser with the planner: a mistake there would confirm itself.
#[test]
fn the_verifier_does_not_use_the_planners_parser() {
    let mut seen = 0;
    for (_, path, text) in sources() {
        if !path.to_str().unwrap().contains("/verify/") {
            continue;
        }
        seen += 1;
        for word in [
            "goblin",
            "super::view",
            "elf::view",
            "super::record",
            "elf::record",
            "load_map",
            "crate::elf::dynamic",
            "elf::strings",
        ] {
            let line = code(&text).find(|line| line.contains(word) && !line.contains("object::"));
            assert!(line.is_none(), "{}: {}", path.display(), line.unwrap_or_default());
        }
    }
    assert_eq!(seen, 9);
}

/// A file that does not fit on a few screens holds two things.
#[test]
fn files_stay_small() {
    for (_, path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 600, "{} has {lines} lines", path.display());
    }
}

/// The first lines of a file say what lives there.
#[test]
fn every_file_says_what_lives_there() {
    for (_, path, text) in sources() {
        assert!(text.starts_with("//!"), "{} does not start with a //! line", path.display());
    }
}
