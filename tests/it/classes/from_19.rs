//! Classes 19 to 27: addresses, missing and odd headers, dynamic entries, files that are none of ours, names and modes,
//! and what other editors left behind.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::layouts::{Real, assert_image_kept, linkers, long_path};
use super::naive::{add_entry, set_rpath_only};
use crate::afterwards::backtrace;
use crate::editors::{Patchelf, python};
use crate::elfgen::damage::Damage;
use crate::elfgen::read::Image;
use crate::elfgen::{self, Machine, Spec};
use crate::fixtures::{
    Link, NEW, OLD, OldPath, Shape, clean, deps, drop_section_headers, fix, fixtures, host, json,
    paths_longer_than_a_page, run, run_file,
};
use crate::support::{Snapshot, Tree, require};

const PROGRAMS: [(&str, Shape); 3] =
    [("user_program.c", Shape::Exec), ("user_program.c", Shape::Pie), ("user_library.c", Shape::Library)];

fn image(file: &Path) -> Image {
    Image::parse(&std::fs::read(file).unwrap()).unwrap()
}

/// Runs a tool that must succeed.
fn tool(program: &str, arguments: &[&str], files: &[&Path]) {
    let ended = run(clean(program).args(arguments).args(files));
    assert_eq!(ended.code, 0, "{program} {arguments:?}: {}", ended.said());
}

/// Debug information lies in a package of its own, and crash reports name addresses. An editor that lays the file out
/// anew, as LIEF does, shifts every address by a page: the library works, and what a crash report names is something
/// else. (gdb itself compares the addresses of sections and follows.)
#[test]
fn class_19_addresses_that_others_know() {
    const EDIT: &str = "import sys, lief\n\
        file = lief.ELF.parse(sys.argv[1])\n\
        file.get(lief.ELF.DynamicEntry.TAG.RUNPATH).runpath = sys.argv[2]\n\
        file.write(sys.argv[1])\n";
    let test = "class_19_addresses_that_others_know";
    if !require("gdb", test) || !require("strip", test) {
        return;
    }
    for linker in linkers(test) {
        for (source, shape) in PROGRAMS {
            let told = format!("{linker} {shape:?}");
            let tree = Tree::new();
            let debug = tree.join(if shape == Shape::Library { "libuser.debug" } else { "program.debug" });
            let real = Real::treated(&Link::new(source, shape).linker(linker), |file| {
                tool("objcopy", &["--only-keep-debug"], &[file, &debug]);
                tool("strip", &["--strip-all"], &[file]);
                tool("objcopy", &["--add-gnu-debuglink", debug.to_str().unwrap()], &[file]);
            });
            let (at, source_line) =
                if shape == Shape::Library { ("user_number", "user_library.c:") } else { ("main", "user_program.c:") };
            let listing = run(clean("nm").arg(&debug)).out();
            // Address, type, name; the type of a symbol in a debug file is what binutils makes of it.
            let named = |line: &&str| line.split_whitespace().nth(2) == Some(at);
            let line = listing.lines().find(named).unwrap_or_else(|| panic!("{told}: no {at} in {listing}"));
            let address = u64::from_str_radix(line.split_whitespace().next().unwrap(), 16).unwrap();
            let code = |file: &Path| image(file).memory(address, 8);
            let finds = |file: &Path| backtrace(file, shape, at, Some(&debug)).contains(source_line);
            assert!(code(&real.original()).is_some(), "{told}: no code at {address:#x}");
            assert!(finds(&real.original()), "{told}: gdb does not find {at} before");
            let kept = real.assert_kept(&told);
            assert!(finds(&kept.file), "{told}: gdb does not find {at} after {}", kept.strategy);
            assert_eq!(code(&kept.file), code(&real.original()), "{told}: other code at {address:#x}");
            let Some(python) = python(test).filter(|_| linker == "bfd" && shape == Shape::Library) else { continue };
            let file = real.copy("lief");
            let ended = run(clean(python).arg("-c").arg(EDIT).arg(&file).arg(long_path()));
            assert_eq!(ended.code, 0, "{told}: {}", ended.said());
            assert_eq!(real.run(&file).code, NEW, "{told}: nothing is seen when it runs");
            assert_ne!(code(&file), code(&real.original()), "{told}: LIEF keeps addresses by now");
        }
    }
}

