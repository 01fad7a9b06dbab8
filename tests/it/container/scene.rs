//! An image and a host: once as an archive with a spec, for the program; once as a root on the disk with everything done to
//! it that the spec says, for the real ldconfig and the real loaders.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::check::objects::driver;
use crate::elfgen::{Kind, Machine, Spec};
use crate::harness::Tree;
use crate::saved::build::{Image, Layer, Pack, archive};

/// The directory in which NVIDIA's and Ubuntu's packages have the driver.
pub(super) const MULTIARCH: &str = "/usr/lib/x86_64-linux-gnu";
/// That of Debian's packages.
pub(super) const OWN: &str = "/usr/lib/x86_64-linux-gnu/nvidia/current";
/// That of RHEL.
pub(super) const LIB64: &str = "/usr/lib64";
pub(super) const HOST: &str = "550.163.01";

/// What an image has at a path.
#[derive(Clone)]
pub(crate) enum Entry {
    File(Vec<u8>),
    Link(String),
}

pub(crate) type Entries = Vec<(String, Entry)>;

pub(super) fn file(path: &str, bytes: impl AsRef<[u8]>) -> (String, Entry) {
    (path.to_owned(), Entry::File(bytes.as_ref().to_owned()))
}

pub(super) fn link(path: &str, target: &str) -> (String, Entry) {
    (path.to_owned(), Entry::Link(target.to_owned()))
}

/// A libcuda of the image's own.
pub(crate) fn baked(path: &str) -> (String, Entry) {
    file(path, driver("libcuda.so.1").build())
}

/// A program that needs libcuda, and asks for the name that linkers know, too.
pub(super) fn program() -> Spec {
    Spec::new(Machine::X86_64, Kind::Pie).needs("libcuda.so.1").imports("dlopen").carries("libcuda.so")
}

/// An image like Debian's, with the machine's own loader where there is one.
pub(crate) fn debian() -> Entries {
    let mut entries = vec![
        link("/lib", "usr/lib"),
        link("/lib64", "usr/lib64"),
        file("/etc/debian_version", "12.5\n"),
        file("/etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n"),
        file("/etc/ld.so.conf.d/libc.conf", "# libc default configuration\n/usr/local/lib\n"),
        file(
            "/etc/ld.so.conf.d/x86_64-linux-gnu.conf",
            "# Multiarch support\n/usr/local/lib/x86_64-linux-gnu\n/lib/x86_64-linux-gnu\n/usr/lib/x86_64-linux-gnu\n",
        ),
        file("/bin/app", program().build()),
    ];
    if let Ok(loader) = std::fs::read("/lib64/ld-linux-x86-64.so.2") {
        entries.push(file("/usr/lib64/ld-linux-x86-64.so.2", loader));
    }
    entries
}

/// A host's driver, and what its spec does.
#[derive(Clone)]
pub(super) struct Host {
    pub(super) folder: &'static str,
    pub(super) links: bool,
    pub(super) compat: bool,
    pub(super) cache: bool,
    /// Lines of YAML behind the hooks.
    pub(super) more_hooks: &'static str,
}

impl Host {
    pub(super) fn at(folder: &'static str) -> Self {
        Self { folder, links: true, compat: true, cache: true, more_hooks: "" }
    }

    /// The libraries that are mounted, by their paths in container and on the host.
    pub(super) fn libraries(&self) -> Vec<(String, Vec<u8>)> {
        let library = |name: &str, soname: &str| (format!("{}/{name}.so.{HOST}", self.folder), driver(soname).build());
        vec![library("libcuda", "libcuda.so.1"), library("libnvidia-ml", "libnvidia-ml.so.1")]
    }

    /// The links that `create-symlinks` makes.
    pub(super) fn made_links(&self) -> Vec<(String, String)> {
        let folder = self.folder;
        vec![
            (format!("libcuda.so.{HOST}"), format!("{folder}/libcuda.so.1")),
            (format!("libnvidia-ml.so.{HOST}"), format!("{folder}/libnvidia-ml.so.1")),
            ("libcuda.so.1".into(), format!("{folder}/libcuda.so")),
        ]
    }

    /// The hooks and their arguments, in order.
    pub(super) fn hooks(&self) -> Vec<Vec<String>> {
        let mut hooks = Vec::new();
        if self.links {
            let links = self.made_links().into_iter();
            let args = links.flat_map(|(target, path)| ["--link".to_owned(), format!("{target}::{path}")]);
            hooks.push(["create-symlinks".to_owned()].into_iter().chain(args).collect());
        }
        if self.compat {
            hooks.push(vec!["enable-cuda-compat".into(), format!("--host-driver-version={HOST}")]);
        }
        if self.cache {
            hooks.push(vec!["update-ldcache".into(), "--folder".into(), self.folder.into()]);
        }
        hooks
    }

    pub(super) fn spec(&self) -> String {
        let mut text = String::from(
            "cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices:\n- name: all\n  containerEdits:\n    deviceNodes:\n    - path: /dev/nvidiactl\ncontainerEdits:\n  env:\n  - NVIDIA_VISIBLE_DEVICES=void\n  hooks:\n",
        );
        let mut hook = |args: &[String]| {
            let args = args.iter().map(|arg| format!("    - {arg}\n")).collect::<String>();
            let _ = write!(
                text,
                "  - hookName: createContainer\n    path: /usr/bin/nvidia-cdi-hook\n    args:\n    - nvidia-cdi-hook\n{args}    env:\n    - NVIDIA_CTK_DEBUG=false\n"
            );
        };
        self.hooks().iter().for_each(|args| hook(args));
        hook(&["disable-device-node-modification".into()]);
        text.push_str(self.more_hooks);
        text.push_str("  mounts:\n");
        for (path, _) in self.libraries() {
            let _ = write!(
                text,
                "  - hostPath: {path}\n    containerPath: {path}\n    options:\n    - ro\n    - nosuid\n    - nodev\n    - rbind\n    - rprivate\n"
            );
        }
        text
    }
}

pub(super) fn layer(entries: &Entries) -> Layer {
    entries.iter().fold(Layer::new(), |layer, (path, entry)| {
        let name = path.trim_start_matches('/');
        match entry {
            Entry::File(bytes) => layer.file(name, bytes),
            Entry::Link(target) => layer.link(name, target),
        }
    })
}

/// The archive of an image of one layer.
pub(crate) fn save(tree: &Tree, entries: &Entries) -> PathBuf {
    save_with(tree, entries, &[])
}

/// The same with an environment.
pub(super) fn save_with(tree: &Tree, entries: &Entries, environment: &[&str]) -> PathBuf {
    let environment = environment.iter().map(|one| (*one).to_owned()).collect();
    let image = Image { environment, ..Image::of([layer(entries)]) };
    tree.file("image.tar", &archive(&image.layout(Pack::Plain)))
}

/// The image unpacked below `root`.
pub(super) fn unpack(tree: &Tree, entries: &Entries) -> PathBuf {
    for (path, entry) in entries {
        let place = format!("root{path}");
        if let Entry::Link(target) = entry {
            tree.symlink(target, &place);
            // So that what lies behind the link finds its folder.
            if !target.contains(".so") {
                tree.folder(tree.place(&place).parent().unwrap().join(target));
            }
        }
    }
    for (path, entry) in entries {
        if let Entry::File(bytes) = entry {
            tree.executable(format!("root{path}"), bytes);
        }
    }
    tree.join("root")
}

/// A path below a root.
pub(super) fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}
