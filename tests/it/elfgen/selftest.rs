//! The generator must be right before it may judge: other tools accept its images, and the loader runs them.

use std::collections::BTreeSet;

use super::read::Image;
use super::{Kind, Tag, presets};
use crate::harness::images::{answer, dependency};
use crate::harness::{Run, Show, Tree, command, require, run, rungs};

#[test]
fn presets_have_names_of_their_own_and_cover_classes_and_orders() {
    let list = presets();
    assert!(list.len() >= 40, "{} presets", list.len());
    let names: BTreeSet<_> = list.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), list.len(), "a name is used twice");
    let letters: String = rungs(Show::Preset).into_iter().map(|rung| rung.letters).collect();
    // The last one is that of files which must be refused.
    for letter in letters.chars().chain(['l']) {
        assert!(names.iter().any(|name| name.starts_with(&format!("rung-{letter}-"))), "no preset for rung {letter}");
    }
    let shapes: BTreeSet<_> = list.iter().map(|(_, spec)| format!("{:?} {:?}", spec.class, spec.order)).collect();
    assert_eq!(shapes.len(), 4, "{shapes:?}");
}

#[test]
fn own_reader_finds_what_the_spec_says() {
    for (name, spec) in presets().into_iter().filter(|(_, spec)| spec.is_dynamic()) {
        let bytes = spec.build();
        let image = Image::parse(&bytes).unwrap_or_else(|| panic!("{name} cannot be read back"));
        if matches!(spec.kind, Kind::DebugFile | Kind::DebugFileKeepingSizes) {
            continue;
        }
        let runpath = spec.paths.iter().rev().find(|(tag, _)| *tag == Tag::Runpath);
        let wanted = runpath.or(spec.paths.last()).map(|(_, path)| path.clone());
        assert_eq!(image.runpath(), wanted, "{name}");
        assert_eq!(image.spare, spec.spare, "{name}");
        let strings = image.strings().unwrap_or_else(|| panic!("{name}: strings"));
        for wanted in
            spec.needed.iter().chain(&spec.soname).chain(&spec.imports).chain(&spec.exports).chain(&spec.verdef)
        {
            assert!(strings.iter().any(|(_, text)| text == wanted.as_bytes()), "{name}: {wanted} is missing");
        }
        for load in image.loads() {
            let (file, memory) =
                (image.memory(load.address, load.file_size), load.memory_size.min(load.file_size + 4096));
            assert!(file.is_some() && image.memory(load.address, memory).is_some(), "{name}: {load:?}");
        }
    }
}

/// Runs a checker over every preset and gives back the lines that it says and that `known` does not explain.
fn complaints(tool: &str, arguments: &[&str], known: &[&str], lines: impl Fn(&Run) -> String) -> Vec<String> {
    let tree = Tree::new();
    let mut list = Vec::new();
    for (name, spec) in presets() {
        let file = tree.file(name, &spec.build());
        let debug = matches!(spec.kind, Kind::DebugFile | Kind::DebugFileKeepingSizes) && tool == "eu-elflint";
        let said = lines(&run(command(tool).args(arguments).args(debug.then_some("--debuginfo")).arg(&file)));
        list.extend(
            said.lines()
                .filter(|line| !known.iter().any(|known| line.contains(known)))
                .map(|line| format!("{name}: {line}")),
        );
    }
    list
}

#[test]
fn readelf_accepts_every_preset() {
    if !require("readelf", "readelf_accepts_every_preset") {
        return;
    }
    let list = complaints("readelf", &["-aW"], &[], |run| run.stderr.clone());
    assert!(list.is_empty(), "{}", list.join("\n"));
}

#[test]
fn elflint_accepts_every_preset() {
    if !require("eu-elflint", "elflint_accepts_every_preset") {
        return;
    }
    let known = [
        // Machines, tags and notes that elfutils does not know.
        "unknown machine type",
        "invalid machine flags",
        "entry 8: unknown tag",
        "entry 9: unknown tag",
        "with owner name 'NixOS'",
        "'.rela.dyn': relocation 0: invalid type",
        "'.rela.dyn': relocation 1: invalid type",
        // On purpose.
        "more than one entry with tag RUNPATH",
        "is writable but contains no writable sections",
    ];
    let list = complaints("eu-elflint", &["--gnu-ld", "--quiet"], &known, |run| run.stdout.clone() + &run.stderr);
    assert!(list.is_empty(), "{}", list.join("\n"));
}

#[test]
fn loader_runs_every_preset_of_this_machine() {
    let test = "loader_runs_every_preset_of_this_machine";
    let mut count = 0;
    for (name, spec) in presets().into_iter().filter(|(_, spec)| spec.runs_here()) {
        let tree = Tree::new();
        let old = dependency(&tree, "old", 1);
        let file = tree.executable(name, &spec.build());
        let finds = spec.paths.iter().any(|(_, path)| path.windows(4).any(|part| part == b"/old"));
        let Some(answer) = answer(&spec, &file, (!finds).then_some(old.as_path()), test) else { return };
        let wanted = if spec.needed.is_empty() { 40 } else { 41 };
        assert_eq!(answer, Ok(wanted), "{name}");
        count += 1;
    }
    assert!(count >= 30 || !cfg!(all(target_arch = "x86_64", target_os = "linux")), "{count} presets ran");
}

/// The comparison must accept what is right and see what is wrong, or the tests that rely on it say nothing.
#[test]
fn comparison_sees_every_kind_of_damage() {
    use super::compare::differences;
    for (name, spec) in presets() {
        let editable = matches!(spec.kind, Kind::Library | Kind::Pie | Kind::Exec);
        // `.dynstr` of a file with two paths is never found twice.
        if !editable || spec.paths.len() != 1 {
            continue;
        }
        let bytes = spec.build();
        let image = Image::parse(&bytes).unwrap();
        let path = image.runpath().unwrap();
        let same = differences(&image, &image, &path, &spec.overlay);
        assert!(same.is_empty(), "{name}: {same:?}");
        let spoil = |at: u64, value: u8| {
            let mut bytes = bytes.clone();
            bytes[at as usize] = value;
            Image::parse(&bytes).map_or(1, |other| differences(&image, &other, &path, &spec.overlay).len())
        };
        let code = image.loads().find(|load| load.flags & 1 != 0).unwrap();
        let last = code.offset + code.file_size - 1;
        assert!(spoil(last, bytes[last as usize] ^ 1) > 0, "{name}: a changed instruction");
        let soname = image.tag(1).and_then(|offset| image.offset_of(image.tag(5)? + offset)).unwrap();
        assert!(spoil(soname, b'X') > 0, "{name}: a changed string");
        let symbols = image.offset_of(image.tag(6).unwrap()).unwrap();
        assert!(spoil(symbols + 24, 1) > 0, "{name}: another string of a symbol");
        if let Some(load) = image.segments.iter().position(|segment| segment.kind == 1) {
            let flags = image.table + load as u64 * image.entry_size() + if image.entry_size() == 56 { 4 } else { 24 };
            let at = if image.order == super::Order::Big { flags + 3 } else { flags };
            assert!(spoil(at, 7) > 0, "{name}: a writable and executable segment");
        }
    }
}
