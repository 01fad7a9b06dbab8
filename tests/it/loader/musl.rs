//! musl's loader, which has no trace of its own: what it opens, as strace sees it.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::compare::{Ground, Searched, explained};
use super::image::Image;
use super::scene::{Link, Scene, Start};
use crate::harness::{NOBODY, Run, can_trace, command, require, run, set_mode, skip};

/// Where Debian has it.
pub(super) const LOADER: &str = "/lib/ld-musl-x86_64.so.1";

fn scene(test: &str) -> Option<Scene> {
    let scene = Scene::new(test)?;
    if std::env::consts::ARCH != "x86_64" {
        skip(test, "written for x86-64");
        return None;
    }
    let is_here = require("musl-gcc", test) && require(LOADER, test) && can_trace(test);
    is_here.then_some(scene)
}

/// What a program opens once it was started, and what it prints.
fn opened(scene: &Scene, program: &Command) -> (Vec<PathBuf>, Run) {
    let log = scene.tree.join("strace");
    let mut traced = command("strace");
    traced.args(["-f", "-e", "trace=execve,open,openat", "-o"]).arg(&log);
    // Not for strace itself, which has another loader.
    let wanted = program.get_envs().find(|(name, _)| *name == "LD_LIBRARY_PATH").and_then(|(_, value)| value);
    if let Some(value) = wanted {
        traced.arg("-E").arg(format!("LD_LIBRARY_PATH={}", value.to_str().unwrap()));
    }
    traced.arg(program.get_program()).args(program.get_args());
    traced.current_dir(program.get_current_dir().unwrap_or(scene.tree.path()));
    let run = run(&mut traced);
    let text = std::fs::read_to_string(&log).expect("strace's log");
    let after = text.rfind("execve(").map_or("", |at| &text[at..]);
    let name = |line: &str| line.contains("open").then(|| line.split('"').nth(1).map(PathBuf::from)).flatten();
    (after.lines().skip(1).filter_map(name).filter(|path| !is_list(path)).collect(), run)
}

/// `/etc/ld-musl-x86_64.path`: the directories that are searched last.
fn is_list(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "path")
}

/// Everything that is tried for all searches, one after the other.
fn flat(searches: &[Searched]) -> Vec<PathBuf> {
    let tried = |search: &Searched| match search.tried.as_slice() {
        [] => vec![PathBuf::from(&search.name)],
        tried => tried.to_vec(),
    };
    searches.iter().flat_map(tried).collect()
}

fn in_order(ground: &Ground, files: Vec<PathBuf>) -> Vec<PathBuf> {
    let all = Searched { by: "/".into(), name: String::new(), tried: files, found: None };
    ground.comparable(&all).tried
}

/// Starts a program and compares; the result is what it opened, in the tree's own words.
fn start(scene: &Scene, start: Start<'_>, names: &[&str]) -> (Vec<String>, Run) {
    let program = scene.tree.join(start.path);
    let here = scene.tree.join(start.here);
    let mut run = command(&program);
    run.args(names.iter().map(|name| scene.text(name))).current_dir(&here);
    if let Some(path) = start.library_path {
        run.env("LD_LIBRARY_PATH", scene.text(path));
    }
    let (really, run) = opened(scene, &run);
    let mut told = explained(&scene.explain(start, &["--recursive".as_ref(), program.as_os_str()]).json(), false);
    for name in names {
        let (caller, name) = match name.strip_prefix("via:") {
            Some(name) => (scene.tree.join("lib/libcaller.so"), scene.text(name)),
            None => (program.clone(), scene.text(name)),
        };
        let arguments = ["--program".as_ref(), program.as_os_str(), caller.as_os_str(), name.as_ref()];
        told.extend(explained(&scene.explain(start, &arguments).json(), true));
    }
    let ground = Ground::of(&here);
    let (really, told) = (in_order(&ground, really), in_order(&ground, flat(&told)));
    assert_eq!(really, told, "{start:?} {names:?}\n{}", run.stderr);
    let short = |path: &PathBuf| path.to_str().unwrap().replace(scene.root(), "@");
    (really.iter().map(short).collect(), run)
}

fn program<'a>(path: &'a str, needs: &'a [&'a str]) -> Link<'a> {
    Link::program(path).musl().needs(needs)
}

fn at(path: &str) -> Start<'_> {
    Start { path, ..Start::default() }
}

