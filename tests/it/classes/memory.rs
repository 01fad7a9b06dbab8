//! Addresses: zero-initialised memory, the lowest pages, and files that are larger than what is written of them.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use cuda_runpath::elf::image::apply;
use cuda_runpath::elf::plan::{Atomicity, Change, PathTag, plan};
use cuda_runpath::elf::view::Subject;

use super::layouts::{Real, assert_image_kept, long_path};
use super::naive::{Behind, Table, append};
use crate::elfgen::damage::Damage;
use crate::elfgen::read::Image;
use crate::elfgen::{self, Machine, Spec};
use crate::harness::editors::Patchelf;
use crate::harness::fixtures::{LARGE_DATA, paths_longer_than_a_page};
use crate::harness::{
    self, Link, MODES, NATIVE, NEW, OLD, Shape, Tree, command, deps, expect, linkers, program, require,
};

/// The highest address of a file is that of its zero-initialised memory, which no byte of the file shows, and pages are
/// as large as a kernel makes them, not as the last segment is aligned. A new segment in the page behind the last
/// *byte* is mapped over bss; one that shares a 64 KiB page with it cannot be mapped at all.
#[test]
fn new_segment_over_bss() {
    let test = "new_segment_over_bss";
    let over_bss = |bytes: &[u8], path: &str| append(bytes, path, Table::Moves, Behind::FileBytes);
    for linker in linkers(test) {
        for shape in [Shape::Exec, Shape::Pie] {
            for flags in [&[][..], &["-Wl,-z,max-page-size=0x200000"], &[LARGE_DATA]] {
                let told = format!("{linker} {shape:?} {flags:?}");
                let real = Real::new(&Link::new("huge_bss.c", shape).linker(linker).flags(flags));
                real.assert_kept(&told);
                if flags.is_empty() {
                    assert_ne!(real.run_after_bytes(&over_bss).code, NEW, "{told}: naive");
                }
            }
        }
    }
    let mut shared_by_naive = 0;
    for (name, spec) in elfgen::presets() {
        let bytes = spec.build();
        let Ok(Subject::Object(view)) = Subject::parse(&bytes) else { continue };
        let change = Change::Set { tag: PathTag::Runpath, path: "/run/opengl-driver/lib:$ORIGIN/old".into() };
        let Ok(plan) = plan(&view, &change, Atomicity::Replace) else { continue };
        let page = spec.machine.page();
        let before = Image::parse(&bytes).unwrap();
        let after = Image::parse(&apply(&bytes, &plan).unwrap()).unwrap();
        // Segments that share a page already, as those of a file linked for smaller pages do, are the file's own
        // business.
        let allowed = shared_pages(&before, page);
        assert!(shared_pages(&after, page) <= allowed, "{name}: {}", plan.strategy);
        if spec.bss > 0 && spec.bss < 0x1_0000 {
            let naive = Image::parse(&over_bss(&bytes, "/new")).unwrap();
            shared_by_naive += usize::from(shared_pages(&naive, page) > allowed);
        }
    }
    assert!(shared_by_naive >= 3, "the naive editor shared a page {shared_by_naive} times only");
}

/// How many PT_LOADs start in the page in which another one ends.
fn shared_pages(image: &Image, page: u64) -> usize {
    let loads: Vec<_> = image.loads().filter(|load| load.memory_size > 0).collect();
    let starts_in = |one: &elfgen::read::Segment, other: &elfgen::read::Segment| {
        other.address < one.address + page
            && other.address + other.memory_size > one.address / page * page
            && other.address != one.address
    };
    loads.iter().filter(|one| loads.iter().any(|other| other.address < one.address && starts_in(one, other))).count()
}

