//! What the next run goes on with, and what a run that could not be gone on with does not begin.

use std::fs;
use std::os::unix::fs::FileExt as _;

use super::site::{Site, few_cases};
use super::strace::can_trace;
use crate::harness::run::KILLED;
use crate::harness::{IN_PLACE, MODES, Snapshot, invoke};

fn site() -> Site {
    let site = Site::new(&few_cases()[0]);
    site.reset();
    site
}

/// Several names and bytes behind the object: no journal can stand there, and the file cannot be replaced. It is edited if
/// each state on the way is one that a run can plan for, and otherwise not at all.
#[test]
fn what_no_journal_guards_is_gone_on_with_or_not_begun() {
    if !can_trace("crashes::resumed::what_no_journal_guards_is_gone_on_with_or_not_begun") {
        return;
    }
    let payload = b"PAYLOAD".repeat(300);
    let mut tried = 0;
    for case in few_cases() {
        for mode in MODES {
            let site = Site::new(&case);
            let begin = || {
                site.reset();
                let file = fs::OpenOptions::new().write(true).open(&site.object).unwrap();
                file.write_all_at(&payload, file.metadata().unwrap().len()).unwrap();
                let other = site.beside("other-name");
                let _ = fs::remove_file(&other);
                fs::hard_link(&site.object, other).unwrap();
                Snapshot::of(&site.object)
            };
            let before = begin();
            let (ended, calls) = site.fix(mode).calls(&site.object);
            if ended.stderr.contains("no safe place") {
                // Bytes behind it keep some objects from growing.
                continue;
            }
            tried += 1;
            if ended.code != 0 {
                assert!(ended.code == 2 && ended.stderr.contains("no journal can be kept"), "{}", ended.said());
                assert_eq!(Snapshot::of(&site.object), before, "{}", case.name);
                continue;
            }
            let done = fs::read(&site.object).unwrap();
            assert!(done.ends_with(&payload));
            for call in calls.iter().filter(|call| call.changes_files()) {
                begin();
                assert_eq!(site.fix(mode).run_with(&[call.inject("signal=SIGKILL")]).code, KILLED, "{}", call.text);
                site.fix(mode).run().assert_code(0, &call.text);
            }
        }
    }
    assert!(tried > 0);
}

/// A journal is believed where it was written: bytes that came in front of it since are in no step of it.
#[test]
fn a_journal_does_not_take_what_is_behind_the_file() {
    if !can_trace("crashes::resumed::a_journal_does_not_take_what_is_behind_the_file") {
        return;
    }
    let site = site();
    let old = fs::metadata(&site.object).unwrap().len();
    let calls = site.fix(IN_PLACE).calls(&site.object).1;
    let writes: Vec<_> = calls.into_iter().filter(|call| call.name == "pwrite64").collect();
    site.reset();
    assert_eq!(site.fix(IN_PLACE).run_with(&[writes[1].inject("signal=SIGKILL")]).code, KILLED);
    let killed = fs::read(&site.object).unwrap();
    assert!(killed.len() as u64 > old);
    let file = fs::OpenOptions::new().write(true).open(&site.object).unwrap();
    let moved = [b"PAYLOAD", &killed[old as usize..]].concat();
    file.write_all_at(&moved, old).unwrap();
    let ended = site.fix(IN_PLACE).run();
    let now = fs::read(&site.object).unwrap();
    assert!(bstr::ByteSlice::contains_str(&*now, "PAYLOAD"), "{}", ended.said());
}

/// What is reverted already is as the receipt wants it.
#[test]
fn a_revert_is_finished_by_the_next_one() {
    let site = site();
    let before = fs::read(&site.object).unwrap();
    let receipt = site.beside("receipt");
    for mode in MODES {
        site.reset();
        let _ = fs::remove_file(&receipt);
        let mut fix = site.fix(mode);
        fix.arguments(["--receipt"]).arguments([&receipt]).run().assert_code(0, "fix");
        for time in ["first", "second"] {
            invoke(["fix", "--revert", receipt.to_str().unwrap()]).assert_code(0, time);
            assert_eq!(fs::read(&site.object).unwrap(), before, "{mode:?} {time}");
        }
        fs::write(&site.object, b"another file").unwrap();
        invoke(["fix", "--revert", receipt.to_str().unwrap()]).assert_code(2, "another file");
    }
}
