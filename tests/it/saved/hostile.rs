//! Images that are damaged, or made to harm: each is refused by name, and costs what its size says.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::build::{Files, Image, Layer, Pack, archive, pack};
use crate::elfgen::{Machine, Spec};
use crate::harness::run::limited;
use crate::harness::{Run, Tree, binary, require, run};

fn check(path: &Path) -> Run {
    run(binary().args(["check", "--json"]).arg(path))
}

fn image() -> Image {
    Image::of([Layer::new().file("bin/app", Spec::pie(Machine::X86_64).needs("libcuda.so.1").build())])
}

fn refused(tree: &Tree, bytes: &[u8], why: &str) {
    let told = check(&tree.file("image.tar", bytes));
    told.assert_code(2, why);
    assert!(told.stderr.contains(why), "{}\nand not {why}", told.stderr);
}

/// Changes a document of a layout; those that name it are made anew.
fn with_manifest(image: &Image, change: impl Fn(&mut Value)) -> Files {
    let mut files = image.layout(Pack::Plain);
    let at = files.iter().position(|(_, bytes)| bytes.starts_with(b"{\"config\":{\"digest")).unwrap();
    let mut manifest: Value = serde_json::from_slice(&files[at].1).unwrap();
    change(&mut manifest);
    let bytes = manifest.to_string().into_bytes();
    let digest = super::build::hex(&bytes);
    files[at] = (format!("blobs/sha256/{digest}"), bytes);
    let index = json!({"manifests": [{"digest": format!("sha256:{digest}")}]}).to_string().into_bytes();
    files.iter_mut().find(|(name, _)| name == "index.json").unwrap().1 = index;
    files
}

#[test]
fn a_part_that_is_missing_or_another_one_is_named() {
    let tree = Tree::in_memory();
    let image = image();
    let layer = super::build::hex(&image.layers[0].tar());
    let files = image.layout(Pack::Plain);
    let without = |name: &str| files.iter().filter(|(known, _)| !known.contains(name)).cloned().collect::<Files>();
    refused(&tree, &archive(&without(&layer)), &format!("layer blobs/sha256/{layer} is not in it"));
    refused(&tree, &archive(&without("blobs")), "manifest blobs/sha256/");
    let foreign = |manifest: &mut Value| {
        manifest["layers"][0]["mediaType"] = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip".into();
        manifest["layers"][0]["urls"] = json!(["https://vendor.example/layer"]);
    };
    let named = with_manifest(&image, foreign);
    let absent: Files = named.iter().filter(|(name, _)| !name.contains(&layer)).cloned().collect();
    refused(&tree, &archive(&absent), "is not in it, but with its vendor (https://vendor.example/layer)");
    // Where it is there, it is a layer like any other.
    check(&tree.file("image.tar", &archive(&named))).assert_code(1, "a foreign layer that is there");
    let other = with_manifest(&image, |manifest| manifest["layers"][0]["digest"] = "sha512:00".into());
    refused(&tree, &archive(&other), "\"sha512:00\" is no digest by SHA-256");
    let none = with_manifest(&image, |manifest| drop(manifest.as_object_mut().unwrap().remove("layers")));
    refused(&tree, &archive(&none), "it names no layers");
}

#[test]
fn what_has_another_digest_is_not_judged() {
    let tree = Tree::in_memory();
    let image = image();
    for (what, how) in [("layer", Pack::Plain), ("layer", Pack::Gzip), ("configuration", Pack::Plain)] {
        let mut files = image.layout(how);
        let (at, from, to) =
            if what == "layer" { (0, &b"libcuda"[..], &b"libcudb"[..]) } else { (1, &b"amd64"[..], &b"arm64"[..]) };
        let plain = if how == Pack::Plain { files[at].1.clone() } else { image.layers[0].tar() };
        let place = plain.windows(from.len()).position(|window| window == from).unwrap();
        let mut changed = plain;
        changed[place..place + to.len()].copy_from_slice(to);
        files[at].1 = pack(&changed, how);
        refused(&tree, &archive(&files), "has the digest sha256:");
    }
}

