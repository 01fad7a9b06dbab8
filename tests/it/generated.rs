//! Every layout of the generator, edited in both write modes, compared byte by byte, loaded and run.

mod any;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::elfgen::compare::differences;
use crate::elfgen::read::Image;
use crate::elfgen::{Kind, Spec, presets};
use crate::harness::images::{answer, dependency};
use crate::harness::{Contents, IN_PLACE, MODES, REPLACE, Snapshot, Tree, invoke, names, rung_of};

const DRIVER: &str = "/run/opengl-driver/lib";

/// Room for the first page of a new segment on machines with large pages.
const PAGE_ROOM: u64 = 64 << 10;

/// The path that the default policy makes of a spec's, with `driver` in front: stubs and empty entries go.
pub(crate) fn wanted(spec: &Spec, driver: &str) -> Vec<u8> {
    let runpath = spec.paths.iter().rev().find(|(tag, _)| *tag == crate::elfgen::Tag::Runpath).or(spec.paths.last());
    let old = runpath.map(|(_, path)| path.clone()).unwrap_or_default();
    let stays = |entry: &&[u8]| !entry.is_empty() && !entry.ends_with(b"/stubs") && *entry != driver.as_bytes();
    let mut path = driver.as_bytes().to_vec();
    for entry in old.split(|byte| *byte == b':').filter(stays) {
        path.push(b':');
        path.extend_from_slice(entry);
    }
    path
}

fn editable(spec: &Spec) -> bool {
    matches!(spec.kind, Kind::Exec | Kind::Pie | Kind::Library)
}

/// Whether the spec's own words say that the file must be refused: a payload behind it and no room inside.
fn refused(name: &str) -> bool {
    name.starts_with("rung-l-")
}

fn skipped(name: &str) -> bool {
    name.starts_with("skip-")
}

/// Runs `fix` and gives back what it says about each file, by file name.
fn fix(folder: &Path, arguments: &[&str]) -> (i32, BTreeMap<String, Value>) {
    let mut all = vec!["fix", "--strict", "--json", "-v"];
    all.extend(arguments);
    all.push(folder.to_str().expect("a plain path"));
    let result = invoke(all);
    result.assert_orderly("fix");
    let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    (result.code, result.files().into_iter().map(|(path, file)| (name(path), file)).collect())
}

fn write_all(tree: &Tree) -> BTreeMap<&'static str, (Spec, Snapshot)> {
    let place = |(name, spec): (&'static str, Spec)| {
        let file = tree.executable(name, &spec.build());
        (name, (spec, Snapshot::of(&file)))
    };
    presets().into_iter().map(place).collect()
}

fn report(failures: &[String]) {
    let shown = failures.iter().take(60).map(|line| line.chars().take(400).collect::<String>()).collect::<Vec<_>>();
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), shown.join("\n"));
}

