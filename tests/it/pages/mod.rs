//! Pages and tables: what a browser makes of the one, and readers of Markdown of the other, whatever files are called.

mod browser;
mod real;
mod tables;
mod text;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::archs::library as with_code;
use crate::check::objects::{dlopens, driver, linked, program};
use crate::elfgen::{Kind, Machine, Spec};
use crate::fatgen::{Entry, container, filler};
use crate::harness::{Tree, binary, run};
use crate::slim::usual;

/// What would be markup, a reference, an escape, or turn the order of the text around it.
pub(crate) const HOSTILE: &[u8] =
    "a<img src=x onerror=pwned()>\"'&lt;|`*_[x](y)\u{202e}cod\u{2066}\x1b[31m\n--><script>pwned()</script>@me #1"
        .as_bytes();

/// The same name as a report may show it.
pub(crate) const SHOWN: &str =
    "a<img src=x onerror=pwned()>\"'&lt;|`*_[x](y)\\u{202e}cod\\u{2066}\\u{1b}[31m\\n--><script>pwned()</script>@me #1";

/// A tree in which everything has such a name: objects, entries of their paths, and GPU code. A name has no slash.
pub(crate) fn hostile_tree() -> Tree {
    let tree = Tree::in_memory();
    // Another release.
    tree.folder("nothing");
    let name = String::from_utf8(HOSTILE.to_vec()).unwrap().replace('/', "");
    let beside = |ending: &str| PathBuf::from(format!("{name}{ending}"));
    let entry = format!("/opt/{name}:$ORIGIN/../{name}");
    tree.file(Path::new("bin").join(beside("")), &program().needs("libcuda.so.1").needs(&name).runpath(&entry).build());
    tree.file(Path::new("lib").join(beside(".so")), &dlopens(&["libcuda.so.1"]).rpath(&entry).build());
    tree.file(Path::new(&name).join("libcuda.so.1"), &driver("libcuda.so.1").build());
    let code = container([Entry::cubin(75).raw(&filler(100)), Entry::cubin(90).raw(&filler(300)), Entry::ptx(90)]);
    tree.file(Path::new("lib").join(beside("-code.so")), &with_code(".nv_fatbin", &code.build()).build());
    tree.file(Path::new("lib").join(OsStr::from_bytes(b"\xff\xfe.so")), &linked().build());
    tree
}

/// The name of the program in [`hostile_tree`], as a report may show it.
pub(crate) fn shown() -> String {
    SHOWN.replace('/', "")
}

/// A tree as they are: programs and libraries that are right and wrong, and GPU code.
pub(crate) fn usual_tree() -> Tree {
    let tree = Tree::in_memory();
    // Another release.
    tree.folder("nothing");
    tree.file(
        "app/bin/app",
        &program().needs("libcuda.so.1").needs("libmissing.so.1").runpath("$ORIGIN/../lib").build(),
    );
    tree.file("app/lib/libgood.so", &dlopens(&["libcuda.so.1"]).runpath("/run/opengl-driver/lib").build());
    tree.file("app/lib/libbad.so", &dlopens(&["libcuda.so.1", "libnvidia-ml.so.1"]).build());
    tree.file("app/lib/libworse.so", &dlopens(&["libcuda.so.1", "libnvidia-ml.so.1"]).build());
    tree.file("old/libcuda.so.1", &driver("libcuda.so.1").build());
    tree.file("old/libuser.so", &linked().runpath("$ORIGIN:/build/x::/run/opengl-driver/lib").build());
    let code = usual().before;
    tree.file("gpu/libkernels.so", &Spec::new(Machine::X86_64, Kind::Library).gpu_code(".nv_fatbin", &code).build());
    let old = container([Entry::cubin(75).raw(&filler(5000)), Entry::cubin(87).raw(&filler(900))]);
    tree.file("gpu/libold.so", &with_code(".nv_fatbin", &old.build()).build());
    tree.file("gpu/raw.cubin", &Entry::cubin(75).raw(&filler(70)).build());
    tree
}

/// What each command prints of a tree in a format, with a name for each.
pub(crate) fn reports(tree: &Tree, format: &str, app: &Path) -> Vec<(&'static str, String)> {
    let commands: [(&str, &[&str]); 7] = [
        ("check", &["check", "."]),
        ("check-against", &["check", "--against", "nothing", "."]),
        ("archs", &["archs", "."]),
        ("archs-targets", &["archs", ".", "--unused-for", "8.7,9.0"]),
        ("slim", &["slim", "--dry-run", "--arch", "9.0", "."]),
        ("explain", &["explain"]),
        ("explain-symbols", &["explain", "--recursive", "--symbols"]),
    ];
    let print = |arguments: &[&str]| {
        let mut command = binary();
        command.args(arguments).args(["--format", format]).current_dir(tree.path());
        if arguments[0] == "explain" {
            command.arg(app);
        }
        let run = run(&mut command);
        assert!(run.code < 2 && !run.stdout.is_empty(), "{arguments:?}: {}", run.said());
        run.stdout
    };
    commands.into_iter().map(|(name, arguments)| (name, print(arguments))).collect()
}
