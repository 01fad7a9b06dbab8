//! Eighty edits of one file, each with a longer path: it runs, and has not grown by more than it must.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::elfgen::compare::differences;
use crate::elfgen::read::Image;
use crate::harness::case::{Case, possible_here, variant};
use crate::harness::fixtures::{LARGE_DATA, LINKERS};
use crate::harness::outcomes::{Outcome, Table};
use crate::harness::{
    MODES, NEW, OldPath, PROGRAMS, Show, Tree, binary, command, fix, linkers, long, require, run, rungs,
};
use crate::machines::{TARGETS, impossible, on};
use crate::toolchains::{go_cases, rust_cases};

const EDITS: usize = 80;

/// What a new PT_LOAD's place in the file may cost: a page of the largest kind, so that offset and address agree.
const PADDING: u64 = 0x1_0000;

/// The program header table's neighbours, the dynamic section, the section header table: what moves once to make room.
const MOVED: u64 = 0x4000;

/// How often a file may have to get another PT_LOAD or a copy of one. Once is enough for a table that ends its PT_LOAD
/// at the end of the file from then on; Go's own files put their section headers behind the first.
const PLACES: usize = 2;

/// One file, and what the edits did to it.
struct Subject {
    case: Case,
    file: PathBuf,
    original: Image,
    /// Strategy, bytes of string that are new, bytes that the file grew by.
    edits: Vec<(String, u64, u64)>,
}

#[test]
fn eighty_edits_cost_their_strings() {
    let test = "repeated";
    if linkers(test).len() < LINKERS.len() {
        return;
    }
    let tree = Tree::in_memory();
    let mut subjects = Vec::new();
    for case in cases(test) {
        let folder = tree.folder(format!("all/{}", subjects.len()));
        let file = case.build(&folder).unwrap_or_else(|failure| panic!("{}: {failure}", case.name()));
        let original = Image::read(&file);
        subjects.push(Subject { case, file, original, edits: Vec::new() });
    }
    for number in 0..EDITS {
        edit_all(&tree.join("all"), number, &mut subjects);
    }

    let mut table = Table::default();
    let mut failures = Vec::new();
    let mut strategies = BTreeSet::new();
    for subject in &subjects {
        let result = subject.check_sizes().and_then(|()| subject.check_file());
        let outcome = if result.is_ok() { Outcome::Edited } else { Outcome::Broken };
        table.add(&subject.case.layout(), subject.case.variant.target.name, outcome);
        failures.extend(result.err().map(|failure| format!("{}: {failure}", subject.case.name())));
        strategies.extend(subject.edits.iter().map(|(strategy, ..)| strategy.as_str()));
    }
    table.show(test);
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    for rung in rungs(Show::Repeated) {
        assert!(strategies.contains(rung.name), "no edit used {}: {strategies:?}", rung.name);
    }
}

fn cases(test: &str) -> Vec<Case> {
    let [exec, pie, library] = PROGRAMS;
    let large = variant("large-data", &[LARGE_DATA]);
    let mut cases = Vec::new();
    for (linker, _) in LINKERS {
        let mut add = |(source, shape), path, layout| cases.push(Case::new(linker, source, shape, path, layout));
        if long() {
            for layout in [variant("default", &[]), large, variant("2M-pages", &["-Wl,-z,max-page-size=0x200000"])] {
                for kind in PROGRAMS {
                    add(kind, OldPath::Runpath, layout);
                    add(kind, OldPath::None, layout);
                }
            }
        } else {
            add(pie, OldPath::None, variant("default", &[]));
            add(library, OldPath::Runpath, variant("default", &[]));
            add(exec, OldPath::None, large);
        }
    }
    for target in TARGETS {
        for (linker, _) in LINKERS.into_iter().filter(|(linker, _)| long() || *linker == "bfd") {
            for ((source, shape), path) in [(pie, OldPath::None), (library, OldPath::Runpath)] {
                let layout = on(target, linker, variant("default", &[]));
                cases.push(Case::new(linker, source, shape, path, layout));
            }
        }
    }
    cases.retain(|case| impossible(case).is_none());
    let mut cases = possible_here(test, cases);
    for (tool, more) in [("go", go_cases as fn() -> Vec<Case>), ("rustc", rust_cases)] {
        if require(tool, test) {
            let without_path = |case: &Case| long() || case.path == OldPath::None;
            cases.extend(more().into_iter().filter(without_path));
        }
    }
    cases
}