/// The loader needs no section headers, and `sstrip`, UPX and some build systems remove them. patchelf refuses such a
/// file, and in hooks that go on after an error the stub's path stays in silence.
#[test]
fn class_20_no_section_headers() {
    let test = "class_20_no_section_headers";
    let long = paths_longer_than_a_page();
    for linker in linkers(test) {
        for (source, shape) in PROGRAMS {
            for flags in [&[][..], &[&*long]] {
                let told = format!("{linker} {shape:?} {}", flags.len());
                let link = Link::new(source, shape).linker(linker).flags(flags);
                let real = Real::treated(&link, |file| drop_section_headers(file, true));
                real.assert_kept(&told);
                for patchelf in Patchelf::both(test) {
                    let file = real.copy("other");
                    let ended = patchelf.edit(&["--set-rpath", &long_path()], &file);
                    let says = ended.err().contains("no section headers");
                    assert!(ended.code != 0 && says, "{told}: {}: {}", patchelf.name, ended.said());
                    assert_eq!(real.run(&file).code, OLD, "{told}: {}", patchelf.name);
                }
            }
        }
    }
    for (name, spec) in elfgen::presets().into_iter().filter(|(name, _)| name.contains("no-headers")) {
        if !name.starts_with("skip-") {
            assert_image_kept(&spec, name, test);
        }
    }
}

/// Names of sections are not unique, types not a closed list, and counts do not always stand where they should.
/// patchelf finds sections by name: 0.14 takes the wrong `.dynstr` and makes a file that does not load, 0.19 refuses
/// it.
#[test]
fn class_21_odd_section_names_and_types() {
    const TYPES: &str = ".section .odd, \"a\", @0x6abcdef0\n.quad 5\n\
        .section .not_loaded, \"\", @0x6abcdef1\n.quad 5\n\
        .section .note.GNU-stack, \"\", @progbits\n";
    const NAMES: &str = ".section .shstrtab, \"a\", @progbits\n.asciz \"not the names of sections\"\n\
        .section .dynstr, \"a\", @progbits\n.asciz \"not the strings of the loader\"\n\
        .section .odder, \"aw\", @0x8abcdef0\n.quad 5\n\
        .section .dynamic, \"aw\", @progbits\n.quad 1, 2\n";
    let test = "class_21_odd_section_names_and_types";
    let tree = Tree::new();
    let types = tree.file("types.s", TYPES.as_bytes());
    let names = tree.file("names.s", [TYPES, NAMES].concat().as_bytes());
    let long = paths_longer_than_a_page();
    for linker in linkers(test) {
        for (source, shape) in PROGRAMS {
            // GNU ld and lld merge sections of one name.
            let has_two = matches!(linker, "gold" | "mold");
            let odd = if has_two { &names } else { &types }.to_str().unwrap();
            let told = format!("{linker} {shape:?}");
            let flags = [odd, "-Wa,--no-warn", &long];
            let real = Real::new(&Link::new(source, shape).linker(linker).flags(&flags[..2]));
            let image = image(&real.original());
            let count = |name: &str| {
                let named = |section: &&elfgen::read::Section| image.section_name(section).unwrap() == name.as_bytes();
                image.sections.iter().filter(named).count()
            };
            assert_eq!(count(".odd"), 1, "{told}");
            assert_eq!((count(".dynstr"), count(".shstrtab")), if has_two { (2, 2) } else { (1, 1) }, "{told}");
            real.assert_kept(&told);
            Real::new(&Link::new(source, shape).linker(linker).flags(&flags)).assert_kept(&told);
            if !has_two || shape != Shape::Library {
                continue;
            }
            if let Some(patchelf) = Patchelf::old(test) {
                let ended = real.run_after(|file| patchelf.must_edit(&["--set-rpath", &long_path()], file));
                assert!(!matches!(ended.code, OLD | NEW), "{told}: {}", patchelf.name);
            }
            if let Some(patchelf) = Patchelf::new(test) {
                let ended = patchelf.edit(&["--set-rpath", &long_path()], &real.copy("other"));
                assert_ne!(ended.code, 0, "{told}: {}", patchelf.name);
            }
        }
    }

    // gABI "Extended numbering": the number of program headers stands in the first section header. No loader reads
    // that.
    for machine in [Machine::X86_64, Machine::Ppc] {
        let object = Damage::new(&Spec::library(machine).runpath("$ORIGIN/old").build());
        let count = object.image.segments.len() as u64;
        let fields = [(object.header("e_phnum"), 0xffff), (object.section(0, "sh_info"), count)];
        let object = fields.into_iter().fold(object, |object, (field, value)| object.put(field, value));
        let file = tree.file("extended-numbering.so", &object.bytes);
        for mode in [&[][..], &["--in-place"]] {
            let before = Snapshot::of(&file);
            let ended = run(fix(0).args(mode).arg(&file));
            let names = ended.err().contains("extended-numbering.so") && ended.err().contains("e_phnum");
            assert!(ended.code == 2 && names, "{machine:?}: {}", ended.said());
            assert_eq!(Snapshot::of(&file), before, "{machine:?}");
        }
    }
}