/// patchelf makes room for an ET_EXEC program's headers by putting pages in front, at lower addresses. Where the
/// program starts in the first pages that a process may have, there are none.
#[test]
fn low_addresses() {
    let test = "low_addresses";
    // More than the addresses below would hold.
    let huge = format!("-Wl,-rpath,/{}", "x".repeat(70_000));
    let path = format!("{}:/{}", deps(NATIVE).new.display(), "x".repeat(70_000));
    for linker in linkers(test) {
        let base =
            if matches!(linker, "bfd" | "gold") { "-Wl,-Ttext-segment=0x10000" } else { "-Wl,--image-base=0x10000" };
        for flags in [&[base][..], &[base, &huge]] {
            let told = format!("{linker} {}", flags.len());
            let real = Real::new(&Link::new("own_headers.c", Shape::Exec).linker(linker).flags(flags));
            let lowest = Image::read(&real.original()).loads().map(|load| load.address).min();
            assert_eq!(lowest, Some(0x1_0000), "{told}");
            real.assert_kept(&told);
            // A path that is that long already makes room for the new one.
            for patchelf in Patchelf::both(test).iter().filter(|_| flags.len() == 1) {
                let file = real.copy("other");
                let ended = patchelf.edit(&["--set-rpath", &path], &file);
                let says = ended.stderr.contains("virtual address space underrun");
                assert!(ended.code != 0 && says, "{told}: {}: {}", patchelf.name, ended.said());
                assert_eq!(real.run(&file).code, OLD, "{told}: {}", patchelf.name);
            }
        }
    }
    let spec = Spec::exec(Machine::X86_64).runpath("$ORIGIN/old").base(0x1_0000);
    assert_image_kept(&spec.clone().null_slot(), "a header to spare", test);
    assert_image_kept(&spec.bss(1 << 20), "no header to spare", test);
}

/// 2.2 GiB of GPU code and no more than a page of it written, as a file system without compression would not store it:
/// an editor that reads all of the file, or writes all of it anew, takes minutes and gigabytes and fills every hole.
/// Zero-initialised memory is the same in memory: it must stay zero and must not become bytes of the file.
#[test]
fn huge_and_sparse() {
    const SPARSE: u64 = 2_362_232_832;
    const SMALLER: u64 = 64 << 20;
    let test = "huge_and_sparse";
    for linker in linkers(test) {
        for shape in [Shape::Exec, Shape::Pie] {
            let real = Real::new(&Link::new("huge_bss.c", shape).linker(linker));
            let kept = real.assert_kept(linker);
            let size = |file: &Path| std::fs::metadata(file).unwrap().len();
            assert!(size(&kept.file) < size(&real.original()) + (64 << 10), "{linker} {shape:?}: {}", kept.strategy);
        }
    }
    if !linkers(test).contains(&"bfd") || !require("python3", test) {
        return;
    }
    let long = paths_longer_than_a_page();
    // In padding, and in a new segment behind everything, for which small tables move, and where the old path of this
    // length is zeroed.
    for (flags, strategy, tables) in [(&[][..], "slack", 1), (&[&*long], "make-room", 2)] {
        let real = sparse_library(SPARSE, flags);
        let original = std::fs::metadata(real.original()).unwrap();
        assert!(original.len() > SPARSE && original.blocks() * 512 < 8 << 20, "the library is not sparse");
        for mode in MODES {
            let told = format!("{strategy} {mode:?}");
            let file = real.copy("fix");
            let before = std::fs::metadata(&file).unwrap();
            let mut command = vec![program().into_os_string(), "fix".into(), "--json".into()];
            command.extend(["--driver".into(), deps(NATIVE).new.clone().into_os_string()]);
            command.extend(mode.iter().map(Into::into));
            command.push(file.clone().into_os_string());
            let figures = measured(&command, "time", test);
            let after = std::fs::metadata(&file).unwrap();
            assert_eq!(figures.strategy, strategy, "{told}");
            assert_eq!(real.run(&file).code, NEW, "{told}");
            // Elsewhere a hole is read before it is believed to be one.
            let tells_holes = matches!(rustix::fs::statfs(&file).unwrap().f_type, 0xef53 | 0x5846_5342 | 0x0102_1994);
            assert!(figures.cpu < 1.0 || (mode.is_empty() && !tells_holes), "{told}: {} s", figures.cpu);
            assert!(after.blocks() <= before.blocks() + 16, "{told}: {} then {}", before.blocks(), after.blocks());
            if !mode.is_empty() {
                // The copy of the table, zeros over the old path where it was, and what stood and will stand there in the
                // journal.
                let most = tables * (5 * string_table_size(&file) + 2048);
                assert!(figures.written < most, "{told}: {} bytes written", figures.written);
            }
            // Of the first edit.
            let again = real.copy("fix");
            *command.last_mut().unwrap() = again.into_os_string();
            let resident = measured(&command, "memory", test).resident;
            assert!(resident < 64 << 20, "{told}: {resident} bytes of memory");
        }
    }
    // The same with less of it, which Debian's patchelf reads and writes in full.
    let real = sparse_library(SMALLER, &[]);
    if let Some(patchelf) = Patchelf::old(test) {
        let file = real.copy("other");
        patchelf.must_edit(&["--set-rpath", &long_path()], &file);
        assert_eq!(real.run(&file).code, NEW);
        let blocks = std::fs::metadata(&file).unwrap().blocks();
        assert!(blocks * 512 > SMALLER, "{} keeps holes by now: {blocks} blocks", patchelf.name);
    }
}

