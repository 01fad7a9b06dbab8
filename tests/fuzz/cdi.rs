//! Any bytes as a spec, and as choices that an image and a spec are drawn from: what it lays over the image is a tree again.

use std::fmt::Write as _;
use std::sync::Arc;

use cuda_runpath::cdi::CdiEdits;
use cuda_runpath::fsio::{ImagePath, Site};
use cuda_runpath::tree::{EntryKind, ImageSource, Source, container_of};

use super::build::{Image, Layer, Pack, archive};
use super::elfgen::{Kind, Machine, Spec};

/// Paths of images, mounts and links that meet each other.
const PATHS: [&str; 16] = [
    "/etc",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d/a.conf",
    "/etc/alpine-release",
    "/etc/ld-musl-x86_64.path",
    "/etc/ld.so.cache",
    "/usr/lib",
    "/usr/lib/libcuda.so.1",
    "/usr/lib/libcuda.so.550.1",
    "/usr/lib/libcuda.so",
    "/lib/../usr/lib/libcuda.so.2.3",
    "/usr/local/cuda/compat",
    "/usr/local/cuda/compat/libcuda.so.570.1",
    "/usr/lib/glibc-hwcaps/x86-64-v2/libcuda.so.1",
    "/l/libcuda.so.1",
    "/",
];
const TARGETS: [&str; 8] = ["usr/lib", "/etc", "libcuda.so.1", ".", "/l", "..", "libcuda.so.550.1", "/gone"];
const LINES: [&str; 8] = [
    "include /etc/ld.so.conf.d/*.conf\n",
    "include /etc/ld.so.conf\n",
    "/usr/lib\n",
    "/usr/lib/../lib/\n",
    "/l",
    "include /*/*/*/*\n",
    "# no\n/usr/local/cuda/compat\n",
    "",
];

/// Parsing ends; what a spec leaves is a tree whose names can all be asked for, and no path leads out of it.
pub fn cdi(bytes: &[u8]) {
    let all = ["all".to_owned()];
    let empty = drawn_image(&[]);
    if let Ok(edits) = CdiEdits::parse(bytes, &all) {
        walk(&*container_of(Arc::clone(&empty), &edits));
    }
    let (image, spec) = bytes.split_at(bytes.len() / 2);
    let edits = CdiEdits::parse(drawn_spec(spec).as_bytes(), &all).expect("a drawn spec");
    walk(&*container_of(drawn_image(image), &edits));
}

fn drawn_image(bytes: &[u8]) -> Arc<dyn Source> {
    let library = || Spec::new(Machine::X86_64, Kind::Library).soname("libcuda.so.1").build();
    let layer = bytes.chunks_exact(2).take(24).fold(Layer::new(), |layer, pair| {
        let (name, choice) = (PATHS[usize::from(pair[0] & 15)], usize::from(pair[1] & 7));
        match pair[0] >> 4 & 3 {
            0 => layer.file(name, LINES[choice]),
            1 => layer.folder(name),
            2 => layer.link(name, TARGETS[choice]),
            _ => layer.file(name, library()),
        }
    });
    let archive = archive(&Image::of([layer]).layout(Pack::Plain));
    let none = || Image::of([Layer::new()]).layout(Pack::Plain);
    let source = ImageSource::of_storage(Arc::new(archive), None);
    let source = source.or_else(|_| ImageSource::of_storage(Arc::new(super::build::archive(&none())), None));
    Arc::new(source.expect("an empty image"))
}

fn drawn_spec(bytes: &[u8]) -> String {
    let (mut hooks, mut mounts) = (String::new(), String::new());
    for pair in bytes.chunks_exact(2).take(24) {
        let (path, target) = (PATHS[usize::from(pair[0] & 15)], TARGETS[usize::from(pair[1] & 7)]);
        let args = match pair[0] >> 4 & 7 {
            0 => format!("\"create-symlinks\", \"--link\", \"{target}::{path}\""),
            1 => format!("\"update-ldcache\", \"--folder\", \"{path}\""),
            2 => format!("\"enable-cuda-compat\", \"--host-driver-version=5{}\"", pair[1]),
            3 => "\"of-another\"".to_owned(),
            _ => {
                let _ = write!(mounts, "{{\"hostPath\": \"/h{path}\", \"containerPath\": \"{path}\"}},");
                continue;
            }
        };
        let program = "/usr/bin/nvidia-cdi-hook";
        let _ =
            write!(hooks, "{{\"hookName\": \"createContainer\", \"path\": \"{program}\", \"args\": [\"x\", {args}]}},");
    }
    let (hooks, mounts) = (hooks.trim_end_matches(','), mounts.trim_end_matches(','));
    format!(
        "{{\"cdiVersion\": \"0.5.0\", \"kind\": \"a.b/c\", \"containerEdits\": {{\"hooks\": [{hooks}], \"mounts\": [{mounts}]}}}}"
    )
}

fn walk(source: &dyn Source) {
    let mut folders = vec![ImagePath::new("/")];
    let mut seen = 0_usize;
    while let Some(folder) = folders.pop() {
        // One of the host's may have anything in it.
        let Ok(listing) = source.directory(&folder) else { continue };
        for name in listing.names.expect("a list") {
            let text = name.to_string_lossy();
            assert!(!matches!(&*text, "" | "." | "..") && !text.contains('/'), "{text:?}");
            let path = ImagePath::new(folder.as_path().join(&name));
            let kind = source.kind(&path).unwrap_or_else(|error| panic!("{}: {error}", path.as_path().display()));
            if let Ok(found) = source.resolve(&path) {
                assert!(found.as_path().is_absolute(), "{}", found.as_path().display());
                assert_eq!(source.resolve(&found).expect("it was there"), found);
            }
            seen += 1;
            match kind {
                EntryKind::Directory => folders.push(path),
                EntryKind::File => drop(source.open(Site::at(&path), &|_| true)),
                EntryKind::Other => {}
            }
        }
    }
    assert!(seen < 1000, "{seen} names");
}

/// Inputs to begin with: specs in both forms, and lists of choices.
pub fn cdi_seeds() -> Vec<(String, Vec<u8>)> {
    let yaml = "cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices:\n- name: all\n  containerEdits:\n    deviceNodes: [{path: /dev/nvidiactl}]\ncontainerEdits:\n  env: [A=1]\n  hooks:\n  - hookName: createContainer\n    path: /usr/bin/nvidia-cdi-hook\n    args: [nvidia-cdi-hook, update-ldcache, --folder, /usr/lib]\n  mounts:\n  - {hostPath: /usr/lib/libcuda.so.550.1, containerPath: /usr/lib/libcuda.so.550.1, options: [ro]}\n";
    let choices = (0..96).map(|byte: u8| byte.wrapping_mul(37)).collect();
    let mut seeds = vec![
        ("yaml".to_owned(), yaml.into()),
        ("json".to_owned(), drawn_spec(&[0, 1, 16, 2, 32, 3, 48, 4, 64, 5]).into_bytes()),
        ("anchors".to_owned(), yaml.replace("[A=1]", "&a [A=1]").replace("options: [ro]", "options: *a").into_bytes()),
        ("choices".to_owned(), choices),
    ];
    for start in 0..4_u8 {
        seeds.push((format!("choices-{start}"), (0..64).map(|byte: u8| byte.wrapping_mul(53) ^ start << 4).collect()));
    }
    seeds
}
