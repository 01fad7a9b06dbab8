//! One file: linked, run, edited in both write modes, run again, stripped, run once more.
//!
//! The number that a file exits with tells which directory its dependency came from, or which of the checks that it
//! makes of itself failed. What readelf and eu-elflint say is compared with what they said before, and strips are tried
//! on what came out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::editors::Patchelf;
use super::fixtures::{NOT_FOUND, USER_SYMBOL, directives, drop_section_headers, host, succeed};
use super::outcomes::{Outcome, Table};
use super::targets::Target;
use super::{
    Contents, IN_PLACE, Link, MODES, NATIVE, NEW, OLD, OldPath, Run, Shape, Snapshot, Tree, command, deps, ensure, fix,
    for_all, require, run, run_file, skip,
};
use crate::complaints::{Complaints, Readers, complaints, new_complaints};
use crate::elfgen::compare::differences;
use crate::elfgen::read::Image;

/// A way to link or to treat a file, each a layout that broke an editor somewhere.
#[derive(Clone, Copy)]
pub(crate) struct Variant {
    pub(crate) name: &'static str,
    pub(crate) target: Target,
    /// For the compiler.
    pub(crate) compile: &'static [&'static str],
    /// For the linker.
    pub(crate) flags: &'static [&'static str],
    pub(crate) after: After,
    /// Linkers that do not know it.
    pub(crate) not: &'static [&'static str],
}

/// What happens to a file before it is edited.
#[derive(Clone, Copy)]
pub(crate) enum After {
    Nothing,
    Strip,
    /// As `sstrip` leaves it: the file ends with its last segment.
    DropSectionHeaders,
    /// The ELF header does not name the section headers any more, so that they look like a payload behind the object.
    OrphanSectionHeaders,
    /// It is linked with a short path and has its own from one of the patchelfs.
    Patchelf(fn(&str) -> Option<Patchelf>),
}

pub(crate) const fn variant(name: &'static str, flags: &'static [&'static str]) -> Variant {
    Variant { name, target: NATIVE, compile: &[], flags, after: After::Nothing, not: &[] }
}

/// One file to edit.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) linker: &'static str,
    pub(crate) source: &'static str,
    pub(crate) shape: Shape,
    pub(crate) path: OldPath,
    pub(crate) variant: Variant,
    make: Make,
}

/// Makes the file of a case at a path.
type Make = fn(&Case, &Path) -> Result<(), String>;

impl Case {
    /// A fixture in C or assembly.
    pub(crate) fn new(
        linker: &'static str,
        source: &'static str,
        shape: Shape,
        path: OldPath,
        variant: Variant,
    ) -> Self {
        Self { linker, source, shape, path, variant, make: Self::link }
    }

    /// The same, made by something else than a C compiler.
    pub(crate) fn made_by(self, make: Make) -> Self {
        Self { make, ..self }
    }

    fn link(&self, out: &Path) -> Result<(), String> {
        let link = Link { target: self.variant.target, ..Link::new(self.source, self.shape) };
        let patched = matches!(self.variant.after, After::Patchelf(_));
        let link = link.linker(self.linker).path(if patched { OldPath::Runpath } else { self.path });
        link.defines(self.variant.compile).flags(self.variant.flags).try_to(out)
    }

    pub(crate) fn name(&self) -> String {
        let Self { linker, source, shape, path, variant, .. } = self;
        format!("{} {linker} {source} {shape:?} {path:?} {}", variant.target.name, variant.name)
    }

    /// Makes the file, as it is before an edit, in a folder of its own.
    pub(crate) fn build(&self, folder: &Path) -> Result<PathBuf, String> {
        directives(self.source);
        let file = folder.join(if self.shape == Shape::Library { "libuser.so" } else { "program" });
        (self.make)(self, &file)?;
        match self.variant.after {
            After::Nothing => {}
            After::Strip => {
                succeed(command(self.variant.target.tool("strip")).arg(&file))?;
            }
            After::DropSectionHeaders => drop_section_headers(&file, true),
            After::OrphanSectionHeaders => drop_section_headers(&file, false),
            After::Patchelf(find) => {
                let patchelf = find(&self.name()).ok_or("no patchelf")?;
                let path = self.path.linked(self.variant.target);
                let ended = patchelf.edit(&["--set-rpath", &path], &file);
                expect_code(patchelf.name, &ended, 0)?;
            }
        }
        Ok(file)
    }

