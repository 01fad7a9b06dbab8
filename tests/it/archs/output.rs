//! What `archs` prints, and its exit status.

use serde_json::{Value, json};

use super::{library, row};
use crate::elfgen::{Kind, Machine, Spec};
use crate::fatgen::{EXACT, Entry, FAMILY, LZ4, container, filler};
use crate::harness::{Run, Tree, command, expect, invoke, program, require, set_mode};

/// Two libraries, a file without GPU code, and one that is no ELF file.
fn tree() -> Tree {
    let tree = Tree::in_memory();
    let all = container([
        Entry::cubin(75).raw(&filler(1000)),
        Entry::cubin(87).raw(&filler(400)),
        Entry::cubin(90).flags(EXACT).raw(&filler(80)),
        Entry::ptx(90).packed(LZ4, &filler(160), 900),
    ]);
    let newer = container([Entry::cubin(100).flags(FAMILY), Entry::lto_ir(80)]);
    let code = row(&[all.build(), newer.build(), container([]).build()], 8);
    tree.file("lib/libone.so", &library(".nv_fatbin", &code).build());
    let old = container([Entry::cubin(75).raw(&filler(48))]).build();
    tree.file(
        "lib/libtwo.so",
        &library(".nv_fatbin", &row(&[old.clone(), old.clone()], 0)).gpu_code(".ldata", &old).build(),
    );
    tree.file("lib/libnone.so", &Spec::new(Machine::X86_64, Kind::Library).build());
    tree.file("share/read.me", b"nothing");
    tree
}

fn archs(tree: &Tree, options: &[&str]) -> Run {
    let folder = tree.path().to_str().unwrap();
    invoke([&["archs"], options, &[folder]].concat()).replace(folder, "TREE")
}

fn assert_prints(run: &Run, wanted: &str) {
    run.assert_code(0, wanted);
    assert_eq!(run.stdout, wanted);
    assert_eq!(run.stderr, "");
}

#[test]
fn a_table_for_each_file() {
    assert_prints(
        &archs(&tree(), &[]),
        "\
TREE/lib/libone.so
  SECTION            IN        ARCHITECTURE  KIND                COUNT          BYTES  (3 fat binaries)
  .nv_fatbin         container sm_75         cubin                   1           1000
  .nv_fatbin         container compute_80    lto-ir                  1             48
  .nv_fatbin         container sm_87         cubin                   1            400
  .nv_fatbin         container compute_90    ptx                     1            160
  .nv_fatbin         container sm_90a        cubin                   1             80
  .nv_fatbin         container sm_100f       cubin                   1             48
  .nv_fatbin: 1 empty
TREE/lib/libtwo.so
  SECTION            IN        ARCHITECTURE  KIND                COUNT          BYTES  (3 fat binaries)
  .nv_fatbin         container sm_75         cubin                   2             96
  .ldata             container sm_75         cubin                   1             48
4 files, 2 with GPU code: 1880 bytes of it
",
    );
    let verbose = archs(&tree(), &["-v"]);
    assert!(verbose.stdout.contains("TREE/lib/libnone.so: no GPU code\n"), "{}", verbose.stdout);
    assert!(verbose.stdout.contains("TREE/share/read.me: no GPU code\n"), "{}", verbose.stdout);
    assert_prints(&archs(&tree(), &["-q"]), "");
}

#[test]
fn a_table_for_all() {
    assert_prints(
        &archs(&tree(), &["--sum"]),
        "  \
  SECTION            IN        ARCHITECTURE  KIND                COUNT          BYTES  (6 fat binaries)
  .ldata             container sm_75         cubin                   1             48
  .nv_fatbin         container sm_75         cubin                   3           1096
  .nv_fatbin         container compute_80    lto-ir                  1             48
  .nv_fatbin         container sm_87         cubin                   1            400
  .nv_fatbin         container compute_90    ptx                     1            160
  .nv_fatbin         container sm_90a        cubin                   1             80
  .nv_fatbin         container sm_100f       cubin                   1             48
4 files, 2 with GPU code: 1880 bytes of it
",
    );
    assert_prints(&archs(&tree(), &["--sum", "-q"]), "");
}

