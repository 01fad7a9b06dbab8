//! What a run makes of a file that a killed one left half written.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::process::Stdio;

use super::contents::Contents;
use super::site::{Case, Loads, MODES, Site, cases, few_cases};
use super::strace::{Call, can_trace};
use crate::support::{Run, Snapshot, command, require, run, skip};

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
    site.fix(MODES[0]).calls(&site.object).1.into_iter().filter(Call::changes_files).collect()
}

fn kill_at(site: &Site, call: &Call) {
    site.reset();
    assert_eq!(site.fix(MODES[0]).run_with(&[call.inject("signal=SIGKILL")]).code, None, "not killed at {}", call.text);
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
        let looked = run(["fix", look, "--driver", "$ORIGIN/new", path(&site)]);
        looked.assert_code(2, look);
        assert!(looked.stderr.contains(path(&site)) && looked.stderr.contains("interrupted"), "{}", looked.stderr);
        before.assert_same(&Snapshot::of(&site.object), look);
    }
    let shown = run(["show", path(&site)]);
    shown.assert_code(0, "show");
    assert!(shown.stdout.contains("$ORIGIN/new"), "it says what the loader reads\n{}", shown.stdout);
    before.assert_same(&Snapshot::of(&site.object), "show");
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
                run(arguments).assert_code(0, case.name);
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
        let new = site.edited(MODES[0]);
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
            let again: Run = site.fix(MODES[0]).plain().output().unwrap().into();
            again.assert_code(0, &told);
            assert_eq!(site.now(), new, "{told}");
            assert_eq!(site.loads(), Loads::New, "{told}");
        }
    }
}

/// What somebody wrote since is no half of an edit.
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
            let refused: Run = site.fix(mode).plain().output().unwrap().into();
            refused.assert_code(2, &format!("byte {at:#x}"));
            assert!(refused.stderr.contains(path(&site)), "{}", refused.stderr);
            assert!(refused.stderr.contains("the file was changed since"), "byte {at:#x}: {}", refused.stderr);
            assert!(fs::read(&site.object).unwrap() == changed, "byte {at:#x}");
        }
    }
    // What no write of the edit touches is somebody else's, and stays.
    let new = {
        site.reset();
        let fixed: Run = site.fix(MODES[0]).plain().output().unwrap().into();
        fixed.assert_code(0, "undisturbed");
        fs::read(&site.object).unwrap()
    };
    let untouched = old.windows(9).position(|code| code == [0xcc; 9]).expect("filler in the code") + 4;
    let mut changed = killed.clone();
    changed[untouched] ^= 0x55;
    fs::write(&site.object, changed).unwrap();
    let fixed: Run = site.fix(MODES[0]).plain().output().unwrap().into();
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
        let again: Run = site.fix(MODES[0]).plain().output().unwrap().into();
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
        let new = site.edited(MODES[0]);
        fs::write(&site.object, killed).unwrap();
        new
    };
    let mut command = command(&site.object);
    command.arg("wait").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = loop {
        match command.spawn() {
            // See `fixtures::run`.
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
            other => break other.unwrap(),
        }
    };
    let mut line = String::new();
    BufReader::new(running.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let fixed: Run = site.fix(MODES[0]).plain().output().unwrap().into();
    drop(running.stdin.take());
    running.wait().unwrap();
    fixed.assert_code(0, "running");
    assert_eq!(line, "ready\n");
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
    if !rustix::process::geteuid().is_root() {
        skip(test, "only root can become somebody else");
        return;
    }
    const SOMEBODY: u32 = 65534;
    let site = Site::new(&few_cases()[0]);
    let folder = site.object.parent().unwrap();
    for path in [folder.parent().unwrap(), folder] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        chown(path, Some(SOMEBODY), None).unwrap();
    }
    // The build folder may be below one that only root enters.
    let program = folder.with_file_name("program");
    assert!(command("cp").arg(crate::support::program()).arg(&program).status().unwrap().success());
    let somebody = |tool: &[&str]| {
        let mut command = command("setpriv");
        command.args([&format!("--reuid={SOMEBODY}"), "--regid=65534", "--clear-groups"]).args(tool);
        command.arg(&program).args(["fix", "--in-place", "--driver", "$ORIGIN/new"]).arg(&site.object);
        command.output().unwrap()
    };
    let mode = || fs::metadata(&site.object).unwrap().mode() & 0o7777;
    chown(&site.object, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    fs::set_permissions(&site.object, fs::Permissions::from_mode(0o4755)).unwrap();
    let log = folder.with_file_name("log-of-somebody");
    let killed = ["strace", "-f", "-o", log.to_str().unwrap(), "-e", "inject=ftruncate:signal=SIGKILL:when=1"];
    let killed = somebody(&killed);
    assert_eq!((killed.status.code(), mode()), (None, 0o755), "{}", String::from_utf8_lossy(&killed.stderr));
    let fixed: Run = somebody(&[]).into();
    fixed.assert_code(0, "fixed");
    assert!(fixed.stdout.contains("taken back first"), "{}", fixed.stdout);
    assert_eq!(mode(), 0o4755);
    assert_ne!(Contents::of(&site.object), site.old);
}
