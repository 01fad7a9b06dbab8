//! What lies in the way of a library: files that the loader passes over, and files that end its search.

use std::path::Path;
use std::process::Command;

use super::compare::{Ground, explained, until_failure};
use super::scene::{Link, Scene};
use super::trace;
use crate::harness::{command, copy_program, is_root, program, require, run, set_mode, skip};

/// Puts something under a library's name before the library, and says where the search for it ends.
fn behind(scene: &Scene, put: impl FnOnce(&str)) -> String {
    let folder = scene.tree.join("way");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
    scene.folder("way");
    put("way/libx.so");
    scene.start("bin/p").found("libx.so")
}

fn scene(test: &str) -> Option<Scene> {
    let scene = Scene::new(test)?;
    scene.libraries(&["good/libx.so"]);
    scene.link(Link::program("bin/p").needs(&["libx.so"]).runpath("@/way:@/good"));
    Some(scene)
}

/// A good library with bytes of its ELF header changed.
fn changed(scene: &Scene, path: &str, changes: &[(usize, u8)]) {
    let mut bytes = std::fs::read(scene.tree.join("good/libx.so")).unwrap();
    for (at, value) in changes {
        bytes[*at] = *value;
    }
    std::fs::write(scene.tree.join(path), bytes).unwrap();
}

const CLASS: usize = 4;
const DATA: usize = 5;
const TYPE: usize = 16;
const MACHINE: usize = 18;

#[test]
fn files_for_others_are_passed_over() {
    let Some(scene) = scene("loader::files_for_others_are_passed_over") else { return };
    let write = |bytes: &[u8], path: &str| std::fs::write(scene.tree.join(path), bytes).unwrap();
    type Put<'p> = (&'p str, Box<dyn Fn(&str) + 'p>);
    let passed: Vec<Put<'_>> = vec![
        ("another machine", Box::new(|path| changed(&scene, path, &[(MACHINE, 183)]))),
        ("another machine's object file", Box::new(|path| changed(&scene, path, &[(MACHINE, 243), (TYPE, 1)]))),
        ("another class", Box::new(|path| changed(&scene, path, &[(CLASS, 1)]))),
        ("another class and byte order", Box::new(|path| changed(&scene, path, &[(CLASS, 1), (DATA, 2)]))),
        ("another class's object file", Box::new(|path| changed(&scene, path, &[(CLASS, 1), (TYPE, 1)]))),
        ("a link that leads nowhere", Box::new(|path| scene.symlink("@/nowhere", path))),
    ];
    for (what, put) in &passed {
        assert_eq!(behind(&scene, put), "@/good/libx.so", "{what}");
    }
    let ends: Vec<Put<'_>> = vec![
        ("a text", Box::new(|path| write(b"INPUT(-lx) and more words than an ELF header has bytes, to be sure", path))),
        ("a short text", Box::new(|path| write(b"INPUT(-lx)\n", path))),
        ("nothing at all", Box::new(|path| write(b"", path))),
        ("a cut header", Box::new(|path| write(&std::fs::read(scene.tree.join("good/libx.so")).unwrap()[..63], path))),
        ("the other byte order", Box::new(|path| changed(&scene, path, &[(DATA, 2)]))),
        ("an object file", Box::new(|path| changed(&scene, path, &[(TYPE, 1)]))),
        ("a core dump", Box::new(|path| changed(&scene, path, &[(TYPE, 4)]))),
        ("a directory", Box::new(|path| scene.folder(path))),
        ("a program", Box::new(|path| _ = scene.link(Link::program(path)))),
        ("a program at fixed addresses", Box::new(|path| _ = scene.link(Link::program(path).flags(&["-no-pie"])))),
        ("the program itself", Box::new(|path| scene.symlink("@/bin/p", path))),
    ];
    for (what, put) in &ends {
        assert_eq!(behind(&scene, put), "nothing", "{what}");
    }
}

