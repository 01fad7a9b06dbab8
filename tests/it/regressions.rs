//! What was wrong once, each with the smallest input that shows it.

use std::fs;
use std::process::Stdio;

use crate::elfgen::{self, Machine, Packing, Spec};
use crate::fixtures::{Link, NEW, OLD, OldPath, Shape, deps, drop_section_headers, run_file};
use crate::support::{Tree, binary, require, run};

/// GNU ld writes `symoffset` 1 where nothing is exported: taken for the number of symbols, every imported name looked
/// unused and was overwritten.
#[test]
fn a_program_without_exports_and_section_headers_keeps_its_imports() {
    if !require("cc", "a_program_without_exports_and_section_headers_keeps_its_imports") {
        return;
    }
    let tree = Tree::new();
    for (name, path) in [("old", OldPath::Runpath), ("none", OldPath::None)] {
        let file = tree.join(name);
        Link::new("no_exports.c", Shape::Exec).path(path).flags(&["-Wl,--hash-style=gnu"]).to(&file);
        drop_section_headers(&file, true);
        if path == OldPath::Runpath {
            assert_eq!(run_file(&file, Shape::Exec, 0, "", None).code, OLD);
        }
        let driver = deps(0).new.to_str().unwrap();
        run(["fix", "--in-place", "--driver", driver, file.to_str().unwrap()]).assert_code(0, name);
        assert_eq!(run_file(&file, Shape::Exec, 0, "", None).code, NEW, "{name}");
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// The string of a tag that goes was left behind, and with it what a Nix store scan finds.
#[test]
fn no_abandoned_path_string_stays() {
    let tree = Tree::new();
    let stale = "/nix/store/00000000000000000000000000000000-stale/lib";
    for driver in ["/d", "/run/opengl-driver/lib", &format!("/{}", "long".repeat(200))] {
        let file = tree.file("both.so", &Spec::library(Machine::X86_64).rpath(stale).runpath("$ORIGIN/old").build());
        run(["fix", "--in-place", "--driver", driver, file.to_str().unwrap()]).assert_code(0, driver);
        assert!(!contains(&fs::read(&file).unwrap(), "stale"), "{driver}");
    }
}

/// Up to sixteen bytes behind the object were taken for padding whatever they were.
#[test]
fn a_short_payload_stays_the_end_of_the_file() {
    let tree = Tree::new();
    let presets = elfgen::presets();
    for (name, spec) in presets.iter().filter(|(_, spec)| spec.overlay.is_empty()) {
        let bytes = spec.clone().overlay(b"MAGIC*00001").build();
        if !bytes.ends_with(b"MAGIC*00001") {
            continue;
        }
        let file = tree.file("short", &bytes);
        run(["fix", "--in-place", file.to_str().unwrap()]).assert_orderly(name);
        assert!(fs::read(&file).unwrap().ends_with(b"MAGIC*00001"), "{name}");
    }
}

/// An output variable that names something above the store opened all of it.
#[test]
fn only_a_store_path_is_an_output() {
    let tree = Tree::new();
    let bytes = Spec::library(Machine::X86_64).packing(Packing::Padded).build();
    let file = tree.file("nix/store/abc-x/lib.so", &bytes);
    for out in ["", "nix", "nix/store", "nix/store/abc-x/lib"] {
        for option in [false, true] {
            let mut command = binary();
            command.arg("fix").arg(tree.join("nix/store/abc-x"));
            if option {
                command.arg("--build-output").arg(tree.join(out));
            }
            let output = command
                .env("NIX_STORE", tree.join("nix/store"))
                .env("NIX_BUILD_TOP", tree.path())
                .env("out", tree.join(out))
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(2), "{out}");
            assert_eq!(fs::read(&file).unwrap(), bytes, "{out}");
        }
    }
}

/// A reader that has seen enough made the run look failed.
#[test]
fn a_closed_pipe_is_no_failure() {
    let tree = Tree::new();
    let bytes = Spec::library(Machine::X86_64).packing(Packing::Padded).build();
    for index in 0..2000 {
        tree.file(format!("tree/some-longer-name-{index}.so"), &bytes);
    }
    let mut child = binary()
        .args(["fix", "--dry-run"])
        .arg(tree.join("tree"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// One long name in every DT_NEEDED would have been copied for each.
#[test]
fn names_cannot_be_multiplied() {
    let tree = Tree::new();
    let long = format!("lib{}.so", "x".repeat(100_000));
    let mut spec = Spec::library(Machine::X86_64);
    spec.needed = vec![long; 2000];
    let file = tree.file("many.so", &spec.build());
    let run = crate::support::run_bounded("names_cannot_be_multiplied", ["show", file.to_str().unwrap()]);
    run.assert_code(2, "many names");
}

/// Go's linker pads a stripped file to a whole page; more than sixteen zeros were taken for a payload.
#[test]
fn zeros_up_to_a_page_are_no_payload() {
    let tree = Tree::new();
    let driver = format!("/{}", "long/".repeat(2000));
    let mut grown = 0;
    for (name, spec) in
        elfgen::presets().iter().filter(|(name, spec)| spec.overlay.is_empty() && !name.starts_with("rung-k-"))
    {
        let edit = |zeros: usize| {
            let file = tree.file("padded", &spec.clone().overlay(&vec![0; zeros]).build());
            let code = run(["fix", "--in-place", "--driver", &driver, file.to_str().unwrap()]).code;
            (code, fs::metadata(file).unwrap().len())
        };
        let ((plain, _), (padded, size)) = (edit(0), edit(4095));
        assert_eq!(plain, padded, "{name}");
        grown += usize::from(size > 20_000);
    }
    assert!(grown > 30, "{grown} files had to grow, so this test shows little");
}

/// A read-only dynamic section was put into a writable segment, and the verifier refused the file.
#[test]
fn a_read_only_dynamic_section_moves() {
    let test = "a_read_only_dynamic_section_moves";
    if !require("cc", test) || !require("ld.lld", test) {
        return;
    }
    let tree = Tree::new();
    let flags = ["-Wl,-z,rodynamic", "-Wl,-z,norelro"];
    for (source, shape) in [("user_program.c", Shape::Pie), ("user_program.c", Shape::Exec)] {
        let file = tree.join(format!("{shape:?}"));
        Link::new(source, shape).linker("lld").path(OldPath::None).flags(&flags).to(&file);
        run(["fix", "--in-place", "--driver", deps(0).new.to_str().unwrap(), file.to_str().unwrap()])
            .assert_code(0, "fix");
        assert_eq!(run_file(&file, shape, 0, "", None).code, NEW, "{shape:?}");
    }
}
