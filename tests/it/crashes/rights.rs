//! Rights that only root can give, while their file's owner writes to it: they are never those of his bytes.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};

use rustix::fs::{XattrFlags, getxattr, setxattr};

use super::site::{Site, few_cases};
use super::strace::{Call, can_trace};
use crate::harness::{
    IN_PLACE, MODES, Snapshot, as_nobody, command, give_to_nobody, is_root, require, run, set_mode, skip,
};

const CAPABILITY: &str = "security.capability";

/// `cap_net_raw`, as the kernel's `struct vfs_cap_data` has it.
const NET_RAW: [u8; 20] = [0, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A group that its owner is not in.
const GROUP: u32 = 42;

/// What a file gives to those who start it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gives {
    GroupId,
    GroupIdAndCapability,
}

/// Another user's object with rights of root's giving; whether that can be made here.
fn prepare(site: &Site, gives: Gives) -> bool {
    site.reset();
    let folder = site.object.parent().unwrap();
    for path in [folder.parent().unwrap(), folder, &site.object] {
        give_to_nobody(path);
    }
    chown(&site.object, None, Some(GROUP)).unwrap();
    set_mode(&site.object, 0o2755);
    gives == Gives::GroupId || setxattr(&site.object, CAPABILITY, &NET_RAW, XattrFlags::empty()).is_ok()
}

fn capability(path: &Path) -> Option<Vec<u8>> {
    let mut value = [0; 64];
    let len = getxattr(path, CAPABILITY, &mut value).ok()?;
    Some(value[..len].to_vec())
}

fn set_id(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o6000
}

fn can_be_tried(test: &str) -> bool {
    if !can_trace(test) || !require("setpriv", test) || !require("dd", test) {
        return false;
    }
    if !is_root() {
        skip(test, "only root gives files away");
    }
    is_root()
}

/// Every file in the folder: the object, copies of it, what another process put there.
fn files(site: &Site) -> Vec<PathBuf> {
    let entries = fs::read_dir(site.object.parent().unwrap()).unwrap();
    entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect()
}

#[test]
fn what_the_owner_writes_meanwhile_has_no_rights() {
    let test = "what_the_owner_writes_meanwhile_has_no_rights";
    if !can_be_tried(test) {
        return;
    }
    let site = Site::new(&few_cases()[0]);
    let original = fs::read(&site.object).unwrap();
    // No write of the edit touches it, and no look at the ends sees it.
    let at = original.windows(9).position(|code| code == [0xcc; 9]).expect("filler in the code") + 4;
    assert!((1024..original.len() - 1024).contains(&at));
    let ways = [(Gives::GroupId, IN_PLACE), (Gives::GroupId, &[]), (Gives::GroupIdAndCapability, IN_PLACE)];
    for (gives, mode) in ways.into_iter().chain([(Gives::GroupIdAndCapability, &[][..])]) {
        if !prepare(&site, gives) {
            return skip(test, "no capabilities on the file system of temporary files");
        }
        let fix = site.fix(mode);
        let (fixed, calls) = fix.calls(&site.object);
        fixed.assert_code(0, "undisturbed");
        assert_eq!(set_id(&site.object), 0o2000, "{gives:?} {mode:?}");
        assert_eq!(capability(&site.object).is_some(), gives == Gives::GroupIdAndCapability);
        let mut written = 0;
        for call in calls {
            prepare(&site, gives);
            let told = format!("{gives:?} {mode:?}, after {}", call.text);
            let stopped = fix.stop_after(&call);
            for file in files(&site) {
                let mut dd = as_nobody("dd");
                dd.args(["conv=notrunc", "bs=1", "status=none", &format!("seek={at}")]);
                dd.arg(format!("of={}", file.display())).arg(format!("if={}", attackers(&site).display()));
                written += usize::from(run(&mut dd).code == 0);
            }
            let run = stopped.finish();
            run.assert_orderly(&told);
            for file in files(&site) {
                let is_theirs = fs::read(&file).unwrap()[at] == b'A';
                let rights = (set_id(&file), capability(&file));
                assert!(!is_theirs || rights == (0, None), "{told}: {} {rights:?}", file.display());
            }
        }
        assert!(written > 10, "the owner could write {written} times only");
    }
}

