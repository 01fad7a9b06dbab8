//! What layers make of a tree: each case beside umoci, where it takes it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use cuda_runpath::fsio::ImagePath;
use cuda_runpath::oci::ImageError;
use cuda_runpath::tree::{EntryKind, ImageSource, Source};

use super::build::{Image, Layer, Pack, archive};
use crate::harness::{Tree, command, expect, require};

/// A tree as text: a path, and the contents of a file, `dir`, or where a link leads.
type Dump = BTreeMap<String, String>;

fn open(layers: &[Layer]) -> Result<ImageSource, ImageError> {
    ImageSource::of_storage(Arc::new(archive(&Image::of(layers.to_vec()).layout(Pack::Plain))), None)
}

fn dump(source: &dyn Source) -> Dump {
    let mut found = Dump::new();
    let mut open = vec![String::new()];
    while let Some(at) = open.pop() {
        let folder = ImagePath::new(if at.is_empty() { "/" } else { &at });
        for name in source.directory(&folder).unwrap().names.unwrap() {
            let path = format!("{at}/{}", name.to_str().unwrap());
            let here = ImagePath::new(&path);
            let what = match source.kind(&here).unwrap() {
                EntryKind::Directory => {
                    open.push(path.clone());
                    "dir".to_owned()
                }
                EntryKind::File => String::from_utf8(source.read(&here, 1 << 20).unwrap()).unwrap(),
                EntryKind::Other => "other".to_owned(),
            };
            found.insert(path, what);
        }
    }
    found
}

/// The same of a tree on a disk.
fn dump_of(root: &Path) -> Dump {
    let mut found = Dump::new();
    for entry in walkdir::WalkDir::new(root).min_depth(1) {
        let entry = entry.unwrap();
        let what = if entry.file_type().is_dir() {
            "dir".to_owned()
        } else if entry.file_type().is_file() {
            std::fs::read_to_string(entry.path()).unwrap()
        } else {
            "other".to_owned()
        };
        found.insert(format!("/{}", entry.path().strip_prefix(root).unwrap().display()), what);
    }
    found
}

/// Unpacks with umoci.
fn unpacked(layers: &[Layer], tree: &Tree) -> std::path::PathBuf {
    for (name, bytes) in Image::of(layers.to_vec()).layout(Pack::Plain) {
        tree.file(format!("layout/{name}"), &bytes);
    }
    let mut umoci = command("umoci");
    umoci.args(["raw", "unpack", "--rootless", "--image"]);
    umoci.arg(format!("{}:latest", tree.join("layout").display())).arg(tree.join("rootfs"));
    expect(&mut umoci, 0);
    tree.join("rootfs")
}

struct Case {
    name: &'static str,
    layers: Vec<Layer>,
    /// What must be there, by thought.
    tree: &'static [(&'static str, &'static str)],
}

fn layer() -> Layer {
    Layer::new()
}

/// A lower layer with a directory and a link to it.
fn usr_merged() -> Layer {
    layer().folder("usr").folder("usr/lib").file("usr/lib/a", "a").file("usr/lib/b", "b").link("lib", "usr/lib")
}

