//! What is left alone, byte for byte and by name.

use std::path::Path;

use cuda_runpath::cuda::{Gpu, slim_bytes, slim_bytes_otherwise};
use cuda_runpath::elf::plan::{Content, Patch, Stage};
use cuda_runpath::elf::units::FileOffset;

use super::loads::link;
use super::{Pair, code, memory, pair, slim, usual, with_other};
use crate::elfgen::damage::Damage;
use crate::elfgen::read::Image;
use crate::elfgen::{Kind, Machine, Spec, preset};
use crate::fatgen::{Entry, archive, wrapper};
use crate::harness::fixtures::drop_section_headers;
use crate::harness::{Tree, command, expect, found, require, run};

/// The first container of [`usual`] stays as it is, for a reason; the two others do not.
fn first_is_left(library: &Path, reason: &str) {
    let before = std::fs::read(library).unwrap();
    let ended = slim(library, &["--no-compact"], 0);
    let file = ended.file();
    assert_eq!(file["left"][0]["reason"], reason, "{}", ended.said());
    assert_eq!((&file["left"][0]["containers"], &file["rewritten"]), (&1.into(), &2.into()), "{}", ended.said());
    let Pair { before: old, after: new } = usual();
    let start = first_len();
    let wanted = [&old[..start], &new[start..]].concat();
    let mut memory_before = memory(&Image::parse(&before).unwrap());
    with_other(&mut memory_before, &old, &wanted);
    assert_eq!(super::first_difference(&memory_before, &memory(&Image::read(library))), None, "{reason}");
}

fn first_len() -> usize {
    let Pair { before, .. } = usual();
    16 + u64::from_le_bytes(before[8..16].try_into().unwrap()) as usize
}

/// All three stay.
fn all_are_left(library: &Path, reason: &str) {
    let before = std::fs::read(library).unwrap();
    let ended = slim(library, &[], 0);
    assert_eq!(ended.file()["left"][0]["reason"], reason, "{}", ended.said());
    assert_eq!(ended.file()["left"][0]["containers"], 3, "{}", ended.said());
    assert!(std::fs::read(library).unwrap() == before, "{reason}");
}

#[test]
fn containers_that_somebody_leads_into() {
    let tree = Tree::new();
    let has = |linker| found(&format!("ld.{linker}"));
    // A record, as a contradictory file would have one; as a relocation of each kind.
    first_is_left(&link(&tree, "record.so", "bfd", &["-DINTO=80"]), "referred-to");
    first_is_left(&link(&tree, "sum.so", "bfd", &["-DSUM=24"]), "referred-to");
    first_is_left(&link(&tree, "symbol.so", "bfd", &["-DSYMBOL=\"70000\""]), "referred-to");
    if has("lld") {
        first_is_left(&link(&tree, "relr.so", "lld", &["-DINTO=80", "-Wl,--pack-dyn-relocs=relr"]), "referred-to");
        all_are_left(&link(&tree, "packed.so", "lld", &["-Wl,--pack-dyn-relocs=android"]), "relocations-unreadable");
    }
}