/// Puts one more, longer directory in front of each path; in place and by replacing in turn.
fn edit_all(folder: &Path, number: usize, subjects: &mut [Subject]) {
    let directory = format!("/no/such/directory/{number:02}{}", "x".repeat(number));
    let mut command = binary();
    command.args(["fix", "--json", "--driver", &directory]).args(MODES[(number + 1) % 2]);
    let ended = run(command.arg(folder));
    let files = ended.files();
    for Subject { case, file, edits, .. } in subjects {
        let entry = &files[&*file];
        assert_eq!(entry["outcome"], "fixed", "edit {number} of {}: {entry}", case.name());
        let strategy = entry["strategy"].as_str().unwrap().to_owned();
        // What stood there before stays behind a colon, or is followed by its NUL as the new one is.
        edits.push((strategy, directory.len() as u64 + 1, entry["growth"].as_u64().unwrap()));
    }
}

impl Subject {
    /// A table at the end of its PT_LOAD grows by the string and by nothing else; to get there may cost one copy of the
    /// table, one alignment, and what had to move: the neighbours of the program header table, or the last PT_LOAD with
    /// its zeros where its bytes are what is copied.
    fn check_sizes(&self) -> Result<(), String> {
        let mut table = self.original.string_table().unwrap().len() as u64;
        let last = self.original.loads().last().unwrap().memory_size;
        let mut places = 0;
        let mut sum = 0;
        for (number, (strategy, string, growth)) in self.edits.iter().enumerate() {
            table += string;
            sum += growth;
            let most = match strategy.as_str() {
                "grow" => *string,
                _ if *growth == 0 => 0,
                "reimage" => table + PADDING + MOVED + last,
                _ => table + PADDING + MOVED,
            };
            places += usize::from(strategy != "grow" && *growth > 0);
            if *growth > most {
                return Err(format!("edit {number} by {strategy} took {growth} bytes, at most {most} were expected"));
            }
        }
        let size = std::fs::metadata(&self.file).unwrap().len();
        if size != self.original.data.len() as u64 + sum {
            return Err(format!("the file has {size} bytes, {sum} more were told"));
        }
        if places > PLACES {
            let list: Vec<_> = self.edits.iter().map(|(strategy, ..)| strategy.as_str()).collect();
            return Err(format!("the table got another place {places} times: {}", list.join(" ")));
        }
        Ok(())
    }

    /// With the new directory in front it runs, as it is and stripped, and nothing but the path is another one.
    fn check_file(&self) -> Result<(), String> {
        let Self { case, file, original, .. } = self;
        let target = case.variant.target;
        let ended = run(fix(target).arg(file));
        if ended.code != 0 {
            return Err(ended.said());
        }
        let now = Image::parse(&std::fs::read(file).unwrap()).ok_or("cannot be read any more")?;
        let path = now.runpath().unwrap_or_default();
        let found = differences(original, &now, &path, &[]);
        if !found.is_empty() || path.iter().filter(|byte| **byte == b':').count() < EDITS {
            return Err(format!("{found:?}, path {}", String::from_utf8_lossy(&path)));
        }
        for stripped in [false, true] {
            if stripped {
                let strip = |file: &Path| run(command(target.tool("strip")).arg(file));
                let ended = strip(file);
                if ended.code != 0 {
                    // Some linkers' files are nothing that the machine's strip takes, edited or not.
                    let unedited = file.with_extension("unedited");
                    std::fs::write(&unedited, &original.data).unwrap();
                    return if strip(&unedited).code == 0 { Err(ended.said()) } else { Ok(()) };
                }
            }
            let ended = case.run(file, None);
            if ended.code != NEW {
                return Err(format!("stripped: {stripped}: {}", ended.said()));
            }
        }
        Ok(())
    }
}
