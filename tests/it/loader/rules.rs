//! Which path serves whom: DT_RUNPATH, DT_RPATH, LD_LIBRARY_PATH, and what stands in them.

use super::scene::{Link, Scene, Start};

#[test]
fn runpath_serves_nobody_but_the_object() {
    let Some(scene) = Scene::new("loader::runpath_serves_nobody_but_the_object") else { return };
    scene.libraries(&["b/libb.so"]);
    scene.link(Link::library("a/liba.so").needs(&["libb.so"]));
    scene.link(Link::program("bin/blind").needs(&["liba.so"]).runpath("@/a:@/b"));
    let seen = scene.start("bin/blind");
    assert_eq!((seen.found("liba.so"), seen.found("libb.so")), ("@/a/liba.so".into(), "nothing".into()));
    scene.link(Link::library("a/liba.so").needs(&["libb.so"]).runpath("@/b"));
    scene.link(Link::program("bin/sees").needs(&["liba.so"]).runpath("@/a"));
    assert_eq!(scene.start("bin/sees").found("libb.so"), "@/b/libb.so");
}

#[test]
fn rpath_is_inherited_through_every_level() {
    let Some(scene) = Scene::new("loader::rpath_is_inherited_through_every_level") else { return };
    scene.libraries(&["far/lib1.so", "far/lib3.so"]);
    scene.link(Link::library("near/lib2.so").needs(&["lib3.so"]));
    scene.link(Link::library("far/lib1.so").needs(&["lib2.so"]).rpath("@/none:@/near"));
    scene.link(Link::program("bin/p").needs(&["lib1.so"]).rpath("@/far"));
    let seen = scene.start("bin/p");
    // The asking object's own, then the loader's, then the program's.
    assert_eq!(seen.tried("lib3.so"), ["@/near/lib3.so", "@/far/lib3.so"]);
    assert_eq!(seen.found("lib3.so"), "@/far/lib3.so");
    scene.assert_each_name_by_itself("bin/p", &["lib1.so"]);
}

#[test]
fn runpath_ends_inheritance_for_its_object_only() {
    let Some(scene) = Scene::new("loader::runpath_ends_inheritance_for_its_object_only") else { return };
    scene.libraries(&["far/lib4.so"]);
    scene.link(Link::library("near/lib3.so").needs(&["lib4.so"]));
    scene.link(Link::library("far/lib2.so").needs(&["lib3.so"]).runpath("@/near"));
    scene.link(Link::program("bin/p").needs(&["lib2.so"]).rpath("@/far"));
    let seen = scene.start("bin/p");
    assert_eq!(seen.tried("lib3.so"), ["@/near/lib3.so"]);
    // The object between has DT_RUNPATH, which is its own alone; the program's DT_RPATH still serves lib3.
    assert_eq!(seen.tried("lib4.so"), ["@/far/lib4.so"]);
    scene.link(Link::library("far/lib2.so").needs(&["lib4.so"]).runpath("@/near"));
    assert_eq!(scene.start("bin/p").found("lib4.so"), "nothing");
}