/// A file with the byte that the owner writes.
fn attackers(site: &Site) -> PathBuf {
    let path = site.beside("byte");
    fs::write(&path, b"A").unwrap();
    path
}

/// What the owner closes while the copy is made is not open again when the copy has the name.
#[test]
fn rights_that_were_taken_meanwhile_do_not_come_back() {
    let test = "rights_that_were_taken_meanwhile_do_not_come_back";
    if !can_trace(test) {
        return;
    }
    let site = Site::new(&few_cases()[0]);
    for mode in MODES {
        site.reset();
        let fix = site.fix(mode);
        let calls: Vec<Call> = fix.calls(&site.object).1;
        for call in calls {
            site.reset();
            let stopped = fix.stop_after(&call);
            set_mode(&site.object, 0o700);
            let told = format!("{mode:?}, after {}", call.text);
            stopped.finish().assert_orderly(&told);
            assert_eq!(fs::metadata(&site.object).unwrap().mode() & 0o7777, 0o700, "{told}");
            assert!(site.strangers().is_empty(), "{told}: {:?}", site.strangers());
        }
    }
}

/// Each write takes capabilities, root's too, and in the moment between it and root's giving them again another process
/// could write. A copy has them before it has a name.
#[test]
fn capabilities_stay_or_the_file_does() {
    let test = "capabilities_stay_or_the_file_does";
    if !can_be_tried(test) {
        return;
    }
    let site = Site::new(&few_cases()[0]);
    let second = site.beside("second-name");
    for mode in MODES {
        if !prepare(&site, Gives::GroupIdAndCapability) {
            return skip(test, "no capabilities on the file system of temporary files");
        }
        let wanted = capability(&site.object);
        let fixed = site.fix(mode).run();
        fixed.assert_code(0, "capabilities");
        assert_eq!((capability(&site.object), set_id(&site.object)), (wanted, 0o2000), "{mode:?}");
        assert_eq!(fixed.stdout.contains("would take its capabilities"), mode == IN_PLACE, "{}", fixed.stdout);
        assert!(site.strangers().is_empty());
        // Neither a copy nor the file itself will do.
        prepare(&site, Gives::GroupIdAndCapability);
        let _ = fs::remove_file(&second);
        fs::hard_link(&site.object, &second).unwrap();
        let before = Snapshot::of(&site.object);
        let refused = site.fix(mode).run();
        refused.assert_code(2, "two names");
        assert!(refused.stderr.contains("the file has capabilities"), "{}", refused.stderr);
        assert_eq!(Snapshot::of(&site.object), before);
        fs::remove_file(&second).unwrap();
    }
}

/// Where files cannot be without a name, what belongs to another user is written in place, and what does not, has a name.
#[test]
fn a_file_system_without_unnamed_files() {
    let test = "a_file_system_without_unnamed_files";
    if !can_be_tried(test) {
        return;
    }
    let site = Site::new(&few_cases()[0]);
    let fix = site.fix(&[]);
    prepare(&site, Gives::GroupId);
    let calls = fix.calls(&site.object).1;
    let unnamed = calls.iter().find(|call| call.text.contains("O_TMPFILE")).expect("an unnamed file");
    for (owner, note) in [(None, None), (Some(0), Some("written in place"))] {
        prepare(&site, Gives::GroupId);
        let is_own = note.is_none();
        if is_own {
            chown(&site.object, Some(0), owner.or(Some(0))).unwrap();
            set_mode(&site.object, 0o6755);
        }
        let wanted = set_id(&site.object);
        let run = fix.run_with(&[unnamed.inject("error=EOPNOTSUPP")]);
        run.assert_code(0, "no unnamed files");
        assert_eq!(set_id(&site.object), wanted, "{}", run.stdout);
        assert_eq!(run.stdout.contains("written in place"), !is_own, "{}", run.stdout);
        assert!(site.strangers().is_empty());
    }
}

