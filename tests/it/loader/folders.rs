//! Directories that no path lists: folders for better hardware, the cache, the default directories.

use super::loaders;
use super::scene::{Link, Scene};
use crate::harness::{command, run, skip};

/// `glibc-hwcaps` and older folders that this machine's loader searches, as it prints them: the CPU decides.
pub(super) fn searched(class: u8) -> Vec<String> {
    let (_, loader) = loaders().into_iter().find(|(known, _)| *known == class).expect("asked for before");
    let run = run(command(loader).arg("--help"));
    let lines = run.stdout.lines().filter(|line| line.contains("searched)"));
    lines.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn folders_for_better_hardware_come_first() {
    let test = "loader::folders_for_better_hardware_come_first";
    let Some(scene) = Scene::new(test) else { return };
    let known = searched(64);
    let named: Vec<String> = known.iter().filter(|name| name.starts_with("x86-64-v")).cloned().collect();
    if std::env::consts::ARCH == "x86_64" && named.is_empty() {
        skip(test, "the CPU has no x86-64-v2");
        return;
    }
    // What this CPU cannot use is in no object's way.
    let levels = ["x86-64-v2", "x86-64-v3", "x86-64-v4"];
    for level in levels.into_iter().filter(|level| !known.iter().any(|name| name == level)) {
        scene.libraries(&[&format!("a/glibc-hwcaps/{level}/liblow.so")]);
    }
    scene.libraries(&["a/liblow.so", "b/libhigh.so", "a/libfar.so"]);
    scene
        .link(Link::program("bin/p").needs(&["liblow.so", "libhigh.so", "libfar.so", "libnone.so"]).runpath("@/a:@/b"));
    let mut found = vec![scene.start("bin/p").found("liblow.so")];
    for level in named.iter().rev() {
        let folder = format!("glibc-hwcaps/{level}");
        scene.libraries(&[&format!("a/{folder}/liblow.so"), &format!("b/{folder}/libhigh.so")]);
        let seen = scene.start("bin/p");
        found.push(seen.found("liblow.so"));
        assert_eq!(seen.found("libhigh.so"), format!("@/b/{folder}/libhigh.so"));
        assert_eq!(seen.found("libfar.so"), "@/a/libfar.so");
    }
    assert!(found.windows(2).all(|pair| pair[0] != pair[1]), "{found:?}");
    // The first directory's plain library comes before the second directory's best one.
    scene.libraries(&["a/libhigh.so"]);
    assert_eq!(scene.start("bin/p").found("libhigh.so"), "@/a/libhigh.so");
    // Other names in that folder mean nothing, nor does the folder itself.
    scene.libraries(&["a/glibc-hwcaps/libnone.so", "a/glibc-hwcaps/x86-64-v9/libnone.so"]);
    assert_eq!(scene.start("bin/p").found("libnone.so"), "nothing");
}

/// `tls`, the platform and features, in every combination, until glibc 2.36.
#[test]
fn older_folders_come_first_where_the_loader_knows_them() {
    let test = "loader::older_folders_come_first_where_the_loader_knows_them";
    let Some(scene) = Scene::new(test) else { return };
    for (class, words) in [(64, &["tls", "haswell", "avx512_1", "x86_64"][..]), (32, &["tls", "i686", "sse2"])] {
        if !loaders().iter().any(|(known, _)| *known == class) {
            skip(test, &format!("no {class}-bit loader"));
            return;
        }
        // Another vendor's CPU has another platform, and recent loaders none of this.
        let known = searched(class);
        if !words.iter().all(|word| known.iter().any(|name| name == word)) {
            continue;
        }
        let folder = |name: &str| format!("a{class}{name}");
        let link = |path: &str| scene.link(Link::library(path).class(class));
        link(&folder("/libx.so"));
        let (program, path) = (format!("bin/p{class}"), scene.text(&format!("@/{}", folder(""))));
        scene.link(Link::program(&program).class(class).needs(&["libx.so", "libnone.so"]).runpath(&path));
        // From the last to the first; each one comes before those that were there.
        let combinations = 1_u32 << words.len();
        for bits in 0..combinations {
            let has = |at: usize| bits >> (words.len() - 1 - at) & 1 == 1;
            let parts: Vec<&str> = (0..words.len()).filter(|at| has(*at)).map(|at| words[at]).collect();
            if parts.is_empty() {
                continue;
            }
            let library = folder(&format!("/{}/libx.so", parts.join("/")));
            link(&library);
            // Every one of them is a start of three processes; the order shows in a few.
            if parts.len() == 1 || bits + 1 == combinations || bits == 5 {
                assert_eq!(scene.start(&program).found("libx.so"), format!("@/{library}"));
            }
        }
    }
}

/// DF_1_NODEFLIB: neither the default directories nor what the cache has of them.
#[test]
fn an_object_may_refuse_the_default_directories() {
    let Some(scene) = Scene::new("loader::an_object_may_refuse_the_default_directories") else { return };
    scene.link(Link::program("bin/p").needs(&["libm.so.6", "libnone.so"]));
    assert!(scene.start("bin/p").found("libm.so.6").ends_with("/libm.so.6"));
    scene.link(Link::program("bin/q").needs(&["libm.so.6"]).flags(&["-z", "nodefaultlib"]));
    let seen = scene.start("bin/q");
    // The loader tells what the cache has, and does not take it.
    assert!(seen.found("libm.so.6") == "nothing" && seen.tried("libm.so.6").len() <= 1);
    // It is the asking object's wish, not the program's.
    scene.link(Link::library("a/liba.so").needs(&["libm.so.6"]));
    scene.link(Link::program("bin/r").needs(&["liba.so"]).runpath("@/a").flags(&["-z", "nodefaultlib"]));
    assert!(scene.start("bin/r").found("libm.so.6").ends_with("/libm.so.6"));
}
