//! The tool that edits whole trees (`tests/fleet/run`) finds what is broken, and nothing else.

#[path = "../fleet/fleet.rs"]
mod tool;

use std::path::PathBuf;

use crate::elfgen::preset;
use crate::harness::{Tree, program, require};

fn image(name: &str) -> Vec<u8> {
    preset(name).build()
}

/// Four files to edit, of which one is another's second name, one to refuse, one to leave alone, one that is no ELF file.
fn tree() -> Tree {
    let tree = Tree::in_memory();
    tree.executable("tree/bin/pie", &image("rung-f-property-note"));
    tree.file("tree/lib/one.so", &image("rung-e-slack"));
    tree.file("tree/lib/foreign.so", &image("rung-i-make-room-be"));
    std::fs::hard_link(tree.join("tree/lib/one.so"), tree.join("tree/lib/two.so")).unwrap();
    tree.symlink("one.so", "tree/lib/libdep.so.1");
    tree.file("tree/lib/payload.so", &image("rung-l-overlay"));
    tree.file("tree/lib/object.o", &image("skip-relocatable"));
    tree.file("tree/share/text", b"text");
    tree
}

/// The program, and behind it something that spoils one of the files that it was given.
fn spoiler(tree: &Tree, spoil: &str) -> PathBuf {
    let script =
        format!("#!/bin/sh\n'{}' \"$@\"\ncode=$?\nfor last; do :; done\n{spoil}\nexit $code\n", program().display());
    tree.executable("program", script.as_bytes())
}

fn has_tools(test: &str) -> bool {
    ["cc", "timeout", "readelf", "eu-elflint"].iter().all(|tool| require(tool, test))
}

#[test]
fn a_sound_fleet_is_counted() {
    if !has_tools("a_sound_fleet_is_counted") {
        return;
    }
    let tree = tree();
    let report = tool::run(&program(), &tree.join("tree"));
    assert!(report.broken.is_empty() && report.not_checked.is_empty(), "{report}");
    assert_eq!((report.files, report.elf, report.edited, report.refused.len()), (7, 6, 3, 1), "{report}");
    assert!(report.refused[0].contains("payload.so: no safe place"), "{report}");
    assert_eq!(report.checked["bytes"], 3, "{report}");
}

/// Each way to break a file is seen, and the file is named.
#[test]
fn a_broken_file_is_named() {
    if !has_tools("a_broken_file_is_named") {
        return;
    }
    let byte =
        |file: &str, at: u64| format!("printf X | dd of=\"$last/{file}\" bs=1 seek={at} conv=notrunc status=none");
    let code = {
        let image = crate::elfgen::read::Image::parse(&image("rung-i-make-room-be")).unwrap();
        let text = image.section(".text").unwrap();
        text.offset + text.size - 1
    };
    for (spoil, words) in [
        (byte("lib/foreign.so", code), "lib/foreign.so: the byte at address"),
        (byte("lib/object.o", 100), "lib/object.o: left alone, and yet written"),
        // A library whose ELF header names no machine cannot be loaded.
        (byte("lib/one.so", 18), "lib/one.so: ld.so --list said"),
        ("chmod 700 \"$last/bin/pie\"".to_owned(), "bin/pie: its mode changed"),
        ("touch \"$last/bin/pie\"".to_owned(), "bin/pie: written in the second run"),
        (
            "case \"$*\" in *in-place*) printf X >>\"$last/bin/pie\" ;; esac".to_owned(),
            "bin/pie: the two write modes differ",
        ),
    ] {
        let tree = tree();
        let report = tool::run(&spoiler(&tree, &spoil), &tree.join("tree"));
        assert!(report.broken.iter().any(|problem| problem.starts_with(words)), "{spoil}: no {words:?} in\n{report}");
    }
}