#[test]
fn an_archive_that_is_no_image_is_refused_by_name() {
    let tree = Tree::in_memory();
    let plain = Layer::new().file("bin/app", Spec::pie(Machine::X86_64).needs("libcuda.so.1").build()).tar();
    refused(&tree, &plain, "it has neither manifest.json nor index.json");
    refused(&tree, &pack(&plain, Pack::Frames), "it has neither manifest.json nor index.json");
    refused(&tree, &pack(b"only text", Pack::Gzip), "cannot be looked at as a container's image");
    refused(&tree, b"\xfd7zXZ\0 and more", "an xz file");
    refused(&tree, b"070701 and more", "a cpio archive");
    for (start, name) in [(&b"BZh9"[..], "bzip2"), (b"\xfd7zXZ\0", "xz")] {
        let mut files = image().layout(Pack::Plain);
        files[0].1 = [start, &[7; 2000]].concat();
        refused(&tree, &archive(&files), &format!("it is packed with {name}"));
    }
    let two = tree.file("two.tar", &archive(&image().layout(Pack::Plain)));
    let told = run(binary().arg("check").args([&two, &two]));
    told.assert_code(2, "two images");
    assert!(told.stderr.contains("an image is looked at alone"), "{}", told.stderr);
}

/// Cut anywhere, an image is never taken for one without findings.
#[test]
fn a_cut_image_is_refused() {
    let tree = Tree::in_memory();
    for how in [Pack::Plain, Pack::Gzip, Pack::Frames] {
        for whole in [archive(&image().layout(how)), pack(&archive(&image().docker_tools()), how)] {
            for part in 1..12 {
                let told = check(&tree.file("image.tar", &whole[..whole.len() * part / 12]));
                // Of a plain archive, only zeros may be missing.
                assert!(told.code == 2 || (told.code == 1 && part == 11), "{part} of 12, {how:?}: {}", told.said());
            }
        }
    }
}

#[test]
fn layers_have_an_end() {
    let tree = Tree::in_memory();
    let layers = |count: usize| {
        let layer = |number| Layer::new().file(&format!("etc/{number}"), "x").file("etc/.wh.0", "");
        let mut image = image();
        image.layers.extend((1..count).map(layer));
        archive(&image.layout(Pack::Plain))
    };
    check(&tree.file("image.tar", &layers(1000))).assert_code(1, "1000 layers");
    refused(&tree, &layers(1025), "it has more than 1024 layers");
}

