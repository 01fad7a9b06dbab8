//! Files that were edited before: by this program, or by others.

use std::path::{Path, PathBuf};

use super::layouts::{Real, long_path};
use crate::elfgen::read::Image;
use crate::harness::editors::Patchelf;
use crate::harness::{Link, NATIVE, NEW, PROGRAMS, Shape, binary, deps, linkers, run};

/// Hooks run one after another, and each puts a directory in front. patchelf adds a page and more each time, also the
/// newest; here a file uses the room that it has, moves its strings to its end once, and from then on grows by strings.
/// It is never larger than one long edit makes it. When its room runs out depends on the path's length.
#[test]
fn repeated_edits() {
    const ROUNDS: usize = 12;
    let test = "repeated_edits";
    let driver = |round: usize, first: usize| match round {
        1 => PathBuf::from(format!("/opt/{}", "p".repeat(first))),
        ROUNDS => deps(NATIVE).new.clone(),
        _ => PathBuf::from(format!("/opt/some/package/number/{round:02}/lib")),
    };
    let fix = |file: &Path, driver: &Path, told: &str| {
        let ended = run(binary().args(["fix", "--in-place", "--driver"]).arg(driver).arg(file));
        assert_eq!(ended.code, 0, "{told}: {}", ended.said());
        sizes(file)
    };
    for linker in linkers(test) {
        for (source, shape) in PROGRAMS {
            let real = Real::new(&Link::new(source, shape).linker(linker));
            let once = fix(&real.copy("once"), &PathBuf::from(format!("/opt/{}", "p".repeat(3000))), linker);
            for first in [26, 100, 300] {
                let told = format!("{linker} {shape:?} {first}");
                let file = real.copy("fix");
                let sizes = (1..=ROUNDS).map(|round| fix(&file, &driver(round, first), &told)).collect::<Vec<_>>();
                let last = sizes[ROUNDS - 1];
                assert!(last.2 < once.2, "{told}: {last:?} is to be the shorter edit, {once:?}");
                assert!(last.0 + once.2 <= once.0 + last.2, "{told}: {sizes:?}, at once {once:?}");
                let moved = sizes.windows(2).filter(|pair| pair[1].0 - pair[0].0 > pair[1].1).count();
                assert!(moved <= 1, "{told}: {sizes:?}");
                assert_eq!(real.run(&file).code, NEW, "{told}");
            }
            if shape != Shape::Library {
                continue;
            }
            for patchelf in Patchelf::both(test) {
                let file = real.copy("other");
                let mut first = (0, 0, 0);
                let mut path = deps(NATIVE).old.display().to_string();
                for round in 1..=ROUNDS {
                    path = format!("{}:{path}", driver(round, 26).display());
                    patchelf.must_edit(&["--set-rpath", &path], &file);
                    if round == 1 {
                        first = sizes(&file);
                    }
                }
                let growth = sizes(&file).0 - first.0;
                assert!(growth > 0x1000 * (ROUNDS as u64 - 2), "{linker}: {} grew by {growth} only", patchelf.name);
            }
        }
    }
}

/// The sizes of the file, of its path and of its string table.
fn sizes(file: &Path) -> (u64, u64, u64) {
    let image = Image::read(file);
    let [path, strings] = [image.runpath(), image.string_table()].map(|bytes| bytes.map_or(0, |bytes| bytes.len()));
    (image.data.len() as u64, path as u64, strings as u64)
}

/// NVIDIA's libraries come patched already: `.dynstr` in a writable PT_LOAD at the end, X and Z where things were, a
/// section header table out of order, and with the newest patchelf a note that answers for the search path. An editor
/// that does not know the note, as patchelf 0.14, leaves it to answer with the old directory.
#[test]
fn edited_by_patchelf_before() {
    let test = "edited_by_patchelf_before";
    let long = long_path();
    // The old directory alone counts: the new one is not in front yet.
    let before = format!("/{}:{}", "y/".repeat(200), deps(NATIVE).old.display());
    for linker in linkers(test) {
        for (source, shape) in PROGRAMS {
            for first in Patchelf::both(test) {
                let told = format!("{linker} {shape:?} after {}", first.name);
                let real = Real::treated(&Link::new(source, shape).linker(linker), |file| {
                    first.must_edit(&["--add-needed", "libm.so.6"], file);
                    first.must_edit(&["--set-rpath", &before], file);
                    if shape == Shape::Library {
                        first.must_edit(&["--set-soname", "libuser.so"], file);
                    }
                });
                let kept = real.assert_kept(&told);
                for again in Patchelf::both(test) {
                    let file = real.copy_of(&kept.file, "again");
                    again.must_edit(&["--set-rpath", &long], &file);
                    assert_eq!(real.run(&file).code, NEW, "{told}, {} and {}", kept.strategy, again.name);
                }
            }
            let Some(newest) = Patchelf::new(test) else { continue };
            let told = format!("{linker} {shape:?} with a cache");
            let old = deps(NATIVE).old.join("libdep.so").to_str().unwrap().to_owned();
            let real = Real::treated(&Link::new(source, shape).linker(linker), |file| {
                newest.must_edit(&["--build-resolution-cache"], file);
                assert_eq!(cached(file).as_deref(), Some(&*format!("={old}")), "{told}");
            });
            let new = deps(NATIVE).new.to_str().unwrap();
            let answer = cached(&real.assert_kept(&told).file);
            assert!(answer.as_deref().is_none_or(|found| found.starts_with(&format!("?{new}"))), "{told}: {answer:?}");
            if let Some(patchelf) = Patchelf::old(test) {
                let file = real.copy("other");
                patchelf.must_edit(&["--set-rpath", &long], &file);
                assert_eq!(cached(&file).as_deref(), Some(&*format!("={old}")), "{told}: {}", patchelf.name);
            }
        }
    }
}

/// What `.note.nixos.ldcache` answers for libdep.so; `None` where there is no such note any more.
fn cached(file: &Path) -> Option<String> {
    let image = Image::read(file);
    let note = image.section(".note.nixos.ldcache").expect("the section stays");
    let bytes = &image.data[note.offset as usize..][..note.size as usize];
    // Owner size, descriptor size, type, owner and its padding.
    if bytes[8..12] != 0x63a8_6cb6_u32.to_le_bytes() {
        return None;
    }
    let mut words = bytes[20..].split(|byte| *byte == 0).map(|word| String::from_utf8(word.to_vec()).unwrap());
    words.find(|word| word == "libdep.so")?;
    words.next()
}
