//! What hostile input may cost: no more than its size, in steps and in memory, whatever it says. Counted are instructions,
//! which are the same each time, and bytes that a run may have; no clock says anything on a shared machine.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::File;
use std::os::unix::fs::FileExt;

use cuda_runpath::elf::plan::{self, Atomicity, Change, Content, Patch, PathTag, Strategy};
use cuda_runpath::elf::view::Subject;

use crate::elfgen::{Machine, Spec, preset};
use crate::harness::run::limited;
use crate::harness::{Tree, command, expect, program, require, run};

/// How many instructions one thread takes for a run in a tree, whatever its exit code.
fn instructions(tree: &Tree, arguments: &[&str]) -> u64 {
    let counts = tree.join("counts");
    let mut counted = command("valgrind");
    counted.args(["--tool=callgrind", &format!("--callgrind-out-file={}", counts.display())]);
    counted.arg(program()).args(arguments).args(["--jobs", "1"]).current_dir(tree.path());
    run(&mut counted);
    let text = std::fs::read_to_string(counts).expect("callgrind's counts");
    let summary = text.lines().find_map(|line| line.strip_prefix("summary: ")).expect("a sum");
    summary.trim().parse().expect("a number")
}

/// Input four times as large takes no more than some six times as many instructions; the square would be sixteen times.
fn assert_near_linear(test: &str, arguments: &[&str], size: usize, make: impl Fn(&Tree, usize)) {
    if !require("valgrind", test) {
        return;
    }
    let cost = |size: usize| {
        let tree = Tree::new();
        make(&tree, size);
        instructions(&tree, arguments)
    };
    let (nothing, small, large) = (cost(0), cost(size), cost(4 * size));
    let (small, large) = (small.saturating_sub(nothing), large.saturating_sub(nothing));
    assert!(large < 6 * small, "{test}: {small} instructions, and {large} for four times as much");
}

fn joined(count: usize, entry: impl Fn(usize) -> String) -> String {
    (0..count).map(entry).collect::<Vec<_>>().join(":")
}

fn library() -> Spec {
    Spec::library(Machine::X86_64)
}

#[test]
fn a_long_path_is_edited_in_steps_of_its_length() {
    assert_near_linear("cost::a_long_path", &["fix", "--dry-run", "tree"], 2000, |tree, size| {
        tree.file("tree/x.so", &library().runpath(format!("/o{}", joined(size, |n| format!("/{n:07}")))).build());
    });
}

#[test]
fn compat_entries_are_compared_by_hash() {
    assert_near_linear("cost::compat_entries", &["fix", "--dry-run", "tree"], 300, |tree, size| {
        let entry = |n: usize| format!("/nix/store/{n:032}-cuda_compat-{n}/compat");
        tree.file("tree/x.so", &library().runpath(format!("/o:{}", joined(size, entry))).build());
    });
}

#[test]
fn store_references_are_compared_by_order() {
    assert_near_linear("cost::store_references", &["check", "tree"], 250, |tree, size| {
        let entry = |n: usize| format!("/nix/store/{n:032}-x-{n}/lib");
        let path = format!("tree/nix/store/{:032}-own/lib/x.so", 0);
        tree.file(path, &library().runpath(format!("/o:{}", joined(size, entry))).build());
    });
}

/// A note with many answers for one library, and a path with an entry for each: one library, since the search for each
/// one more goes through the whole path, which is work that is wanted.
#[test]
fn a_cache_note_is_compared_with_the_path_once() {
    assert_near_linear("cost::a_cache_note", &["check", "tree"], 1000, |tree, size| {
        let answers = joined(size, |n| format!("=/l{n:05}/libn.so"));
        let path = format!("/o:{}", joined(size, |n| format!("/l{n:05}")));
        let spec = library().runpath(path).needs("libn.so").ldcache(&[("libn.so", answers.as_str())]);
        tree.file("tree/x.so", &spec.build());
    });
}