#[test]
fn both_tags_are_inherited_and_library_path_comes_first() {
    let Some(scene) = scene("loader::musl::both_tags_are_inherited_and_library_path_comes_first") else { return };
    scene.libraries(&["far/libd.so", "env/libe.so", "far/libe.so"]);
    scene.link(Link::library("near/libb.so").needs(&["libd.so", "libe.so"]));
    for is_new in [true, false] {
        let between = Link::library("far/liba.so").needs(&["libb.so"]);
        scene.link(if is_new { between.runpath("@/none:@/near") } else { between.rpath("@/none:@/near") });
        let link = program("bin/p", &["liba.so"]);
        scene.link(if is_new { link.runpath("@/far") } else { link.rpath("@/far") });
        let (seen, _) = start(&scene, at("bin/p"), &[]);
        assert!(seen.ends_with(&["@/near/libe.so".into(), "@/far/libe.so".into()]), "{seen:?}");
        let (seen, _) = start(&scene, Start { library_path: Some("@/env"), ..at("bin/p") }, &[]);
        assert!(seen.ends_with(&["@/env/libe.so".into()]), "{seen:?}");
    }
}

/// Lines and colons separate everywhere, nothing between them is no directory, and nothing is looked at once only.
#[test]
fn entries_are_read_as_musl_reads_them() {
    let Some(scene) = scene("loader::musl::entries_are_read_as_musl_reads_them") else { return };
    scene.libraries(&["a/libx.so", "here/liby.so", "here/sub/libw.so"]);
    scene.folder("$ORIGIN");
    scene.folder("b;c");
    let long = format!("@/{}", "l".repeat(250));
    scene.folder(&long[2..]);
    scene.folder(&format!("{}/{}", &long[2..], "m".repeat(250)));
    let lists = [
        "@/b;c:@/a".to_owned(),
        ":@/a::sub:".to_owned(),
        "@/here\n@/a\n\nsub".to_owned(),
        "@/a/:@/a:@/a//:./sub".to_owned(),
        format!("{long}:{long}/{}:@/a", "m".repeat(250)),
        "@/here/../a:@/none/../a:sub/../sub".to_owned(),
    ];
    scene.link(program("bin/p", &["libx.so", "liby.so", "libw.so"]));
    for list in &lists {
        start(&scene, Start { library_path: Some(list), here: "here", ..at("bin/p") }, &[]);
        scene.link(program("bin/q", &["libx.so", "liby.so", "libw.so"]).runpath(list));
        start(&scene, Start { here: "here", ..at("bin/q") }, &[]);
    }
    let start = |list| start(&scene, Start { library_path: Some(list), here: "here", ..at("bin/p") }, &[]).0;
    assert_eq!(start("@/$ORIGIN:$ORIGIN/../a")[0], "@/$ORIGIN/libx.so");
}

#[test]
fn origin_is_the_only_token() {
    let Some(scene) = scene("loader::musl::origin_is_the_only_token") else { return };
    scene.libraries(&["pkg/lib/libb.so", "pkg/bin/libd.so", "pkg/binAL/libe.so"]);
    scene.link(Link::library("pkg/lib/liba.so").needs(&["libb.so"]).runpath("$ORIGIN"));
    scene.symlink("@/pkg/bin/p", "p");
    scene.symlink("pkg/lib", "through");
    scene.link(program("pkg/bin/p", &["liba.so", "libd.so", "libe.so"]).runpath("@/through:${ORIGIN}:$ORIGINAL"));
    let (seen, _) = start(&scene, at("p"), &[]);
    assert!(seen.contains(&"@/through/libb.so".into()) && seen.contains(&"@/pkg/binAL/libe.so".into()), "{seen:?}");
    for path in ["@/through:$LIB", "$ORIGIN/../lib:$PLATFORM", "@/through:$", "@/through:${ORIGIN"] {
        scene.link(program("bin/q", &["liba.so"]).runpath(path));
        let (seen, run) = start(&scene, at("bin/q"), &[]);
        assert!(!seen.iter().any(|file| file.starts_with('@')), "{path}: {seen:?}");
        assert!(run.stderr.contains("liba.so"), "{}", run.stderr);
    }
}

