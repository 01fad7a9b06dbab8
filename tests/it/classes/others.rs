//! What others do with an edited file: a strip lays it out anew, a debugger knows its addresses.

use std::path::Path;

use super::layouts::{Real, long_path};
use super::naive::moves;
use crate::afterwards::backtrace;
use crate::elfgen::read::Image;
use crate::harness::case::Strips;
use crate::harness::editors::{Patchelf, python};
use crate::harness::{Link, NATIVE, NEW, OLD, PROGRAMS, Shape, Tree, command, expect, linkers, require, run};

/// A package's fixup phase strips after it patches. What an editor moved to the end of the file, or left where no
/// section names it, is then laid out anew, or dropped: the edited file runs, and the stripped one does not.
#[test]
fn strip_after_the_edit() {
    let test = "strip_after_the_edit";
    let strips = Strips::All.found(NATIVE, test);
    for linker in linkers(test) {
        for (source, shape) in PROGRAMS {
            let real = Real::new(&Link::new(source, shape).linker(linker));
            let kept = real.assert_kept(linker);
            for strip in &strips {
                let told = format!("{linker} {shape:?} {strip:?}");
                let stripped = |file: &Path| {
                    let ended = run(command(&strip[0]).args(&strip[1..]).arg(file));
                    assert_eq!(ended.code, 0, "{told}: {}", ended.said());
                };
                let file = real.copy_of(&kept.file, "stripped");
                stripped(&file);
                assert_eq!(real.run(&file).code, NEW, "{told}, {}", kept.strategy);
                assert_eq!(real.run_after(stripped).code, OLD, "{told} without an edit");
                if shape == Shape::Pie {
                    let naive = real.run_after(|file| {
                        std::fs::write(file, moves(&std::fs::read(file).unwrap(), &long_path())).unwrap();
                        // A strip that gives up is an answer too.
                        run(command(&strip[0]).args(&strip[1..]).arg(file));
                    });
                    assert_ne!(naive.code, NEW, "{told}: naive");
                }
                if (linker, shape, strip[0].as_str()) == ("mold", Shape::Exec, "strip") {
                    for patchelf in Patchelf::both(test) {
                        let ended = real.run_after(|file| {
                            patchelf.must_edit(&["--set-rpath", &long_path()], file);
                            stripped(file);
                        });
                        // 101: the contents of TLS.
                        assert_eq!(ended.code, 101, "{told}: {}", patchelf.name);
                    }
                }
            }
        }
    }
}

/// Debug information lies in a package of its own, and crash reports name addresses. An editor that lays the file out
/// anew, as LIEF does, shifts every address by a page: the library works, and what a crash report names is something
/// else. (gdb itself compares the addresses of sections and follows.)
#[test]
fn addresses_that_others_know() {
    const EDIT: &str = "import sys, lief\n\
        file = lief.ELF.parse(sys.argv[1])\n\
        file.get(lief.ELF.DynamicEntry.TAG.RUNPATH).runpath = sys.argv[2]\n\
        file.write(sys.argv[1])\n";
    let test = "addresses_that_others_know";
    if !require("gdb", test) || !require("strip", test) {
        return;
    }
    for linker in linkers(test) {
        for (source, shape) in PROGRAMS {
            let told = format!("{linker} {shape:?}");
            let tree = Tree::new();
            let debug = tree.join(if shape == Shape::Library { "libuser.debug" } else { "program.debug" });
            let real = Real::treated(&Link::new(source, shape).linker(linker), |file| {
                expect(command("objcopy").arg("--only-keep-debug").args([file, &debug]), 0);
                expect(command("strip").arg("--strip-all").arg(file), 0);
                expect(command("objcopy").arg("--add-gnu-debuglink").args([&debug, file]), 0);
            });
            let (at, source_line) =
                if shape == Shape::Library { ("user_number", "user_library.c:") } else { ("main", "user_program.c:") };
            let listing = run(command("nm").arg(&debug)).stdout;
            // Address, type, name; the type of a symbol in a debug file is what binutils makes of it.
            let named = |line: &&str| line.split_whitespace().nth(2) == Some(at);
            let line = listing.lines().find(named).unwrap_or_else(|| panic!("{told}: no {at} in {listing}"));
            let address = u64::from_str_radix(line.split_whitespace().next().unwrap(), 16).unwrap();
            let code = |file: &Path| Image::read(file).memory(address, 8);
            let finds = |file: &Path| backtrace(file, shape, at, Some(&debug)).contains(source_line);
            assert!(code(&real.original()).is_some(), "{told}: no code at {address:#x}");
            assert!(finds(&real.original()), "{told}: gdb does not find {at} before");
            let kept = real.assert_kept(&told);
            assert!(finds(&kept.file), "{told}: gdb does not find {at} after {}", kept.strategy);
            assert_eq!(code(&kept.file), code(&real.original()), "{told}: other code at {address:#x}");
            let Some(python) = python(test).filter(|_| linker == "bfd" && shape == Shape::Library) else { continue };
            let file = real.copy("lief");
            expect(command(python).arg("-c").arg(EDIT).arg(&file).arg(long_path()), 0);
            assert_eq!(real.run(&file).code, NEW, "{told}: nothing is seen when it runs");
            assert_ne!(code(&file), code(&real.original()), "{told}: LIEF keeps addresses by now");
        }
    }
}