/// lld, Go and wild write one DT_NULL and no more. An editor that adds its entry there, as it may in files of GNU ld,
/// leaves a dynamic section without an end, and whoever walks it walks on into what follows.
#[test]
fn class_22_no_spare_dynamic_entry() {
    let test = "class_22_no_spare_dynamic_entry";
    for linker in linkers(test) {
        for (source, shape) in PROGRAMS {
            let told = format!("{linker} {shape:?}");
            let real = Real::new(&Link::new(source, shape).linker(linker).path(OldPath::None));
            let spare = image(&real.original()).spare;
            assert_eq!(spare == 0, linker == "lld", "{told} has {spare} spare entries");
            let kept = real.assert_kept(&told);
            // It has an end, or it would not parse.
            assert!(image(&kept.file).tag(29).is_some(), "{told}");
            let naive = real.run_after_bytes(&add_entry).code;
            assert_eq!(naive != NEW, linker == "lld", "{told}: naive: {naive}");
        }
    }
}

/// patchelf makes room for an ET_EXEC program's headers by putting pages in front, at lower addresses. Where the
/// program starts in the first pages that a process may have, there are none.
#[test]
fn class_23_low_addresses() {
    let test = "class_23_low_addresses";
    // More than the addresses below would hold.
    let huge = format!("-Wl,-rpath,/{}", "x".repeat(70_000));
    let path = format!("{}:/{}", deps(0).new.display(), "x".repeat(70_000));
    for linker in linkers(test) {
        let base =
            if matches!(linker, "bfd" | "gold") { "-Wl,-Ttext-segment=0x10000" } else { "-Wl,--image-base=0x10000" };
        for flags in [&[base][..], &[base, &huge]] {
            let told = format!("{linker} {}", flags.len());
            let real = Real::new(&Link::new("own_headers.c", Shape::Exec).linker(linker).flags(flags));
            let lowest = image(&real.original()).loads().map(|load| load.address).min();
            assert_eq!(lowest, Some(0x1_0000), "{told}");
            real.assert_kept(&told);
            // A path that is that long already makes room for the new one.
            for patchelf in Patchelf::both(test).iter().filter(|_| flags.len() == 1) {
                let file = real.copy("other");
                let ended = patchelf.edit(&["--set-rpath", &path], &file);
                let says = ended.err().contains("virtual address space underrun");
                assert!(ended.code != 0 && says, "{told}: {}: {}", patchelf.name, ended.said());
                assert_eq!(real.run(&file).code, OLD, "{told}: {}", patchelf.name);
            }
        }
    }
    let spec = Spec::exec(Machine::X86_64).runpath("$ORIGIN/old").base(0x1_0000);
    assert_image_kept(&spec.clone().null_slot(), "a header to spare", test);
    assert_image_kept(&spec.bss(1 << 20), "no header to spare", test);
}

