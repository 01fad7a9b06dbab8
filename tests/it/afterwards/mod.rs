//! What others do with an edited file: strip it, debug it, list and resolve it, read all of it, edit it again.
//!
//! Once on real files, of every linker and for every strategy that can be had with it, and once on generated images.
//! What a tool breaks in the unedited file too is its own business.

mod ways;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use self::ways::{Edited, WAYS, edited};
use crate::elfgen::read::Image;
use crate::elfgen::{self, Headers, Spec};
use crate::harness::case::Strips;
use crate::harness::editors::{Patchelf, python};
use crate::harness::fixtures::{host, succeed};
use crate::harness::images::{answer, dependency};
use crate::harness::{
    NATIVE, NEW, OLD, PROGRAMS, Shape, Show, Tree, command, copy_program, deps, ensure, for_all, linkers, long,
    require, run, rungs,
};

/// What a step found wrong.
type Outcome = Result<(), String>;

/// Whether a copy of the edited file works after a treatment, unless the unedited file does not survive that
/// either.
///
/// The copies lie beside the files, as `libuser.so` is looked for by name. `works` is asked for the unedited and for
/// the edited file.
fn survives(
    [original, edited]: [&Path; 2],
    treat: &dyn Fn(&Path) -> Outcome,
    works: [&dyn Fn(&Path) -> Outcome; 2],
) -> Outcome {
    let attempt = |file: &Path, works: &dyn Fn(&Path) -> Outcome| {
        let copy = copied(file);
        treat(&copy).and_then(|()| works(&copy))
    };
    let Err(failure) = attempt(edited, works[1]) else { return Ok(()) };
    // Broken without an edit too?
    attempt(original, works[0]).map_or(Ok(()), |()| Err(failure))
}

fn copied(file: &Path) -> PathBuf {
    let copy = file.with_extension("treated");
    copy_program(file, &copy);
    copy
}

/// Whether patchelf can edit the edited file once more, with a path in front of which the loader finds what `works`
/// wants.
fn survives_patchelf(
    patchelf: &Patchelf,
    edit: &[&str],
    path: &str,
    [original, edited]: [&Path; 2],
    works: &dyn Fn(&Path) -> Outcome,
) -> Outcome {
    let attempt = |file: &Path, path: &str| {
        let copy = copied(file);
        // One after the other: 0.14 forgets the path when it does both at once.
        let edits = [edit, &["--set-rpath", path][..]];
        let failed = edits
            .iter()
            .filter(|edit| !edit.is_empty())
            .find_map(|edit| Some(patchelf.edit(edit, &copy)).filter(|ended| ended.code != 0));
        let Some(ended) = failed else { return works(&copy) };
        let [before, after] = [file, &*copy].map(|file| std::fs::read(file).unwrap());
        ensure(before == after && gives_up_on(&after), &ended.said())
    };
    let Err(failure) = attempt(edited, path) else { return Ok(()) };
    // Where the sizes of what it moves in front fall badly, patchelf 0.14 lays a section across the end of a segment. That
    // the sizes are others after an edit is luck, so an unedited ET_EXEC program is tried with a page of lengths.
    let is_exec = std::fs::read(original).is_ok_and(|bytes| Image::parse(&bytes).is_some_and(|image| image.kind == 2));
    let mut lengths = (0..if is_exec { 128 } else { 1 }).map(|more| format!("{path}{}", "x".repeat(32 * more)));
    if lengths.any(|path| attempt(original, &path).is_err()) { Ok(()) } else { Err(failure) }
}

/// No patchelf edits an ET_EXEC program whose string table is the last section: it asserts that another one follows,
/// and leaves the file as it is.
fn gives_up_on(bytes: &[u8]) -> bool {
    let Some(image) = Image::parse(bytes) else { return false };
    let last = image.sections.iter().max_by_key(|section| section.offset);
    image.kind == 2 && last.is_some_and(|last| Some(last.address) == image.tag(5))
}

