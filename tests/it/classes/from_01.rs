//! Classes 1 to 9: what lies behind the program header table, who knows where that table is, shared strings, and
//! numbers.

use std::path::Path;

use cuda_runpath::elf::image::apply;
use cuda_runpath::elf::plan::{Atomicity, Change, PathTag, plan};
use cuda_runpath::elf::view::Subject;

use super::layouts::{Real, answer_after, assert_image_kept, damage_after, linkers, long_path, strip_and_answer};
use super::naive::{READ, Table, WRITE, append_in_host_order, grows, move_dynamic, moves, overwrite};
use crate::editors::Patchelf;
use crate::elfgen::read::Image;
use crate::elfgen::{self, Headers, Kind, Machine, Order, Segments, Spec};
use crate::fixtures::{LARGE_DATA, Link, NEW, OldPath, Shape, clean, deps, paths_longer_than_a_page, run};
use crate::support::{found, require, skip};

const PROGRAMS: [(&str, Shape); 3] =
    [("user_program.c", Shape::Exec), ("user_program.c", Shape::Pie), ("user_library.c", Shape::Library)];

/// No such symbol, by `host.c`.
const NO_SYMBOL: i32 = 126;
const SEGMENTATION_FAULT: i32 = 1011;

/// The name of the first section behind the program header table.
fn first_section(file: &Path) -> String {
    let image = Image::parse(&std::fs::read(file).unwrap()).unwrap();
    let end = image.table + image.segments.len() as u64 * image.entry_size();
    let behind = image.sections.iter().filter(|section| section.offset >= end);
    let first = behind.min_by_key(|section| section.offset).unwrap();
    String::from_utf8(image.section_name(first).unwrap()).unwrap()
}

/// gold `--rosegment` puts `.init` or `.plt` right behind the program header table; lld `--no-rosegment` leaves code in
/// the segment of the table. Whoever writes one more program header there overwrites the first instructions; patchelf
/// 0.14 moves `.init` away as if nobody called it.
#[test]
fn class_01_code_first() {
    let test = "class_01_code_first";
    let long = paths_longer_than_a_page();
    for (linker, flag) in [("gold", "-Wl,--rosegment"), ("lld", "-Wl,--no-rosegment")] {
        if !linkers(test).contains(&linker) {
            continue;
        }
        for (source, shape) in PROGRAMS {
            let told = format!("{linker} {shape:?}");
            let real = Real::new(&Link::new(source, shape).linker(linker).flags(&[flag]));
            real.assert_kept(&told);
            Real::new(&Link::new(source, shape).linker(linker).flags(&[flag, &long])).assert_kept(&told);
            if linker != "gold" || shape == Shape::Exec {
                continue;
            }
            assert_eq!(first_section(&real.original()), ".init", "{told}");
            assert_eq!(real.run_after_bytes(&grows).code, SEGMENTATION_FAULT, "{told}: naive");
            if let Some(patchelf) = Patchelf::old(test) {
                let ended = real.run_after(|file| patchelf.must_edit(&["--set-rpath", &long_path()], file));
                assert_eq!(ended.code, SEGMENTATION_FAULT, "{told}: {}", patchelf.name);
            }
        }
    }
    for spec in [Spec::library(Machine::X86_64), Spec::pie(Machine::X86_64), Spec::library(Machine::S390x)] {
        let spec = spec.runpath("$ORIGIN/old").segments(Segments::CodeFirst);
        assert_image_kept(&spec, "code first", test);
        if let Some(answer) = answer_after(&spec, &grows, test) {
            assert!(answer.is_err(), "naive: {answer:?}");
        }
    }
}

