//! A failure of every system call that has to do with the file.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::site::{Case, Loads, Site, all_ways, cases, few_cases};
use super::strace::{Call, can_trace};
use crate::harness::{Contents, MODES, Run, for_all, long};

/// What may fail without any harm: sharing blocks, finding holes, locking, changing places with the copy, syncing the
/// directory, removing the old file. What is lost by that is told in a note.
fn is_dispensable(call: &Call) -> bool {
    let opens_a_directory = call.name.starts_with("open") && !call.text.contains("object");
    // Where one place of the key cannot be used the next one is.
    if call.asks_where_it_is() || call.is_of_the_key {
        return true;
    }
    let of_replacing = ["ioctl", "lseek", "flistxattr", "renameat2", "unlinkat", "fsync"];
    // Without its owner there is no copy, but the file itself.
    let of_copies = ["fchown", "fsetxattr"];
    let of_both = ["fgetxattr", "flock", "fstatfs"];
    // Whether the name has left other names of the file is asked after the edit.
    let looks_again = call.text.contains("O_PATH") || (call.name == "statx" && call.text.contains("AT_EMPTY_PATH"));
    opens_a_directory
        || lists_what_is_beside(call)
        || looks_around(call)
        || looks_again
        || [&of_replacing[..], &of_copies, &of_both].concat().contains(&call.name.as_str())
}

/// Whether it lists the object's directory, for signatures that may lie beside: where it cannot be listed, they are looked
/// for by name.
fn lists_what_is_beside(call: &Call) -> bool {
    call.name == "getdents64" || (call.name.starts_with("open") && call.text.contains("\".\", O_RDONLY|"))
}

/// Whether it looks at where an entry of the path leads: what cannot be looked at leads nowhere.
fn looks_around(call: &Call) -> bool {
    let asks_a_directory = call.name == "fstat" && call.text.contains("S_IFDIR");
    asks_a_directory || call.name == "readlinkat" || (call.text.contains("O_PATH") && !call.text.contains("\"object\""))
}

/// Whether the harm is that something else is not kept.
fn costs_something(call: &Call) -> bool {
    let costly = ["flistxattr", "fsetxattr", "fchown", "fsync", "unlinkat"];
    costly.contains(&call.name.as_str()) || call.text.contains("user.test")
}

/// The failure is named: the file, what was tried, what the system said.
fn assert_named(site: &Site, run: &Run, said: &str, told: &str) {
    run.assert_code(2, told);
    let path = site.object.to_str().unwrap();
    let line = run.stderr.lines().find(|line| line.contains(path)).unwrap_or_default();
    assert!(line.contains("cannot ") && line.contains(said), "{told}\n{}", run.stderr);
}

#[test]
fn a_failed_call_leaves_the_old_file_or_does_no_harm() {
    if !can_trace("a_failed_call_leaves_the_old_file_or_does_no_harm") {
        return;
    }
    let counts = Mutex::new(BTreeMap::new());
    for_all(&all_ways(), |(case, inode, mode)| {
        let site = Site::with(case, *inode);
        let new = site.edited(mode);
        site.reset();
        let fix = site.fix(mode);
        let (mut restored, mut harmless) = (0, 0);
        for call in fix.calls(&site.object).1 {
            site.reset();
            let run = fix.run_with(&[call.inject("error=EIO")]);
            let told = format!("{} {inode:?} {mode:?}, EIO from {}", case.name, call.text);
            if run.code == 0 {
                assert!(is_dispensable(&call), "{told}: no failure");
                assert!(!costs_something(&call) || run.stdout.contains("note: "), "{told}\n{}", run.stdout);
                assert_eq!(site.now(), new, "{told}");
                let left = site.strangers();
                let told_of = |name: &String| run.stdout.contains(name);
                assert!(left.is_empty() || (call.name == "unlinkat" && left.iter().all(told_of)), "{told}: {left:?}");
                harmless += 1;
            } else {
                assert_named(&site, &run, "Input/output error", &told);
                site.assert_untouched(&told);
                restored += 1;
            }
        }
        counts.lock().unwrap().insert((mode.concat(), *inode, case.strategy, case.name), (restored, harmless));
        Ok(())
    });
    for ((mode, inode, strategy, name), (restored, harmless)) in counts.into_inner().unwrap() {
        let what = format!("{mode:10} {inode:6?} {strategy:10} {name:28}");
        println!("{what} old file after {restored:2} failures, {harmless:2} harmless");
        assert!(restored > 10, "{name}");
    }
}

