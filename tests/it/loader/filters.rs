//! DT_FILTER and DT_AUXILIARY: libraries that glibc puts in front of the object that names them.

use super::scene::{Link, Scene};
use crate::harness::{command, run};

/// `start` compares every search, who makes it, and their order, with the loader's.
#[test]
fn filters_are_searched_like_what_is_needed() {
    let Some(scene) = Scene::new("loader::filters_are_searched_like_what_is_needed") else { return };
    scene.libraries(&["a/libfilter.so", "b/libn.so", "one/libsame.so", "two/libsame.so", "three/libdeep.so"]);
    scene.link(Link::library("a/libaux.so").needs(&["libsame.so", "libdeep.so"]).runpath("@/one:@/three"));
    scene.link(
        Link::library("lib/liba.so")
            .needs(&["libn.so"])
            .flags(&["-f", "libaux.so", "-F", "libfilter.so"])
            .runpath("@/a:@/b"),
    );
    scene.link(Link::library("lib/libz.so").needs(&["libsame.so"]).runpath("@/two"));
    scene.link(Link::program("bin/p").needs(&["liba.so", "libz.so"]).runpath("@/lib"));
    let seen = scene.start("bin/p");
    assert_eq!(
        (seen.found("libaux.so"), seen.found("libfilter.so")),
        ("@/a/libaux.so".into(), "@/a/libfilter.so".into())
    );
    // The auxiliary library is asked before the program's second one.
    assert_eq!(seen.found("libsame.so"), "@/one/libsame.so");
    // One that waits already moves to the front.
    scene.link(Link::library("lib/libaux.so").needs(&["libsame.so"]).runpath("@/one"));
    scene.link(Link::library("lib/liba.so").flags(&["-f", "libaux.so"]));
    scene.link(Link::program("bin/q").needs(&["liba.so", "libz.so", "libaux.so"]).runpath("@/lib"));
    assert_eq!(scene.start("bin/q").found("libsame.so"), "@/one/libsame.so");
    scene.link(Link::program("bin/r").needs(&["libz.so", "liba.so", "libaux.so"]).runpath("@/lib"));
    assert_eq!(scene.start("bin/r").found("libsame.so"), "@/two/libsame.so");
}

#[test]
fn an_auxiliary_library_may_be_missing_and_a_filter_may_not() {
    let Some(scene) = Scene::new("loader::an_auxiliary_library_may_be_missing_and_a_filter_may_not") else { return };
    let starts = |flags: &[&str]| {
        scene.link(Link::library("lib/liba.so").flags(flags));
        scene.link(Link::program("bin/p").needs(&["liba.so"]).runpath("@/lib"));
        let name = flags.last().unwrap();
        assert_eq!(scene.start("bin/p").found(name), "nothing");
        run(&mut command(scene.tree.join("bin/p"))).code == 0
    };
    assert!(starts(&["-f", "libnone.so"]) && starts(&["-f", "$FOO/libnone.so"]));
    assert!(!starts(&["-F", "libnone.so"]));
}