/// A wrapper that moves one directory after the other to the front.
#[test]
fn a_wrapper_is_read_line_by_line() {
    assert_near_linear("cost::a_wrapper", &["check", "tree"], 200, |tree, size| {
        let mut text = String::from("#!/bin/sh\n");
        for n in 0..size {
            writeln!(text, "LD_LIBRARY_PATH='/w{n:05}'$LD_LIBRARY_PATH").unwrap();
        }
        tree.file("tree/x", text.as_bytes());
        tree.file("tree/.x-wrapped", &Spec::pie(Machine::X86_64).runpath("/o").build());
    });
}

/// Libraries that need each other: what they name grows with the square of their number, and so does the input.
#[test]
fn libraries_that_need_each_other_are_as_many_names_as_they_have() {
    let test = "cost::libraries_that_need_each_other";
    if !require("valgrind", test) {
        return;
    }
    let cost = |count: usize| {
        let tree = Tree::new();
        let names: Vec<String> = (0..count).map(|n| format!("libl{n}.so")).collect();
        let all = |spec: Spec| names.iter().fold(spec.runpath("$ORIGIN"), |spec, name| spec.needs(name));
        for name in &names {
            tree.file(format!("tree/{name}"), &all(library().soname(name)).build());
        }
        tree.file("tree/p", &all(Spec::pie(Machine::X86_64)).build());
        instructions(&tree, &["check", "tree"])
    };
    let (nothing, small, large) = (cost(0), cost(10), cost(40));
    let (small, large) = (small.saturating_sub(nothing), large.saturating_sub(nothing));
    // Four times as many have sixteen times as many names; compared with each other it would be 256 times.
    assert!(large < 24 * small, "{test}: {small} instructions, and {large} for four times as many libraries");
}

/// Each library leaves dlopen to what it loads, so all of them are followed to the end, and each search has places of four
/// thousand bytes. A finding says where that was too much.
#[test]
fn a_start_that_asks_for_too_much_is_cut_and_told() {
    let test = "cost::a_start_that_asks_for_too_much";
    if !require("prlimit", test) {
        return;
    }
    let tree = Tree::new();
    let long = "d".repeat(200);
    let deep = joined(60, |n| format!("/{n}/{}", [long.as_str(); 18].join("/")));
    let mut spec = Spec::pie(Machine::X86_64).rpath(format!("{deep}:$ORIGIN"));
    for n in 0..2000 {
        spec = spec.needs(&format!("libnone{n}.so"));
    }
    tree.file("tree/p", &spec.needs("liba.so").build());
    tree.file("tree/liba.so", &library().soname("liba.so").needs("libnone0.so").build());
    let bounded =
        run(limited(&["--as=800000000", "--cpu=120"]).args(["check", "--json", "--jobs", "1"]).arg(tree.join("tree")));
    let json = bounded.json();
    let findings = json["findings"].as_array().unwrap().iter();
    assert!(findings.into_iter().any(|finding| finding["code"] == "CRP707"), "{}", bounded.said());
}

/// The loader is what a file says that it is: one of sixteen megabytes of directories, under four names.
#[test]
fn a_loader_has_no_more_directories_than_a_loader() {
    let test = "cost::a_loader";
    if !require("prlimit", test) {
        return;
    }
    let tree = Tree::new();
    let loader = tree.file("ld", &[b"/lib/\0".repeat((16 << 20) / 6), b"x\0/etc/ld.so.cache\0".to_vec()].concat());
    let folder = loader.parent().unwrap().display().to_string();
    for n in 0..4 {
        let mut spec = Spec::pie(Machine::X86_64).needs("libcuda.so.1");
        spec.interpreter = Some(format!("{folder}/{}ld", "./".repeat(n)));
        tree.file(format!("tree/p{n}"), &spec.build());
    }
    let bounded = run(limited(&["--as=200000000", "--cpu=60"]).args(["check", "--jobs", "1"]).arg(tree.join("tree")));
    assert!(bounded.stdout.starts_with("4 files") || bounded.stdout.contains("\n4 files"), "{}", bounded.said());
}