/// `.nv_fatbin` right behind the program header table, as large CUDA libraries have it. An editor that makes room by
/// moving sections moves it too, and the descriptor in `.data`, a relocated pointer that it knows nothing about, leads
/// to the old place: all kernels are gone.
#[test]
fn class_02_fatbin_behind_the_table() {
    let test = "class_02_fatbin_behind_the_table";
    if !linkers(test).contains(&"bfd") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("fatbin-first.ld");
    std::fs::write(&script, "SECTIONS { .nv_fatbin : { *(.nv_fatbin) } } INSERT BEFORE .gnu.hash;\n").unwrap();
    let script = format!("-Wl,-T,{}", script.display());
    let link = || Link::new("fatbin_library.c", Shape::Library).linker("bfd");
    let real = Real::new(&link().flags(&[&script]));
    real.assert_kept("fatbin first");
    let long = paths_longer_than_a_page();
    Real::new(&link().flags(&[&script, &long, LARGE_DATA])).assert_kept("fatbin first, no padding");
    // 138: no build id, which lies in front of it; 147: the descriptor leads to something else.
    assert!(matches!(real.run_after_bytes(&grows).code, 138 | 147), "naive");
    if let Some(patchelf) = Patchelf::old(test) {
        let ended = real.run_after(|file| patchelf.must_edit(&["--set-rpath", &long_path()], file));
        assert_eq!(ended.code, 147, "{}", patchelf.name);
    }
}

/// Kernels before 5.18 tell a program that its headers are at the first PT_LOAD's distance from `e_phoff`, wherever
/// they are mapped. A table that moved to the end of the file, in a segment at another distance, is looked for in the
/// wrong place: the program dies before its first instruction, on a Jetson but not on the machine that built it.
#[test]
fn class_03_moved_table_and_old_kernels() {
    let test = "class_03_moved_table_and_old_kernels";
    // It passes AT_PHDR as those kernels do.
    let qemu = ["qemu-x86_64-static", "qemu-x86_64"].into_iter().find(|name| found(name));
    if qemu.is_none() {
        skip(test, "qemu-x86_64-static is not installed");
    }
    for linker in linkers(test) {
        for shape in [Shape::Exec, Shape::Pie] {
            let told = format!("{linker} {shape:?}");
            let real = Real::new(&Link::new("own_headers.c", shape).linker(linker));
            let kept = real.assert_kept(&told);
            let Some(qemu) = qemu else { continue };
            let ended = run(clean(qemu).arg(&kept.file));
            assert_eq!(ended.code, NEW, "{told} on an old kernel: {}", ended.said());
            let naive = real.copy("naive");
            std::fs::write(&naive, moves(&std::fs::read(&naive).unwrap(), &long_path())).unwrap();
            assert_ne!(run(clean(qemu).arg(&naive)).code, NEW, "{told}: naive on an old kernel");
        }
    }

    // The sum that those kernels do, on every layout and so on every rung, the one that moves the table included.
    let mut moved = 0;
    for (name, spec) in elfgen::presets() {
        let bytes = spec.build();
        let Ok(Subject::Object(view)) = Subject::parse(&bytes) else { continue };
        let change = Change::Set { tag: PathTag::Runpath, path: "/run/opengl-driver/lib:$ORIGIN/old".into() };
        let Ok(plan) = plan(&view, &change, Atomicity::Replace) else { continue };
        let before = Image::parse(&bytes).unwrap();
        let after = Image::parse(&apply(&bytes, &plan).unwrap()).unwrap();
        assert_eq!(told_by_old_kernels(&after), mapped_table(&after), "{name}: {}", plan.strategy);
        moved += usize::from(before.table != after.table);
        if spec.class == elfgen::Class::Elf64 && spec.order == Order::Little && spec.has_interpreter() {
            let naive = Image::parse(&moves(&bytes, "/new")).unwrap();
            assert_ne!(told_by_old_kernels(&naive), mapped_table(&naive), "{name}: naive");
        }
    }
    assert!(moved > 0, "no plan moved the table");
}

fn told_by_old_kernels(image: &Image) -> Option<u64> {
    let first = image.loads().next()?;
    Some((first.address - first.offset).wrapping_add(image.table))
}

fn mapped_table(image: &Image) -> Option<u64> {
    let inside =
        |load: &&elfgen::read::Segment| image.table >= load.offset && image.table - load.offset < load.file_size;
    image.loads().find(inside).map(|load| load.address + (image.table - load.offset))
}

