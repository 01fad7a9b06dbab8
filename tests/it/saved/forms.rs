//! One image in every form in which tools save images: the report is that of the unpacked tree.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::build::{Files, Image, Layer, PACKS, Pack, archive, hex, pack};
use crate::check::objects::stub;
use crate::elfgen::{Machine, Spec};
use crate::harness::{Run, Tree, binary, command, expect, invoke, require, run};

const DRIVER: &str = "/run/opengl-driver/lib";

fn program() -> Spec {
    Spec::pie(Machine::X86_64).needs("libcuda.so.1").needs("libown.so")
}

/// A program in the lower layer, which gets a stub; the library between them in the upper one, through a link.
fn image() -> Image {
    let lower = Layer::new()
        .folder("usr")
        .folder("usr/lib")
        .link("lib", "usr/lib")
        .file("bin/app", program().runpath(format!("/lib:{DRIVER}")).build())
        .file("bin/gone", program().build())
        .file("etc/hello", "hello");
    let upper = Layer::new()
        .file("lib/libown.so", Spec::library(Machine::X86_64).soname("libown.so").build())
        .file("lib/libcuda.so.1", stub(Machine::X86_64).build())
        .file("bin/.wh.gone", "");
    Image::of([lower, upper, Layer::new()])
}

/// The same tree on the disk.
fn unpacked(tree: &Tree) -> PathBuf {
    tree.folder("root/usr/lib");
    tree.symlink("usr/lib", tree.join("root/lib"));
    tree.executable("root/bin/app", &program().runpath(format!("/lib:{DRIVER}")).build());
    tree.file("root/etc/hello", b"hello");
    tree.executable("root/usr/lib/libown.so", &Spec::library(Machine::X86_64).soname("libown.so").build());
    tree.executable("root/usr/lib/libcuda.so.1", &stub(Machine::X86_64).build());
    tree.join("root")
}

fn write(tree: &Tree, folder: &str, files: &Files) -> PathBuf {
    for (name, bytes) in files {
        tree.file(format!("{folder}/{name}"), bytes);
    }
    tree.join(folder)
}

fn check(path: &Path, arguments: &[&str]) -> Run {
    run(binary().args(["check", "--json", "-v"]).args(arguments).arg(path))
}

#[test]
fn every_form_gives_the_report_of_the_unpacked_tree() {
    let tree = Tree::in_memory();
    let root = unpacked(&tree);
    let wanted = run(binary().args(["check", "--json", "-v", "--root"]).arg(root));
    wanted.assert_code(1, "the unpacked tree");
    assert!(wanted.stdout.contains("/bin/app") && !wanted.stdout.contains("gone"), "{}", wanted.stdout);
    let image = image();
    let mut forms: Vec<(String, PathBuf)> = Vec::new();
    for inner in PACKS {
        let layout = image.layout(inner);
        forms.push((format!("a layout, {inner:?}"), write(&tree, &format!("layout-{inner:?}"), &layout)));
        let folder = image.folder(inner);
        forms.push((format!("dir:, {inner:?}"), write(&tree, &format!("dir-{inner:?}"), &folder)));
        for outer in PACKS {
            let file = tree.file(format!("{inner:?}-{outer:?}.tar"), &pack(&archive(&layout), outer));
            forms.push((format!("a layout's archive, {inner:?} in {outer:?}"), file));
        }
    }
    for outer in PACKS {
        for (name, bytes) in [
            ("docker save", archive(&image.docker())),
            ("docker-archive:", image.docker_archive()),
            ("dockerTools", archive(&image.docker_tools())),
        ] {
            forms.push((format!("{name}, {outer:?}"), tree.file(format!("{name} {outer:?}"), &pack(&bytes, outer))));
        }
    }
    for (name, path) in forms {
        let told = check(&path, &[]);
        told.assert_code(1, &name);
        assert_eq!(told.stdout, wanted.stdout, "{name}");
    }
}

#[test]
fn explain_show_and_archs_look_into_an_image() {
    let tree = Tree::in_memory();
    let file = tree.file("image.tar", &archive(&image().layout(Pack::Gzip)));
    let app = format!("{}:/bin/app", file.display());
    let told = invoke(["explain", "--json", app.as_str(), "libcuda.so.1"]);
    told.assert_code(0, "explain");
    assert_eq!(told.json()["searches"][0]["found"], "/lib/libcuda.so.1", "{}", told.stdout);
    let gone = invoke(["explain", format!("{}:/bin/gone", file.display()).as_str()]);
    gone.assert_code(2, "explain of what a layer removed");
    for command in ["show", "archs"] {
        let told = run(binary().args([command, "--json", "-v"]).arg(&file));
        told.assert_code(0, command);
        assert!(told.stdout.contains("\"/usr/lib/libown.so\""), "{command}: {}", told.stdout);
    }
}

