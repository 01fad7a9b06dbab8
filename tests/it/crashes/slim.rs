//! `slim`, killed at every system call that changes a file: what the target runs is there, and the next run goes on.

use std::path::Path;

use super::strace::{Traced, can_trace};
use crate::harness::run::KILLED;
use crate::harness::{Tree, expect, for_all, invoke, program};
use crate::slim::{code, pair, row};

/// The machine code for 9.0 in a file, with its kernels' bytes, as the run time would find it; nothing else.
fn runs(bytes: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let (mut found, mut at) = (Vec::new(), 0);
    let number = |at: usize, size: usize| {
        bytes[at..at + size].iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte)) as usize
    };
    while let Some(next) = bstr::ByteSlice::find(&bytes[at..], crate::fatgen::CONTAINER_MAGIC) {
        let start = at + next;
        let end = start + 16 + number(start + 8, 8);
        let mut entry = start + 16;
        while entry < end {
            let size = number(entry + 4, 4) + number(entry + 8, 8);
            if entry + size > end {
                return Err(format!("the entry at {entry:#x} ends behind its container"));
            }
            if number(entry, 2) == 2 && number(entry + 28, 4) == 90 {
                found.push(bytes[entry..entry + size].to_vec());
            }
            entry += size;
        }
        at = end;
    }
    // One that was moved may be there twice for a moment.
    found.dedup();
    Ok(found)
}

#[test]
fn a_kill_leaves_what_runs() {
    if !can_trace("crashes::slim::a_kill_leaves_what_runs") {
        return;
    }
    let first = [(code(75, 5000), false), (code(80, 300), false), (code(90, 900), true), (code(100, 9000), false)];
    // Moved over what is just as long, over what is too short, and one behind the other.
    let second = [(code(80, 900), false), (code(90, 908), true), (code(75, 40), false), (code(90, 2000), true)];
    let third = [(code(75, 904), false), (code(90, 904), true), (code(90, 16), true), (code(75, 80_000), false)];
    let before = row(&[pair(&first), pair(&second), pair(&third)], 8).before;
    let wanted = runs(&before).unwrap();
    assert_eq!(wanted.len(), 5);
    let modes: [&[&str]; 3] = [&[], &["--no-compact"], &["--in-place", "--no-compact"]];
    let failures = for_all(&modes, |mode| {
        let tree = Tree::new();
        let file = tree.file("tree/k.fatbin", &before);
        let mut slim = Traced::new(program(), tree.join("log"));
        slim.arguments(["slim", "--arch", "9.0", "--jobs", "1"]).arguments(*mode).arguments([&file]);
        let (run, calls) = slim.calls(&file);
        run.assert_code(0, "slim");
        let done = std::fs::read(&file).unwrap();
        assert!(runs(&done).unwrap() == wanted, "{mode:?}");
        let mut kills = 0;
        for call in calls.iter().filter(|call| call.changes_files()) {
            let told = format!("{mode:?}, killed at {}", call.text);
            std::fs::write(&file, &before).unwrap();
            let ended = slim.run_with(&[call.inject("signal=SIGKILL")]);
            assert_eq!(ended.code, KILLED, "{told}: {}", ended.said());
            let left = std::fs::read(&file).unwrap();
            assert!(runs(&left).map_err(|error| format!("{told}: {error}"))? == wanted, "{told}");
            if !mode.contains(&"--in-place") {
                assert!(left == before || left == done, "{told}: neither the old nor the new file");
            }
            again(&file, mode, &told);
            assert!(runs(&std::fs::read(&file).unwrap()).unwrap() == wanted, "{told}, again");
            kills += 1;
            for name in crate::harness::names(&tree.join("tree")) {
                if name != "k.fatbin" {
                    std::fs::remove_file(tree.join("tree").join(name)).unwrap();
                }
            }
        }
        println!("{mode:?}: {kills} kills");
        assert!(kills > 3, "{mode:?}");
        Ok(())
    });
    assert!(failures.is_empty(), "{failures:?}");
}

/// The next run ends, and leaves nothing for the one after it.
fn again(file: &Path, mode: &[&str], told: &str) {
    let path = file.to_str().unwrap();
    invoke([&["slim", "--arch", "9.0"], mode, &[path]].concat()).assert_code(0, told);
    invoke([&["slim", "--arch", "9.0", "--check"], mode, &[path]].concat()).assert_code(0, told);
    // In place something may stay that a new file does without.
    let mut all = crate::harness::binary();
    expect(all.args(["slim", "--arch", "9.0", path]), 0);
}