/// Old versions of GNU ld wrote both tags. The loader ignores DT_RPATH beside DT_RUNPATH: an editor that knows one tag
/// sets a path that nobody reads, or leaves the other one behind for the next tool to find.
#[test]
fn class_24_both_tags() {
    let test = "class_24_both_tags";
    for linker in linkers(test) {
        if linker == "lld" {
            // No entry to add the second tag in.
            continue;
        }
        for (source, shape) in PROGRAMS {
            let told = format!("{linker} {shape:?}");
            let real = Real::treated(&Link::new(source, shape).linker(linker).path(OldPath::Rpath), |file| {
                let object = Damage::new(&std::fs::read(file).unwrap());
                let path = object.image.tag(15).expect("DT_RPATH");
                let (tag, value) = object.dynamic(object.image.dynamic.len());
                std::fs::write(file, object.put(tag, 29).put(value, path).bytes).unwrap();
            });
            let kept = image(&real.assert_kept(&told).file);
            let paths: Vec<u64> =
                kept.dynamic.iter().map(|entry| entry.0).filter(|tag| matches!(tag, 15 | 29)).collect();
            assert_eq!(paths, [29], "{told}");
            assert_eq!(real.run_after_bytes(&set_rpath_only).code, OLD, "{told}: naive");
        }
    }
    for (name, spec) in elfgen::presets().into_iter().filter(|(name, _)| name.starts_with("slot-both")) {
        assert_image_kept(&spec, name, test);
    }
}

/// A tree holds more than objects: debug files with the program headers of what they belong to and none of its
/// contents, object files, kernel modules with a signature at their end, downloads that were cut off. None of them may
/// be touched, and none may keep the others from being edited. Both patchelfs leave them alone too, so nothing is shown
/// to break them.
#[test]
fn class_25_files_that_are_no_objects() {
    let test = "class_25_files_that_are_no_objects";
    if !require("cc", test) || !require("objcopy", test) || !require("eu-strip", test) {
        return;
    }
    let tree = Tree::new();
    let program = tree.join("tree/program");
    std::fs::create_dir_all(tree.join("tree")).unwrap();
    Link::new("user_program.c", Shape::Pie).to(&program);
    let debug = tree.join("tree/program.debug");
    tool("objcopy", &["--only-keep-debug"], &[&program, &debug]);
    let eu_debug = tree.join("tree/program.eu-debug");
    let stripped = tree.join("stripped");
    tool("eu-strip", &["-o", stripped.to_str().unwrap(), "-f", eu_debug.to_str().unwrap()], &[&program]);
    let object = tree.join("tree/object.o");
    tool("cc", &["-c", "-g", "-o", object.to_str().unwrap()], &[&fixtures().join("no_exports.c")]);
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

    for mode in [&["--in-place"][..], &[]] {
        std::fs::write(&program, &bytes).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let ended = run(fix(0).args(["--json", "-vv"]).args(mode).arg(tree.join("tree")));
        // The cut ones are failures, by name.
        assert_eq!(ended.code, 2, "{}", ended.said());
        let document = json(&ended);
        let entry = |file: &Path| {
            let files = document["files"].as_array().unwrap();
            files.iter().find(|entry| entry["path"] == *file.to_str().unwrap()).cloned().unwrap_or_default()
        };
        for (file, reason) in skipped {
            assert_eq!(entry(file)["outcome"], "skipped", "{}", entry(file));
            assert_eq!(entry(file)["reason"], reason, "{}", entry(file));
        }
        for file in &cut {
            assert_eq!(entry(file)["outcome"], "failed", "{}: {}", file.display(), entry(file));
        }
        assert_eq!(entry(&program)["outcome"], "fixed", "{}", entry(&program));
        assert_eq!(run_file(&program, Shape::Pie, 0, "", None).code, NEW);
        for (file, before) in others.iter().zip(&before) {
            assert_eq!(Snapshot::of(file), *before, "{}", file.display());
        }
    }
    for patchelf in Patchelf::both(test) {
        for file in &others {
            patchelf.edit(&["--set-rpath", "/new"], file);
            assert!(
                std::fs::read(file).unwrap() == before[others.iter().position(|other| other == file).unwrap()].bytes
            );
        }
    }
}