/// Programs that name caches of their own, which are long and say nothing, or one and the same under as many names: what is
/// kept of them is what they say, and one file is read once.
#[test]
fn a_cache_costs_what_it_says() {
    let test = "cost::a_cache";
    if !require("prlimit", test) || !require("strace", test) {
        return;
    }
    const SIZE: u64 = 20 << 20;
    let tree = Tree::new();
    for n in 0..12 {
        let folder = tree.folder(format!("own{n}")).display().to_string();
        let loader = format!("x\0/lib/\0{folder}/ld.so.cache\0ld.so GNU stable release version 2.39.\n\0");
        tree.file(format!("own{n}/ld"), loader.as_bytes());
        let cache = tree.join(format!("own{n}/ld.so.cache"));
        if n < 6 {
            tree.file(format!("own{n}/ld.so.cache"), b"glibc-ld.so.cache1.1\xff\xff\xff\xff");
            std::fs::File::options().write(true).open(&cache).unwrap().set_len(SIZE).unwrap();
        } else {
            std::fs::hard_link(tree.join("own0/ld.so.cache"), &cache).unwrap();
        }
        let mut spec = Spec::pie(Machine::X86_64).needs("libcuda.so.1");
        spec.interpreter = Some(format!("{folder}/ld"));
        tree.file(format!("tree/p{n}"), &spec.build());
    }
    let bounded = run(limited(&["--as=200000000", "--cpu=60"]).args(["check", "--jobs", "1"]).arg(tree.join("tree")));
    assert!(bounded.stdout.contains("12 files"), "{}", bounded.said());
    let mut traced = command("strace");
    traced.args(["-f", "-e", "trace=open,openat", "-o"]).arg(tree.join("calls")).arg(program());
    run(traced.args(["check", "--jobs", "1"]).arg(tree.join("tree")));
    let calls = std::fs::read_to_string(tree.join("calls")).unwrap();
    // A file is looked at before it is opened.
    let opened = calls.lines().filter(|call| call.contains("\"ld.so.cache\"")).count();
    assert_eq!(opened, 6, "{calls}");
}

/// What a rung moves is copied from the file where it is large, and is no part of the plan.
#[test]
fn a_plan_does_not_hold_what_moves() {
    let mut spec = preset("rung-i-make-room-hash");
    for n in 0..1500 {
        spec = spec.exports(&format!("f{n}"));
    }
    let bytes = spec.build();
    let Ok(Subject::Object(view)) = Subject::parse(&bytes) else { panic!("an object") };
    let change = Change::Set { tag: PathTag::Runpath, path: "/a/new/and/longer/path/than/before".repeat(9).into() };
    let plan = plan::plan(&view, &change, Atomicity::Replace).unwrap();
    assert_eq!(plan.strategy, Strategy::MakeRoom);
    let held = |patch: &Patch| match &patch.content {
        Content::Bytes(bytes) => bytes.len(),
        Content::CopyOf(_) | Content::Zero(_) => 0,
    };
    assert!(plan.patches.iter().any(|patch| matches!(patch.content, Content::CopyOf(_))));
    assert!(plan.patches.iter().all(|patch| held(patch) <= 1 << 16), "{:?}", plan.patches.iter().map(held).max());
}

