//! Classes 10 to 18: notes, bytes that code reads, programs without a loader, payloads, growth, strip, and sizes.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use cuda_runpath::elf::image::apply;
use cuda_runpath::elf::plan::{Atomicity, Change, PathTag, plan};
use cuda_runpath::elf::view::Subject;

use super::layouts::{Real, answer_after, assert_image_kept, linkers, long_path};
use super::naive::{Behind, Table, append, grows, moves, rebuild_strings};
use crate::case::Strips;
use crate::editors::Patchelf;
use crate::elfgen::damage::Damage;
use crate::elfgen::read::Image;
use crate::elfgen::{self, Machine, Spec};
use crate::fixtures::{
    LARGE_DATA, Link, NEW, OLD, OldPath, Shape, clean, deps, fix, fixtures, json, paths_longer_than_a_page, run,
};
use crate::support::{Snapshot, Tree, binary, require, skip};
use crate::targets::NATIVE;

const PROGRAMS: [(&str, Shape); 3] =
    [("user_program.c", Shape::Exec), ("user_program.c", Shape::Pie), ("user_library.c", Shape::Library)];
const SEGMENTATION_FAULT: i32 = 1011;

fn image(file: &Path) -> Image {
    Image::parse(&std::fs::read(file).unwrap()).unwrap()
}

/// What the kernel and the loader read as PT_GNU_PROPERTY.
fn property(image: &Image) -> Option<Vec<u8>> {
    let header = image.segments.iter().find(|segment| segment.kind == 0x6474_e553)?;
    Some(image.data[header.offset as usize..][..header.file_size as usize].to_vec())
}

/// IBT and shadow stacks (x86) and BTI (aarch64) are on where PT_GNU_PROPERTY says so. An editor that moves
/// `.note.gnu.property` and forgets that header, as patchelf 0.14 does, leaves it on the X that it fills old places
/// with: the file runs as before, without the protection.
#[test]
fn class_10_property_note() {
    let test = "class_10_property_note";
    for linker in linkers(test) {
        let marks: &[&str] = match linker {
            "lld" => &["-Wl,-z,force-ibt,-z,shstk"],
            "gold" => &[],
            _ => &["-Wl,-z,ibt,-z,shstk"],
        };
        for (source, shape) in PROGRAMS {
            let told = format!("{linker} {shape:?}");
            let link = Link::new(source, shape).linker(linker).defines(&["-fcf-protection=full"]).flags(marks);
            let real = Real::new(&link);
            let before = property(&image(&real.original()));
            let kept = real.assert_kept(&told);
            assert_eq!(property(&image(&kept.file)), before, "{told}");
            if linker != "bfd" || shape == Shape::Library {
                continue;
            }
            let before = before.expect("GNU ld writes the header");
            assert_eq!(before.get(12..16), Some(&b"GNU\0"[..]), "{told}");
            if let Some(patchelf) = Patchelf::old(test) {
                let file = real.copy("old-patchelf");
                patchelf.must_edit(&["--set-rpath", &long_path()], &file);
                assert_eq!(real.run(&file).code, NEW, "{told}: nothing is seen when it runs");
                assert_ne!(property(&image(&file)), Some(before), "{told}: {}", patchelf.name);
            }
        }
    }
    for machine in [Machine::X86_64, Machine::I386, Machine::Aarch64, Machine::Aarch64Be] {
        for spec in [Spec::library(machine), Spec::pie(machine), Spec::exec(machine)] {
            let spec = spec.runpath("$ORIGIN/old").property().build_id().relro();
            assert_image_kept(&spec, &format!("{machine:?}"), test);
            assert_image_kept(&spec.bss(1 << 20), &format!("{machine:?}, a large last segment"), test);
        }
    }
}

/// A section of the program's own behind the program header table, which code reads by its address without any
/// relocation or symbol that would tell. Whoever moves it and fills the old place, or grows the table over it, changes
/// what code reads.
#[test]
fn class_11_clobbered_bytes_that_code_reads() {
    let test = "class_11_clobbered_bytes_that_code_reads";
    for linker in linkers(test) {
        for shape in [Shape::Exec, Shape::Pie, Shape::Library] {
            let told = format!("{linker} {shape:?}");
            let real = Real::new(&Link::new("own_note.c", shape).linker(linker));
            real.assert_kept(&told);
            if let Some(patchelf) = Patchelf::old(test) {
                let ended = real.run_after(|file| patchelf.must_edit(&["--set-rpath", &long_path()], file));
                // 151: the note is not where code knows it.
                assert_eq!(ended.code, 151, "{told}: {}", patchelf.name);
            }
            if shape == Shape::Library && linker == "bfd" {
                // Or 138: the build id, which lies beside the note.
                assert!(matches!(real.run_after_bytes(&grows).code, 138 | 151), "{told}: naive");
            }
        }
    }
}

