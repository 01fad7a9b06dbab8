//! For which system an object says that it is (EI_OSABI, EI_ABIVERSION, the rest of `e_ident`).

use super::scene::{Link, Scene};

const SYSTEM: usize = 7;
const VERSION: usize = 8;

/// What the loader does not know ends its search, however good the next library is.
#[test]
fn objects_for_other_systems_end_the_search() {
    let Some(scene) = Scene::new("loader::objects_for_other_systems_end_the_search") else { return };
    scene.libraries(&["good/libx.so"]);
    scene.link(Link::program("bin/p").needs(&["libx.so"]).runpath("@/way:@/good"));
    scene.folder("way");
    let good = std::fs::read(scene.tree.join("good/libx.so")).unwrap();
    let with = |changes: &[(usize, u8)]| {
        let mut bytes = good.clone();
        changes.iter().for_each(|(at, value)| bytes[*at] = *value);
        std::fs::write(scene.tree.join("way/libx.so"), bytes).unwrap();
        scene.start("bin/p").found("libx.so")
    };
    // GNU's own versions are known up to one that depends on the machine: `start` compares with the loader.
    for version in 0..8 {
        let found = with(&[(SYSTEM, 3), (VERSION, version)]);
        assert!(version > 0 || found == "@/way/libx.so", "{found}");
    }
    for (what, changes) in [
        ("FreeBSD", &[(SYSTEM, 9)][..]),
        ("Linux of the future", &[(SYSTEM, 3), (VERSION, 200)]),
        ("a version of System V", &[(VERSION, 1)]),
        ("Arm's", &[(SYSTEM, 64)]),
        ("a byte in the padding", &[(12, 1)]),
    ] {
        assert_eq!(with(changes), "nothing", "{what}");
    }
    assert_eq!(with(&[(4, 1), (SYSTEM, 9)]), "@/good/libx.so", "the class counts first");
    assert_eq!(with(&[(18, 183), (SYSTEM, 9), (12, 1)]), "@/good/libx.so", "the machine counts first");
}
