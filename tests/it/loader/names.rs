//! Which names are answered without a search: what is in the process already, and the loader itself.

use super::loaders;
use super::scene::{Link, Scene, Start};
use crate::harness::copy_program;

#[test]
fn a_name_with_a_slash_is_a_path() {
    let Some(scene) = Scene::new("loader::a_name_with_a_slash_is_a_path") else { return };
    scene.libraries(&["a/liba.so", "here/b/libb.so", "here/libd.so", "p/libd.so"]);
    scene.link(Link::program("bin/p").needs(&["@/a/liba.so", "b/libb.so", "./libd.so", "libd.so"]).runpath("@/p"));
    let seen = scene.start_as(Start { path: "bin/p", here: "here", library_path: None });
    assert_eq!(seen.found(&scene.text("@/a/liba.so")), "@/a/liba.so");
    assert_eq!(seen.found("b/libb.so"), "@/here/b/libb.so");
    // It came under a path, and has the name as its DT_SONAME.
    assert_eq!(seen.found("libd.so"), "not searched");
    scene.link(Link::program("bin/q").needs(&["@/a/none.so", "liba.so"]).runpath("@/a"));
    assert_eq!(scene.start("bin/q").found(&scene.text("@/a/none.so")), "nothing");
}

#[test]
fn a_soname_in_the_process_ends_the_search() {
    let Some(scene) = Scene::new("loader::a_soname_in_the_process_ends_the_search") else { return };
    scene.link(Link::library("a/real.so").soname("libx.so.1"));
    scene.libraries(&["b/libx.so.1"]);
    scene.link(Link::library("a/liby.so").needs(&["libx.so.1"]).runpath("@/b"));
    scene.link(Link::program("bin/p").needs(&["real.so", "liby.so"]).runpath("@/a"));
    assert_eq!(scene.start("bin/p").found("libx.so.1"), "not searched");
    // The other way round the first one has another name: both are loaded.
    scene.link(Link::program("bin/q").needs(&["libx.so.1", "real.so"]).runpath("@/b:@/a"));
    let seen = scene.start("bin/q");
    assert_eq!((seen.found("libx.so.1"), seen.found("real.so")), ("@/b/libx.so.1".into(), "@/a/real.so".into()));
}

/// A file under a second name is not loaded again, and has that name from then on.
#[test]
fn a_file_in_the_process_has_every_name_that_led_to_it() {
    let Some(scene) = Scene::new("loader::a_file_in_the_process_has_every_name_that_led_to_it") else { return };
    scene.link(Link::library("a/libone.so").soname("libone.so"));
    scene.symlink("libone.so", "a/libtwo.so");
    std::fs::hard_link(scene.tree.join("a/libone.so"), scene.tree.join("a/libthree.so")).unwrap();
    scene.libraries(&["b/libtwo.so", "b/libthree.so"]);
    scene.link(Link::library("a/late.so").needs(&["libtwo.so", "libthree.so"]).runpath("@/b"));
    let needs = ["libone.so", "libtwo.so", "libthree.so", "late.so"];
    scene.link(Link::program("bin/p").needs(&needs).runpath("@/a"));
    let seen = scene.start("bin/p");
    assert_eq!(seen.found("libtwo.so"), "@/a/libtwo.so");
    assert_eq!(seen.tried("libthree.so"), ["@/a/libthree.so"]);
    // One that no object asked for before is searched where the asking object says.
    scene.link(Link::program("bin/q").needs(&["libone.so", "late.so"]).runpath("@/a"));
    assert_eq!(scene.start("bin/q").found("libtwo.so"), "@/b/libtwo.so");
}

#[test]
fn the_loader_and_the_program_have_names() {
    let Some(scene) = Scene::new("loader::the_loader_and_the_program_have_names") else { return };
    let (_, loader) = loaders().remove(0);
    let (path, name) = (loader.to_str().unwrap(), loader.file_name().unwrap().to_str().unwrap());
    scene.libraries(&["a/liba.so", "a/libp.so"]);
    std::fs::copy(&loader, scene.tree.join("a").join(name)).unwrap();
    let needs = ["liba.so", name, path, "libp.so"];
    scene.link(Link::program("bin/p").soname("libp.so").needs(&needs).runpath("@/a"));
    let seen = scene.start("bin/p");
    assert_eq!((seen.found(name), seen.found("libp.so")), ("not searched".into(), "not searched".into()));
    // A program may name its loader by any path; the loader knows itself by that and by its DT_SONAME.
    copy_program(&loader, &scene.tree.join("own-loader"));
    scene.link(
        Link::program("bin/q").needs(&["liba.so", name, "own-loader", path]).interpreter("@/own-loader").runpath("@/a"),
    );
    let seen = scene.start("bin/q");
    assert_eq!((seen.found(name), seen.found("own-loader")), ("not searched".into(), "nothing".into()));
}

#[test]
fn circles_end() {
    let Some(scene) = Scene::new("loader::circles_end") else { return };
    scene.link(Link::library("a/liba.so").needs(&["libb.so", "liba.so"]).runpath("@/a"));
    scene.link(Link::library("a/libb.so").needs(&["liba.so", "libc1.so"]).runpath("@/a"));
    scene.link(Link::library("a/libc1.so").needs(&["liba.so", "libb.so", "libc1.so"]).runpath("@/a"));
    scene.link(Link::program("bin/p").needs(&["liba.so", "liba.so"]).runpath("@/a"));
    assert_eq!(scene.start("bin/p").found("libc1.so"), "@/a/libc1.so");
    assert_eq!(scene.load("a/libc1.so").found("liba.so"), "@/a/liba.so");
}
