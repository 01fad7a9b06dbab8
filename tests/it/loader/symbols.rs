//! Versions and symbols of small programs, by the loaders themselves (`ldd -r`, musl's start) and by `explain --symbols`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::loaders;
use crate::harness::{Tree, binary, command, expect, invoke, require, run, skip};

/// A program that is linked with one library, and finds another one under the same name.
struct Fitting {
    name: &'static str,
    /// What it is linked with: source, version script, flags.
    linked: (&'static str, &'static str, &'static [&'static str]),
    /// What it finds.
    found: (&'static str, &'static str, &'static [&'static str]),
    /// The program, and its flags.
    program: (&'static str, &'static [&'static str]),
    /// Symbols that are missing, by name.
    missing: &'static [&'static str],
    /// Versions that are missing.
    versions: &'static [&'static str],
}

const ONE: &str = "V_1 { global: f; g; d; t; local: *; };";
const TWO: &str = "V_1 { global: f; d; t; local: *; }; V_2 { global: g; } V_1;";
const BOTH: &str = "int f(void) { return 1; } int g(void) { return 2; } int d = 3; __thread int t = 4;";
const F: &str = "int f(void) { return 1; } int d = 3; __thread int t = 4;";
const CALLS: &str = "int f(void); int g(void); int main(void) { return f() + g() - 3; }";