#[test]
fn both_write_modes_keep_every_layout_and_agree() {
    let trees = [Tree::in_memory(), Tree::new()];
    let before = trees.each_ref().map(write_all);
    let mut failures = Vec::new();
    for ((tree, before), mode) in trees.iter().zip(&before).zip([IN_PLACE, REPLACE]) {
        let (code, files) = fix(tree.path(), mode);
        assert_eq!(code, 2, "the files that must be refused are failures");
        for (name, (spec, old)) in before {
            let now = Snapshot::of(&tree.join(name));
            let said = files.get(*name).cloned().unwrap_or_default();
            let outcome = said["outcome"].as_str().unwrap_or("not listed");
            let expected = if skipped(name) {
                "skipped"
            } else if refused(name) {
                "failed"
            } else {
                "fixed"
            };
            if outcome != expected {
                failures.push(format!(
                    "{name} {mode:?}: {outcome} instead of {expected}: {} {}",
                    said["error"], said["reason"]
                ));
            }
            if outcome != "fixed" {
                if now != *old {
                    failures.push(format!("{name} {mode:?}: {outcome}, and yet written"));
                }
                continue;
            }
            let Some(after) = Image::parse(&std::fs::read(tree.join(name)).unwrap()) else {
                failures.push(format!("{name} {mode:?}: cannot be read any more"));
                continue;
            };
            let image = Image::parse(&spec.build()).expect("a sound image");
            let wanted = wanted(
                spec,
                if image.class == crate::elfgen::Class::Elf32 { "/run/opengl-driver-32/lib" } else { DRIVER },
            );
            let found = differences(&image, &after, &wanted, &spec.overlay);
            failures.extend(
                found.into_iter().map(|difference| format!("{name} {mode:?} ({}): {difference}", said["strategy"])),
            );
            // Bytes that are not UTF-8 are escaped there.
            if std::str::from_utf8(&wanted).is_ok_and(|wanted| said["after"] != wanted) {
                failures.push(format!("{name} {mode:?}: reports {}", said["after"]));
            }
            if now.mode != old.mode {
                failures.push(format!("{name} {mode:?}: mode {:o} became {:o}", old.mode, now.mode));
            }
        }
    }
    for name in before[0].keys() {
        if Contents::of(&trees[0].join(name)) != Contents::of(&trees[1].join(name)) {
            failures.push(format!("{name}: the two write modes differ"));
        }
    }
    report(&failures);
}

#[test]
fn second_run_writes_nothing() {
    let tree = Tree::new();
    let before = write_all(&tree);
    let mut failures = Vec::new();
    fix(tree.path(), &["--in-place"]);
    let first: BTreeMap<_, _> = before.keys().map(|name| (name, Snapshot::of(&tree.join(name)))).collect();
    for mode in MODES {
        let (_, files) = fix(tree.path(), mode);
        for (name, old) in &first {
            let outcome = files.get(**name).map(|file| file["outcome"].to_string()).unwrap_or_default();
            if !skipped(name) && !refused(name) && outcome != "\"conforms\"" {
                failures.push(format!("{name} {mode:?}: {outcome} in the second run"));
            }
            let now = Snapshot::of(&tree.join(**name));
            if now != *old {
                failures.push(format!("{name} {mode:?}: written again"));
            }
        }
    }
    assert_eq!(names(tree.path()).len(), before.len(), "temporary files stay behind");
    report(&failures);
}

#[test]
fn each_rung_of_the_ladder_is_the_first_that_fits() {
    let tree = Tree::new();
    write_all(&tree);
    // The strings of the presets are laid out for the 64-bit folder.
    let (_, files) = fix(tree.path(), &["--dry-run", "--driver", DRIVER]);
    let mut failures = Vec::new();
    for (name, file) in &files {
        let Some(rung) = rung_of(name) else { continue };
        if file["strategy"] != rung.name {
            failures.push(format!("{name}: {} instead of {} {}", file["strategy"], rung.name, file["error"]));
        }
    }
    report(&failures);
}

#[test]
fn dynamic_entry_for_a_new_path_is_the_least_harmful_one() {
    let tree = Tree::new();
    let before = write_all(&tree);
    fix(tree.path(), &["--in-place", "--driver", DRIVER]);
    let after = |name: &str| Image::read(&tree.join(name));
    let old = |name: &str| Image::parse(&before[name].0.build()).expect(name);
    assert_eq!((old("slot-spare").spare, after("slot-spare").spare), (5, 4), "a spare entry is used");
    assert_eq!(after("slot-one-spare").spare, 0, "the terminator stays");
    assert_eq!(after("slot-debug-of-library").tag(21), None, "a library's DT_DEBUG gives way");
    assert_eq!(after("slot-relacount").tag(0x6fff_fff9), None, "DT_RELACOUNT is a hint");
    assert_eq!(after("slot-relcount-32").tag(0x6fff_fffa), None, "DT_RELCOUNT is a hint");
    for name in ["slot-relacount-pie", "slot-move-dynamic-pie"] {
        assert!(after(name).tag(21).is_some(), "{name}: a debugger needs DT_DEBUG of a program");
    }
    for name in ["slot-rpath", "slot-both", "slot-both-differ"] {
        assert_eq!(after(name).tag(15), None, "{name}: DT_RPATH is gone");
    }
    for name in ["slot-move-dynamic", "slot-move-dynamic-pie", "slot-move-dynamic-mips", "slot-move-dynamic-tight"] {
        assert!(after(name).spare >= 1, "{name}: a moved table keeps a spare entry");
    }
}

