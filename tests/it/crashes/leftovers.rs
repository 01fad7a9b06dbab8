//! The temporary file of a killed run is no object to edit, and no user's file is taken for one.

use std::fs;
use std::path::PathBuf;

use super::site::{Loads, Site, few_cases};
use super::strace::can_trace;
use crate::harness::run::KILLED;
use crate::harness::{MODES, REPLACE, Run, Snapshot, invoke};

/// A site with the temporary file that a kill at the last moment before the new name leaves: a whole edited object.
fn with_leftover() -> (Site, PathBuf) {
    let site = Site::new(&few_cases()[0]);
    let fix = site.fix(REPLACE);
    let calls = fix.calls(&site.object).1;
    site.reset();
    let killed = fix.run_with(&[calls.iter().find(|call| call.name == "renameat2").unwrap().inject("signal=SIGKILL")]);
    assert_eq!(killed.code, KILLED);
    let left = site.strangers();
    assert_eq!(left.len(), 1, "{left:?}");
    let leftover = site.object.with_file_name(left.first().unwrap());
    (site, leftover)
}

/// The folder of the object, without those of its dependencies.
fn everything(site: &Site) -> Vec<String> {
    let folder = site.object.parent().unwrap().to_str().unwrap().to_owned();
    [&folder, "--exclude", "old", "--exclude", "new"].map(str::to_owned).to_vec()
}

#[test]
fn a_leftover_is_named_and_left() {
    if !can_trace("a_leftover_is_named_and_left") {
        return;
    }
    for mode in MODES {
        let (site, leftover) = with_leftover();
        let before = Snapshot::of(&leftover);
        let name = leftover.to_str().unwrap();
        let fix = |more: &[&str]| {
            let all = everything(&site);
            invoke(
                ["fix", "--driver", "$ORIGIN/new"]
                    .into_iter()
                    .chain(more.to_vec())
                    .chain(all.iter().map(String::as_str)),
            )
        };
        let told = fix(&["--dry-run"]);
        told.assert_code(0, "--dry-run");
        assert!(told.stdout.contains(&format!("skipped {name}: a temporary file of cuda-runpath")), "{}", told.stdout);
        let document = fix(&[&["--json"], mode].concat());
        document.assert_code(0, name);
        let files = document.files();
        let left = &files[&leftover];
        assert_eq!((&left["outcome"], &left["reason"]), (&"skipped".into(), &"temporary".into()), "{left}");
        assert_eq!(files[&site.object]["outcome"], "fixed", "{files:?}");
        assert_eq!(site.loads(), Loads::New);
        fix(&["--check"]).assert_code(0, "everything is right");
        // Named by a user it is treated as it is in a listed folder.
        for arguments in [vec!["fix", "--in-place", "--driver", "/another", name], vec!["show", name]] {
            let named = invoke(arguments);
            named.assert_code(0, name);
            assert!(named.stdout.contains("a temporary file of cuda-runpath"), "{}", named.stdout);
        }
        assert_eq!(Snapshot::of(&leftover), before, "the leftover");
        assert_eq!(site.strangers().len(), 1);
    }
}

/// A name that only looks similar is a user's, and so is its file.
#[test]
fn a_similar_name_is_no_leftover() {
    if !can_trace("a_similar_name_is_no_leftover") {
        return;
    }
    for mode in MODES {
        let site = Site::new(&few_cases()[0]);
        let names = [
            ".cuda-runpath-",
            ".cuda-runpath-notes",
            ".cuda-runpath-library",
            ".cuda-runpath-ab_def",
            ".cuda-runpath-abcdef.so",
            "cuda-runpath-abcdef",
            ".CUDA-runpath-abcdef",
        ];
        for name in names {
            fs::copy(&site.object, site.object.with_file_name(name)).unwrap();
        }
        let mut arguments = vec!["fix".to_owned(), "--driver".to_owned(), "$ORIGIN/new".to_owned()];
        arguments.extend(mode.iter().map(|argument| (*argument).to_owned()));
        arguments.extend(everything(&site));
        let fixed: Run = invoke(&arguments);
        fixed.assert_code(0, "similar names");
        let wanted = fs::read(&site.object).unwrap();
        for name in names {
            assert!(fs::read(site.object.with_file_name(name)).unwrap() == wanted, "{name}\n{}", fixed.stdout);
        }
        assert_eq!(site.strangers().len(), names.len());
    }
}

/// The other run's temporary file is not opened, not counted as a failure when it goes, and not removed.
#[test]
fn a_run_at_work_keeps_its_temporary_file() {
    if !can_trace("a_run_at_work_keeps_its_temporary_file") {
        return;
    }
    let site = Site::new(&few_cases()[0]);
    let new = site.edited(REPLACE);
    site.reset();
    let fix = site.fix(REPLACE);
    let calls = fix.calls(&site.object).1;
    for call in calls.iter().filter(|call| call.name == "pwrite64") {
        site.reset();
        let first = fix.stop_after(call);
        let left = site.strangers();
        assert_eq!(left.len(), 1);
        let before = Snapshot::of(&site.object.with_file_name(left.first().unwrap()));
        let all = everything(&site);
        let looked =
            invoke(["fix", "--check", "--driver", "/another"].into_iter().chain(all.iter().map(String::as_str)));
        looked.assert_code(1, "only a look");
        let after = Snapshot::of(&site.object.with_file_name(left.first().unwrap()));
        assert_eq!(after, before, "the temporary file");
        first.finish().assert_code(0, "the run that was looked at");
        assert_eq!(site.now(), new);
    }
}

#[test]
fn a_run_that_is_killed_while_it_copies_leaves_the_old_file() {
    if !can_trace("a_run_that_is_killed_while_it_copies_leaves_the_old_file") {
        return;
    }
    let site = Site::new(&few_cases()[0]);
    let fix = site.fix(REPLACE);
    let calls = fix.calls(&site.object).1;
    // Between calls, not only in front of one.
    for call in calls.iter().filter(|call| call.changes_files() && call.name != "renameat2" && call.name != "unlinkat")
    {
        site.reset();
        fix.stop_after(call).kill();
        assert_eq!(site.now(), site.old, "{}", call.text);
        assert_eq!(site.strangers().len(), 1, "{}", call.text);
    }
}