/// The start-up code of a static-pie program and the dynamic loader relocate themselves, and both assert that they have
/// no DT_RUNPATH. patchelf gives them one; they die before their first line.
#[test]
fn class_12_static_pie_and_the_loader() {
    let test = "class_12_static_pie_and_the_loader";
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
            assert_eq!(run(&mut clean(&file)).code, 33, "{told} before");
            assert_skipped(&file, if shape == Shape::Static { "static" } else { "static-pie" }, &told);
            assert_eq!(run(&mut clean(&file)).code, 33, "{told} after");
            // Those of other linkers lack sections that patchelf wants to see.
            if linker == "bfd" && shape == Shape::StaticPie {
                Patchelf::both(test).iter().for_each(|patchelf| assert_dies(patchelf, &file, |copy| clean(copy)));
            }
        }
    }

    if !require("cc", test) {
        return;
    }
    let program = tree.join("program");
    Link::new("user_program.c", Shape::Pie).to(&program);
    let image = image(&program);
    let interpreter = image.segments.iter().find(|segment| segment.kind == 3).unwrap();
    let name = &image.data[interpreter.offset as usize..][..interpreter.file_size as usize - 1];
    let system = PathBuf::from(String::from_utf8(name.to_vec()).unwrap());
    for name in ["ld-linux-x86-64.so.2", "loader", "loader-without-section-headers"] {
        let loader = tree.join(name);
        assert_eq!(run(clean("cp").arg("-L").arg(&system).arg(&loader)).code, 0);
        if name.ends_with("headers") {
            crate::fixtures::drop_section_headers(&loader, true);
        }
        assert_skipped(&loader, "loader", name);
        assert_eq!(run(clean(&loader).arg(&program)).code, OLD, "{name} after");
        for patchelf in Patchelf::both(test).into_iter().filter(|_| name == "loader") {
            assert_dies(&patchelf, &loader, |copy| {
                let mut command = clean(copy);
                command.arg(&program);
                command
            });
        }
    }
}

fn assert_skipped(file: &Path, reason: &str, told: &str) {
    let before = Snapshot::of(file);
    for mode in [&[][..], &["--in-place"]] {
        let ended = run(fix(0).args(["--json", "-v"]).args(mode).arg(file));
        assert_eq!(ended.code, 0, "{told}: {}", ended.said());
        let entry = json(&ended)["files"][0].clone();
        assert_eq!((&entry["outcome"], &entry["reason"]), (&"skipped".into(), &reason.into()), "{told}: {entry}");
        assert_eq!(Snapshot::of(file), before, "{told} {mode:?}");
    }
}

/// With any RUNPATH the copy is ended by a signal.
fn assert_dies(patchelf: &Patchelf, file: &Path, command: impl Fn(&Path) -> std::process::Command) {
    let copy = file.with_extension("patched");
    assert_eq!(run(clean("cp").arg(file).arg(&copy)).code, 0);
    patchelf.must_edit(&["--set-rpath", &long_path()], &copy);
    let ended = run(&mut command(&copy));
    assert!(ended.code > 1000, "{} {}: {}", patchelf.name, file.display(), ended.said());
}

/// PyInstaller, AppImage, bun and deno append an archive to a program, which finds it by counting from the end of its
/// own file. What patchelf and every naive editor append comes behind that, and the program says that its payload is
/// gone.
#[test]
fn class_13_payload_at_the_end() {
    let test = "class_13_payload_at_the_end";
    // It looks like section headers, like text, and is no multiple of anything.
    let payload: Vec<u8> = (0..5003_u32).map(|at| (at * at % 251) as u8).chain(*b"the payload ends here").collect();
    let attach =
        |file: &Path| std::fs::OpenOptions::new().append(true).open(file).unwrap().write_all(&payload).unwrap();
    for linker in linkers(test) {
        for shape in [Shape::Exec, Shape::Pie] {
            for flags in [&[][..], &["-Wl,-z,separate-loadable-segments"]] {
                // gold does not know the word.
                if linker == "gold" && !flags.is_empty() {
                    continue;
                }
                let told = format!("{linker} {shape:?} {flags:?}");
                let real = Real::treated(&Link::new("self_reading.c", shape).linker(linker).flags(flags), attach);
                // Linkers that leave no padding leave no room inside.
                if run(fix(0).arg("--dry-run").arg(real.original())).code == 2 {
                    assert_ne!(linker, "bfd", "{told} has padding");
                    assert!(flags.is_empty(), "{told} has padding");
                    real.assert_refused("payload", &told);
                } else {
                    let kept = real.assert_kept(&told);
                    assert!(std::fs::read(kept.file).unwrap().ends_with(&payload), "{told}");
                }
                // 158: something else ends the file.
                assert_eq!(real.run_after_bytes(&moves).code, 158, "{told}: naive");
                // patchelf puts new pages in front of ET_EXEC programs.
                for patchelf in Patchelf::both(test).iter().filter(|_| shape == Shape::Pie) {
                    let ended = real.run_after(|file| patchelf.must_edit(&["--set-rpath", &long_path()], file));
                    assert_eq!(ended.code, 158, "{told}: {}", patchelf.name);
                }
            }
        }
    }
    for (name, spec) in elfgen::presets().into_iter().filter(|(name, _)| *name == "rung-e-slack-overlay") {
        assert_image_kept(&spec, name, test);
        let answer = answer_after(&spec, &moves, test);
        assert!(answer.is_none_or(|answer| answer == Ok(42)), "the naive edit is seen by the payload's reader only");
    }
}