/// Each write with each later one: the first failure starts the way back, the second one ends it where it is.
#[test]
fn a_second_failure_leaves_a_file_that_loads_and_says_so() {
    if !can_trace("a_second_failure_leaves_a_file_that_loads_and_says_so") {
        return;
    }
    for_all(&few_cases(), |case| {
        let site = Site::new(case);
        let new = site.edited(&["--in-place"]);
        site.reset();
        let fix = site.fix(&["--in-place"]);
        let calls = fix.calls(&site.object).1;
        let writes = calls.iter().filter(|call| call.name == "pwrite64").count();
        let mut stuck = 0;
        for first in 1..=writes {
            // Taking it back needs at most as many writes again.
            let second = (1..=writes).map(|step| format!("{first}+{step}"));
            for when in second.chain([format!("{first}+")]) {
                site.reset();
                let told = format!("{}, EIO from writes {when}", case.name);
                let run = fix.run_with(&[format!("inject=pwrite64:error=EIO:when={when}")]);
                stuck += assert_named_and_loads(&site, &run, &new, &told);
            }
        }
        // The size cannot be set, neither forward nor back.
        site.reset();
        let run = fix.run_with(&["inject=ftruncate:error=EIO:when=1+".to_owned()]);
        stuck += assert_named_and_loads(&site, &run, &new, "EIO from ftruncate");
        // At least one for each write but the journal's own, which leaves nothing to take back, and one for the size.
        assert!(stuck >= writes, "{}: only {stuck} edits could not be taken back", case.name);
        Ok(())
    });
}

/// One when the edit could not be taken back.
fn assert_named_and_loads(site: &Site, run: &Run, new: &Contents, told: &str) -> usize {
    run.assert_code(2, told);
    let path = site.object.to_str().unwrap();
    assert!(run.stderr.contains(path) && run.stderr.contains("Input/output error"), "{told}\n{}", run.stderr);
    if !run.stderr.contains("could not be taken back") {
        site.assert_untouched(told);
        return 0;
    }
    assert!(!matches!(site.loads(), Loads::Not(_)), "{told}: {:?}", site.loads());
    assert!(site.strangers().is_empty(), "{told}");
    let again = site.fix(&["--in-place"]).run();
    again.assert_code(0, told);
    assert_eq!(&site.now(), new, "{told}");
    assert_eq!(site.loads(), Loads::New, "{told}");
    1
}

/// A call, the error that it gives, and what is said where the edit fails.
const REFUSALS: [(&str, &str, &str); 16] = [
    ("openat", "EACCES", "Permission denied"),
    ("openat", "EPERM", "Operation not permitted"),
    ("openat", "EROFS", "Read-only file system"),
    ("openat", "EMFILE", "Too many open files"),
    ("openat", "ENOSPC", "No space left on device"),
    ("pread64", "ESTALE", "Stale file handle"),
    ("pwrite64", "ENOSPC", "No space left on device"),
    ("pwrite64", "EDQUOT", "Disk quota exceeded"),
    ("pwrite64", "EFBIG", "File too large"),
    ("copy_file_range", "ENOSPC", "No space left on device"),
    ("copy_file_range", "EDQUOT", "Disk quota exceeded"),
    ("ftruncate", "EPERM", "Operation not permitted"),
    ("fchmod", "EPERM", "Operation not permitted"),
    ("fsync", "EDQUOT", "Disk quota exceeded"),
    ("statx", "ESTALE", "Stale file handle"),
    ("mmap", "ENOMEM", "Cannot allocate memory"),
];

/// Some refusals have another way: a copy where the file cannot be written, the file itself where no copy can be made.
#[test]
fn every_kind_of_refusal_is_named_or_has_another_way() {
    if !can_trace("every_kind_of_refusal_is_named_or_has_another_way") {
        return;
    }
    let wanted = ["rung-e-slack-pie", "rung-h-reimage-bss-tls"];
    let mut all = Vec::new();
    for case in cases().into_iter().filter(|case| long() || wanted.contains(&case.name)) {
        for mode in MODES {
            all.extend(REFUSALS.map(|refusal| (case.clone(), mode, refusal)));
        }
    }
    let other_ways = Mutex::new(0);
    for_all(&all, |(case, mode, refusal)| {
        *other_ways.lock().unwrap() += refuse(case, mode, *refusal);
        Ok(())
    });
    let other_ways = other_ways.into_inner().unwrap();
    assert!(other_ways >= 8, "only {other_ways}");
}

/// How many of the calls of this name may fail in this way with the object fixed all the same.
fn refuse(case: &Case, mode: &[&str], (name, errno, said): (&str, &str, &str)) -> usize {
    let site = Site::new(case);
    let new = site.edited(mode);
    site.reset();
    let fix = site.fix(mode);
    let mut other_ways = 0;
    // A file that was looked at is opened by its name where /proc is closed, and nothing is lost by that.
    let is_tried = |call: &&Call| {
        call.name == name
            && !call.asks_where_it_is()
            && !call.is_of_the_key
            && !lists_what_is_beside(call)
            && !looks_around(call)
            && !call.text.contains("/proc/self/fd")
    };
    for call in fix.calls(&site.object).1.iter().filter(is_tried) {
        site.reset();
        let run = fix.run_with(&[call.inject(&format!("error={errno}"))]);
        let told = format!("{} {mode:?}, {errno} from {}", case.name, call.text);
        if run.code == 0 {
            assert_eq!(site.now(), new, "{told}");
            assert!(site.strangers().is_empty() && run.stdout.contains("note: "), "{told}\n{}", run.stdout);
            other_ways += 1;
        } else {
            assert_named(&site, &run, said, &told);
            site.assert_untouched(&told);
        }
    }
    other_ways
}