/// Sanitizers, unwinders and Go read their own headers at `__ehdr_start` plus `e_phoff`. patchelf, also the newest,
/// puts new pages in front of an ET_EXEC program, so that the symbol no longer names the ELF header.
#[test]
fn class_04_programs_that_read_their_own_headers() {
    let test = "class_04_programs_that_read_their_own_headers";
    let long = paths_longer_than_a_page();
    for linker in linkers(test) {
        for shape in [Shape::Exec, Shape::Pie] {
            for flags in [&[][..], &[LARGE_DATA], &[LARGE_DATA, &long]] {
                let told = format!("{linker} {shape:?} {}", flags.len());
                let link = Link::new("own_headers.c", shape).linker(linker).flags(flags);
                let real = Real::new(&link);
                real.assert_kept(&told);
                if shape == Shape::Pie || !flags.is_empty() {
                    continue;
                }
                for patchelf in Patchelf::both(test) {
                    let ended = real.run_after(|file| patchelf.must_edit(&["--set-rpath", &long_path()], file));
                    // 140: there is no ELF header.
                    assert_eq!(ended.code, 140, "{told}: {}", patchelf.name);
                }
            }
        }
    }
}

/// Linkers merge strings with the same tail, so a symbol's name can be the end of the RUNPATH. An editor that writes
/// over the old path, or fills it with X as patchelf 0.14 does, renames the symbol, and nobody finds it any more.
#[test]
fn class_05_tail_merged_names() {
    let test = "class_05_tail_merged_names";
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str, from: &Path| {
        let to = folder.path().join(name);
        std::fs::create_dir_all(&to).unwrap();
        std::fs::copy(from.join("libdep.so"), to.join("libdep.so")).unwrap();
        to
    };
    let known = linkers(test);
    if known.is_empty() {
        return;
    }
    // A path that stays, behind the new one, and a link-time stub's that goes: a string shorter than the old one
    // would fit in its place, over the symbol's name.
    let olds = [("foo_sym", place("x/foo_sym", &deps(0).old)), ("stubs", place("lib/stubs", &deps(0).old))];
    let short = place("s", &deps(0).new);
    let mut merged = Vec::new();
    for linker in known {
        for (symbol, old) in &olds {
            let told = format!("{linker} {symbol}");
            let defines = [format!("-DSYMBOL={symbol}")];
            let path = format!("-Wl,-rpath,{}", old.display());
            let (defines, flags) = ([&*defines[0]], ["-Wl,-O2", "-Wl,--enable-new-dtags", &path]);
            let link = Link::new("tail_symbol.c", Shape::Library).linker(linker).path(OldPath::None);
            let real = Real::of(&link.defines(&defines).flags(&flags), symbol, |_| {});
            for driver in [&deps(0).new, &short] {
                real.assert_kept_with(driver, &told);
            }
            let image = Image::parse(&std::fs::read(real.original()).unwrap()).unwrap();
            let strings = image.string_table().unwrap();
            if strings.split(|byte| *byte == 0).any(|string| string == symbol.as_bytes()) {
                continue;
            }
            merged.push(linker);
            let new = short.to_str().unwrap();
            let ended = real.run_after_bytes(&|bytes, _| overwrite(bytes, new));
            assert_eq!(ended.code, NO_SYMBOL, "{told}: naive");
            if let Some(patchelf) = Patchelf::old(test) {
                let ended = real.run_after(|file| patchelf.must_edit(&["--set-rpath", new], file));
                assert_eq!(ended.code, NO_SYMBOL, "{told}: {}", patchelf.name);
            }
        }
    }
    assert!(!merged.is_empty() || !require("ld.bfd", test), "no linker merged the tail, so this test shows nothing");
    for (name, spec) in elfgen::presets().into_iter().filter(|(name, _)| name.starts_with("tail-merged")) {
        assert_image_kept(&spec, name, test);
    }
}

/// A program without DT_RUNPATH and without a spare dynamic entry: the dynamic section has to move. In a read-only
/// segment, which is enough for every other table, the loader faults as soon as it writes DT_DEBUG and the relocated
/// addresses.
#[test]
fn class_06_dynamic_section_in_a_read_only_segment() {
    let test = "class_06_dynamic_section_in_a_read_only_segment";
    let mut moved = 0;
    for linker in linkers(test) {
        for shape in [Shape::Exec, Shape::Pie] {
            let told = format!("{linker} {shape:?}");
            let real = Real::new(&Link::new("user_program.c", shape).linker(linker).path(OldPath::None));
            let kept = real.assert_kept(&told);
            let [before, after] =
                [real.original(), kept.file].map(|file| Image::parse(&std::fs::read(file).unwrap()).unwrap());
            let address = |image: &Image| image.segments.iter().find(|segment| segment.kind == 2).unwrap().address;
            moved += usize::from(address(&before) != address(&after));
            let at = address(&after);
            let home = after.loads().find(|load| load.address <= at && at < load.address + load.memory_size).unwrap();
            assert_eq!(u64::from(home.flags) & WRITE, WRITE, "{told}: .dynamic is read-only");
            let naive = |flags| move |bytes: &[u8], path: &str| move_dynamic(bytes, path, flags, Table::Moves);
            assert_eq!(real.run_after_bytes(&naive(READ)).code, SEGMENTATION_FAULT, "{told}: naive");
            assert_eq!(real.run_after_bytes(&naive(READ | WRITE)).code, NEW, "{told}: the naive editor, writable");
        }
    }
    assert!(moved > 0 || !require("ld.lld", test), "no dynamic section moved, so this test shows nothing");
    for (name, spec) in elfgen::presets().into_iter().filter(|(name, _)| name.starts_with("slot-move-dynamic")) {
        assert_image_kept(&spec, name, test);
    }
}