/// Marks that hide the same again, a way with many links, many entries: none takes longer than its size says.
#[test]
fn many_entries_cost_what_they_are() {
    let tree = Tree::in_memory();
    let mut wide = Layer::new();
    for number in 0..40_000 {
        wide = wide.file(&format!("d/{number}"), "");
    }
    let mut marks = Layer::new();
    for number in 0..20_000 {
        marks = marks.file(&format!("d/n{number}"), "").file("d/.wh..wh..opq", "");
    }
    let mut far = Layer::new().link("l0", "d");
    for number in 1..39 {
        far = far.link(&format!("l{number}"), &format!("l{}{}", number - 1, "/.".repeat(40)));
    }
    for number in 0..5000 {
        far = far.file(&format!("l38/f{number}"), "");
    }
    let mut image = image();
    image.layers.extend([wide, marks, far]);
    let file = tree.file("image.tar", &archive(&image.layout(Pack::Plain)));
    let start = Instant::now();
    check(&file).assert_code(1, "many entries");
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

#[test]
fn holes_and_doubtful_sizes_are_refused() {
    let tree = Tree::in_memory();
    for (layer, why) in [
        (Layer::new().entry(b'S', "a", (0o644, "", b"")), "a file with holes"),
        (Layer::new().pax(&[("GNU.sparse.major", b"1")]).file("a", "x"), "a file with holes"),
        (Layer::new().pax(&[("size", b"7")]).file("a", "x"), "two sizes of one entry"),
        (Layer::new().entry(b'5', "a", (0o755, "", b"contents")), "contents of what is no file"),
        (Layer::new().entry(b'Z', "a", (0o755, "", b"")), "an entry of an unknown kind"),
    ] {
        refused(&tree, &archive(&Image::of([layer]).layout(Pack::Plain)), why);
    }
}

/// Programs do not agree on what is behind a block of zeros, nor a person with a program on which of two lists counts.
#[test]
fn what_only_some_programs_would_see_is_no_pass() {
    let tree = Tree::in_memory();
    let hidden = image().layers[0].tar();
    let layer = [&[0; 512][..], &hidden].concat();
    refused(&tree, &archive(&Image::of([Layer::of(layer)]).layout(Pack::Plain)), "behind a single block of zeros");
    let lone = Layer::new().pax(&[("path", b"bin/app")]);
    refused(&tree, &archive(&Image::of([lone]).layout(Pack::Plain)), "what describes an entry has none behind it");
    // Of two lists the last one is what unpacking leaves, whatever it begins with.
    let harmless = Image::of([Layer::new().file("etc/hello", "hello")]);
    let mut files = harmless.docker();
    let (name, list) = image().docker().into_iter().find(|(name, _)| name == "manifest.json").unwrap();
    files.extend(image().layout(Pack::Plain).into_iter().filter(|(name, _)| name.starts_with("blobs/")));
    files.push((name, [b" ", &list[..]].concat()));
    check(&tree.file("image.tar", &archive(&files))).assert_code(1, "two lists");
}

#[test]
fn an_image_for_another_system_is_not_judged() {
    let tree = Tree::in_memory();
    let image = Image { platform: ("windows", "amd64"), ..image() };
    refused(
        &tree,
        &archive(&image.layout(Pack::Plain)),
        "it is for windows/amd64, and only what Linux loads is judged",
    );
}

/// A thousand images whose configurations are names of one document: it is read so often as it has names, up to a limit, and
/// kept for none.
#[test]
fn one_document_of_many_names_has_an_end() {
    let tree = Tree::in_memory();
    let environment = format!("[\"{}\"]", vec![""; 600_000].join("\",\""));
    let document =
        format!("{{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{{\"Env\":{environment}}},\"rootfs\":{{}}}}");
    let hostile = |name: &str, links: usize, document: &str| {
        let mut parts = Layer::new().file(name, document);
        for link in 0..links {
            parts = parts.hard_link(&format!("c{link}"), name);
        }
        let images: Vec<Value> = (0..links).map(|link| json!({"Config": format!("c{link}"), "Layers": []})).collect();
        parts.file("manifest.json", Value::from(images).to_string()).tar()
    };
    let bytes = hostile("real.json", 1000, &document);
    refused(&tree, &bytes, "it has more than 268435456 bytes of documents");
    // Packed, and under a name of no tool: to unpack everything before it again has an end too.
    refused(
        &tree,
        &pack(&hostile("real.txt", 1000, "{}"), Pack::Gzip),
        "it has more than 16 documents without a usual name",
    );
    let few = hostile("real.txt", 8, "{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{}}");
    refused(&tree, &pack(&few, Pack::Gzip), "it has several images");
    if !require("prlimit", "saved::one_document_of_many_names") {
        return;
    }
    let file = tree.file("image.tar", &bytes);
    let bounded = run(limited(&["--as=150000000", "--cpu=30"]).args(["check", "--jobs", "1"]).arg(file));
    bounded.assert_code(2, "within bounds");
    assert!(bounded.stderr.contains("it has more than 268435456 bytes of documents"), "{}", bounded.stderr);
}
