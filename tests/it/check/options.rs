//! Which findings count: --only, --skip, --fail-on, allowlists and baselines.

use super::formats::FORMATS;
use super::image::{Checked, Image, findings, text};
use super::objects::{DRIVER, library, linked, stub};
use super::table::cases;
use crate::elfgen::Machine;
use crate::harness::{binary, run};

#[test]
fn only_and_skip_choose_findings_by_code_and_by_name() {
    for case in cases().into_iter().filter(|case| case.raised.is_some()) {
        let (image, title) = (case.image(), case.title());
        let all = case.check(&image, &[]);
        let wanted: Vec<_> = all.findings().into_iter().filter(|finding| finding.code == case.code).collect();
        let only = case.check(&image, &["--only", case.code]);
        assert_eq!(only.findings(), wanted, "{title}");
        let errors = wanted.iter().any(|finding| finding.severity == "error");
        only.run.assert_code(i32::from(errors), &title);
        let skipped = case.check(&image, &["--skip", case.code]);
        let rest: Vec<_> = all.findings().into_iter().filter(|finding| finding.code != case.code).collect();
        assert_eq!(skipped.findings(), rest, "{title}");
    }
}

/// An image with one error, one warning and one note.
fn of_each_kind() -> Image {
    let image = Image::new();
    image.put("/lib/libuser.so.1", &linked().rpath("/opt/x:/opt/x"));
    image.folder("/opt/x", 0o755);
    assert_eq!(image.check::<&str>(&[]).codes(), "CRP100 CRP304 CRP307");
    image
}

#[test]
fn several_codes_in_one_option() {
    let image = of_each_kind();
    assert_eq!(image.check(&["--only", "crp100,rpath-tag"]).codes(), "CRP100 CRP307");
    assert_eq!(image.check(&["--skip", "CRP100", "--skip", "duplicate-entry"]).codes(), "CRP307");
}

#[test]
fn the_exit_code_follows_the_worst_finding() {
    let image = of_each_kind();
    for (arguments, error, warning) in [
        (&[][..], 1, 1),
        (&["--skip", "CRP100"], 0, 1),
        (&["--skip", "CRP100,CRP307"], 0, 0),
        (&["--skip", "CRP100,CRP304,CRP307"], 0, 0),
    ] {
        for (fail_on, code) in [("error", error), ("warning", warning), ("never", 0)] {
            for format in FORMATS {
                let mut program = binary();
                program.args(["check", "--format", format, "--fail-on", fail_on, "--root"]).arg(image.host("/"));
                let run = run(program.args(arguments));
                run.assert_code(code, &format!("{arguments:?} {fail_on} {format}"));
            }
        }
    }
}

fn with_allowlist(image: &Image, rows: &str, arguments: &[&str]) -> Checked {
    let list = image.beside("allow.toml");
    std::fs::write(&list, rows).unwrap();
    let all = [&["--allow", text(&list)], arguments].concat();
    image.check(&all)
}

fn row(code: &str, path: &str) -> String {
    format!("[[allow]]\ncode = \"{code}\"\npath = \"{path}\"\nreason = \"because of {code}\"\n")
}

#[test]
fn an_allowlist_excuses_what_its_rows_match() {
    let image = of_each_kind();
    let checked = with_allowlist(&image, &row("CRP100", "/lib/*.so.1"), &[]);
    checked.run.assert_code(0, "the only error is excused");
    assert_eq!(checked.codes(), "CRP304 CRP307");
    let allowed = &checked.json["allowed"];
    assert_eq!(findings(allowed).len(), 1);
    assert_eq!((&allowed[0]["code"], &allowed[0]["reason"]), (&"CRP100".into(), &"because of CRP100".into()));
    assert_eq!(checked.json["summary"]["allowed"], 1);
    // A glob for another path.
    let checked = with_allowlist(&image, &row("CRP100", "/bin/*"), &[]);
    assert_eq!(checked.codes(), "CRP100 CRP304 CRP307 CRP703");
    // A name stands for a code.
    assert_eq!(with_allowlist(&image, &row("driver-unreachable", "**"), &[]).codes(), "CRP304 CRP307");
}

/// A finding about everything together has no path.
#[test]
fn a_finding_without_a_path_can_be_excused() {
    let image = Image::new();
    image.put("/lib/liba.so", &library());
    for path in ["**", "*", ""] {
        let checked = with_allowlist(&image, &row("CRP109", path), &["--require-consumer"]);
        assert_eq!(checked.codes(), "", "{path:?}");
    }
    let checked = with_allowlist(&image, &row("CRP109", "/lib/*"), &["--require-consumer"]);
    assert_eq!(checked.codes(), "CRP109 CRP703");
}

