//! A refusal must not cost more than it saves: what cannot be edited and asks for no driver library fails no build.

use crate::elfgen::{Kind, Machine, Spec};
use crate::harness::{MODES, Snapshot, Tree, binary, expect, run};

/// Without a place for a path: there is a payload behind it, and no padding inside.
fn payload() -> Spec {
    let found = crate::elfgen::presets().into_iter().find(|(name, _)| *name == "rung-l-overlay");
    found.expect("a layout that is refused").1
}

const REASON: &str = "the file carries a payload behind the ELF object, which must stay at its end";

#[test]
fn what_asks_for_no_driver_is_left_alone_with_a_warning() {
    let tree = Tree::new();
    for mode in MODES {
        let file = tree.executable("program", &payload().build());
        let before = Snapshot::of(&file);
        let told = |word: &str| format!("{word}: {}: ", file.display());
        let fix = |arguments: &[&str]| run(binary().arg("fix").args(mode).args(arguments).arg(&file));
        let ended = fix(&[]);
        assert_eq!(ended.code, 0, "{}", ended.said());
        let line = format!(
            "{}left alone, it asks for no driver library: no safe place for the new search path: {REASON}\n",
            told("warning")
        );
        assert_eq!(ended.stderr, line);
        assert_eq!(ended.stdout, "1 file, 1 ELF: 0 fixed, 0 already right, 1 left alone, 0 failed\n");
        assert_eq!(fix(&["--check"][usize::from(!mode.is_empty())..]).code, 0);
        assert_eq!(fix(&["-q"]).stderr, "");

        // Each rung's reason, to those who ask.
        let all = fix(&["-v"]).stderr;
        assert!(all.starts_with(&line) && all.contains("\n  slack: ") && all.contains("\n  move-table: "), "{all}");
        let entry = fix(&["--json"]).file();
        assert_eq!((&entry["outcome"], &entry["consumer"]), (&"left-alone".into(), &false.into()), "{entry}");
        let attempts = entry["attempts"].as_array().expect("a list");
        assert!(attempts.len() > 5 && attempts.iter().all(|attempt| attempt["reason"].is_string()), "{entry}");

        let strict = fix(&["--strict"]);
        assert_eq!(strict.code, 2);
        assert_eq!(strict.stderr, format!("{}no safe place for the new search path: {REASON}\n", told("error")));
        assert_eq!(Snapshot::of(&file), before);
    }
}

/// A program that asks for the driver and cannot get it fails the build, however it asks.
#[test]
fn what_asks_for_the_driver_fails() {
    let tree = Tree::new();
    let needs = tree.file("needs", &payload().needs("libcuda.so.1").build());
    let other = tree.file("other", &payload().needs("libown.so.1").build());
    let fix = |arguments: &[&str], file: &std::path::Path| run(binary().arg("fix").args(arguments).arg(file));
    let ended = fix(&[], &needs);
    assert!(ended.code == 2 && ended.stderr.starts_with("error: "), "{}", ended.said());
    assert_eq!(fix(&["--json"], &needs).file()["consumer"], true);
    assert_eq!(fix(&[], &other).code, 0);
    assert_eq!(fix(&["--driver-library", "libown.so.1"], &other).code, 2);

    // One of both kinds: the good one is edited, the other ones are named.
    tree.file("good", &Spec::new(Machine::X86_64, Kind::Library).runpath("/old").build());
    let ended = fix(&[], tree.path());
    assert_eq!(ended.code, 2);
    assert!(
        ended.stdout.ends_with("3 files, 3 ELF: 1 fixed, 0 already right, 1 left alone, 1 failed\n"),
        "{}",
        ended.said()
    );
}

/// A script asks for the driver through the module that cannot be edited.
#[test]
fn what_a_script_asks_through_fails() {
    let tree = Tree::new();
    let module = "lib/_ctypes.cpython-312-x86_64-linux-gnu.so";
    tree.file(module, &payload().build());
    let script = tree.file("lib/use.py", b"import ctypes\nctypes.CDLL('libm.so.6')\n");
    let fix = || run(binary().arg("fix").arg(tree.path()));
    assert_eq!(fix().code, 0);
    std::fs::write(&script, "import ctypes\nctypes.CDLL('libcuda.so.1')\n").unwrap();
    let ended = fix();
    assert!(
        ended.code == 2 && ended.stderr.contains(&format!("error: {}", tree.join(module).display())),
        "{}",
        ended.said()
    );
}

/// What contradicts itself cannot be judged, and stays a failure.
#[test]
fn what_cannot_be_read_fails() {
    let tree = Tree::new();
    let file = tree.file("cut.so", &payload().build()[..700]);
    let ended = run(binary().arg("fix").arg(&file));
    assert_eq!(ended.code, 2, "{}", ended.said());
}