/// Programs keep their length; at fixed addresses what no record names may be named by a number.
#[test]
fn programs() {
    let tree = Tree::new();
    let program = |name: &str, flags: &[&str]| {
        let containers = tree.file("containers", &usual().before);
        let all: Vec<usize> =
            bstr::ByteSlice::find_iter(&usual().before[..], &crate::fatgen::CONTAINER_MAGIC).collect();
        let out = tree.join(name);
        let mut compiler = command("cc");
        compiler.arg(format!("-DCONTAINERS=\"{}\"", containers.display())).arg("-DPROGRAM").args(flags);
        compiler.args([format!("-DAT_1={}", all[1]), format!("-DAT_2={}", all[2])]);
        expect(
            compiler.arg("-o").arg(&out).arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/slim_library.c")),
            0,
        );
        out
    };
    let Pair { before, after } = usual();
    for (name, flags) in [
        ("pie", &["-pie", "-fPIE"][..]),
        ("fixed", &["-no-pie", "-fno-pie"]),
        ("static", &["-static", "-no-pie", "-fno-pie"]),
        ("static-pie", &["-static-pie", "-fPIE"]),
    ] {
        let file = program(name, flags);
        let mut wanted = memory(&Image::read(&file));
        with_other(&mut wanted, &before, &after);
        let len = file.metadata().unwrap().len();
        let ended = slim(&file, &[], 0);
        assert_eq!(ended.file()["outcome"], "slimmed", "{name}: {}", ended.said());
        let why = if name.starts_with("static") { "not-loaded" } else { "program" };
        assert_eq!(ended.file()["notCompacted"], why, "{name}: {}", ended.said());
        assert_eq!(file.metadata().unwrap().len(), len, "{name}");
        assert_eq!(super::first_difference(&wanted, &memory(&Image::read(&file))), None, "{name}");
        assert_eq!(run(&mut command(&file)).code, 0, "{name} still runs");
    }
    let file = program("unnamed", &["-no-pie", "-fno-pie", "-DUNNAMED"]);
    let ended = slim(&file, &[], 0);
    assert_eq!(ended.file()["left"][0]["reason"], "not-named", "{}", ended.said());
    assert_eq!(ended.file()["rewritten"], 2, "{}", ended.said());
}

/// An object file and an archive of it: linked, they are what they would have been.
#[test]
fn object_files_and_archives() {
    let tree = Tree::new();
    let containers = tree.file("containers", &usual().before);
    let object = |name: &str, flags: &[&str]| {
        let out = tree.join(name);
        let mut compiler = command("cc");
        compiler.args(["-c", "-fPIC", "-g", "-DAT_1=0", "-DAT_2=0"]).args(flags);
        compiler.arg(format!("-DCONTAINERS=\"{}\"", containers.display()));
        expect(
            compiler.arg("-o").arg(&out).arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/slim_library.c")),
            0,
        );
        out
    };
    let Pair { before, after } = usual();
    let has = |file: &Path, bytes: &[u8]| bstr::ByteSlice::contains_str(&std::fs::read(file).unwrap()[..], bytes);
    let file = object("a.o", &[]);
    let len = file.metadata().unwrap().len();
    slim(&file, &[], 0);
    assert!(has(&file, &after) && !has(&file, &before) && file.metadata().unwrap().len() == len);
    let library = tree.join("lib.so");
    expect(command("cc").args(["-shared", "-o"]).arg(&library).arg(&file), 0);
    assert!(has(&library, &after), "linked");
    if require("ar", "slim::alone::object_files_and_archives") {
        let archived = object("b.o", &["-DINTO=80"]);
        let archive = tree.join("lib.a");
        let other = object("c.o", &[]);
        expect(command("ar").arg("rcs").arg(&archive).arg(&other).arg(&archived), 0);
        let ended = slim(&archive, &[], 0);
        // A record of the second member leads into its first container.
        assert_eq!(ended.file()["left"][0]["reason"], "referred-to", "{}", ended.said());
        assert_eq!(
            (&ended.file()["rewritten"], &ended.file()["containers"]),
            (&5.into(), &6.into()),
            "{}",
            ended.said()
        );
        expect(
            command("cc").args(["-shared", "-Wl,--whole-archive", "-Wl,-z,muldefs", "-o"]).arg(&library).arg(&archive),
            0,
        );
    }
}