/// `sparse_fatbin.c` with `.nv_fatbin` in a PT_LOAD of its own behind everything, as CUDA's linker scripts put it,
/// stretched to this many bytes: those between its two ends are a hole.
fn sparse_library(bytes: u64, flags: &[&str]) -> Real {
    let tree = Tree::new();
    let text = "SECTIONS { .nv_fatbin ALIGN(CONSTANT(MAXPAGESIZE)) : { *(.nv_fatbin) } } INSERT AFTER .bss;\n";
    let script = tree.file("fatbin-last.ld", text.as_bytes());
    let (script, define) = (format!("-Wl,-T,{}", script.display()), format!("-DFATBIN_BYTES={bytes}"));
    let flags: Vec<&str> = [&*script].into_iter().chain(flags.iter().copied()).collect();
    let defines = [&*define];
    let link = Link::new("sparse_fatbin.c", Shape::Library).linker("bfd").defines(&defines).flags(&flags);
    Real::treated(&link, |file| stretch(file, bytes))
}

fn stretch(file: &Path, bytes: u64) {
    let mut library = Damage::of(file);
    let own = library.section_index(".nv_fatbin").unwrap();
    let [offset, size] = [library.image.sections[own].offset, library.image.sections[own].size];
    let load = library.image.segments.iter().position(|load| load.kind == 1 && load.offset == offset).unwrap();
    let end = offset + size;
    // Its last eight bytes stay its last ones.
    let more = bytes - size;
    assert_eq!(more % 0x1000, 0);
    for (field, value) in [
        (library.section(own, "sh_size"), bytes),
        (library.segment(load, "p_filesz"), bytes),
        (library.segment(load, "p_memsz"), bytes),
        (library.header("e_shoff"), library.image.section_table + more),
    ] {
        library.write(field, value);
    }
    for (index, section) in library.image.sections.clone().iter().enumerate() {
        if section.offset >= end {
            library.write(library.section(index, "sh_offset"), section.offset + more);
        }
    }
    let (head, tail) = library.bytes.split_at(end as usize - 8);
    let mut out = std::fs::OpenOptions::new().write(true).truncate(true).open(file).unwrap();
    out.write_all(head).unwrap();
    out.seek(SeekFrom::Current(more as i64)).unwrap();
    out.write_all(tail).unwrap();
}

/// What a run cost.
struct Figures {
    strategy: String,
    /// Seconds of processor time.
    cpu: f64,
    /// Bytes handed to the kernel.
    written: u64,
    /// Bytes of memory at most, mapped pages of the file included.
    resident: u64,
}

/// Runs `fix --json` under `benches/measure.py`, which measures time and writes, or memory.
fn measured(command: &[std::ffi::OsString], what: &str, test: &str) -> Figures {
    let tree = Tree::new();
    let (samples, output) = (tree.join("samples"), tree.join("output"));
    let mut measure = harness::command("python3");
    measure.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/measure.py")).arg(what).arg(&samples);
    expect(measure.args([test, "--stdout"]).arg(&output).arg("--").args(command), 0);
    let read = |file: &Path| -> serde_json::Value { serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap() };
    let figures = read(&samples);
    Figures {
        strategy: read(&output)["files"][0]["strategy"].as_str().unwrap_or_default().to_owned(),
        cpu: figures["cpu"].as_f64().unwrap_or_default(),
        written: figures["syscall"].as_u64().unwrap_or_default(),
        resident: figures["resident"].as_u64().unwrap_or_default(),
    }
}

/// DT_STRSZ, without reading gigabytes.
fn string_table_size(file: &Path) -> u64 {
    let listing = expect(command("readelf").arg("-dW").arg(file), 0).stdout;
    let line = listing.lines().find(|line| line.contains("(STRSZ)")).expect("DT_STRSZ");
    line.split_whitespace().nth(2).and_then(|size| size.parse().ok()).expect("a number")
}