/// Runs a tool that must succeed.
fn tool(words: &[String], file: &Path) -> Outcome {
    succeed(command(&words[0]).args(&words[1..]).arg(file))
}

/// Where gdb stops at a function of a program or library, as a backtrace. A debug file is put beside it, where its
/// debug link leads.
pub(crate) fn backtrace(file: &Path, shape: Shape, function: &str, debug: Option<&Path>) -> String {
    let mut gdb = command("gdb");
    gdb.args(["-nx", "-batch", "-iex", "set debuginfod enabled off"]);
    if let Some(debug) = debug {
        std::fs::copy(debug, file.with_file_name(debug.file_name().unwrap())).unwrap();
    }
    gdb.args([
        "-ex",
        "set breakpoint pending on",
        "-ex",
        &format!("break {function}"),
        "-ex",
        "run",
        "-ex",
        "backtrace",
    ]);
    gdb.arg("--args");
    if shape == Shape::Library {
        gdb.arg(host("host.c", NATIVE));
    }
    run(gdb.arg(file)).stdout
}

/// Edited files of the linkers that are here: for each strategy a library and a program, or with `--long` all.
fn files(test: &str) -> Vec<Edited> {
    let mut wanted = Vec::new();
    for linker in linkers(test) {
        wanted.extend(PROGRAMS.into_iter().flat_map(|(source, shape)| WAYS.map(|way| (linker, source, shape, way))));
    }
    let made = Mutex::new(Vec::new());
    let numbered: Vec<_> = wanted.into_iter().enumerate().collect();
    let failures = for_all(&numbered, |&(number, (linker, source, shape, way))| {
        if let Some(edited) = edited(linker, source, shape, way) {
            made.lock().unwrap().push((number, edited));
        }
        Ok(())
    });
    assert!(failures.is_empty());
    let mut made = made.into_inner().unwrap();
    made.sort_by_key(|(number, _)| *number);
    let mut seen = BTreeSet::new();
    let mut first =
        |edited: &Edited| seen.insert((edited.linker, edited.shape == Shape::Library, edited.strategy.clone()));
    made.into_iter().map(|(_, edited)| edited).filter(|edited| first(edited) || long()).collect()
}

/// What is here to treat a file with.
struct Tools {
    strips: Vec<Vec<String>>,
    patchelfs: Vec<Patchelf>,
    gdb: bool,
    ldconfig: bool,
}

#[test]
fn edited_files_are_as_good_as_any() {
    let test = "edited_files_are_as_good_as_any";
    if !require("cc", test) {
        return;
    }
    let tools = Tools {
        strips: Strips::All.found(NATIVE, test),
        patchelfs: Patchelf::both(test),
        gdb: require("gdb", test),
        ldconfig: require("/sbin/ldconfig", test),
    };
    let files = files(test);
    let mut strategies = BTreeMap::<&str, BTreeSet<&str>>::new();
    for edited in &files {
        strategies.entry(&edited.strategy).or_default().insert(edited.linker);
    }
    let here = linkers(test).len();
    for rung in rungs(Show::Treated) {
        assert_eq!(strategies.get(rung.name).map_or(0, BTreeSet::len), here, "{}: {strategies:?}", rung.name);
    }
    // Every other linker leaves a program header that makes room.
    assert!(strategies.contains_key("move-table") || !require("ld.gold", test), "{strategies:?}");

    let failures = for_all(&files, |edited| {
        let failures =
            [strip(edited, &tools), edit_again(edited, &tools), debug(edited, &tools), resolve(edited, &tools)];
        let told: Vec<String> = failures.into_iter().flatten().collect();
        ensure(told.is_empty(), &format!("{}:\n  {}", edited.told, told.join("\n  ")))
    });
    assert!(failures.is_empty(), "{} of {} files:\n{}", failures.len(), files.len(), failures.join("\n"));
    list(&files, test);
    read(&files, test);
    println!("{} files: {strategies:?}", files.len());
}

/// A table that moved comes with a warning that a strip may break the file, and all but LLVM's do.
fn is_expected_to_survive(strategy: &str, strip: &[String]) -> bool {
    strategy != "move-table" || strip[0] == "llvm-strip"
}

