//! The architecture as a test: imports go one way, and each outside crate has one home.

use std::fs;
use std::path::{Path, PathBuf};

/// From the outermost layer to the innermost; a module may use those behind it.
const LAYERS: [&str; 9] = ["cli", "report", "tree", "fsio", "check", "loader", "cuda", "elf", "runpath"];

/// Crates that may be named only in certain layers.
const HOMES: [(&str, &[&str]); 17] = [
    ("toml", &["check"]),
    ("time", &["cli"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("anyhow", &["cli"]),
    ("indicatif", &["cli"]),
    ("serde", &["report"]),
    ("memmap2", &["fsio"]),
    ("tempfile", &["fsio"]),
    ("rustix", &["fsio"]),
    ("rayon", &["tree"]),
    ("walkdir", &["tree"]),
    ("goblin", &["elf"]),
    ("object", &["elf"]),
    ("lz4_flex", &["cuda"]),
    ("ruzstd", &["cuda"]),
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
fn imports_go_one_way() {
    for (layer, path, text) in sources() {
        let Some(own) = LAYERS.iter().position(|name| *name == layer) else { continue };
        for outer in &LAYERS[..own] {
            let import = format!("crate::{outer}");
            let line = code(&text).find(|line| line.contains(&import));
            assert!(line.is_none(), "{}: {layer} must not use {outer}: {}", path.display(), line.unwrap_or_default());
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
    assert_eq!(seen, 6);
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
