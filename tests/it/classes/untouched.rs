//! Files that must be left alone: programs without a loader, the loader, and what is no object at all.

use std::path::{Path, PathBuf};

use super::layouts::long_path;
use crate::elfgen::read::Image;
use crate::harness::editors::Patchelf;
use crate::harness::fixtures::{drop_section_headers, fixtures};
use crate::harness::{
    Contents, Link, MODES, NATIVE, NEW, OLD, OldPath, Shape, Snapshot, Tree, command, copy_program, expect, fix,
    linkers, require, run, skip, start,
};

/// The start-up code of a static-pie program and the dynamic loader relocate themselves, and both assert that they have
/// no DT_RUNPATH. patchelf gives them one; they die before their first line.
#[test]
fn static_pie_and_the_loader() {
    let test = "static_pie_and_the_loader";
    let tree = Tree::new();
    for linker in linkers(test) {
        for shape in [Shape::Static, Shape::StaticPie] {
            // gold does not know --no-dynamic-linker.
            if linker == "gold" && shape == Shape::StaticPie {
                continue;
            }
            let told = format!("{linker} {shape:?}");
            let file = tree.join(format!("{linker}-{shape:?}"));
            let link = Link::new("static_program.c", shape).linker(linker).path(OldPath::None);
            if let Err(message) = link.try_to(&file) {
                skip(test, &format!("{linker} makes no {shape:?}: {message}"));
                continue;
            }
            assert_eq!(run(&mut command(&file)).code, 33, "{told} before");
            assert_skipped(&file, if shape == Shape::Static { "static" } else { "static-pie" }, &told);
            assert_eq!(run(&mut command(&file)).code, 33, "{told} after");
            // Those of other linkers lack sections that patchelf wants to see.
            if linker == "bfd" && shape == Shape::StaticPie {
                Patchelf::both(test).iter().for_each(|patchelf| assert_dies(patchelf, &file, |copy| command(copy)));
            }
        }
    }

    if !require("cc", test) {
        return;
    }
    let program = tree.join("program");
    Link::new("user_program.c", Shape::Pie).to(&program);
    let image = Image::read(&program);
    let interpreter = image.segments.iter().find(|segment| segment.kind == 3).unwrap();
    let name = &image.data[interpreter.offset as usize..][..interpreter.file_size as usize - 1];
    let system = PathBuf::from(String::from_utf8(name.to_vec()).unwrap());
    for name in ["ld-linux-x86-64.so.2", "loader", "loader-without-section-headers"] {
        let loader = tree.join(name);
        copy_program(&system, &loader);
        if name.ends_with("headers") {
            drop_section_headers(&loader, true);
        }
        assert_skipped(&loader, "loader", name);
        assert_eq!(run(command(&loader).arg(&program)).code, OLD, "{name} after");
        for patchelf in Patchelf::both(test).into_iter().filter(|_| name == "loader") {
            assert_dies(&patchelf, &loader, |copy| {
                let mut command = command(copy);
                command.arg(&program);
                command
            });
        }
    }
}

fn assert_skipped(file: &Path, reason: &str, told: &str) {
    let before = Snapshot::of(file);
    for mode in MODES {
        let ended = expect(fix(NATIVE).args(["--json", "-v"]).args(mode).arg(file), 0);
        let entry = ended.file();
        assert_eq!((&entry["outcome"], &entry["reason"]), (&"skipped".into(), &reason.into()), "{told}: {entry}");
        assert_eq!(Snapshot::of(file), before, "{told} {mode:?}");
    }
}

/// With any RUNPATH the copy is ended by a signal.
fn assert_dies(patchelf: &Patchelf, file: &Path, command: impl Fn(&Path) -> std::process::Command) {
    let copy = file.with_extension("patched");
    copy_program(file, &copy);
    patchelf.must_edit(&["--set-rpath", &long_path()], &copy);
    let ended = run(&mut command(&copy));
    assert!(!ended.exited(), "{} {}: {}", patchelf.name, file.display(), ended.said());
}

/// A tree holds more than objects: debug files with the program headers of what they belong to and none of its
/// contents, object files, kernel modules with a signature at their end, downloads that were cut off. None of them may
/// be touched, and none may keep the others from being edited. Both patchelfs leave them alone too, so nothing is shown
/// to break them.
#[test]
fn files_that_are_no_objects() {
    let test = "files_that_are_no_objects";
    if !require("cc", test) || !require("objcopy", test) || !require("eu-strip", test) {
        return;
    }
    let tree = Tree::new();
    let program = tree.place("tree/program");
    Link::new("user_program.c", Shape::Pie).to(&program);
    let debug = tree.join("tree/program.debug");
    expect(command("objcopy").arg("--only-keep-debug").args([&program, &debug]), 0);
    let eu_debug = tree.join("tree/program.eu-debug");
    let stripped = tree.join("stripped");
    expect(command("eu-strip").arg("-o").arg(&stripped).arg("-f").args([&eu_debug, &program]), 0);
    let object = tree.join("tree/object.o");
    expect(command("cc").args(["-c", "-g", "-o"]).arg(&object).arg(fixtures().join("no_exports.c")), 0);
    let module = tree.join("tree/module.ko");
    let signed = [&std::fs::read(&object).unwrap()[..], &[0x30; 200], b"~Module signature appended~\n"].concat();
    std::fs::write(&module, signed).unwrap();
    let skipped =
        [(&debug, "debug-file"), (&eu_debug, "debug-file"), (&object, "relocatable"), (&module, "relocatable")];
    let bytes = std::fs::read(&program).unwrap();
    let cut: Vec<PathBuf> = [5, 40, 64, 200, 1000, bytes.len() / 2, bytes.len() - 1]
        .into_iter()
        .map(|len| tree.file(format!("tree/cut-{len}"), &bytes[..len]))
        .collect();
    let text = tree.file("tree/README", b"\x7fELFish");
    let others: Vec<&PathBuf> = skipped.iter().map(|(file, _)| *file).chain(&cut).chain([&text]).collect();
    let before: Vec<Snapshot> = others.iter().map(|file| Snapshot::of(file)).collect();

    for mode in MODES {
        tree.executable(&program, &bytes);
        // The cut ones are failures, by name.
        let ended = expect(fix(NATIVE).args(["--json", "-vv"]).args(mode).arg(tree.join("tree")), 2);
        let files = ended.files();
        let entry = |file: &Path| files.get(file).cloned().unwrap_or_default();
        for (file, reason) in skipped {
            assert_eq!(entry(file)["outcome"], "skipped", "{}", entry(file));
            assert_eq!(entry(file)["reason"], reason, "{}", entry(file));
        }
        for file in &cut {
            assert_eq!(entry(file)["outcome"], "failed", "{}: {}", file.display(), entry(file));
        }
        assert_eq!(entry(&program)["outcome"], "fixed", "{}", entry(&program));
        assert_eq!(start(&program, Shape::Pie).code, NEW);
        for (file, before) in others.iter().zip(&before) {
            assert_eq!(Snapshot::of(file), *before, "{}", file.display());
        }
    }
    for patchelf in Patchelf::both(test) {
        for file in &others {
            patchelf.edit(&["--set-rpath", "/new"], file);
            assert_eq!(Contents::of(file), before[others.iter().position(|other| other == file).unwrap()].contents);
        }
    }
}
