//! A kill on every system call that changes a file.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::site::{Case, Inode, Loads, Site, all_ways, few_cases};
use super::strace::{Call, can_trace};
use crate::harness::run::KILLED;
use crate::harness::{Contents, MODES, Run, for_all};

/// What a strategy's edits lived through.
#[derive(Clone, Copy, Default)]
struct Count {
    calls: usize,
    old: usize,
    new: usize,
}

#[test]
fn a_kill_leaves_a_file_that_loads_and_can_be_fixed() {
    if !can_trace("a_kill_leaves_a_file_that_loads_and_can_be_fixed") {
        return;
    }
    let all = all_ways();
    let counts = Mutex::new(BTreeMap::new());
    for_all(&all, |(case, inode, mode)| {
        let count = kill_everywhere(case, *inode, mode);
        counts.lock().unwrap().insert((mode.concat(), *inode, case.strategy, case.name), count);
        Ok(())
    });
    let counts = counts.into_inner().unwrap();
    assert_eq!(counts.len(), all.len());
    for ((mode, inode, strategy, name), Count { calls, old, new }) in &counts {
        let what = format!("{mode:10} {inode:6?} {strategy:10} {name:28}");
        println!("{what} {calls:2} calls: old path after {old:2}, new after {new:2}");
        assert!(old + new == *calls && *old > 0, "{name}");
    }
}

fn kill_everywhere(case: &Case, inode: Inode, mode: &[&str]) -> Count {
    let site = Site::with(case, inode);
    let new = site.edited(mode);
    site.reset();
    let fix = site.fix(mode);
    let (run, calls) = fix.calls(&site.object);
    run.assert_code(0, case.name);
    let is_replaced = calls.iter().any(|call| call.name.starts_with("rename"));
    let mut count = Count::default();
    for call in calls.iter().filter(|call| call.changes_files()) {
        let told = format!("{} {inode:?} {mode:?}, killed at {}", case.name, call.text);
        site.reset();
        assert_killed(&fix.run_with(&[call.inject("signal=SIGKILL")]), &told);
        count.calls += 1;
        match site.loads() {
            Loads::Old => count.old += 1,
            Loads::New => count.new += 1,
            Loads::Not(said) => panic!("{told}: {said}"),
        }
        let left = site.strangers();
        if is_replaced {
            let now = site.now();
            assert!(now == site.old || now == new, "{told}: {now:?}");
            assert!(left.len() <= 1 && left.iter().all(|name| name.starts_with(".cuda-runpath-")), "{told}: {left:?}");
        } else {
            assert!(left.is_empty(), "{told}: {left:?}");
        }
        assert_fixed(&site, mode, &new, &told);
        assert_eq!(site.strangers(), left, "{told}");
    }
    count
}

/// The run that follows brings the object to where an undisturbed one does, byte for byte.
fn assert_fixed(site: &Site, mode: &[&str], new: &Contents, told: &str) {
    let again = site.fix(mode).run();
    again.assert_code(0, told);
    assert_eq!(&site.now(), new, "{told}\n{}", again.stdout);
    assert_eq!(site.loads(), Loads::New, "{told}");
}

fn assert_killed(run: &Run, told: &str) {
    assert_eq!(run.code, KILLED, "{told}: not killed\n{}{}", run.stdout, run.stderr);
}

/// The calls of the run that comes upon what a killed one left.
fn calls_after(site: &Site, mode: &[&str], told: &str) -> Vec<Call> {
    let (run, calls) = site.fix(mode).calls(&site.object);
    run.assert_code(0, told);
    assert!(run.stdout.contains("an edit that was interrupted was taken back first"), "{told}\n{}", run.stdout);
    calls.into_iter().filter(Call::changes_files).collect()
}

#[test]
fn a_kill_while_an_edit_is_taken_back_leaves_a_file_that_loads() {
    if !can_trace("a_kill_while_an_edit_is_taken_back_leaves_a_file_that_loads") {
        return;
    }
    for_all(&few_cases(), |case| {
        let site = Site::new(case);
        let new = site.edited(&["--in-place"]);
        site.reset();
        let fix = site.fix(&["--in-place"]);
        let calls: Vec<_> = fix.calls(&site.object).1.into_iter().filter(Call::changes_files).collect();
        // Hardly begun, half done, all but done.
        for call in [&calls[1], &calls[calls.len() / 2], &calls[calls.len() - 1]] {
            let told = format!("{}, first killed at {}", case.name, call.text);
            // A journal is for its inode: a copy of what was left is another file.
            let kill = || {
                site.reset();
                assert_killed(&fix.run_with(&[call.inject("signal=SIGKILL")]), &told);
            };
            for mode in MODES {
                kill();
                for again in calls_after(&site, mode, &told) {
                    let told = format!("{told}, {mode:?} then at {}", again.text);
                    kill();
                    assert_killed(&site.fix(mode).run_with(&[again.inject("signal=SIGKILL")]), &told);
                    assert!(!matches!(site.loads(), Loads::Not(_)), "{told}: {:?}", site.loads());
                    assert_fixed(&site, mode, &new, &told);
                }
            }
        }
        Ok(())
    });
}
