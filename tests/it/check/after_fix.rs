//! What `fix` repairs, `check` no longer finds: over every case of the table.

use std::collections::BTreeSet;

use super::image::{Checked, Finding, Image};
use super::objects::{COMPAT, DRIVER, LINK, compat};
use super::table::{Case, Scope, cases};
use crate::elfgen::Machine;
use crate::harness::{binary, run};

/// Rules that `fix` repairs, and the option that each needs.
const REPAIRED: [(&str, &[&str]); 14] = [
    ("CRP100", &[]),
    ("CRP101", &[]),
    ("CRP103", &[]),
    ("CRP200", &[]),
    ("CRP201", &[]),
    ("CRP300", &[]),
    ("CRP301", &["--clean"]),
    ("CRP302", &["--clean"]),
    ("CRP303", &["--clean"]),
    ("CRP304", &["--dedup"]),
    ("CRP311", &[]),
    ("CRP401", &[]),
    ("CRP402", &["--drop-compat"]),
    ("CRP603", &["--clean"]),
];

/// The same where compat has to be given.
const REPAIRED_WITH_COMPAT: [&str; 1] = ["CRP400"];

#[test]
fn every_rule_that_fix_repairs_is_in_a_table() {
    let mut tested: BTreeSet<String> = REPAIRED.iter().map(|(code, _)| (*code).to_owned()).collect();
    tested.extend(REPAIRED_WITH_COMPAT.map(str::to_owned));
    let rules = super::rules();
    let marked: BTreeSet<String> =
        rules.iter().filter(|(_, rule)| rule["fixable"] == true).map(|(code, _)| code.clone()).collect();
    assert_eq!(tested, marked);
}

/// The arguments of `check` that `fix` has too.
fn shared<'a>(case: &Case, arguments: &'a [String]) -> Vec<&'a str> {
    let mut list = Vec::new();
    for pair in arguments.windows(2) {
        let is_shared = ["--compat", "--driver", "--stub", "--driver-library"].contains(&pair[0].as_str());
        // Where compat is forbidden it is not handed to fix.
        if is_shared && !case.arguments.contains(&"forbid") {
            list.extend([pair[0].as_str(), pair[1].as_str()]);
        }
    }
    list
}

fn fix(image: &Image, arguments: &[&str]) {
    let mut program = binary();
    program.args(["fix", "--in-place"]).args(arguments).arg(image.host("/"));
    let run = run(&mut program);
    // A file that cannot be read is a failure of its own; the others are fixed.
    run.assert_orderly(&format!("{arguments:?}"));
}

/// What should be gone. Directories of stubs that only their content tells stay, behind the driver; and no edit of an
/// object overrules LD_LIBRARY_PATH.
fn left(checked: &Checked, code: &str) -> Vec<Finding> {
    let fixable = checked.json["findings"].as_array().unwrap().iter().map(|finding| finding["fixable"] == true);
    let findings = checked.findings().into_iter().zip(fixable);
    let of_code = findings.filter(|(finding, fixable)| finding.code == code && *fixable);
    of_code.map(|(finding, _)| finding).filter(|finding| !(code == "CRP201" && is_by_content(finding))).collect()
}

fn is_by_content(finding: &Finding) -> bool {
    finding.about == LINK || finding.about == "libcuda.so"
}

#[test]
fn check_after_fix_finds_nothing_that_fix_repairs() {
    let mut repaired = BTreeSet::new();
    for case in cases() {
        let image = case.image();
        let before = case.check(&image, &[]);
        let arguments = case.all_arguments(&image, &[]);
        let needs_compat = REPAIRED_WITH_COMPAT.iter().any(|code| before.codes().contains(code));
        let mut options = shared(&case, &arguments);
        if needs_compat {
            // The package is added, as a user would.
            let libcuda = format!("{COMPAT}/libcuda.so.1");
            if !image.host(&libcuda).exists() {
                // The closures of the table are those of a Jetson.
                let machine = if case.scope == Scope::Closure { Machine::Aarch64 } else { Machine::X86_64 };
                image.put(&libcuda, &compat(machine, r#"{"format":1,"CUDA version":"13.9"}"#));
            }
            options.extend(["--compat", COMPAT]);
        }
        for (code, more) in REPAIRED {
            if before.codes().contains(code) {
                options.extend(more.iter().filter(|option| !options.contains(option)).collect::<Vec<_>>());
            }
        }
        let root = image.host("/");
        if options.contains(&"--clean") {
            options.extend(["--root", root.to_str().unwrap()]);
        }
        fix(&image, &options);
        let after = case.check(&image, &[]);
        for code in REPAIRED.iter().map(|(code, _)| *code).chain(REPAIRED_WITH_COMPAT) {
            // An entry of /usr or of a compiler stays where it has the only copy of what is needed: the program would
            // not start without it. The cases of these two rules need nothing from there.
            if ["CRP303", "CRP603"].contains(&code) && case.code != code {
                continue;
            }
            // A caller that forbids compat says so to fix as well.
            if code == "CRP402" && !options.contains(&"--drop-compat") {
                continue;
            }
            let still = left(&after, code);
            assert!(still.is_empty(), "{}: after fix {options:?}: {still:#?}", case.title());
            if !left(&before, code).is_empty() {
                repaired.insert(code);
            }
        }
        // Nothing new, but for what is left to the target now, and what is wrong with the directory that was added.
        let known: BTreeSet<_> = before.findings().into_iter().map(|finding| (finding.code, finding.path)).collect();
        for finding in after.findings() {
            let was_there = known.contains(&(finding.code.clone(), finding.path.clone()));
            // Unless it is dropped, fix puts compat where it belongs, wanted or not; in compat's own libcuda it puts
            // the driver in front of $ORIGIN. What else lies in the driver directory comes to the front with it. A program's
            // DT_RPATH becomes DT_RUNPATH, which no longer serves what libcuda opens, and the driver is not edited.
            let comes_with_it = ["CRP102", "CRP402", "CRP404", "CRP408", "CRP409", "CRP703"]
                .contains(&finding.code.as_str())
                || (finding.code == "CRP310" && finding.about == DRIVER);
            assert!(was_there || comes_with_it, "{}: new after fix {options:?}: {finding:#?}", case.title());
        }
        // A second run changes nothing, and so neither does its check.
        fix(&image, &options);
        assert_eq!(case.check(&image, &[]).findings(), after.findings(), "{}", case.title());
    }
    let all: BTreeSet<&str> = REPAIRED.iter().map(|(code, _)| *code).chain(REPAIRED_WITH_COMPAT).collect();
    assert_eq!(repaired, all, "each was there before");
}