    /// The name of its row in the table of outcomes.
    pub(crate) fn layout(&self) -> String {
        let source = self.source.split('.').next().unwrap();
        let path = match self.path {
            OldPath::SymbolTail => " tail-merged",
            OldPath::TwoTags => " two-tags",
            _ => "",
        };
        format!("{} {:?} {source} {}{path}", self.linker, self.shape, self.variant.name)
    }

    /// What comes out of the host's or the program's self checks, with `library_path` as LD_LIBRARY_PATH.
    pub(crate) fn run(&self, file: &Path, library_path: Option<&Path>) -> Run {
        run_file(file, self.shape, self.variant.target, USER_SYMBOL, library_path)
    }

    fn has_section_headers(&self) -> bool {
        !matches!(self.variant.after, After::DropSectionHeaders | After::OrphanSectionHeaders)
    }
}

/// Which strips are tried on an edited file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strips {
    /// The machine's own `strip`.
    One,
    /// Those of binutils, elfutils and LLVM.
    All,
}

impl Strips {
    /// The commands that remove symbols after an edit, as a package's fixup phase may; those that are here.
    pub(crate) fn found(self, target: Target, test: &str) -> Vec<Vec<String>> {
        let own = |name: &str| target.tool(name);
        let debug = || "--strip-debug".to_owned();
        let mut commands = vec![vec![own("strip")]];
        if self == Self::All {
            commands.extend([vec!["eu-strip".to_owned()], vec!["llvm-strip".to_owned()]]);
            commands.extend([vec![own("objcopy"), debug()], vec![own("strip"), debug()]]);
        }
        commands.retain(|command| require(&command[0], test));
        commands
    }
}

/// The other programs that look at edited files.
struct Tools {
    readers: Readers,
    /// Per machine.
    strips: BTreeMap<&'static str, Vec<Vec<String>>>,
}

impl Tools {
    fn find(cases: &[Case], strips: Strips, test: &str) -> Self {
        let readers = Readers { readelf: require("readelf", test), elflint: require("eu-elflint", test) };
        let mut tools = Self { readers, strips: BTreeMap::new() };
        for target in cases.iter().map(|case| case.variant.target) {
            tools.strips.entry(target.name).or_insert_with(|| strips.found(target, test));
        }
        tools
    }
}

/// The cases whose machine is here; the others are named as skipped, once per machine.
pub(crate) fn possible_here(test: &str, mut cases: Vec<Case>) -> Vec<Case> {
    let mut missing = BTreeMap::new();
    cases.retain(|case| {
        let target = case.variant.target;
        missing.entry(target.name).or_insert_with(|| target.missing()).is_none()
    });
    for reason in missing.into_values().flatten() {
        skip(test, &reason);
    }
    cases
}