/// Something in or around a file says that its bytes are verified.
#[test]
fn what_is_signed_is_left_alone_by_name() {
    let tree = Tree::new();
    let library = || Spec::new(Machine::X86_64, Kind::Library).soname("libown.so.1");
    let marked = |name: &str, contents: &[u8]| {
        let file = tree.file(format!("{name}/libown.so.1"), &library().build());
        let part = tree.file("part", contents);
        let flag = format!("--add-section={name}={}", part.display());
        expect(crate::harness::command("objcopy").arg(flag).arg(&file), 0);
        std::fs::read(file).unwrap()
    };
    let appended = [&library().build()[..], &[7; 300], b"~Module signature appended~\n"].concat();
    let fips = library().function("OSSL_provider_init", &[0xc3]).carries(b"install-mac\0module-mac\0").build();
    let other_provider = library().function("OSSL_provider_init", &[0xc3]).carries(b"module-name\0").build();
    for (name, bytes, words) in [
        ("appended", appended, Some("an edit would break the signature at its end")),
        ("section", marked(".sig", b"signed"), Some("an edit would break the signature in its section .sig")),
        ("appimage", marked(".sha256_sig", b"-----BEGIN"), Some("the signature in its section .sha256_sig")),
        // As AppImage's tool leaves it where nothing is signed.
        ("empty", marked(".sha256_sig", &[0; 1024]), None),
        ("named", marked(".signs", b"signed"), None),
        ("fips", fips, Some("it is OpenSSL's FIPS provider, whose MAC fipsmodule.cnf has")),
        ("provider", other_provider, None),
    ] {
        for mode in MODES {
            let file = tree.file(format!("{name}.so"), &bytes);
            let before = Snapshot::of(&file);
            let fix = |arguments: &[&str]| run(binary().arg("fix").args(mode).args(arguments).arg(&file));
            let ended = fix(&[]);
            assert_eq!(ended.code, 0, "{name}: {}", ended.said());
            let skipped = ended.stdout.lines().next().filter(|line| line.starts_with("skipped "));
            assert_eq!(
                skipped.is_some_and(|line| line.contains(words.unwrap_or("?"))),
                words.is_some(),
                "{}",
                ended.said()
            );
            assert_eq!(Snapshot::of(&file) == before, words.is_some(), "{name}");
            if words.is_some() && name != "appended" {
                // On request, and not by a name of another file.
                assert!(fix(&["--only", "other*"]).stdout.starts_with("0 files"), "{name}");
                let ended = fix(&["--only", &format!("{name}.so")]);
                assert!(ended.stdout.contains("it has to be made anew"), "{}", ended.said());
                assert_ne!(Snapshot::of(&file), before, "{name}");
            }
        }
    }
}

/// A signed object that asks for the driver will not find it: that is told as a failure.
#[test]
fn what_is_signed_and_asks_for_the_driver_fails() {
    let tree = Tree::new();
    let library = Spec::new(Machine::X86_64, Kind::Library).needs("libcuda.so.1").build();
    let file = tree.file("lib/libown.so", &library);
    tree.file("lib/libown.chk", b"\xf1\xc5\x01\x02and more");
    let ended = run(binary().arg("fix").arg(&file));
    let told = format!(
        "error: {}: it asks for a driver library, and an edit would break its signature {}; --only NAME edits it all the same\n",
        file.display(),
        tree.join("lib/libown.chk").display()
    );
    assert_eq!((ended.code, ended.stderr), (2, told));
    expect(binary().args(["fix", "--only", "libown.so"]).arg(&file), 0);
}

/// Fedora keeps the digests of programs in `/usr/lib64/hmaccalc` and `fipscheck`.
#[test]
fn digests_in_folders_of_their_own() {
    let tree = Tree::new();
    let program = Spec::new(Machine::X86_64, Kind::Pie).runpath("/old").build();
    for folder in ["hmaccalc", "fipscheck"] {
        let signed = tree.executable(format!("{folder}/usr/bin/sha512hmac"), &program);
        let other = tree.executable(format!("{folder}/usr/bin/other"), &program);
        let elsewhere = tree.executable(format!("{folder}/opt/bin/sha512hmac"), &program);
        let digest =
            tree.file(format!("{folder}/usr/lib64/{folder}/sha512hmac.hmac"), "0123456789abcdef".repeat(8).as_bytes());
        let before = [&signed, &other, &elsewhere].map(|file| Snapshot::of(file));
        let ended = expect(binary().arg("fix").arg(tree.join(folder)), 0);
        assert!(ended.stdout.contains(&format!("its signature {}", digest.display())), "{}", ended.said());
        let now = [&signed, &other, &elsewhere].map(|file| Snapshot::of(file));
        assert_eq!([0, 1, 2].map(|at| now[at] == before[at]), [true, false, false], "{folder}");
    }
}

/// The kernel verifies what has these attributes.
#[test]
fn what_the_kernel_verifies_is_left_alone_by_name() {
    let test = "what_the_kernel_verifies_is_left_alone_by_name";
    let tree = Tree::new();
    if !crate::harness::require("setfattr", test) {
        return;
    }
    for name in ["security.ima", "security.evm"] {
        let file = tree.file(format!("{name}/libown.so"), &Spec::new(Machine::X86_64, Kind::Library).build());
        let set = run(crate::harness::command("setfattr").args(["-n", name, "-v", "0x0302041122334455"]).arg(&file));
        if set.code != 0 {
            eprintln!("SKIP {test}: {name} cannot be set here: {}", set.stderr);
            continue;
        }
        let before = Snapshot::of(&file);
        let ended = expect(binary().arg("fix").arg(&file), 0);
        assert!(ended.stdout.contains(&format!("its signature in the attribute {name}")), "{}", ended.said());
        assert_eq!(Snapshot::of(&file), before);
        expect(binary().args(["fix", "--only", "*.so"]).arg(&file), 0);
        assert_ne!(Snapshot::of(&file), before);
    }
}