/// Go and wild put the section header table right behind the program header table. Nothing that is loaded is in the way
/// of one more program header, so the file still runs when it is written there; the next `strip` finds no sections.
#[test]
fn class_07_section_headers_behind_the_table() {
    let test = "class_07_section_headers_behind_the_table";
    let layout = |spec: Spec| spec.runpath("$ORIGIN/old").headers(Headers::BehindTable).bss(1 << 20);
    for spec in [Spec::library(Machine::X86_64), Spec::pie(Machine::X86_64), Spec::library(Machine::Ppc64)] {
        let spec = layout(spec);
        assert_image_kept(&spec, "section headers behind the table", test);
        let damage = damage_after(&spec, &grows);
        assert!(damage.iter().any(|what| what.contains("section header")), "naive: {damage:?}");
        if let Some(answer) = answer_after(&spec, &grows, test) {
            assert_eq!(answer, Ok(42), "the naive edit is seen later only");
        }
        if spec.runs_here() && require("strip", test) {
            assert_eq!(strip_and_answer(&spec, None, test), Ok(42));
            assert!(strip_and_answer(&spec, Some(&grows), test).is_err(), "naive");
        }
    }
}

/// Numbers of a big-endian object, written as this machine writes them, make an object that no loader reads. Debian's
/// ports for s390x, mips and ppc64 are that; class and byte order are all that the editor needs to know of a machine.
#[test]
fn class_08_big_endian() {
    use Machine::*;
    let test = "class_08_big_endian";
    for machine in [Aarch64Be, ArmBe, M68k, Mips, Mips64, Parisc, Ppc, Ppc64, S390, S390x, Sparc64] {
        assert_eq!(machine.order(), Order::Big, "{machine:?}");
        for spec in [Spec::library(machine).null_slot(), Spec::pie(machine).bss(64).segments(Segments::CodeFirst)] {
            let spec = spec.runpath("$ORIGIN/old");
            assert_image_kept(&spec, &format!("{machine:?}"), test);
            let damage = damage_after(&spec, &append_in_host_order);
            assert!(!damage.is_empty(), "{machine:?}: naive");
        }
    }
}

/// A MIPS debugger finds the loaded libraries through DT_MIPS_RLD_MAP_REL, which counts from its own entry. A dynamic
/// section that moves with that value unchanged leads the loader's write of `r_debug` to somewhere else in memory.
#[test]
fn class_09_mips_rld_map() {
    let test = "class_09_mips_rld_map";
    for machine in [Machine::Mips, Machine::Mipsel, Machine::Mips64, Machine::Mips64el] {
        let spec = Spec::new(machine, Kind::Pie).needs("libdep.so.1").spare(0).rld_map().null_slot();
        assert_image_kept(&spec, &format!("{machine:?}"), test);
        let naive = |bytes: &[u8], path: &str| move_dynamic(bytes, path, READ | WRITE, Table::Moves);
        let damage = damage_after(&spec, &naive);
        assert!(damage.iter().any(|what| what.contains("DT_MIPS_RLD_MAP_REL")), "{machine:?}: naive: {damage:?}");
        // With room for the entry nothing moves, and the value stays.
        assert_image_kept(&spec.clone().spare(2), &format!("{machine:?} with a spare entry"), test);
        assert_image_kept(&spec.runpath("$ORIGIN/old"), &format!("{machine:?} with a path"), test);
    }
}