#[test]
fn the_loader_is_every_part_of_libc() {
    let Some(scene) = scene("loader::musl::the_loader_is_every_part_of_libc") else { return };
    let parts =
        ["libc.so", "libm.so.6", "libpthread.so.0", "librt.so.1", "libdl.so.2", "libutil.so", "libxnet.so", LOADER];
    let paths: Vec<String> = parts[..7].iter().map(|name| format!("a/{name}")).collect();
    scene.libraries(&paths.iter().map(String::as_str).collect::<Vec<_>>());
    scene.libraries(&["a/libcrypt.so.1", "a/libmvec.so.1"]);
    let needs = [&parts[..], &["libcrypt.so.1", "libmvec.so.1"]].concat();
    scene.link(program("bin/p", &needs).runpath("@/a"));
    assert_eq!(start(&scene, at("bin/p"), &[]).0, ["@/a/libcrypt.so.1", "@/a/libmvec.so.1"]);
}

/// No program says so, but a library that is linked with musl's libc is musl's.
#[test]
fn a_library_by_itself_is_known_for_musls() {
    let Some(scene) = scene("loader::musl::a_library_by_itself_is_known_for_musls") else { return };
    scene.libraries(&["b/libx.so"]);
    for (name, libc) in [("libc.so", "musl"), ("libc.musl-x86_64.so.1", "musl"), ("libc.so.6", "glibc")] {
        let path = scene.link(Link::library("a/liba.so").needs(&[name, "libx.so"]).runpath("\n@/b\n"));
        let json = scene.explain(at("a/liba.so"), &["--recursive".as_ref(), path.as_os_str()]).json();
        assert_eq!(json["libc"], libc, "{name}");
        let is_found = json["searches"]
            .as_array()
            .unwrap()
            .iter()
            .any(|search| search["answer"] == "other" && search["name"] == "libx.so");
        assert_eq!(is_found, libc == "musl", "{name}");
    }
}

/// What is loaded is known by the name that it was searched for, not by DT_SONAME, and by its inode.
#[test]
fn names_are_those_that_were_searched_for() {
    let Some(scene) = scene("loader::musl::names_are_those_that_were_searched_for") else { return };
    scene.link(Link::library("a/real.so").soname("libx.so.1"));
    scene.libraries(&["b/libx.so.1", "b/real.so", "c/libslash.so"]);
    scene.symlink("real.so", "a/libsame.so");
    scene.link(Link::library("a/liby.so").needs(&["libx.so.1", "real.so", "libsame.so"]).runpath("@/b"));
    let needs = ["real.so", "liby.so", "libsame.so", "@/c/libslash.so", "libslash.so", "./c/libslash.so"];
    scene.link(program("bin/p", &needs).runpath("@/a:@/c"));
    let (seen, _) = start(&scene, at("bin/p"), &[]);
    assert!(seen.contains(&"@/b/libx.so.1".into()) && !seen.contains(&"@/b/real.so".into()), "{seen:?}");
}

/// The first file that opens is taken, whatever it is; what cannot be opened for a reason of its own ends the search.
#[test]
fn what_lies_in_the_way_ends_the_search() {
    let Some(scene) = scene("loader::musl::what_lies_in_the_way_ends_the_search") else { return };
    scene.libraries(&["good/libx.so"]);
    scene.link(program("bin/p", &["libx.so"]).runpath("@/way:@/good"));
    let way = scene.tree.join("way/libx.so");
    scene.folder("way");
    std::fs::write(&way, "no object").unwrap();
    assert_eq!(start(&scene, at("bin/p"), &[]).0, ["@/way/libx.so"]);
    let mut foreign = std::fs::read(scene.tree.join("good/libx.so")).unwrap();
    foreign[4] = 1;
    std::fs::write(&way, foreign).unwrap();
    assert_eq!(start(&scene, at("bin/p"), &[]).0, ["@/way/libx.so"]);
    std::fs::remove_file(&way).unwrap();
    scene.symlink("libx.so", "way/libx.so");
    assert_eq!(start(&scene, at("bin/p"), &[]).0, ["@/way/libx.so"]);
    std::fs::remove_file(&way).unwrap();
    scene.symlink("@/nowhere", "way/libx.so");
    assert_eq!(start(&scene, at("bin/p"), &[]).0, ["@/way/libx.so", "@/good/libx.so"]);
}