/// A file that has a gibibyte, and then sixteen, of nothing in a segment without section headers: what it costs to look at
/// it is the same.
#[test]
fn holes_are_not_read() {
    let test = "cost::holes";
    if !require("valgrind", test) || !tells_holes(&Tree::new()) {
        return;
    }
    let cost = |size: u64, command: &str| {
        let tree = Tree::new();
        let mut bytes = library().runpath("/o").headers(crate::elfgen::Headers::None).build();
        // p_filesz and p_memsz of the last PT_LOAD.
        let count = usize::from(u16::from_le_bytes(bytes[56..58].try_into().unwrap()));
        let load = (0..count).map(|n| 64 + 56 * n).rfind(|at| bytes[*at..*at + 4] == 1_u32.to_le_bytes()).unwrap();
        bytes[load + 32..load + 40].copy_from_slice(&size.to_le_bytes());
        bytes[load + 40..load + 48].copy_from_slice(&size.to_le_bytes());
        let file = File::create(tree.place("tree/x.so")).unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        file.set_len(size + (1 << 24)).unwrap();
        instructions(&tree, &[command, "tree"])
    };
    for command in ["check", "show", "archs"] {
        let (small, large) = (cost(1 << 30, command), cost(1 << 34, command));
        assert!(large < small + small / 10, "{command}: {small} instructions, and {large} for sixteen times as much");
    }
}

/// Whether holes are told where the tests write.
fn tells_holes(tree: &Tree) -> bool {
    let kind = expect(command("stat").args(["-f", "-c", "%T"]).arg(tree.path()), 0);
    ["ext2/ext3", "xfs", "tmpfs"].iter().any(|known| kind.stdout.trim() == *known)
}

/// What goes over every section or segment must not take the product of their number and the file's size.
#[test]
fn headers_that_name_the_same_bytes_again_and_again_are_named() {
    let tree = Tree::new();
    let bytes = preset("rung-e-slack").build();
    let refused = |name: &str, bytes: &[u8], message: &str| {
        let path = tree.file(name, bytes);
        let result = run(command(program()).args([OsStr::new("check"), path.as_os_str()]));
        assert!(result.said().contains(message), "{name}: {}", result.said());
    };
    // Two hundred sections more, each the whole file.
    let at = usize::try_from(u64::from_le_bytes(bytes[40..48].try_into().unwrap())).unwrap();
    let count = u16::from_le_bytes(bytes[60..62].try_into().unwrap());
    let mut many = bytes.clone();
    let table = many.len().next_multiple_of(16);
    many.resize(table, 0);
    many.extend_from_slice(&bytes[at..at + 64 * usize::from(count)]);
    for _ in 0..200 {
        let mut section = [0_u8; 64];
        section[4] = 1;
        section[32..40].copy_from_slice(&u64::try_from(bytes.len()).unwrap().to_le_bytes());
        many.extend_from_slice(&section);
    }
    many[40..48].copy_from_slice(&u64::try_from(table).unwrap().to_le_bytes());
    many[60..62].copy_from_slice(&(count + 200).to_le_bytes());
    refused("sections.so", &many, "of all headers together is more than eight times the size of the file");
}

/// Two releases are paired by hash, and a document of one is read once.
#[test]
fn releases_are_compared_in_steps_of_their_size() {
    for (arguments, next) in
        [(&["check", "new", "--against", "old"][..], 0), (&["check", "new", "--against", "old"], 1)]
    {
        assert_near_linear("cost::releases", arguments, 40, |tree, size| {
            tree.folder("old");
            tree.folder("new");
            for n in 0..size {
                let spec = library().runpath(format!("/o{n}:/tmp/{n}"));
                tree.file(format!("old/p{}/lib{n}.so.1.{n}", n % 7), &spec.build());
                // Every name of another version, where there are many of one name.
                tree.file(format!("new/p{}/lib{n}.so.2.{}", n % 7, n + next), &spec.needs("libx.so").build());
            }
        });
    }
}

/// Directories above a missing one are halved, and what is longer than any path leads nowhere.
#[test]
fn a_long_entry_that_leads_nowhere_costs_its_length() {
    assert_near_linear("cost::a_long_entry", &["check", "tree"], 5000, |tree, size| {
        tree.file("tree/x.so", &library().runpath(format!("/a{}", "/../a".repeat(size))).build());
    });
    assert_near_linear("cost::a_long_entry_that_is_none_too_long", &["check", "tree"], 180, |tree, size| {
        tree.file("tree/x.so", &library().runpath(format!("/o{}", "/no/..".repeat(size))).build());
    });
}