/// The copies of `--output` are the running user's: what gave his rights to others still does, what gave another user's
/// gives none.
#[test]
fn a_copy_of_a_tree_gives_no_rights_of_its_maker() {
    let test = "a_copy_of_a_tree_gives_no_rights_of_its_maker";
    let site = Site::new(&few_cases()[0]);
    let tree = site.beside("tree");
    fs::create_dir(&tree).unwrap();
    let foreign =
        if is_root() { vec![("user", 65534, 0), ("group", 0, 65534), ("both", 65534, 65534)] } else { vec![] };
    if foreign.is_empty() {
        skip(test, "only root gives files away");
    }
    let me = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    for (name, user, group) in foreign.iter().copied().chain([("own", me.0, me.1)]) {
        let path = tree.join(name);
        fs::copy(&site.object, &path).unwrap();
        chown(&path, Some(user), Some(group)).unwrap();
        set_mode(&path, 0o6755);
    }
    fs::create_dir(tree.join("folder")).unwrap();
    set_mode(&tree.join("folder"), 0o2755);
    let out = site.beside("out");
    let mut fix = command(crate::harness::program());
    let copied = run(fix.args(["fix", "--driver", "/another", "--output"]).arg(&out).arg(&tree));
    copied.assert_code(0, "a copy");
    for (name, wanted) in [("user", 0o2000), ("group", 0o4000), ("both", 0), ("own", 0o6000)] {
        if out.join(name).exists() {
            assert_eq!(set_id(&out.join(name)), wanted, "{name}");
        }
    }
    assert_eq!(set_id(&out.join("folder")), 0);
}

/// A journal of 0.1.0, whose checksum its maker computes, as another version of this program believed it.
fn forged(object: &[u8], mode: u64, (at, before): (usize, &[u8])) -> Vec<u8> {
    let number = |number: usize| u64::try_from(number).unwrap().to_le_bytes();
    let after = &object[at..at + before.len()];
    let body = [&number(at)[..], &number(before.len()), before, after].concat();
    let footer = [number(object.len()), mode.to_le_bytes(), number(1), number(0), number(1), number(body.len())];
    let checked = [&body[..], footer.as_flattened()].concat();
    let (words, rest) = checked.as_chunks::<8>();
    let words = words.iter().map(|word| u64::from_le_bytes(*word)).chain(rest.iter().map(|byte| u64::from(*byte)));
    let sum =
        words.fold(0xcbf2_9ce4_8422_2325, |sum: u64, word| (sum ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(29));
    [object, &checked, &sum.to_le_bytes(), b"\ncuda-runpath\0J2"].concat()
}

#[test]
fn a_forged_journal_changes_nothing_and_is_named() {
    let site = Site::new(&few_cases()[0]);
    let object = fs::read(&site.object).unwrap();
    let at = object.windows(9).position(|code| code == [0xcc; 9]).expect("filler in the code");
    let bytes = forged(&object, 0o6777, (at, b"other"));
    for mode in MODES {
        fs::write(&site.object, &bytes).unwrap();
        set_mode(&site.object, 0o644);
        let path = site.object.to_str().unwrap();
        let checked = run(command(crate::harness::program()).args(["check", path]));
        assert!(checked.stdout.contains("CRP705 interrupted-edit"), "{}", checked.said());
        let fixed = site.fix(mode).run();
        fixed.assert_code(0, "a forged journal");
        assert!(fixed.stdout.contains("note: it ends like a file with a journal"), "{}", fixed.stdout);
        assert_eq!(fs::metadata(&site.object).unwrap().mode() & 0o7777, 0o644);
        let now = fs::read(&site.object).unwrap();
        assert_eq!(now[at..at + 9], [0xcc; 9]);
        assert!(now.ends_with(&bytes[object.len()..]));
        let again = site.fix(mode).run();
        again.assert_code(0, "again");
        assert_eq!(fs::read(&site.object).unwrap(), now);
    }
}