const SCENES: &[Fitting] = &[
    Fitting {
        name: "all is there",
        linked: (BOTH, TWO, &[]),
        found: (BOTH, TWO, &["-Wl,--hash-style=sysv"]),
        program: (CALLS, &[]),
        missing: &[],
        versions: &[],
    },
    Fitting {
        name: "a version is missing",
        linked: (BOTH, TWO, &[]),
        found: (BOTH, ONE, &[]),
        program: (CALLS, &[]),
        missing: &["g"],
        versions: &["V_2"],
    },
    Fitting {
        name: "a symbol of a version is missing, by the GNU hash",
        linked: (BOTH, ONE, &[]),
        found: (F, ONE, &["-Wl,--hash-style=gnu"]),
        program: (CALLS, &[]),
        missing: &["g"],
        versions: &[],
    },
    Fitting {
        name: "and by the hash of the gABI",
        linked: (BOTH, ONE, &[]),
        found: (F, ONE, &["-Wl,--hash-style=sysv"]),
        program: (CALLS, &[]),
        missing: &["g"],
        versions: &[],
    },
    Fitting {
        name: "a symbol without a version",
        linked: (BOTH, "", &[]),
        found: (F, "", &[]),
        program: (CALLS, &[]),
        missing: &["g"],
        versions: &[],
    },
    Fitting {
        name: "no version is asked for, and there is one",
        linked: (BOTH, "", &[]),
        found: (BOTH, ONE, &[]),
        program: (CALLS, &[]),
        missing: &[],
        versions: &[],
    },
    Fitting {
        name: "no version is asked for, and the only one is hidden",
        linked: (BOTH, "", &[]),
        found: (
            "int f(void) { return 1; } int g_old(void) { return 2; } __asm__(\".symver g_old, g@V_3\");",
            "V_1 { global: f; local: *; }; V_2 { } V_1; V_3 { global: g; } V_2;",
            &[],
        ),
        program: (CALLS, &[]),
        missing: &["g"],
        versions: &[],
    },
    Fitting {
        name: "an exact version that is hidden",
        linked: (BOTH, ONE, &[]),
        found: (
            "int f(void) { return 1; } int g_old(void) { return 2; } int g_new(void) { return 9; }
             __asm__(\".symver g_old, g@V_1\"); __asm__(\".symver g_new, g@@V_2\");",
            "V_1 { global: f; g; local: *; }; V_2 { global: g; } V_1;",
            &[],
        ),
        program: (CALLS, &[]),
        missing: &[],
        versions: &[],
    },
    Fitting {
        name: "a library without definitions of versions, which needs some",
        linked: (BOTH, ONE, &[]),
        found: ("#include <stdio.h>\nint f(void) { puts(\"\"); return 1; } int g(void) { return 2; }", "", &["-lc"]),
        program: (CALLS, &[]),
        missing: &[],
        versions: &[],
    },
    Fitting {
        name: "a weak symbol",
        linked: (BOTH, ONE, &[]),
        found: (F, ONE, &[]),
        program: (
            "int f(void); __attribute__((weak)) int g(void); int main(void) { return f() + (g ? g() : 2) - 3; }",
            &[],
        ),
        missing: &[],
        versions: &[],
    },
    Fitting {
        name: "data that is copied",
        linked: (BOTH, ONE, &[]),
        found: ("int f(void) { return 1; }", ONE, &[]),
        program: ("extern int d; int main(void) { return d; }", &["-no-pie", "-fno-pic"]),
        missing: &["d"],
        versions: &[],
    },
    Fitting {
        name: "thread-local data",
        linked: (BOTH, ONE, &[]),
        found: ("int f(void) { return 1; }", ONE, &[]),
        program: ("extern __thread int t; int main(void) { return t; }", &[]),
        missing: &["t"],
        versions: &[],
    },
    Fitting {
        name: "an address that only the program's own jump has",
        linked: (BOTH, "", &[]),
        found: (F, "", &[]),
        program: ("int g(void); int main(void) { return (long)&g == g(); }", &["-no-pie", "-fno-pic"]),
        missing: &["g"],
        versions: &[],
    },
    Fitting {
        name: "a symbol that the library keeps for itself",
        linked: (BOTH, "", &[]),
        found: ("int f(void) { return 1; } __attribute__((visibility(\"hidden\"))) int g(void) { return 2; }", "", &[]),
        program: (CALLS, &[]),
        missing: &["g"],
        versions: &[],
    },
];

/// Where things lie in a scene's folder.
fn build(tree: &Tree, scene: &Fitting, compiler: &str) -> PathBuf {
    let tree = tree.path();
    let library = |folder: &str, (source, map, flags): (&str, &str, &[&str])| {
        let folder = tree.join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        let (code, script, output) = (folder.join("x.c"), folder.join("x.map"), folder.join("libx.so.1"));
        std::fs::write(&code, source).unwrap();
        std::fs::write(&script, map).unwrap();
        let mut cc = command(compiler);
        cc.args(["-shared", "-fPIC", "-nostdlib", "-Wl,-soname,libx.so.1"]).arg(code);
        if !map.is_empty() {
            cc.arg(format!("-Wl,--version-script={}", script.display()));
        }
        expect(cc.args(flags).arg("-o").arg(&output), 0);
        output
    };
    let linked = library("linked", scene.linked);
    library("found", scene.found);
    let (code, output) = (tree.join("main.c"), tree.join("program"));
    std::fs::write(&code, scene.program.0).unwrap();
    let mut cc = command(compiler);
    cc.args(scene.program.1).args(["-Wl,-z,lazy", "-Wl,--enable-new-dtags", "-Wl,-rpath,$ORIGIN/found"]);
    expect(cc.arg(code).arg(linked).arg("-o").arg(&output), 0);
    output
}

/// What `explain` says is missing, but for weak ones.
fn foretold(program: &Path) -> BTreeSet<String> {
    let explained = expect(binary().args(["explain", "--symbols", "--recursive", "--json"]).arg(program), 0).json();
    assert_eq!(explained["problems"], serde_json::Value::Null, "{explained:#}");
    let symbols = explained["symbols"].as_array().expect("symbols");
    let missing = symbols.iter().filter(|symbol| symbol["outcome"] != "bound" && symbol["weak"] == false);
    missing.map(|symbol| symbol["name"].as_str().unwrap().to_owned()).collect()
}

/// What `check` says.
fn checked(program: &Path) -> Vec<(String, String)> {
    let only = "CRP320,CRP321,CRP322,CRP700,CRP707";
    let report = run(binary().args(["check", "--symbols", "--json", "--only", only]).arg(program)).json();
    let findings = report["findings"].as_array().unwrap().iter();
    findings.map(|one| (one["code"].as_str().unwrap().to_owned(), one["message"].to_string())).collect()
}

/// `ldd -r`: what the loader misses, and what it says of versions.
fn ldd(program: &Path, bind_now: bool) -> (BTreeSet<String>, Vec<String>, String) {
    let loader = loaders().into_iter().find(|(class, _)| *class == 64).unwrap().1;
    let mut ldd = Command::new(loader);
    ldd.env("LD_TRACE_LOADED_OBJECTS", "1").env("LD_WARN", "yes").arg(program);
    if bind_now {
        ldd.env("LD_BIND_NOW", "yes");
    }
    let output = run(&mut ldd);
    let text = format!("{}\n{}", output.stdout, output.stderr);
    let mut missing = BTreeSet::new();
    let mut versions = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("undefined symbol: ").or_else(|| line.strip_prefix("symbol ")) {
            missing.insert(rest.split([',', '\t', ' ']).next().unwrap().to_owned());
        }
        if let Some((_, rest)) = line.split_once(": version `") {
            versions.push(rest.split('\'').next().unwrap().to_owned());
        }
    }
    (missing, versions, text)
}

