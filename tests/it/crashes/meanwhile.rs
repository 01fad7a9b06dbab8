//! Another process that changes the file between any two system calls of an edit.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;

use super::site::{Case, Site, few_cases, large_case, many_pages_case};
use super::strace::{Call, can_trace};
use crate::elfgen::{Machine, Spec};
use crate::harness::{Contents, IN_PLACE, MODES, REPLACE, Run, Snapshot, command, for_all, require};

/// What another process does to the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Overwritten,
    Grown,
    Cut,
    /// Another file takes its name.
    Replaced,
    Removed,
}

const CHANGES: [Change; 5] = [Change::Overwritten, Change::Grown, Change::Cut, Change::Replaced, Change::Removed];

impl Change {
    fn make(self, site: &Site) {
        let object = site.object.as_path();
        let open = || File::options().write(true).open(object).unwrap();
        match self {
            Self::Overwritten => {
                let len = fs::metadata(object).unwrap().len();
                open().write_all_at(&vec![b'Z'; usize::try_from(len).unwrap()], 0).unwrap();
            }
            Self::Grown => File::options().append(true).open(object).unwrap().write_all(&[b'P'; 5000]).unwrap(),
            Self::Cut => open().set_len(100).unwrap(),
            Self::Replaced => {
                let other = site.beside("other");
                let bytes = Spec::library(Machine::X86_64).runpath("$ORIGIN/old").exports("another").build();
                fs::write(&other, bytes).unwrap();
                fs::rename(other, object).unwrap();
            }
            Self::Removed => fs::remove_file(object).unwrap(),
        }
    }
}

/// Whether a call writes to the object itself. What another process did after the look in front of it cannot be seen before
/// it is made, only afterwards.
fn writes_to_the_object(call: Option<&Call>, is_in_place: bool) -> bool {
    is_in_place && call.is_some_and(|call| ["pwrite64", "ftruncate"].contains(&call.name.as_str()))
}

#[test]
fn what_somebody_else_does_meanwhile_is_seen_and_stays() {
    if !can_trace("what_somebody_else_does_meanwhile_is_seen_and_stays") {
        return;
    }
    let small = few_cases().into_iter().filter(Case::is_small);
    let cases = small.flat_map(|case| MODES.map(|mode| (case.clone(), mode)));
    let all: Vec<_> = cases.flat_map(|(case, mode)| CHANGES.map(|change| (case.clone(), mode, change))).collect();
    for_all(&all, |(case, mode, change)| {
        let site = Site::new(case);
        let calls = site.fix(mode).calls(&site.object).1;
        let is_in_place = !calls.iter().any(|call| call.name.starts_with("rename"));
        let mut seen = 0;
        for (index, call) in calls.iter().enumerate() {
            let next = calls.get(index + 1);
            let told = format!("{} {mode:?}, {change:?} after {}", case.name, call.text);
            let run = change_after(&site, mode, call, *change, |foreign, now, run| {
                if run.code == 2 {
                    seen += 1;
                    assert!(run.stderr.contains(site.object.to_str().unwrap()), "{told}\n{}", run.stderr);
                }
                let is_blind = writes_to_the_object(next, is_in_place);
                let destroys = matches!(change, Change::Overwritten | Change::Cut);
                assert!(!(is_blind && destroys) || run.code == 2, "{told}: not seen\n{}", run.stdout);
                let is_theirs = is_theirs(&site, *change, foreign, now, run);
                assert!(is_blind || is_theirs, "{told}: {now:?}\n{}", run.stderr);
            });
            run.assert_orderly(&told);
            assert!(site.strangers().is_empty(), "{told}: {:?}", site.strangers());
        }
        // What happens before it is read is in what is read; from then on, before the last look, everything is seen.
        let read = calls.iter().position(|call| call.name == "pread64").unwrap_or(0);
        assert!(seen >= (calls.len() - read) / 2, "{} {mode:?}, {change:?}: seen {seen} of {}", case.name, calls.len());
        Ok(())
    });
}

/// Lets the change happen when a call has returned; `judge` gets what it left, what there is in the end, and the run.
fn change_after(
    site: &Site,
    mode: &[&str],
    call: &Call,
    change: Change,
    judge: impl FnOnce(Option<&Contents>, Option<&Contents>, &Run),
) -> Run {
    site.reset();
    let stopped = site.fix(mode).stop_after(call);
    change.make(site);
    let now = || site.object.exists().then(|| site.now());
    let foreign = now();
    let run = stopped.finish();
    judge(foreign.as_ref(), now().as_ref(), &run);
    run
}

/// The file is as the other process left it, but for this program's own bytes, which went. Or it changed so early that
/// what was edited is the other file.
fn is_theirs(site: &Site, change: Change, foreign: Option<&Contents>, now: Option<&Contents>, run: &Run) -> bool {
    let (Some(foreign), Some(now)) = (foreign, now) else { return foreign.is_none() && now.is_none() };
    if run.code == 0 && now != foreign {
        return run.stdout.contains("fixed ") && now == &fixed(site, foreign);
    }
    // Who wrote over everything wrote over this program's bytes too.
    let was_all_theirs = change == Change::Overwritten;
    let is_made_of_theirs = || now.is_made_of(foreign, if was_all_theirs { foreign } else { &site.old });
    let len_fits = [foreign.len, site.old.len].contains(&now.len);
    now == foreign || (run.code == 2 && len_fits && is_made_of_theirs())
}