/// NVIDIA's images set it: what it leads to comes before the loader's own directories.
#[test]
fn the_environment_of_an_image_counts_and_an_option_counts_more() {
    let tree = Tree::in_memory();
    let app = Layer::new()
        .file("bin/app", Spec::pie(Machine::X86_64).needs("libcuda.so.1").runpath(DRIVER).build())
        .file("stubs/libcuda.so.1", stub(Machine::X86_64).build());
    let image = Image { environment: vec!["PATH=/bin".into(), "LD_LIBRARY_PATH=/stubs".into()], ..Image::of([app]) };
    let file = tree.file("image.tar", &archive(&image.layout(Pack::Plain)));
    let winner = |arguments: &[&str]| {
        let object = format!("{}:/bin/app", file.display());
        let told = run(binary().args(["explain", "--json"]).args(arguments).args([object.as_str(), "libcuda.so.1"]));
        told.json()["searches"][0]["answer"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!((winner(&[]), winner(&["--env", "LD_LIBRARY_PATH="])), ("stub".into(), "driver-at-runtime".into()));
}

/// The digest of the manifest for a platform, in an index.
fn told_of(files: &Files, platform: &str) -> String {
    let indexes = files.iter().filter_map(|(_, bytes)| serde_json::from_slice::<serde_json::Value>(bytes).ok());
    let all: Vec<_> = indexes.filter_map(|index| index["manifests"].as_array().cloned()).flatten().collect();
    let is_it =
        |told: &&serde_json::Value| platform.ends_with(told["platform"]["architecture"].as_str().unwrap_or("-"));
    all.iter().find(is_it).unwrap()["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned()
}

#[test]
fn of_several_platforms_one_is_chosen() {
    let tree = Tree::in_memory();
    let layer = |machine| Layer::new().file("bin/app", Spec::pie(machine).needs("libcuda.so.1").build());
    let mut files = Files::new();
    let mut told = Vec::new();
    for (platform, machine, variant) in
        [("amd64", Machine::X86_64, None), ("arm64", Machine::Aarch64, Some("v8")), ("unknown", Machine::X86_64, None)]
    {
        let image = Image { platform: ("linux", platform), ..Image::of([layer(machine)]) };
        let mut descriptor = image.blobs(Pack::Plain, "blobs/sha256/", &mut files);
        let os = if platform == "unknown" { "unknown" } else { "linux" };
        descriptor["platform"] = json!({"os": os, "architecture": platform, "variant": variant});
        told.push(descriptor);
    }
    // As BuildKit writes it: an index of an index.
    let inner = json!({"schemaVersion": 2, "manifests": told}).to_string().into_bytes();
    let digest = hex(&inner);
    files.push((format!("blobs/sha256/{digest}"), inner));
    let outer = json!({"schemaVersion": 2, "manifests": [{"digest": format!("sha256:{digest}")}]}).to_string();
    files.push(("index.json".into(), outer.into_bytes()));
    let file = tree.file("image.tar", &archive(&files));
    let told = check(&file, &[]);
    told.assert_code(2, "no platform asked for");
    let why = "it has several images: linux/amd64, linux/arm64/v8; name one with --image-platform";
    assert!(told.stderr.contains(why), "{}", told.stderr);
    for (platform, machine) in [("linux/amd64", "x86_64"), ("linux/arm64", "aarch64"), ("linux/arm64/v8", "aarch64")] {
        let told = check(&file, &["--image-platform", platform]);
        assert!(told.stdout.contains(&format!("\"machine\": \"{machine}\"")), "{platform}: {}", told.stdout);
    }
    let told = check(&file, &["--image-platform", "linux/arm64/v9"]);
    told.assert_code(2, "a platform that is not there");
    assert!(told.stderr.contains("it has no image for linux/arm64/v9, but for linux/amd64, linux/arm64/v8"));
    // Saved for one of them, the index still names all: what is there is the image.
    let arm = told_of(&files, "linux/arm64");
    let some: Files = files.iter().filter(|(name, _)| !name.contains(&arm)).cloned().collect();
    let file = tree.file("some.tar", &archive(&some));
    assert!(check(&file, &[]).stdout.contains("\"machine\": \"x86_64\""));
    let gone = check(&file, &["--image-platform", "linux/arm64"]);
    gone.assert_code(2, "a platform that was not saved");
    assert!(gone.stderr.contains(&format!("manifest blobs/sha256/{arm} is not in it")), "{}", gone.stderr);
    let told = check(&tree.folder("empty"), &["--image-platform", "linux/arm64"]);
    told.assert_code(2, "no image");
}

/// An image's files are as they were saved, by what other programs make of them.
#[test]
fn what_skopeo_writes_is_read() {
    if !require("skopeo", "what_skopeo_writes_is_read") {
        return;
    }
    let tree = Tree::in_memory();
    let wanted = run(binary().args(["check", "--json", "-v", "--root"]).arg(unpacked(&tree)));
    let layout = write(&tree, "layout", &image().layout(Pack::Gzip));
    let from = format!("oci:{}:latest", layout.display());
    for (form, name) in [("docker-archive", "docker"), ("oci-archive", "archive"), ("oci", "oci"), ("dir", "dir")] {
        let to = tree.join(name);
        let tag = if form == "dir" { "" } else { ":a:1" };
        let mut skopeo = command("skopeo");
        skopeo.args(["copy", "--insecure-policy", "--quiet", &from]).arg(format!("{form}:{}{tag}", to.display()));
        expect(&mut skopeo, 0);
        let told = check(&to, &[]);
        told.assert_code(1, form);
        assert_eq!(told.stdout, wanted.stdout, "{form}");
    }
}