/// Each way a GPU can run a file, worked out by hand from the table above.
#[test]
fn what_gpus_make_of_it() {
    let result = archs(&tree(), &["--unused-for", "8.7, sm_120,7.5,sm_90a,10.3"]);
    result.assert_code(0, "--unused-for");
    let wanted = "
  7.5: runs sm_75; 1 of 2 fat binaries have code for it
  8.7: runs sm_87; 2 of 2 fat binaries have code for it
  9.0a: runs sm_90a; 2 of 2 fat binaries have code for it
  10.3: runs through sm_100f; 2 of 2 fat binaries have code for it
  12.0: JIT from compute_90 PTX; 2 of 2 fat binaries have code for it
  0 of 1736 bytes are for none of these
TREE/lib/libtwo.so
";
    assert!(result.stdout.contains(wanted), "{}", result.stdout);

    // 8.7 takes sm_75 not at all, nor what is newer; the LTO-IR of compute_80 it can have.
    let result = archs(&tree(), &["--unused-for", "8.7"]);
    let wanted = [
        "\n  8.7: runs sm_87; 2 of 2 fat binaries have code for it\n  1288 of 1736 bytes are for none of these\n",
        "\n  8.7: missing; 0 of 3 fat binaries have code for it\n  144 of 144 bytes are for none of these\n",
        "\n4 files, 2 with GPU code: 1880 bytes of it\n1432 of 1880 bytes are for none of these\n",
    ];
    for text in wanted {
        assert!(result.stdout.contains(text), "{text}\n{}", result.stdout);
    }
}