/// Hooks run one after another, and each puts a directory in front. patchelf adds a page and more each time, also the
/// newest; here a file uses the room that it has, moves its strings to its end once, and from then on grows by strings.
/// It is never larger than one long edit makes it. When its room runs out depends on the path's length.
#[test]
fn class_14_repeated_edits() {
    const ROUNDS: usize = 12;
    let test = "class_14_repeated_edits";
    let driver = |round: usize, first: usize| match round {
        1 => PathBuf::from(format!("/opt/{}", "p".repeat(first))),
        ROUNDS => deps(0).new.clone(),
        _ => PathBuf::from(format!("/opt/some/package/number/{round:02}/lib")),
    };
    let fix = |file: &Path, driver: &Path, told: &str| {
        let ended = run(binary().args(["fix", "--in-place", "--driver"]).arg(driver).arg(file));
        assert_eq!(ended.code, 0, "{told}: {}", ended.said());
        sizes(file)
    };
    for linker in linkers(test) {
        for (source, shape) in PROGRAMS {
            let real = Real::new(&Link::new(source, shape).linker(linker));
            let once = fix(&real.copy("once"), &PathBuf::from(format!("/opt/{}", "p".repeat(3000))), linker);
            for first in [26, 100, 300] {
                let told = format!("{linker} {shape:?} {first}");
                let file = real.copy("fix");
                let sizes = (1..=ROUNDS).map(|round| fix(&file, &driver(round, first), &told)).collect::<Vec<_>>();
                let last = sizes[ROUNDS - 1];
                assert!(last.2 < once.2, "{told}: {last:?} is to be the shorter edit, {once:?}");
                assert!(last.0 + once.2 <= once.0 + last.2, "{told}: {sizes:?}, at once {once:?}");
                let moved = sizes.windows(2).filter(|pair| pair[1].0 - pair[0].0 > pair[1].1).count();
                assert!(moved <= 1, "{told}: {sizes:?}");
                assert_eq!(real.run(&file).code, NEW, "{told}");
            }
            if shape != Shape::Library {
                continue;
            }
            for patchelf in Patchelf::both(test) {
                let file = real.copy("other");
                let mut first = (0, 0, 0);
                let mut path = deps(0).old.display().to_string();
                for round in 1..=ROUNDS {
                    path = format!("{}:{path}", driver(round, 26).display());
                    patchelf.must_edit(&["--set-rpath", &path], &file);
                    if round == 1 {
                        first = sizes(&file);
                    }
                }
                let growth = sizes(&file).0 - first.0;
                assert!(growth > 0x1000 * (ROUNDS as u64 - 2), "{linker}: {} grew by {growth} only", patchelf.name);
            }
        }
    }
}

/// The sizes of the file, of its path and of its string table.
fn sizes(file: &Path) -> (u64, u64, u64) {
    let image = image(file);
    let [path, strings] = [image.runpath(), image.string_table()].map(|bytes| bytes.map_or(0, |bytes| bytes.len()));
    (image.data.len() as u64, path as u64, strings as u64)
}