/// A file can have several names, be loaded, or be read-only. Who writes beside it and renames leaves the other names
/// with the old file; who truncates it and writes it anew, as patchelf does, takes the pages from under every process
/// that has it mapped. More of this, with users, folders and full disks, is in [`mod@crate::files`].
#[test]
fn class_26_names_modes_and_loaded_files() {
    let test = "class_26_names_modes_and_loaded_files";
    if !require("cc", test) {
        return;
    }
    let real = Real::new(&Link::new("fatbin_library.c", Shape::Library));
    let program = Real::new(&Link::new("user_program.c", Shape::Pie));
    // A process that says when it has loaded the file, and goes on in it after the edit.
    let goes_on = |mut command: Command, edit: &dyn Fn()| {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        edit();
        drop(child.stdin.take());
        child.wait().unwrap().code()
    };
    let loaded = |file: &Path, edit: &dyn Fn(&Path)| {
        let mut command = clean(host("host.c", 0));
        command.arg(file).args(["user_number", "wait"]);
        goes_on(command, &|| edit(file))
    };
    let running = |file: &Path, edit: &dyn Fn(&Path)| {
        let mut command = clean(file);
        command.arg("wait");
        goes_on(command, &|| edit(file))
    };
    for mode in [&[][..], &["--in-place"]] {
        let file = real.copy("loaded");
        let second = file.with_file_name("second-name.so");
        let edit = |file: &Path| {
            let ended = run(fix(0).args(mode).arg(file));
            assert_eq!(ended.code, 0, "{}", ended.said());
        };
        assert_eq!(loaded(&file, &edit), Some(OLD), "{mode:?}: the process has its old file");
        assert_eq!(real.run(&file).code, NEW, "{mode:?}");
        let file = program.copy("running");
        assert_eq!(running(&file, &edit), Some(OLD), "{mode:?}: the process has its old file");
        assert_eq!(program.run(&file).code, NEW, "{mode:?}");

        let file = real.copy("linked");
        let _ = std::fs::remove_file(&second);
        std::fs::hard_link(&file, &second).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o444)).unwrap();
        edit(&file);
        assert_eq!((real.run(&file).code, real.run(&second).code), (NEW, NEW), "{mode:?}");
        assert_eq!(std::fs::metadata(&second).unwrap().permissions().mode() & 0o7777, 0o444, "{mode:?}");
        std::fs::remove_file(second).unwrap();
    }
    for patchelf in Patchelf::both(test) {
        let edit = |file: &Path| patchelf.must_edit(&["--set-rpath", &long_path()], file);
        let ended = loaded(&real.copy("loaded"), &edit);
        assert_ne!(ended, Some(OLD), "{} keeps what is mapped by now", patchelf.name);
        let file = program.copy("running");
        let busy = |file: &Path| {
            let ended = patchelf.edit(&["--set-rpath", &long_path()], file);
            assert!(ended.err().contains("Text file busy"), "{}: {}", patchelf.name, ended.said());
        };
        assert_eq!(running(&file, &busy), Some(OLD), "{}", patchelf.name);
        assert_eq!(program.run(&file).code, OLD, "{}: the path is the old one", patchelf.name);
    }
    // Beside it, and then its name.
    let file = real.copy("linked");
    let second = file.with_file_name("second-name.so");
    std::fs::hard_link(&file, &second).unwrap();
    let edited = file.with_extension("new");
    std::fs::copy(real.assert_kept("a copy").file, &edited).unwrap();
    std::fs::rename(&edited, &file).unwrap();
    assert_eq!((real.run(&file).code, real.run(&second).code), (NEW, OLD), "naive");
}

