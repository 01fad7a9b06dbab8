//! Programs that look at themselves: at the end of their image, at their dynamic section, at their notes.

use std::path::Path;

use super::layouts::Real;
use super::naive::{READ, Table, WRITE, move_dynamic, moves};
use crate::elfgen::read::Image;
use crate::harness::fixtures::paths_longer_than_a_page;
use crate::harness::targets::{AARCH64, ARMHF, NARROW};
use crate::harness::{
    Link, MODES, NATIVE, NEW, OLD, OldPath, Shape, Snapshot, binary, command, deps, expect, fix, linkers, require, run,
    skip,
};

/// Lisp systems dump themselves with their heap, turn the randomness of addresses off, and go on where the heap ended: the
/// kernel lets it begin behind the highest PT_LOAD. A new one behind that takes the place; the heap begins elsewhere, and
/// what counts on it breaks at the first large list.
#[test]
fn heap_at_the_end_of_the_image() {
    let test = "heap_at_the_end_of_the_image";
    if run(command("setarch").args(["-R", "true"])).code != 0 {
        skip(test, "addresses cannot be kept from being random here");
        return;
    }
    let mut kept = 0;
    for linker in linkers(test) {
        for (told, flags) in
            [("tight", &["-Wl,-z,max-page-size=4096"][..]), ("wide", &["-Wl,-z,max-page-size=0x200000"])]
        {
            let told = format!("{linker} {told}");
            let real = Real::treated(&Link::new("own_heap.c", Shape::Exec).linker(linker).flags(flags), |file| {
                let image = file.with_extension("image");
                expect(command(file).arg("dump").arg(&image), 0);
                std::fs::rename(&image, file).unwrap();
            });
            // A shorter path always has its place.
            let file = real.copy("shorter");
            expect(binary().args(["fix", "--driver", "/d"]).arg(&file), 0);
            if run(fix(NATIVE).args(["--strict", "--dry-run"]).arg(real.original())).code == 2 {
                real.assert_refused("dumped image", &told);
            } else {
                let before = last_load(&Image::read(&real.original()));
                let edited = real.assert_kept(&told);
                assert_eq!(last_load(&Image::read(&edited.file)), before, "{told}, {}", edited.strategy);
                kept += 1;
            }
            // 167: the heap is elsewhere.
            assert_eq!(real.run_after_bytes(&moves).code, 167, "{told}: naive");
        }
    }
    assert!(kept > 0, "every image was refused");
}

fn last_load(image: &Image) -> (u64, u64, u64) {
    let last = image.loads().max_by_key(|load| load.address).expect("a PT_LOAD");
    (last.offset, last.address, last.memory_size)
}

/// `link.h` says that a program finds the loaded libraries through DT_DEBUG in `_DYNAMIC`. Linkers put that address into
/// code and leave no trace of it; when the dynamic section has moved, the loader fills the new one.
#[test]
fn debug_state_through_the_dynamic_symbol() {
    let test = "debug_state_through_the_dynamic_symbol";
    let (mut refused, mut kept) = (0, 0);
    for linker in linkers(test) {
        for shape in [Shape::Exec, Shape::Pie] {
            for path in [OldPath::Runpath, OldPath::None] {
                let told = format!("{linker} {shape:?} {path:?}");
                let real = Real::new(&Link::new("own_debug_state.c", shape).linker(linker).path(path));
                if run(fix(NATIVE).args(["--strict", "--dry-run"]).arg(real.original())).code == 2 {
                    for mode in MODES {
                        let file = real.copy("refused");
                        let before = Snapshot::of(&file);
                        let ended = run(fix(NATIVE).args(mode).arg(&file));
                        assert!(ended.code == 0 && ended.stderr.contains("(_DYNAMIC)"), "{told}: {}", ended.said());
                        assert_eq!(Snapshot::of(&file), before, "{told}");
                    }
                    refused += 1;
                } else {
                    kept += 1;
                    real.assert_kept(&told);
                }
                if path == OldPath::None {
                    let naive = |bytes: &[u8], path: &str| move_dynamic(bytes, path, READ | WRITE, Table::Moves);
                    // 170: nothing in DT_DEBUG.
                    assert_eq!(real.run_after_bytes(&naive).code, 170, "{told}: naive");
                }
                // The same program without a look at itself is edited in each of these forms.
                Real::new(&Link::new("user_program.c", shape).linker(linker).path(path)).assert_kept(&told);
            }
        }
    }
    assert!(kept > 0, "every program was refused");
    assert!(refused > 0 || !require("ld.lld", test), "no dynamic section would have moved, so this test shows nothing");
}