/// dlopen searches for the program, whichever object calls it.
#[test]
fn whoever_opens_the_program_asks() {
    let Some(scene) = scene("loader::musl::whoever_opens_the_program_asks") else { return };
    scene.libraries(&["a/libx.so", "b/liby.so", "env/libw.so"]);
    scene.link(Link::caller("lib/libcaller.so").musl().runpath("@/b"));
    scene.link(Link::opener("bin/p").musl().needs(&["libcaller.so"]).runpath("@/lib:@/a"));
    let start = |names| start(&scene, Start { library_path: Some("@/env"), ..at("bin/p") }, names);
    let (_, run) = start(&["via:libx.so", "via:liby.so", "liby.so", "via:libw.so", "@/b/liby.so", "via:libcaller.so"]);
    let expected = "@/a/libx.so\nnothing\nnothing\n@/env/libw.so\n@/b/liby.so\n@/lib/libcaller.so\n";
    assert_eq!(run.stdout.replace(scene.root(), "@"), expected);
}

/// Starts a program in an image and compares; the result is what it opened.
fn start_in(image: &Image, user: u32, program: &str, library_path: Option<&str>) -> Vec<PathBuf> {
    let mut enter = image.enter(user, program);
    enter.envs(library_path.map(|path| ("LD_LIBRARY_PATH", path)));
    let (really, run) = opened(&image.scene, &enter);
    let ground = Ground { here: "/".into(), root: image.root() };
    let (really, told) = (in_order(&ground, really), in_order(&ground, flat(&image.explain(program, library_path))));
    assert_eq!(really, told, "{program}\n{}", run.stderr);
    really
}

/// The list belongs to the loader's own prefix.
#[test]
fn the_list_of_an_image_is_searched_last() {
    let test = "loader::musl::the_list_of_an_image_is_searched_last";
    let (Some(_), Some(image)) = (scene(test), Image::new(test)) else { return };
    let scene = &image.scene;
    let prefixed = "/opt/musl/lib/ld-musl-x86_64.so.1";
    for loader in [LOADER, prefixed] {
        image.copy_to(Path::new(LOADER), loader);
    }
    let folders = ["lib", "usr/local/lib", "usr/lib", "opt/one", "opt/two", "opt/musl/lib", "opt/three"];
    for folder in folders {
        scene.folder(&format!("image/{folder}"));
    }
    scene.libraries(&["image/usr/lib/libx.so", "image/opt/two/libx.so", "image/opt/three/libx.so"]);
    scene.link(program("image/bin/p", &["libx.so"]));
    scene.link(Link::program("image/bin/q").interpreter(prefixed).needs(&["libx.so"]));
    let start = |program| start_in(&image, 0, program, None);
    assert_eq!(start("/bin/p"), ["/lib/libx.so", "/usr/local/lib/libx.so", "/usr/lib/libx.so"].map(PathBuf::from));
    image.write("etc/ld-musl-x86_64.path", "/opt/one\n\n/opt/two:/opt/three\n");
    assert_eq!(start("/bin/p"), ["/opt/one/libx.so", "/opt/two/libx.so"].map(PathBuf::from));
    assert_eq!(start("/bin/q").len(), 3, "its own prefix has no list");
    scene.folder("image/opt/musl/etc");
    image.write("opt/musl/etc/ld-musl-x86_64.path", "/opt/three");
    assert_eq!(start("/bin/q"), ["/opt/three/libx.so"].map(PathBuf::from));
}

#[test]
fn programs_with_more_rights_have_no_origin() {
    let test = "loader::musl::programs_with_more_rights_have_no_origin";
    let (Some(_), Some(image)) = (scene(test), Image::new(test)) else { return };
    if !image.knows_set_id(test) {
        return;
    }
    let scene = &image.scene;
    image.copy_to(Path::new(LOADER), LOADER);
    scene.libraries(&["image/env/libx.so", "image/own/libx.so", "image/own/liby.so"]);
    scene.link(Link::library("image/own/liba.so").needs(&["liby.so"]).runpath("$ORIGIN"));
    scene.link(program("image/bin/one", &["libx.so"]).runpath("/own"));
    scene.link(program("image/bin/two", &["libx.so"]).runpath("$ORIGIN/../own:/own"));
    scene.link(program("image/bin/three", &["liba.so"]).runpath("/own"));
    let mut opened = Vec::new();
    for name in ["one", "two", "three"] {
        set_mode(&image.root().join("bin").join(name), 0o4755);
        opened.push(start_in(&image, NOBODY, &format!("/bin/{name}"), Some("/env")).pop());
    }
    let last = |index: usize| opened[index].as_ref().and_then(|path| path.to_str()).unwrap_or_default();
    assert_eq!((last(0), last(1), last(2)), ("/own/libx.so", "/usr/lib/libx.so", "/own/liby.so"));
}
