//! A signal that a person or a supervisor ends a program with, at every system call that changes a file.

use super::site::{Loads, Site, few_cases};
use super::strace::{Call, Traced, can_trace};
use crate::harness::{MODES, command, for_all, program, run};

/// How a shell and a supervisor see the end.
const SIGNALS: [(&str, i32); 3] = [("SIGTERM", 1015), ("SIGINT", 1002), ("SIGHUP", 1001)];

#[test]
fn a_signal_leaves_no_copy() {
    if !can_trace("a_signal_leaves_no_copy") {
        return;
    }
    for_all(&few_cases(), |case| {
        for (mode, (signal, code)) in MODES.iter().flat_map(|mode| SIGNALS.iter().map(move |signal| (mode, signal))) {
            let site = Site::new(case);
            let new = site.edited(mode);
            site.reset();
            let fix = site.fix(mode);
            for call in fix.calls(&site.object).1.iter().filter(|call| call.changes_files()) {
                site.reset();
                let run = fix.run_with(&[call.inject(&format!("signal={signal}"))]);
                let told = format!("{} {mode:?}, {signal} at {}", case.name, call.text);
                // Where the signal comes at the very end, the run can be over first.
                assert!(run.code == *code || run.code == 0, "{told}: {}", run.said());
                assert!(site.strangers().is_empty(), "{told}: {:?}", site.strangers());
                let now = site.now();
                assert!(now == site.old || now == new, "{told}: half done");
                assert!(!matches!(site.loads(), Loads::Not(_)), "{told}");
            }
        }
        Ok(())
    });
}

/// A copy that cannot be removed is named, whatever went wrong before.
#[test]
fn a_copy_that_stays_is_told() {
    if !can_trace("a_copy_that_stays_is_told") {
        return;
    }
    let case = &few_cases()[0];
    let site = Site::new(case);
    let fix = site.fix(&[]);
    let calls = fix.calls(&site.object).1;
    let rename = calls.iter().find(|call| call.name.starts_with("rename")).unwrap();
    site.reset();
    let refused = [rename.inject("error=ENOENT"), "inject=unlink,unlinkat:error=EPERM".to_owned()];
    let run = fix.run_with(&refused);
    run.assert_code(2, "a copy that stays");
    let left = site.strangers();
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left.iter().all(|name| run.stderr.contains(name)), "{left:?}: {}", run.stderr);
    assert!(run.stderr.contains("could not be removed"), "{}", run.stderr);
}

/// What `nohup` made it ignore, it ignores.
#[test]
fn an_ignored_signal_stays_ignored() {
    if !can_trace("an_ignored_signal_stays_ignored") {
        return;
    }
    let site = Site::new(&few_cases()[0]);
    let new = site.edited(&[]);
    site.reset();
    let fix = site.fix(&[]);
    let calls: Vec<Call> = fix.calls(&site.object).1.into_iter().filter(Call::changes_files).collect();
    site.reset();
    let traced = fix.command_with(&[calls[calls.len() / 2].inject("signal=SIGHUP")]);
    let arguments = std::iter::once(traced.get_program()).chain(traced.get_args());
    run(command("sh").args(["-c", "trap '' HUP; exec \"$@\"", "sh"]).args(arguments)).assert_code(0, "ignored");
    assert_eq!(site.now(), new);
}

/// A list is written under a temporary name first.
#[test]
fn a_list_leaves_no_temporary_file() {
    let test = "a_list_leaves_no_temporary_file";
    if !can_trace(test) {
        return;
    }
    let site = Site::new(&few_cases()[0]);
    let list = site.object.parent().unwrap().join("list");
    let mut check = Traced::new(program(), site.beside("list.log"));
    check.arguments(["check", "-q", "--runtime-list"]).arguments([&list, &site.object]);
    for (signal, _) in SIGNALS {
        let renames = ["rename", "renameat", "renameat2"].join(",");
        check.run_with(&[format!("inject={renames}:error=EINTR:signal={signal}:when=1")]);
        assert!(site.strangers().is_empty(), "{signal}: {:?}", site.strangers());
    }
    let mut shell = command("sh");
    shell.args(["-c", "ulimit -f 0; exec \"$@\"", "sh"]).arg(program()).args(["check", "-q", "--runtime-list"]);
    let run = run(shell.arg(&list).arg(&site.object));
    run.assert_code(2, "larger than may be");
    assert!(run.stderr.contains("list") && site.strangers().is_empty(), "{} {:?}", run.stderr, site.strangers());
}