/// Bytes that contradict each other.
#[test]
fn headers_that_contradict_each_other() {
    let Pair { before, after } = pair(&[(code(75, 100_000), false), (code(90, 400), true)]);
    let spec = || Spec::new(Machine::X86_64, Kind::Library).gpu_code(".nv_fatbin", &before);
    let whole = spec().build();
    let tree = Tree::in_memory();
    let file = |bytes: &[u8]| tree.file("lib.so", bytes);
    let left = |bytes: &[u8], reason: &str| {
        let file = file(bytes);
        let ended = slim(&file, &[], 0);
        assert_eq!(ended.file()["left"][0]["reason"], reason, "{}", ended.said());
        assert!(std::fs::read(&file).unwrap() == bytes, "{reason}");
    };
    let damage = || Damage::new(&whole);
    let index = damage().section_index(".nv_fatbin").expect("the section");
    let address = damage().section(index, "sh_addr");
    let said = damage().get(address);
    left(&damage().put(address, said + 0x1000).bytes, "not-mapped");
    // Another section that has its bytes, too.
    let other = damage().section_index(".rodata").unwrap_or(index - 1);
    let (offset, size) = (damage().section(other, "sh_offset"), damage().section(other, "sh_size"));
    let place = damage().get(damage().section(index, "sh_offset"));
    left(&damage().put(offset, place + 64).put(size, 200).bytes, "overlapping");
    // A payload behind the object.
    let bytes = [&whole[..], b"a payload that somebody reads from the end of the file"].concat();
    let kept = file(&bytes);
    let ended = slim(&kept, &[], 0);
    assert_eq!(ended.file()["reason"], "payload", "{}", ended.said());
    assert!(std::fs::read(&kept).unwrap() == bytes);
    // Without section headers: what goes becomes zeros, and the file stays as long.
    let bare = file(&whole);
    drop_section_headers(&bare, true);
    let len = bare.metadata().unwrap().len();
    let ended = slim(&bare, &[], 0);
    assert_eq!(ended.file()["notCompacted"], "no-sections", "{}", ended.said());
    assert!(
        bstr::ByteSlice::contains_str(&std::fs::read(&bare).unwrap()[..], &after)
            && bare.metadata().unwrap().len() == len
    );
    // Cut, and a debug file.
    let cut = file(&whole[..whole.len() - 100]);
    let ended = slim(&cut, &[], 2);
    assert_eq!(ended.file()["outcome"], "failed", "{}", ended.said());
    slim(&file(&preset("skip-static-pie").build()), &[], 0);
}

/// A file that has code, and none for a target, is a finding.
#[test]
fn without_code_for_a_target() {
    let tree = Tree::in_memory();
    let Pair { before, .. } = pair(&[(code(75, 4000), false), (code(80, 4000), false)]);
    let file = tree.file("k.fatbin", &before);
    let ended = slim(&file, &[], 1);
    assert_eq!((&ended.file()["outcome"], &ended.file()["finding"]), (&"without-code".into(), &"CRP500".into()));
    assert!(std::fs::read(&file).unwrap() == before);
    // One of two targets is enough to be left.
    slim(&file, &["--arch", "8.0"], 1);
    assert!(std::fs::read(&file).unwrap() == before);
}

#[test]
fn signed_files() {
    let tree = Tree::in_memory();
    let Pair { before, .. } = pair(&[(code(75, 4000), false), (code(90, 4000), true)]);
    let file = tree.file("libk.so", &Spec::library(Machine::X86_64).gpu_code(".nv_fatbin", &before).build());
    tree.file(".libk.so.hmac", "0123456789abcdef".repeat(4).as_bytes());
    let (old, ended) = (std::fs::read(&file).unwrap(), slim(&file, &[], 0));
    assert_eq!(ended.file()["reason"], "signed", "{}", ended.said());
    assert!(std::fs::read(&file).unwrap() == old);
}

