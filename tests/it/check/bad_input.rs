//! Input that cannot be used is named, with exit code 2, or is a finding; nothing panics and nothing is passed over.

use super::image::{Checked, Image, store, text};
use super::objects::{COMPAT, DRIVER, compat_note, dlopen_note, dlopens, driver_for, library, linked, stub};
use super::table::cases;
use crate::elfgen::{Machine, Note};
use crate::harness::{
    self, Tree, as_nobody, binary, copy_program, expect, is_root, require, run, run_bounded, set_mode,
};

/// Exit code 2, nothing on standard output, and one message with all of these words.
fn assert_refused(tree: &Tree, arguments: &[&str], words: &[&str]) {
    let run = run(binary().current_dir(tree.path()).args(arguments));
    run.assert_code(2, &format!("{arguments:?}"));
    assert_eq!(run.stdout, "", "{arguments:?}");
    assert!(run.stderr.starts_with("error: "), "{arguments:?}: {}", run.stderr);
    for word in words {
        assert!(run.stderr.contains(word), "{arguments:?}: no {word:?} in {}", run.stderr);
    }
}

#[test]
fn paths_that_are_not_there_are_named() {
    let tree = Tree::in_memory();
    tree.file("file", b"not ELF");
    tree.symlink("loop", "loop");
    tree.symlink("gone", "dangling");
    tree.symlink("/x/y", "image/loop2");
    for (arguments, words) in [
        (&["check", "missing"][..], &["missing", "No such file"][..]),
        (&["check", "loop"], &["loop", "symbolic links"]),
        (&["check", "dangling"], &["dangling", "No such file"]),
        (&["check", "file/x"], &["file/x", "Not a directory"]),
        (&["check", ""], &["PATH"]),
        (&["check"], &["no PATH given", "--closure-from", "--root"]),
        (&["check", "--root", "image", "missing"], &["/missing", "No such file"]),
        (&["check", "missing", "gone/too"], &["missing", "gone/too"]),
        (&["check", "--root", "image", "/loop2"], &["/loop2"]),
        (&["check", "--root", "missing"], &["--root missing", "No such file"]),
        (&["check", "--root", "file"], &["--root file", "not a directory"]),
        (&["check", "--files-from", "missing"], &["missing"]),
        (&["explain", "missing"], &["missing: does not exist"]),
        (&["explain", "file"], &["file: not an ELF file"]),
        (&["explain", "loop"], &["loop: does not exist"]),
        (&["explain", "image"], &["image: "]),
    ] {
        assert_refused(&tree, arguments, words);
    }
}

#[test]
fn options_that_mean_nothing_are_named() {
    let tree = Tree::in_memory();
    tree.file("file", b"not ELF");
    for (arguments, words) in [
        (&["check", "file", "--platform", "jetpack4"][..], &["jetpack4", "jetpack5"][..]),
        (&["check", "file", "--only", "CRP999"], &["--only CRP999", "no such finding"]),
        (&["check", "file", "--skip", "CRP100,stub-last"], &["--skip stub-last", "no such finding"]),
        (&["check", "file", "--only", ""], &["--only", "no such finding"]),
        (&["check", "file", "--only", "CRP100", "--skip", "CRP200"], &["--only", "--skip"]),
        (&["check", "file", "--fail-on", "note"], &["--fail-on", "note"]),
        (&["check", "file", "--compat-policy", "maybe"], &["--compat-policy", "maybe"]),
        (&["check", "file", "--compat", "relative"], &["--compat relative"]),
        (&["check", "file", "--driver", "/a:/b"], &["--driver /a:/b"]),
        (&["check", "file", "--stub", ""], &["--stub"]),
        (&["check", "file", "--host-driver", "new"], &["--host-driver", "\"new\""]),
        (&["check", "file", "--host-driver", ""], &["--host-driver"]),
        (&["check", "file", "--machine", "vax"], &["--machine vax"]),
        (&["check", "file", "--env", "LD_AUDIT=/x"], &["--env LD_AUDIT", "LD_LIBRARY_PATH", "LD_PRELOAD"]),
        (&["check", "file", "--env", "LD_LIBRARY_PATH"], &["--env LD_LIBRARY_PATH"]),
        (&["check", "file", "--exclude", "["], &["--exclude"]),
        (&["check", "file", "--format", "xml"], &["--format", "xml"]),
        (&["check", "file", "--closure", "--root", "/"], &["--closure", "--root"]),
        (&["check", "file", "--closure-from", "file"], &["--closure-from"]),
        (&["check", "file", "--attrs-key", "closure"], &["--closure-from"]),
        (&["rules", "CRP999"], &["CRP999", "no such finding"]),
        (&["rules", "--format", "sarif"], &["--format sarif"]),
        (&["explain", "file", "--format", "junit"], &["--format", "for check"]),
    ] {
        assert_refused(&tree, arguments, words);
    }
}

