//! Strings that several names share, and names that a model of the file does not know.

use std::path::Path;

use super::layouts::{Real, answer_after, assert_image_kept};
use super::naive::{overwrite, rebuild_strings};
use crate::elfgen::read::Image;
use crate::elfgen::{self, Machine, Spec};
use crate::harness::editors::Patchelf;
use crate::harness::fixtures::{LARGE_DATA, fixtures, paths_longer_than_a_page};
use crate::harness::{Link, NATIVE, NEW, OldPath, Shape, Tree, deps, linkers, require};

/// No such symbol, by `host.c`.
const NO_SYMBOL: i32 = 126;

/// Linkers merge strings with the same tail, so a symbol's name can be the end of the RUNPATH. An editor that writes
/// over the old path, or fills it with X as patchelf 0.14 does, renames the symbol, and no program finds it any more.
#[test]
fn tail_merged_names() {
    let test = "tail_merged_names";
    let tree = Tree::new();
    let place = |name: &str, from: &Path| {
        tree.copy(&from.join("libdep.so"), Path::new(name).join("libdep.so"));
        tree.join(name)
    };
    let known = linkers(test);
    if known.is_empty() {
        return;
    }
    // A path that stays, behind the new one, and a link-time stub's that goes: a string shorter than the old one
    // would fit in its place, over the symbol's name.
    let olds = [("foo_sym", place("x/foo_sym", &deps(NATIVE).old)), ("stubs", place("lib/stubs", &deps(NATIVE).old))];
    let short = place("s", &deps(NATIVE).new);
    let mut merged = Vec::new();
    for linker in known {
        for (symbol, old) in &olds {
            let told = format!("{linker} {symbol}");
            let defines = [format!("-DSYMBOL={symbol}")];
            let path = format!("-Wl,-rpath,{}", old.display());
            let (defines, flags) = ([&*defines[0]], ["-Wl,-O2", "-Wl,--enable-new-dtags", &path]);
            let link = Link::new("tail_symbol.c", Shape::Library).linker(linker).path(OldPath::None);
            let real = Real::of(&link.defines(&defines).flags(&flags), symbol, |_| {});
            for driver in [&deps(NATIVE).new, &short] {
                real.assert_kept_with(driver, &told);
            }
            let image = Image::read(&real.original());
            let strings = image.string_table().unwrap();
            if strings.split(|byte| *byte == 0).any(|string| string == symbol.as_bytes()) {
                continue;
            }
            merged.push(linker);
            let new = short.to_str().unwrap();
            let ended = real.run_after_bytes(&|bytes, _| overwrite(bytes, new));
            assert_eq!(ended.code, NO_SYMBOL, "{told}: naive");
            if let Some(patchelf) = Patchelf::old(test) {
                let ended = real.run_after(|file| patchelf.must_edit(&["--set-rpath", new], file));
                assert_eq!(ended.code, NO_SYMBOL, "{told}: {}", patchelf.name);
            }
        }
    }
    assert!(!merged.is_empty() || !require("ld.bfd", test), "no linker merged the tail, so this test shows nothing");
    for (name, spec) in elfgen::presets().into_iter().filter(|(name, _)| name.starts_with("tail-merged")) {
        assert_image_kept(&spec, name, test);
    }
}

/// An editor that builds tables anew from what it knows loses what it does not know. One that collects the names of
/// symbols and libraries, and not those of versions, leaves version numbers that name something else.
#[test]
fn contents_that_a_model_does_not_know() {
    let test = "contents_that_a_model_does_not_know";
    let script = format!("-Wl,--version-script={}", fixtures().join("versioned_library.map").display());
    let long = paths_longer_than_a_page();
    for linker in linkers(test) {
        for hash in ["-Wl,--hash-style=gnu", "-Wl,--hash-style=sysv"] {
            let told = format!("{linker} {hash}");
            let link = || Link::new("versioned_library.c", Shape::Library).linker(linker);
            let real = Real::new(&link().flags(&[&script, hash]));
            real.assert_kept(&told);
            Real::new(&link().flags(&[&script, hash, &long])).assert_kept(&told);
            Real::new(&link().flags(&[&script, hash, &long, LARGE_DATA])).assert_kept(&told);
            let ended = real.run_after_bytes(&rebuild_strings);
            assert_ne!(ended.code, NEW, "{told}: naive");
        }
    }
    let others = ["versions", "hash-", "string-tags", "filter-tags", "foreign-user"];
    for (name, spec) in elfgen::presets() {
        if others.iter().any(|other| name.starts_with(other)) {
            assert_image_kept(&spec, name, test);
        }
    }
    let spec = Spec::library(Machine::X86_64).runpath("$ORIGIN/old").verneed("libdep.so.1", "DEP_1.0");
    let answer = answer_after(&spec, &rebuild_strings, test);
    assert!(answer.is_none_or(|answer| answer.is_err()), "naive");
}