/// Code outside of containers stays, and is told.
#[test]
fn what_stands_outside_is_named() {
    let tree = Tree::in_memory();
    let Pair { before, after } = pair(&[(code(75, 4000), false), (code(90, 4000), true)]);
    let kernel = crate::fatgen::cubin(&[(".text.k", 6, 320)]);
    let frame = crate::fatgen::frame(&kernel, 1 << 17, kernel.len() as u64);
    let bytes = [&before[..], &[0; 8], &kernel, &[0; 8], &frame].concat();
    let spec =
        Spec::library(Machine::X86_64).gpu_code(".rodata.k", &bytes).gpu_code(".nvFatBinSegment", &wrapper(1, 0));
    let file = tree.file("libk.so", &spec.build());
    let ended = slim(&file, &["--no-compact"], 0);
    let outside = ended.file()["outside"].clone();
    assert_eq!(outside[0]["form"], "frame", "{}", ended.said());
    assert_eq!(
        (&outside[1]["form"], &outside[1]["bytes"]),
        (&"raw".into(), &(kernel.len()).into()),
        "{}",
        ended.said()
    );
    let now = std::fs::read(&file).unwrap();
    assert!(bstr::ByteSlice::contains_str(&now[..], [&after[..], &[0; 8], &kernel, &[0; 8], &frame].concat()));
}

/// Something done to a plan.
type Spoil<'s> = &'s dyn Fn(&mut Vec<Patch>);

/// A plan with one wrong byte is refused, wherever the byte is of any use.
#[test]
fn the_verifier_sees_one_wrong_byte() {
    let Pair { before, .. } = pair(&[(code(75, 100_000), false), (code(90, 400), true), (Entry::ptx(120), false)]);
    let file = Spec::library(Machine::X86_64).gpu_code(".nv_fatbin", &before).relro().build();
    let gpus: [Gpu; 1] = ["9.0".parse().unwrap()];
    for (compacts, in_place) in [(true, false), (false, false), (false, true)] {
        let good = slim_bytes(&file, &gpus, compacts, in_place).unwrap().expect("something goes");
        let image = Image::parse(&good).unwrap();
        let segments = image.segments.iter().map(|s| (s.offset, s.offset + s.file_size));
        let sections = image.sections.iter().filter(|s| s.kind != 8).map(|s| (s.offset, s.offset + s.size));
        let tables = [(0, 64 + 56 * image.segments.len() as u64), (image.section_table, good.len() as u64)];
        let used: Vec<(u64, u64)> = segments.chain(sections).chain(tables).collect();
        let (mut seen, mut missed) = (0, Vec::new());
        for at in (0..good.len()).step_by(37) {
            let mut wrong = good.clone();
            wrong[at] ^= 0x41;
            let one = |patches: &mut Vec<Patch>| {
                let patch = |offset: usize, bytes: &[u8]| Patch {
                    stage: Stage::Content,
                    offset: FileOffset::new(offset as u64),
                    content: Content::Bytes(bytes.to_vec()),
                };
                match in_place {
                    true => patches.push(patch(at, &wrong[at..=at])),
                    false => *patches = vec![patch(0, &wrong)],
                }
            };
            let is_used = used.iter().any(|(start, end)| (*start..*end).contains(&(at as u64)));
            // What a program header's p_paddr is, nobody reads.
            let is_physical = at >= 64 && at < 64 + 56 * image.segments.len() && (24..32).contains(&((at - 64) % 56));
            if !is_used || is_physical {
                continue;
            }
            match slim_bytes_otherwise(&file, &gpus, (compacts, in_place), &one) {
                Err(_) => seen += 1,
                Ok(_) => missed.push(at),
            }
        }
        assert!(seen > 50 && missed.is_empty(), "{compacts} {in_place}: {seen} seen, missed {missed:x?}");
    }
    // The same of whole writes that go or change places.
    let spoiled: [Spoil<'_>; 3] = [&|patches| drop(patches.pop()), &|patches| patches.reverse(), &|patches| {
        for patch in patches {
            if let Content::Zero(len) = &mut patch.content {
                *len -= 1;
            }
        }
    }];
    for spoil in spoiled {
        assert!(slim_bytes_otherwise(&file, &gpus, (false, false), spoil).is_err());
        assert!(slim_bytes_otherwise(&file, &gpus, (true, false), spoil).is_err());
    }
    let archive = archive(&[("k.fatbin", &before)]);
    assert!(slim_bytes(&archive, &gpus, true, false).unwrap().is_some());
}