/// The other class as a compiler makes it.
#[test]
fn real_libraries_of_the_other_class_are_passed_over() {
    let Some(scene) = scene("loader::real_libraries_of_the_other_class_are_passed_over") else { return };
    if super::loaders().len() < 2 {
        skip("loader::real_libraries_of_the_other_class_are_passed_over", "no 32-bit loader");
        return;
    }
    let ended = behind(&scene, |path| {
        scene.link(Link::library(path).class(32));
    });
    assert_eq!(ended, "@/good/libx.so");
    // And the other way round, in a 32-bit program.
    scene.link(Link::library("good32/libx.so").class(32));
    scene.link(Link::program("bin/p32").class(32).needs(&["libx.so"]).runpath("@/good:@/good32"));
    assert_eq!(scene.start("bin/p32").found("libx.so"), "@/good32/libx.so");
}

/// Another failure than a missing file ends the list that the directory is in, and no more.
#[test]
fn a_circle_of_links_ends_the_list() {
    let Some(scene) = Scene::new("loader::a_circle_of_links_ends_the_list") else { return };
    scene.libraries(&["good/libx.so", "later/libx.so"]);
    scene.symlink("libx.so", "way/libx.so");
    scene.symlink("@/round", "round");
    scene.link(Link::program("bin/p").needs(&["libx.so"]).rpath("@/round:@/way:@/good"));
    let tried = scene.start("bin/p").tried("libx.so");
    assert!(tried.contains(&"@/way/libx.so".to_owned()) && !tried.contains(&"@/good/libx.so".to_owned()), "{tried:?}");
    let start = super::scene::Start { path: "bin/p", here: "", library_path: Some("@/later") };
    assert_eq!(scene.start_as(start).found("libx.so"), "@/later/libx.so");
    // A name that is too long for a directory that is there.
    let long = "l".repeat(300);
    scene.link(Link::program("bin/long").needs(&[&long]).runpath("@/good:@/later"));
    // One place of this list, and one of the default directories.
    assert_eq!(scene.start("bin/long").tried(&long).len(), 2);
}

/// A command for a user who owns nothing; the loader's trace is of the command alone.
fn as_nobody(scratch: &Path) -> Command {
    let mut user = command("perl");
    let script = "
        my $log = shift; $) = 65534; $( = 65534; $> = 65534; $< = 65534;
        @ENV{'LD_DEBUG', 'LD_DEBUG_OUTPUT'} = ('libs,files', $log); exec @ARGV or die $!";
    user.arg("-e").arg(script).arg(scratch.join(trace::LOG));
    user
}

/// What the user may not read is passed over; a directory that may be searched need not be listed.
#[test]
fn what_may_not_be_read_is_passed_over() {
    let test = "loader::what_may_not_be_read_is_passed_over";
    let Some(scene) = scene(test) else { return };
    if !is_root() {
        skip(test, "only root becomes another user");
        return;
    }
    if !require("perl", test) {
        return;
    }
    let allow = |path: &str, mode| set_mode(&scene.tree.join(path), mode);
    // The loader writes its trace there.
    allow("", 0o777);
    copy_program(&program(), &scene.tree.join("explain"));
    scene.libraries(&["way/libx.so", "closed/libx.so", "blind/liby.so", "good/libx.so", "good/liby.so"]);
    let runpath = "@/way:@/closed:@/blind:@/good";
    let path = scene.link(Link::program("bin/p").needs(&["libx.so", "liby.so"]).runpath(runpath));
    allow("way/libx.so", 0o000);
    allow("closed", 0o700);
    allow("blind", 0o711);
    let mut traced = trace::logged(as_nobody(scene.tree.path()).arg(&path), scene.tree.path());
    trace::recognise_loaded(&mut traced.searches, &path);
    let mut explain = as_nobody(scene.tree.path());
    explain.arg(scene.tree.join("explain")).args(["explain", "--recursive", "--json"]).arg(&path);
    let run = run(explain.current_dir("/"));
    run.assert_code(0, "as nobody");
    let (ground, told) = (Ground::of(Path::new("/")), explained(&run.json(), false));
    let seen = scene.assert_same(&ground, &until_failure(traced.searches), &until_failure(told));
    assert_eq!((seen.found("libx.so"), seen.found("liby.so")), ("@/good/libx.so".into(), "@/blind/liby.so".into()));
}
