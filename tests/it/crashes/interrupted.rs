//! What a run makes of a file that a killed one left half written.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use super::site::{Case, Loads, Site, cases, few_cases};
use super::strace::{Call, can_trace};
use crate::harness::run::KILLED;
use crate::harness::{
    Contents, IN_PLACE, MODES, Snapshot, Waiting, as_nobody, command, copy_program, give_to_nobody, invoke, is_root,
    program, require, run, set_mode, skip,
};

/// A site whose object was left in the midst of an edit in place: every write made, the journal not yet cut off.
fn interrupted(name: &str) -> Site {
    let case = cases().into_iter().find(|case| case.name == name).expect("a case of this name");
    let site = Site::new(&case);
    interrupt(&site);
    site
}

fn interrupt(site: &Site) {
    let calls = changing(site);
    kill_at(site, calls.last().unwrap());
}

/// The calls of an edit in place that change the object.
fn changing(site: &Site) -> Vec<Call> {
    site.reset();
    site.fix(IN_PLACE).calls(&site.object).1.into_iter().filter(Call::changes_files).collect()
}

fn kill_at(site: &Site, call: &Call) {
    site.reset();
    assert_eq!(
        site.fix(IN_PLACE).run_with(&[call.inject("signal=SIGKILL")]).code,
        KILLED,
        "not killed at {}",
        call.text
    );
}

fn path(site: &Site) -> &str {
    site.object.to_str().unwrap()
}

#[test]
fn looking_takes_nothing_back() {
    if !can_trace("looking_takes_nothing_back") {
        return;
    }
    let site = interrupted("rung-e-slack-pie");
    let before = Snapshot::of(&site.object);
    for look in ["--dry-run", "--check", "--diff"] {
        let looked = invoke(["fix", look, "--driver", "$ORIGIN/new", path(&site)]);
        looked.assert_code(2, look);
        assert!(looked.stderr.contains(path(&site)) && looked.stderr.contains("interrupted"), "{}", looked.stderr);
        assert_eq!(Snapshot::of(&site.object), before, "{look}");
    }
    let shown = invoke(["show", path(&site)]);
    shown.assert_code(0, "show");
    assert!(shown.stdout.contains("$ORIGIN/new"), "it says what the loader reads\n{}", shown.stdout);
    assert_eq!(Snapshot::of(&site.object), before, "show");
}

#[test]
fn another_wish_is_granted_to_the_old_file() {
    if !can_trace("another_wish_is_granted_to_the_old_file") {
        return;
    }
    for case in few_cases() {
        for mode in MODES {
            let wish = |site: &Site| {
                let mut arguments = vec!["fix", "--driver", "/another/driver/with/a/longer/name"];
                arguments.extend(mode);
                arguments.push(path(site));
                invoke(arguments).assert_code(0, case.name);
                site.now()
            };
            let site = Site::new(&case);
            let wanted = wish(&site);
            interrupt(&site);
            assert_eq!(wish(&site), wanted, "{} {mode:?}", case.name);
        }
    }
}

/// A kill can end a write that goes over two pages between them.
#[test]
fn half_a_write_is_taken_back() {
    if !can_trace("half_a_write_is_taken_back") {
        return;
    }
    for case in few_cases().into_iter().filter(Case::is_small) {
        let site = Site::new(&case);
        let new = site.edited(IN_PLACE);
        let calls = changing(&site);
        for pair in calls.windows(2) {
            kill_at(&site, &pair[0]);
            let before = fs::read(&site.object).unwrap();
            kill_at(&site, &pair[1]);
            let after = fs::read(&site.object).unwrap();
            if before.len() != after.len() {
                continue;
            }
            let differing: Vec<_> = (0..before.len()).filter(|at| before[*at] != after[*at]).collect();
            let mut torn = before;
            for at in &differing[..differing.len() / 2] {
                torn[*at] = after[*at];
            }
            fs::write(&site.object, torn).unwrap();
            let told = format!("{}, half of {}", case.name, pair[0].text);
            let again = site.fix(IN_PLACE).run();
            again.assert_code(0, &told);
            assert_eq!(site.now(), new, "{told}");
            assert_eq!(site.loads(), Loads::New, "{told}");
        }
    }
}