/// A package's fixup phase strips after it patches. What an editor moved to the end of the file, or left where no
/// section names it, is then laid out anew, or dropped: the edited file runs, and the stripped one does not.
#[test]
fn class_15_strip_after_the_edit() {
    let test = "class_15_strip_after_the_edit";
    let strips = Strips::All.found(NATIVE, test);
    for linker in linkers(test) {
        for (source, shape) in PROGRAMS {
            let real = Real::new(&Link::new(source, shape).linker(linker));
            let kept = real.assert_kept(linker);
            for strip in &strips {
                let told = format!("{linker} {shape:?} {strip:?}");
                let stripped = |file: &Path| {
                    let ended = run(clean(&strip[0]).args(&strip[1..]).arg(file));
                    assert_eq!(ended.code, 0, "{told}: {}", ended.said());
                };
                let file = real.copy("stripped");
                assert_eq!(run(clean("cp").arg(&kept.file).arg(&file)).code, 0);
                stripped(&file);
                assert_eq!(real.run(&file).code, NEW, "{told}, {}", kept.strategy);
                assert_eq!(real.run_after(stripped).code, OLD, "{told} without an edit");
                if shape == Shape::Pie {
                    let naive = real.run_after(|file| {
                        std::fs::write(file, moves(&std::fs::read(file).unwrap(), &long_path())).unwrap();
                        // A strip that gives up is an answer too.
                        run(clean(&strip[0]).args(&strip[1..]).arg(file));
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

/// 2.2 GiB of GPU code and no more than a page of it written, as a file system without compression would not store it:
/// who reads all of the file, or writes all of it anew, takes minutes and gigabytes and fills every hole.
/// Zero-initialised memory is the same in memory: it must stay zero and must not become bytes of the file.
#[test]
fn class_16_huge_and_sparse() {
    const SPARSE: u64 = 2_362_232_832;
    const SMALLER: u64 = 64 << 20;
    let test = "class_16_huge_and_sparse";
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
        for mode in [&["--in-place"][..], &[]] {
            let told = format!("{strategy} {mode:?}");
            let file = real.copy("fix");
            let before = std::fs::metadata(&file).unwrap();
            let mut command = vec![crate::support::program().into_os_string(), "fix".into(), "--json".into()];
            command.extend(["--driver".into(), deps(0).new.clone().into_os_string()]);
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
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("fatbin-last.ld");
    let text = "SECTIONS { .nv_fatbin ALIGN(CONSTANT(MAXPAGESIZE)) : { *(.nv_fatbin) } } INSERT AFTER .bss;\n";
    std::fs::write(&script, text).unwrap();
    let (script, define) = (format!("-Wl,-T,{}", script.display()), format!("-DFATBIN_BYTES={bytes}"));
    let flags: Vec<&str> = [&*script].into_iter().chain(flags.iter().copied()).collect();
    let defines = [&*define];
    let link = Link::new("sparse_fatbin.c", Shape::Library).linker("bfd").defines(&defines).flags(&flags);
    Real::treated(&link, |file| stretch(file, bytes))
}

fn stretch(file: &Path, bytes: u64) {
    let mut library = Damage::new(&std::fs::read(file).unwrap());
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
    let mut measure = clean("python3");
    measure.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/measure.py")).arg(what).arg(&samples);
    let ended = run(measure.args([test, "--stdout"]).arg(&output).arg("--").args(command));
    assert_eq!(ended.code, 0, "{}", ended.said());
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
    let listing = run(clean("readelf").arg("-dW").arg(file)).out();
    let line = listing.lines().find(|line| line.contains("(STRSZ)")).expect("DT_STRSZ");
    line.split_whitespace().nth(2).and_then(|size| size.parse().ok()).expect("a number")
}

/// An editor that builds tables anew from what it knows loses what it does not know. One that collects the names of
/// symbols and libraries, and not those of versions, leaves version numbers that name something else.
#[test]
fn class_17_contents_that_a_model_does_not_know() {
    let test = "class_17_contents_that_a_model_does_not_know";
    let script = format!("-Wl,--version-script={}", fixtures().join("versioned_library.map").display());
    let long = paths_longer_than_a_page();
    for linker in linkers(test) {
        for hash in ["-Wl,--hash-style=gnu", "-Wl,--hash-style=sysv"] {
            let told = format!("{linker} {hash}");
            let link = || Link::new("versioned_library.c", Shape::Library).linker(linker);
            let real = Real::new(&link().flags(&[&script, hash]));
            real.assert_kept(&told);
            Real::new(&link().flags(&[&script, hash, &long])).assert_kept(&told);
            Real::new(&link().flags(&[&script, hash, &long, LARGE_DATA])).assert_kept(&told);
            let ended = real.run_after_bytes(&rebuild_strings);
            assert_ne!(ended.code, NEW, "{told}: naive");
        }
    }
    let others = ["versions", "hash-", "string-tags", "filter-tags", "foreign-user"];
    for (name, spec) in elfgen::presets() {
        if others.iter().any(|other| name.starts_with(other)) {
            assert_image_kept(&spec, name, test);
        }
    }
    let spec = Spec::library(Machine::X86_64).runpath("$ORIGIN/old").verneed("libdep.so.1", "DEP_1.0");
    let answer = answer_after(&spec, &rebuild_strings, test);
    assert!(answer.is_none_or(|answer| answer.is_err()), "naive");
}

/// The highest address of a file is that of its zero-initialised memory, which no byte of the file shows, and pages are
/// as large as a kernel makes them, not as the last segment is aligned. A new segment in the page behind the last
/// *byte* is mapped over bss; one that shares a 64 KiB page with it cannot be mapped at all.
#[test]
fn class_18_new_segment_over_bss() {
    let test = "class_18_new_segment_over_bss";
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