/// The linkers write one tag only: the other one's entry is put over DT_SONAME's, its string is the tail of the path.
#[test]
fn rpath_beside_runpath_is_ignored() {
    let Some(scene) = Scene::new("loader::rpath_beside_runpath_is_ignored") else { return };
    scene.libraries(&["old/liba.so", "new/liba.so", "old/libb.so"]);
    let path = scene.link(Link::program("bin/p").soname("spare").needs(&["liba.so", "libb.so"]).rpath("@/old:@/new"));
    let mut bytes = std::fs::read(&path).unwrap();
    let (rpath, soname) = (entry_of(&bytes, 15), entry_of(&bytes, 14));
    let value = u64::from_le_bytes(bytes[rpath + 8..rpath + 16].try_into().unwrap());
    let tail = value + u64::try_from(scene.text("@/old:").len()).unwrap();
    bytes[soname..soname + 8].copy_from_slice(&29_u64.to_le_bytes());
    bytes[soname + 8..soname + 16].copy_from_slice(&tail.to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    let seen = scene.start("bin/p");
    assert_eq!((seen.found("liba.so"), seen.found("libb.so")), ("@/new/liba.so".into(), "nothing".into()));
}

/// The offset of the dynamic entry with a tag in a 64-bit little-endian file.
fn entry_of(bytes: &[u8], tag: u64) -> usize {
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let table = usize::try_from(word(32)).unwrap();
    let headers = (0..usize::from(bytes[56])).map(|index| table + index * 56);
    let dynamic = headers.into_iter().find(|at| bytes[*at] == 2).expect("PT_DYNAMIC");
    let start = usize::try_from(word(dynamic + 8)).unwrap();
    (0..).map(|index| start + index * 16).find(|at| word(*at) == tag).expect("the entry")
}

#[test]
fn library_path_stands_between_rpath_and_runpath() {
    let Some(scene) = Scene::new("loader::library_path_stands_between_rpath_and_runpath") else { return };
    scene.libraries(&["own/liba.so", "env/liba.so"]);
    scene.link(Link::program("bin/runpath").needs(&["liba.so"]).runpath("@/own"));
    scene.link(Link::program("bin/rpath").needs(&["liba.so"]).rpath("@/own"));
    let start =
        |path, library_path| scene.start_as(Start { path, library_path: Some(library_path), ..Start::default() });
    assert_eq!(start("bin/runpath", "@/env").found("liba.so"), "@/env/liba.so");
    assert_eq!(start("bin/rpath", "@/env").found("liba.so"), "@/own/liba.so");
    assert_eq!(start("bin/runpath", "").found("liba.so"), "@/own/liba.so");
}

/// A semicolon separates in LD_LIBRARY_PATH only; an empty part is the current directory; each directory counts once.
#[test]
fn every_kind_of_entry_is_read_as_the_loader_reads_it() {
    let Some(scene) = Scene::new("loader::every_kind_of_entry_is_read_as_the_loader_reads_it") else { return };
    scene.libraries(&["here/liba.so", "a/libx.so", "b;c/libx.so", "here/sub/libs.so"]);
    scene.folder("c");
    scene.folder("b");
    scene.symlink("@/a", "links/a");
    scene.link(Link::program("bin/none").needs(&["libx.so", "liba.so", "libs.so"]));
    let lists = [
        "@/a:@/here:@/here/sub",
        "@/a;@/here;@/here/sub",
        "@/b;c:@/a:;sub",
        ":@/a::sub",
        "@/a:sub:",
        ";@/a;./sub",
        "@/a/:@/a//:@/a:@//a:./:sub/",
        "@/links/a:@/links/../here/sub:@/links/a/../here:@/here",
        "@/here/../a:@/missing/../a:@/bin/none:@/here:@/here/sub/",
        "sub/../sub:../here:../a",
        "@/a:/.:.:sub",
        "::::",
        ":",
    ];
    for (index, list) in lists.into_iter().enumerate() {
        let by_environment = Start { path: "bin/none", here: "here", library_path: Some(list) };
        scene.start_as(by_environment);
        let own = format!("bin/own{index}");
        scene.link(Link::program(&own).needs(&["libx.so", "liba.so", "libs.so"]).runpath(list));
        let seen = scene.start_as(Start { path: &own, here: "here", library_path: None });
        match index {
            0 | 4 | 5 => assert!(index == 5 || seen.found("libx.so") == "@/a/libx.so", "{list}"),
            2 => assert_eq!(seen.found("libx.so"), "@/b;c/libx.so"),
            6 => assert_eq!(seen.tried("libs.so").len(), 4, "each directory once, {list}"),
            _ => {}
        }
    }
}

/// Older loaders take `/` for missing once a name was not in it.
#[test]
fn the_root_is_a_directory() {
    let Some(scene) = Scene::new("loader::the_root_is_a_directory") else { return };
    scene.libraries(&["a/libroot.so"]);
    scene.link(Link::program("bin/p").needs(&["libroot.so"]).runpath("/:///:@/a"));
    assert_eq!(scene.start("bin/p").tried("libroot.so"), ["/libroot.so", "@/a/libroot.so"]);
}

/// An empty string is no path, not an empty entry.
#[test]
fn an_empty_path_is_none() {
    let Some(scene) = Scene::new("loader::an_empty_path_is_none") else { return };
    scene.libraries(&["here/liba.so"]);
    for new in [true, false] {
        let link = Link::program("bin/p").needs(&["liba.so"]);
        let path = scene.link(if new { link.runpath("QQQQ") } else { link.rpath("QQQQ") });
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.windows(4).position(|window| window == b"QQQQ").expect("the path");
        bytes[at] = 0;
        std::fs::write(&path, &bytes).unwrap();
        let seen = scene.start_as(Start { path: "bin/p", here: "here", library_path: None });
        assert_eq!(seen.found("liba.so"), "nothing");
    }
}
