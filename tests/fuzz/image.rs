//! Any bytes as an image, as a layer, and as a list of entries that layers are drawn from.

use std::sync::Arc;

use cuda_runpath::fsio::{ImagePath, Site};
use cuda_runpath::tree::{EntryKind, ImageSource, Source};

use super::build::{Image, Layer, Pack, archive, pack};

/// Names that meet each other: links, what is below them, marks, ways out.
const NAMES: [&str; 16] = [
    "a",
    "b",
    "d",
    "d/",
    "d/a",
    "d/n",
    "d/n/x",
    "l",
    "l/a",
    "l/n/",
    ".wh.a",
    ".wh.d",
    "d/.wh.n",
    "d/.wh..wh..opq",
    "/d/../../a",
    "./l/.wh..wh..opq",
];
const TARGETS: [&str; 8] = ["a", "d", "/d/a", "l", "..", "/", "../../d/n", "gone"];

/// Opening ends; what is opened has no way out, no mark in it, and every file can be read or says why not.
pub fn image(bytes: &[u8]) {
    open(bytes.to_owned());
    open(archive(&Image::of([Layer::of(bytes.to_owned())]).docker()));
    let packs = [Pack::Plain, Pack::Gzip, Pack::Frames];
    let how = packs[usize::from(bytes.first().copied().unwrap_or(0)) % packs.len()];
    let layers: Vec<Layer> = bytes.chunks(24).take(8).map(drawn).collect();
    open(pack(&archive(&Image::of(layers).layout(how)), how));
}

fn drawn(bytes: &[u8]) -> Layer {
    bytes.chunks_exact(2).fold(Layer::new(), |layer, pair| {
        let (name, target) = (NAMES[usize::from(pair[0] & 15)], TARGETS[usize::from(pair[1] & 7)]);
        match pair[0] >> 4 & 3 {
            0 => layer.file(name, target),
            1 => layer.folder(name),
            2 => layer.link(name, target),
            _ => layer.hard_link(name, target),
        }
    })
}

fn open(bytes: Vec<u8>) {
    let len = bytes.len();
    let Ok(source) = ImageSource::of_storage(Arc::new(bytes), None) else { return };
    let mut folders = vec![ImagePath::new("/")];
    let mut seen = 0_usize;
    while let Some(folder) = folders.pop() {
        let names = source.directory(&folder).expect("a directory").names.expect("a list");
        for name in names {
            let text = name.to_string_lossy();
            assert!(text != ".." && text != "." && !text.starts_with(".wh.") && !text.contains('/'), "{text}");
            seen += 1;
        }
        let mut found = Vec::new();
        source.walk_into(Site::at(&folder), &mut found).expect("a directory");
        for (path, kind) in found {
            assert_eq!(source.resolve(&path).expect("it is there"), path);
            match kind {
                EntryKind::Directory => folders.push(path),
                EntryKind::File => drop(source.open(Site::at(&path), &|_| true)),
                EntryKind::Other => panic!("{}", path.as_path().display()),
            }
        }
    }
    // A name takes two bytes of a path, and an entry a block; what is packed has a thousandth of that.
    assert!(seen <= (len + 512).saturating_mul(1100) / 2, "{seen} names of {len} bytes");
}

/// Inputs to begin with: archives in every form, and lists of entries.
pub fn image_seeds() -> Vec<(String, Vec<u8>)> {
    let small = || Image::of([Layer::new().folder("d").file("d/a", "a").link("l", "d"), Layer::new().file("l/b", "b")]);
    let mut seeds = vec![
        ("docker".to_owned(), archive(&small().docker())),
        ("docker-archive".to_owned(), small().docker_archive()),
        ("docker-tools".to_owned(), pack(&archive(&small().docker_tools()), Pack::Members)),
        ("layer".to_owned(), small().layers[0].tar()),
        ("entries".to_owned(), (0..96).map(|byte: u8| byte.wrapping_mul(37)).collect()),
    ];
    for how in [Pack::Plain, Pack::Gzip, Pack::Frames] {
        seeds.push((format!("layout-{how:?}"), archive(&small().layout(how))));
    }
    seeds
}
