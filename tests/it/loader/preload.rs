//! What is loaded before everything else, and which programs do not listen to their user.

use std::path::Path;

use super::compare::{Ground, explained, until_failure};
use super::image::{Image, found};
use super::scene::{Link, Scene};
use super::{loaders, trace};
use crate::harness::{NOBODY, binary, command, expect, require, run};

/// A preloaded object answers by its SONAME, and what it needs is loaded behind what the program needs.
#[test]
fn ld_preload_comes_first() {
    let Some(scene) = Scene::new("loader::ld_preload_comes_first") else { return };
    scene.libraries(&["lib/libx.so", "lib/liby.so", "deep/libdeep.so", "lib/libdeep.so"]);
    scene.link(Link::library("pre/other-name.so").soname("libx.so").needs(&["libdeep.so"]).runpath("@/deep"));
    let program = scene.link(Link::program("bin/p").needs(&["libx.so", "libdeep.so"]).runpath("@/lib"));
    let compare = |list: &str| {
        let list = scene.text(list);
        let mut traced = trace::traced(command(&program).env("LD_PRELOAD", &list), scene.tree.path());
        trace::recognise_loaded(&mut traced.searches, &program);
        let mut explain = binary();
        explain.args(["explain", "--json", "--recursive", "--env"]).arg(format!("LD_PRELOAD={list}")).arg(&program);
        let told = explained(&run(&mut explain).json(), false);
        let really: Vec<_> = traced.searches;
        scene.assert_same(&Ground::of(Path::new("/")), &really, &told)
    };
    let seen = compare("@/pre/other-name.so");
    assert_eq!(seen.found("@/pre/other-name.so".replace('@', scene.root()).as_str()), "@/pre/other-name.so");
    assert_eq!((seen.found("libx.so"), seen.found("libdeep.so")), ("not searched".into(), "@/lib/libdeep.so".into()));
    // By name it is searched for as the program would, and what is not there is passed over.
    let seen = compare(" liby.so:@/none.so  @/pre/other-name.so");
    assert_eq!((seen.found("liby.so"), seen.found("libx.so")), ("@/lib/liby.so".into(), "not searched".into()));
    assert_eq!(compare("").found("libx.so"), "@/lib/libx.so");
}

#[test]
fn the_loaders_list_counts_for_every_program() {
    let Some(image) = Image::new("loader::the_loaders_list_counts_for_every_program") else { return };
    let scene = &image.scene;
    scene.libraries(&["image/opt/libx.so", "image/opt/liby.so", "image/usr/lib/libz.so"]);
    scene.link(Link::program("image/bin/p").needs(&["libx.so", "liby.so", "libz.so"]));
    assert_eq!(found(&image.start("/bin/p"), "libx.so"), "nothing");
    image.write(
        "etc/ld.so.preload",
        "# what everything needs\n\n/opt/libx.so # not /opt/libq.so\n\t/opt/none.so:/opt/liby.so\n",
    );
    let seen = image.start("/bin/p");
    assert_eq!((found(&seen, "/opt/libx.so"), found(&seen, "libx.so")), ("/opt/libx.so".into(), "not searched".into()));
    image.write("etc/ld.so.preload", "/opt/libx.so /opt/liby.so");
    let seen = image.start("/bin/p");
    assert_eq!((found(&seen, "libx.so"), found(&seen, "libz.so")), ("not searched".into(), "/usr/lib/libz.so".into()));
    // `check` takes it in: nothing is missing, and without the list two libraries are.
    let missing = || {
        let mut check = binary();
        check.args(["check", "--root"]).arg(image.root()).arg("/bin/p");
        run(&mut check).stdout.matches("CRP312").count()
    };
    assert_eq!(missing(), 0);
    std::fs::remove_file(image.root().join("etc/ld.so.preload")).unwrap();
    assert_eq!(missing(), 2);
}

/// A program with capabilities is started as one with its owner's rights: neither variable counts.
#[test]
fn programs_with_capabilities_do_not_listen_to_their_user() {
    let test = "loader::programs_with_capabilities_do_not_listen_to_their_user";
    let Some(image) = Image::new(test).filter(|image| image.knows_set_id(test)) else { return };
    if !require("/sbin/setcap", test) {
        return;
    }
    let scene = &image.scene;
    scene.libraries(&["image/env/libx.so", "image/own/libx.so", "image/env/libpre.so"]);
    let program = scene.link(Link::opener("image/bin/p").needs(&["libx.so"]).runpath("/own"));
    let loads = || {
        let mut enter = command("chroot");
        enter.arg(format!("--userspec={NOBODY}:{NOBODY}")).arg(image.root()).arg("/bin/p");
        let really = run(enter.env("LD_LIBRARY_PATH", "/env").env("LD_PRELOAD", "/env/libpre.so")).stdout;
        let mut explain = binary();
        explain.args(["explain", "--recursive", "--json", "--root"]).arg(image.root());
        explain.args(["--env", "LD_LIBRARY_PATH=/env", "--env", "LD_PRELOAD=/env/libpre.so", "/bin/p"]);
        let told = until_failure(explained(&run(&mut explain).json(), false));
        let told: Vec<String> =
            told.iter().filter_map(|search| Some(search.found.as_ref()?.display().to_string())).collect();
        let usual = loaders().remove(0).1.display().to_string();
        let really: Vec<&str> = really.lines().filter(|line| line.starts_with('/') && *line != usual).collect();
        assert_eq!(really, told);
        told
    };
    assert_eq!(loads().first().map(String::as_str), Some("/env/libpre.so"));
    expect(command("/sbin/setcap").arg("cap_net_admin+ep").arg(&program), 0);
    assert_eq!(loads().first().map(String::as_str), Some("/own/libx.so"));
}
