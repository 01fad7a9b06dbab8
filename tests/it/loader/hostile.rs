//! Input that makes a search long, endless or large: it ends soon, within a bounded memory, and says what happened.

use std::path::Path;

use serde_json::Value;

use super::scene::{Link, Scene};
use crate::harness::run::{MEMORY, limited};
use crate::harness::{Run, require, run};

/// Seconds of processor time for anything here; what is quadratic in these sizes takes minutes.
const SECONDS: u32 = 20;

fn explain(test: &str, arguments: &[&std::ffi::OsStr]) -> Option<Run> {
    if !require("prlimit", test) {
        return None;
    }
    let mut limited = limited(&[&format!("--as={MEMORY}"), &format!("--cpu={SECONDS}")]);
    let run = run(limited.args(["explain", "--json"]).args(arguments));
    run.assert_orderly(&format!("{arguments:?}"));
    Some(run)
}

fn everything(test: &str, path: &Path) -> Option<Value> {
    let run = explain(test, &["--recursive".as_ref(), path.as_os_str()])?;
    run.assert_code(0, &path.display().to_string());
    Some(run.json())
}

fn ends(json: &Value) -> Vec<String> {
    let searches = json["searches"].as_array().unwrap().iter();
    searches.map(|search| search["answer"].as_str().unwrap().to_owned()).collect()
}

/// So many libraries, `names/libn0000.so` and so on, and for the linker a list of them.
fn names(scene: &Scene, count: usize) -> String {
    let stub = scene.link(Link::library("names/libn0000.so"));
    let bytes = std::fs::read(stub).unwrap();
    let at = bytes.windows(12).position(|window| window == b"libn0000.so\0").unwrap();
    let mut files = String::new();
    for index in 0..count {
        let name = format!("libn{index:04}.so");
        let mut bytes = bytes.clone();
        bytes[at..at + name.len()].copy_from_slice(name.as_bytes());
        std::fs::write(scene.tree.join("names").join(&name), bytes).unwrap();
        files.push_str(&scene.text(&format!("@/names/{name}\n")));
    }
    let list = scene.tree.file("names.list", files.as_bytes());
    format!("@{}", list.display())
}

/// A search path of many directories that do not exist.
fn long_path(scene: &Scene, count: usize) -> String {
    let entries: Vec<String> = (0..count).map(|index| format!("/n/{index:06}")).collect();
    let list = scene.tree.file("path.list", format!("-rpath\n{}\n", entries.join(":")).as_bytes());
    format!("@{}", list.display())
}

#[test]
fn a_path_of_a_hundred_thousand_directories() {
    let test = "loader::a_path_of_a_hundred_thousand_directories";
    let Some(scene) = Scene::new(test) else { return };
    let list = long_path(&scene, 100_000);
    let path = scene.link(Link::program("bin/p").needs(&["libnone.so"]).response(&list));
    let Some(json) = everything(test, &path) else { return };
    let steps = json["searches"][0]["steps"].as_array().unwrap().len();
    assert!((100_000..100_100).contains(&steps), "{steps}");
}

#[test]
fn thousands_of_names() {
    let test = "loader::thousands_of_names";
    let Some(scene) = Scene::new(test) else { return };
    let list = names(&scene, 4000);
    scene.link(Link::library("a/liball.so").response(&list));
    let path = scene.link(Link::program("bin/p").needs(&["liball.so"]).runpath("@/a:@/names").response(&list));
    let Some(json) = everything(test, &path) else { return };
    // The second time they are in the process.
    assert_eq!(ends(&json), vec!["other"; 8001]);
}

/// Each of these files is small; what they ask for together is four hundred million places.
#[test]
fn thousands_of_names_in_a_hundred_thousand_directories() {
    let test = "loader::thousands_of_names_in_a_hundred_thousand_directories";
    let Some(scene) = Scene::new(test) else { return };
    let list = long_path(&scene, 100_000);
    scene.link(Link::library("a/libmany.so").response(&names(&scene, 4000)));
    std::fs::remove_dir_all(scene.tree.join("names")).unwrap();
    let path =
        scene.link(Link::program("bin/p").needs(&["@/a/libmany.so"]).flags(&["--disable-new-dtags"]).response(&list));
    let Some(json) = everything(test, &path) else { return };
    let ends = ends(&json);
    assert_eq!((ends.len(), ends[0].as_str(), ends[1].as_str()), (4001, "other", "nothing"));
    assert_eq!(ends.last().unwrap(), "interrupted");
    let last = json["searches"][4000]["steps"].as_array().unwrap();
    assert_eq!(last[0]["reason"], "too many places to search");
}

#[test]
fn links_in_circles() {
    let test = "loader::links_in_circles";
    let Some(scene) = Scene::new(test) else { return };
    scene.symlink("b", "a");
    scene.symlink("a", "b");
    scene.symlink(".", "here");
    scene.symlink("libx.so", "round/libx.so");
    let path = scene.link(Link::program("bin/p").needs(&["libx.so"]).runpath("@/a:@/a/b:@/here/here/round:@/round"));
    let Some(json) = everything(test, &path) else { return };
    assert_eq!(ends(&json), ["nothing"]);
    for path in ["a", "a/x", "round/libx.so"] {
        let Some(run) = explain(test, &[scene.tree.join(path).as_os_str()]) else { return };
        run.assert_code(2, path);
        assert!(run.stderr.contains(path), "{}", run.stderr);
    }
    let root = scene.tree.path().as_os_str();
    for path in ["/a", "/here/here/here/bin/../here/../a"] {
        let Some(run) = explain(test, &["--root".as_ref(), root, path.as_ref()]) else { return };
        run.assert_code(2, path);
    }
}

/// Counts and offsets that the file does not have, in an image's `ld.so.cache`.
#[test]
fn a_cache_that_promises_more_than_it_has() {
    let test = "loader::a_cache_that_promises_more_than_it_has";
    let Some(scene) = Scene::new(test) else { return };
    scene.folder("image/etc");
    scene.link(Link::program("image/p").needs(&["libnone.so"]));
    let mut header = b"glibc-ld.so.cache1.1".to_vec();
    for value in [u32::MAX, u32::MAX, 2, 48, 0, 0, 0] {
        header.extend(value.to_le_bytes());
    }
    let entry = |name: u32| {
        let words = [0x303, name, name, 0, 7, 1 << 30];
        words.iter().flat_map(|word: &u32| word.to_le_bytes()).collect::<Vec<u8>>()
    };
    let megabyte = 1 << 20;
    let images: [Vec<u8>; 4] = [
        header.clone(),
        [header.as_slice(), &[0xff; 4096]].concat(),
        // Every entry's strings are the rest of the file.
        [
            header.clone(),
            (0..40_000_u32).flat_map(|index| entry(1_000_000 + index)).collect(),
            vec![b'x'; megabyte],
            vec![0],
        ]
        .concat(),
        // The extension has as many sections as fit.
        [
            header,
            0xeaa4_2174_u32.to_le_bytes().to_vec(),
            vec![0xff; 4],
            (0..40_000_u32).flat_map(|_| entry(48)).collect(),
        ]
        .concat(),
    ];
    for bytes in images {
        std::fs::write(scene.tree.join("image/etc/ld.so.cache"), bytes).unwrap();
        let root = scene.tree.join("image");
        let Some(run) = explain(test, &["--root".as_ref(), root.as_os_str(), "/p".as_ref()]) else { return };
        run.assert_code(0, "a hostile cache");
        assert_eq!(ends(&run.json()), ["nothing"]);
    }
}