fn strip(edited: &Edited, tools: &Tools) -> Vec<String> {
    let works = |code: i32| {
        move |file: &Path| {
            let ended = edited.run(file);
            ensure(ended.code == code, &ended.said())
        }
    };
    let failure = |strip: &Vec<String>| {
        let treat = |file: &Path| tool(strip, file);
        let outcome = survives([&edited.original, &edited.file], &treat, [&works(OLD), &works(NEW)]);
        outcome.err().map(|failure| format!("after {strip:?}: {failure}"))
    };
    tools.strips.iter().filter(|strip| is_expected_to_survive(&edited.strategy, strip)).filter_map(failure).collect()
}

/// The path that the next editor sets: the old directory is in front again, and no file has a longer one.
fn newest_path() -> String {
    format!("{}:/{}", deps(NATIVE).old.display(), "newest/".repeat(900))
}

/// patchelf edits it once more, and what it says is what the loader does.
fn edit_again(edited: &Edited, tools: &Tools) -> Vec<String> {
    let path = newest_path();
    let mut edits: Vec<&[&str]> = vec![&[], &["--add-needed", "libm.so.6"]];
    if edited.shape == Shape::Library {
        edits.push(&["--set-soname", "libuser.so.with.a.much.longer.name.than.before"]);
    }
    let works = |file: &Path| {
        let ended = edited.run(file);
        ensure(ended.code == OLD, &ended.said())
    };
    let mut failures = Vec::new();
    for patchelf in &tools.patchelfs {
        for edit in &edits {
            let outcome = survives_patchelf(patchelf, edit, &path, [&edited.original, &edited.file], &works);
            failures.extend(outcome.err().map(|failure| format!("after {} {edit:?}: {failure}", patchelf.name)));
        }
    }
    failures
}

/// gdb stops at a function and names its source.
fn debug(edited: &Edited, tools: &Tools) -> Vec<String> {
    if !tools.gdb {
        return Vec::new();
    }
    let function = if edited.shape == Shape::Library { "user_number" } else { "main" };
    let shown = backtrace(&edited.file, edited.shape, function, None);
    // `#0  main (argc=1, …) at …/user_program.c:12`
    let is_there = shown.lines().any(|line| line.starts_with("#0") && line.contains(&format!("{}:", edited.source)));
    if is_there { Vec::new() } else { vec![format!("gdb: {shown}")] }
}

/// ldd finds the new dependency, ldconfig the SONAME.
fn resolve(edited: &Edited, tools: &Tools) -> Vec<String> {
    let mut failures = Vec::new();
    let shown = run(command("ldd").arg(&edited.file)).stdout;
    let wanted = format!("libdep.so => {}/libdep.so", deps(NATIVE).new.display());
    if !shown.contains(&wanted) {
        failures.push(format!("ldd: {shown}"));
    }
    if tools.ldconfig && edited.shape == Shape::Library {
        // Under another name, so that the link says what ldconfig read.
        let folder = edited.tree.folder("ldconfig");
        std::fs::copy(&edited.file, folder.join("libother.so.9")).unwrap();
        let ended = run(command("/sbin/ldconfig").arg("-n").arg(&folder));
        let link = std::fs::read_link(folder.join("libuser.so"));
        if ended.code != 0 || !ended.stderr.is_empty() || link.ok() != Some(PathBuf::from("libother.so.9")) {
            failures.push(format!("ldconfig: {}", ended.said()));
        }
    }
    failures
}

