//! `$ORIGIN`, `$LIB` and `$PLATFORM` in paths and names, and where an object's origin is.

use super::loaders;
use super::scene::{Link, Scene, Start};
use crate::harness::{command, run};

/// What the loader of this machine stands in for `$PLATFORM`; the CPU decides.
fn platform() -> String {
    let (_, loader) = loaders().remove(0);
    let run = run(command(loader).arg("--list-diagnostics"));
    let line = run.stdout.lines().find_map(|line| line.strip_prefix("dl_platform=\"")).unwrap_or_default();
    line.trim_end_matches('"').to_owned()
}

/// The program's origin is where it really lies; the kernel tells. A library's is the directory of the path under which
/// it was opened, links and all.
#[test]
fn the_origin_of_a_program_is_resolved_and_of_a_library_is_not() {
    let Some(scene) = Scene::new("loader::the_origin_of_a_program_is_resolved_and_of_a_library_is_not") else { return };
    scene.libraries(&["pkg/lib/libb.so", "away/libc1.so", "pkg/lib/libd.so"]);
    scene.link(Link::library("pkg/lib/liba.so").needs(&["libb.so"]).runpath("$ORIGIN"));
    scene.link(Link::program("pkg/bin/p").needs(&["liba.so"]).runpath("$ORIGIN/../lib"));
    scene.symlink("@/pkg/bin/p", "p");
    scene.symlink("pkg/bin", "bin");
    for path in ["pkg/bin/p", "p", "bin/p"] {
        let seen = scene.start(path);
        assert_eq!(seen.found("libb.so"), "@/pkg/bin/../lib/libb.so", "{path}");
    }
    // A link to a directory in the way of a library stays; so does a link to the library itself.
    scene.symlink("../pkg/lib", "through/lib");
    scene.symlink("@/pkg/lib/liba.so", "away/liba.so");
    scene.link(Link::program("bin/q").needs(&["liba.so"]).runpath("@/through/lib"));
    assert_eq!(scene.start("bin/q").found("libb.so"), "@/through/lib/libb.so");
    scene.link(Link::program("bin/r").needs(&["liba.so"]).runpath("@/away"));
    assert_eq!(scene.start("bin/r").found("libb.so"), "nothing");
    // The same for a library that is looked at by itself.
    assert_eq!(scene.load("pkg/lib/liba.so").found("libb.so"), "@/pkg/lib/libb.so");
    assert_eq!(scene.load("through/lib/liba.so").found("libb.so"), "@/through/lib/libb.so");
    assert_eq!(scene.load("away/liba.so").found("libb.so"), "nothing");
}

/// A relative path to a program or library is one in the current directory.
#[test]
fn the_origin_of_what_was_found_by_a_relative_path() {
    let Some(scene) = Scene::new("loader::the_origin_of_what_was_found_by_a_relative_path") else { return };
    scene.libraries(&["pkg/sub/libb.so"]);
    scene.link(Link::library("pkg/liba.so").needs(&["libb.so"]).runpath("$ORIGIN/sub"));
    scene.link(Link::program("bin/p").needs(&["liba.so"]).runpath("pkg"));
    scene.link(Link::program("bin/q").needs(&["./pkg/liba.so"]));
    for path in ["bin/p", "bin/q"] {
        assert_eq!(scene.start(path).found("libb.so"), "@/pkg/sub/libb.so", "{path}");
    }
}

/// Inherited DT_RPATH is expanded for the object that has it; LD_LIBRARY_PATH for the program.
#[test]
fn tokens_stand_for_the_owner_of_the_path() {
    let Some(scene) = Scene::new("loader::tokens_stand_for_the_owner_of_the_path") else { return };
    scene.libraries(&["bin/x/libb.so", "bin/x/libe.so", "lib/x/libe.so"]);
    scene.link(Link::library("lib/liba.so").needs(&["libb.so", "libe.so"]));
    scene.link(Link::program("bin/p").needs(&["liba.so"]).rpath("$ORIGIN/../lib:$ORIGIN/x"));
    assert_eq!(scene.start("bin/p").found("libb.so"), "@/bin/x/libb.so");
    scene.link(Link::library("lib/liba.so").needs(&["libb.so", "libe.so"]).runpath("@/bin/x"));
    scene.link(Link::program("bin/q").needs(&["liba.so"]));
    let start = Start { path: "bin/q", here: "", library_path: Some("$ORIGIN/../lib:${ORIGIN}/../lib/x") };
    assert_eq!(scene.start_as(start).found("libe.so"), "@/bin/../lib/x/libe.so");
}

