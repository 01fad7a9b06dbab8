//! `--in-place` promises that every prefix of its writes is a file that loads. Each prefix of each plan is run here: with
//! the old dependency or with the new one, never with none.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;

use cuda_runpath::elf::image::apply;
use cuda_runpath::elf::plan::{Atomicity, Change, PathTag, Plan, plan};
use cuda_runpath::elf::view::Subject;

use crate::harness::fixtures::LARGE_DATA;
use crate::harness::{
    Link, NATIVE, NEW, OLD, OldPath, PROGRAMS, Shape, Show, Tree, deps, for_all, linkers, rungs, set_mode, start,
};

const FLAGS: [&[&str]; 7] = [
    &[],
    &["-Wl,-z,noseparate-code"],
    &["-Wl,-z,max-page-size=0x200000"],
    &["-Wl,--hash-style=sysv", "-Wl,-z,now"],
    &["-s"],
    &[LARGE_DATA],
    &[LARGE_DATA, "-Wl,--hash-style=sysv"],
];

#[test]
fn every_prefix_of_the_writes_loads() {
    let mut cases = Vec::new();
    for linker in linkers("every_prefix_of_the_writes_loads") {
        for (source, shape) in PROGRAMS {
            for path in [OldPath::Runpath, OldPath::Rpath] {
                // gold never separates code, and does not know the word for it.
                let flags =
                    FLAGS.into_iter().filter(|flags| linker != "gold" || !flags.concat().contains("noseparate"));
                cases.extend(flags.map(|flags| (linker, source, shape, path, flags)));
            }
        }
    }
    let tree = Tree::new();
    let seen = Mutex::new(BTreeMap::new());
    let numbered: Vec<_> = cases.into_iter().enumerate().collect();
    let failures = for_all(&numbered, |(number, (linker, source, shape, path, flags))| {
        let file = tree.join(format!("{number}"));
        Link::new(source, *shape).linker(linker).path(*path).flags(flags).to(&file);
        let bytes = fs::read(&file).unwrap();
        let Ok(Subject::Object(view)) = Subject::parse(&bytes) else {
            return Err(format!("{linker} {flags:?}: no object"));
        };
        // Longer than the old path, longer than any padding, and short enough to go over it.
        let new = deps(NATIVE).new.to_str().unwrap();
        let old = view.search_path().unwrap();
        let (long, longest) = (format!("{new}:{old}"), format!("{new}:/{}:{old}", "x/".repeat(2100)));
        for wanted in [long.as_str(), longest.as_str(), new] {
            let change = Change::Set { tag: PathTag::Runpath, path: wanted.into() };
            let plan = plan(&view, &change, Atomicity::Prefixes).map_err(|e| format!("{linker} {flags:?}: {e}"))?;
            *seen.lock().unwrap().entry(plan.strategy.name()).or_insert(0) += 1;
            run_prefixes(&bytes, &plan, &file, *shape)
                .map_err(|e| format!("{linker} {source} {shape:?} {flags:?}: {e}"))?;
        }
        Ok(())
    });
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    let seen = seen.into_inner().unwrap();
    for rung in rungs(Show::Linked) {
        assert!(seen.contains_key(rung.name), "no plan used {}: {seen:?}", rung.name);
    }
}

fn run_prefixes(bytes: &[u8], plan: &Plan, file: &std::path::Path, shape: Shape) -> Result<(), String> {
    let mut codes = Vec::new();
    for count in 0..=plan.patches.len() {
        let mut prefix = plan.clone();
        prefix.patches.truncate(count);
        // What a kill leaves: as long as the last write made it.
        let end = prefix.patches.iter().filter_map(|patch| patch.range()).map(|range| range.end().get()).max();
        prefix.new_len = plan.old_len.max(end.unwrap_or(0));
        let written = file.with_extension(format!("{count}"));
        fs::write(&written, apply(bytes, &prefix).unwrap()).unwrap();
        set_mode(&written, 0o755);
        let ended = start(&written, shape);
        codes.push(ended.code);
        fs::remove_file(written).unwrap();
    }
    let is_old_or_new = |code: &i32| matches!(*code, OLD | NEW);
    let ends = (codes.first() == Some(&OLD), codes.last() == Some(&NEW));
    if codes.iter().all(is_old_or_new) && ends == (true, true) {
        return Ok(());
    }
    let stages: Vec<&str> = plan.patches.iter().map(|patch| patch.stage.name()).collect();
    Err(format!("{} {stages:?}: exits {codes:?}", plan.strategy))
}