#[test]
fn the_document() {
    let tree = tree();
    let result = archs(&tree, &["--json", "--unused-for", "8.7"]);
    result.assert_code(0, "--json");
    let row = |section: &str,
               architecture: &str,
               capability: &str,
               kind: &str,
               count: u64,
               bytes: u64,
               unpacked: u64| {
        json!({"section": section, "form": "container", "architecture": architecture, "capability": capability, "kind": kind,
            "count": count, "withoutKernels": 0, "bytes": bytes, "unpacked": unpacked})
    };
    let target = |runs: &str, through: Value, all: u64, good: u64| json!([{"capability": "8.7", "runs": runs, "through": through, "containers": all, "containersFor": good, "others": 0, "othersFor": 0}]);
    let one = [
        row(".nv_fatbin", "sm_75", "7.5", "cubin", 1, 1000, 1000),
        row(".nv_fatbin", "compute_80", "8.0", "lto-ir", 1, 48, 48),
        row(".nv_fatbin", "sm_87", "8.7", "cubin", 1, 400, 400),
        row(".nv_fatbin", "compute_90", "9.0", "ptx", 1, 160, 900),
        row(".nv_fatbin", "sm_90a", "9.0a", "cubin", 1, 80, 80),
        row(".nv_fatbin", "sm_100f", "10.0f", "cubin", 1, 48, 48),
    ];
    let two =
        [row(".nv_fatbin", "sm_75", "7.5", "cubin", 2, 96, 96), row(".ldata", "sm_75", "7.5", "cubin", 1, 48, 48)];
    let sum_of_old =
        [row(".ldata", "sm_75", "7.5", "cubin", 1, 48, 48), row(".nv_fatbin", "sm_75", "7.5", "cubin", 3, 1096, 1096)];
    let sum = [&sum_of_old[..], &one[1..]].concat();
    assert_eq!(
        result.json(),
        json!({
            "schema": "cuda-runpath/1",
            "command": "archs",
            "files": [
                {"path": "TREE/lib/libone.so", "containers": 3, "empty": 1, "bytes": 1736, "unusedBytes": 1288,
                    "targets": target("exactly", json!("8.7"), 2, 2), "code": one, "problems": [], "moreProblems": 0},
                {"path": "TREE/lib/libtwo.so", "containers": 3, "empty": 0, "bytes": 144, "unusedBytes": 144,
                    "targets": target("missing", Value::Null, 3, 0), "code": two, "problems": [], "moreProblems": 0},
            ],
            "sum": sum,
            "summary": {"files": 4, "withGpuCode": 2, "failed": 0, "problems": 0, "containers": 6, "empty": 1,
                "bytes": 1880, "unusedBytes": 1432, "targets": target("exactly", json!("8.7"), 5, 2)},
        })
    );
    let sum = archs(&tree, &["--json", "--sum", "--unused-for", "8.7"]).json();
    assert_eq!(
        (sum.get("files"), &sum["sum"], &sum["summary"]),
        (None, &result.json()["sum"], &result.json()["summary"])
    );
    let all = archs(&tree, &["--json", "-v"]).json();
    let paths: Vec<&str> = all["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["TREE/lib/libnone.so", "TREE/lib/libone.so", "TREE/lib/libtwo.so", "TREE/share/read.me"]);
    assert_eq!(all["files"][0]["code"], json!([]));
}

#[test]
fn names_of_gpus() {
    let tree = tree();
    for spelling in ["8.7", "87", "sm_87", "compute_87", " 8.7", "8.7,8.7,sm_87"] {
        let targets = archs(&tree, &["--json", "--unused-for", spelling]).json()["summary"]["targets"].clone();
        assert_eq!(targets.as_array().map(Vec::len), Some(1), "{spelling}");
        assert_eq!(targets[0]["capability"], "8.7", "{spelling}");
    }
    for (wrong, words) in [
        ("", "is no compute capability"),
        ("8.7,", "is no compute capability"),
        ("orin", "\"orin\" is no compute capability such as 8.7, sm_87 or sm_90a"),
        ("8.75", "is no compute capability"),
        ("8.7b", "is no compute capability"),
        ("8,7", "is no compute capability"),
        ("-8.7", "is no compute capability"),
        ("7.8", "--unused-for 7.8: no such architecture is known; there are 3.0, 3.5"),
        ("99.0", "no such architecture is known"),
    ] {
        let run = archs(&tree, &[&format!("--unused-for={wrong}")]);
        run.assert_code(2, wrong);
        assert!(run.stdout.is_empty() && run.stderr.contains(words), "{wrong}: {}", run.stderr);
        assert!(run.stderr.contains("--unused-for"), "{wrong}: {}", run.stderr);
    }
}

#[test]
fn files_that_cannot_be_read_are_errors() {
    let tree = tree();
    let missing = tree.join("missing");
    let both = invoke(["archs", "--sum", missing.to_str().unwrap(), tree.join("lib").to_str().unwrap()]);
    both.assert_code(2, "a missing file");
    assert!(both.stderr.starts_with(&format!("error: {}: ", missing.display())), "{}", both.stderr);
    assert!(both.stdout.contains("4 files, 2 with GPU code: 1880 bytes of it"), "{}", both.stdout);
    let json = invoke(["archs", "--sum", "--json", missing.to_str().unwrap(), tree.join("lib").to_str().unwrap()]);
    json.assert_code(2, "a missing file");
    let document = json.json();
    assert_eq!(document["summary"]["failed"], 1);
    assert_eq!(document["files"][0]["path"], missing.to_str().unwrap());
    assert!(document["files"][0]["error"].as_str().unwrap().contains("No such file"), "{document}");

    // An error outweighs a problem.
    let wrong = container([Entry { kind: 3, ..Entry::cubin(87) }]).build();
    tree.file("lib/libwrong.so", &library(".nv_fatbin", &wrong).build());
    archs(&tree, &[]).assert_code(1, "a problem");
    tree.file("lib/libcut.so", &library(".nv_fatbin", &wrong).build()[..50]);
    let run = archs(&tree, &[]);
    run.assert_code(2, "a problem and an error");
    assert!(run.stderr.contains("error: TREE/lib/libcut.so: "), "{}", run.stderr);
    assert!(run.stderr.contains("warning: TREE/lib/libwrong.so: .nv_fatbin: the entry at 0x"), "{}", run.stderr);

    let locked = tree.file("lib/liblocked.so", &library(".nv_fatbin", &wrong).build());
    set_mode(&locked, 0o0);
    // Root reads it all the same.
    if std::fs::read(&locked).is_err() {
        let run = archs(&tree, &[]);
        run.assert_code(2, "a locked file");
        assert!(run.stderr.contains("liblocked.so: "), "{}", run.stderr);
    }
}

#[test]
fn one_file_is_one_file() {
    let tree = Tree::in_memory();
    let file = tree.file("one.so", &library(".nv_fatbin", &container([Entry::cubin(87)]).build()).build());
    let run = invoke(["archs", file.to_str().unwrap()]);
    run.assert_code(0, "one file");
    assert!(run.stdout.contains("(1 fat binary)\n"), "{}", run.stdout);
    assert!(run.stdout.ends_with("1 file, 1 with GPU code: 48 bytes of it\n"), "{}", run.stdout);
}

/// A section's name can be anything; a terminal must not obey it.
#[test]
fn names_of_sections_are_escaped_on_a_terminal() {
    let test = "names_of_sections_are_escaped_on_a_terminal";
    if !require("script", test) {
        return;
    }
    let tree = Tree::in_memory();
    let one = container([Entry::cubin(87)]).build();
    let wrong = container([Entry { kind: 9, ..Entry::cubin(87) }]).build();
    tree.file("one.so", &library(".data\x1b[31m\n", &one).gpu_code(".data\x07", &wrong).build());
    let line = format!("'{}' archs --color=never '{}'", program().display(), tree.path().display());
    let run = expect(command("script").args(["-qec", &line, "/dev/null"]), 1);
    assert!(!run.stdout.contains(['\x1b', '\x07']), "{:?}", run.stdout);
    assert!(
        run.stdout.contains(r"  .data\u{1b}[31m\n ") && run.stdout.contains(r": .data\u{7}: the entry"),
        "{}",
        run.stdout
    );
    let json = archs(&tree, &["--json"]).json();
    assert_eq!(json["files"][0]["code"][0]["section"], ".data\u{1b}[31m\n");
}