/// The note answers for the path: it names the new folder first, or it is gone with every store path in it.
#[test]
fn resolution_note_tells_the_truth() {
    const KIND: u64 = 0x63a8_6cb6;
    let tree = Tree::new();
    let noted = |(_, spec): &(&'static str, Spec)| spec.ldcache.is_some();
    for (name, spec) in presets().into_iter().filter(noted) {
        let file = tree.executable(name, &spec.build());
        let result = invoke(["fix", "--in-place", "--driver", DRIVER, file.to_str().unwrap()]);
        result.assert_code(0, name);
        let bytes = std::fs::read(&file).unwrap();
        let old = Image::parse(&spec.build()).unwrap();
        let note = old.section(".note.nixos.ldcache").unwrap();
        let (start, size) = (note.offset as usize, note.size as usize);
        // Owner size, descriptor size, type, owner padded to four, descriptor.
        let number = |at: usize| {
            let bytes: [u8; 4] = bytes[start + at..][..4].try_into().unwrap();
            u64::from(if old.order == crate::elfgen::Order::Big {
                u32::from_be_bytes(bytes)
            } else {
                u32::from_le_bytes(bytes)
            })
        };
        let text = String::from_utf8_lossy(&bytes[start..start + size]).into_owned();
        if number(8) == KIND {
            let descriptor = &bytes[start + 20..][..number(4) as usize];
            let words: Vec<&[u8]> = descriptor.split(|byte| *byte == 0).collect();
            let pairs: Vec<_> = words.chunks(2).take_while(|pair| !pair[0].is_empty()).collect();
            assert_eq!(pairs.len(), spec.ldcache.as_ref().unwrap().len(), "{name}: {text:?}");
            for (pair, (soname, _)) in pairs.iter().zip(spec.ldcache.as_ref().unwrap()) {
                assert_eq!(pair[0], soname.as_bytes(), "{name}");
                let first = pair[1].split(|byte| *byte == b':').next().unwrap();
                assert_eq!(first, format!("?{DRIVER}").as_bytes(), "{name}: {text:?}");
            }
        } else {
            assert!(
                !text.contains("/nix/store"),
                "{name}: a store path stays in a note that no loader reads: {text:?}"
            );
        }
    }
}

/// What this machine can load is loaded, before with the old folder and after with the new one.
#[test]
fn edited_images_load_with_the_new_path() {
    let test = "edited_images_load_with_the_new_path";
    let mut failures = Vec::new();
    let mut count = 0;
    for (name, spec) in
        presets().into_iter().filter(|(name, spec)| spec.runs_here() && editable(spec) && !skipped(name))
    {
        for mode in MODES {
            let tree = Tree::new();
            let old = dependency(&tree, "old", 1);
            let new = dependency(&tree, "new", 2);
            let file = tree.executable(format!("images/{name}"), &spec.build());
            // `$ORIGIN/old` of the specs lies beside the image.
            tree.symlink(&old, "images/old");
            let finds = spec.paths.iter().any(|(_, path)| path.windows(4).any(|part| part == b"/old"));
            let Some(first) = answer(&spec, &file, (!finds).then_some(&*old), test) else { return };
            let mut arguments = vec!["fix", "--strict", "--driver", new.to_str().unwrap()];
            arguments.extend(mode);
            arguments.push(file.to_str().unwrap());
            let result = invoke(arguments);
            let second = answer(&spec, &file, None, test).expect("the loader is there");
            let expected = if refused(name) { 2 } else { 0 };
            if result.code != expected || first != Ok(41) || second != Ok(if refused(name) { 41 } else { 42 }) {
                failures.push(format!(
                    "{name} {mode:?}: exit {:?}, {first:?} then {second:?} {}",
                    result.code, result.stderr
                ));
            }
            count += 1;
        }
    }
    report(&failures);
    assert!(count >= 60 || !cfg!(all(target_arch = "x86_64", target_os = "linux")), "{count} images ran");
}

/// Path after path in front: after the first edit the file grows by its strings and no more than one more page.
#[test]
fn repeated_edits_grow_nothing_but_the_strings() {
    let test = "repeated_edits_grow_nothing_but_the_strings";
    let tree = Tree::new();
    let images = tree.join("images");
    let mut list = Vec::new();
    // Hundreds of megabytes of hole do not belong into a loop of twenty runs; two of them are seen elsewhere.
    for (name, spec) in presets().into_iter().filter(|(name, spec)| editable(spec) && !skipped(name) && !refused(name))
    {
        if !name.starts_with("rung-k-") {
            tree.executable(format!("images/{name}"), &spec.build());
            list.push((name, spec));
        }
    }
    dependency(&tree, "images/old", 1);
    let sizes = || -> BTreeMap<&str, (u64, usize)> {
        let size = |name: &'static str| {
            let bytes = std::fs::read(images.join(name)).expect("an image");
            (
                name,
                (
                    bytes.len() as u64,
                    Image::parse(&bytes).and_then(|image| image.runpath()).map_or(0, |path| path.len()),
                ),
            )
        };
        list.iter().map(|(name, _)| size(name)).collect()
    };
    let new = dependency(&tree, "new", 2);
    let original = sizes();
    let mut first = BTreeMap::new();
    let mut failures = Vec::new();
    for round in 0..20 {
        // The last one exists and holds the dependency.
        let folder = format!("{}/{}", new.parent().unwrap().display(), "n".repeat(round + 4));
        if round == 19 {
            std::fs::rename(&new, &folder).expect("a folder");
        }
        let mut arguments = vec!["fix", "--driver", &folder, "--exclude", "old"];
        if round % 2 == 0 {
            arguments.push("--in-place");
        }
        arguments.push(images.to_str().unwrap());
        let result = invoke(arguments);
        if result.code != 0 {
            failures.push(format!("round {round}: exit {:?} {}", result.code, result.stderr));
            break;
        }
        if round == 0 {
            first = sizes();
        }
    }
    let last = sizes();
    for (name, spec) in &list {
        let ((size, _), (size_one, path_one), (size_now, path_now)) = (original[name], first[name], last[name]);
        let strings = (path_now - path_one) as u64;
        if size_now > size_one + strings + PAGE_ROOM {
            failures
                .push(format!("{name}: {size} then {size_one} and after twenty edits {size_now}, the path {path_now}"));
        }
        let image = spec.build();
        let (before, now) = (Image::parse(&image).unwrap(), Image::parse(&std::fs::read(images.join(name)).unwrap()));
        let Some(now) = now else {
            failures.push(format!("{name}: cannot be read any more"));
            continue;
        };
        let path = now.runpath().unwrap_or_default();
        let found = differences(&before, &now, &path, &spec.overlay);
        failures.extend(found.into_iter().map(|difference| format!("{name} after twenty edits: {difference}")));
        if spec.runs_here() {
            let Some(answer) = answer(spec, &images.join(name), None, test) else { continue };
            if answer != Ok(42) {
                failures.push(format!("{name} after twenty edits: {answer:?}"));
            }
        }
    }
    report(&failures);
}