/// What an undisturbed run makes of a file.
fn fixed(site: &Site, contents: &Contents) -> Contents {
    contents.write_to(&site.object);
    let run = site.fix(&["--in-place"]).run();
    run.assert_orderly("what another process made");
    site.now()
}

/// A large file is mapped, and a mapping of a file that is cut is deadly where no handler puts zeros in its place.
#[test]
fn a_large_file_that_is_cut_ends_no_run() {
    if !can_trace("a_large_file_that_is_cut_ends_no_run") {
        return;
    }
    for mode in MODES {
        let site = Site::new(&large_case());
        let calls = site.fix(mode).calls(&site.object).1;
        assert!(calls.iter().any(|call| call.name == "mmap"), "it is not mapped");
        for (index, call) in calls.iter().enumerate() {
            let told = format!("{mode:?}, cut after {}", call.text);
            let is_blind = writes_to_the_object(calls.get(index + 1), mode == IN_PLACE);
            let run = change_after(&site, mode, call, Change::Cut, |foreign, now, run| {
                let is_theirs = is_theirs(&site, Change::Cut, foreign, now, run);
                assert!(is_theirs || is_blind, "{told}: {:?} {now:?}\n{}", run.code, run.stderr);
            });
            run.assert_orderly(&told);
            assert!(run.code == 2 || index > calls.len() / 2, "{told}: {:?}", run.code);
            assert!(site.strangers().is_empty(), "{told}: {:?}", site.strangers());
        }
    }
}

/// What is smaller is read at once: a cut is a failure with a name.
#[test]
fn a_file_of_many_pages_that_is_cut_is_named() {
    if !can_trace("a_file_of_many_pages_that_is_cut_is_named") {
        return;
    }
    for mode in MODES {
        let site = Site::new(&many_pages_case());
        assert!(site.old.len > 128 << 10);
        for call in &site.fix(mode).calls(&site.object).1 {
            let run = change_after(&site, mode, call, Change::Cut, |_, _, _| {});
            run.assert_orderly(&call.text);
            assert!(run.code == 0 || run.stderr.contains(site.object.to_str().unwrap()), "{}", run.stderr);
        }
    }
}

/// What stands under the name when the walk is over is not always what is opened.
#[test]
fn what_is_no_file_any_more_is_refused_by_name() {
    let test = "what_is_no_file_any_more_is_refused_by_name";
    if !can_trace(test) || !require("mkfifo", test) {
        return;
    }
    for mode in MODES {
        let site = Site::new(&few_cases()[0]);
        let calls = site.fix(mode).calls(&site.object).1;
        // It is looked at first, and by name only then.
        let looks = |call: &Call| ["\"object\"", "O_PATH", "O_NONBLOCK"].iter().all(|word| call.text.contains(word));
        let opened = calls.iter().position(looks).unwrap();
        let victim = site.beside("victim");
        for kind in ["link", "pipe", "folder", "socket"] {
            site.reset();
            fs::copy(&site.object, &victim).unwrap();
            let before = Snapshot::of(&victim);
            let stopped = site.fix(mode).stop_after(&calls[opened - 1]);
            fs::remove_file(&site.object).unwrap();
            match kind {
                "link" => std::os::unix::fs::symlink(&victim, &site.object).unwrap(),
                "pipe" => assert!(command("mkfifo").arg(&site.object).status().unwrap().success()),
                "folder" => fs::create_dir(&site.object).unwrap(),
                _ => drop(std::os::unix::net::UnixListener::bind(&site.object).unwrap()),
            }
            let run = stopped.finish();
            run.assert_code(2, kind);
            assert!(run.stderr.contains(site.object.to_str().unwrap()), "{kind}\n{}", run.stderr);
            assert!(site.strangers().is_empty(), "{kind}: {:?}", site.strangers());
            assert_eq!(Snapshot::of(&victim), before, "{kind}");
            let _ = fs::remove_dir(&site.object);
        }
    }
}

/// A run that finds another one at work takes nothing back and breaks nothing.
#[test]
fn of_two_runs_one_is_refused() {
    if !can_trace("of_two_runs_one_is_refused") {
        return;
    }
    for case in few_cases() {
        let site = Site::new(&case);
        let new = site.edited(IN_PLACE);
        site.reset();
        let in_place = site.fix(IN_PLACE);
        let calls = in_place.calls(&site.object).1;
        for call in calls.iter().filter(|call| call.name == "pwrite64") {
            for mode in MODES {
                site.reset();
                let told = format!("{} {mode:?} while another run is at {}", case.name, call.text);
                let first = in_place.stop_after(call);
                let midst = site.now();
                let second = site.fix(mode).run();
                second.assert_code(2, &told);
                assert!(
                    second.stderr.contains("another run of this program is editing it"),
                    "{told}\n{}",
                    second.stderr
                );
                assert_eq!(site.now(), midst, "{told}");
                first.finish().assert_code(0, &told);
                assert_eq!(site.now(), new, "{told}");
            }
        }
        // The one that makes a copy is not in the way; the other file that takes the name is not written over.
        site.reset();
        let replacing = site.fix(REPLACE);
        let calls = replacing.calls(&site.object).1;
        site.reset();
        let first = replacing.stop_after(calls.iter().find(|call| call.name == "fsync").unwrap());
        let second = site.fix(REPLACE).run();
        second.assert_code(0, case.name);
        let first = first.finish();
        first.assert_code(2, case.name);
        assert!(first.stderr.contains("changed by somebody else"), "{}", first.stderr);
        assert_eq!(site.now(), new);
        assert!(site.strangers().is_empty());
    }
}