fn can_build(test: &str) -> bool {
    if loaders().is_empty() {
        skip(test, "no glibc loader that is known");
        return false;
    }
    require("cc", test)
}

#[test]
fn what_ldd_misses_is_foretold() {
    if !can_build("loader::what_ldd_misses_is_foretold") {
        return;
    }
    let mut wrong = Vec::new();
    for scene in SCENES {
        let tree = Tree::new();
        let program = build(&tree, scene, "cc");
        let (missing, versions, text) = ldd(&program, true);
        let told = (foretold(&program), checked(&program));
        let wanted: BTreeSet<String> = scene.missing.iter().map(ToString::to_string).collect();
        // The versions' finding stands for their symbols; a call is a warning, everything else an error.
        let at_load = !ldd(&program, false).0.is_empty();
        let code = match (scene.versions.is_empty(), wanted.is_empty()) {
            (false, _) => Some("CRP320"),
            (true, true) => None,
            (true, false) if at_load => Some("CRP321"),
            (true, false) => Some("CRP322"),
        };
        let codes: BTreeSet<&str> = told.1.iter().map(|(code, _)| code.as_str()).collect();
        if missing != wanted || versions != scene.versions || told.0 != wanted {
            wrong.push(format!("{}: wanted {wanted:?}, told {told:?}; the loader says {text}", scene.name));
        } else if codes != code.into_iter().collect() {
            wrong.push(format!("{}: wanted {code:?}: {:?}", scene.name, told.1));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// musl's loader: no versions, and all at load.
#[test]
fn what_musl_misses_is_foretold() {
    let test = "loader::what_musl_misses_is_foretold";
    if !can_build(test) || !require("musl-gcc", test) {
        return;
    }
    let mut wrong = Vec::new();
    for scene in SCENES.iter().filter(|scene| !scene.found.2.contains(&"-lc")) {
        let tree = Tree::new();
        let program = build(&tree, scene, "musl-gcc");
        let started = run(&mut command(&program));
        let missing: BTreeSet<String> = started
            .stderr
            .lines()
            .filter(|line| line.contains("symbol not found"))
            .filter_map(|line| line.split(": ").nth(1))
            .map(|name| name.trim().to_owned())
            .collect();
        let told = foretold(&program);
        let codes: BTreeSet<String> = checked(&program).into_iter().map(|(code, _)| code).collect();
        let code = if missing.is_empty() { None } else { Some("CRP321".to_owned()) };
        if told != missing || codes != code.into_iter().collect() {
            wrong.push(format!("{}: told {told:?} {codes:?}; the loader says {}", scene.name, started.stderr));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// The file that a need names has no versions at all, or nothing loads it: glibc's assertions.
#[test]
fn assertions_of_the_loader_are_foretold() {
    if !can_build("loader::assertions_of_the_loader_are_foretold") {
        return;
    }
    let scene = Fitting {
        name: "a library that lost its versions",
        linked: (BOTH, ONE, &[]),
        found: (BOTH, "", &[]),
        program: (CALLS, &[]),
        missing: &[],
        versions: &[],
    };
    let tree = Tree::new();
    let program = build(&tree, &scene, "cc");
    let (_, _, text) = ldd(&program, true);
    assert!(text.contains("Assertion"), "{text}");
    let found = checked(&program);
    assert!(
        matches!(found.as_slice(), [(code, message)] if code == "CRP322" && message.contains("assertion")),
        "{found:?}"
    );

    assert_eq!(invoke(["check", "--symbols", "--skip", "CRP302", program.to_str().unwrap()]).code, 1);
    // A reference that may stay undefined is no better: the library has it, and no version.
    let weak = "int g(void) __attribute__((weak)); int main(void) { return g ? 0 : 7; }";
    let weak = Fitting {
        name: "a weak reference to a library that lost its versions",
        program: (weak, &["-Wl,--no-as-needed"]),
        ..scene
    };
    let other = Tree::new();
    let weak = build(&other, &weak, "cc");
    let (_, _, text) = ldd(&weak, true);
    assert!(text.contains("Assertion"), "{text}");
    let found = checked(&weak);
    assert!(
        matches!(found.as_slice(), [(code, message)] if code == "CRP321" && message.contains("assertion")),
        "{found:?}"
    );

    // DT_NEEDED of the library becomes another tag: only the need names it.
    let mut bytes = std::fs::read(&program).unwrap();
    let needed = |index: usize| dynamic_entry(&bytes, 1, index);
    let at = needed(0);
    bytes[at..at + 8].copy_from_slice(&0x7000_0055_u64.to_le_bytes());
    std::fs::write(&program, &bytes).unwrap();
    let (_, _, text) = ldd(&program, true);
    assert!(text.contains("needed != NULL"), "{text}");
    let found = checked(&program);
    assert!(found.iter().any(|(code, message)| code == "CRP320" && message.contains("assertion")), "{found:?}");
}

/// A need that may be missing (VER_FLG_WEAK): glibc says nothing, and the symbol decides.
#[test]
fn a_weak_need_may_be_missing() {
    if !can_build("loader::a_weak_need_may_be_missing") {
        return;
    }
    let tree = Tree::new();
    let program = build(&tree, &SCENES[1], "cc");
    let mut bytes = std::fs::read(&program).unwrap();
    let hash = b"V_2".iter().fold(0_u32, |hash, byte| (hash << 4) + u32::from(*byte));
    let at = bytes.windows(4).position(|window| window == hash.to_le_bytes()).expect("the need");
    assert_eq!(bytes[at + 4..at + 6], [0, 0], "the flags of a need");
    bytes[at + 4] = 2;
    std::fs::write(&program, &bytes).unwrap();
    let (missing, versions, text) = ldd(&program, true);
    assert_eq!((missing.len(), versions.len()), (1, 0), "{text}");
    let found = checked(&program);
    assert!(matches!(found.as_slice(), [(code, _)] if code == "CRP322"), "{found:?}");
}

/// The file offset of an entry of the dynamic section.
fn dynamic_entry(bytes: &[u8], tag: u64, index: usize) -> usize {
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let headers = word(32) as usize;
    let dynamic = (0..32).map(|index| headers + 56 * index).find(|at| bytes[*at..*at + 4] == [2, 0, 0, 0]).unwrap();
    let start = word(dynamic + 8) as usize;
    (start..).step_by(16).filter(|at| word(*at) == tag).nth(index).unwrap()
}

/// Who has the symbol and comes too late is named, and where it stands.
#[test]
fn the_rival_is_named() {
    if !can_build("loader::the_rival_is_named") {
        return;
    }
    let tree = Tree::new();
    let program = build(&tree, &SCENES[2], "cc");
    let folder = |name: &str| tree.join(name).display().to_string();
    let path = format!("LD_LIBRARY_PATH={}:{}", folder("found"), folder("linked"));
    let explained = expect(binary().args(["explain", "--symbols", "--json", "--env", &path]).arg(&program), 0).json();
    let symbols = explained["symbols"].as_array().unwrap();
    let missing = symbols.iter().find(|symbol| symbol["name"] == "g").unwrap();
    assert_eq!(missing["outcome"], "missing");
    let rival = &missing["rivals"][0];
    assert_eq!(rival["place"], format!("{}/libx.so.1", folder("linked")));
    assert_eq!(rival["behind"], format!("{}/libx.so.1", folder("found")));
    assert_eq!(rival["source"], "ld_library_path");
    let told = expect(binary().args(["explain", "--symbols", "--env", &path]).arg(&program), 0).stdout;
    assert!(told.contains("has it, but stands behind"), "{told}");
}
