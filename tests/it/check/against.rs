//! `check --against`: what a release changed, whichever way it is told what the other one was.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::formats::{FORMATS, has_jsonschema};
use super::image::{Image, findings, store, text};
use super::objects::{COMPAT, DRIVER, compat, driver, library, linked, program, stub};
use crate::elfgen::{Kind, Machine, Spec};
use crate::fatgen::{Entry, container};
use crate::harness::{self, Run, Tree, binary, command, expect, invoke, require, run};
use crate::saved::build::{self, Layer, Pack, archive};

/// Two trees, `old` and `new`, each with a driver directory beside its libraries.
struct Releases(Tree);

/// What both commands know of the driver.
const DRIVER_HERE: [&str; 2] = ["--driver", "$ORIGIN/../driver"];

fn right() -> Spec {
    linked().runpath("$ORIGIN/../driver")
}

/// A library with one fat binary.
fn kernels(entries: impl IntoIterator<Item = Entry>) -> Spec {
    library().soname("libkernels.so").gpu_code(".nv_fatbin", &container(entries).build())
}

/// The objects of a release by their names.
type Objects<'a> = &'a [(&'a str, Spec)];

impl Releases {
    fn of(old: Objects<'_>, new: Objects<'_>) -> Self {
        let releases = Self(Tree::in_memory());
        for (name, objects) in [("old", old), ("new", new)] {
            releases.0.file(format!("{name}/driver/libcuda.so.1"), &driver("libcuda.so.1").build());
            for (path, spec) in objects {
                releases.0.file(format!("{name}/{path}"), &spec.build());
            }
        }
        releases
    }

    fn check(&self, arguments: &[&str]) -> Run {
        let mut program = binary();
        program.current_dir(self.0.path()).args(["check", "--color", "never"]).args(DRIVER_HERE).args(arguments);
        // A driver lies in each release, wherever the release's own RUNPATHs lead.
        let skips = arguments.contains(&"--only");
        run(if skips { &mut program } else { program.args(["--skip", "CRP604"]) })
    }

    fn compare(&self, arguments: &[&str]) -> Compared {
        Compared::of(self.check(&[&["new", "--against", "old", "--json"], arguments].concat()))
    }

    /// From the new one to the old one.
    fn back(&self, arguments: &[&str]) -> Compared {
        Compared::of(self.check(&[&["old", "--against", "new", "--json"], arguments].concat()))
    }

    fn save(&self, what: &str, arguments: &[&str]) -> PathBuf {
        let saved = self.check(&[&[what, "--format", "json"], arguments].concat());
        self.0.file(format!("{what}.json"), saved.bytes())
    }
}

/// What a comparison says.
struct Compared {
    run: Run,
    json: Value,
}

impl Compared {
    fn of(run: Run) -> Self {
        run.assert_orderly("check --against");
        let json = run.json();
        assert_eq!(json["command"], "against");
        let is_worse = findings(&json["findings"]).iter().any(|finding| finding.severity == "error");
        assert_eq!(json["worse"], is_worse, "{json:#}");
        assert_eq!(run.code, i32::from(is_worse), "{}", run.said());
        Self { run, json }
    }

    fn codes_of(&self, list: &str) -> String {
        let mut codes: Vec<String> = findings(&self.json[list]).into_iter().map(|finding| finding.code).collect();
        codes.sort();
        codes.join(" ")
    }

    /// New or worse, still there, gone.
    fn codes(&self) -> [String; 3] {
        ["findings", "still", "gone"].map(|list| self.codes_of(list))
    }

    /// `new lib/libx.so`, as the document lists them.
    fn files(&self) -> Vec<String> {
        let files = self.json["files"].as_array().unwrap().iter();
        let text = |file: &Value, key: &str| file[key].as_str().unwrap().to_owned();
        files.map(|file| format!("{} {}", text(file, "change"), text(file, "path"))).collect()
    }

    fn file(&self, path: &str) -> &Value {
        let files = self.json["files"].as_array().unwrap();
        files.iter().find(|file| file["path"] == path).unwrap_or_else(|| panic!("{path} is not in {files:#?}"))
    }

    fn assert(&self, wanted: [&str; 3], files: &[&str], title: &str) {
        assert_eq!(self.codes(), wanted, "{title}: {:#}", self.json);
        assert_eq!(self.files(), files, "{title}");
    }
}

const APP: &str = "lib/libapp.so";

/// Each kind of change: the two releases, what is asked, and what is said of each direction.
struct Change {
    title: &'static str,
    old: Vec<(&'static str, Spec)>,
    new: Vec<(&'static str, Spec)>,
    asked: &'static [&'static str],
    forth: ([&'static str; 3], &'static [&'static str]),
    back: ([&'static str; 3], &'static [&'static str]),
}

fn changes() -> Vec<Change> {
    let change = |title, old, new, asked, forth, back| Change { title, old, new, asked, forth, back };
    let gpu = &["--arch", "8.7", "--skip", "CRP503,CRP604"][..];
    vec![
        change("nothing", vec![(APP, right())], vec![(APP, right())], &[], (["", "", ""], &[]), (["", "", ""], &[])),
        change(
            "a library more",
            vec![(APP, right())],
            vec![(APP, right()), ("lib/libmore.so", library())],
            &[],
            (["", "", ""], &["new new/lib/libmore.so"]),
            (["", "", ""], &["gone new/lib/libmore.so"]),
        ),
        change(
            "other contents",
            vec![(APP, library().carries("one"))],
            vec![(APP, library().carries("two"))],
            &[],
            (["", "", ""], &["changed new/lib/libapp.so"]),
            (["", "", ""], &["changed old/lib/libapp.so"]),
        ),
        change(
            "a verdict",
            vec![(APP, right())],
            vec![(APP, linked())],
            &[],
            (["CRP100 CRP900", "", ""], &["changed new/lib/libapp.so"]),
            (["", "", "CRP100"], &["changed old/lib/libapp.so"]),
        ),
        change(
            "a finding",
            vec![(APP, right())],
            vec![(APP, linked().runpath("$ORIGIN/../driver:"))],
            &[],
            (["CRP300", "", ""], &["changed new/lib/libapp.so"]),
            (["", "", "CRP300"], &["changed old/lib/libapp.so"]),
        ),
        change(
            "a finding that stays",
            vec![(APP, linked().runpath("$ORIGIN/../driver:"))],
            vec![(APP, linked().runpath("$ORIGIN/../driver:")), ("lib/libmore.so", linked())],
            &[],
            (["CRP100", "CRP300", ""], &["new new/lib/libmore.so"]),
            (["", "CRP300", "CRP100"], &["gone new/lib/libmore.so"]),
        ),
        change(
            "a second finding of one kind",
            vec![(APP, linked().runpath("$ORIGIN/../driver:one"))],
            vec![(APP, linked().runpath("$ORIGIN/../driver:one:two"))],
            &[],
            (["CRP301", "CRP301", ""], &["changed new/lib/libapp.so"]),
            (["", "CRP301", "CRP301"], &["changed old/lib/libapp.so"]),
        ),
        change(
            "machine code for a GPU",
            vec![(APP, kernels([Entry::cubin(87), Entry::cubin(90)]))],
            vec![(APP, kernels([Entry::cubin(90)]))],
            gpu,
            (["CRP500 CRP901", "", ""], &["changed new/lib/libapp.so"]),
            (["", "", "CRP500"], &["changed old/lib/libapp.so"]),
        ),
        change(
            "machine code where PTX stays",
            vec![(APP, kernels([Entry::cubin(87), Entry::ptx(80)]))],
            vec![(APP, kernels([Entry::ptx(80)]))],
            gpu,
            (["CRP501 CRP901", "", ""], &["changed new/lib/libapp.so"]),
            (["", "", "CRP501"], &["changed old/lib/libapp.so"]),
        ),
        change(
            "PTX is as good as machine code",
            vec![(APP, kernels([Entry::cubin(87), Entry::ptx(80)]))],
            vec![(APP, kernels([Entry::ptx(80)]))],
            &["--arch", "8.7", "--skip", "CRP503,CRP501,CRP604", "--arch-policy", "ptx"],
            (["", "", ""], &["changed new/lib/libapp.so"]),
            (["", "", ""], &["changed old/lib/libapp.so"]),
        ),
        change(
            "a GPU that is not asked for",
            vec![(APP, kernels([Entry::cubin(87), Entry::cubin(90)]))],
            vec![(APP, kernels([Entry::cubin(90)]))],
            &[],
            (["", "", ""], &["changed new/lib/libapp.so"]),
            (["", "", ""], &["changed old/lib/libapp.so"]),
        ),
        change(
            "another machine under one name",
            vec![(APP, library())],
            vec![(APP, Spec::new(Machine::Aarch64, Kind::Library).soname("libuser.so.1"))],
            &[],
            (["", "", ""], &["new new/lib/libapp.so", "gone old/lib/libapp.so"]),
            (["", "", ""], &["new old/lib/libapp.so", "gone new/lib/libapp.so"]),
        ),
    ]
}

/// The options of a change, and others.
fn asked<'a>(change: &'a Change, rest: &[&'a str]) -> Vec<&'a str> {
    [change.asked, rest].concat()
}

#[test]
fn each_kind_of_change_is_told_in_both_directions() {
    for change in changes() {
        let releases = Releases::of(&change.old, &change.new);
        let (wanted, files) = change.forth;
        releases.compare(change.asked).assert(wanted, files, change.title);
        let (wanted, files) = change.back;
        releases.back(change.asked).assert(wanted, files, change.title);
    }
}

#[test]
fn numbers_are_those_of_the_files() {
    let (small, large) = (kernels([Entry::cubin(87)]), kernels([Entry::cubin(87), Entry::cubin(90), Entry::ptx(90)]));
    let releases = Releases::of(&[(APP, small.clone())], &[(APP, large.clone())]);
    let compared = releases.compare(&[]);
    let file = compared.file("new/lib/libapp.so");
    assert_eq!(file["length"], json!({"old": small.build().len(), "new": large.build().len()}));
    assert_eq!(
        file["gained"],
        json!([{"architecture": "sm_90", "kind": "cubin"}, {"architecture": "compute_90", "kind": "ptx"}])
    );
    assert_eq!(file["lost"], json!([]));
    let bytes = |which: &str| compared.json["summary"]["releases"][which]["gpuBytes"].as_u64().unwrap();
    assert_eq!(file["gpuBytes"], json!({"old": bytes("old"), "new": bytes("new")}));
    assert!(bytes("new") > bytes("old") && bytes("old") > 0);
    let back = releases.back(&[]);
    assert_eq!(back.file("old/lib/libapp.so")["lost"], file["gained"]);
    // A static program and a cubin by itself count, too.
    releases.0.file("new/bin/static", &Spec::new(Machine::X86_64, Kind::Static).build());
    releases.0.file("new/share/k.cubin", &crate::fatgen::noted_cubin(87, "sm_87"));
    let more = releases.compare(&[]).files();
    assert_eq!(more, ["changed new/lib/libapp.so", "new new/bin/static", "new new/share/k.cubin"]);
}

/// libcuda's place: compat, the driver's directory, a stub.
#[test]
fn where_libcuda_comes_from_is_told() {
    let release = |path: &str| {
        let image = Image::new();
        image.put(
            &format!("{COMPAT}/libcuda.so.1"),
            &compat(Machine::X86_64, "{\"format\":1,\"CUDA version\":\"12.8\"}"),
        );
        image.put(store!("app-1.0/bin/app"), &program().needs("libcuda.so.1").runpath(path));
        image
    };
    let (old, new) = (release(&format!("{COMPAT}:{DRIVER}")), release(DRIVER));
    let against = |new: &Image, old: &Image, more: &[&str]| {
        let old = old.host("/");
        let arguments = ["--against", text(&old), "--skip", "CRP312,CRP305"];
        Compared::of(new.run("check", &[&arguments, more].concat()))
    };
    let worse = against(&new, &old, &[]);
    assert_eq!(worse.codes(), ["CRP902", "", ""], "{:#}", worse.json);
    let request = &worse.file(store!("app-1.0/bin/app"))["requests"][0];
    assert_eq!((&request["old"]["answer"], &request["new"]["answer"]), (&json!("compat"), &json!("driver-at-runtime")));
    let libcuda = |which: &str| worse.json["summary"]["releases"][which]["libcuda"].clone();
    assert_eq!((libcuda("old"), libcuda("new")), (json!({"compat": 1}), json!({"driver-at-runtime": 1})));
    assert_eq!(against(&old, &new, &[]).codes(), ["", "", ""]);
    assert_eq!(against(&old, &old, &[]).codes(), ["", "", ""]);
    // Where compat is not wanted it is no loss.
    let unwanted = against(&new, &old, &["--compat-policy", "forbid"]);
    assert_eq!(unwanted.codes_of("findings"), "");
}

/// What was saved of a release compares as the release itself, in every format.
#[test]
fn a_document_is_as_good_as_the_release() {
    for change in changes() {
        let releases = Releases::of(&change.old, &change.new);
        let saved = releases.save("old", &asked(&change, &["-v"]));
        for format in FORMATS {
            let of_tree = releases.check(&asked(&change, &["new", "--against", "old", "--format", format]));
            let of_document = releases.check(&asked(&change, &["new", "--against", text(&saved), "--format", format]));
            assert_eq!(of_tree.said(), of_document.said(), "{} as {format}", change.title);
            assert_eq!(of_tree.bytes(), of_document.bytes(), "{} as {format}", change.title);
        }
    }
}

/// Every field that a comparison needs is missed by its name.
#[test]
fn what_a_document_does_not_say_is_named() {
    let objects = [(APP, right()), ("lib/libplain.so", library())];
    let releases = Releases::of(&objects, &objects);
    let compare = |document: &Value, more: &[&str]| {
        let saved = releases.0.file("old.json", document.to_string().as_bytes());
        let compared = Compared::of(releases.check(&[&["new", "--json", "--against", text(&saved)], more].concat()));
        let told: Vec<String> = findings(&compared.json["findings"])
            .into_iter()
            .map(|finding| format!("{} {}", finding.code, finding.about))
            .collect();
        (told.join(", "), compared)
    };
    let whole: Value = serde_json::from_slice(&std::fs::read(releases.save("old", &["-v"])).unwrap()).unwrap();
    assert_eq!(compare(&whole, &[]).0, "");
    // Saved without -v: libplain.so is not there, and is told as new.
    let brief: Value = serde_json::from_slice(&std::fs::read(releases.save("old", &[])).unwrap()).unwrap();
    let (told, compared) = compare(&brief, &[]);
    assert_eq!(told, "CRP903 contents, CRP903 objects");
    assert_eq!(compared.files(), ["new new/driver/libcuda.so.1", "new new/lib/libplain.so"]);
    assert_eq!(compared.run.code, 0, "what is not compared is a warning");
    let strict = releases.check(&["new", "--against", "old.json", "--fail-on", "warning"]);
    assert_eq!(strict.code, 1, "{}", strict.said());
    // As 0.1.0 saved it: none of the new fields.
    let mut older = brief.clone();
    for key in ["scope", "roots", "asked", "complete"] {
        assert!(older.as_object_mut().unwrap().remove(key).is_some(), "{key}");
    }
    assert_eq!(compare(&older, &[]).0, "CRP903 contents, CRP903 objects, CRP903 options");
    // Other options, of this run or of that one.
    assert_eq!(compare(&whole, &["--arch", "8.7"]).0, "CRP903 --arch, CRP903 --arch-policy, CRP903 --ptx");
    assert_eq!(compare(&whole, &["--symbols", "--platform", "nixos"]).0, "CRP903 --platform, CRP903 --symbols");
    let mut other = whole.clone();
    other["asked"]["--only"] = json!("CRP100");
    other["scope"] = json!("closure");
    assert_eq!(compare(&other, &[]).0, "CRP903 --only, CRP903 scope");
    // What this run leaves out is left out of both.
    assert_eq!(compare(&whole, &["--skip", "CRP300"]).0, "");
}

/// Nothing in a document is believed: what is wrong is refused by its field, its value and its bound.
#[test]
fn hostile_documents_are_refused_by_name() {
    let objects = [(APP, kernels([Entry::cubin(87)]).needs("libcuda.so.1").runpath("$ORIGIN/../driver:"))];
    let releases = Releases::of(&objects, &objects);
    let saved: Value = serde_json::from_slice(&std::fs::read(releases.save("old", &["-v"])).unwrap()).unwrap();
    let refused = |document: &[u8], words: &[&str]| {
        releases.0.file("bad.json", document);
        let run = releases.check(&["new", "--json", "--against", "bad.json"]);
        run.assert_code(2, &format!("{words:?}"));
        assert_eq!(run.stdout, "", "{words:?}");
        for word in ["--against bad.json"].iter().chain(words) {
            assert!(run.stderr.contains(word), "no {word:?} in {}", run.stderr);
        }
    };
    let index = saved["objects"].as_array().unwrap().iter().position(|object| object["path"] == "old/lib/libapp.so");
    let object = format!("/objects/{}", index.unwrap());
    let at = |below: &str| format!("{object}{below}");
    for (pointer, value, words) in [
        ("/schema".to_owned(), json!("cuda-runpath/2"), &["schema is \"cuda-runpath/2\"", "cuda-runpath/1"][..]),
        ("/schema".to_owned(), json!(1), &["schema", "expected a string"]),
        ("/command".to_owned(), json!("archs"), &["command is \"archs\"", "check"]),
        ("/command".to_owned(), json!("against"), &["command is \"against\""]),
        ("/scope".to_owned(), json!("moon"), &["scope", "moon", "tree, image, closure"]),
        ("/roots".to_owned(), json!("old"), &["roots", "expected a sequence"]),
        ("/asked".to_owned(), json!({"--arch": 8.7}), &["asked", "expected a string"]),
        ("/complete".to_owned(), json!("yes"), &["complete", "expected a boolean"]),
        ("/objects".to_owned(), json!({}), &["objects", "expected a sequence"]),
        (at("/path"), json!(null), &["path", "expected a string"]),
        (at("/pathHex"), json!("0x"), &[".pathHex", "\"0x\"", "hexadecimal"]),
        (at("/class"), json!(48), &["class", "48", "neither 32 nor 64"]),
        (at("/class"), json!(6400), &["class", "6400", "expected u8"]),
        (at("/machine"), json!(["x86_64"]), &["machine", "expected a string"]),
        (at("/length"), json!(-1), &["length", "-1", "expected u64"]),
        (at("/length"), json!(1.5), &["length", "1.5", "expected u64"]),
        (at("/length"), json!(null), &["contents", "without length"]),
        (at("/contents"), json!("beef"), &["contents", "\"beef\"", "64 hexadecimal digits"]),
        (at("/contents"), json!(null), &["length", "without contents"]),
        (at("/gpuCode/0/form"), json!("soup"), &["gpuCode[0].form", "\"soup\""]),
        (at("/gpuCode/0/architecture"), json!("sm_99999999999"), &["gpuCode[0]", "sm_99999999999"]),
        (at("/gpuCode/0/kind"), json!("ptx"), &["gpuCode[0]", "sm_87 ptx"]),
        (at("/gpuCode/0/withoutKernels"), json!(u64::MAX), &["withoutKernels", "is more than count"]),
        (at("/requests/0/verdict"), json!("perhaps"), &["requests[0].verdict", "\"perhaps\"", "pass, runtime, fail"]),
        (at("/requests/0/answer"), json!("moon"), &["requests[0].answer", "\"moon\"", "compat, driver"]),
        (at("/requests/0/answer"), json!("nothing"), &["requests[0].answer", "\"nothing\""]),
        (
            "/findings/0/severity".to_owned(),
            json!("fatal"),
            &["findings[0].severity", "\"fatal\"", "note, warning, error"],
        ),
        ("/findings/0/about".to_owned(), json!(0), &["findings[0].about", "expected a string"]),
    ] {
        let mut document = saved.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = document.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}"));
        match parent {
            Value::Object(fields) => fields.insert(key.to_owned(), value),
            _ => panic!("{pointer}"),
        };
        refused(document.to_string().as_bytes(), words);
    }
    // What no value of serde_json is.
    let text = saved.to_string();
    let length = saved.pointer(&at("/length")).unwrap().to_string();
    for number in ["18446744073709551616", "1e999", "99999999999999999999999999999999", "0x10", "1_000"] {
        refused(text.replace(&format!("\"length\":{length}"), &format!("\"length\":{number}")).as_bytes(), &[]);
    }
    for (document, words) in [
        ("{".to_owned(), &["EOF"][..]),
        ("{}".to_owned(), &["schema"]),
        (format!("{text} {{}}"), &["behind its end"]),
        (text.replace("\"command\"", "\"comand\""), &["command"]),
        (
            text.replace("\"objects\":[", &format!("\"objects\":[{},", saved.pointer(&object).unwrap())),
            &["old/lib/libapp.so", "twice"],
        ),
        (
            text.replace("\"gpuCode\":[{", &format!("\"gpuCode\":[{},{{", saved.pointer(&at("/gpuCode/0")).unwrap())),
            &["gpuCode[1]", "twice"],
        ),
        (
            text.replace(
                "\"requests\":[{",
                &format!("\"requests\":[{},{{", saved.pointer(&at("/requests/0")).unwrap()),
            ),
            &["libcuda.so.1", "twice"],
        ),
        (text.replace("\"complete\":true", "\"complete\":true,\"complete\":false"), &["duplicate field", "complete"]),
        (format!("{{\"schema\":{}{}", "[".repeat(100_000), "]".repeat(100_000)), &[]),
        (
            format!("{{\"schema\":\"cuda-runpath/1\",\"command\":\"check\",\"objects\":{}", "[".repeat(100_000)),
            &["EOF"],
        ),
    ] {
        refused(document.as_bytes(), words);
    }
    // A field that only a later release has is passed over, and a code that only that one has is another finding.
    let mut later = saved.clone();
    later["future"] = json!({"x": [1, 2, 3]});
    later["findings"][0]["code"] = json!("CRP999");
    releases.0.file("later.json", later.to_string().as_bytes());
    let compared = Compared::of(releases.check(&["new", "--json", "--against", "later.json"]));
    assert_eq!(compared.codes(), ["CRP300", "", "CRP999"]);
}

#[test]
fn what_is_no_release_is_refused() {
    let releases = Releases::of(&[(APP, right())], &[(APP, right())]);
    releases.0.file("text", b"not ELF");
    releases.0.file("archive.zip", b"PK\x03\x04");
    releases.0.folder("empty");
    for (old, words) in [
        ("missing", &["--against missing", "No such file"][..]),
        ("text", &["--against text", "no tree, no image"]),
        ("archive.zip", &["archive.zip"]),
    ] {
        let run = releases.check(&["new", "--against", old]);
        run.assert_code(2, old);
        for word in words {
            assert!(run.stderr.contains(word), "{old}: no {word:?} in {}", run.stderr);
        }
    }
    // A folder without objects is a release, and it is said that nothing is compared.
    let empty = Compared::of(releases.check(&["new", "--against", "empty", "--json"]));
    assert_eq!(empty.codes(), ["CRP903", "", ""]);
    // A pipe has a document, or nothing that can be used.
    let saved = releases.save("old", &["-v"]);
    let piped = |command_line: &str| {
        let line = format!(
            "{command_line} | {} check --skip CRP604 --driver '$ORIGIN/../driver' new --against /dev/stdin",
            text(&harness::program())
        );
        run(command("sh").args(["-c", &line]).current_dir(releases.0.path()))
    };
    piped(&format!("cat {}", text(&saved))).assert_code(0, "a pipe with a document");
    piped("echo /nix/store/x").assert_code(2, "a pipe with a list");
    // What cannot be read of the other release may be what is worse.
    releases.0.symlink("gone", "dangling");
    releases.check(&["new", "--against", "dangling"]).assert_code(2, "a link that leads nowhere");
}

/// An allowlist, a baseline, a selection and a limit mean what they mean without a comparison.
#[test]
fn other_options_keep_their_meaning() {
    let bad = || linked().runpath("$ORIGIN/../driver:");
    let releases =
        Releases::of(&[(APP, right()), ("lib/libold.so", bad())], &[(APP, linked()), ("lib/libold.so", bad())]);
    assert_eq!(releases.compare(&[]).codes(), ["CRP100 CRP900", "CRP300", ""]);
    let row = |code: &str, path: &str| format!("[[allow]]\ncode = \"{code}\"\npath = \"{path}\"\nreason = \"known\"\n");
    let allow = |rows: &[String]| {
        releases.0.file("allow.toml", rows.concat().as_bytes());
        releases.compare(&["--allow", "allow.toml"])
    };
    let app = "**/libapp.so";
    // What is worse is excused by its own code; a row for what is still there is used.
    let excused = allow(&[row("CRP100", app), row("CRP900", app), row("CRP300", "**/libold.so")]);
    assert_eq!(excused.codes(), ["", "", ""]);
    assert_eq!(excused.codes_of("allowed"), "CRP100 CRP900", "only what is new");
    assert_eq!(allow(&[row("CRP100", app)]).codes_of("findings"), "CRP900");
    assert_eq!(allow(&[row("CRP200", app)]).codes_of("findings"), "CRP100 CRP703 CRP900");
    let baseline = releases.save("new", &[]);
    assert_eq!(releases.compare(&["--baseline", text(&baseline)]).codes_of("findings"), "CRP900");
    assert_eq!(releases.compare(&["--only", "CRP900"]).codes(), ["CRP900", "", ""]);
    assert_eq!(releases.compare(&["--skip", "CRP900,CRP100"]).codes(), ["", "CRP300", ""]);
    assert_eq!(releases.back(&["--skip", "CRP100"]).codes(), ["", "CRP300", ""], "of what is gone, too");
    releases.check(&["new", "--against", "old", "--fail-on", "never"]).assert_code(0, "--fail-on never");
    // What the other release excused was there.
    releases.0.file("allow.toml", row("CRP300", "**/libold.so").as_bytes());
    let saved = releases.save("old", &["-v", "--allow", "allow.toml"]);
    assert_eq!(releases.compare(&["--skip", "CRP100,CRP900"]).codes(), ["", "CRP300", ""]);
    let of_saved = releases.check(&["new", "--against", text(&saved), "--json", "--skip", "CRP100,CRP900"]);
    assert_eq!(Compared::of(of_saved).codes(), ["", "CRP300", ""]);
}

// --- names -------------------------------------------------------------------------------------------------------------

/// A closure of store paths, each with a file.
fn closure(paths: &[(&str, &str, Spec)]) -> (Tree, PathBuf) {
    let tree = Tree::in_memory();
    let mut list = String::new();
    for (package, file, spec) in paths {
        tree.file(format!("image/nix/store/{package}/{file}"), &spec.build());
        list += &format!("/nix/store/{package}\n");
    }
    let list = tree.file("list", list.as_bytes());
    (tree, list)
}

fn hash(letter: char) -> String {
    letter.to_string().repeat(32)
}

/// `old -> new` of every file that is changed, `+ new`, `- old`.
fn compare_closures(old: &[(&str, &str, Spec)], new: &[(&str, &str, Spec)]) -> Vec<String> {
    let ((of_old, old_list), (of_new, new_list)) = (closure(old), closure(new));
    let check = |tree: &Tree, list: &Path, more: &[&str]| {
        let mut program = binary();
        program.args(["check", "--json", "--skip", "CRP312,CRP305,CRP601", "--root"]).arg(tree.join("image"));
        run(program.arg("--closure-from").arg(list).args(more))
    };
    let saved = of_old.file("saved.json", check(&of_old, &old_list, &["-v"]).bytes());
    let compared = Compared::of(check(&of_new, &new_list, &["--against", text(&saved)]));
    let name = |file: &Value, key: &str| {
        let path = file[key].as_str().unwrap_or_else(|| file["path"].as_str().unwrap());
        path.strip_prefix("/nix/store/").unwrap()[..1].to_owned() + &path[44..]
    };
    let told = |file: &Value| match file["change"].as_str().unwrap() {
        "new" => format!("+ {}", name(file, "path")),
        "gone" => format!("- {}", name(file, "path")),
        _ => format!("{} -> {}", name(file, "oldPath"), name(file, "path")),
    };
    compared.json["files"].as_array().unwrap().iter().map(told).collect()
}

#[test]
fn files_are_known_by_what_stands_behind_hashes_and_before_versions() {
    let library = |text: &str| library().carries(text);
    let store = |letter: char, name: &str| format!("{}-{name}", hash(letter));
    let pair = |(old_name, old_file): (&str, &str), (new_name, new_file): (&str, &str)| {
        let (old_name, new_name) = (store('a', old_name), store('b', new_name));
        let (one, two) = (library("one"), library("two"));
        compare_closures(&[(&old_name, old_file, one)], &[(&new_name, new_file, two)])
    };
    // Another build: one name, so the document tells no other one.
    assert_eq!(pair(("foo-1.2", "lib/x.so"), ("foo-1.2", "lib/x.so")), ["bfoo-1.2/lib/x.so -> bfoo-1.2/lib/x.so"]);
    for (old, new) in [
        (("foo-1.2", "lib/x.so"), ("foo-1.3", "lib/x.so")),
        (("foo-1.2", "lib/libx.so.1.2"), ("foo-2.0", "lib/libx.so.2.0")),
        (
            ("cuda12.8-cuda_cudart-12.8.90", "lib/libcudart.so.12.8.90"),
            ("cuda13.0-cuda_cudart-13.0.48", "lib/libcudart.so.13.0.48"),
        ),
        (
            ("python3.11-torch-2.4", "lib/python3.11/site-packages/torch/x.so"),
            ("python3.12-torch-2.5", "lib/python3.12/site-packages/torch/x.so"),
        ),
        (
            ("env", "w/torch-2.4.0-cp311-cp311-linux_x86_64/torch/x.so"),
            ("env", "w/torch-2.5.1-cp312-cp312-linux_x86_64/torch/x.so"),
        ),
        (("env", "torch.libs/libcudart-9335f6a2.so.12.4"), ("env", "torch.libs/libcudart-d9e2f1a4.so.12.6")),
        (("a", "lib/libmoved.so.1"), ("b-1.0", "share/libmoved.so.2")),
    ] {
        let wanted = format!("a{}/{} -> b{}/{}", old.0, old.1, new.0, new.1);
        assert_eq!(pair(old, new), [wanted]);
    }
    // An output is no version, and a program of another package is another program.
    assert_eq!(pair(("foo-1.2-bin", "bin/x"), ("bar-1.2", "bin/y")), ["+ bbar-1.2/bin/y", "- afoo-1.2-bin/bin/x"]);
    // Two releases of one package in one closure: each is the one that it was, and the third is the one that is left.
    let (a, b, c, d) = (store('a', "foo-11.8"), store('b', "foo-12.4"), store('c', "foo-12.4"), store('d', "foo-12.9"));
    let file = "lib/libfoo.so";
    let found = compare_closures(
        &[(&a, file, library("11.8")), (&b, file, library("12.4"))],
        &[(&c, file, library("12.4 again")), (&d, file, library("12.9"))],
    );
    assert_eq!(
        found,
        ["cfoo-12.4/lib/libfoo.so -> cfoo-12.4/lib/libfoo.so", "afoo-11.8/lib/libfoo.so -> dfoo-12.9/lib/libfoo.so"]
    );
    // Two builds of one package: those with the same contents belong together, whatever their order.
    let found = compare_closures(
        &[(&a, file, library("one")), (&store('b', "foo-11.8"), file, library("two"))],
        &[(&store('c', "foo-11.8"), file, library("two")), (&store('d', "foo-11.8"), file, library("three"))],
    );
    assert_eq!(found, ["dfoo-11.8/lib/libfoo.so -> dfoo-11.8/lib/libfoo.so"]);
    // What may be either is neither.
    let found = compare_closures(
        &[(&a, "lib/libx.so.1", library("1")), (&store('b', "foo-12.0"), "lib/libx.so.2", library("2"))],
        &[(&d, "lib/libx.so.3", library("3"))],
    );
    assert_eq!(found, ["+ dfoo-12.9/lib/libx.so.3", "- afoo-11.8/lib/libx.so.1", "- bfoo-12.0/lib/libx.so.2"]);
}

/// Findings go with their files, and what they are about loses its hash and its version.
#[test]
fn a_rebuild_of_a_closure_is_no_change() {
    let release = |letter: char, version: &str| {
        let image = Image::new();
        let package = |name: &str| format!("/nix/store/{}-{name}-{version}", hash(letter));
        let (app, stubs) = (package("app"), package("cuda_cudart") + "-stubs");
        image.put(&format!("{stubs}/lib/stubs/libcuda.so.1"), &stub(Machine::X86_64));
        image.put(
            &format!("{app}/bin/app"),
            &program().needs("libcuda.so.1").runpath(format!("{DRIVER}:{stubs}/lib/stubs:")),
        );
        image
    };
    let (old, rebuilt, next) = (release('a', "1.0"), release('b', "1.0"), release('c', "1.1"));
    for new in [&rebuilt, &next] {
        let other = old.host("/");
        let arguments = ["--against", text(&other), "--skip", "CRP312"];
        let compared = Compared::of(new.run("check", &arguments));
        let [worse, still, gone] = compared.codes();
        assert_eq!((worse.as_str(), gone.as_str()), ("", ""), "{:#}", compared.json);
        assert!(still.contains("CRP201") && still.contains("CRP300"), "{still}");
    }
}

// --- inputs ------------------------------------------------------------------------------------------------------------

#[test]
fn images_lists_trees_and_documents_are_compared_with_each_other() {
    let objects = |path: &str| {
        [("opt/lib/libapp.so", linked().runpath(path)), ("opt/driver/libcuda.so.1", driver("libcuda.so.1"))]
    };
    let (right, wrong) = (objects("$ORIGIN/../driver"), objects("/nowhere"));
    let tree = Tree::in_memory();
    for (name, objects) in [("old", &right), ("new", &wrong)] {
        let layer = objects.iter().fold(Layer::new(), |layer, (path, spec)| layer.file(path, spec.build()));
        tree.file(format!("{name}.tar"), &archive(&build::Image::of([layer]).layout(Pack::Gzip)));
        for (path, spec) in objects {
            tree.file(format!("{name}/{path}"), &spec.build());
        }
    }
    let check = |arguments: &[&str]| {
        let mut program = binary();
        program.current_dir(tree.path()).args(["check", "--json", "--skip", "CRP604,CRP305,CRP801"]).args(DRIVER_HERE);
        run(program.args(arguments))
    };
    tree.file("saved.json", check(&["old.tar", "-v", "--container", "none"]).bytes());
    for arguments in [
        &["new.tar", "--against", "old.tar", "--container", "none"][..],
        &["new.tar", "--against", "old", "--container", "none"],
        &["new.tar", "--against", "saved.json", "--container", "none"],
        &["--root", "new", "--against", "old"],
        &["--root", "new", "opt", "--against", "old"],
    ] {
        let compared = Compared::of(check(arguments));
        assert_eq!(compared.codes(), ["CRP100 CRP900", "", ""], "{arguments:?}: {:#}", compared.json);
        assert_eq!(compared.files(), ["changed /opt/lib/libapp.so"], "{arguments:?}");
    }
    // A list has no root of its own.
    tree.file("list", b"new/opt/lib/libapp.so\nnew/opt/driver/libcuda.so.1\n");
    let listed = Compared::of(check(&["--files-from", "list", "--against", "old/opt"]));
    assert_eq!(listed.codes(), ["CRP100 CRP900", "", ""], "{:#}", listed.json);
    assert_eq!(listed.files(), ["changed new/opt/lib/libapp.so"]);
    // What must be there differs.
    let compared = Compared::of(check(&["new", "--against", "old.tar", "--container", "none"]));
    assert_eq!(compared.codes_of("findings"), "CRP100 CRP900 CRP903", "{:#}", compared.json);
    assert_eq!(compared.files(), ["changed new/opt/lib/libapp.so"]);
    // An image that cannot be judged is nothing to compare with.
    tree.file("cut.tar", &std::fs::read(tree.join("old.tar")).unwrap()[..2000]);
    check(&["new.tar", "--against", "cut.tar"]).assert_code(2, "a cut image");
}

/// One host of several is enough.
#[test]
fn a_verdict_on_one_kind_of_host_counts() {
    use crate::container::scene::{baked, debian, save};
    let tree = Tree::in_memory();
    let old = save(&tree, &debian());
    let old = {
        let kept = tree.join("old.tar");
        std::fs::rename(old, &kept).unwrap();
        kept
    };
    let shadowed: Vec<_> = debian().into_iter().chain([baked("/usr/local/lib/libcuda.so.1")]).collect();
    let new = save(&tree, &shadowed);
    let compare = |new: &Path, old: &Path| {
        Compared::of(run(binary().args(["check", "--json", "--skip", "CRP604"]).arg(new).arg("--against").arg(old)))
    };
    let worse = compare(&new, &old);
    let findings = findings(&worse.json["findings"]);
    let told = findings.iter().find(|finding| finding.code == "CRP900" && finding.about == "libcuda.so.1").unwrap();
    assert!(told.message.contains("on a host like ubuntu"), "{told:?}");
    assert_eq!(compare(&old, &new).codes_of("findings"), "");
}

// --- formats -----------------------------------------------------------------------------------------------------------

/// Formats that list findings list what is new or worse, and nothing else.
#[test]
fn every_format_tells_what_is_worse() {
    let bad = || linked().runpath("$ORIGIN/../driver:");
    let releases =
        Releases::of(&[(APP, right()), ("lib/libold.so", bad())], &[(APP, linked()), ("lib/libold.so", bad())]);
    for format in FORMATS {
        let output = releases.check(&["new", "--against", "old", "--format", format]);
        output.assert_code(1, format);
        if format != "json" {
            let codes = ["CRP100", "CRP900", "CRP300"].map(|code| match format {
                "sarif" => {
                    let results = output.json()["runs"][0]["results"].clone();
                    results.as_array().unwrap().iter().any(|result| result["ruleId"] == code)
                }
                _ => output.stdout.contains(&format!("{code} ")),
            });
            assert_eq!(codes, [true, true, false], "{format}: {}", output.stdout);
        }
    }
}

#[test]
fn documents_are_as_their_schema_says() {
    let test = "documents_are_as_their_schema_says";
    if !require("/usr/bin/python3", test) || !has_jsonschema(test) {
        return;
    }
    let documents = Tree::in_memory();
    let changes = changes();
    for (number, change) in changes.iter().enumerate() {
        let releases = Releases::of(&change.old, &change.new);
        let (forth, back) = (releases.compare(change.asked), releases.back(change.asked));
        documents.file(format!("documents/{number}.json"), forth.run.bytes());
        documents.file(format!("documents/{number}-back.json"), back.run.bytes());
    }
    let schema = documents.file("schema.json", invoke(["rules", "--schema=against"]).bytes());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/check/validate.py");
    let mut python = command("/usr/bin/python3");
    let validated = expect(python.arg(script).arg(schema).arg(documents.join("documents")), 0);
    assert!(validated.stdout.contains(&format!("{} documents, 0 bad", 2 * changes.len())), "{}", validated.stdout);
}

/// The text format, as a golden to be read.
#[test]
fn comparisons_for_people() {
    let releases = Releases::of(
        &[
            (APP, right()),
            ("lib/libkernels.so.1.0", kernels([Entry::cubin(87), Entry::cubin(90)])),
            ("lib/libold.so", linked().runpath("$ORIGIN/../driver:")),
            ("lib/libsame.so", library()),
            ("lib/libgone.so", linked()),
        ],
        &[
            (APP, linked().runpath("/opt/other")),
            ("lib/libkernels.so.1.1", kernels([Entry::cubin(90), Entry::ptx(90)])),
            ("lib/libold.so", linked().runpath("$ORIGIN/../driver:")),
            ("lib/libsame.so", library()),
            ("lib/libnew.so", library().carries("new")),
        ],
    );
    let transcript = |arguments: &str| {
        let run = releases.check(&arguments.split(' ').collect::<Vec<_>>());
        let run = run.replace(text(releases.0.path()), "TREE");
        assert_eq!(run.stderr, "", "{arguments}");
        format!("$ cuda-runpath check {arguments}\n{}-- exit {}\n", run.stdout, run.code)
    };
    let transcripts = [
        "new --against old --arch 8.7 --skip CRP503",
        "new --against old -v",
        "old --against new",
        "new --against old -q",
        "new --against new",
        "new --against old --format github",
        "new --against old --json",
    ]
    .map(transcript);
    snapbox::assert_data_eq!(transcripts.join("\n"), snapbox::file!["../goldens/against.txt"].raw());
}
