//! What stands behind the object, at the end of the file.

use std::io::Write as _;
use std::path::Path;

use super::layouts::{Real, answer_after, assert_image_kept, long_path};
use super::naive::moves;
use crate::elfgen;
use crate::harness::editors::Patchelf;
use crate::harness::{Link, NATIVE, Shape, fix, linkers, run};

/// PyInstaller, AppImage, bun and deno append an archive to a program, which finds it by counting from the end of its
/// own file. What patchelf and every naive editor append comes behind that, and the program says that its payload is
/// gone.
#[test]
fn payload_at_the_end() {
    let test = "payload_at_the_end";
    // It looks like section headers, like text, and is no multiple of anything.
    let payload: Vec<u8> = (0..5003_u32).map(|at| (at * at % 251) as u8).chain(*b"the payload ends here").collect();
    let attach =
        |file: &Path| std::fs::OpenOptions::new().append(true).open(file).unwrap().write_all(&payload).unwrap();
    for linker in linkers(test) {
        for shape in [Shape::Exec, Shape::Pie] {
            for flags in [&[][..], &["-Wl,-z,separate-loadable-segments"]] {
                // gold does not know the word.
                if linker == "gold" && !flags.is_empty() {
                    continue;
                }
                let told = format!("{linker} {shape:?} {flags:?}");
                let real = Real::treated(&Link::new("self_reading.c", shape).linker(linker).flags(flags), attach);
                // Linkers that leave no padding leave no room inside.
                if run(fix(NATIVE).args(["--strict", "--dry-run"]).arg(real.original())).code == 2 {
                    assert_ne!(linker, "bfd", "{told} has padding");
                    assert!(flags.is_empty(), "{told} has padding");
                    real.assert_refused("payload", &told);
                } else {
                    let kept = real.assert_kept(&told);
                    assert!(std::fs::read(kept.file).unwrap().ends_with(&payload), "{told}");
                }
                // 158: something else ends the file.
                assert_eq!(real.run_after_bytes(&moves).code, 158, "{told}: naive");
                // patchelf puts new pages in front of ET_EXEC programs.
                for patchelf in Patchelf::both(test).iter().filter(|_| shape == Shape::Pie) {
                    let ended = real.run_after(|file| patchelf.must_edit(&["--set-rpath", &long_path()], file));
                    assert_eq!(ended.code, 158, "{told}: {}", patchelf.name);
                }
            }
        }
    }
    for (name, spec) in elfgen::presets().into_iter().filter(|(name, _)| *name == "rung-e-slack-overlay") {
        assert_image_kept(&spec, name, test);
        let answer = answer_after(&spec, &moves, test);
        assert!(answer.is_none_or(|answer| answer == Ok(42)), "the naive edit is seen by the payload's reader only");
    }
}
