//! What lies behind the program header table, and what else knows where the table is.

use std::path::Path;

use cuda_runpath::elf::image::apply;
use cuda_runpath::elf::plan::{Atomicity, Change, PathTag, plan};
use cuda_runpath::elf::view::Subject;

use super::layouts::{Real, answer_after, assert_image_kept, damage_after, long_path, strip_and_answer};
use super::naive::{grows, moves};
use crate::elfgen::read::Image;
use crate::elfgen::{self, Headers, Machine, Order, Segments, Spec};
use crate::harness::editors::Patchelf;
use crate::harness::fixtures::{LARGE_DATA, paths_longer_than_a_page};
use crate::harness::run::SEGMENTATION_FAULT;
use crate::harness::{Link, NEW, PROGRAMS, Shape, Tree, command, found, linkers, require, run, skip};

/// The name of the first section behind the program header table.
fn first_section(file: &Path) -> String {
    let image = Image::read(file);
    let end = image.table + image.segments.len() as u64 * image.entry_size();
    let behind = image.sections.iter().filter(|section| section.offset >= end);
    let first = behind.min_by_key(|section| section.offset).unwrap();
    String::from_utf8(image.section_name(first).unwrap()).unwrap()
}

/// gold `--rosegment` puts `.init` or `.plt` right behind the program header table; lld `--no-rosegment` leaves code in
/// the segment of the table. An editor that writes one more program header there overwrites the first instructions; patchelf
/// 0.14 moves `.init` away as if no code called it.
#[test]
fn code_first() {
    let test = "code_first";
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
fn fatbin_behind_the_table() {
    let test = "fatbin_behind_the_table";
    if !linkers(test).contains(&"bfd") {
        return;
    }
    let tree = Tree::new();
    let script =
        tree.file("fatbin-first.ld", b"SECTIONS { .nv_fatbin : { *(.nv_fatbin) } } INSERT BEFORE .gnu.hash;\n");
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
fn moved_table_and_old_kernels() {
    let test = "moved_table_and_old_kernels";
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
            let ended = run(command(qemu).arg(&kept.file));
            assert_eq!(ended.code, NEW, "{told} on an old kernel: {}", ended.said());
            let naive = real.copy("naive");
            std::fs::write(&naive, moves(&std::fs::read(&naive).unwrap(), &long_path())).unwrap();
            assert_ne!(run(command(qemu).arg(&naive)).code, NEW, "{told}: naive on an old kernel");
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
fn programs_that_read_their_own_headers() {
    let test = "programs_that_read_their_own_headers";
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

/// Go and wild put the section header table right behind the program header table. Nothing that is loaded is in the way
/// of one more program header, so the file still runs when it is written there; the next `strip` finds no sections.
#[test]
fn section_headers_behind_the_table() {
    let test = "section_headers_behind_the_table";
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
