//! Every linker's files, edited and *run*.
//!
//! The number that a file exits with tells which directory its dependency came from, or which of the checks that it
//! makes of itself failed. What readelf and eu-elflint say is compared with what they said before, and every strip is
//! tried on what came out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::afterwards::strips;
use crate::complaints::{Readers, complaints, new_complaints};
use crate::fixtures::{
    Ended, LINKERS, Link, NEW, NOT_FOUND, OLD, OldPath, Shape, clean, deps, drop_section_headers, fix, for_all,
    has_32_bits, host, json, run, run_file,
};
use crate::support::{Snapshot, require, skip};

/// A way to link or to treat a file, each a layout that broke an editor somewhere.
#[derive(Clone, Copy)]
struct Variant {
    name: &'static str,
    bits: u8,
    flags: &'static [&'static str],
    after: After,
    /// Linkers that do not know it.
    not: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Nothing,
    Strip,
    /// As `sstrip` leaves it: the file ends with its last segment.
    DropSectionHeaders,
    /// The ELF header does not name the section headers any more, so that they look like a payload behind the object.
    OrphanSectionHeaders,
}

const fn variant(name: &'static str, flags: &'static [&'static str]) -> Variant {
    Variant { name, bits: 0, flags, after: After::Nothing, not: &[] }
}

const DEFAULT: Variant = variant("default", &[]);

/// Each with every kind of file and every old path.
const VARIANTS: [Variant; 11] = [
    DEFAULT,
    Variant { not: &["gold"], ..variant("noseparate-code", &["-Wl,-z,noseparate-code"]) },
    variant("relro-now", &["-Wl,-z,relro,-z,now"]),
    variant("hash-sysv", &["-Wl,--hash-style=sysv"]),
    variant("hash-gnu", &["-Wl,--hash-style=gnu"]),
    Variant { after: After::Strip, ..variant("stripped", &[]) },
    variant("2M-pages", &["-Wl,-z,max-page-size=0x200000"]),
    Variant { after: After::DropSectionHeaders, ..variant("no-section-headers", &[]) },
    Variant { bits: 32, ..variant("m32", &[]) },
    Variant { bits: 32, after: After::DropSectionHeaders, ..variant("m32-no-section-headers", &[]) },
    Variant { after: After::OrphanSectionHeaders, ..variant("payload", &[]) },
];

/// With DT_RUNPATH and without only.
const MORE_VARIANTS: [Variant; 7] = [
    Variant { not: &["gold"], ..variant("separate-code", &["-Wl,-z,separate-code"]) },
    variant("norelro", &["-Wl,-z,norelro"]),
    variant("64K-pages", &["-Wl,-z,max-page-size=0x10000"]),
    // Code stands right behind the headers.
    Variant { not: &["bfd", "lld", "mold"], ..variant("rosegment", &["-Wl,--rosegment"]) },
    Variant { not: &["bfd", "gold", "mold"], ..variant("no-rosegment", &["-Wl,--no-rosegment"]) },
    Variant { not: &["bfd", "gold", "mold"], ..variant("separate-segments", &["-Wl,-z,separate-loadable-segments"]) },
    Variant { not: &["gold", "lld", "mold"], ..variant("packed-relocations", &["-Wl,-z,pack-relative-relocs"]) },
];

struct Case {
    linker: &'static str,
    source: &'static str,
    shape: Shape,
    path: OldPath,
    variant: Variant,
    /// What the host program calls.
    symbol: &'static str,
}

impl Case {
    fn name(&self) -> String {
        format!("{} {} {:?} {:?} {}", self.linker, self.source, self.shape, self.path, self.variant.name)
    }
}

#[test]
fn files_of_gnu_ld_load_as_before() {
    check_linker("bfd");
}

#[test]
fn files_of_gold_load_as_before() {
    check_linker("gold");
}

#[test]
fn files_of_lld_load_as_before() {
    check_linker("lld");
}

#[test]
fn files_of_mold_load_as_before() {
    check_linker("mold");
}

fn check_linker(linker: &'static str) {
    let test = format!("linkers::{linker}");
    let program = LINKERS.iter().find(|(name, _)| *name == linker).unwrap().1;
    if !require("cc", &test) || !require(program, &test) {
        return;
    }
    let readers = Readers { readelf: require("readelf", &test), elflint: require("eu-elflint", &test) };
    let strips = strips(&test);
    if !has_32_bits() {
        skip(&test, "the compiler makes no 32-bit programs that run here");
    }

    let mut cases = Vec::new();
    let mut add = |source, shape, paths: &[OldPath], variant: Variant, symbol| {
        if variant.not.contains(&linker) || (variant.bits == 32 && !has_32_bits()) {
            return;
        }
        for &path in paths {
            cases.push(Case { linker, source, shape, path, variant, symbol });
        }
    };
    let kinds = [
        ("user_program.c", Shape::Exec),
        ("user_program.c", Shape::Pie),
        ("user_library.c", Shape::Library),
        ("dlopen_library.c", Shape::Library),
    ];
    let all = [OldPath::Runpath, OldPath::Rpath, OldPath::None];
    for (source, shape) in kinds {
        for variant in VARIANTS {
            add(source, shape, &all, variant, "user_number");
        }
        for variant in MORE_VARIANTS {
            add(source, shape, &[OldPath::Runpath, OldPath::None], variant, "user_number");
        }
        add(source, shape, &[OldPath::Both], DEFAULT, "user_number");
    }
    let special = [
        ("own_headers.c", Shape::Exec),
        ("own_headers.c", Shape::Pie),
        ("huge_bss.c", Shape::Exec),
        ("huge_bss.c", Shape::Pie),
        ("fatbin_library.c", Shape::Library),
        ("assembly_library.S", Shape::Library),
    ];
    let some = [DEFAULT, VARIANTS[5], VARIANTS[7], VARIANTS[8]];
    for (source, shape) in special {
        for variant in some {
            add(source, shape, &all, variant, "user_number");
        }
    }
    add("own_headers.c", Shape::Pie, &all, VARIANTS[1], "user_number");
    add("own_headers.c", Shape::Pie, &all, VARIANTS[6], "user_number");

    let folder = tempfile::Builder::new().prefix(&format!("crp-{linker}-")).tempdir().unwrap();
    let strategies = Mutex::new(BTreeMap::new());
    let numbered: Vec<_> = cases.into_iter().enumerate().collect();
    let failures = for_all(&numbered, |(number, case)| {
        let here = folder.path().join(number.to_string());
        std::fs::create_dir(&here).unwrap();
        let result = check_case(case, &here, readers, &strips, &strategies);
        match &result {
            // The files of a failed case stay for a look at them.
            Err(_) => {}
            Ok(()) => std::fs::remove_dir_all(&here).unwrap(),
        }
        result.map_err(|failure| format!("{} ({}): {failure}", case.name(), here.display()))
    });
    println!(
        "{linker}: {} files, each in both write modes; strategies {:?}",
        numbered.len(),
        strategies.lock().unwrap()
    );
    if !failures.is_empty() {
        let kept = folder.keep();
        panic!(
            "{} of {} files fail, kept in {}:\n\n{}",
            failures.len(),
            numbered.len(),
            kept.display(),
            failures.join("\n")
        );
    }
}

fn check_case(
    case: &Case,
    here: &Path,
    readers: Readers,
    strips: &[Vec<&str>],
    strategies: &Mutex<BTreeMap<String, usize>>,
) -> Result<(), String> {
    let bits = case.variant.bits;
    let name = if case.shape == Shape::Library { "libuser.so" } else { "program" };
    let original = here.join(name);
    let link = Link { bits, ..Link::new(case.source, case.shape) };
    link.linker(case.linker).path(case.path).flags(case.variant.flags).try_to(&original)?;
    match case.variant.after {
        After::Nothing => {}
        After::Strip => {
            let status = clean("strip").arg(&original).status().map_err(|e| e.to_string())?;
            expect(status.success(), "strip fails on the fresh file")?;
        }
        After::DropSectionHeaders => drop_section_headers(&original, true),
        After::OrphanSectionHeaders => drop_section_headers(&original, false),
    }
    runs_with_old(case, &original)?;
    let before = complaints(&original, readers);

    let mut replaced: Option<Vec<u8>> = None;
    for in_place in [false, true] {
        let mode = if in_place { "in-place" } else { "replace" };
        let say = |failure: String| format!("[{mode}] {failure}");
        let folder = here.join(mode);
        std::fs::create_dir(&folder).map_err(|e| e.to_string())?;
        let file = folder.join(name);
        std::fs::copy(&original, &file).map_err(|e| e.to_string())?;
        if case.variant.after == After::OrphanSectionHeaders
            && refuses_for_its_payload(case, &file, in_place).map_err(say)?
        {
            *strategies.lock().unwrap().entry("refused: payload".to_owned()).or_insert(0) += 1;
            continue;
        }
        let strategy = edit(case, &file, in_place).map_err(say)?;
        *strategies.lock().unwrap().entry(strategy.clone()).or_insert(0) += 1;
        let bytes = Snapshot::of(&file).bytes;
        if replaced.as_ref() == Some(&bytes) {
            // The same file: what was found out about it stays true.
            let ended = run_file(&file, case.shape, bits, case.symbol, None);
            expect_code("edited", &ended, NEW).map_err(say)?;
            continue;
        }
        replaced = Some(bytes);
        check_after(case, &file, readers, &before, &strategy)
            .map_err(|failure| say(format!("strategy {strategy}: {failure}")))?;

        // A file without section headers is nothing that strip takes.
        if !matches!(case.variant.after, After::DropSectionHeaders | After::OrphanSectionHeaders) {
            for strip in strips {
                check_strip(case, &original, &file, strip)
                    .map_err(|failure| say(format!("strategy {strategy}: {failure}")))?;
            }
        }
    }
    Ok(())
}

/// The file, before any edit, finds the old dependency, and only where it should.
fn runs_with_old(case: &Case, file: &Path) -> Result<(), String> {
    let bits = case.variant.bits;
    let bare = run_file(file, case.shape, bits, case.symbol, None);
    if case.path == OldPath::None {
        expect_code("unedited", &bare, NOT_FOUND)?;
        let helped = run_file(file, case.shape, bits, case.symbol, Some(&deps(bits).old));
        expect_code("unedited with LD_LIBRARY_PATH", &helped, OLD)
    } else {
        expect_code("unedited", &bare, OLD)
    }
}

/// Whether the file is refused because only an edit that moves its payload from the end would do; it is as before then.
fn refuses_for_its_payload(case: &Case, file: &Path, in_place: bool) -> Result<bool, String> {
    let before = Snapshot::of(file);
    let copy = file.with_extension("attempt");
    std::fs::copy(file, &copy).map_err(|e| e.to_string())?;
    let before_copy = Snapshot::of(&copy);
    let ended = run(fix(case.variant.bits).args(in_place.then_some("--in-place")).arg(&copy));
    if ended.code == 0 {
        // The last bytes are still the payload.
        let after = Snapshot::of(&copy);
        let tail = before.bytes.len() - before.bytes.len() / 100;
        expect(after.bytes.ends_with(&before.bytes[tail..]), "the payload is no longer at the end of the file")?;
        return Ok(false);
    }
    expect(ended.code == 2 && ended.err().contains("payload"), &ended.said())?;
    expect(Snapshot::of(&copy) == before_copy, "the refused file is not as it was")?;
    Ok(true)
}

/// Edits the file and gives the strategy; a second edit changes nothing.
fn edit(case: &Case, file: &Path, in_place: bool) -> Result<String, String> {
    let command = || {
        let mut command = fix(case.variant.bits);
        command.arg("--json");
        if in_place {
            command.arg("--in-place");
        }
        command.arg(file);
        command
    };
    let inode = Snapshot::of(file).inode;
    let first = run(&mut command());
    if first.code != 0 {
        return Err(format!("fix: {}", first.said()));
    }
    let document = json(&first);
    let entry = &document["files"][0];
    expect(entry["outcome"] == "fixed", &format!("fix says {entry}"))?;
    let edited = Snapshot::of(file);
    if in_place && entry["write"] == "in-place" {
        expect(inode == edited.inode, "fix says in-place, but the inode is another one")?;
    }
    let second = run(&mut command());
    if second.code != 0 {
        return Err(format!("second fix: {}", second.said()));
    }
    expect(json(&second)["files"][0]["outcome"] == "conforms", &format!("second fix: {}", second.out()))?;
    expect(Snapshot::of(file) == edited, "the second fix touched the file")?;
    Ok(entry["strategy"].as_str().unwrap_or("no strategy").to_owned())
}

/// The edited file finds the new dependency, has the wanted path, and independent readers have no new complaint.
fn check_after(
    case: &Case,
    file: &Path,
    readers: Readers,
    before: &BTreeMap<String, usize>,
    strategy: &str,
) -> Result<(), String> {
    let bits = case.variant.bits;
    let Some(folder) = file.parent() else {
        return Err("no folder".into());
    };
    expect_code("edited", &run_file(file, case.shape, bits, case.symbol, None), NEW)?;
    // LD_LIBRARY_PATH beats DT_RUNPATH but not DT_RPATH: the tag is what it should be.
    let helped = run_file(file, case.shape, bits, case.symbol, Some(&deps(bits).old));
    expect_code("edited with LD_LIBRARY_PATH", &helped, OLD)?;
    if case.shape == Shape::Library {
        let linked = run(clean(host("linked_host.c", bits)).env("LD_LIBRARY_PATH", folder));
        expect_code("edited, loaded at start", &linked, NEW)?;
    }

    if readers.readelf {
        let listing = run(clean("readelf").arg("-dW").arg(file)).out();
        let paths: Vec<_> = listing.lines().filter(|line| line.contains("PATH)")).collect();
        let deps = deps(bits);
        let wanted = match case.path {
            OldPath::None => deps.new.display().to_string(),
            _ => format!("{}:{}", deps.new.display(), deps.old.display()),
        };
        let right = matches!(paths[..], [line] if line.contains("(RUNPATH)") && line.contains(&format!("[{wanted}]")));
        expect(right, &format!("readelf shows {paths:?}, wanted one RUNPATH [{wanted}]"))?;
    }

    let new = new_complaints(before, complaints(file, readers), strategy);
    expect(new.is_empty(), &format!("new complaints:\n  {}", new.join("\n  ")))
}

/// The edited file still loads after a strip, unless that strip breaks the unedited file too.
fn check_strip(case: &Case, original: &Path, edited: &Path, strip: &[&str]) -> Result<(), String> {
    let attempt = |file: &Path, suffix: &str| -> Result<PathBuf, String> {
        // A copy of the folder's own, because the loader looks for libuser.so by name.
        let copy = file.with_extension(suffix);
        std::fs::copy(file, &copy).map_err(|e| e.to_string())?;
        let ended = run(clean(strip[0]).args(&strip[1..]).arg(&copy));
        if ended.code == 0 { Ok(copy) } else { Err(ended.said()) }
    };
    let bits = case.variant.bits;
    let outcome = attempt(edited, "stripped")
        .and_then(|copy| expect_code("runs", &run_file(&copy, case.shape, bits, case.symbol, None), NEW));
    let Err(failure) = outcome else { return Ok(()) };
    match attempt(original, "unedited-stripped").and_then(|copy| runs_with_old(case, &copy)) {
        Ok(()) => Err(format!("after {strip:?}: {failure}")),
        Err(_) => Ok(()),
    }
}

fn expect(condition: bool, failure: &str) -> Result<(), String> {
    if condition { Ok(()) } else { Err(failure.to_owned()) }
}

fn expect_code(what: &str, ended: &Ended, wanted: i32) -> Result<(), String> {
    if ended.code == wanted {
        Ok(())
    } else {
        Err(format!("{what}: exit {} instead of {wanted}: {}", ended.code, ended.err()))
    }
}
