//! Disks that are full, limits that are reached, and places that cannot be written: with every strategy.

use std::fs;
use std::path::Path;

use super::site::{Case, Site, cases};
use super::strace::can_trace;
use crate::harness::{MODES, Snapshot, command, for_all, long, mounting_shell, require, result, run};

/// `$1` mount point, `$2` pages that stay free, `$3` the old object, `$4` the new one; then the command.
const FULL_DISK: &str = r#"
point=$1 old=$3 new=$4
fill "$point" "$2" "$old" object
shift 4
set +e
"$@" "$point/object" >/dev/null
code=$?
cmp -s "$old" "$point/object" && is=old
cmp -s "$new" "$point/object" && is=new
echo "RESULT $code $is $(ls -A "$point" | tr '\n' ' ')"
"#;

/// Where some pages are free, a write of several pages is cut short.
#[test]
fn a_full_disk_leaves_the_old_or_the_new_file() {
    let test = "a_full_disk_leaves_the_old_or_the_new_file";
    if !can_trace(test) {
        return;
    }
    let small = cases().into_iter().filter(Case::is_small);
    let all: Vec<_> = small.flat_map(|case| MODES.map(|mode| (case.clone(), mode))).collect();
    let pages: &[u32] = if long() { &[0, 1, 2, 3, 4, 5, 6, 8, 12, 20] } else { &[0, 1, 3] };
    for_all(&all, |(case, mode)| {
        let site = Site::new(case);
        site.edited(mode);
        let (point, new) = (site.beside("disk"), site.beside("edited"));
        fs::create_dir(&point).unwrap();
        fs::copy(&site.object, &new).unwrap();
        for free in pages {
            let Some(mut shell) = mounting_shell(test, FULL_DISK) else { return Ok(()) };
            shell.arg(&point).arg(free.to_string()).arg(site.beside("original")).arg(&new);
            let run = run(shell.args(site.command_but_for_the_object(mode)));
            let told = format!("{} {mode:?}, {free} pages free\n{}{}", case.name, run.stdout, run.stderr);
            let Some(result) = result(&run, test) else { return Ok(()) };
            match result {
                "0 new fill object " => {}
                "2 old fill object " => {
                    assert!(run.stderr.contains("object: cannot "), "{told}");
                    assert!(run.stderr.contains("No space left on device"), "{told}");
                }
                _ => panic!("{told}"),
            }
        }
        Ok(())
    });
}

/// Whether the signal of a file size limit ends the program or is ignored, as in some supervisors.
#[test]
fn a_size_limit_leaves_the_old_or_the_new_file() {
    let test = "a_size_limit_leaves_the_old_or_the_new_file";
    if !can_trace(test) || !require("prlimit", test) || !require("env", test) {
        return;
    }
    let all: Vec<_> = cases().into_iter().flat_map(|case| MODES.map(|mode| (case.clone(), mode))).collect();
    for_all(&all, |(case, mode)| {
        let site = Site::new(case);
        let new = site.edited(mode);
        let mut limits =
            vec![0, site.old.len / 2, site.old.len - 1, site.old.len, new.len - 1, new.len, new.len + 4096];
        if long() {
            limits.extend((site.old.len..site.old.len + 2000).step_by(50));
        }
        limits.sort_unstable();
        limits.dedup();
        for limit in limits {
            for ignored in [false, true] {
                site.reset();
                let mut limited = command("env");
                limited.args(ignored.then_some("--ignore-signal=XFSZ")).arg("prlimit").arg(format!("--fsize={limit}"));
                limited.args(site.command_but_for_the_object(mode)).arg(&site.object);
                let run = run(&mut limited);
                let told = format!("{} {mode:?}, {limit} bytes, ignored: {ignored}\n{}", case.name, run.stderr);
                match run.code {
                    0 => assert!(site.now() == new && limit >= new.len, "{told}"),
                    2 => {
                        site.assert_untouched(&told);
                        assert!(run.stderr.contains("object: ") && run.stderr.contains("(ulimit -f)"), "{told}");
                    }
                    _ => panic!("{told}"),
                }
            }
        }
        Ok(())
    });
}

/// `$1` mount point, `$2` the folder that is seen there, which may only be read; then the command.
const READ_ONLY: &str = r#"
mount --bind "$2" "$1"
mount -o remount,bind,ro "$1"
point=$1
shift 2
set +e
"$@" "$point/object"
echo "RESULT $?"
"#;

#[test]
fn a_folder_that_is_mounted_read_only_is_refused_by_name() {
    let test = "a_folder_that_is_mounted_read_only_is_refused_by_name";
    if !can_trace(test) {
        return;
    }
    for mode in MODES {
        let site = Site::new(&cases()[0]);
        let point = site.beside("point");
        fs::create_dir(&point).unwrap();
        let Some(mut shell) = mounting_shell(test, READ_ONLY) else { return };
        shell.arg(&point).arg(site.object.parent().unwrap()).args(site.command_but_for_the_object(mode));
        let run = run(&mut shell);
        let Some(result) = result(&run, test) else { return };
        assert_eq!(result, "2", "{mode:?} {}", run.said());
        assert!(run.stderr.contains("point/object: cannot "), "{mode:?} {}", run.stderr);
        assert!(run.stderr.contains("Read-only file system"), "{mode:?} {}", run.stderr);
        site.assert_untouched("read-only");
    }
}

/// Sets or clears an attribute of the file system; whether there is such a thing here.
fn attribute(change: &str, path: &Path) -> bool {
    command("chattr").arg(change).arg(path).output().is_ok_and(|output| output.status.success())
}

#[test]
fn what_the_file_system_protects_is_refused_by_name() {
    let test = "what_the_file_system_protects_is_refused_by_name";
    if !can_trace(test) || !require("chattr", test) {
        return;
    }
    for mode in MODES {
        for protection in ["i", "a"] {
            let site = Site::new(&cases()[0]);
            if !attribute(&format!("+{protection}"), &site.object) {
                // The file system of temporary files decides, not what is installed.
                eprintln!("SKIP {test}: no protected files on the file system of temporary files");
                return;
            }
            let before = Snapshot::of(&site.object);
            let run = site.fix(mode).run();
            let after = Snapshot::of(&site.object);
            assert!(attribute(&format!("-{protection}"), &site.object));
            run.assert_code(2, protection);
            assert!(run.stderr.contains(site.object.to_str().unwrap()), "{}", run.stderr);
            assert!(run.stderr.contains("Operation not permitted"), "{}", run.stderr);
            assert_eq!(after, before, "{protection}");
            site.assert_untouched(protection);
        }
        // No file can be made in the folder: the object itself can be written.
        let site = Site::new(&cases()[0]);
        let folder = site.object.parent().unwrap();
        assert!(attribute("+i", folder));
        let run = site.fix(mode).run();
        assert!(attribute("-i", folder));
        run.assert_code(0, "a protected folder");
        assert_eq!(site.loads(), super::site::Loads::New);
        assert!(site.strangers().is_empty());
    }
}