/// The same in code of other machines: what is looked for is told from code that does not look, whatever an address is made
/// of there. Where the code is not understood, the edit says that the dynamic section moved.
#[test]
fn debug_state_on_other_machines() {
    let test = "debug_state_on_other_machines";
    if !require("ld.lld", test) {
        return;
    }
    for (target, is_understood) in [(NARROW, true), (AARCH64, true), (ARMHF, false)] {
        if let Some(missing) = target.missing() {
            skip(test, &missing);
            continue;
        }
        let link = |source| Link { target, ..Link::new(source, Shape::Exec).linker("lld").path(OldPath::None) };
        for (source, reads) in [("own_debug_state.c", true), ("user_program.c", false)] {
            let told = format!("{} {source}", target.name);
            let real = Real::new(&link(source));
            let ended = run(fix(target).arg(real.original()));
            assert_eq!(ended.code, 0, "{told}: {}", ended.said());
            let is_refused = ended.stderr.contains("(_DYNAMIC)");
            assert_eq!(is_refused, reads && is_understood, "{told}: {}", ended.said());
            assert_eq!(
                ended.stdout.contains("under _DYNAMIC finds the old one"),
                !is_understood,
                "{told}: {}",
                ended.said()
            );
            if !is_refused && !reads {
                assert_eq!(real.run(&real.original()).code, NEW, "{told}");
            }
        }
    }
}

/// compiler-rt's coverage run time writes the build id into its profile, and reads it at the address of the ELF header plus the
/// offset in PT_NOTE (LLVM 13 and later). Coverage tools find the program by it. An editor that moves the note to another
/// distance gives profiles without it, or with other bytes.
#[test]
fn coverage_reads_its_build_id() {
    let test = "coverage_reads_its_build_id";
    if !["clang", "llvm-profdata"].iter().all(|tool| require(tool, test)) {
        return;
    }
    let probe = crate::harness::Tree::new();
    let source = probe.file("p.c", b"int main(void) { return 0; }\n");
    if run(command("clang").args(["-fprofile-instr-generate", "-o"]).arg(probe.join("p")).arg(source)).code != 0 {
        skip(test, "clang has no run time for coverage (libclang-rt-dev)");
        return;
    }
    let long = paths_longer_than_a_page();
    let mut moved = 0;
    for linker in linkers(test) {
        for (shape, pie) in [(Shape::Exec, "-no-pie"), (Shape::Pie, "-pie")] {
            // Notes move where they lie behind the table and nothing else gives way: with large data, and memory that puts a
            // new PT_LOAD far behind the end of the file.
            for flags in [&[][..], &[&*long, "-DHUGE"], &[&*long, "-DHUGE", "-Wl,-z,noseparate-code"]] {
                // gold does not know the word.
                if linker == "gold" && flags.len() == 3 {
                    continue;
                }
                let told = format!("{linker} {pie} {}", flags.len());
                let link = |file: &Path| {
                    let deps = deps(NATIVE);
                    let mut clang = command("clang");
                    clang.args(["-fprofile-instr-generate", "-fcoverage-mapping", "-O1", "-w", pie]);
                    clang.arg(if shape == Shape::Pie { "-fPIE" } else { "-fno-pie" });
                    clang.arg(format!("-fuse-ld={linker}")).args(["-Wl,--build-id", "-Wl,--enable-new-dtags"]);
                    clang.arg(format!("-Wl,-rpath,{}", deps.old.display())).args(flags).arg("-o").arg(file);
                    clang.arg(crate::harness::fixtures::fixtures().join("coverage.c"));
                    run(clang.arg("-L").arg(&deps.old).arg("-ldep"))
                };
                let plain = Link::new("user_program.c", shape).linker(linker);
                let real = Real::treated(&plain, |file| {
                    let made = link(file);
                    assert_eq!(made.code, 0, "{told}: {}", made.said());
                });
                let wanted = build_id(&real.original());
                assert_eq!(profile_ids(&real.original()), [&*wanted], "{told}: before");
                let edited = real.assert_kept(&told);
                assert_eq!(profile_ids(&edited.file), [&*wanted], "{told}: {}", edited.strategy);
                let place = |file: &Path| Image::read(file).segments.iter().find(|s| s.kind == 4).unwrap().address;
                moved += usize::from(place(&real.original()) != place(&edited.file));
            }
        }
    }
    assert!(moved > 0, "no note moved, so this test shows nothing");
}

/// The build ids in the profile of one run.
fn profile_ids(file: &Path) -> Vec<String> {
    let raw = file.with_extension("profraw");
    let ended = run(command(file).env("LLVM_PROFILE_FILE", &raw));
    assert!([OLD, NEW].contains(&ended.code), "{}", ended.said());
    let shown = run(command("llvm-profdata").args(["show", "--binary-ids"]).arg(&raw)).stdout;
    let ids = shown.lines().skip_while(|line| !line.starts_with("Binary IDs")).skip(1);
    let mut ids: Vec<String> = ids.map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect();
    ids.dedup();
    ids
}

fn build_id(file: &Path) -> String {
    let shown = expect(command("readelf").arg("-nW").arg(file), 0).stdout;
    let id = shown.lines().find_map(|line| line.split_once("Build ID: ")).expect("a build id").1;
    id.to_owned()
}