/// What an option hides is not gone: its row is not called unused.
#[test]
fn a_row_for_a_finding_that_is_not_asked_for_is_not_unused() {
    let image = of_each_kind();
    let rows = row("CRP100", "**") + &row("CRP307", "**");
    assert_eq!(with_allowlist(&image, &rows, &["--only", "CRP307"]).codes(), "");
    assert_eq!(with_allowlist(&image, &rows, &["--skip", "CRP307,CRP304"]).codes(), "");
    // CRP703 is a finding as any other.
    let unused = row("CRP200", "**");
    assert_eq!(with_allowlist(&image, &unused, &[]).codes(), "CRP100 CRP304 CRP307 CRP703");
    assert_eq!(with_allowlist(&image, &unused, &["--skip", "CRP703"]).codes(), "CRP100 CRP304 CRP307");
    assert_eq!(with_allowlist(&image, &unused, &["--only", "CRP200"]).codes(), "");
    assert_eq!(with_allowlist(&image, &unused, &["--only", "CRP200,CRP703"]).codes(), "CRP703");
}

/// Two rows for one finding: the one that holds counts, and neither is unused.
#[test]
fn rows_may_overlap() {
    let image = of_each_kind();
    let rows = row("CRP100", "/lib/*") + &row("CRP100", "**");
    assert_eq!(with_allowlist(&image, &rows, &[]).codes(), "CRP304 CRP307");
    let rows = row("CRP100", "/lib/*") + "until = 2001-01-01\n" + &row("CRP100", "**");
    let checked = with_allowlist(&image, &rows, &[]);
    assert_eq!(checked.codes(), "CRP304 CRP307 CRP704", "the row without a date excuses it");
}

fn baseline_of(image: &Image, checked: &Checked) -> String {
    let file = image.beside("baseline.json");
    std::fs::write(&file, &checked.run.stdout).unwrap();
    text(&file).to_owned()
}

#[test]
fn a_baseline_excuses_what_was_there_before() {
    let image = of_each_kind();
    let baseline = baseline_of(&image, &image.check::<&str>(&[]));
    let again = image.check(&["--baseline", &baseline]);
    again.run.assert_code(0, "nothing is new");
    assert_eq!(again.codes(), "");
    assert_eq!(again.json["summary"]["allowed"], 3);
    // What is new is found: in another file, and about another entry of the same file.
    image.put("/lib/libnew.so", &library().rpath("$ORIGIN"));
    image.put("/lib/libuser.so.1", &linked().rpath("/opt/x:/opt/x:/opt/y:/opt/y"));
    image.folder("/opt/y", 0o755);
    let new: Vec<_> = image.check(&["--baseline", &baseline]).findings();
    let new: Vec<_> = new.iter().map(|finding| (finding.code.as_str(), finding.about.as_str())).collect();
    assert_eq!(new, [("CRP307", "DT_RPATH"), ("CRP304", "/opt/y")]);
}

/// Another build has other hashes in its store paths, and the same findings.
#[test]
fn a_baseline_survives_a_rebuild() {
    let image_of = |hash: char| {
        let image = Image::new();
        let store = |name: &str| format!("/nix/store/{}-{name}", hash.to_string().repeat(32));
        image.put(&store("stubs/lib/stubs/libcuda.so.1"), &stub(Machine::X86_64));
        image.put(&store("app/lib/libuser.so.1"), &linked().runpath(store("stubs/lib/stubs")));
        image
    };
    let (old, new) = (image_of('0'), image_of('a'));
    let baseline = baseline_of(&old, &old.check_closure::<&str>(&[]));
    assert_eq!(new.check_closure::<&str>(&[]).codes(), "CRP200 CRP201 CRP202");
    assert_eq!(new.check_closure(&["--baseline", &baseline]).codes(), "");
}

/// A row stays used when the baseline has its finding too.
#[test]
fn an_allowlist_and_a_baseline_go_together() {
    let image = of_each_kind();
    let baseline = baseline_of(&image, &image.check::<&str>(&[]));
    let checked = with_allowlist(&image, &row("CRP100", "**"), &["--baseline", &baseline]);
    assert_eq!(checked.codes(), "");
    let reasons: Vec<_> = checked.json["allowed"].as_array().unwrap().iter().map(|f| f["reason"].clone()).collect();
    assert!(reasons.contains(&"because of CRP100".into()), "{reasons:?}");
}

/// The list for the target has what only the target can tell, and nothing that failed.
#[test]
fn the_runtime_list_has_what_the_target_must_answer() {
    let image = Image::new();
    image.put("/lib/libuser.so.1", &linked().imports("dlopen").carries("libnvidia-ml.so.1").runpath(DRIVER));
    image.put("/lib/libbad.so", &linked());
    let file = image.beside("runtime.json");
    image.check(&["--runtime-list", text(&file)]);
    let list: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!((&list["schema"], &list["command"]), (&"cuda-runpath/1".into(), &"runtime-list".into()));
    let requests = list["requests"].as_array().unwrap();
    let told: Vec<_> =
        requests.iter().map(|r| (r["path"].as_str(), r["soname"].as_str(), r["kind"].as_str())).collect();
    let user = Some("/lib/libuser.so.1");
    assert_eq!(told, [(user, Some("libcuda.so.1"), Some("needed")), (user, Some("libnvidia-ml.so.1"), Some("string"))]);
}