fn cases() -> Vec<Case> {
    let case = |name, layers: &[Layer], tree| Case { name, layers: layers.to_vec(), tree };
    vec![
        case(
            "an entry below a link to a directory goes through it",
            &[usr_merged(), layer().file("lib/c", "c")],
            &[
                ("/lib", "other"),
                ("/usr", "dir"),
                ("/usr/lib", "dir"),
                ("/usr/lib/a", "a"),
                ("/usr/lib/b", "b"),
                ("/usr/lib/c", "c"),
            ],
        ),
        case(
            "so does a whiteout",
            &[usr_merged(), layer().file("lib/.wh.a", "")],
            &[("/lib", "other"), ("/usr", "dir"), ("/usr/lib", "dir"), ("/usr/lib/b", "b")],
        ),
        case(
            "a directory's entry takes a link's place",
            &[usr_merged(), layer().folder("lib/").file("lib/c", "c")],
            &[
                ("/lib", "dir"),
                ("/lib/c", "c"),
                ("/usr", "dir"),
                ("/usr/lib", "dir"),
                ("/usr/lib/a", "a"),
                ("/usr/lib/b", "b"),
            ],
        ),
        case(
            "a file takes a directory's place with all in it",
            &[layer().folder("d").file("d/a", "a"), layer().file("d", "file")],
            &[("/d", "file")],
        ),
        case(
            "a link does so, too",
            &[layer().folder("d").file("d/a", "a").folder("e"), layer().link("d", "e")],
            &[("/d", "other"), ("/e", "dir")],
        ),
        case("a directory takes a file's place", &[layer().file("d", "file"), layer().folder("d")], &[("/d", "dir")]),
        case(
            "a directory that is there keeps what it has",
            &[layer().folder("d").file("d/a", "a"), layer().folder("d")],
            &[("/d", "dir"), ("/d/a", "a")],
        ),
        case(
            "what hides nothing, directories that no entry tells of, names with /, ./ and a slash at the end",
            &[layer()
                .file(".wh.none", "")
                .file("x/.wh.none", "")
                .file("a/b/c", "c")
                .file("/p/q", "q")
                .file("./r/s", "s")
                .folder("t//")],
            &[
                ("/a", "dir"),
                ("/a/b", "dir"),
                ("/a/b/c", "c"),
                ("/p", "dir"),
                ("/p/q", "q"),
                ("/r", "dir"),
                ("/r/s", "s"),
                ("/t", "dir"),
            ],
        ),
        case(
            "a hard link to a lower file keeps its contents when that is replaced",
            &[layer().file("a", "old"), layer().hard_link("b", "a").hard_link("c", "/a"), layer().file("a", "new")],
            &[("/a", "new"), ("/b", "old"), ("/c", "old")],
        ),
        case(
            "a layer twice brings back what one between removed",
            &[layer().file("a", "a"), layer().file(".wh.a", ""), layer().file("a", "a")],
            &[("/a", "a")],
        ),
        case(
            "an opaque mark hides lower layers only, behind what its own has",
            &[
                layer().folder("d").file("d/a", "a").folder("d/n").file("d/n/a", "a"),
                layer().folder("d").folder("d/n").file("d/n/x", "x").file("d/b", "b").file("d/.wh..wh..opq", ""),
            ],
            &[("/d", "dir"), ("/d/b", "b"), ("/d/n", "dir"), ("/d/n/x", "x")],
        ),
        case(
            "and before the directory's own entry",
            &[layer().folder("d").file("d/a", "a"), layer().file("d/.wh..wh..opq", "").folder("d").file("d/b", "b")],
            &[("/d", "dir"), ("/d/b", "b")],
        ),
        case(
            "a whiteout before what is new",
            &[layer().file("x", "old"), layer().file(".wh.x", "").file("x", "new")],
            &[("/x", "new")],
        ),
        case(
            "a whiteout behind what is new hides lower layers only",
            &[layer().file("x", "old"), layer().file("x", "new").file(".wh.x", "")],
            &[("/x", "new")],
        ),
        case(
            "one of a directory made anew",
            &[layer().folder("d").file("d/a", "a"), layer().folder("d").file("d/n", "n").file(".wh.d", "")],
            &[("/d", "dir"), ("/d/n", "n")],
        ),
        case(
            "a directory removed and made again without a mark",
            &[
                layer().folder("d").file("d/a", "a").file("d/s", "s"),
                layer().folder("d").file("d/.wh.a", "").file("d/n", "n").file("d/.wh.s", ""),
            ],
            &[("/d", "dir"), ("/d/n", "n")],
        ),
        case("of one path twice the last counts", &[layer().file("a", "1").file("a", "2")], &[("/a", "2")]),
        case(
            "an absolute link leads into the image",
            &[layer().folder("usr").link("lib", "/usr"), layer().file("lib/a", "a")],
            &[("/lib", "other"), ("/usr", "dir"), ("/usr/a", "a")],
        ),
        case(
            "a link above the root ends there",
            &[layer().folder("usr").link("lib", "../../../usr"), layer().file("lib/a", "a")],
            &[("/lib", "other"), ("/usr", "dir"), ("/usr/a", "a")],
        ),
        case(
            "long names, by GNU and by pax",
            &[layer()
                .file(&"n".repeat(120), "gnu")
                .pax(&[("path", &b"p".repeat(150)), ("mtime", b"1.5")])
                .file("short", "pax")],
            &[
                (
                    "/nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn",
                    "gnu",
                ),
                (
                    "/pppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp",
                    "pax",
                ),
            ],
        ),
    ]
}

#[test]
fn layers_make_the_tree_that_they_must() {
    for case in cases() {
        let wanted: Dump = case.tree.iter().map(|(path, what)| ((*path).to_owned(), (*what).to_owned())).collect();
        let found = dump(&open(&case.layers).unwrap_or_else(|error| panic!("{}: {error}", case.name)));
        assert_eq!(found, wanted, "{}", case.name);
    }
}

#[test]
fn umoci_makes_the_same_trees() {
    if !require("umoci", "umoci_makes_the_same_trees") {
        return;
    }
    for case in cases() {
        let tree = Tree::in_memory();
        let root = unpacked(&case.layers, &tree);
        assert_eq!(dump(&open(&case.layers).unwrap()), dump_of(&root), "{}", case.name);
    }
}

#[test]
fn what_no_tool_unpacks_is_refused_by_name() {
    let circle = layer().link("a", "b").link("b", "a");
    for (layers, why) in [
        (
            vec![layer().hard_link("b", "a").file("a", "a")],
            "layer 1, entry b: it is another name for what is not there",
        ),
        (vec![layer().file("a/../../etc/passwd", "x")], "layer 1, entry a/../../etc/passwd: its name has \"..\" in it"),
        (
            vec![layer(), layer().hard_link("b", "../../etc/passwd")],
            "layer 2, entry b: its target's name is too long, or has \"..\" in it",
        ),
        (
            vec![layer().file("a", "a").file("a/b", "b")],
            "layer 1, entry a/b: what should be a directory on the way to it is none",
        ),
        (vec![circle, layer().file("a/x", "x")], "layer 2, entry a/x: the links on the way to it lead in a circle"),
        (vec![layer().folder("d").hard_link("b", "d")], "layer 1, entry b: it is another name for a directory"),
        (vec![layer().file("/", "x").file(".wh.", "")], "layer 1, entry .wh.: it is a whiteout of no name"),
        (vec![layer().link(".", "/etc")], "layer 1, entry .: it would take the root's place"),
        (vec![layer().file(&"n".repeat(256), "x")], "a name of it has more than 255 bytes"),
        (vec![layer().file(&"n/".repeat(2100), "x")], "its path has more than 4096 bytes"),
    ] {
        let told = open(&layers).unwrap_err().to_string();
        assert!(told.contains(why), "{told}\nand not {why}");
    }
}

/// A device is nothing that a loader reads, and nothing that is opened.
#[test]
fn devices_are_no_files() {
    let devices = layer().entry(b'3', "null", (0o666, "", b"")).entry(b'6', "fifo", (0o666, "", b""));
    assert_eq!(dump(&open(&[devices]).unwrap()).into_values().collect::<Vec<_>>(), ["other", "other"]);
}