/// One cache lists every library.
fn list(files: &[Edited], test: &str) {
    if !require("/sbin/ldconfig", test) {
        return;
    }
    let tree = Tree::new();
    let libraries: Vec<&Edited> = files.iter().filter(|edited| edited.shape == Shape::Library).collect();
    let folders: Vec<String> =
        libraries.iter().map(|edited| edited.file.parent().unwrap().display().to_string()).collect();
    let folders_file = tree.file("ld.so.conf", folders.join("\n").as_bytes());
    let cache = tree.join("ld.so.cache");
    let ended = run(command("/sbin/ldconfig").args(["-X", "-f"]).arg(folders_file).arg("-C").arg(&cache));
    assert_eq!(ended.code, 0, "{}", ended.said());
    let listing = run(command("/sbin/ldconfig").arg("-C").arg(&cache).arg("-p")).stdout;
    for edited in libraries {
        let line = listing.lines().find(|line| line.ends_with(&format!("=> {}", edited.file.display())));
        assert!(line.is_some_and(|line| line.trim().starts_with("libuser.so (")), "{}: {line:?}", edited.told);
    }
}

/// pyelftools reads everything in both files without a complaint, and finds the same symbols, versions and notes.
fn read(files: &[Edited], test: &str) {
    let Some(python) = python(test) else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/afterwards/read.py");
    let mut command = command(python);
    command.arg(script);
    for edited in files {
        command.arg(&edited.original).arg(&edited.file);
    }
    let ended = run(&mut command);
    let told: Vec<&str> = files.iter().map(|edited| &*edited.told).collect();
    assert!(ended.code == 0 && ended.stderr.is_empty(), "{}\n{told:#?}", ended.said());
    let shown = ended.stdout;
    assert_eq!(shown.lines().count(), files.len(), "{shown}");
    for (edited, line) in files.iter().zip(shown.lines()) {
        let path = line.split(' ').next().unwrap_or_default();
        assert!(path.starts_with(deps(NATIVE).new.to_str().unwrap()), "{}: {line}", edited.told);
    }
}

/// The same for layouts that no linker here makes: each rung of the ladder on generated images.
#[test]
fn edited_images_are_as_good_as_any() {
    let test = "edited_images_are_as_good_as_any";
    let strips = Strips::All.found(NATIVE, test);
    let patchelfs = Patchelf::both(test);
    let specs: Vec<(&str, Spec)> = elfgen::presets()
        .into_iter()
        .filter(|(name, spec)| name.starts_with("rung-") && spec.runs_here() && spec.headers != Headers::None)
        .filter(|(name, _)| !name.starts_with("rung-l-"))
        .collect();
    let failures = for_all(&specs, |(name, spec)| {
        let tree = Tree::new();
        let old = dependency(&tree, "old", 1).to_str().unwrap().to_owned();
        let new = dependency(&tree, "new", 2).to_str().unwrap().to_owned();
        let [original, edited] =
            ["original", "edited"].map(|folder| tree.executable(format!("{folder}/image"), &spec.build()));
        let result = crate::harness::invoke(["fix", "--json", "--driver", &new, edited.to_str().unwrap()]);
        result.assert_code(0, name);
        let strategy = result.file()["strategy"].as_str().unwrap().to_owned();
        let works = |wanted: i32, help: Option<String>| {
            move |file: &Path| {
                let found = answer(spec, file, help.as_deref().map(Path::new), test);
                ensure(found.as_ref().is_none_or(|found| *found == Ok(wanted)), &format!("{found:?}"))
            }
        };
        let mut failures = Vec::new();
        for strip in strips.iter().filter(|strip| is_expected_to_survive(&strategy, strip)) {
            // The image's own path leads beside it, where nothing is.
            let outcome = survives(
                [&original, &edited],
                &|file| tool(strip, file),
                [&works(41, Some(old.clone())), &works(42, None)],
            );
            failures.extend(outcome.err().map(|failure| format!("after {strip:?}: {failure}")));
        }
        let path = format!("{old}:/{}", "newest/".repeat(100));
        for patchelf in &patchelfs {
            let outcome = survives_patchelf(patchelf, &[], &path, [&original, &edited], &works(41, None));
            failures.extend(outcome.err().map(|failure| format!("after {}: {failure}", patchelf.name)));
        }
        ensure(failures.is_empty(), &format!("{name}:\n  {}", failures.join("\n  ")))
    });
    assert!(failures.is_empty(), "{} of {} images:\n{}", failures.len(), specs.len(), failures.join("\n"));
}
