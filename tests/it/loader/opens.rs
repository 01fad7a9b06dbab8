//! dlopen: the caller's path counts, wherever the program's leads.

use super::scene::{Link, Scene, Start};

/// What a program gets when it opens names, each as `explain` says; `via:` names are opened by `lib/libcaller.so`.
fn opened(scene: &Scene, path: &str, names: &[&str]) -> Vec<String> {
    scene.open(Start { path, ..Start::default() }, names).1
}

#[test]
fn the_caller_is_the_object_that_asks() {
    let Some(scene) = Scene::new("loader::the_caller_is_the_object_that_asks") else { return };
    scene.libraries(&["a/libx.so", "b/libx.so", "b/liby.so", "a/libw.so"]);
    scene.link(Link::caller("lib/libcaller.so").runpath("@/b"));
    scene.link(Link::opener("bin/p").needs(&["libcaller.so"]).runpath("@/lib:@/a"));
    let first = opened(&scene, "bin/p", &["libw.so", "via:liby.so", "via:libx.so"]);
    assert_eq!(first, ["@/a/libw.so", "@/b/liby.so", "@/b/libx.so"]);
    // What did not find anything before does not hinder the next search.
    assert_eq!(opened(&scene, "bin/p", &["libx.so", "liby.so"]), ["@/a/libx.so", "nothing"]);
    assert_eq!(opened(&scene, "bin/p", &["via:libw.so"]), ["nothing"]);
    // Without a path of its own a library has nothing of the program's DT_RUNPATH.
    scene.link(Link::caller("lib/libcaller.so"));
    assert_eq!(opened(&scene, "bin/p", &["via:libw.so", "libw.so"]), ["nothing", "@/a/libw.so"]);
}

#[test]
fn the_programs_rpath_serves_callers_without_runpath() {
    let Some(scene) = Scene::new("loader::the_programs_rpath_serves_callers_without_runpath") else { return };
    scene.libraries(&["a/libx.so", "b/liby.so", "near/libw.so"]);
    scene.link(Link::opener("bin/p").needs(&["libbetween.so"]).rpath("@/lib:@/a"));
    scene.link(Link::library("lib/libbetween.so").needs(&["libcaller.so"]).rpath("@/lib:@/near"));
    scene.link(Link::caller("lib/libcaller.so"));
    // Its own, of which it has none, then that of the object that loaded it, then the program's.
    assert_eq!(opened(&scene, "bin/p", &["via:libx.so", "via:libw.so"]), ["@/a/libx.so", "@/near/libw.so"]);
    scene.link(Link::caller("lib/libcaller.so").runpath("@/b"));
    assert_eq!(opened(&scene, "bin/p", &["via:libx.so", "via:liby.so"]), ["nothing", "@/b/liby.so"]);
    scene.link(Link::caller("lib/libcaller.so").rpath("@/b"));
    assert_eq!(opened(&scene, "bin/p", &["via:libx.so", "via:liby.so"]), ["@/a/libx.so", "@/b/liby.so"]);
}

#[test]
fn what_was_loaded_at_start_is_not_searched_for_again() {
    let Some(scene) = Scene::new("loader::what_was_loaded_at_start_is_not_searched_for_again") else { return };
    scene.link(Link::library("a/real.so").soname("libx.so.1"));
    scene.libraries(&["b/libx.so.1", "b/real.so", "b/liby.so"]);
    scene.symlink("real.so", "a/libother.so");
    scene.link(Link::caller("lib/libcaller.so").runpath("@/b"));
    let needs = ["libcaller.so", "real.so", "libother.so"];
    scene.link(Link::opener("bin/p").needs(&needs).runpath("@/lib:@/a"));
    // By DT_SONAME, by the name that DT_NEEDED had, by a second name that led to the same file, by its path.
    let names = ["via:libx.so.1", "via:real.so", "via:libother.so", "@/a/real.so", "@/a/../a/real.so"];
    assert_eq!(opened(&scene, "bin/p", &names), ["@/a/real.so"; 5]);
}

#[test]
fn library_path_and_cache_serve_every_caller() {
    let Some(scene) = Scene::new("loader::library_path_and_cache_serve_every_caller") else { return };
    scene.libraries(&["env/libx.so", "own/libx.so", "env/liby.so"]);
    scene.link(Link::caller("lib/libcaller.so").runpath("@/own"));
    scene.link(Link::opener("bin/p").needs(&["libcaller.so"]).rpath("@/lib"));
    let start = Start { path: "bin/p", library_path: Some("@/env"), ..Start::default() };
    let (seen, opened) = scene.open(start, &["via:libx.so", "liby.so", "via:libm.so.6"]);
    assert_eq!(opened[..2], ["@/env/libx.so", "@/env/liby.so"]);
    // Where a distribution has libm is its own affair; it is the cache's answer, or a default directory's.
    assert_eq!(opened[2], seen.found("libm.so.6"));
    assert!(opened[2].starts_with('/'), "{opened:?}");
}
