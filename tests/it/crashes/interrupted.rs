//! What a run makes of a file that a killed one left half written.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
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
            // In the object; the journal is for the inode that the second kill left.
            let object = 0..site.old.len as usize;
            let differing: Vec<_> = object.filter(|at| before[*at] != after[*at]).collect();
            let mut torn = after;
            for at in &differing[differing.len() / 2..] {
                torn[*at] = before[*at];
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
    let new = Site::new(&site.case);
    new.fix(IN_PLACE).run().assert_code(0, "undisturbed");
    let new = fs::read(&new.object).unwrap();
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
fn a_journal_that_is_not_whole_is_not_believed() {
    if !can_trace("a_journal_that_is_not_whole_is_not_believed") {
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
        assert!(!again.stdout.contains("taken back first"), "{}", again.stdout);
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
    let new = Site::new(&site.case).edited(IN_PLACE);
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
    let Some((site, copy)) = site_of_nobody("the_mode_comes_back_too") else { return };
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

/// The file's maker is not the user whose edit was interrupted, whatever the end of the file says.
#[test]
fn a_journal_is_for_one_inode_and_one_user() {
    let test = "a_journal_is_for_one_inode_and_one_user";
    if !can_trace(test) {
        return;
    }
    let site = interrupted("rung-e-slack-pie");
    let killed = fs::read(&site.object).unwrap();
    // Numbers, hash, signature and mark, and some of the steps.
    let end = &killed[killed.len() - 150..];
    let is_kept = |bytes: &[u8], stdout: &str| {
        assert!(bytes.ends_with(end), "what stood behind the object is gone");
        assert!(!stdout.contains("taken back first"), "{stdout}");
        assert!(stdout.contains("note: it ends like a file with a journal"), "{stdout}");
    };
    for mode in MODES {
        let copy = site.object.with_file_name("copy");
        fs::write(&copy, &killed).unwrap();
        set_mode(&copy, 0o644);
        let mut arguments = vec!["fix", "--driver", "/another"];
        arguments.extend(mode);
        arguments.push(copy.to_str().unwrap());
        let fixed = invoke(&arguments);
        fixed.assert_code(0, "a copy of the file");
        is_kept(&fs::read(&copy).unwrap(), &fixed.stdout);
        assert_eq!(fs::metadata(&copy).unwrap().mode() & 0o7777, 0o644);
        fs::remove_file(copy).unwrap();
    }
    // Another user has another key.
    let state = site.beside("state");
    let fixed =
        run(command(program()).args(["fix", "--driver", "/another"]).arg(&site.object).env("XDG_STATE_HOME", state));
    fixed.assert_code(0, "another user");
    is_kept(&fs::read(&site.object).unwrap(), &fixed.stdout);
}

/// Where several names lead to the file it cannot be replaced, and the journal's owner could take it for what it was.
#[test]
fn a_strangers_journal_is_not_written_over() {
    let test = "a_strangers_journal_is_not_written_over";
    if !can_trace(test) {
        return;
    }
    let site = interrupted("rung-e-slack-pie");
    let copy = site.object.with_file_name("copy");
    fs::copy(&site.object, &copy).unwrap();
    fs::hard_link(&copy, site.beside("second")).unwrap();
    let before = Snapshot::of(&copy);
    let refused = invoke(["fix", "--driver", "/another", copy.to_str().unwrap()]);
    refused.assert_code(2, "several names");
    assert!(refused.stderr.contains("ends like one with a journal"), "{}", refused.stderr);
    assert_eq!(Snapshot::of(&copy), before);
}

/// A build has no home: the key is in its directory, and the next run of that build believes the journal.
#[test]
fn a_build_without_a_home_takes_back_too() {
    let test = "a_build_without_a_home_takes_back_too";
    if !can_trace(test) {
        return;
    }
    let site = Site::new(&few_cases()[0]);
    let new = site.edited(IN_PLACE);
    let build = site.beside("build");
    fs::create_dir(&build).unwrap();
    let fix = |inject: &[&str]| {
        let mut strace = command("strace");
        strace.args(["-f", "-qq", "-o"]).arg(site.beside("log")).args(inject);
        strace.args(site.command_but_for_the_object(IN_PLACE)).arg(&site.object);
        strace.env_remove("XDG_STATE_HOME").env("HOME", "/homeless-shelter").env("NIX_BUILD_TOP", &build);
        run(&mut strace)
    };
    site.reset();
    assert_eq!(fix(&["-e", "inject=ftruncate:signal=SIGKILL:when=1"]).code, KILLED);
    assert!(!std::path::Path::new("/homeless-shelter").exists());
    assert_eq!(fs::metadata(build.join(".cuda-runpath/key")).unwrap().mode() & 0o777, 0o600);
    let fixed = fix(&[]);
    fixed.assert_code(0, "the same build");
    assert!(fixed.stdout.contains("taken back first"), "{}", fixed.stdout);
    assert_eq!(site.now(), new);
}

/// Without a journal that can be believed an edit of several writes makes a copy.
#[test]
fn without_a_key_the_file_is_replaced() {
    let test = "without_a_key_the_file_is_replaced";
    if !require("cc", test) || !require("setpriv", test) {
        return;
    }
    let site = Site::new(&few_cases()[0]);
    let copy = give_site_to_nobody(&site);
    let mut fix = as_nobody(&copy);
    for name in ["XDG_STATE_HOME", "HOME", "TMPDIR"] {
        fix.env(name, "/dev/null");
    }
    let fixed = run(fix.args(["fix", "--in-place", "--driver", "$ORIGIN/new"]).arg(&site.object));
    fixed.assert_code(0, "no key");
    assert!(fixed.stdout.contains("replaced: no key could be kept"), "{}", fixed.stdout);
    assert_eq!(site.loads(), Loads::New);
}

/// A site that is another user's, and a copy of the program that this user can start; where that can be made.
fn site_of_nobody(test: &str) -> Option<(Site, PathBuf)> {
    if !can_trace(test) || !require("setpriv", test) {
        return None;
    }
    if !is_root() {
        skip(test, "only root becomes another user");
        return None;
    }
    let site = Site::new(&few_cases()[0]);
    let copy = give_site_to_nobody(&site);
    Some((site, copy))
}

/// Makes everything of a site another user's, and a copy of the program that this user can start.
fn give_site_to_nobody(site: &Site) -> PathBuf {
    let folder = site.object.parent().unwrap();
    for path in [folder.parent().unwrap(), folder, &site.object] {
        give_to_nobody(path);
    }
    let copy = folder.with_file_name("program");
    copy_program(&program(), &copy);
    copy
}

/// The user of a read-only file with several names lends himself the right to write to it for a moment.
#[test]
fn a_lent_right_goes_back() {
    let Some((site, copy)) = site_of_nobody("a_lent_right_goes_back") else { return };
    fs::hard_link(&site.object, site.object.with_file_name("other.name")).unwrap();
    let log = site.beside("log-of-nobody");
    let mode = || fs::metadata(&site.object).unwrap().mode() & 0o7777;
    for (signal, nth) in ["SIGTERM", "SIGINT", "SIGHUP"].into_iter().flat_map(|signal| [(signal, 1), (signal, 2)]) {
        site.old.write_to(&site.object);
        set_mode(&site.object, 0o444);
        let mut strace = as_nobody("strace");
        strace.args([
            "-f",
            "-qq",
            "-e",
            "trace=fchmod",
            "-e",
            &format!("inject=fchmod:signal={signal}:when={nth}"),
            "-o",
        ]);
        run(strace.arg(&log).arg(&copy).args(["fix", "--in-place", "--driver", "$ORIGIN/new"]).arg(&site.object));
        let calls = fs::read_to_string(&log).unwrap();
        assert!(calls.contains(", 0644)") && calls.contains(signal), "{signal} {nth}: {calls}");
        assert_eq!(mode(), 0o444, "{signal} {nth}: {calls}");
    }
}
