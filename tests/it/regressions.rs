//! What was wrong once, each with the smallest input that shows it.

use std::fs;
use std::process::Stdio;

use cuda_runpath::elf::image::apply;
use cuda_runpath::elf::plan::{Atomicity, Change, PathTag, Stage, Strategy, plan};
use cuda_runpath::elf::verify::verify;
use cuda_runpath::elf::view::Subject;

use crate::elfgen::compare::{differences, loaded};
use crate::elfgen::damage::Damage;
use crate::elfgen::{self, Headers, Machine, Packing, Segments, Spec, read};
use crate::harness::fixtures::{LARGE_DATA, drop_section_headers, paths_longer_than_a_page};
use crate::harness::images::{answer, dependency};
use crate::harness::run::limited;
use crate::harness::{
    Link, MODES, NATIVE, NEW, OLD, OldPath, Shape, Tree, binary, command, deps, expect, invoke, linkers, require, run,
    start,
};

/// GNU ld writes `symoffset` 1 where nothing is exported: taken for the number of symbols, every imported name looked
/// unused and was overwritten.
#[test]
fn a_program_without_exports_and_section_headers_keeps_its_imports() {
    if !require("cc", "a_program_without_exports_and_section_headers_keeps_its_imports") {
        return;
    }
    let tree = Tree::new();
    for (name, path) in [("old", OldPath::Runpath), ("none", OldPath::None)] {
        let file = tree.join(name);
        Link::new("no_exports.c", Shape::Exec).path(path).flags(&["-Wl,--hash-style=gnu"]).to(&file);
        drop_section_headers(&file, true);
        if path == OldPath::Runpath {
            assert_eq!(start(&file, Shape::Exec).code, OLD);
        }
        let driver = deps(NATIVE).new.to_str().unwrap();
        invoke(["fix", "--in-place", "--driver", driver, file.to_str().unwrap()]).assert_code(0, name);
        assert_eq!(start(&file, Shape::Exec).code, NEW, "{name}");
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// The string of a tag that goes was left behind, and with it what a Nix store scan finds.
#[test]
fn no_abandoned_path_string_stays() {
    let tree = Tree::new();
    let stale = "/nix/store/00000000000000000000000000000000-stale/lib";
    for driver in ["/d", "/run/opengl-driver/lib", &format!("/{}", "long".repeat(200))] {
        let file = tree.file("both.so", &Spec::library(Machine::X86_64).rpath(stale).runpath("$ORIGIN/old").build());
        invoke(["fix", "--in-place", "--driver", driver, file.to_str().unwrap()]).assert_code(0, driver);
        assert!(!contains(&fs::read(&file).unwrap(), "stale"), "{driver}");
    }
}

/// Up to sixteen bytes behind the object were taken for padding whatever they were.
#[test]
fn a_short_payload_stays_the_end_of_the_file() {
    let tree = Tree::new();
    let presets = elfgen::presets();
    for (name, spec) in presets.iter().filter(|(_, spec)| spec.overlay.is_empty()) {
        let bytes = spec.clone().overlay(b"MAGIC*00001").build();
        if !bytes.ends_with(b"MAGIC*00001") {
            continue;
        }
        let file = tree.file("short", &bytes);
        invoke(["fix", "--in-place", file.to_str().unwrap()]).assert_orderly(name);
        assert!(fs::read(&file).unwrap().ends_with(b"MAGIC*00001"), "{name}");
    }
}

/// An output variable that names something above the store opened all of it.
#[test]
fn only_a_store_path_is_an_output() {
    let tree = Tree::new();
    let bytes = Spec::library(Machine::X86_64).packing(Packing::Padded).build();
    let file = tree.file("nix/store/abc-x/lib.so", &bytes);
    for out in ["", "nix", "nix/store", "nix/store/abc-x/lib"] {
        for option in [false, true] {
            let mut command = binary();
            command.arg("fix").arg(tree.join("nix/store/abc-x"));
            if option {
                command.arg("--build-output").arg(tree.join(out));
            }
            command
                .env("NIX_STORE", tree.join("nix/store"))
                .env("NIX_BUILD_TOP", tree.path())
                .env("out", tree.join(out));
            expect(&mut command, 2);
            assert_eq!(fs::read(&file).unwrap(), bytes, "{out}");
        }
    }
}

/// A reader that has seen enough made the run look failed.
#[test]
fn a_closed_pipe_is_no_failure() {
    let tree = Tree::new();
    let bytes = Spec::library(Machine::X86_64).packing(Packing::Padded).build();
    for index in 0..2000 {
        tree.file(format!("tree/some-longer-name-{index}.so"), &bytes);
    }
    let mut child = binary()
        .args(["fix", "--dry-run"])
        .arg(tree.join("tree"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// One long name in every DT_NEEDED would have been copied for each.
#[test]
fn names_cannot_be_multiplied() {
    let tree = Tree::new();
    let long = format!("lib{}.so", "x".repeat(100_000));
    let mut spec = Spec::library(Machine::X86_64);
    spec.needed = vec![long; 2000];
    let file = tree.file("many.so", &spec.build());
    let run = crate::harness::run_bounded("names_cannot_be_multiplied", ["show", file.to_str().unwrap()]);
    run.assert_code(2, "many names");
}

/// Go's linker pads a stripped file to a whole page; more than sixteen zeros were taken for a payload.
#[test]
fn zeros_up_to_a_page_are_no_payload() {
    let tree = Tree::new();
    let driver = format!("/{}", "long/".repeat(2000));
    let mut grown = 0;
    for (name, spec) in
        elfgen::presets().iter().filter(|(name, spec)| spec.overlay.is_empty() && !name.starts_with("rung-k-"))
    {
        let edit = |zeros: usize| {
            let file = tree.file("padded", &spec.clone().overlay(&vec![0; zeros]).build());
            let code = invoke(["fix", "--in-place", "--driver", &driver, file.to_str().unwrap()]).code;
            (code, fs::metadata(file).unwrap().len())
        };
        let ((plain, _), (padded, size)) = (edit(0), edit(4095));
        assert_eq!(plain, padded, "{name}");
        grown += usize::from(size > 20_000);
    }
    assert!(grown > 30, "{grown} files had to grow, so this test shows little");
}

/// A read-only dynamic section was put into a writable segment, and the verifier refused the file.
#[test]
fn a_read_only_dynamic_section_moves() {
    let test = "a_read_only_dynamic_section_moves";
    if !require("cc", test) || !require("ld.lld", test) {
        return;
    }
    let tree = Tree::new();
    let flags = ["-Wl,-z,rodynamic", "-Wl,-z,norelro"];
    for (source, shape) in [("user_program.c", Shape::Pie), ("user_program.c", Shape::Exec)] {
        let file = tree.join(format!("{shape:?}"));
        Link::new(source, shape).linker("lld").path(OldPath::None).flags(&flags).to(&file);
        invoke(["fix", "--in-place", "--driver", deps(NATIVE).new.to_str().unwrap(), file.to_str().unwrap()])
            .assert_code(0, "fix");
        assert_eq!(start(&file, shape).code, NEW, "{shape:?}");
    }
}

/// make-room moved notes whatever was in them: one that code reads by its address was overwritten, and one whose contents
/// count from where it lies led elsewhere.
#[test]
fn a_note_of_an_unknown_owner_stays() {
    let test = "a_note_of_an_unknown_owner_stays";
    if !require("cc", test) {
        return;
    }
    let (tree, paths) = (Tree::new(), paths_longer_than_a_page());
    for linker in linkers(test) {
        for shape in [Shape::Exec, Shape::Pie, Shape::Library] {
            let file = tree.join(format!("{linker}-{shape:?}"));
            // No padding takes the table, and the last segment is too large to be copied cheaply.
            Link::new("own_note.c", shape).linker(linker).flags(&[LARGE_DATA, &paths]).to(&file);
            assert_eq!(start(&file, shape).code, OLD, "{linker} {shape:?} before");
            let driver = deps(NATIVE).new.to_str().unwrap();
            invoke(["fix", "--driver", driver, file.to_str().unwrap()]).assert_code(0, linker);
            let ended = start(&file, shape);
            assert_eq!(ended.code, NEW, "{linker} {shape:?}: {}", ended.said());
        }
    }
}

/// make-room moved the resolution cache note and then scrubbed its old place, on the first bytes of which the grown program
/// header table stands by then.
#[test]
fn scrubbing_a_moved_cache_note_keeps_off_the_grown_table() {
    let test = "scrubbing_a_moved_cache_note_keeps_off_the_grown_table";
    let store = "/nix/store/00000000000000000000000000000000-dep/lib";
    let resolved = format!("={store}/libdep.so.1");
    let notes: [&[(&str, &str)]; 2] = [
        &[("libdep.so.1", &resolved)],
        // Shorter than the header that comes over it.
        &[("libm.so", "=/m")],
    ];
    let tree = Tree::new();
    let new = dependency(&tree, "new", 2);
    let new = new.to_str().unwrap();
    for (index, note) in notes.into_iter().enumerate() {
        let specs = [
            Spec::library(Machine::X86_64).ldcache(note),
            // The cache note is the second one of its list.
            Spec::library(Machine::X86_64).build_id().ldcache(note),
            Spec::pie(Machine::X86_64).ldcache(note),
            Spec::library(Machine::I386).ldcache(note),
            Spec::library(Machine::Ppc64).ldcache(note),
        ];
        for (number, spec) in specs.into_iter().enumerate() {
            let spec = spec.runpath("/opt/old").bss(1 << 20);
            for mode in MODES {
                let told = format!("note {index}, layout {number}, {mode:?}");
                let bytes = spec.build();
                let file = tree.executable("image", &bytes);
                let result = run(binary().args(["fix", "--json", "--driver", new]).args(mode).arg(&file));
                result.assert_code(0, &told);
                assert_eq!(result.file()["strategy"], "make-room", "{told}: another layout is wanted");
                let edited = fs::read(&file).unwrap();
                let wanted = format!("{new}:/opt/old");
                let after = read::Image::parse(&edited).unwrap_or_else(|| panic!("{told}: cannot be read any more"));
                let found = differences(&read::Image::parse(&bytes).unwrap(), &after, wanted.as_bytes(), &[]);
                assert!(found.is_empty(), "{told}: {found:?}");
                let copies = edited.windows(store.len()).filter(|window| *window == store.as_bytes()).count();
                assert!(copies <= 1, "{told}: the abandoned note keeps a store path alive");
                if spec.runs_here()
                    && let Some(answer) = answer(&spec, &file, None, test)
                {
                    assert_eq!(answer, Ok(42), "{told}");
                }
            }
        }
    }
}

/// Section headers that gave way lie behind the new string table, so the second edit copies the table's segment; the old path in
/// that copy was zeroed before the dynamic section led away from it. Found by fuzzing.
#[test]
fn the_old_path_is_read_until_the_last_entry_is_written() {
    let mut bytes = Spec::library(Machine::X86_64).runpath("$ORIGIN/old").headers(Headers::BehindTable).build();
    for (round, strategy) in [Strategy::Gap, Strategy::Reimage].into_iter().enumerate() {
        let Ok(Subject::Object(view)) = Subject::parse(&bytes) else { panic!("an object") };
        let old = view.search_path().unwrap().to_vec();
        let path = format!("/{}", "long".repeat(200 * (round + 1)));
        let change = Change::Set { tag: PathTag::Runpath, path: path.clone().into() };
        let plan = plan(&view, &change, Atomicity::Prefixes).unwrap();
        assert_eq!(plan.strategy, strategy);
        for count in 0..plan.patches.len() {
            let mut prefix = plan.clone();
            prefix.patches.truncate(count);
            let now = read::Image::parse(&apply(&bytes, &prefix).unwrap()).unwrap().runpath();
            assert!(now.as_ref() == Some(&old) || now == Some(path.clone().into()), "{count} writes: {now:?}");
        }
        bytes = apply(&bytes, &plan).unwrap();
    }
}

/// What another PT_LOAD maps too would have counted from the copy for some and from the original for others. Found by
/// fuzzing.
#[test]
fn a_segment_that_is_mapped_twice_is_not_copied() {
    let spec = Spec::library(Machine::X86_64).runpath("$ORIGIN/old").segments(Segments::CodeFirst).bss(64);
    let mut twice = Damage::new(&spec.build());
    let (last, stack) = (twice.segment_index(1, 2), twice.segment_index(0x6474_e551, 0));
    let load = twice.image.segments[last];
    for (name, value) in [
        ("p_type", 1),
        ("p_flags", 4),
        ("p_offset", load.offset),
        ("p_vaddr", 0x10_0000),
        ("p_filesz", load.file_size),
        ("p_memsz", load.file_size),
        ("p_align", 1),
    ] {
        let field = twice.segment(stack, name);
        twice = twice.put(field, value);
    }
    let bytes = twice.bytes;
    let Ok(Subject::Object(view)) = Subject::parse(&bytes) else { panic!("an object") };
    let change = Change::Set { tag: PathTag::Runpath, path: format!("/{}", "long".repeat(200)).into() };
    let plan = plan(&view, &change, Atomicity::Replace).unwrap();
    assert_ne!(plan.strategy, Strategy::Reimage);
    let edited = apply(&bytes, &plan).unwrap();
    assert!(matches!(Subject::parse(&edited), Ok(Subject::Object(now)) if now.search_path() == change.path()));
}

/// A PT_NOTE at PT_GNU_PROPERTY's offset and at an address of its own was taken for its duplicate. Found by fuzzing.
#[test]
fn a_note_at_another_address_is_no_duplicate() {
    let spec = Spec::pie(Machine::X86_64).runpath("$ORIGIN/old").property().build_id();
    let sound = Damage::new(&spec.build());
    let note = sound.segment_index(read::PT_NOTE, 0);
    let field = sound.segment(note, "p_vaddr");
    let bytes = sound.clone().put(field, sound.get(field) + 0x20).bytes;
    for (bytes, notes) in [(&sound.bytes, 1), (&bytes, 2)] {
        let Ok(Subject::Object(view)) = Subject::parse(bytes) else { panic!("an object") };
        let change = Change::Set { tag: PathTag::Runpath, path: "/some/long/path/that/fits/nowhere".into() };
        let edited = apply(bytes, &plan(&view, &change, Atomicity::Replace).unwrap()).unwrap();
        let image = read::Image::parse(&edited).unwrap();
        assert_eq!(image.segments.iter().filter(|segment| segment.kind == read::PT_NOTE).count(), notes);
    }
}

/// A PT_NOTE that names a part of a note stayed where the note had been, under the grown program header table. Found by fuzzing.
#[test]
fn a_header_that_names_a_part_of_a_note_keeps_it_in_its_place() {
    let sound = Damage::new(&Spec::pie(Machine::X86_64).property().spare(0).build());
    let field = sound.segment(sound.segment_index(read::PT_NOTE, 0), "p_filesz");
    let bytes = sound.clone().put(field, sound.get(field) - 1).bytes;
    let before = read::Image::parse(&bytes).unwrap();
    let Ok(Subject::Object(view)) = Subject::parse(&bytes) else { panic!("an object") };
    let change = Change::Set { tag: PathTag::Runpath, path: "/some/long/path/that/fits/nowhere".into() };
    let edited = apply(&bytes, &plan(&view, &change, Atomicity::Replace).unwrap()).unwrap();
    let after = read::Image::parse(&edited).unwrap();
    assert_eq!(loaded(&before, &after), Vec::<String>::new());
}

/// The resolution cache may be written; version records that lie in it may not. Found by fuzzing.
#[test]
fn version_records_are_not_written_whatever_else_they_are() {
    let bytes = Spec::library(Machine::X86_64)
        .verdef("GEN_1.0")
        .needs("libdep.so.1")
        .runpath("/opt/dep")
        .ldcache_room(200)
        .ldcache(&[("libdep.so.1", "=/opt/dep/libdep.so.1")])
        .build();
    let Ok(Subject::Object(view)) = Subject::parse(&bytes) else { panic!("an object") };
    let change = Change::Set { tag: PathTag::Runpath, path: "/d:/opt/dep".into() };
    let plan = plan(&view, &change, Atomicity::Replace).unwrap();
    verify(&bytes, plan.clone(), &change).unwrap();
    // DT_VERDEF leads into the note's descriptor, which the plan writes.
    let note = plan.patches.iter().find(|patch| patch.stage == Stage::Note).expect("the note is rewritten");
    let image = read::Image::parse(&bytes).unwrap();
    let section = *image.section(".gnu.version_d").unwrap();
    let verdef = view.dynamic.entries.iter().position(|entry| entry.value == section.address).unwrap();
    let value_at = usize::try_from(view.dynamic.offset.get()).unwrap() + verdef * 16 + 8;
    let mut damaged = bytes.clone();
    let at = note.offset.get() + 20;
    let load = image.loads().find(|load| load.offset <= at && at < load.offset + load.file_size).unwrap();
    let address = at - load.offset + load.address;
    damaged[value_at..value_at + 8].copy_from_slice(&address.to_le_bytes());
    let error = verify(&damaged, plan, &change).unwrap_err().to_string();
    assert!(error.contains("every version record is the same"), "{error}");
}

/// Of a resolution cache note that was wrong already, the first run kept the wrong answers; the second run found the path right,
/// looked at the note, and dropped it.
#[test]
fn a_resolution_note_that_was_wrong_goes_in_the_first_run() {
    let resolved =
        |soname, path| Spec::library(Machine::X86_64).runpath(path).ldcache(&[(soname, "=/opt/dep/libdep.so.1")]);
    let tree = Tree::new();
    for (name, spec, stays) in [
        ("of-this-path", resolved("libdep.so.1", "/opt/dep"), true),
        ("of-another-path", resolved("libdep.so.1", "/opt/lib"), false),
        ("of-a-library-not-needed", resolved("libother.so.1", "/opt/dep"), false),
    ] {
        let file = tree.file(name, &spec.packing(Packing::Padded).ldcache_room(100).build());
        let fix = || invoke(["fix", "--json", "--driver", "/run/opengl-driver/lib", file.to_str().unwrap()]).file();
        assert_eq!(fix()["outcome"], "fixed", "{name}");
        let edited = fs::read(&file).unwrap();
        assert_eq!(contains(&edited, "?/run/opengl-driver/lib:=/opt/dep/libdep.so.1\0"), stays, "{name}");
        assert_eq!(contains(&edited, "=/opt/dep"), stays, "{name}");
        assert_eq!(fix()["outcome"], "conforms", "{name}");
    }
}

/// The last PT_LOAD had no bytes in the file and an offset behind its end, which means nothing: the plan copied from there,
/// and the verifier wanted the offset in the file. Such files were refused, some as changed by another process.
#[test]
fn a_last_segment_without_bytes_may_name_any_offset() {
    const GNU_STACK: u32 = 0x6474_e551;
    let test = "a_last_segment_without_bytes_may_name_any_offset";
    let tree = Tree::new();
    let (new, old) = (dependency(&tree, "new", 2), dependency(&tree, "old", 1));
    let (new, old) = (new.to_str().unwrap(), old.to_str().unwrap());
    let mut strategies = std::collections::BTreeMap::new();
    let mut ran = 0;
    for (name, spec) in elfgen::presets() {
        let spec = if spec.paths.is_empty() { spec.runpath(old) } else { spec };
        let bytes = spec.build();
        let Some(image) = read::Image::parse(&bytes) else { continue };
        let index = image.segments.iter().position(|segment| segment.kind == GNU_STACK);
        let Some(index) = index.filter(|_| image.entry_size() == 56 && !name.starts_with("skip-")) else { continue };
        let mut damage = Damage::new(&bytes);
        let last = image.loads().map(|load| load.address + load.memory_size).max().unwrap();
        let address = last.next_multiple_of(spec.machine.page()) + 0x238;
        let fields = [("p_type", 1), ("p_flags", 6), ("p_offset", (1 << 32) + address), ("p_vaddr", address)];
        for (field, value) in fields.into_iter().chain([("p_filesz", 0), ("p_memsz", 36), ("p_align", 0x1000)]) {
            damage.write(damage.segment(index, field), value);
        }
        let file = tree.executable(name, &damage.bytes);
        let told = format!("{name} with a last segment without bytes");
        let before = if spec.runs_here() { answer(&spec, &file, None, test) } else { None };
        let run = invoke(["fix", "--json", "--in-place", "--driver", new, file.to_str().unwrap()]);
        let result = &run.file();
        let Some(strategy) = result["strategy"].as_str() else {
            let reason = result["error"].as_str().unwrap_or_default();
            assert!(reason.contains("payload"), "{told}: {} {reason}", run.stderr);
            continue;
        };
        *strategies.entry(strategy.to_owned()).or_insert(0) += 1;
        if let Some(Ok(_)) = before {
            assert_eq!(answer(&spec, &file, None, test), Some(Ok(42)), "{told}, {strategy}");
            ran += 1;
        }
    }
    assert!(strategies.contains_key("reimage") && ran > 10, "{strategies:?}, {ran} were run: this shows little");
}

/// gold leaves an inactive header (SHT_NULL) with an address where a section became empty. It kept its offset when the
/// segment around it was copied, and eu-elflint missed it in every segment.
#[test]
fn an_inactive_section_header_follows_its_segment() {
    let test = "an_inactive_section_header_follows_its_segment";
    if !["cc", "ld.gold"].iter().all(|tool| require(tool, test)) {
        return;
    }
    let tree = Tree::new();
    let file = tree.join("program");
    Link::new("user_program.c", Shape::Exec).linker("gold").to(&file);
    let mut bytes = fs::read(&file).unwrap();
    let before = read::Image::parse(&bytes).unwrap();
    let names = before.sections.iter().map(|section| before.section_name(section));
    let index = names.into_iter().position(|name| name.as_deref() == Some(b".tm_clone_table")).unwrap();
    let section = &before.sections[index];
    assert_eq!((section.kind, section.size), (1, 0), "it is an empty one");
    let kind_at = usize::try_from(before.section_table).unwrap() + index * 64 + 4;
    bytes[kind_at..kind_at + 4].fill(0);
    fs::write(&file, &bytes).unwrap();
    let driver = format!("{}/{}", deps(NATIVE).new.display(), "./".repeat(1000));
    let run = invoke(["fix", "--json", "--in-place", "--driver", &driver, file.to_str().unwrap()]);
    assert_eq!(run.file()["strategy"], "reimage", "{}", run.stderr);
    assert_eq!(start(&file, Shape::Exec).code, NEW);
    let after = read::Image::read(&file);
    let (was, now) = (section, &after.sections[index]);
    let load = after.loads().last().unwrap();
    assert_ne!(now.offset, was.offset);
    assert_eq!((now.kind, now.address), (0, was.address));
    assert_eq!(now.offset - load.offset, now.address - load.address);
}

/// How many symbols there are is read from the hash table, whose own length nothing tells: the verifier copied all that
/// follows it in its segment, twice the file, when a write was among that.
#[test]
fn a_large_segment_without_section_headers_is_not_copied() {
    const LARGE: u64 = 96 << 20;
    let test = "a_large_segment_without_section_headers_is_not_copied";
    if !["cc", "prlimit"].iter().all(|tool| require(tool, test)) {
        return;
    }
    let tree = Tree::new();
    let asm = format!(".section .rodata,\\\"a\\\"\\n.zero {LARGE}\\n.previous");
    let source = tree.file("large.c", format!("__asm__(\"{asm}\"); int exported(void) {{ return 42; }}").as_bytes());
    let file = tree.join("large.so");
    let mut link = command("cc");
    link.args(["-shared", "-fPIC", "-nostdlib", "-Wl,-z,noseparate-code,--hash-style=gnu,-rpath,/old", "-o"]);
    expect(link.arg(&file).arg(&source), 0);
    drop_section_headers(&file, true);
    let image = read::Image::read(&file);
    assert!(image.loads().next().unwrap().file_size > LARGE);
    // A mapping of the file, and not one copy of it.
    let limit = format!("--as={}", LARGE + (64 << 20));
    let fix = |mode: &str| {
        let arguments = ["fix", "--jobs", "1", "--driver", "/new/and/longer", mode];
        run(limited(&[&limit]).args(arguments).arg(&file))
    };
    fix("--check").assert_code(1, test);
    fix("--in-place").assert_code(0, test);
    let edited = read::Image::read(&file);
    assert_eq!(edited.runpath().unwrap(), b"/new/and/longer:/old");
}