#[test]
fn lists_that_are_no_closures_are_named() {
    let tree = Tree::in_memory();
    for (list, words) in [
        (&b""[..], &["names no store path"][..]),
        (b"\n", &["line 1", "\"\""]),
        (b"[]", &["names no store path"]),
        (b"{}", &["--attrs-key"]),
        (b"{\"name\": \"x\"}", &["--attrs-key"]),
        (b"null", &["line 1", "null"]),
        (b"hello\n", &["line 1", "hello", "an absolute path"]),
        (b"/nix/store/a\nhello\n", &["line 2", "hello"]),
        (b"/nix/store/a\n\n3\n/nix/store/b\n", &["line 1", "whole record"]),
        (b"/nix/store/a\n\n99999999999999999999\n", &["line "]),
        (b"/nix/store/a\n\n18446744073709551615\n", &["line "]),
        (b"/nix/store/a\nsha256:0\n1\n\n", &["line "]),
        (b"\x7fELF\x02\x01\x01\0\xff\xfe", &["line 1"]),
        (b"[{\"path\": 1}]", &["\"path\""]),
        (b"[\"/nix/store/a\"]", &["\"path\""]),
        (b"{\"a\": [{\"path\": \"/x\"}], \"b\": [{\"path\": \"/y\"}]}", &["a, b", "--attrs-key"]),
        (b"/nix/store/00000000000000000000000000000000-gone\n", &["00000000000000000000000000000000-gone"]),
        (b"[{\"path\": \"relative\"}]", &["\"relative\"", "not absolute"]),
        (b"{\"/nix/store/a\": {}, \"b\": {}}", &["\"b\"", "not absolute"]),
    ] {
        let told = list.escape_ascii().to_string();
        tree.file("list", list);
        tree.folder("image");
        for root in [&[][..], &["--root", "image"]] {
            let arguments = [&["check", "--closure-from", "list"], root].concat();
            let named = [&["list"], words].concat();
            let named: Vec<&str> = if told.contains("-gone") { words.to_vec() } else { named };
            assert_refused(&tree, &arguments, &named);
        }
    }
    tree.file("attrs", br#"{"closure": [{"path": "/nix/store/a"}]}"#);
    assert_refused(&tree, &["check", "--closure-from", "attrs", "--attrs-key", "other"], &["attrs", "\"other\""]);
    tree.file("plain", b"/nix/store/a\n");
    assert_refused(&tree, &["check", "--closure-from", "plain", "--attrs-key", "x"], &["plain", "--attrs-key x"]);
    assert_refused(&tree, &["check", "--closure-from", "missing"], &["--closure-from missing", "No such file"]);
    assert_refused(&tree, &["check", "--closure-from", "image"], &["--closure-from image", "directory"]);
}

#[test]
fn allowlists_and_baselines_that_cannot_be_used_are_named() {
    let tree = Tree::in_memory();
    tree.file("file", b"not ELF");
    let row = |more: &str| format!("[[allow]]\npath = \"*\"\n{more}");
    for (list, words) in [
        (row("code = \"CRP999\"\nreason = \"x\"\n"), &["row 1", "CRP999"][..]),
        (row("code = \"CRP100\"\n"), &["row 1", "no reason"]),
        (row("code = \"CRP100\"\nreason = \"  \"\n"), &["row 1", "no reason"]),
        (row("code = \"CRP100\"\nreason = 1\n"), &["row 1", "no reason"]),
        (row("reason = \"x\"\n"), &["row 1", "no code"]),
        ("[[allow]]\ncode = \"CRP100\"\nreason = \"x\"\n".to_owned(), &["row 1", "no path"]),
        ("[[allow]]\ncode = \"CRP100\"\nreason = \"x\"\npath = \"[\"\n".to_owned(), &["row 1", "no glob"]),
        (row("code = \"CRP100\"\nreason = \"x\"\nuntil = \"2027-01-01\"\n"), &["row 1", "until is no date"]),
        (row("code = \"CRP100\"\nreason = \"x\"\nuntil = 10:00:00\n"), &["row 1", "until is no date"]),
        (row("code = \"CRP100\"\nreason = \"x\"\nuntil = 2027-13-01\n"), &["not TOML"]),
        (row("code = \"CRP100\"\nreason = \"x\"\nsince = 2027-01-01\n"), &["row 1", "since"]),
        (row("code = \"CRP100\"\nreason = \"x\"\n") + &row("code = \"CRP100\"\n"), &["row 2", "no reason"]),
        ("[[allowed]]\n".to_owned(), &["allowed"]),
        ("allow = 1\n".to_owned(), &["[[allow]]"]),
        ("allow = [1]\n".to_owned(), &["[[allow]]"]),
        ("this is no TOML".to_owned(), &["not TOML"]),
    ] {
        tree.file("allow.toml", list.as_bytes());
        assert_refused(&tree, &["check", "file", "--allow", "allow.toml"], &[&["allow.toml"], words].concat());
    }
    tree.file("latin1", b"# \xe4\n");
    assert_refused(&tree, &["check", "file", "--allow", "latin1"], &["--allow latin1"]);
    assert_refused(&tree, &["check", "file", "--allow", "missing"], &["--allow missing", "No such file"]);
    for baseline in ["", "x", "{}", "[]", "{\"command\": \"fix\", \"findings\": []}", "{\"command\": \"check\"}"] {
        tree.file("baseline", baseline.as_bytes());
        let words = ["--baseline baseline", "check --json"];
        assert_refused(&tree, &["check", "file", "--baseline", "baseline"], &words);
    }
    tree.file("baseline", b"{\"command\": \"check\", \"findings\": [{\"code\": \"CRP100\"}]}");
    assert_refused(&tree, &["check", "file", "--baseline", "baseline"], &["--baseline baseline"]);
    assert_refused(&tree, &["check", "file", "--runtime-list", "missing/list"], &["missing/list"]);
}

#[test]
fn a_closure_without_nix_is_refused() {
    let tree = Tree::in_memory();
    tree.file("file", b"not ELF");
    let run = expect(binary().args(["check", "--closure", "file"]).current_dir(tree.path()).env("PATH", ""), 2);
    assert!(run.stderr.contains("nix-store") && run.stderr.contains("--closure-from"), "{}", run.stderr);
    assert_refused(&tree, &["check", "--closure", "missing"], &["missing"]);
}

/// A file and a directory that root alone may read, for a user who is not root.
#[test]
fn what_may_not_be_read_is_a_finding() {
    if !require("setpriv", "what_may_not_be_read_is_a_finding") {
        return;
    }
    let tree = Tree::new();
    tree.file("out/lib/libsecret.so", &linked().build());
    tree.file("out/secret/libx.so", &linked().build());
    tree.file("out/lib/libopen.so", &library().build());
    let program = tree.join("cuda-runpath");
    copy_program(&harness::program(), &program);
    for path in ["out", "out/lib", "out/lib/libopen.so"] {
        set_mode(&tree.join(path), 0o755);
    }
    set_mode(&tree.join("out/lib/libsecret.so"), 0o000);
    set_mode(&tree.join("out/secret"), 0o700);
    let run = run(as_nobody(program).args(["check", "--json", "out"]).current_dir(tree.path()));
    let checked = Checked::of(run);
    let told: Vec<(String, String)> = checked.findings().into_iter().map(|f| (f.code, f.path)).collect();
    let wanted = ["out/lib/libsecret.so", "out/secret"].map(|path| ("CRP700".to_owned(), path.to_owned()));
    if is_root() {
        assert_eq!(told, wanted, "{:#?}", checked.findings());
        assert!(checked.findings().iter().all(|finding| finding.message.contains("Permission denied")));
        checked.run.assert_code(2, "an unreadable file is no finding alone");
    }
}

/// Bytes of a note that are anything but what they should be.
#[test]
fn notes_of_every_kind_of_damage_are_survived() {
    let texts: [&[u8]; 12] = [
        b"",
        b"\0",
        b"{",
        b"{}",
        b"[]",
        b"null",
        b"\"libcuda.so.1\"",
        b"{\"format\":1,\"CUDA version\":12.8}",
        b"{\"format\":\"1\",\"CUDA version\":\"12.8\"}",
        b"{\"format\":1,\"CUDA version\":\"twelve\",\"driver\":\"x\"}",
        b"{\"format\":1,\"CUDA version\":\"4294967296.1\",\"driver\":[-1,1e99,\"535\"]}",
        b"\xff\xfe{\"format\":1}",
    ];
    let bad_notes = |text: &[u8], overrun: u32| {
        let damaged = |note: Note| Note { overrun, ..note };
        let spec = driver_for(Machine::X86_64, "libcuda.so.1").runpath(DRIVER).note(damaged(compat_note(text)));
        let asks = dlopens(&["libcuda.so.1"]).runpath(DRIVER).note(damaged(dlopen_note(text)));
        (spec, asks)
    };
    for text in texts {
        for overrun in [0, 1, 4096, u32::MAX - 4096] {
            let image = Image::new();
            let (spec, asks) = bad_notes(text, overrun);
            image.put(&format!("{COMPAT}/libcuda.so.1"), &spec);
            image.put(store!("app/lib/libuser.so.1"), &asks);
            let checked = image.check_closure(&["--host-driver", "580", "--platform", "nixos"]);
            let codes: Vec<String> = checked.findings().into_iter().map(|finding| finding.code).collect();
            assert!(codes.iter().all(|code| code == "CRP701"), "{} {overrun}: {codes:?}", text.escape_ascii());
            assert_eq!(checked.verdict(store!("app/lib/libuser.so.1"), "libcuda.so.1").0, "pass");
        }
    }
    // A resolution note that ends anywhere.
    let whole = linked().runpath(DRIVER).ldcache(&[("libcuda.so.1", "=/opt/stubs/libcuda.so.1")]).build();
    // n_descsz is the second of three words before the owner.
    let size = whole.windows(6).position(|window| window == b"NixOS\0").unwrap() - 8;
    for length in 0..60 {
        let mut bytes = whole.clone();
        bytes[size..size + 4].copy_from_slice(&u32::to_le_bytes(length));
        let image = Image::new();
        image.file("/lib/libuser.so.1", &bytes);
        image.check::<&str>(&[]);
    }
}

/// Every prefix of every kind of object, within bounds of memory and time.
#[test]
fn truncated_objects_are_named() {
    let whole = stub(Machine::Aarch64).runpath("/opt/x").note(dlopen_note(b"[]")).build();
    let tree = Tree::in_memory();
    let step = 61;
    let mut names = 0;
    for length in (0..whole.len()).step_by(step) {
        tree.file(format!("out/{length:06}.so"), &whole[..length]);
        names += usize::from(length >= 4);
    }
    let out = tree.join("out");
    let checked = Checked::of(run_bounded("truncated_objects_are_named", ["check", "--json", text(&out)]));
    // Less than the magic is no ELF file.
    assert_eq!(checked.json["summary"]["elf"], names);
    let unreadable = checked.findings().into_iter().filter(|finding| finding.code == "CRP700").count();
    assert_eq!(unreadable, names, "the section headers come last");
    for name in std::fs::read_dir(&out).unwrap() {
        let path = name.unwrap().path();
        run_bounded("truncated_objects_are_named", ["explain", text(&path)]).assert_orderly(text(&path));
    }
}

/// What was raised once is raised again with bytes changed: no answer is wrong enough to panic.
#[test]
fn damaged_objects_never_panic() {
    for (number, case) in cases().into_iter().enumerate() {
        let image = case.image();
        let mut seed = 0x9e37_79b9_u32.wrapping_mul(number as u32 + 1);
        let mut open = vec![image.host("/")];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.is_symlink() {
                    open.push(path);
                } else if path.is_file() && !path.is_symlink() {
                    let mut bytes = std::fs::read(&path).unwrap();
                    for _ in 0..12 {
                        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                        let at = (seed >> 8) as usize % bytes.len().clamp(1, 4096);
                        if let Some(byte) = bytes.get_mut(at.max(4)) {
                            *byte = (seed >> 3) as u8;
                        }
                    }
                    std::fs::write(&path, bytes).unwrap();
                }
            }
        }
        let root = image.host("/");
        let run = run_bounded("damaged_objects_never_panic", ["check", "-v", "--root", text(&root)]);
        run.assert_orderly(&case.title());
    }
}