/// Checks every case whose machine is here, prints what became of the files, and fails when anything is wrong.
pub(crate) fn check_all(test: &str, cases: Vec<Case>, strips: Strips) {
    let cases = possible_here(test, cases);
    let tools = Tools::find(&cases, strips, test);
    let tree = Tree::new();
    let strategies = Mutex::new(BTreeMap::new());
    let outcomes = Mutex::new(BTreeMap::new());
    let numbered: Vec<_> = cases.into_iter().enumerate().collect();
    let failures = for_all(&numbered, |(number, case)| {
        let here = tree.folder(number.to_string());
        let result = check_case(case, &here, &tools, &strategies);
        outcomes.lock().unwrap().insert(*number, *result.as_ref().unwrap_or(&Outcome::Broken));
        // The files of a failed case stay for a look at them.
        if result.is_ok() {
            std::fs::remove_dir_all(&here).unwrap();
        }
        result.map(|_| ()).map_err(|failure| format!("{} ({}): {failure}", case.name(), here.display()))
    });
    let mut table = Table::default();
    for (number, outcome) in outcomes.into_inner().unwrap() {
        let case = &numbered[number].1;
        table.add(&case.layout(), case.variant.target.name, outcome);
    }
    table.show(test);
    println!("each in both write modes; strategies {:?}", strategies.lock().unwrap());
    if !failures.is_empty() {
        let kept = tree.keep();
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
    tools: &Tools,
    strategies: &Mutex<BTreeMap<String, usize>>,
) -> Result<Outcome, String> {
    let target = case.variant.target;
    let original = case.build(here)?;
    if matches!(case.shape, Shape::Static | Shape::StaticPie) {
        return check_left_alone(case, &original);
    }
    runs_with_old(case, &original)?;
    if case.path == OldPath::SymbolTail {
        shares_a_name(&original)?;
    }
    let before = Reading::of(&original, tools);

    let mut replaced: Option<Contents> = None;
    let mut refusals = 0;
    for mode in MODES {
        let name = if mode == IN_PLACE { "in-place" } else { "replace" };
        let say = |failure: String| format!("[{name}] {failure}");
        let folder = here.join(name);
        std::fs::create_dir(&folder).map_err(|e| e.to_string())?;
        case.path.prepare(target, &folder);
        let file = folder.join(original.file_name().unwrap());
        std::fs::copy(&original, &file).map_err(|e| e.to_string())?;
        if is_refused(case, &file, mode).map_err(say)? {
            refusals += 1;
            continue;
        }
        let strategy = edit(case, &file, mode).map_err(say)?;
        *strategies.lock().unwrap().entry(strategy.clone()).or_insert(0) += 1;
        let contents = Contents::of(&file);
        if replaced.as_ref() == Some(&contents) {
            // The same file: what was found out about it stays true.
            expect_code("edited", &case.run(&file, None), NEW).map_err(say)?;
            continue;
        }
        replaced = Some(contents);
        check_after(case, &file, tools, &before, &strategy)
            .and_then(|()| check_image(case, &original, &file))
            .map_err(|failure| say(format!("strategy {strategy}: {failure}")))?;

        // A file without section headers is nothing that strip takes.
        if case.has_section_headers() {
            for strip in &tools.strips[target.name] {
                check_strip(case, &original, &file, strip)
                    .map_err(|failure| say(format!("strategy {strategy}: {failure}")))?;
            }
        }
    }
    match refusals {
        0 => Ok(Outcome::Edited),
        2 => Ok(Outcome::Refused),
        _ => Err("one write mode refuses the file, the other does not".into()),
    }
}

/// Static programs have no search path, and any RUNPATH would make static-pie ones stop at start.
fn check_left_alone(case: &Case, file: &Path) -> Result<Outcome, String> {
    expect_code("unedited", &case.run(file, None), STATIC)?;
    let before = Snapshot::of(file);
    for mode in MODES {
        let ended = run(fix(case.variant.target).args(["--json", "-v"]).args(mode).arg(file));
        expect_code("fix", &ended, 0)?;
        let entry = ended.file();
        ensure(entry["outcome"] == "skipped" && entry["reason"].is_string(), &format!("fix says {entry}"))?;
        ensure(Snapshot::of(file) == before, "fix touched the file")?;
    }
    expect_code("left alone", &case.run(file, None), STATIC)?;
    Ok(Outcome::LeftAlone)
}

/// What `static_program.c` exits with.
const STATIC: i32 = 33;

/// The file, before any edit, finds the old dependency, and only where it should.
fn runs_with_old(case: &Case, file: &Path) -> Result<(), String> {
    let bare = case.run(file, None);
    if case.path == OldPath::None {
        expect_code("unedited", &bare, NOT_FOUND)?;
        let helped = case.run(file, Some(&deps(case.variant.target).old));
        expect_code("unedited with LD_LIBRARY_PATH", &helped, OLD)
    } else {
        expect_code("unedited", &bare, OLD)
    }
}

/// The library's symbol is the tail of its path and nothing else, so that the file is what its row says.
fn shares_a_name(file: &Path) -> Result<(), String> {
    let strings = Image::read(file).string_table().unwrap_or_default();
    let alone = strings.split(|byte| *byte == 0).any(|string| string == USER_SYMBOL.as_bytes());
    ensure(!alone, "the linker merged no tails")
}

/// Whether the file is refused; it is as before then.
///
/// A payload must stay at the end, which some layouts leave no room for. Nothing else is refused.
fn is_refused(case: &Case, file: &Path, mode: &[&str]) -> Result<bool, String> {
    if !matches!(case.variant.after, After::OrphanSectionHeaders) {
        return Ok(false);
    }
    let copy = file.with_extension("attempt");
    std::fs::copy(file, &copy).map_err(|e| e.to_string())?;
    let before = Snapshot::of(&copy);
    let ended = run(fix(case.variant.target).arg("--strict").args(mode).arg(&copy));
    if ended.code == 0 {
        // The last bytes are still the payload.
        let [before, after] = [file, &*copy].map(|file| std::fs::read(file).unwrap());
        let tail = before.len() - before.len() / 100;
        ensure(after.ends_with(&before[tail..]), "the payload is no longer at the end of the file")?;
        return Ok(false);
    }
    ensure(ended.code == 2 && ended.stderr.contains("payload"), &ended.said())?;
    ensure(Snapshot::of(&copy) == before, "the refused file is not as it was")?;
    Ok(true)
}

/// Edits the file and gives the strategy; a second edit changes nothing.
fn edit(case: &Case, file: &Path, mode: &[&str]) -> Result<String, String> {
    let edit = || run(fix(case.variant.target).arg("--json").args(mode).arg(file));
    let inode = Snapshot::of(file).inode;
    let first = edit();
    if first.code != 0 {
        return Err(format!("fix: {}", first.said()));
    }
    let entry = first.file();
    ensure(entry["outcome"] == "fixed", &format!("fix says {entry}"))?;
    let edited = Snapshot::of(file);
    if mode == IN_PLACE && entry["write"] == "in-place" {
        ensure(inode == edited.inode, "fix says in-place, but the inode is another one")?;
    }
    let second = edit();
    if second.code != 0 {
        return Err(format!("second fix: {}", second.said()));
    }
    ensure(second.file()["outcome"] == "conforms", &format!("second fix: {}", second.stdout))?;
    ensure(Snapshot::of(file) == edited, "the second fix touched the file")?;
    Ok(entry["strategy"].as_str().unwrap_or("no strategy").to_owned())
}

/// The edited file finds the new dependency, has the wanted path, and independent readers have no new complaint.
fn check_after(case: &Case, file: &Path, tools: &Tools, before: &Reading, strategy: &str) -> Result<(), String> {
    let target = case.variant.target;
    let Some(folder) = file.parent() else {
        return Err("no folder".into());
    };
    expect_code("edited", &case.run(file, None), NEW)?;
    // LD_LIBRARY_PATH beats DT_RUNPATH but not DT_RPATH: the tag is what it should be.
    expect_code("edited with LD_LIBRARY_PATH", &case.run(file, Some(&deps(target).old)), OLD)?;
    if case.shape == Shape::Library {
        let linked = run(target.runner(host("linked_host.c", target)).env("LD_LIBRARY_PATH", folder));
        expect_code("edited, loaded at start", &linked, NEW)?;
    }

    if tools.readers.readelf {
        let listing = run(command("readelf").arg("-dW").arg(file)).stdout;
        let paths: Vec<_> = listing.lines().filter(|line| line.contains("PATH)")).collect();
        let wanted = case.path.wanted(target);
        let right = matches!(paths[..], [line] if line.contains("(RUNPATH)") && line.contains(&format!("[{wanted}]")));
        ensure(right, &format!("readelf shows {paths:?}, wanted one RUNPATH [{wanted}]"))?;
    }

    let after = Reading::of(file, tools);
    // Without section headers readelf knows notes by PT_NOTE only, whose duplicate of PT_GNU_PROPERTY may go.
    ensure(
        !case.has_section_headers() || after.notes == before.notes,
        &format!("the notes are now {:?}", after.notes),
    )?;
    let new = new_complaints(&before.complaints, after.complaints, strategy);
    ensure(new.is_empty(), &format!("new complaints:\n  {}", new.join("\n  ")))
}

/// The edited file still loads after a strip, unless that strip breaks the unedited file too.
fn check_strip(case: &Case, original: &Path, edited: &Path, strip: &[String]) -> Result<(), String> {
    let attempt = |file: &Path, suffix: &str| -> Result<PathBuf, String> {
        // A copy in the file's own folder, which the path may name as $ORIGIN.
        let copy = file.with_extension(suffix);
        std::fs::copy(file, &copy).map_err(|e| e.to_string())?;
        let ended = run(command(&strip[0]).args(&strip[1..]).arg(&copy));
        if ended.code == 0 { Ok(copy) } else { Err(ended.said()) }
    };
    let outcome = attempt(edited, "stripped").and_then(|copy| expect_code("runs", &case.run(&copy, None), NEW));
    let Err(failure) = outcome else { return Ok(()) };
    match attempt(original, "unedited-stripped").and_then(|copy| runs_with_old(case, &copy)) {
        Ok(()) => Err(format!("after {strip:?}: {failure}")),
        Err(_) => Ok(()),
    }
}

/// What others than the program see in a file.
struct Reading {
    complaints: Complaints,
    /// The properties (BTI, IBT, SHSTK) and the build id, as readelf words them.
    notes: Vec<String>,
}

impl Reading {
    fn of(file: &Path, tools: &Tools) -> Self {
        let listing =
            if tools.readers.readelf { run(command("readelf").arg("-nW").arg(file)).stdout } else { String::new() };
        let words = ["Properties:", "Build ID:"];
        let notes = listing.lines().filter(|line| words.iter().any(|word| line.contains(word)));
        Self { complaints: complaints(file, tools.readers), notes: notes.map(str::to_owned).collect() }
    }
}

/// How many PT_LOADs a loader cannot map by pages of this size: misaligned, or in a page of the one before.
fn crowded(image: &Image, page: u64) -> usize {
    let mut end = 0;
    let mut count = 0;
    for load in image.loads() {
        let misaligned = load.align % page != 0 || load.address % page != load.offset % page;
        if misaligned || load.address / page * page < end {
            count += 1;
        }
        end = load.address + load.memory_size;
    }
    count
}

/// Nothing but the path is another one, and the file can be mapped with every page size that the machine's kernels have
/// and the file was made for.
fn check_image(case: &Case, original: &Path, edited: &Path) -> Result<(), String> {
    let target = case.variant.target;
    let before = Image::read(original);
    let after = Image::parse(&std::fs::read(edited).unwrap()).ok_or("cannot be read any more")?;
    let found = differences(&before, &after, case.path.wanted(target).as_bytes(), &[]);
    ensure(found.is_empty(), &found.join("; "))?;
    let page = before.loads().map(|load| load.align).min().unwrap_or(0).clamp(1, target.largest_page);
    let (old, new) = (crowded(&before, page), crowded(&after, page));
    ensure(new <= old, &format!("{new} PT_LOADs cannot be mapped by pages of {page:#x} bytes, {old} before"))
}

fn expect_code(what: &str, ended: &Run, wanted: i32) -> Result<(), String> {
    ensure(ended.code == wanted, &format!("{what}: exit {} instead of {wanted}: {}", ended.code, ended.stderr))
}