#[test]
fn every_spelling_of_a_token_is_read_as_the_loader_reads_it() {
    let Some(scene) = Scene::new("loader::every_spelling_of_a_token_is_read_as_the_loader_reads_it") else { return };
    let folders = [
        "$FOO",
        "$ORIGINAL",
        "${LIB",
        "$",
        "a$",
        "$$ORIGIN",
        "${}",
        "$LIBx",
        "$origin",
        "${ORIGIN}x",
        "$ORIGIN{LIB}",
        "p/$PLATFORM_",
    ];
    for folder in folders {
        scene.folder(folder);
    }
    let own = platform();
    scene.folder(&format!("p/{own}"));
    scene.folder("lib/x86_64-linux-gnu");
    scene.folder("bin/x");
    scene.folder("bin${LIB}");
    let mut path: Vec<String> = folders.map(|folder| format!("@/{folder}")).to_vec();
    path.extend(
        ["@/$LIB", "@/${LIB}/", "${ORIGIN}x", "$ORIGIN/x", "$ORIGIN/$ORIGIN", "$ORIGIN${LIB}", "${ORIGIN}${x"]
            .map(str::to_owned),
    );
    let knows = ["haswell", "x86_64", "aarch64"].contains(&own.as_str());
    path.extend(knows.then(|| ["@/p/$PLATFORM", "@/p/${PLATFORM}"].map(str::to_owned)).into_iter().flatten());
    scene.libraries(&["bin/x/libx.so"]);
    scene.link(Link::program("bin/p").needs(&["libnone.so"]).runpath(&path.join(":")));
    let seen = scene.start("bin/p");
    let tried = seen.tried("libnone.so");
    assert!(tried.contains(&"@/$ORIGINAL/libnone.so".to_owned()), "{tried:?}");
    assert!(!knows || tried.contains(&format!("@/p/{own}/libnone.so")), "{tried:?}");
    assert!(tried.len() >= 12, "{tried:?}");
}

/// DT_NEEDED's tokens are expanded before anything is searched for; dlopen's where the name has a slash.
#[test]
fn names_have_tokens_too() {
    let Some(scene) = Scene::new("loader::names_have_tokens_too") else { return };
    let spelled = scene.text("@/bin/libz.so");
    scene.libraries(&["bin/libz.so", "lib/liblib.so", "lib/lib$LIBx.so", "lib/$PLATFORM.so"]);
    scene.link(
        Link::program("bin/p")
            .needs(&["$ORIGIN/libz.so", "lib$LIBx.so", "${ORIGIN}/../lib/liblib.so"])
            .runpath("@/lib"),
    );
    let seen = scene.start("bin/p");
    assert_eq!(seen.found(&spelled), "@/bin/libz.so");
    assert_eq!(seen.found("lib$LIBx.so"), "@/lib/lib$LIBx.so");
    // Without a slash, what comes of it has one.
    scene.link(Link::program("bin/q").needs(&["lib${LIB}.so", "libnone.so"]).runpath("@/lib"));
    scene.start("bin/q");
    scene.link(Link::opener("bin/o").needs(&["libz.so"]).runpath("@/lib:$ORIGIN"));
    let start = Start { path: "bin/o", ..Start::default() };
    let (seen, opened) = scene.open(start, &["$ORIGIN/../lib/liblib.so", "$PLATFORM.so", "lib$LIBx.so", "${LIB}.so"]);
    assert_eq!(opened, ["@/bin/../lib/liblib.so", "@/lib/$PLATFORM.so", "@/lib/lib$LIBx.so", "nothing"]);
    assert_eq!(seen.found("$PLATFORM.so"), "@/lib/$PLATFORM.so");
}