/// NVIDIA's libraries come patched already: `.dynstr` in a writable PT_LOAD at the end, X and Z where things were, a
/// section header table out of order, and with the newest patchelf a note that answers for the search path. An editor
/// that does not know the note, as patchelf 0.14, leaves it to answer with the old directory.
#[test]
fn class_27_edited_by_patchelf_before() {
    let test = "class_27_edited_by_patchelf_before";
    let long = long_path();
    // The old directory alone counts: the new one is not in front yet.
    let before = format!("/{}:{}", "y/".repeat(200), deps(0).old.display());
    for linker in linkers(test) {
        for (source, shape) in PROGRAMS {
            for first in Patchelf::both(test) {
                let told = format!("{linker} {shape:?} after {}", first.name);
                let real = Real::treated(&Link::new(source, shape).linker(linker), |file| {
                    first.must_edit(&["--add-needed", "libm.so.6"], file);
                    first.must_edit(&["--set-rpath", &before], file);
                    if shape == Shape::Library {
                        first.must_edit(&["--set-soname", "libuser.so"], file);
                    }
                });
                let kept = real.assert_kept(&told);
                for again in Patchelf::both(test) {
                    let file = real.copy("again");
                    assert_eq!(run(clean("cp").arg(&kept.file).arg(&file)).code, 0);
                    again.must_edit(&["--set-rpath", &long], &file);
                    assert_eq!(real.run(&file).code, NEW, "{told}, {} and {}", kept.strategy, again.name);
                }
            }
            let Some(newest) = Patchelf::new(test) else { continue };
            let told = format!("{linker} {shape:?} with a cache");
            let old = deps(0).old.join("libdep.so").to_str().unwrap().to_owned();
            let real = Real::treated(&Link::new(source, shape).linker(linker), |file| {
                newest.must_edit(&["--build-resolution-cache"], file);
                assert_eq!(cached(file).as_deref(), Some(&*format!("={old}")), "{told}");
            });
            let new = deps(0).new.to_str().unwrap();
            let answer = cached(&real.assert_kept(&told).file);
            assert!(answer.as_deref().is_none_or(|found| found.starts_with(&format!("?{new}"))), "{told}: {answer:?}");
            if let Some(patchelf) = Patchelf::old(test) {
                let file = real.copy("other");
                patchelf.must_edit(&["--set-rpath", &long], &file);
                assert_eq!(cached(&file).as_deref(), Some(&*format!("={old}")), "{told}: {}", patchelf.name);
            }
        }
    }
}

/// What `.note.nixos.ldcache` answers for libdep.so; `None` where there is no such note any more.
fn cached(file: &Path) -> Option<String> {
    let image = image(file);
    let note = image.section(".note.nixos.ldcache").expect("the section stays");
    let bytes = &image.data[note.offset as usize..][..note.size as usize];
    // Owner size, descriptor size, type, owner and its padding.
    if bytes[8..12] != 0x63a8_6cb6_u32.to_le_bytes() {
        return None;
    }
    let mut words = bytes[20..].split(|byte| *byte == 0).map(|word| String::from_utf8(word.to_vec()).unwrap());
    words.find(|word| word == "libdep.so")?;
    words.next()
}