/// What another process wrote since is no half of an edit.
#[test]
fn a_file_that_changed_since_is_refused_by_name() {
    if !can_trace("a_file_that_changed_since_is_refused_by_name") {
        return;
    }
    let site = interrupted("rung-i-make-room-note");
    let killed = fs::read(&site.object).unwrap();
    let old = fs::read(site.beside("original")).unwrap();
    let written: Vec<_> = (0..old.len()).filter(|at| old[*at] != killed[*at]).collect();
    assert!(written.len() > 100);
    for at in written.iter().step_by(7) {
        let mut changed = killed.clone();
        // Neither of the two, nor of the interim table's: types of program headers differ in their low bits only.
        changed[*at] ^= 0xaa;
        fs::write(&site.object, &changed).unwrap();
        for mode in MODES {
            let refused = site.fix(mode).run();
            refused.assert_code(2, &format!("byte {at:#x}"));
            assert!(refused.stderr.contains(path(&site)), "{}", refused.stderr);
            assert!(refused.stderr.contains("the file was changed since"), "byte {at:#x}: {}", refused.stderr);
            assert!(fs::read(&site.object).unwrap() == changed, "byte {at:#x}");
        }
    }
    // What no write of the edit touches is another process's, and stays.
    let new = {
        site.reset();
        let fixed = site.fix(IN_PLACE).run();
        fixed.assert_code(0, "undisturbed");
        fs::read(&site.object).unwrap()
    };
    let untouched = old.windows(9).position(|code| code == [0xcc; 9]).expect("filler in the code") + 4;
    let mut changed = killed.clone();
    changed[untouched] ^= 0x55;
    fs::write(&site.object, changed).unwrap();
    let fixed = site.fix(IN_PLACE).run();
    fixed.assert_code(0, "a byte elsewhere");
    let mut wanted = new;
    wanted[untouched] ^= 0x55;
    assert!(fs::read(&site.object).unwrap() == wanted);
}

/// A journal that is cut or that does not add up is a payload like any other: nothing is taken back by it.
#[test]
fn half_a_journal_is_believed_by_nobody() {
    if !can_trace("half_a_journal_is_believed_by_nobody") {
        return;
    }
    let site = interrupted("rung-e-slack-pie");
    let killed = fs::read(&site.object).unwrap();
    let old_len = fs::metadata(site.beside("original")).unwrap().len() as usize;
    assert!(killed.len() > old_len + 100, "there is no journal");
    let damaged = (old_len..killed.len()).step_by(5).map(|at| {
        let mut damaged = killed.clone();
        damaged[at] ^= 1;
        damaged
    });
    let cut = (old_len + 1..killed.len()).step_by(5).map(|len| killed[..len].to_vec());
    for bytes in damaged.chain(cut) {
        fs::write(&site.object, &bytes).unwrap();
        let again = site.fix(IN_PLACE).run();
        again.assert_orderly("a damaged journal");
        assert!(!again.stdout.contains("taken back"), "{}", again.stdout);
        let now = fs::read(&site.object).unwrap();
        assert!(now.ends_with(&bytes[old_len..]), "what stood behind the object is gone");
        assert_eq!(site.loads(), Loads::New);
    }
}

#[test]
fn a_running_program_is_taken_back_in_a_copy() {
    if !can_trace("a_running_program_is_taken_back_in_a_copy") {
        return;
    }
    let site = interrupted("bfd-pie");
    let new = {
        let killed = fs::read(&site.object).unwrap();
        let new = site.edited(IN_PLACE);
        fs::write(&site.object, killed).unwrap();
        new
    };
    let running = Waiting::start(command(&site.object).arg("wait"));
    let fixed = site.fix(IN_PLACE).run();
    running.finish();
    fixed.assert_code(0, "running");
    assert_eq!((site.now(), site.loads()), (new, Loads::New));
    assert!(site.strangers().is_empty());
}

/// The owner's first write drops set-user-ID, and a killed run cannot set it again.
#[test]
fn the_mode_comes_back_too() {
    let test = "the_mode_comes_back_too";
    if !can_trace(test) || !require("setpriv", test) {
        return;
    }
    if !is_root() {
        skip(test, "only root becomes another user");
        return;
    }
    let site = Site::new(&few_cases()[0]);
    let folder = site.object.parent().unwrap();
    for path in [folder.parent().unwrap(), folder, &site.object] {
        give_to_nobody(path);
    }
    let copy = folder.with_file_name("program");
    copy_program(&program(), &copy);
    let fix =
        |command: &mut Command| run(command.args(["fix", "--in-place", "--driver", "$ORIGIN/new"]).arg(&site.object));
    let mode = || fs::metadata(&site.object).unwrap().mode() & 0o7777;
    // After chown, which takes the setuid bit.
    set_mode(&site.object, 0o4755);
    let mut strace = as_nobody("strace");
    strace
        .args(["-f", "-e", "inject=ftruncate:signal=SIGKILL:when=1", "-o"])
        .arg(site.beside("log-of-nobody"))
        .arg(&copy);
    let killed = fix(&mut strace);
    assert_eq!((killed.code, mode()), (KILLED, 0o755), "{}", killed.said());
    let fixed = fix(&mut as_nobody(&copy));
    fixed.assert_code(0, "fixed");
    assert!(fixed.stdout.contains("taken back first"), "{}", fixed.stdout);
    assert_eq!(mode(), 0o4755);
    assert_ne!(Contents::of(&site.object), site.old);
}
